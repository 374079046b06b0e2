// SPDX-License-Identifier: MPL-2.0

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::{glib, prelude::*, subclass::prelude::*};
use gst_base::subclass::{BaseTransformMode, prelude::*};
use orion_core::{
    geometry::NormRect,
    ledger::{Cause, Ledger},
    rate::RateGate,
    report::ClockSource,
    roi::{self, ModelChoice, Planner, PlannerSettings},
    wire::{RoiProcessing, RoiSource, TargetSize},
};

use crate::{frames, identity, meta, stats};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("orionroi", gst::DebugColorFlags::empty(), Some("Orion region and model choice"))
});

#[derive(Debug, Clone)]
struct Settings {
    rois: Vec<NormRect>,
    threshold_area: u32,
    hysteresis: f64,
    min_roi: f64,
    max_rate: f64,
    paused: bool,
    instance_id: String,
    room_id: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rois: Vec::new(),
            threshold_area: 320 * 320,
            hysteresis: 0.1,
            min_roi: 0.1,
            max_rate: 0.0,
            paused: false,
            instance_id: identity::DEFAULT_INSTANCE.into(),
            room_id: String::new(),
        }
    }
}

impl Settings {
    fn planner(&self) -> PlannerSettings {
        PlannerSettings {
            external: self.rois.clone(),
            min_roi: self.min_roi,
            model: ModelChoice { threshold_area: f64::from(self.threshold_area), hysteresis: self.hysteresis },
        }
    }
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    gate: RateGate,
    planner: Planner,
    size: Option<(u32, u32)>,
    seq: u64,
    streams: u32,
    external: u64,
    small: u64,
}

// Lock order: settings, then state; neither is held while a buffer is pushed.
#[derive(Default)]
pub struct OrionRoi {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for OrionRoi {
    const NAME: &'static str = "GstOrionRoi";
    type Type = super::OrionRoi;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for OrionRoi {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let d = Settings::default();
            vec![
                glib::ParamSpecString::builder("rois")
                    .nick("Regions")
                    .blurb("External regions as JSON, a list of {x,y,width,height} in fractions of the frame, 0..1; empty = full frame (default: empty)")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("threshold-area")
                    .nick("Threshold area")
                    .blurb("Merged area in square pixels from which the 640 model is asked for, below it the 320 one (default: 102400)")
                    .default_value(d.threshold_area)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("hysteresis")
                    .nick("Hysteresis")
                    .blurb("Fraction of threshold-area, both ways, within which the last model is kept (default: 0.1)")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(d.hysteresis)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("min-roi")
                    .nick("Smallest region")
                    .blurb("Least width and height of the merged region, fraction of the frame (default: 0.1)")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(d.min_roi)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecDouble::builder("max-rate")
                    .nick("Highest rate")
                    .blurb("Frames per second (Hz, fractions allowed) that pass at most, by presentation time; 0 = all (default: 0)")
                    .minimum(0.0)
                    .maximum(1000.0)
                    .default_value(d.max_rate)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("paused")
                    .nick("Paused")
                    .blurb("Drop every frame, counted as paused (default: false)")
                    .default_value(d.paused)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("instance-id")
                    .nick("Instance")
                    .blurb("Name of this pipeline in messages and topics, [A-Za-z0-9_-]+ (default: orion)")
                    .default_value(d.instance_id.as_str())
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("room-id")
                    .nick("Room")
                    .blurb("Name of the place in messages, free text (default: empty)")
                    .default_value(d.room_id.as_str())
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Frames received, forwarded, in flight, dropped by cause, and by region source and model (counts)")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if let Err(error) = self.change(value, pspec.name()) {
            // A refused value leaves the old one in force.
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("{}: {error}; the value before stays in force", pspec.name())
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match pspec.name() {
            "rois" => roi::format_rois(&settings.rois).to_value(),
            "threshold-area" => settings.threshold_area.to_value(),
            "hysteresis" => settings.hysteresis.to_value(),
            "min-roi" => settings.min_roi.to_value(),
            "max-rate" => settings.max_rate.to_value(),
            "paused" => settings.paused.to_value(),
            "instance-id" => settings.instance_id.to_value(),
            "room-id" => settings.room_id.to_value(),
            "stats" => self.stats().to_value(),
            name => unreachable!("property {name} is not installed"),
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

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some((info, size)) = self.admit(buffer) else {
            return Ok(gst_base::BASE_TRANSFORM_FLOW_DROPPED);
        };
        if let (Some(attention), Some((width, height))) = (&info.attention, size) {
            meta::add_attention(buffer, attention, width, height);
        }
        meta::set_frame(buffer, &info).map_err(|error| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("cannot add a meta: {error}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl OrionRoi {
    fn change(&self, value: &glib::Value, name: &str) -> Result<(), String> {
        let text = || value.get::<Option<String>>().ok().flatten().unwrap_or_default();
        let wrong = |error: glib::value::ValueTypeMismatchError| error.to_string();
        // Parsed before the lock is taken, so that a frame never waits for it.
        match name {
            "rois" => {
                let rois = roi::parse_rois(&text())?;
                lock(&self.settings).rois = rois;
            }
            "instance-id" => {
                let id = text();
                identity::check_instance(&id)?;
                lock(&self.settings).instance_id = id;
            }
            "room-id" => lock(&self.settings).room_id = text(),
            "threshold-area" => lock(&self.settings).threshold_area = value.get().map_err(wrong)?,
            "hysteresis" => lock(&self.settings).hysteresis = value.get().map_err(wrong)?,
            "min-roi" => lock(&self.settings).min_roi = value.get().map_err(wrong)?,
            "max-rate" => lock(&self.settings).max_rate = value.get().map_err(wrong)?,
            "paused" => lock(&self.settings).paused = value.get().map_err(wrong)?,
            name => unreachable!("property {name} is not installed"),
        }
        Ok(())
    }

    /// Counts a frame and plans it; none = it is dropped. The size of the frame comes with it, in pixels.
    fn admit(&self, buffer: &gst::BufferRef) -> Option<(meta::FrameInfo, Option<(u32, u32)>)> {
        let arrived = gst::get_timestamp().nseconds();
        let camera = meta::camera_time(buffer);
        let settings = lock(&self.settings).clone();
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
        let attention = state.planner.plan(&settings.planner(), width, height);
        state.count(&attention);
        let info = meta::FrameInfo {
            seq: state.seq,
            epoch: state.streams.saturating_sub(1),
            captured: camera.unwrap_or_else(identity::wall_clock),
            clock_source: if camera.is_some() { ClockSource::Camera } else { ClockSource::Arrival },
            arrived,
            instance_id: settings.instance_id,
            room_id: settings.room_id,
            attention: Some(attention),
        };
        state.seq += 1;
        state.ledger.forward();
        gst::trace!(CAT, imp = self, "frame {} of epoch {}", info.seq, info.epoch);
        Some((info, state.size))
    }

    fn stats(&self) -> gst::Structure {
        let state = lock(&self.state);
        let forwarded = state.ledger.forwarded();
        let mut stats = stats::from_ledger("orionroi-stats", &state.ledger);
        stats.set("external", state.external);
        stats.set("full-frame", forwarded - state.external);
        stats.set("model-320", state.small);
        stats.set("model-640", forwarded - state.small);
        stats
    }
}

impl State {
    fn count(&mut self, attention: &RoiProcessing) {
        self.external += u64::from(attention.source == RoiSource::External);
        self.small += u64::from(attention.target_size == TargetSize::S320);
    }
}
