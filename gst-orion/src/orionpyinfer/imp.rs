// SPDX-License-Identifier: MPL-2.0

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use gst::{glib, prelude::*, subclass::prelude::*};
use orion_core::ledger::Cause;

use super::{
    budget::Claim,
    frame::{self, Answer},
    group::{Group, Membership, Seat},
    settings::{Effect, ModelSize, PROPERTIES, Settings},
    state::{Item, Push},
    stats::stats,
    stream::{Admission, Stream},
};
use crate::{
    frames,
    properties::{self, lock},
    qos,
};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("orionpyinfer", gst::DebugColorFlags::empty(), Some("Orion inference in worker processes"))
});

// Lock order: membership, then the group's (see there), then settings, in_force or stream, of which no two are ever held
// together.
pub struct OrionPyInfer {
    pub(super) sinkpad: gst::Pad,
    srcpad: gst::Pad,
    /// As they were asked for.
    pub(super) settings: Mutex<Settings>,
    /// As the workers have them that are at work; what is refused is taken back to these.
    pub(super) in_force: Mutex<Settings>,
    membership: Mutex<Option<Membership>>,
    claim: Claim,
    pub(super) stream: Arc<Stream>,
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
        let (settings, in_force) = (Mutex::default(), Mutex::default());
        Self {
            sinkpad,
            srcpad,
            settings,
            in_force,
            membership: Mutex::default(),
            claim: Claim::new(),
            stream: Arc::default(),
        }
    }
}

impl ObjectImpl for OrionPyInfer {
    fn properties() -> &'static [glib::ParamSpec] {
        static ALL: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = properties::stats(
                "Frames received, forwarded, in flight and dropped by cause (counts), results, swaps, the state of each worker",
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
                        if let Ok(element) = args[0].get::<super::OrionPyInfer>() {
                            let imp = element.imp();
                            if let Err(error) = imp.swap(None, true, "a restart was asked for") {
                                gst::element_imp_warning!(
                                    imp,
                                    gst::LibraryError::Settings,
                                    ("restart-worker: {error}")
                                );
                            }
                        }
                        None
                    })
                    .build(),
                glib::subclass::Signal::builder("swap-model")
                    .param_types([String::static_type()])
                    .return_type::<bool>()
                    .action()
                    .class_handler(|args| {
                        let element = args[0].get::<super::OrionPyInfer>();
                        let size = args[1].get::<Option<String>>();
                        let begun = match (element, size) {
                            (Ok(element), Ok(size)) => element.imp().swap_model(&size.unwrap_or_default()),
                            _ => false,
                        };
                        Some(begun.to_value())
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let name = pspec.name();
        lock(&self.settings).set(name, value);
        self.demand();
        match Effect::of(name) {
            Effect::Later => {}
            Effect::FrameTimeout => {
                if let Some(seat) = self.seat() {
                    seat.group.set_frame_timeout();
                }
            }
            Effect::Swap => {
                if let Err(error) = self.swap(Some((name, value)), false, &format!("{name} was changed")) {
                    self.revert(name, value, &error);
                }
            }
            Effect::Tune(setting) => {
                if let Some(seat) = self.seat() {
                    seat.group.tune(seat.id, setting, value);
                }
            }
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let mut stats = stats(&self.stream);
                stats.set("in-force", lock(&self.in_force).in_force());
                stats.to_value()
            }
            name => lock(&self.settings).get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.demand();
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
        {
            // Held until it is there: what is set from here on is ordered.
            let mut place = lock(&self.membership);
            *place = Some(Group::join(&self.obj())?);
        }
        // Those of a group may have been ready before.
        let workers = self.stream.lock().workers.clone();
        for worker in workers {
            if let Some(ready) = &worker.ready {
                self.post(worker.who, "ready", &format!("{} {}", ready.worker, ready.version));
            }
        }
        Ok(())
    }

    /// Tells how many workers there are to be.
    fn demand(&self) {
        let settings = lock(&self.settings);
        self.claim.set(&settings.worker_group, settings.workers);
    }

    fn seat(&self) -> Option<Seat> {
        lock(&self.membership).as_ref().map(|membership| membership.seat().clone())
    }

    /// Replaces the workers by others; `force` even if nothing has changed. False = nothing is running.
    fn swap(&self, change: Option<(&str, &glib::Value)>, force: bool, why: &str) -> Result<bool, String> {
        self.seat().map_or(Ok(false), |seat| seat.group.swap(seat.id, change, force, why.to_owned()))
    }

    /// Takes back a value of which no workers can be made.
    fn revert(&self, name: &str, value: &glib::Value, error: &str) {
        let present = self.seat().map(|seat| lock(&seat.group.terms).wanted.get(name));
        let present = present.unwrap_or_else(|| lock(&self.in_force).get(name));
        {
            let mut settings = lock(&self.settings);
            // Something newer may have been set meanwhile.
            if settings.get(name).compare(value) == Some(std::cmp::Ordering::Equal) {
                settings.set(name, &present);
            }
        }
        gst::element_imp_warning!(
            self,
            gst::LibraryError::Settings,
            ("{error}; the value before stays in force, and the workers as they are")
        );
        self.obj().notify(name);
    }

    fn swap_model(&self, size: &str) -> bool {
        let Some(size) = ModelSize::from_nick(size) else {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("swap-model: {size:?} is no model size; there are orion, n, s, m, l and x")
            );
            return false;
        };
        lock(&self.settings).model_size = Some(size);
        let begun = self.swap(Some(("model-size", &size.to_value())), true, "a swap was asked for");
        self.obj().notify("model-size");
        if let Err(error) = &begun {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("swap-model: {error}"));
        }
        begun.unwrap_or(false)
    }

    fn stop(&self) {
        let membership = lock(&self.membership).take();
        if let Some(membership) = membership {
            membership.end();
        }
        self.stream.keep_latest(false);
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
        // Without it the element is stopped.
        let seat = self.seat().ok_or(gst::FlowError::Flushing)?;
        let live = self.is_live();
        // A reference, no copy.
        let lost = buffer.clone();
        let mut is_followed = false;
        match self.stream.admit(&seat, buffer, patience, max_age)? {
            Admission::Dropped(None) => {}
            Admission::Dropped(Some((cause, text))) => {
                if let Some(text) = text {
                    self.warn_lost(&text);
                }
                self.post_qos(&lost, cause);
            }
            Admission::Send(worker, job) => {
                is_followed = job.is_followed();
                drop(lost);
                seat.group.send(worker, job);
            }
        }
        if live || is_followed {
            return self.stream.wait_for_idle(&seat, patience);
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

    /// Throws away what is inside, but for what describes the stream: nobody would say that again.
    fn flush(&self, flushing: bool) {
        for sticky in self.stream.flush(flushing, Cause::Flush) {
            let _ = self.srcpad.store_sticky_event(&sticky);
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            // The task goes on: it finds nothing to do until the flush is over.
            gst::EventView::FlushStart(_) => {
                self.flush(true);
                self.srcpad.push_event(event)
            }
            gst::EventView::Segment(segment) => {
                self.stream.lock().segment = segment.segment().clone().downcast().ok();
                self.stream.push_event(event)
            }
            gst::EventView::FlushStop(_) => {
                self.stream.wait_for_push();
                let forwarded = self.srcpad.push_event(event);
                self.flush(false);
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

    pub(super) fn warn_lost(&self, text: &str) {
        gst::debug!(CAT, imp = self, "frame dropped: {text}");
        if let Some(more) = self.stream.may_warn() {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("frame dropped: {text}{}", and_more(more)));
        }
    }

    /// Tells the application that a frame will not come.
    pub(super) fn post_qos(&self, buffer: &gst::BufferRef, cause: Cause) {
        let (segment, live, forwarded, dropped) = {
            let state = self.stream.lock();
            let ledger = state.ledger;
            (state.segment.clone(), state.live.unwrap_or(false), ledger.forwarded(), ledger.dropped().total())
        };
        let place = qos::Place::of(buffer, segment.as_ref());
        qos::post(self.obj().upcast_ref(), place, live, cause, forwarded, dropped);
    }
}

fn and_more(more: u64) -> String {
    if more > 0 { format!(" (and {more} more since the last warning)") } else { String::new() }
}
