// SPDX-License-Identifier: MPL-2.0
//! What is published about one frame: the worker's result and what the host knows about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ledger::Losses, wire::InferenceResult};

/// Where the capture time comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// The camera's own clock, sent along with the stream.
    Camera,
    /// The clock of this host when the frame arrived.
    #[default]
    Arrival,
}

impl ClockSource {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Arrival => "arrival",
        }
    }
}

/// Milliseconds that a frame spent in each stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// From its arrival at the first Orion element until a worker got it.
    pub queue_ms: f64,
    /// From there until the worker's answer.
    pub worker_ms: f64,
    /// From there until it was handed to the MQTT client.
    pub publish_ms: f64,
}

/// The payload of `care/inferences/{instance_id}/{type}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The worker's result as it stands.
    #[serde(flatten)]
    pub result: InferenceResult,
    /// Whose clock `timestamp` is.
    pub clock_source: ClockSource,
    /// From capture to publication, by the clocks of `clock_source`; may be off by their difference.
    pub latency_ms: f64,
    /// Where that time went.
    pub stages: Stages,
    /// Stream time since the last full frame, ms: 0 for a full frame; none = there was none yet.
    pub time_since_full_sweep_ms: Option<f64>,
    /// The share of the frame that was looked at, 0..1.
    pub coverage: f64,
    /// Frames lost since the result before, by cause; empty = none.
    pub lost_since_last: BTreeMap<String, u64>,
    /// True when it had to wait for a connection or is sent again after one was lost; left out otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl Report {
    /// The counts as they stand in a report.
    pub fn losses(losses: &Losses) -> BTreeMap<String, u64> {
        losses.iter().map(|(cause, frames)| (cause.as_str().to_owned(), frames)).collect()
    }
}

/// Nanoseconds as milliseconds with three decimals: finer would be noise.
pub fn ms(nanoseconds: i64) -> f64 {
    (nanoseconds as f64 / 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Cause;

    #[test]
    fn result_and_additions_share_one_object() {
        let result = serde_json::json!({
            "type": "motion_detection", "instance_id": "a", "room_id": "", "timestamp": "t", "frame_seq": 1,
            "data": {"detections": [], "count": 0, "metadata": {}},
            "timing": {"preprocess_ms": 0.0, "inference_ms": 0.0, "postprocess_ms": 0.0, "total_ms": 1.0}, "suggested_roi": null,
        });
        let mut losses = Losses::default();
        losses.add(Cause::QueueFull, 2);
        let report = Report {
            result: serde_json::from_value(result).unwrap(),
            clock_source: ClockSource::Camera,
            latency_ms: ms(1_234_567_890),
            stages: Stages::default(),
            time_since_full_sweep_ms: Some(0.0),
            coverage: 1.0,
            lost_since_last: Report::losses(&losses),
            replayed: false,
        };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["type"], "motion_detection");
        assert_eq!(json["clock_source"], ClockSource::Camera.as_str());
        assert_eq!(json["latency_ms"], 1234.568);
        assert_eq!(json["lost_since_last"], serde_json::json!({"queue_full": 2}));
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
