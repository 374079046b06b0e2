// SPDX-License-Identifier: MPL-2.0
//! What is told about the state and about what has changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Desk;
use crate::health;

impl Desk {
    /// What is in force now of that which a command has changed.
    pub(super) fn answer(&self, name: &str, changes: &BTreeMap<String, Value>) -> Value {
        let config = &self.config;
        match name {
            "set_inference_rate" => json!({"rate_hz": config.models.person_detector.max_inference_rate_hz}),
            "set_model_size" => json!({"size": config.models.person_detector.size}),
            "set_attention_rois" | "clear_attention_rois" => json!({"rois": config.rois.attention}),
            "set_auto_focus_strategy" | "enable_auto_focus" | "disable_auto_focus" => json!(config.rois.auto_focus),
            "restart_worker" => json!({}),
            _ => json!({"changes": changes.keys().collect::<Vec<_>>()}),
        }
    }

    /// The rate that is to be expected, and who limits it.
    pub(super) fn expected_rate(&self) -> Map<String, Value> {
        let (asked, set) = (self.config.models.person_detector.max_inference_rate_hz, self.parts.rate());
        let camera = self.parts.camera_fps();
        let (mut expected, mut by) = (set.unwrap_or(asked), Value::Null);
        if expected < asked {
            by = "stream.fps".into();
        }
        // What is measured is never quite what it is.
        if let Some(fps) = camera.filter(|fps| *fps < 0.98 * expected) {
            (expected, by) = (fps, "camera".into());
        }
        let fields = json!({"expected_rate_hz": expected, "camera_fps": camera, "limited_by": by});
        fields.as_object().cloned().unwrap_or_default()
    }

    pub(super) fn everything(&self) -> Value {
        let snapshot = self.status.snapshot();
        let verdict = health::judge(&snapshot);
        let pending = self.waiting.iter().map(|waiting| {
            json!({
                "command": waiting.origin.name(),
                "keys": waiting.changes.keys().collect::<Vec<_>>(),
                "since_s": waiting.since.elapsed().as_secs_f64(),
            })
        });
        json!({
            "health": verdict,
            "state": snapshot,
            "paused": self.paused,
            "inference_rate_hz": self.parts.rate(),
            "config": self.wanted.masked_json(),
            "pending": pending.collect::<Vec<_>>(),
        })
    }
}

/// Of `orionroi`'s `stats` what is about auto focus.
pub(super) fn focus_stats(stats: &gst::StructureRef) -> Value {
    let fields = [
        "history-size",
        "hits",
        "misses",
        "late",
        "python-suggested",
        "auto-history",
        "external",
        "full-frame",
        "sweeps",
        "model-320",
        "model-640",
        "strategy-simple",
        "strategy-smoothing",
        "strategy-velocity",
    ];
    let counts =
        fields.iter().filter_map(|field| Some((field.replace('-', "_"), stats.get::<u64>(*field).ok()?.into())));
    Value::Object(counts.collect())
}
