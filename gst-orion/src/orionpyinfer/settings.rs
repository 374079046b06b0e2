// SPDX-License-Identifier: MPL-2.0
//! The properties of `orionpyinfer`: their defaults, their meaning, reading and writing them.

use std::{cmp::Ordering, sync::LazyLock, time::Duration};

use gst::{glib, prelude::*};
use orion_core::{environment, hand::MAX_BATCH, supervisor::Policy};

use super::{
    command,
    crew::{Spec, Wish},
    tuning::{Setting, Tuning},
    worker::Limits,
};
use crate::properties::keep;

/// How a model's output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionDetector")]
pub enum Detector {
    /// By the shape of the model's output.
    #[enum_value(name = "By the shape of the model's output", nick = "auto")]
    Auto,
    /// `(1, 4 + classes, N)`.
    #[enum_value(name = "YOLO11, YOLOv8: (1, 4 + classes, N)", nick = "yolo")]
    Yolo,
    /// `(1, N, 5 + classes)`, raw grid.
    #[enum_value(name = "YOLOX: raw grid (1, N, 5 + classes)", nick = "yolox")]
    Yolox,
    /// No model: what moves before a still background.
    #[enum_value(name = "Background subtraction, needs no model", nick = "motion")]
    Motion,
}

/// Size of the model family's member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionModelSize")]
#[allow(missing_docs)]
pub enum ModelSize {
    #[enum_value(name = "The model that comes with Orion", nick = "orion")]
    Orion,
    #[enum_value(name = "Nano", nick = "n")]
    N,
    #[enum_value(name = "Small", nick = "s")]
    S,
    #[enum_value(name = "Medium", nick = "m")]
    M,
    #[enum_value(name = "Large", nick = "l")]
    L,
    #[enum_value(name = "Extra large", nick = "x")]
    X,
}

/// How pictures go to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionTransport")]
pub enum Transport {
    /// Raw ones through shared memory with workers that can, all others through pipes.
    #[enum_value(
        name = "Raw frames through shared memory where the worker can, else its standard input",
        nick = "auto"
    )]
    Auto,
    /// Through the worker's standard input.
    #[enum_value(name = "The worker's standard input", nick = "pipe")]
    Pipe,
    /// Through shared memory.
    #[enum_value(name = "Shared memory; a worker that cannot is an error", nick = "shm")]
    Shm,
}

/// What happens after a worker's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionRestart")]
pub enum Restart {
    /// Start it again.
    #[enum_value(name = "Start it again, at once and then after 1 to 30 s", nick = "on-failure")]
    OnFailure,
    /// Post an error.
    #[enum_value(name = "Post an element error", nick = "never")]
    Never,
}

/// How a property that is changed while frames flow comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// By a command to the running workers.
    Tune(Setting),
    /// By a new crew of workers.
    Swap,
    /// The workers' limit for answers, from their next frame on.
    FrameTimeout,
    /// It is read when it is needed, or at the next start.
    Later,
}

/// Properties that only a new crew can bring into force.
const SWAPPED: [&str; 13] = [
    "worker-command",
    "worker-environment",
    "model-dir",
    "model-file",
    "model-file-320",
    "model-size",
    "detector",
    "workers",
    "execution-provider",
    "intra-op-threads",
    "transport",
    "max-batch",
    "batch-wait",
];

/// Properties in which elements of one group are alike.
pub(super) const SHARED: [&str; SWAPPED.len() + Setting::ALL.len()] = [
    "worker-command",
    "worker-environment",
    "model-dir",
    "model-file",
    "model-file-320",
    "model-size",
    "detector",
    "workers",
    "execution-provider",
    "intra-op-threads",
    "transport",
    "max-batch",
    "batch-wait",
    "confidence",
    "iou-threshold",
    "labels",
];

impl Effect {
    /// What changing this property leads to.
    pub(super) fn of(name: &str) -> Self {
        match Setting::of_property(name) {
            Some(setting) => Self::Tune(setting),
            None if SWAPPED.contains(&name) => Self::Swap,
            None if name == "frame-timeout" => Self::FrameTimeout,
            None => Self::Later,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) worker_group: String,
    pub(super) worker_command: String,
    pub(super) worker_environment: String,
    pub(super) model_dir: String,
    pub(super) model_file: String,
    pub(super) model_file_320: String,
    /// As it was set; see [`Settings::model_size`].
    pub(super) model_size: Option<ModelSize>,
    pub(super) detector: Detector,
    pub(super) confidence: f64,
    pub(super) iou_threshold: f64,
    pub(super) labels: String,
    pub(super) workers: u32,
    pub(super) execution_provider: String,
    pub(super) intra_op_threads: u32,
    pub(super) transport: Transport,
    pub(super) max_batch: u32,
    pub(super) batch_wait: u64,
    pub(super) write_timeout: u64,
    pub(super) startup_timeout: u64,
    pub(super) frame_timeout: u64,
    pub(super) shutdown_timeout: u64,
    pub(super) max_age: u64,
    pub(super) max_worker_memory: u64,
    pub(super) restart: Restart,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            worker_group: String::new(),
            worker_command: String::new(),
            worker_environment: String::new(),
            model_dir: String::new(),
            model_file: String::new(),
            model_file_320: String::new(),
            model_size: None,
            detector: Detector::Auto,
            confidence: 0.5,
            iou_threshold: 0.45,
            labels: "person".into(),
            workers: 1,
            execution_provider: "cpu".into(),
            intra_op_threads: 0,
            transport: Transport::Auto,
            max_batch: 0,
            batch_wait: 0,
            write_timeout: 2 * SECOND,
            startup_timeout: 30 * SECOND,
            frame_timeout: 10 * SECOND,
            shutdown_timeout: 2 * SECOND,
            max_age: 0,
            max_worker_memory: 0,
            restart: Restart::OnFailure,
        }
    }
}

impl ModelSize {
    /// The size of that name.
    pub(super) fn from_nick(nick: &str) -> Option<Self> {
        let class = glib::EnumClass::new::<Self>();
        class.value_by_nick(nick).and_then(|value| value.to_value(&class).get().ok())
    }
}

impl Settings {
    /// The size in force. Who names a directory or a program has models there, as it was before Orion had one of its own.
    pub(super) fn model_size(&self) -> ModelSize {
        let nothing_named = self.model_dir.is_empty() && self.worker_command.is_empty();
        self.model_size.unwrap_or(if nothing_named { ModelSize::Orion } else { ModelSize::N })
    }

    /// A setting's value as a command takes it.
    pub(super) fn tuned(&self, setting: Setting) -> serde_json::Value {
        match setting {
            Setting::Confidence => self.confidence.into(),
            Setting::IouThreshold => self.iou_threshold.into(),
            Setting::Labels => self.labels.clone().into(),
        }
    }

    /// Takes a value over that a command brought into force.
    pub(super) fn set_tuned(&mut self, setting: Setting, value: &serde_json::Value) {
        match (setting, value.as_f64(), value.as_str()) {
            (Setting::Confidence, Some(number), _) => self.confidence = number,
            (Setting::IouThreshold, Some(number), _) => self.iou_threshold = number,
            (Setting::Labels, _, Some(text)) => text.clone_into(&mut self.labels),
            _ => {}
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            policy: Policy {
                startup_timeout: Duration::from_nanos(self.startup_timeout),
                frame_timeout: Duration::from_nanos(self.frame_timeout),
                restart: self.restart == Restart::OnFailure,
            },
            write_timeout: Duration::from_nanos(self.write_timeout),
            shutdown_timeout: Duration::from_nanos(self.shutdown_timeout),
        }
    }

    /// What a crew of workers is made by.
    ///
    /// # Errors
    /// A text that names the property and the remedy.
    pub(super) fn spec(&self) -> Result<Box<Spec>, String> {
        if let Some(problem) = environment::problem(&self.worker_environment) {
            return Err(problem);
        }
        let argv = command::command_line(self)?;
        Ok(Box::new(Spec { argv, limits: self.limits(), settings: self.clone() }))
    }

    /// The crew that is wanted while another one is at work. Its workers start with the thresholds and labels in force,
    /// and are asked for others when they are ready, so that a refusal of those costs no worker.
    ///
    /// # Errors
    /// As for [`Self::spec`].
    pub(super) fn wish(&self, in_force: &Self, force: bool, why: String) -> Result<Wish, String> {
        let mut settings = self.clone();
        let mut tuning = Tuning::new();
        for setting in Setting::ALL {
            let (wanted, present) = (self.tuned(setting), in_force.tuned(setting));
            if wanted != present {
                settings.set_tuned(setting, &present);
                tuning.push((setting, wanted));
            }
        }
        Ok(Wish { spec: settings.spec()?, tuning, force, why })
    }

    /// What workers are made by and told of, property by property, in GStreamer's text form.
    pub(super) fn in_force(&self) -> gst::Structure {
        let mut all = gst::Structure::new_empty("in-force");
        for name in SHARED {
            all.set(name, self.text(name));
        }
        all
    }

    /// A property's value in GStreamer's text form.
    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).serialize().map(String::from).unwrap_or_default()
    }

    /// Whether no other crew is needed.
    pub(super) fn is_same_crew(&self, other: &Self) -> bool {
        SWAPPED.into_iter().all(|name| self.has_same(other, name))
    }

    /// Whether a property has the same value.
    pub(super) fn has_same(&self, other: &Self, name: &str) -> bool {
        self.get(name).compare(&other.get(name)) == Some(Ordering::Equal)
    }

    /// Takes back what `refused` wanted different from `in_force`, unless it was changed again since; the names of the
    /// properties that are different now.
    pub(super) fn take_back(&mut self, refused: &Self, in_force: &Self) -> Vec<&'static str> {
        let theirs = |name: &&str| self.has_same(refused, name) && !refused.has_same(in_force, name);
        let names: Vec<_> = SWAPPED.into_iter().filter(theirs).collect();
        for name in &names {
            self.set(name, &in_force.get(name));
        }
        names
    }

    /// Sets a property; its type has been checked by GObject.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        let text = || value.get::<Option<String>>().ok().flatten().unwrap_or_default();
        match name {
            "worker-group" => self.worker_group = text(),
            "worker-command" => self.worker_command = text(),
            "worker-environment" => self.worker_environment = text(),
            "model-dir" => self.model_dir = text(),
            "model-file" => self.model_file = text(),
            "model-file-320" => self.model_file_320 = text(),
            "model-size" => self.model_size = value.get().ok(),
            "detector" => keep(value, &mut self.detector),
            "confidence" => keep(value, &mut self.confidence),
            "iou-threshold" => keep(value, &mut self.iou_threshold),
            "labels" => self.labels = text(),
            "workers" => keep(value, &mut self.workers),
            "execution-provider" => self.execution_provider = text(),
            "intra-op-threads" => keep(value, &mut self.intra_op_threads),
            "transport" => keep(value, &mut self.transport),
            "max-batch" => keep(value, &mut self.max_batch),
            "batch-wait" => keep(value, &mut self.batch_wait),
            "write-timeout" => keep(value, &mut self.write_timeout),
            "startup-timeout" => keep(value, &mut self.startup_timeout),
            "frame-timeout" => keep(value, &mut self.frame_timeout),
            "shutdown-timeout" => keep(value, &mut self.shutdown_timeout),
            "max-age" => keep(value, &mut self.max_age),
            "max-worker-memory" => keep(value, &mut self.max_worker_memory),
            "restart" => keep(value, &mut self.restart),
            name => unreachable!("property {name} is not installed"),
        }
    }

    /// Reads a property.
    pub(super) fn get(&self, name: &str) -> glib::Value {
        match name {
            "worker-group" => self.worker_group.to_value(),
            "worker-command" => self.worker_command.to_value(),
            "worker-environment" => self.worker_environment.to_value(),
            "model-dir" => self.model_dir.to_value(),
            "model-file" => self.model_file.to_value(),
            "model-file-320" => self.model_file_320.to_value(),
            "model-size" => self.model_size().to_value(),
            "detector" => self.detector.to_value(),
            "confidence" => self.confidence.to_value(),
            "iou-threshold" => self.iou_threshold.to_value(),
            "labels" => self.labels.to_value(),
            "workers" => self.workers.to_value(),
            "execution-provider" => self.execution_provider.to_value(),
            "intra-op-threads" => self.intra_op_threads.to_value(),
            "transport" => self.transport.to_value(),
            "max-batch" => self.max_batch.to_value(),
            "batch-wait" => self.batch_wait.to_value(),
            "write-timeout" => self.write_timeout.to_value(),
            "startup-timeout" => self.startup_timeout.to_value(),
            "frame-timeout" => self.frame_timeout.to_value(),
            "shutdown-timeout" => self.shutdown_timeout.to_value(),
            "max-age" => self.max_age.to_value(),
            "max-worker-memory" => self.max_worker_memory.to_value(),
            "restart" => self.restart.to_value(),
            name => unreachable!("property {name} is not installed"),
        }
    }
}

/// All properties but `stats`.
pub(super) static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let d = Settings::default();
    let text = |name, nick, blurb, default: &str| {
        glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).default_value(default).mutable_playing().build()
    };
    let fraction = |name, nick, blurb, default| {
        glib::ParamSpecDouble::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(0.0)
            .maximum(1.0)
            .default_value(default)
            .mutable_playing()
            .build()
    };
    let count = |name, nick, blurb, least, default| {
        glib::ParamSpecUInt::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(least)
            .maximum(256)
            .default_value(default)
            .mutable_playing()
            .build()
    };
    let any_time = |name, nick, blurb, least, default| {
        glib::ParamSpecUInt64::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(least)
            .maximum(3600 * SECOND)
            .default_value(default)
    };
    let time = |name, nick, blurb, least, default| any_time(name, nick, blurb, least, default).mutable_ready().build();
    vec![
        glib::ParamSpecString::builder("worker-group")
            .nick("Worker group")
            .blurb(
                "Elements of this process with the same name here share one pool of workers, which the first one starts; \
                 empty = workers of its own (default: empty)",
            )
            .default_value(d.worker_group.as_str())
            .mutable_ready()
            .build(),
        text(
            "worker-command",
            "Worker command",
            "Program and arguments of the worker, quoted as for a shell; empty = the shipped run_worker.sh (default: empty)",
            &d.worker_command,
        ),
        text(
            "worker-environment",
            "Worker environment",
            "Variables of this process that workers get beside those that Python and the libraries that compute need: names with \
             commas between them, * at the end for any others; * = all (default: empty)",
            &d.worker_environment,
        ),
        text(
            "model-dir",
            "Model directory",
            "Where model files are looked for by size; empty = the worker's weights directory (default: empty)",
            &d.model_dir,
        ),
        text(
            "model-file",
            "Model file",
            "ONNX file of the large model; empty = found in model-dir by model-size (default: empty)",
            &d.model_file,
        ),
        text(
            "model-file-320",
            "Small model file",
            "ONNX file of the model with 320 pixels of input; empty = found beside the large one, or none (default: empty)",
            &d.model_file_320,
        ),
        glib::ParamSpecEnum::builder_with_default("model-size", d.model_size())
            .nick("Model size")
            .blurb("Size of the model: orion, which comes with Orion, or one to look for in model-dir; changed while playing, models are swapped (default: orion; n with a model-dir or worker-command)")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("detector", d.detector)
            .nick("Detector")
            .blurb("How the model's output is read (default: auto)")
            .mutable_playing()
            .build(),
        fraction("confidence", "Confidence", "Least confidence of a detection, 0..1 (default: 0.5)", d.confidence),
        fraction(
            "iou-threshold",
            "IoU threshold",
            "Overlap, as intersection over union in 0..1, from which the weaker of two boxes goes (default: 0.45)",
            d.iou_threshold,
        ),
        text("labels", "Labels", "Comma separated labels to report (default: person)", &d.labels),
        count(
            "workers",
            "Workers",
            "Worker processes side by side; results stay in frame order (default: 1)",
            1,
            d.workers,
        ),
        text(
            "execution-provider",
            "Execution provider",
            "What runs the model: cpu, cuda, openvino, ... as the worker's ONNX Runtime has it (default: cpu)",
            &d.execution_provider,
        ),
        count(
            "intra-op-threads",
            "Threads",
            "Threads that each worker computes with; 0 = the cores, shared out among all workers of the program when it starts (default: 0)",
            0,
            d.intra_op_threads,
        ),
        glib::ParamSpecEnum::builder_with_default("transport", d.transport)
            .nick("Transport")
            .blurb(
                "How pictures go to the workers: raw ones through shared memory where the worker can, others through its \
                 standard input (auto), all through its standard input (pipe), or all through shared memory, and a worker \
                 that cannot is an error (shm) (default: auto)",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("max-batch")
            .nick("Largest batch")
            .blurb(
                "How many frames of different elements of a worker-group a worker may run at once, if its model allows it; \
                 1 = never more than one, 0 = the worker chooses: the shipped one 4, with the execution provider cpu 1 (default: 0)",
            )
            .maximum(MAX_BATCH as u32)
            .default_value(d.max_batch)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("batch-wait")
            .nick("Wait for a batch")
            .blurb(
                "Nanoseconds that a worker waits for more frames before it runs fewer than it may at once, 1 s at most; \
                 0 = it takes what already waits (default: 0)",
            )
            .maximum(SECOND)
            .default_value(d.batch_wait)
            .mutable_playing()
            .build(),
        time(
            "write-timeout",
            "Write time-out",
            "Nanoseconds in which a worker has to take a frame, else the frame is dropped (default: 2000000000 = 2 s)",
            1,
            d.write_timeout,
        ),
        time(
            "startup-timeout",
            "Start-up time-out",
            "Nanoseconds in which a worker has to be ready; also how long a frame waits for one (default: 30000000000 = 30 s)",
            1,
            d.startup_timeout,
        ),
        any_time(
            "frame-timeout",
            "Frame time-out",
            "Nanoseconds in which a worker has to answer a frame, else it is restarted (default: 10000000000 = 10 s)",
            1,
            d.frame_timeout,
        )
        .mutable_playing()
        .build(),
        time(
            "shutdown-timeout",
            "Shutdown time-out",
            "Nanoseconds a worker has to end by itself before SIGTERM, and a second later SIGKILL (default: 2000000000 = 2 s)",
            0,
            d.shutdown_timeout,
        ),
        time(
            "max-age",
            "Maximum age",
            "Nanoseconds since its arrival at the first Orion element after which a frame is dropped unseen; 0 = off (default: 0)",
            0,
            d.max_age,
        ),
        glib::ParamSpecUInt64::builder("max-worker-memory")
            .nick("Maximum worker memory")
            .blurb("Bytes of resident memory, without shared ones, above which a worker is replaced, without losing a frame; 0 = off (default: 0)")
            .default_value(d.max_worker_memory)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("restart", d.restart)
            .nick("Restart")
            .blurb("What happens when a worker that was ready ends (default: on-failure)")
            .mutable_ready()
            .build(),
    ]
});
