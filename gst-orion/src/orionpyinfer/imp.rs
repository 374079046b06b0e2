// SPDX-License-Identifier: MPL-2.0

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use gst::{glib, prelude::*, subclass::prelude::*};
use orion_core::{ledger::Cause, wire::InferenceResult};

use super::{
    command,
    frame::{self, Answer},
    pool::{Job, Listener, Pool, Report},
    settings::{PROPERTIES, Settings},
    stderr::Level,
    stream::{self, Admission, Item, Push, Stream, WorkerInfo},
};
use crate::{
    frames,
    message::{self, WorkerEvent},
    properties::{self, lock},
    stats,
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("orionpyinfer", gst::DebugColorFlags::empty(), Some("Orion inference in worker processes"))
});

// Lock order: pool, then stream; settings is never held together with another.
pub struct OrionPyInfer {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    pool: Mutex<Option<Pool>>,
    stream: Arc<Stream>,
}

#[glib::object_subclass]
impl ObjectSubclass for OrionPyInfer {
    const NAME: &'static str = "GstOrionPyInfer";
    type Type = super::OrionPyInfer;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let pad = |name| {
            let template = class.pad_template(name).unwrap_or_else(|| unreachable!("pad template {name} is installed"));
            gst::Pad::builder_from_template(&template).flags(gst::PadFlags::PROXY_CAPS)
        };
        let sinkpad = pad("sink")
            .chain_function(|_, parent, buffer| {
                let panicked = || Err(gst::FlowError::Error);
                Self::catch_panic_pad_function(parent, panicked, |this| this.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            .build();
        let srcpad = pad("src")
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(pad, event))
            })
            .activatemode_function(|pad, parent, mode, active| {
                let panicked = || Err(gst::loggable_error!(CAT, "panic while activating the source pad"));
                Self::catch_panic_pad_function(parent, panicked, |this| this.activate(pad, mode, active))
            })
            .build();
        Self { sinkpad, srcpad, settings: Mutex::default(), pool: Mutex::default(), stream: Arc::default() }
    }
}

impl ObjectImpl for OrionPyInfer {
    fn properties() -> &'static [glib::ParamSpec] {
        static ALL: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = properties::stats(
                "Frames received, forwarded, in flight and dropped by cause (counts), results, and the state of each worker",
            );
            PROPERTIES.iter().cloned().chain([stats]).collect()
        });
        &ALL
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder("restart-worker")
                    .action()
                    .class_handler(|args| {
                        if let Ok(element) = args[0].get::<super::OrionPyInfer>()
                            && let Some(pool) = &*lock(&element.imp().pool)
                        {
                            pool.restart();
                        }
                        None
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        lock(&self.settings).set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats().to_value(),
            name => lock(&self.settings).get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sinkpad, &self.srcpad] {
            if self.obj().add_pad(pad).is_err() {
                gst::error!(CAT, imp = self, "cannot add pad {}", pad.name());
            }
        }
    }
}

impl GstObjectImpl for OrionPyInfer {}

impl ElementImpl for OrionPyInfer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Orion inference in worker processes",
                "Filter/Analyzer/Video",
                "Has each frame looked at by a worker process and puts its result on the buffer",
                "Orion maintainers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(frames::always_pads);
        &TEMPLATES
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start().map_err(|error| {
                gst::element_imp_error!(self, gst::LibraryError::Init, ("{error}"));
                gst::StateChangeError
            })?,
            // Whoever waits in here has to let go before the pads can be deactivated.
            gst::StateChange::PausedToReady => self.stream.activate(false),
            _ => {}
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady
            || (transition == gst::StateChange::ReadyToPaused && result.is_err())
        {
            self.stop();
        }
        result
    }
}

impl OrionPyInfer {
    fn start(&self) -> Result<(), String> {
        let settings = lock(&self.settings).clone();
        let argv = command::command_line(&settings)?;
        let count = settings.workers as usize;
        gst::info!(CAT, imp = self, "starting {count} worker(s): {argv:?}");
        self.stream.update(|state| {
            *state = stream::State::default();
            state.workers = vec![WorkerInfo::default(); count];
        });
        let listener: Arc<dyn Listener> =
            Arc::new(Reporter { element: self.obj().downgrade(), stream: Arc::clone(&self.stream) });
        let pool = Pool::start(&argv, count, settings.limits(), &listener)
            .map_err(|error| format!("cannot start the workers' thread: {error}"))?;
        *lock(&self.pool) = Some(pool);
        Ok(())
    }

    fn stop(&self) {
        let pool = lock(&self.pool).take();
        if let Some(pool) = pool {
            pool.stop();
        }
        self.stream.update(|state| {
            state.ledger.drop_all_but(0, Cause::Shutdown);
            for worker in &mut state.workers {
                worker.status.state = "stopped";
                worker.status.pid = 0;
            }
        });
    }

    fn activate(&self, pad: &gst::Pad, mode: gst::PadMode, active: bool) -> Result<(), gst::LoggableError> {
        if mode != gst::PadMode::Push {
            return Err(gst::loggable_error!(CAT, "only push mode is supported"));
        }
        self.stream.activate(active);
        if active {
            // Weak, as the task would otherwise keep the element it belongs to.
            let weak = self.obj().downgrade();
            let round = move || {
                if let Some(element) = weak.upgrade() {
                    element.imp().push_next();
                }
            };
            pad.start_task(round).map_err(|_| gst::loggable_error!(CAT, "cannot start the source pad's task"))
        } else {
            pad.stop_task().map_err(|_| gst::loggable_error!(CAT, "cannot stop the source pad's task"))
        }
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (patience, max_age) = {
            let settings = lock(&self.settings);
            (Duration::from_nanos(settings.startup_timeout), settings.max_age)
        };
        match self.stream.admit(buffer, patience, max_age)? {
            Admission::Dropped(None) => {}
            Admission::Dropped(Some(text)) => self.warn_lost(&text),
            Admission::Send(index, job) => {
                let sent = match &*lock(&self.pool) {
                    Some(pool) => pool.send(index, job),
                    None => Err(job),
                };
                if let Err(job) = sent {
                    self.stream.lost(&job, Cause::WorkerRestart);
                }
            }
        }
        if self.is_live() {
            return self.stream.wait_for_idle(patience);
        }
        self.stream.flow()
    }

    /// Whether old frames are worth less than new ones.
    fn is_live(&self) -> bool {
        let known = self.stream.lock().live;
        known.unwrap_or_else(|| {
            let mut query = gst::query::Latency::new();
            let live = self.sinkpad.peer_query(&mut query) && query.result().0;
            self.stream.lock().live = Some(live);
            live
        })
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            // The task goes on: it finds nothing to do until the flush is over.
            gst::EventView::FlushStart(_) => {
                self.stream.flush(true, Cause::Flush);
                self.srcpad.push_event(event)
            }
            gst::EventView::FlushStop(_) => {
                self.stream.wait_for_push();
                let forwarded = self.srcpad.push_event(event);
                for sticky in self.stream.flush(false, Cause::Flush) {
                    let _ = self.srcpad.store_sticky_event(&sticky);
                }
                forwarded
            }
            gst::EventView::Caps(caps) => match frames::Picture::from_caps(caps.caps()) {
                Ok(picture) => {
                    gst::debug!(CAT, imp = self, "frames of {:?}", picture.size());
                    self.stream.lock().picture = Some(picture);
                    self.stream.push_event(event)
                }
                Err(error) => {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        ("caps {} are not understood: {error}", caps.caps())
                    );
                    false
                }
            },
            _ if event.is_serialized() => self.stream.push_event(event),
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure {
            self.stream.relinked();
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if !query.is_serialized() {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        }
        // Buffers are held while a worker looks at them, so downstream's pool would run dry.
        if query.type_() == gst::QueryType::Allocation {
            return false;
        }
        let limit = Duration::from_nanos(lock(&self.settings).frame_timeout);
        self.stream.drain(limit) && self.srcpad.peer_query(query)
    }

    /// One round of the source pad's task.
    fn push_next(&self) {
        match self.stream.next() {
            None => {
                gst::debug!(CAT, imp = self, "not active, the task rests");
                let _ = self.srcpad.pause_task();
            }
            Some(Item::Lost(..)) => {}
            Some(Item::Event(event)) => {
                gst::log!(CAT, imp = self, "pushing {:?}", event.type_());
                let eos = event.type_() == gst::EventType::Eos;
                let pushed = self.srcpad.push_event(event);
                let flow = self.stream.flow();
                // After EOS upstream takes no answer from a chain function any more, so an error has to be told here.
                if let (true, Err(error)) = (eos, flow)
                    && !matches!(error, gst::FlowError::Eos | gst::FlowError::Flushing)
                {
                    gst::element_imp_error!(self, gst::StreamError::Failed, ("downstream refused frames: {error}"));
                }
                gst::log!(CAT, imp = self, "event pushed: {pushed}");
                self.stream.event_pushed();
            }
            Some(Item::Answer(answer)) => {
                let push = Push::of(&answer);
                let flow = self.stream.flow().and_then(|_| self.push_answer(*answer));
                if let Err(error) = flow {
                    gst::debug!(CAT, imp = self, "downstream said {error}");
                }
                self.stream.pushed(&push, flow);
            }
        }
    }

    fn push_answer(&self, answer: Answer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let seq = answer.job.info.seq;
        let buffer = frame::annotate(answer).map_err(|error| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("cannot put the result on frame {seq}: {error}"));
            gst::FlowError::Error
        })?;
        gst::trace!(CAT, imp = self, "pushing frame {seq}");
        self.srcpad.push(buffer)
    }

    fn warn_lost(&self, text: &str) {
        gst::debug!(CAT, imp = self, "frame dropped: {text}");
        if let Some(more) = self.stream.may_warn() {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("frame dropped: {text}{}", and_more(more)));
        }
    }

    fn stats(&self) -> gst::Structure {
        let state = self.stream.lock();
        let totals = state.totals;
        let mut stats = stats::from_ledger("orionpyinfer-stats", &state.ledger);
        stats.set("results", totals.results);
        stats.set("detections", totals.detections);
        let mean = if totals.results > 0 { totals.worker_time as f64 / totals.results as f64 / 1e6 } else { 0.0 };
        stats.set("average-latency-ms", mean);
        stats.set("last-result", totals.last_result);
        let workers = state.workers.iter().enumerate().map(|(index, worker)| {
            gst::Structure::builder("worker")
                .field("index", index as u32)
                .field("state", worker.status.state)
                .field("pid", worker.status.pid)
                .field("restarts", worker.status.restarts)
                .field("last-error", &worker.last_error)
                .build()
        });
        stats.set("workers", gst::Array::new(workers));
        stats
    }
}

fn and_more(more: u64) -> String {
    if more > 0 { format!(" (and {more} more since the last warning)") } else { String::new() }
}

/// Acts on what the workers say; the element may be gone by then.
struct Reporter {
    element: glib::WeakRef<super::OrionPyInfer>,
    stream: Arc<Stream>,
}

impl Listener for Reporter {
    fn report(&self, index: usize, report: Report) {
        match report {
            Report::Idle => return self.stream.set_idle(index, true),
            Report::Unavailable => return self.stream.set_idle(index, false),
            Report::Answer(answer) => {
                let (job, result): (Job, InferenceResult) = *answer;
                // Told before the frame goes on, so that whoever has seen it can count on the next plan.
                if let (Some((origin, feedback)), Some(element)) =
                    (frame::feedback(&job, &result), self.element.upgrade())
                {
                    // Nobody has to listen.
                    element.imp().sinkpad.push_event(message::feedback(origin, &feedback));
                }
                return self.stream.answered(job, result);
            }
            Report::Status(status) => {
                return self.stream.update(|state| {
                    if let Some(worker) = state.workers.get_mut(index) {
                        worker.status = status;
                    }
                });
            }
            _ => {}
        }
        let element = self.element.upgrade();
        if let Some(imp) = element.as_ref().map(|element| element.imp()) {
            imp.tell(index, report);
        } else if let Report::Lost(job, cause, _) = report {
            self.stream.lost(&job, cause);
        }
    }
}

impl OrionPyInfer {
    fn tell(&self, index: usize, report: Report) {
        match report {
            Report::Ready { worker, load_ms } => {
                gst::info!(CAT, imp = self, "worker {index} is ready: {worker}, loaded in {load_ms:.0} ms");
                self.post(index, "ready", &worker);
            }
            Report::Lost(job, cause, text) => {
                if self.stream.lost(&job, cause) && cause != Cause::Shutdown {
                    self.note(index, &text);
                    self.warn_lost(&format!("worker {index}, frame {}: {text}", job.info.seq));
                }
            }
            Report::Odd(text) => gst::warning!(CAT, imp = self, "worker {index} {text}"),
            Report::Exited { text, tail, pause_ms } => {
                self.note(index, &text);
                self.post(index, "exited", &text);
                let when = if pause_ms == 0 { "now".to_owned() } else { format!("in {} s", pause_ms / 1000) };
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Failed,
                    ("worker {index} {text}; it is started again {when}"),
                    ["its last lines on stderr:\n{tail}"]
                );
                self.post(index, "restarting", &text);
            }
            Report::Failed { text, tail } => {
                self.note(index, &text);
                self.post(index, "exited", &text);
                self.stream.fail();
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Failed,
                    ("worker {index} {text}"),
                    ["its last lines on stderr:\n{tail}"]
                );
            }
            Report::Log(level, text) => match level {
                Level::Error => gst::error!(CAT, imp = self, "worker {index}: {text}"),
                Level::Warning => gst::warning!(CAT, imp = self, "worker {index}: {text}"),
                Level::Info | Level::Plain => gst::info!(CAT, imp = self, "worker {index}: {text}"),
                Level::Debug => gst::debug!(CAT, imp = self, "worker {index}: {text}"),
            },
            Report::Status(_) | Report::Idle | Report::Unavailable | Report::Answer(_) => {}
        }
    }

    fn note(&self, index: usize, text: &str) {
        if let Some(worker) = self.stream.lock().workers.get_mut(index) {
            text.clone_into(&mut worker.last_error);
        }
    }

    fn post(&self, index: usize, event: &str, reason: &str) {
        let pid = self.stream.lock().workers.get(index).map_or(0, |worker| worker.status.pid);
        let event = WorkerEvent { event: event.into(), index: index as u32, pid, reason: reason.into() };
        event.post(self.obj().upcast_ref());
    }
}
