// SPDX-License-Identifier: MPL-2.0
//! Topic and payload of the messages of one buffer.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use orion_core::{
    gap::GAP_TYPE,
    planner::Plan,
    report::{ClockSource, Stages, ms},
    topic::{RAW_TYPE, TopicError, TopicTemplate, TopicValues},
    wire::InferenceResult,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::meta::{FrameInfo, Inference};

/// The largest payload, bytes: MQTT's largest packet (268,435,455) without the longest topic, its length and the packet id.
pub(super) const MAX_PAYLOAD: usize = 268_435_455 - 65_535 - 4;

/// Why nothing can be published.
#[derive(Debug, Error)]
pub(super) enum PayloadError {
    #[error("result of type {kind:?} is not one of the worker protocol: {source}")]
    Result { kind: String, source: serde_json::Error },
    #[error("message cannot be written as JSON: {0}")]
    Encoding(serde_json::Error),
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("buffer cannot be read: {0}")]
    Unreadable(String),
    #[error("payload of {0} bytes, MQTT allows at most {MAX_PAYLOAD}")]
    TooLong(usize),
}

/// Media type of JSON (RFC 8259).
pub(super) const JSON: &str = "application/json";

/// The present on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// ns since 1970.
    pub(super) wall: u64,
    /// ns on the clock of [`Inference::answered`].
    pub(super) running: u64,
}

impl Now {
    /// How long ago that was on the running clock, ns.
    pub(super) fn age(self, then: i64) -> u64 {
        (i128::from(self.running) - i128::from(then)).clamp(0, u64::MAX.into()) as u64
    }

    /// A time on the running clock by the wall clock, which goes on over a restart.
    pub(super) fn wall_of(self, then: i64) -> u64 {
        self.wall.saturating_sub(self.age(then))
    }

    /// The reverse; what is in the future by a clock that was set back is now.
    pub(super) fn running_of(self, then: u64) -> i64 {
        let age = self.wall.saturating_sub(then);
        (i128::from(self.running) - i128::from(age)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// How messages are to be published.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) topic: Arc<TopicTemplate>,
    /// 0..2.
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// A message before it goes out.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) topic: String,
    pub(super) body: Body,
    /// 0..2.
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Media type of the payload; none = unknown.
    pub(super) content_type: Option<String>,
    /// What a gap record would say about it; none = nothing is said.
    pub(super) origin: Option<Origin>,
    /// What it is about, where a topic tells of several things: a newer message takes its place only with the same key.
    pub(super) key: Option<String>,
}

/// What a message takes in memory beside its texts, bytes: itself, its entries in the outbox and in the index of frames, its
/// place in the stream, and the allocator's share of some ten pieces (measured for a report: 800).
pub(super) const OVERHEAD: usize = 1024;

/// What `lost_since_last` takes unless it is empty, bytes: a node of the map, and a few names.
const LOSSES: usize = 512;

impl Draft {
    /// What it takes in memory, bytes, as the bound of the buffer counts.
    pub(super) fn size(&self) -> usize {
        let origin = self.origin.as_ref().map_or(0, Origin::len);
        let content_type = self.content_type.as_ref().map_or(0, String::len);
        let losses = match &self.body {
            Body::Report(timed) if !timed.host.lost_since_last.is_empty() => LOSSES,
            _ => 0,
        };
        OVERHEAD + self.body.len() + self.topic.len() + content_type + origin + losses
    }
}

/// Which result a message carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Where it would be said that this one is missing.
    pub(super) gap_topic: String,
    pub(super) instance_id: String,
    pub(super) room_id: String,
    /// The result's `type`.
    pub(super) kind: String,
    pub(super) seq: u64,
}

impl Origin {
    fn len(&self) -> usize {
        self.gap_topic.len() + self.instance_id.len() + self.room_id.len() + self.kind.len()
    }
}

/// What a message says.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Bytes as they are.
    Raw(Bytes),
    /// A report whose latency is known only when it goes out.
    Report(Box<Timed>),
}

/// A [`Report`](orion_core::report::Report) in two parts, since the worker's is much smaller as a text, and the times that its
/// latency is counted from.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    /// The worker's result, a JSON object.
    pub(super) result: Box<str>,
    pub(super) host: Host,
    /// ns since 1970.
    pub(super) captured: u64,
    /// ns on the clock of [`Now::running`]; negative when that began later.
    pub(super) answered: i64,
}

/// What the host adds to a result: the fields of a [`Report`](orion_core::report::Report) behind the first, by their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) clock_source: ClockSource,
    pub(super) latency_ms: f64,
    pub(super) stages: Stages,
    pub(super) time_since_full_sweep_ms: Option<f64>,
    pub(super) coverage: f64,
    pub(super) lost_since_last: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) replayed: bool,
}

impl Body {
    /// Bytes of the payload; of a report, without what is added when it goes out.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.len(),
            Self::Report(timed) => timed.result.len(),
        }
    }

    /// The payload of a message that goes out now; `replayed`: not when it could have first.
    ///
    /// # Errors
    /// When a report cannot be written as JSON.
    pub(super) fn bytes(&mut self, now: Now, replayed: bool) -> Result<Bytes, serde_json::Error> {
        match self {
            Self::Raw(bytes) => Ok(bytes.clone()),
            Self::Report(timed) => {
                timed.host.latency_ms = ms(since(now.wall.into(), timed.captured.into()));
                timed.host.replayed = replayed;
                timed.host.stages.publish_ms = ms(since(now.running.into(), timed.answered.into()));
                let host = serde_json::to_vec(&timed.host)?;
                // Neither of the two objects is ever empty.
                let result = timed.result.strip_suffix('}').unwrap_or(&timed.result);
                let rest = host.strip_prefix(b"{").unwrap_or(&host);
                Ok([result.as_bytes(), b",", rest].concat().into())
            }
        }
    }
}

/// `later` − `earlier`, ns; negative when two clocks disagree.
fn since(later: i128, earlier: i128) -> i64 {
    (later - earlier).clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// Bytes without Orion metas, and what is known about them.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawBuffer<'a> {
    pub(super) instance_id: &'a str,
    pub(super) room_id: &'a str,
    /// Media type.
    pub(super) content_type: Option<&'a str>,
    pub(super) payload: &'a [u8],
}

/// What a worker has said.
///
/// # Errors
/// [`PayloadError::Result`] when it is not of the protocol.
pub(super) fn parse(inference: &Inference) -> Result<InferenceResult, PayloadError> {
    serde_json::from_str(&inference.result)
        .map_err(|source| PayloadError::Result { kind: inference.kind.clone(), source })
}

/// The message of one result. Without a frame's identity there is nothing to add, and the result goes out as it stands.
///
/// # Errors
/// [`PayloadError::Topic`] when its topic is too long, [`PayloadError::Encoding`] when the result cannot be written.
pub(super) fn report(
    delivery: &Delivery,
    inference: &Inference,
    result: InferenceResult,
    frame: Option<&FrameInfo>,
) -> Result<Draft, PayloadError> {
    let values = TopicValues {
        instance_id: &result.instance_id,
        room_id: &result.room_id,
        kind: &inference.kind,
        label: result.best_label(),
    };
    let origin = Origin {
        // What the worker saw is not said of what is missing, and would make a record of each label.
        gap_topic: delivery.topic.render(&TopicValues { kind: GAP_TYPE, label: "", ..values })?,
        instance_id: result.instance_id.clone(),
        room_id: result.room_id.clone(),
        kind: inference.kind.clone(),
        seq: result.frame_seq,
    };
    let topic = delivery.topic.render(&values)?;
    let draft = |body| Draft {
        topic,
        body,
        qos: delivery.qos,
        retain: delivery.retain,
        content_type: Some(JSON.to_owned()),
        origin: Some(origin),
        key: None,
    };
    let Some(frame) = frame else {
        return Ok(draft(Body::Raw(inference.result.clone().into())));
    };
    let stages = Stages {
        queue_ms: ms(since(inference.sent.into(), frame.arrived.into())),
        worker_ms: ms(since(inference.answered.into(), inference.sent.into())),
        publish_ms: 0.0,
    };
    let host = Host {
        clock_source: frame.clock_source,
        latency_ms: 0.0,
        stages,
        // Without a plan the whole frame is looked at.
        time_since_full_sweep_ms: match &frame.planned {
            Some(planned) => planned.since_sweep.map(|since| ms(i64::try_from(since).unwrap_or(i64::MAX))),
            None => Some(0.0),
        },
        coverage: frame.planned.as_ref().map_or(1.0, |planned| Plan::coverage(&planned.roi)),
        lost_since_last: inference.lost.clone(),
        replayed: false,
    };
    let answered = i64::try_from(inference.answered).unwrap_or(i64::MAX);
    let result = serde_json::to_string(&result).map_err(PayloadError::Encoding)?.into_boxed_str();
    let timed = Timed { result, host, captured: frame.captured, answered };
    Ok(draft(Body::Report(Box::new(timed))))
}

/// The message of a buffer without Orion metas.
///
/// # Errors
/// [`PayloadError`] when topic or payload is longer than MQTT allows.
pub(super) fn raw(delivery: &Delivery, buffer: RawBuffer<'_>) -> Result<Draft, PayloadError> {
    let RawBuffer { instance_id, room_id, content_type, payload } = buffer;
    if payload.len() > MAX_PAYLOAD {
        return Err(PayloadError::TooLong(payload.len()));
    }
    Ok(Draft {
        topic: delivery.topic.render(&TopicValues { instance_id, room_id, kind: RAW_TYPE, label: "" })?,
        // A copy: a mapped buffer that waits for the broker would starve the pool it came from.
        body: Body::Raw(Bytes::copy_from_slice(payload)),
        qos: delivery.qos,
        retain: delivery.retain,
        content_type: content_type.map(str::to_owned),
        origin: None,
        key: None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orion_core::report::Report;
    use serde_json::{Value, json};

    use super::*;
    use crate::meta::Planned;

    fn inference() -> Inference {
        let result = json!({
            "type": "person_detection", "instance_id": "ward", "room_id": "7", "timestamp": "t", "frame_seq": 3,
            "data": {"detections": [], "count": 0, "metadata": {"model_selected": "320"}},
            "timing": {"total_ms": 1.0}, "suggested_roi": null,
        });
        Inference {
            kind: "person_detection".into(),
            result: result.to_string(),
            sent: 2_000_000,
            answered: 5_000_000,
            lost: BTreeMap::from([("too_old".to_owned(), 2)]),
        }
    }

    fn frame() -> FrameInfo {
        FrameInfo {
            seq: 3,
            epoch: 0,
            captured: 1_000_000_000,
            clock_source: ClockSource::Camera,
            arrived: 1_500_000,
            instance_id: "ward".into(),
            room_id: "7".into(),
            planned: None,
        }
    }

    fn delivery(template: &str) -> Delivery {
        Delivery { topic: TopicTemplate::parse(template).unwrap().into(), qos: 1, retain: false }
    }

    const TEMPLATE: &str = "{instance_id}/{room_id}/{type}";

    #[test]
    fn a_report_is_dated_when_it_goes_out() {
        let mut draft =
            report(&delivery(TEMPLATE), &inference(), parse(&inference()).unwrap(), Some(&frame())).unwrap();
        assert_eq!(draft.topic, "ward/7/person_detection");
        assert_eq!(draft.content_type.as_deref(), Some("application/json"));
        let origin = draft.origin.unwrap();
        assert_eq!((origin.gap_topic.as_str(), origin.seq), ("ward/7/gap", 3));
        let mut at = |wall, running| -> Value {
            serde_json::from_slice(&draft.body.bytes(Now { wall, running }, wall < 1_000_000_000).unwrap()).unwrap()
        };
        let json = at(1_004_000_000, 5_250_000);
        assert_eq!(json["frame_seq"], 3);
        assert_eq!(json["data"]["metadata"]["model_selected"], "320");
        assert_eq!(json["clock_source"], "camera");
        assert_eq!(json["latency_ms"], 4.0);
        assert_eq!(json["stages"], json!({"queue_ms": 0.5, "worker_ms": 3.0, "publish_ms": 0.25}));
        assert_eq!(json["lost_since_last"], json!({"too_old": 2}));
        assert_eq!(json.get("replayed"), None);
        let later = at(999_000_000, 7_000_000);
        assert_eq!(later["latency_ms"], -1.0, "the camera's clock may be ahead");
        assert_eq!(later["stages"]["publish_ms"], 2.0);
        assert_eq!(later["replayed"], true);
    }

    #[test]
    fn a_report_in_two_parts_reads_as_one() {
        let rich = json!({
            "type": "x", "instance_id": "a", "room_id": "\"}{", "timestamp": "t", "frame_seq": u64::MAX,
            "data": {
                "detections": [{"bbox": {"x": 0.1, "y": 1e-9, "width": 3.5e300, "height": 1.0}, "confidence": 0.3, "label": "}", "label_id": 7}],
                "count": 1, "metadata": {"replayed": false, "deep": {"a": [null, "\u{1F600}\n", {}]}},
            },
            "timing": {"total_ms": 1.0 / 3.0}, "suggested_roi": {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0},
        });
        for (result, lost, planned, late) in
            [(inference().result, BTreeMap::new(), None, false), (rich.to_string(), inference().lost, Some(()), true)]
        {
            let inference = Inference { result, lost: lost.clone(), ..inference() };
            let planned = planned.map(|()| Planned {
                roi: serde_json::from_value(json!({
                    "target_size": 640, "crop_applied": false, "source": "", "attention_rois": [], "merged_roi": null,
                }))
                .unwrap(),
                origin: 0,
                time: 0,
                since_sweep: None,
                follows: false,
            });
            let frame = FrameInfo { planned, ..frame() };
            let parsed = parse(&inference).unwrap();
            let mut draft = report(&delivery(TEMPLATE), &inference, parsed.clone(), Some(&frame)).unwrap();
            let sent = draft.body.bytes(Now { wall: 1_500_000_000, running: 7_000_000 }, late).unwrap();
            let Body::Report(timed) = draft.body else { panic!("{:?}", draft.body) };
            let whole = Report {
                result: parsed,
                clock_source: ClockSource::Camera,
                latency_ms: 500.0,
                stages: Stages { queue_ms: 0.5, worker_ms: 3.0, publish_ms: 2.0 },
                time_since_full_sweep_ms: if frame.planned.is_some() { None } else { Some(0.0) },
                coverage: timed.host.coverage,
                lost_since_last: lost,
                replayed: late,
            };
            assert_eq!(str::from_utf8(&sent).unwrap(), serde_json::to_string(&whole).unwrap());
        }
    }

    #[test]
    fn a_gap_is_not_told_by_label_and_a_size_counts_all_texts() {
        let template = delivery("{label}/{instance_id}/{type}");
        let seen = r#""detections":[{"bbox":{"x":1,"y":1,"width":1,"height":1},"confidence":1,"label":"cat"}]"#;
        let result = inference().result.replace(r#""detections":[]"#, seen);
        let inference = Inference { result, ..inference() };
        let draft = report(&template, &inference, parse(&inference).unwrap(), Some(&frame())).unwrap();
        assert_eq!(draft.topic, "cat/ward/person_detection");
        let origin = draft.origin.clone().unwrap();
        assert_eq!(origin.gap_topic, "_/ward/gap");
        let texts = ["_/ward/gap", "ward", "7", "person_detection", &draft.topic, JSON].map(str::len);
        assert_eq!(draft.size(), OVERHEAD + LOSSES + draft.body.len() + texts.iter().sum::<usize>());
    }

    #[test]
    fn what_has_no_frame_goes_out_as_it_stands() {
        let inference = inference();
        let now = Now { wall: 0, running: 0 };
        let mut draft = report(&delivery(TEMPLATE), &inference, parse(&inference).unwrap(), None).unwrap();
        assert_eq!(draft.body.bytes(now, true).unwrap(), inference.result.as_bytes());
        let buffer = RawBuffer { instance_id: "sink/0", room_id: "", content_type: Some("a/b"), payload: b"abc" };
        let mut draft = raw(&delivery(TEMPLATE), buffer).unwrap();
        assert_eq!((draft.topic.as_str(), draft.content_type.as_deref()), ("sink_0/_/buffer", Some("a/b")));
        assert_eq!(draft.body.bytes(now, true).unwrap(), b"abc".as_slice());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let bad = Inference { result: "{}".into(), ..inference() };
        let error = parse(&bad).unwrap_err().to_string();
        assert!(error.contains("person_detection") && error.contains("missing field"), "{error}");
        let buffer = RawBuffer { instance_id: "a", room_id: "", content_type: None, payload: b"" };
        let error = raw(&delivery(&"x".repeat(70_000)), buffer).unwrap_err();
        assert!(matches!(error, PayloadError::Topic(_)), "{error}");
    }
}
