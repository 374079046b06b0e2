// SPDX-License-Identifier: MPL-2.0
//! What would be published of a buffer, for programs that keep results instead of sending them.

use bytes::Bytes;
use thiserror::Error;

use super::payload::{self, Delivery, Now, PayloadError};
use crate::{identity, meta};

/// Why there is no message.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct ReportError(#[from] PayloadError);

/// The payloads that the results on a buffer would have if they were published now: JSON objects, one a result.
///
/// # Errors
/// [`ReportError`] when a result is not of the worker protocol.
pub fn reports(buffer: &gst::BufferRef) -> Result<Vec<Bytes>, ReportError> {
    let frame = meta::frame(buffer);
    let delivery = Delivery { topic: Default::default(), qos: 0, retain: false };
    let report = |inference: &meta::Inference| {
        let result = payload::parse(inference)?;
        let mut draft = payload::report(&delivery, inference, result, frame.as_ref())?;
        let now = Now { wall: identity::wall_clock(), running: gst::get_timestamp().nseconds() };
        draft.body.bytes(now, false).map_err(PayloadError::Encoding)
    };
    Ok(meta::inferences(buffer).iter().map(report).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_result_is_a_report_of_its_own() {
        gst::init().unwrap();
        meta::register();
        let mut buffer = gst::Buffer::new();
        let frame = meta::FrameInfo {
            seq: 7,
            epoch: 0,
            captured: 5,
            clock_source: Default::default(),
            arrived: 0,
            instance_id: "a".into(),
            room_id: String::new(),
            planned: None,
        };
        let result = |kind: &str| {
            serde_json::json!({
                "type": kind, "instance_id": "a", "room_id": "", "timestamp": "t", "frame_seq": 7,
                "data": {"detections": [], "count": 0, "metadata": {}}, "timing": {"total_ms": 1.0},
            })
            .to_string()
        };
        let inference = |kind: &str, result| meta::Inference {
            kind: kind.into(),
            result,
            sent: 0,
            answered: 0,
            lost: BTreeMap::from([("worker_error".to_owned(), 2)]),
        };
        let buffer = buffer.get_mut().unwrap();
        assert!(reports(buffer).unwrap().is_empty());
        meta::set_frame(buffer, &frame).unwrap();
        for kind in ["x", "y"] {
            meta::add_inference(buffer, &inference(kind, result(kind))).unwrap();
        }
        let told = reports(buffer).unwrap();
        let told: Vec<serde_json::Value> = told.iter().map(|json| serde_json::from_slice(json).unwrap()).collect();
        assert_eq!((told.len(), &told[1]["type"], &told[0]["frame_seq"]), (2, &"y".into(), &7.into()));
        assert_eq!((&told[0]["lost_since_last"]["worker_error"], &told[0]["coverage"]), (&2.into(), &1.0.into()));
        meta::add_inference(buffer, &inference("z", "{}".into())).unwrap();
        assert!(reports(buffer).unwrap_err().to_string().contains("missing field"));
    }
}
