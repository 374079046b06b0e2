// SPDX-License-Identifier: MPL-2.0
//! How a message lies on the disk: a header, which is read at each start, and its content, which is read before its turn.
//!
//! Both are MessagePack with names, so that fields can be added. Times are those of the wall clock, the only one that goes on
//! over a restart.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    outbox::{Label, Leftover, Record, Slip},
    payload::{Body, Host, Now, Timed},
};

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("cannot be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("cannot be read: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    #[error("has content of unknown kind {0:?}")]
    Kind(Option<u8>),
}

#[derive(Serialize, Deserialize)]
struct Header {
    frame: u64,
    /// ns since 1970.
    born: u64,
    size: usize,
    seq: u64,
    lost: Option<BTreeMap<String, u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(flatten)]
    label: Label,
}

/// The header of a message.
pub(super) fn header(record: &Record) -> Result<Vec<u8>, RecordError> {
    let Slip { label, seq, size, lost, key } = Slip::of(&record.draft);
    let label = Arc::unwrap_or_clone(label);
    let header = Header { frame: record.frame, born: record.born, size, seq, lost, key, label };
    Ok(rmp_serde::to_vec_named(&header)?)
}

/// A message without its content; `labels` are those seen before.
pub(super) fn leftover(number: u64, header: &[u8], labels: &mut HashSet<Arc<Label>>) -> Result<Leftover, RecordError> {
    let Header { frame, born, size, seq, lost, key, label } = rmp_serde::from_slice(header)?;
    let label = match labels.get(&label) {
        Some(known) => Arc::clone(known),
        None => {
            let label = Arc::new(label);
            labels.insert(Arc::clone(&label));
            label
        }
    };
    Ok(Leftover { key: number, frame, born, slip: Slip { label, seq, size, lost, key } })
}

const RAW: u8 = 0;
const REPORT: u8 = 1;

#[derive(Serialize)]
struct ReportOut<'a> {
    result: &'a str,
    host: &'a Host,
    captured: u64,
    answered: u64,
}

#[derive(Deserialize)]
struct ReportIn {
    result: Box<str>,
    host: Host,
    captured: u64,
    answered: u64,
}

/// The content of a message.
pub(super) fn content(body: &Body, now: Now) -> Result<Vec<u8>, RecordError> {
    match body {
        Body::Raw(bytes) => Ok([&[RAW], bytes.as_ref()].concat()),
        Body::Report(timed) => {
            let Timed { result, host, captured, answered } = &**timed;
            let out = ReportOut { result, host, captured: *captured, answered: now.wall_of(*answered) };
            let mut bytes = vec![REPORT];
            rmp_serde::encode::write_named(&mut bytes, &out)?;
            Ok(bytes)
        }
    }
}

/// The reverse of [`content`].
pub(super) fn body(content: &[u8], now: Now) -> Result<Body, RecordError> {
    match content.split_first() {
        Some((&RAW, bytes)) => Ok(Body::Raw(bytes.to_vec().into())),
        Some((&REPORT, bytes)) => {
            let ReportIn { result, host, captured, answered } = rmp_serde::from_slice(bytes)?;
            Ok(Body::Report(Box::new(Timed { result, host, captured, answered: now.running_of(answered) })))
        }
        other => Err(RecordError::Kind(other.map(|(kind, _)| *kind))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{
        meta::{FrameInfo, Inference},
        orionmqttsink::payload::{self, Delivery},
    };

    fn draft() -> payload::Draft {
        let result = json!({
            "type": "x", "instance_id": "a", "room_id": "7", "timestamp": "t", "frame_seq": u64::MAX,
            "data": {
                "detections": [{
                    "label": "person", "confidence": 0.1 + 0.2, "bbox": {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4},
                }],
                "count": 1,
                "metadata": {"a": [1, -2, 3.5e300, null, true, {"b": "\u{1F600}"}]},
            },
            "timing": {"total_ms": 1.0 / 3.0},
        });
        let inference = Inference {
            kind: "x".into(),
            result: result.to_string(),
            sent: 0,
            answered: 9_000,
            lost: BTreeMap::from([("too_old".to_owned(), 2)]),
        };
        let frame = FrameInfo {
            seq: u64::MAX,
            epoch: 0,
            captured: 77,
            clock_source: Default::default(),
            arrived: 0,
            instance_id: "a".into(),
            room_id: "7".into(),
            planned: None,
        };
        let topic = orion_core::topic::TopicTemplate::parse("{type}/{room_id}").unwrap().into();
        let result = payload::parse(&inference).unwrap();
        payload::report(&Delivery { topic, qos: 2, retain: true }, &inference, result, Some(&frame)).unwrap()
    }

    #[test]
    fn a_report_is_the_same_after_a_restart_of_the_machine() {
        let draft = draft();
        let written = Now { wall: 1_000_000, running: 10_000 };
        let bytes = content(&draft.body, written).unwrap();
        // 50 µs later by the wall, while the other clock began anew.
        let read = Now { wall: 1_050_000, running: 300 };
        let mut body = body(&bytes, read).unwrap();
        let Body::Report(timed) = &body else { panic!("{body:?}") };
        assert_eq!((timed.captured, timed.answered, body.len()), (77, -50_700, draft.body.len()));
        let sent = |body: &mut Body, now| body.bytes(now, true).unwrap();
        let later = |now: Now| Now { wall: now.wall + 5000, running: now.running + 5000 };
        let mut stayed = draft.body.clone();
        let there = sent(&mut stayed, Now { wall: 1_055_000, running: 65_000 });
        assert_eq!(sent(&mut body, later(read)), there);
        assert!(bytes.len() < 2 * there.len());
    }

    #[test]
    fn a_header_says_all_but_the_content() {
        let draft = payload::Draft { key: Some("1.000000-aaaaaa".into()), ..draft() };
        let record = Record { key: 5, frame: 3, born: 99, draft: Arc::new(draft.clone()) };
        let mut labels = HashSet::new();
        let bytes = header(&record).unwrap();
        let Leftover { key, frame, born, slip } = leftover(5, &bytes, &mut labels).unwrap();
        assert_eq!((key, frame, born, &slip), (5, 3, 99, &Slip::of(&draft)));
        assert_eq!(slip.key.as_deref(), Some("1.000000-aaaaaa"));
        assert_eq!((slip.seq, slip.label.qos, slip.lost), (u64::MAX, 2, Some(BTreeMap::from([("too_old".into(), 2)]))));
        let more = [&[0x81, 0xa3], b"new".as_slice(), &[1]].concat();
        assert!(leftover(5, &more, &mut labels).unwrap_err().to_string().contains("missing field"));
    }

    #[test]
    fn nonsense_is_no_content() {
        let now = Now { wall: 0, running: 0 };
        assert_eq!(body(&[], now).unwrap_err().to_string(), "has content of unknown kind None");
        assert!(body(&[9], now).is_err() && body(&[REPORT, 1], now).is_err());
        let Body::Raw(bytes) = body(&[RAW, 1, 2], now).unwrap() else { panic!("it is raw") };
        assert_eq!(*bytes, [1, 2]);
    }
}
