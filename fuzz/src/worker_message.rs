// SPDX-License-Identifier: MPL-2.0
//! A message's body, as a worker sends it.

use orion_core::{
    topic::{TopicTemplate, TopicValues},
    wire::{InferenceResult, MAX_LABEL, PROTOCOL, WorkerMessage},
};

pub(crate) fn run(data: &[u8]) {
    match WorkerMessage::decode(data) {
        Ok(WorkerMessage::Result(result)) => accepted(*result),
        Ok(WorkerMessage::Ready(ready)) => {
            assert_eq!(ready.protocol, PROTOCOL);
            clean(&[&ready.worker, &ready.version]);
        }
        Ok(WorkerMessage::Ack(ack)) => clean(&[&ack.command, ack.error.as_deref().unwrap_or_default()]),
        Ok(WorkerMessage::Fault(fault)) => clean(&[&fault.code, &fault.message]),
        Err(error) => assert!(error.to_string().len() > 10, "{error}"),
    }
}

/// C code ends texts at a NUL.
fn clean(texts: &[&str]) {
    assert!(texts.iter().all(|text| !text.contains('\0')), "{texts:?}");
}

fn accepted(mut result: InferenceResult) {
    let again = rmp_serde::to_vec_named(&result).expect("a result can be written");
    let again = WorkerMessage::decode(&again);
    assert!(matches!(&again, Ok(WorkerMessage::Result(again)) if **again == result), "{result:?} became {again:?}");
    result.suggested_roi.iter().for_each(super::assert_valid);
    for detection in &result.data.detections {
        assert!(detection.label.chars().count() <= MAX_LABEL && !detection.label.contains('\0'));
    }
    let values = TopicValues { instance_id: "a", room_id: "b", kind: &result.kind, label: result.best_label() };
    let topic = TopicTemplate::parse("{type}/{label}").expect("a good template").render(&values).expect("a topic");
    assert_eq!(topic.matches('/').count(), 1, "{topic:?}");
    result.clip(640, 480);
    assert_eq!(result.data.count, result.data.detections.len() as u64);
    for detection in &result.data.detections {
        let bbox = &detection.bbox;
        assert!(bbox.x >= 0.0 && bbox.y >= 0.0 && bbox.width > 0.0 && bbox.height > 0.0, "{bbox:?}");
        assert!(bbox.x + bbox.width <= 640.0 && bbox.y + bbox.height <= 480.0, "{bbox:?}");
    }
    let text = serde_json::to_vec(&result).expect("JSON");
    assert_eq!(serde_json::from_slice::<InferenceResult>(&text).expect("a result"), result);
}
