// SPDX-License-Identifier: MPL-2.0
//! Keys of the workers.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use orion_core::command::Size;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{number, text};

/// Workers besides the shipped one, at most.
pub(super) const MAX_OTHERS: usize = 8;
/// Characters of a worker's name, at most.
const MAX_NAME: usize = 32;
/// What elements of the built pipeline are called, so that no worker can be; a number may follow.
const RESERVED: [&str; 20] = [
    "roi",
    "infer",
    "sink",
    "tee",
    "funnel",
    "scale",
    "fit",
    "source",
    "orion",
    "orionroi",
    "orionpyinfer",
    "orionmqttsink",
    "queue",
    "capsfilter",
    "videoconvert",
    "videoscale",
    "jpegenc",
    "decodebin",
    "filesrc",
    "videotestsrc",
];

/// The worker processes that look at frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("propertyNames" = {"pattern": format!("^[a-z0-9_]{{1,{MAX_NAME}}}$")}, "maxProperties" = MAX_OTHERS + 1))]
pub(crate) struct Models {
    /// The shipped worker.
    pub(crate) person_detector: PersonDetector,
    /// Further workers by name; each sees the same frames and publishes results of its own.
    #[serde(flatten)]
    #[schemars(with = "BTreeMap<String, Other>")]
    pub(crate) others: BTreeMap<String, Worker>,
}

/// The shipped worker: [`Worker`], and the rate that holds for all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PersonDetector {
    #[serde(flatten)]
    worker: Worker,
    /// Frames a second that are looked at most, of a live camera, by every worker.
    #[serde(with = "number::Rate")]
    pub(crate) max_inference_rate_hz: f64,
}

impl Default for PersonDetector {
    fn default() -> Self {
        Self { worker: Worker::default(), max_inference_rate_hz: 5.0 }
    }
}

// In the file the keys of a worker stand beside the rate, and so they do in the code.
impl Deref for PersonDetector {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        &self.worker
    }
}

impl DerefMut for PersonDetector {
    fn deref_mut(&mut self) -> &mut Worker {
        &mut self.worker
    }
}

/// A worker process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Worker {
    /// How persons are found.
    pub(crate) detector: Detector,
    /// Size of the model: orion, which comes with Orion, or one that is looked for in model_dir. Where model_dir or
    /// worker_command is set and this is not, it is n.
    pub(crate) size: Size,
    /// Where models are; empty = models/weights beside the worker.
    #[serde(with = "text::Free")]
    pub(crate) model_dir: String,
    /// A certain model file for 640x640 instead of one that is found in model_dir; empty = none.
    #[serde(with = "text::Free")]
    pub(crate) model_path: String,
    /// The same for 320x320; needs model_path.
    #[serde(with = "text::Free")]
    pub(crate) model_path_320: String,
    /// Least confidence of a detection.
    #[serde(with = "number::Fraction")]
    pub(crate) confidence: f64,
    /// Overlap (intersection over union) from which on two boxes are taken for one object.
    #[serde(with = "number::Fraction")]
    pub(crate) iou_threshold: f64,
    /// What is looked for.
    #[serde(with = "text::Labels")]
    pub(crate) labels: Vec<String>,
    /// Worker processes that share the frames.
    #[serde(with = "number::Workers")]
    pub(crate) workers: u32,
    /// Threads of each worker process; 0 = the cores, shared out among all worker processes when one starts.
    #[serde(with = "number::Threads")]
    pub(crate) threads: u32,
    /// Frames of different cameras of a worker_group that one run of the model may take; 1 = one, 0 = the worker chooses.
    #[serde(with = "number::Batch")]
    pub(crate) max_batch: u32,
    /// Seconds that a worker waits for more frames before it runs fewer than it may at once; 0 = it takes what already waits.
    #[serde(with = "number::BatchWait")]
    pub(crate) batch_wait_s: f64,
    /// Program and arguments, quoted as for a shell; empty = the shipped worker, for person_detector only.
    #[serde(with = "text::Command")]
    pub(crate) worker_command: String,
    /// Variables of the daemon's environment that the worker gets beside those that Python and the libraries that compute need: names,
    /// a * at the end stands for any others.
    #[serde(with = "text::Variables")]
    pub(crate) worker_environment: Vec<String>,
    /// Name of a group: all that name it share the same worker processes, and must agree in how those are started; empty = none.
    #[serde(with = "text::Group")]
    pub(crate) worker_group: String,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            detector: Detector::Auto,
            size: Size::Orion,
            model_dir: String::new(),
            model_path: String::new(),
            model_path_320: String::new(),
            confidence: 0.5,
            iou_threshold: 0.45,
            labels: vec!["person".into()],
            workers: 1,
            threads: 0,
            max_batch: 0,
            batch_wait_s: 0.0,
            worker_command: String::new(),
            worker_environment: Vec::new(),
            worker_group: String::new(),
        }
    }
}

/// How persons are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Detector {
    /// By the layout of the model's output
    Auto,
    /// YOLO11 or YOLOv8
    Yolo,
    /// YOLOX
    Yolox,
    /// Whatever moves, without a model
    Motion,
}

/// The schema of a further worker: it must say its command.
struct Other;

impl JsonSchema for Other {
    fn schema_name() -> Cow<'static, str> {
        "Other".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Worker::json_schema(generator);
        schema.insert("required".into(), json!(["worker_command"]));
        if let Some(command) = schema.pointer_mut("/properties/worker_command") {
            *command = json!({
                "type": "string",
                "minLength": 1,
                "description": "Program and arguments, quoted as for a shell.",
            });
        }
        schema
    }
}

/// Whether a further worker can be called so.
///
/// # Errors
/// What was expected.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(known) {
        return Err(format!("a worker's name is 1..{MAX_NAME} of a-z, 0-9 and _"));
    }
    if RESERVED.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit())) {
        return Err("an element of the pipeline is called so; choose another name".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_workers_are_plain_and_their_own() {
        for good in ["fall", "a", "fall_2", "2d"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "Fall", "a-b", "a.b", "sink", "queue0", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
