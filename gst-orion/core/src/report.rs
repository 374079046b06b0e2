// SPDX-License-Identifier: MPL-2.0
//! What is published about one frame: the worker's result and what the host knows about it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::{Cause, Losses},
    wire::InferenceResult,
};

/// Where the capture time comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stages {
    /// From its arrival at the first Orion element until a worker got it.
    #[schemars(range(min = 0))]
    pub queue_ms: f64,
    /// From then until the worker's answer.
    #[schemars(range(min = 0))]
    pub worker_ms: f64,
    /// From then until it was handed to the MQTT client.
    #[schemars(range(min = 0))]
    pub publish_ms: f64,
}

/// What was seen on one frame, and what became of the frames since the result before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The worker's result as it stands.
    #[serde(flatten)]
    pub result: InferenceResult,
    /// Whose clock `timestamp` is.
    pub clock_source: ClockSource,
    /// Milliseconds from capture to publication; where `clock_source` is `camera`, off by its clock's error, even negative.
    pub latency_ms: f64,
    /// Where the time went, by this host's clock alone.
    pub stages: Stages,
    /// Milliseconds of stream time since the whole frame was looked at last: 0 when it is now; null before the first time.
    #[schemars(range(min = 0))]
    pub time_since_full_sweep_ms: Option<f64>,
    /// The share of the frame's area that was looked at, 0..1.
    #[schemars(range(min = 0, max = 1))]
    pub coverage: f64,
    /// Frames lost since the result before of this kind, by cause; empty = none.
    #[schemars(schema_with = "losses")]
    pub lost_since_last: BTreeMap<String, u64>,
    /// True when it had to wait for a connection or is sent again after one was lost; left out otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// The keys are texts in [`Report`], but none other than causes are ever put in, and no zeros.
fn losses(generator: &mut SchemaGenerator) -> Schema {
    let cause = generator.subschema_for::<Cause>();
    json_schema!({
        "type": "object",
        "propertyNames": cause,
        "additionalProperties": {"type": "integer", "format": "uint64", "minimum": 1},
    })
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
