// SPDX-License-Identifier: MPL-2.0

use std::sync::{
    LazyLock, Mutex,
    atomic::{AtomicU64, Ordering},
};

use gst::{glib, prelude::*, subclass::prelude::*};
use gst_base::subclass::{BaseTransformMode, prelude::*};
use orion_core::{
    ledger::{Cause, Ledger},
    planner::{Frame, Plan, Planner},
    rate::RateGate,
    report::ClockSource,
    strategy::Strategy,
};

use super::settings::{PROPERTIES, Settings};
use crate::{
    frames, identity, message, meta,
    properties::{self, lock},
    stats,
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("orionroi", gst::DebugColorFlags::empty(), Some("Orion region and model choice"))
});

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    gate: RateGate,
    planner: Planner,
    size: Option<(u32, u32)>,
    seq: u64,
    streams: u32,
    /// Time of the last frame on the planner's clock, ns.
    time: u64,
    /// Share of that frame that is looked at, 0..1.
    coverage: f64,
}

// Lock order: settings, then state; neither is held while a buffer is pushed.
pub struct OrionRoi {
    /// Tells its frames from those of others, so that only their answers are listened to.
    origin: u64,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl Default for OrionRoi {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { origin: NEXT.fetch_add(1, Ordering::Relaxed), settings: Mutex::default(), state: Mutex::default() }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for OrionRoi {
    const NAME: &'static str = "GstOrionRoi";
    type Type = super::OrionRoi;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for OrionRoi {
    fn properties() -> &'static [glib::ParamSpec] {
        static ALL: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = properties::stats(
                "Frames received, forwarded, in flight, dropped by cause, by region source and model; suggestions (counts); next frame number",
            );
            PROPERTIES.iter().cloned().chain([stats]).collect()
        });
        &ALL
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder("clear-history")
                    .action()
                    .class_handler(|args| {
                        if let Ok(element) = args[0].get::<super::OrionRoi>() {
                            lock(&element.imp().state).planner.clear_history();
                        }
                        None
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let changed = lock(&self.settings).set(pspec.name(), value);
        if let Err(error) = changed {
            // A refused value leaves the old one in force.
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("{}: {error}; the value before stays in force", pspec.name())
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats().to_value(),
            name => lock(&self.settings).get(name),
        }
    }
}

impl GstObjectImpl for OrionRoi {}

impl ElementImpl for OrionRoi {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Orion region of interest",
                "Filter/Analyzer/Video",
                "Numbers frames and decides which region a worker looks at, with which model",
                "Orion maintainers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(frames::always_pads);
        &TEMPLATES
    }
}

impl BaseTransformImpl for OrionRoi {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let picture = frames::Picture::from_caps(incaps)
            .map_err(|error| gst::loggable_error!(CAT, "caps {incaps} are not understood: {error}"))?;
        gst::debug!(CAT, imp = self, "frames of {:?}", picture.size());
        lock(&self.state).size = picture.size();
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::StreamStart(_) => lock(&self.state).streams += 1,
            gst::EventView::FlushStop(_) | gst::EventView::Segment(_) => lock(&self.state).gate.reset(),
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let Some((origin, feedback)) = message::parse_feedback(&event)
            && origin == self.origin
        {
            let history_frames = u64::from(lock(&self.settings).history_frames);
            let taken = lock(&self.state).planner.answered(&feedback, history_frames);
            gst::trace!(CAT, imp = self, "answer to frame {}, taken: {taken}", feedback.seq);
            return true;
        }
        self.parent_src_event(event)
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some((info, size)) = self.admit(buffer) else {
            return Ok(gst_base::BASE_TRANSFORM_FLOW_DROPPED);
        };
        if let (Some(planned), Some((width, height))) = (&info.planned, size) {
            meta::add_attention(buffer, &planned.roi, width, height);
        }
        meta::set_frame(buffer, &info).map_err(|error| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("cannot add a meta: {error}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl OrionRoi {
    /// Counts a frame and plans it; none = it is dropped. The size of the frame comes with it, in pixels.
    fn admit(&self, buffer: &gst::BufferRef) -> Option<(meta::FrameInfo, Option<(u32, u32)>)> {
        let arrived = gst::get_timestamp().nseconds();
        let camera = meta::camera_time(buffer);
        // Held to the end: who changes a property and then reads `next-seq` knows the first frame that it holds for.
        let settings = lock(&self.settings);
        let mut state = lock(&self.state);
        state.ledger.receive();
        if settings.paused {
            state.ledger.drop_frame(Cause::Paused);
            return None;
        }
        state.gate.set_rate(settings.max_rate);
        if !state.gate.admit(buffer.pts().map(gst::ClockTime::nseconds)) {
            state.ledger.drop_frame(Cause::RateLimit);
            return None;
        }
        // A JPEG stream may not tell its size; its region is then measured as if it were a frame of the large model.
        let (width, height) = state.size.unwrap_or((640, 640));
        let time = buffer.pts().map_or(arrived, gst::ClockTime::nseconds);
        let frame = Frame { seq: state.seq, time, width, height };
        let Plan { roi, since_sweep } = state.planner.plan(&settings.planner(), frame);
        state.time = time;
        state.coverage = Plan::coverage(&roi);
        let info = meta::FrameInfo {
            seq: state.seq,
            epoch: state.streams.saturating_sub(1),
            captured: camera.unwrap_or_else(identity::wall_clock),
            clock_source: if camera.is_some() { ClockSource::Camera } else { ClockSource::Arrival },
            arrived,
            instance_id: settings.instance_id.clone(),
            room_id: settings.room_id.clone(),
            planned: Some(meta::Planned { roi, origin: self.origin, time, since_sweep, follows: settings.auto_focus }),
        };
        state.seq += 1;
        state.ledger.forward();
        gst::trace!(CAT, imp = self, "frame {} of epoch {}", info.seq, info.epoch);
        Some((info, state.size))
    }

    fn stats(&self) -> gst::Structure {
        let state = lock(&self.state);
        let mut stats = stats::from_ledger("orionroi-stats", &state.ledger);
        let counts = state.planner.counts();
        for (field, frames) in [
            ("external", counts.external),
            ("python-suggested", counts.python_suggested),
            ("auto-history", counts.auto_history),
            ("full-frame", counts.full_frame),
            ("sweeps", counts.sweeps),
            ("model-320", counts.model_320),
            ("model-640", counts.model_640),
        ] {
            stats.set(field, frames);
        }
        for (strategy, frames) in Strategy::ALL.into_iter().zip(counts.strategies) {
            stats.set(format!("strategy-{}", strategy.as_str()), frames);
        }
        stats.set("next-seq", state.seq);
        let focus = state.planner.focus();
        let (hits, misses, late) = focus.counts();
        stats.set("history-size", focus.len() as u64);
        stats.set("hits", hits);
        stats.set("misses", misses);
        stats.set("late", late);
        if let Some(since) = state.planner.since_sweep(state.time) {
            stats.set("time-since-full-sweep-ms", since as f64 / 1e6);
            stats.set("coverage", state.coverage);
        }
        stats
    }
}
