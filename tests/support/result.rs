// SPDX-License-Identifier: MPL-2.0
//! Buffers as orionpyinfer hands them to a sink.

use std::collections::BTreeMap;

use gstorion::meta::{self, FrameInfo, Inference};
use orion_core::report::ClockSource;
use serde_json::{Value, json};

/// What a worker says about frame `seq`.
pub fn result(kind: &str, seq: u64) -> Value {
    json!({
        "type": kind, "instance_id": "ward-3", "room_id": "7", "timestamp": "2026-11-22T08:00:00.000000001Z",
        "frame_seq": seq,
        "data": {
            "detections": [{"bbox": {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}, "confidence": 0.5, "label": "person"}],
            "count": 1, "metadata": {"model_selected": "320", "anything": [1, 2]},
        },
        "timing": {"preprocess_ms": 1.5, "inference_ms": 42.25, "postprocess_ms": 1.5, "total_ms": 45.25},
        "suggested_roi": {"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5},
    })
}

/// A buffer with a frame's identity and one result a kind.
pub fn inferred(seq: u64, kinds: &[&str]) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice([0_u8; 4]);
    let now = gst::get_timestamp().nseconds();
    let wall = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let frame = FrameInfo {
        seq,
        epoch: 0,
        captured: wall - 100_000_000,
        clock_source: ClockSource::Camera,
        arrived: now - 50_000_000,
        instance_id: "ward-3".into(),
        room_id: "7".into(),
        planned: None,
    };
    let inner = buffer.get_mut().unwrap();
    meta::set_frame(inner, &frame).unwrap();
    for kind in kinds {
        let inference = Inference {
            kind: (*kind).to_owned(),
            result: result(kind, seq).to_string(),
            sent: now - 40_000_000,
            answered: now - 10_000_000,
            lost: BTreeMap::from([("queue_full".to_owned(), 2)]),
        };
        meta::add_inference(inner, &inference).unwrap();
    }
    buffer
}
