// SPDX-License-Identifier: MPL-2.0
//! What a worker sends.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{PROTOCOL, WireError};
use crate::{contract, gap::GAP_TYPE, geometry::NormRect, timestamp, topic::RAW_TYPE};

/// The longest label, characters; what is longer is cut. It becomes part of topics and is kept for each object.
pub const MAX_LABEL: usize = 256;

/// Any message from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerMessage {
    /// Models are loaded and warm; frames may come.
    Ready(Ready),
    /// What was seen on one frame.
    Result(Box<InferenceResult>),
    /// The answer to a command.
    Ack(Ack),
    /// A frame or message that could not be worked on.
    Fault(WorkerFault),
}

/// `ready`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Protocol version, [`PROTOCOL`].
    pub protocol: u32,
    /// The kind of worker, for example `person_detector`.
    pub worker: String,
    /// The worker's own version.
    pub version: String,
    /// Its process id as it sees it.
    pub pid: u32,
    /// What was loaded.
    #[serde(default)]
    pub models: Models,
    /// Time spent on loading and warming up, ms.
    #[serde(default)]
    pub load_ms: f64,
    /// Whether it takes pictures from the memory that the host offered to share.
    #[serde(default)]
    pub shm: bool,
    /// Threads with which it computes; 0 = it does not say.
    #[serde(default)]
    pub threads: u32,
    /// How many frames of different cameras it runs at once, if they wait for it. Absent = 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch: Option<u32>,
    /// How long it waits for so many, ms. Absent = not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_wait_ms: Option<f64>,
}

/// The longest time that a worker waits for a batch to become full, ms.
pub const MAX_BATCH_WAIT_MS: f64 = 1000.0;

/// The models of a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// orion, n, s, m, l or x; none for a worker without models.
    #[serde(default)]
    pub size: Option<String>,
    /// File of the large model.
    #[serde(default)]
    pub file_640: Option<String>,
    /// File of the small model.
    #[serde(default)]
    pub file_320: Option<String>,
    /// File → SHA-256, hexadecimal.
    #[serde(default)]
    pub sha256: Option<BTreeMap<String, String>>,
}

/// A result, for example of type `person_detection`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InferenceResult {
    /// Kind of result, for example `person_detection`; the last part of its topic.
    #[serde(rename = "type")]
    #[schemars(regex(pattern = contract::RESULT_TYPE))]
    pub kind: String,
    /// Name of the pipeline.
    #[schemars(regex(pattern = contract::INSTANCE_ID))]
    pub instance_id: String,
    /// Name of the room; empty when none was named.
    pub room_id: String,
    /// Moment of capture: RFC 3339 with nanoseconds, UTC. Whose clock that is, `clock_source` says.
    #[schemars(extend("format" = "date-time"), regex(pattern = timestamp::PATTERN))]
    pub timestamp: String,
    /// Sequence number of the frame; rises with each frame, and begins anew with the pipeline.
    pub frame_seq: u64,
    /// What was seen.
    pub data: ResultData,
    /// How long the worker took.
    pub timing: Timing,
    /// Where to look next; null when there is nothing to look at.
    #[serde(default)]
    pub suggested_roi: Option<NormRect>,
}

/// What was seen on a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultData {
    /// One for each thing seen, highest confidence first.
    pub detections: Vec<Detection>,
    /// How many detections.
    pub count: u64,
    /// How it was found: `model_selected`, `roi_processing` and whatever else the worker says.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// One thing seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detection {
    /// Where it is.
    pub bbox: BBox,
    /// How sure the model is, 0..1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// What it is, for example `person`.
    pub label: String,
    /// The label's number in the model, where that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub label_id: Option<u32>,
}

/// A box in pixels of the whole frame, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BBox {
    /// Left edge, pixels.
    pub x: f64,
    /// Top edge, pixels.
    pub y: f64,
    /// Width, pixels.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub width: f64,
    /// Height, pixels.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub height: f64,
}

/// Milliseconds spent in the worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Decoding, cropping, scaling.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub preprocess_ms: f64,
    /// The model.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub inference_ms: f64,
    /// Boxes and non-maximum suppression.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub postprocess_ms: f64,
    /// All of it.
    #[schemars(range(min = 0))]
    pub total_ms: f64,
    /// How many frames shared the model's run, which took `inference_ms`; absent: this one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1))]
    pub batch: Option<u32>,
}

/// `ack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// As in the command.
    pub id: String,
    /// As in the command.
    pub command: String,
    /// Whether it is in force.
    pub status: AckStatus,
    /// What was asked for.
    #[serde(default)]
    pub data: Option<Value>,
    /// Why it was refused.
    #[serde(default)]
    pub error: Option<String>,
}

/// Outcome of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckStatus {
    /// In force.
    Success,
    /// Refused; nothing changed.
    Error,
}

/// `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFault {
    /// The frame it is about, if any.
    #[serde(default)]
    pub frame_seq: Option<u64>,
    /// For programs, for example `bad_frame`.
    pub code: String,
    /// For people.
    pub message: String,
}

impl WorkerMessage {
    /// Reads and checks one message body.
    ///
    /// # Errors
    /// [`WireError`] names what is missing or wrong.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let kind = super::tag(body)?.ok_or(WireError::NoType)?;
        match kind.as_str() {
            "ready" => {
                let mut ready: Ready = super::fields(&kind, body)?;
                clean(&mut ready.worker);
                clean(&mut ready.version);
                let models = &mut ready.models;
                for text in [&mut models.size, &mut models.file_640, &mut models.file_320].into_iter().flatten() {
                    clean(text);
                }
                if ready.max_batch == Some(0) {
                    return Err(refused(&kind, "max_batch", "must be at least 1, got 0"));
                }
                if let Some(wait) = ready.batch_wait_ms.filter(|wait| !(0.0..=MAX_BATCH_WAIT_MS).contains(wait)) {
                    let reason = format!("must be from 0 to {MAX_BATCH_WAIT_MS}, got {wait}");
                    return Err(refused(&kind, "batch_wait_ms", reason));
                }
                if ready.protocol == PROTOCOL {
                    Ok(Self::Ready(ready))
                } else {
                    Err(refused(&kind, "protocol", format!("{} is not spoken here, only {PROTOCOL}", ready.protocol)))
                }
            }
            "ack" => {
                let mut ack: Ack = super::fields(&kind, body)?;
                clean(&mut ack.command);
                if let Some(error) = &mut ack.error {
                    clean(error);
                }
                Ok(Self::Ack(ack))
            }
            "error" => {
                let mut fault: WorkerFault = super::fields(&kind, body)?;
                clean(&mut fault.code);
                clean(&mut fault.message);
                Ok(Self::Fault(fault))
            }
            "frame" | "command" | GAP_TYPE | RAW_TYPE => Err(WireError::UnknownType(kind)),
            _ if is_result_type(&kind) => {
                let mut result: InferenceResult = super::fields(&kind, body)?;
                result.check()?;
                for Detection { label, .. } in &mut result.data.detections {
                    clean(label);
                    shorten(label);
                }
                Ok(Self::Result(Box::new(result)))
            }
            _ => Err(WireError::UnknownType(kind)),
        }
    }
}

/// Texts that end in properties and metas: C code would end them at a NUL.
fn clean(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

fn shorten(label: &mut String) {
    if let Some((end, _)) = label.char_indices().nth(MAX_LABEL) {
        label.truncate(end);
    }
}

fn is_result_type(kind: &str) -> bool {
    !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn refused(kind: &str, path: impl Into<String>, reason: impl Into<String>) -> WireError {
    WireError::Field { kind: kind.to_owned(), path: path.into(), reason: reason.into() }
}

impl InferenceResult {
    fn check(&self) -> Result<(), WireError> {
        for (i, detection) in self.data.detections.iter().enumerate() {
            let BBox { x, y, width, height } = detection.bbox;
            for (field, value) in [("x", x), ("y", y), ("width", width), ("height", height)] {
                let side = field == "width" || field == "height";
                if !value.is_finite() || (side && value <= 0.0) {
                    let rule = if side { "must be a positive number" } else { "must be a finite number" };
                    let path = format!("data.detections[{i}].bbox.{field}");
                    return Err(refused(&self.kind, path, format!("{rule}, got {value}")));
                }
            }
            if !(0.0..=1.0).contains(&detection.confidence) {
                let path = format!("data.detections[{i}].confidence");
                return Err(refused(
                    &self.kind,
                    path,
                    format!("must be between 0 and 1, got {}", detection.confidence),
                ));
            }
        }
        if self.data.count != self.data.detections.len() as u64 {
            let reason = format!("is {} for {} detections", self.data.count, self.data.detections.len());
            return Err(refused(&self.kind, "data.count", reason));
        }
        let timing = &self.timing;
        for (field, value) in [
            ("preprocess_ms", timing.preprocess_ms),
            ("inference_ms", timing.inference_ms),
            ("postprocess_ms", timing.postprocess_ms),
            ("total_ms", timing.total_ms),
        ] {
            if !value.is_finite() || value < 0.0 {
                let reason = format!("must be a time of at least 0, got {value}");
                return Err(refused(&self.kind, format!("timing.{field}"), reason));
            }
        }
        if timing.batch == Some(0) {
            return Err(refused(&self.kind, "timing.batch", "must be at least 1, got 0"));
        }
        Ok(())
    }

    /// Label of the most confident detection; empty without one.
    pub fn best_label(&self) -> &str {
        let best = self.data.detections.iter().rev().max_by(|a, b| a.confidence.total_cmp(&b.confidence));
        best.map_or("", |detection| &detection.label)
    }

    /// The place of the first box if there are boxes and every one lies outside the frame, `width` by `height` pixels: whoever
    /// drops them all would say that nothing was found. A box that touches an edge lies inside.
    pub fn all_outside(&self, width: u32, height: u32) -> Option<BBox> {
        let (width, height) = (f64::from(width), f64::from(height));
        let first = self.data.detections.first()?.bbox;
        self.data.detections.iter().all(|detection| detection.bbox.is_outside(width, height)).then_some(first)
    }

    /// Cuts the boxes at the frame's edges, `width` and `height` in pixels; what lies outside goes.
    pub fn clip(&mut self, width: u32, height: u32) {
        self.data.detections.retain_mut(|detection| detection.bbox.clip(f64::from(width), f64::from(height)));
        self.data.count = self.data.detections.len() as u64;
    }
}

impl BBox {
    fn is_outside(&self, width: f64, height: f64) -> bool {
        self.x > width || self.y > height || self.x + self.width < 0.0 || self.y + self.height < 0.0
    }

    /// Cuts it at the edges; whether anything is left.
    fn clip(&mut self, width: f64, height: f64) -> bool {
        if self.x >= 0.0 && self.y >= 0.0 && self.x + self.width <= width && self.y + self.height <= height {
            return true;
        }
        let (right, bottom) = ((self.x + self.width).min(width), (self.y + self.height).min(height));
        let (x, y) = (self.x.max(0.0), self.y.max(0.0));
        *self = Self { x, y, width: right - x, height: bottom - y };
        self.width > 0.0 && self.height > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(value: &Value) -> Result<WorkerMessage, WireError> {
        WorkerMessage::decode(&rmp_serde::to_vec_named(value).unwrap())
    }

    fn result() -> Value {
        json!({
            "type": "person_detection", "instance_id": "a", "room_id": "", "timestamp": "t", "frame_seq": 3,
            "data": {"detections": [{"bbox": {"x": 1, "y": 2.5, "width": 3, "height": 4}, "confidence": 0.5, "label": "person"}],
                     "count": 1, "metadata": {"model_selected": "640"}},
            "timing": {"total_ms": 9.0}, "suggested_roi": null, "added_later": true,
        })
    }

    #[test]
    fn reads_a_result_and_ignores_what_it_does_not_know() {
        let WorkerMessage::Result(result) = decode(&result()).unwrap() else { panic!("not a result") };
        assert_eq!(result.data.detections[0].bbox.y, 2.5);
        assert_eq!(result.best_label(), "person");
        assert_eq!(result.data.metadata["model_selected"], "640");
    }

    #[test]
    fn what_is_nested_deeper_than_readers_of_json_take_is_refused() {
        let nested = |levels: usize| {
            let mut value = result();
            value["data"]["metadata"]["deep"] = (0..levels).fold(json!(1), |inner, _| json!([inner]));
            decode(&value)
        };
        let WorkerMessage::Result(result) = nested(50).unwrap() else { panic!("not a result") };
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(serde_json::from_str::<InferenceResult>(&text).unwrap(), *result);
        for levels in [70, 120, 500] {
            let error = nested(levels).unwrap_err().to_string();
            assert!(error.contains("depth limit exceeded"), "{error}");
        }
    }

    #[test]
    fn a_batch_is_of_one_frame_at_least_and_waits_for_a_second_at_most() {
        let ready = |more: Value| {
            let mut ready = json!({"type": "ready", "protocol": 1, "worker": "w", "version": "1", "pid": 1});
            ready.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            decode(&ready).map_err(|error| error.to_string())
        };
        let Ok(WorkerMessage::Ready(plain)) = ready(json!({})) else { panic!("refused") };
        assert_eq!((plain.max_batch, plain.batch_wait_ms), (None, None));
        let Ok(WorkerMessage::Ready(able)) = ready(json!({"max_batch": 4, "batch_wait_ms": 2.5})) else {
            panic!("refused")
        };
        assert_eq!((able.max_batch, able.batch_wait_ms), (Some(4), Some(2.5)));
        for (more, expected) in [
            (json!({"max_batch": 0}), "max_batch: must be at least 1"),
            (json!({"max_batch": -1}), "max_batch"),
            (json!({"batch_wait_ms": 1001}), "batch_wait_ms: must be from 0 to 1000, got 1001"),
            (json!({"batch_wait_ms": -1}), "batch_wait_ms: must be from 0 to 1000"),
        ] {
            let error = ready(more).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_what_is_wrong_and_where() {
        let spoilt = |pointer: &str, value: Value| {
            let mut message = result();
            *message.pointer_mut(pointer).unwrap() = value;
            decode(&message).unwrap_err().to_string()
        };
        for (pointer, value, expected) in [
            (
                "/data/detections/0/confidence",
                json!(1.5),
                "data.detections[0].confidence: must be between 0 and 1, got 1.5",
            ),
            ("/data/detections/0/bbox/width", json!(0), "data.detections[0].bbox.width: must be a positive number"),
            ("/data/detections/0/bbox/x", json!("left"), "data.detections[0].bbox.x"),
            ("/data/count", json!(2), "data.count: is 2 for 1 detections"),
            ("/timing", json!({"total_ms": 1, "batch": 0}), "timing.batch: must be at least 1, got 0"),
            ("/frame_seq", json!(-1), "frame_seq"),
            (
                "/suggested_roi",
                json!({"x": 0, "y": 0, "width": 2, "height": 1}),
                "suggested_roi: x + width must be at most 1",
            ),
            ("/type", json!("Persons!"), "unknown message type \"Persons!\""),
            ("/type", json!("frame"), "unknown message type \"frame\""),
            ("/type", json!("gap"), "unknown message type \"gap\""),
            ("/type", json!("buffer"), "unknown message type \"buffer\""),
        ] {
            let text = spoilt(pointer, value);
            assert!(text.contains(expected), "{pointer}: {text}");
        }
        let mut message = result();
        message.as_object_mut().unwrap().remove("timing");
        assert!(decode(&message).unwrap_err().to_string().contains("missing field `timing`"));
        message.as_object_mut().unwrap().remove("type");
        assert!(matches!(decode(&message), Err(WireError::NoType)));
        assert!(matches!(decode(&json!([1, 2])), Err(WireError::NotAMessage(_))));
        assert!(matches!(WorkerMessage::decode(&[]), Err(WireError::NotAMessage(_))));
    }

    #[test]
    fn boxes_are_cut_at_the_edges_of_the_frame() {
        let mut message = result();
        let detection = |x: f64, width: f64| json!({"bbox": {"x": x, "y": 1.0, "width": width, "height": 2.0}, "confidence": 0.5, "label": "person"});
        *message.pointer_mut("/data/detections").unwrap() = json!([
            detection(3.0, 4.0),
            detection(-5.0, 7.0),
            detection(8.0, 1e300),
            detection(-9.0, 9.0),
            detection(11.0, 1.0)
        ]);
        *message.pointer_mut("/data/count").unwrap() = json!(5);
        let WorkerMessage::Result(mut result) = decode(&message).unwrap() else { panic!("not a result") };
        result.clip(10, 10);
        let sides = result.data.detections.iter().map(|d| (d.bbox.x, d.bbox.width)).collect::<Vec<_>>();
        assert_eq!(sides, [(3.0, 4.0), (0.0, 2.0), (8.0, 2.0)]);
        assert_eq!(result.data.count, 3);
    }

    #[test]
    fn boxes_that_all_lie_outside_are_not_nobody() {
        let outside = |boxes: &[f64]| {
            let mut message = result();
            let detection = |x: &f64| json!({"bbox": {"x": x, "y": 1.0, "width": 2.0, "height": 2.0}, "confidence": 0.5, "label": "person"});
            *message.pointer_mut("/data/detections").unwrap() = boxes.iter().map(detection).collect();
            *message.pointer_mut("/data/count").unwrap() = json!(boxes.len());
            let WorkerMessage::Result(result) = decode(&message).unwrap() else { panic!("not a result") };
            result.all_outside(10, 10).map(|first| first.x)
        };
        assert_eq!(outside(&[11.0, -3.0]), Some(11.0));
        for known in [&[][..], &[11.0, 3.0], &[10.0], &[-2.0]] {
            assert_eq!(outside(known), None, "{known:?}");
        }
    }

    #[test]
    fn texts_hold_no_nul() {
        let mut message = result();
        *message.pointer_mut("/data/detections/0/label").unwrap() = json!("per\0son");
        let WorkerMessage::Result(result) = decode(&message).unwrap() else { panic!("not a result") };
        assert_eq!(result.data.detections[0].label, "per\u{fffd}son");
        let fault = json!({"type": "error", "code": "a\0", "message": "\0b"});
        let WorkerMessage::Fault(fault) = decode(&fault).unwrap() else { panic!("not an error") };
        assert_eq!((fault.code.as_str(), fault.message.as_str()), ("a\u{fffd}", "\u{fffd}b"));
        let ack = json!({"type": "ack", "id": "1", "command": "c\0", "status": "error", "error": "\0e"});
        let WorkerMessage::Ack(ack) = decode(&ack).unwrap() else { panic!("not an ack") };
        assert_eq!((ack.command.as_str(), ack.error.as_deref()), ("c\u{fffd}", Some("\u{fffd}e")));
        let models = json!({"size": "n\0", "file_640": "\0"});
        let ready = json!({"type": "ready", "protocol": 1, "worker": "w", "version": "1", "pid": 1, "models": models});
        let WorkerMessage::Ready(ready) = decode(&ready).unwrap() else { panic!("not ready") };
        assert_eq!(
            (ready.models.size.as_deref(), ready.models.file_640.as_deref()),
            (Some("n\u{fffd}"), Some("\u{fffd}"))
        );
    }

    #[test]
    fn a_label_is_cut_between_two_characters() {
        for (letter, length) in [("a", 70_000), ("\u{1F600}", 257), ("\0", 300), ("ü", 256), ("", 0)] {
            let mut message = result();
            *message.pointer_mut("/data/detections/0/label").unwrap() = letter.repeat(length).into();
            let WorkerMessage::Result(result) = decode(&message).unwrap() else { panic!("not a result") };
            let kept = letter.replace('\0', "\u{fffd}").repeat(length.min(MAX_LABEL));
            assert!(result.data.detections[0].label == kept, "{length} times {letter:?}");
            let topic = crate::topic::TopicTemplate::parse("{label}/{label}").unwrap();
            let values = crate::topic::TopicValues { label: result.best_label(), ..Default::default() };
            assert!(topic.render(&values).is_ok(), "{length} times {letter:?}");
        }
    }

    #[test]
    fn refuses_another_protocol_version() {
        let ready = json!({"type": "ready", "protocol": 2, "worker": "w", "version": "1", "pid": 1});
        assert!(decode(&ready).unwrap_err().to_string().contains("2 is not spoken here, only 1"));
    }
}
