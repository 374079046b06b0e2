// SPDX-License-Identifier: MPL-2.0
//! How long frames spend where, noted as results reach the sink.

use gst::prelude::*;
use gstorion::meta;
use orion_core::report::ClockSource;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
};
use serde::Deserialize;

/// Upper bounds of the histograms, s: from a millisecond to half a minute.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What is measured.
const STAGES: [&str; 7] = ["capture", "queue", "worker", "inference", "transport", "publish", "end_to_end"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    instance_id: String,
    stage: &'static str,
}

/// Histograms by camera and stage; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Stages(pub(super) Family<Labels, Histogram, fn() -> Histogram>);

impl Default for Stages {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(BOUNDS)))
    }
}

/// The worker's own times; what else a result holds is passed over.
#[derive(Deserialize)]
struct Timed {
    timing: Timing,
}

#[derive(Deserialize)]
struct Timing {
    inference_ms: f64,
    total_ms: f64,
}

impl Stages {
    /// Notes what passes into this sink of a camera from now on.
    pub(crate) fn watch(&self, instance_id: &str, sink: &gst::Element) {
        let Some(pad) = sink.static_pad("sink") else { return };
        let (stages, instance_id) = (self.clone(), instance_id.to_owned());
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                stages.note(&instance_id, buffer);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Forgets a camera that is none any more.
    pub(crate) fn forget(&self, instance_id: &str) {
        for stage in STAGES {
            self.0.remove(&Labels { instance_id: instance_id.to_owned(), stage });
        }
    }

    fn note(&self, instance_id: &str, buffer: &gst::BufferRef) {
        let Some(frame) = meta::frame(buffer) else { return };
        let now = gst::get_timestamp().nseconds();
        let note = |stage: &'static str, seconds: f64| {
            if seconds >= 0.0 {
                self.0.get_or_create(&Labels { instance_id: instance_id.to_owned(), stage }).observe(seconds);
            }
        };
        let between = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
        if frame.clock_source == ClockSource::Camera {
            // Off by the error of the camera's clock.
            let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let arrived = wall.as_secs_f64() - between(frame.arrived, now);
            note("capture", arrived - frame.captured as f64 / 1e9);
        }
        for inference in meta::inferences(buffer) {
            note("queue", between(frame.arrived, inference.sent));
            let worker = between(inference.sent, inference.answered);
            note("worker", worker);
            if let Ok(Timed { timing }) = serde_json::from_str(&inference.result) {
                note("inference", timing.inference_ms / 1e3);
                note("transport", worker - timing.total_ms / 1e3);
            }
            note("publish", between(inference.answered, now));
            note("end_to_end", between(frame.arrived, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_of_a_camera_that_is_gone() {
        let stages = Stages::default();
        let label = |id: &str, stage| Labels { instance_id: id.to_owned(), stage };
        for stage in STAGES {
            stages.0.get_or_create(&label("a", stage)).observe(1.0);
        }
        stages.0.get_or_create(&label("b", "queue")).observe(1.0);
        stages.forget("a");
        assert!(STAGES.into_iter().all(|stage| stages.0.get(&label("a", stage)).is_none()));
        assert!(stages.0.get(&label("b", "queue")).is_some());
    }
}
