// SPDX-License-Identifier: MPL-2.0
//! The JSON that DL Streamer's `gvametaconvert format=json` makes of one frame.
//!
//! Fields, types and when each is there: `gvametaconvert/jsonconverter.cpp` of dlstreamer/dlstreamer (2022) and of
//! open-edge-platform/dlstreamer (2026). Where Orion differs, it does so within what a consumer of those must bear:
//!
//! * A frame without detections is published, with an empty `objects`. DL Streamer leaves such frames out, or, with
//!   `add-empty-results=true`, publishes them without `objects`. Orion accounts for every frame.
//! * `tags`, which DL Streamer copies from a property, say whose frame it is; otherwise nothing would.
//! * `region_id`, `parent_id` (numbers of metas within a buffer), `id` (of `gvatrack`), `tensors`, `rtp` and
//!   `system_timestamp` are never there: all of them are optional or newer than the rest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    contract, timestamp,
    wire::{BBox, Detection, InferenceResult},
};

/// Where the messages go by default.
pub const DEFAULT_TOPIC: &str = "dlstreamer/{instance_id}/{type}";

/// What the host knows about the frame of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// Width of the frame, pixels.
    pub width: Option<u32>,
    /// Height of the frame, pixels.
    pub height: Option<u32>,
    /// Stream time of the frame, ns.
    pub timestamp: Option<u64>,
    /// Where the frames come from, for example a URI without credentials; empty = not known.
    pub source: &'a str,
}

/// One frame: the whole message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Frame {
    /// What was seen, highest confidence first; empty when nothing was.
    pub objects: Vec<Object>,
    /// Size of the frame; left out when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Where the frames come from; left out when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub source: Option<String>,
    /// Whose frame it is.
    pub tags: Tags,
    /// Stream time of the frame, ns; left out when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
}

/// Size of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    /// Pixels.
    #[schemars(range(min = 1))]
    pub height: u32,
    /// Pixels.
    #[schemars(range(min = 1))]
    pub width: u32,
}

/// Free for the user in DL Streamer; here, what tells frames apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tags {
    /// Moment of capture, RFC 3339 with nanoseconds, UTC.
    #[schemars(extend("format" = "date-time"), regex(pattern = timestamp::PATTERN))]
    pub capture_time: String,
    /// Sequence number of the frame; a gap is a frame without a result.
    pub frame_seq: u64,
    /// The camera.
    #[schemars(regex(pattern = contract::INSTANCE_ID))]
    pub instance_id: String,
    /// The room or place; may be empty.
    pub room_id: String,
    /// `type` of the result, for example `person_detection`.
    #[serde(rename = "type")]
    #[schemars(regex(pattern = contract::RESULT_TYPE))]
    pub kind: String,
}

/// One thing seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Object {
    /// How sure and where, in fractions; left out when the size of the frame is not known, since DL Streamer has no
    /// detection without such a box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<DetectionData>,
    /// Height, pixels.
    pub h: u32,
    /// The label; left out when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub roi_type: Option<String>,
    /// Width, pixels.
    pub w: u32,
    /// Left edge, pixels.
    pub x: u32,
    /// Top edge, pixels.
    pub y: u32,
}

/// `detection`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectionData {
    /// Where.
    pub bounding_box: BoundingBox,
    /// 0..1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// What, as in `roi_type`; left out when it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub label: Option<String>,
    /// The label's number in the model; left out when the worker does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_id: Option<u32>,
}

/// A box in fractions of the frame, 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoundingBox {
    /// Right edge.
    #[schemars(range(min = 0, max = 1))]
    pub x_max: f64,
    /// Left edge.
    #[schemars(range(min = 0, max = 1))]
    pub x_min: f64,
    /// Bottom edge.
    #[schemars(range(min = 0, max = 1))]
    pub y_max: f64,
    /// Top edge.
    #[schemars(range(min = 0, max = 1))]
    pub y_min: f64,
}

/// The message of one result.
pub fn frame(result: &InferenceResult, view: &FrameView<'_>) -> Frame {
    let size = view.width.zip(view.height).filter(|(width, height)| *width > 0 && *height > 0);
    let resolution = size.map(|(width, height)| Resolution { height, width });
    Frame {
        objects: result.data.detections.iter().map(|detection| object(detection, resolution)).collect(),
        resolution,
        source: text(view.source),
        tags: Tags {
            capture_time: result.timestamp.clone(),
            frame_seq: result.frame_seq,
            instance_id: result.instance_id.clone(),
            room_id: result.room_id.clone(),
            kind: result.kind.clone(),
        },
        timestamp: view.timestamp,
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn object(detection: &Detection, resolution: Option<Resolution>) -> Object {
    let BBox { x, y, width, height } = detection.bbox;
    let (x_limit, y_limit) = resolution.map_or((u32::MAX, u32::MAX), |size| (size.width, size.height));
    let (x, w) = pixels(x, width, x_limit);
    let (y, h) = pixels(y, height, y_limit);
    let data = resolution.map(|size| DetectionData {
        bounding_box: bounding_box(&detection.bbox, size),
        confidence: detection.confidence.clamp(0.0, 1.0),
        label: text(&detection.label),
        label_id: detection.label_id,
    });
    Object { detection: data, h, roi_type: text(&detection.label), w, x, y }
}

/// Start and length rounded each for itself, as DL Streamer's are, but never past the edge. Casts from f64 saturate.
fn pixels(start: f64, length: f64, limit: u32) -> (u32, u32) {
    let start = (start.round() as u32).min(limit);
    (start, (length.round() as u32).min(limit - start))
}

fn bounding_box(bbox: &BBox, size: Resolution) -> BoundingBox {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let share = |pixels: f64, side: f64| (pixels / side).clamp(0.0, 1.0);
    BoundingBox {
        x_max: share(bbox.x + bbox.width, width),
        x_min: share(bbox.x, width),
        y_max: share(bbox.y + bbox.height, height),
        y_min: share(bbox.y, height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn result(detections: Value) -> InferenceResult {
        let count = detections.as_array().unwrap().len();
        let value = json!({
            "type": "person_detection", "instance_id": "ward-3", "room_id": "7", "timestamp": "2026-11-22T08:00:00.000000001Z",
            "frame_seq": 41, "data": {"detections": detections, "count": count}, "timing": {"total_ms": 9.0},
        });
        serde_json::from_value(value).unwrap()
    }

    fn person() -> Value {
        json!([{"bbox": {"x": 503.25, "y": 79.5, "width": 72.8, "height": 36.0}, "confidence": 0.75, "label": "person", "label_id": 0}])
    }

    #[test]
    fn a_detection_reads_as_that_of_gvametaconvert() {
        let view =
            FrameView { width: Some(640), height: Some(360), timestamp: Some(1_500_000_000), source: "rtsp://cam" };
        let message = frame(&result(person()), &view);
        let value = serde_json::to_value(&message).unwrap();
        let expected = json!({
            "objects": [{
                "detection": {
                    "bounding_box": {"x_max": 576.05 / 640.0, "x_min": 503.25 / 640.0, "y_max": 115.5 / 360.0, "y_min": 79.5 / 360.0},
                    "confidence": 0.75, "label": "person", "label_id": 0,
                },
                "h": 36, "roi_type": "person", "w": 73, "x": 503, "y": 80,
            }],
            "resolution": {"height": 360, "width": 640},
            "source": "rtsp://cam",
            "tags": {"capture_time": "2026-11-22T08:00:00.000000001Z", "frame_seq": 41, "instance_id": "ward-3", "room_id": "7", "type": "person_detection"},
            "timestamp": 1_500_000_000,
        });
        assert_eq!(value, expected);
        assert_eq!(serde_json::from_value::<Frame>(value).unwrap(), message);
    }

    #[test]
    fn an_empty_frame_is_a_message_too() {
        let value = serde_json::to_value(frame(&result(json!([])), &FrameView::default())).unwrap();
        assert_eq!(value["objects"], json!([]));
        assert_eq!(value["tags"]["frame_seq"], 41);
        assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["objects", "tags"]);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut result = result(person());
        let (no_height, no_size) = (FrameView { width: Some(9), ..FrameView::default() }, Some(0));
        for view in [no_height, FrameView { width: no_size, height: Some(9), ..FrameView::default() }] {
            let value = serde_json::to_value(frame(&result, &view)).unwrap();
            assert_eq!(value["objects"], json!([{"h": 36, "roi_type": "person", "w": 73, "x": 503, "y": 80}]));
        }
        result.data.detections[0].label.clear();
        result.data.detections[0].label_id = None;
        let view = FrameView { width: Some(640), height: Some(360), ..FrameView::default() };
        let object = &serde_json::to_value(frame(&result, &view)).unwrap()["objects"][0];
        assert_eq!(object.get("roi_type"), None);
        let keys = object["detection"].as_object().unwrap().keys().collect::<Vec<_>>();
        assert_eq!(keys, ["bounding_box", "confidence"]);
    }

    #[test]
    fn no_box_passes_the_edge() {
        let mut result = result(person());
        result.data.detections[0].bbox = BBox { x: 9.6, y: -3.0, width: 5.0, height: 1e300 };
        result.data.detections[0].confidence = 7.0;
        let view = FrameView { width: Some(10), height: Some(20), ..FrameView::default() };
        let object = &frame(&result, &view).objects[0];
        assert_eq!((object.x, object.y, object.w, object.h), (10, 0, 0, 20));
        let DetectionData { bounding_box, confidence, .. } = *object.detection.as_ref().unwrap();
        assert_eq!(confidence, 1.0, "nor the range of a probability");
        assert_eq!(bounding_box, BoundingBox { x_max: 1.0, x_min: 0.96, y_max: 1.0, y_min: 0.0 });
    }
}
