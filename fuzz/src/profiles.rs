// SPDX-License-Identifier: MPL-2.0
//! Numbers: results of a worker, one after the other, which are told in the words of other systems.

use std::{collections::BTreeSet, sync::OnceLock};

use jsonschema::Validator;
use orion_core::{
    contract,
    profile::{
        dlstreamer::{self, FrameView},
        frigate::{Config, Event, EventKind, Events},
    },
    wire::{InferenceResult, WorkerMessage},
};
use serde_json::{Value, json};

use super::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut events = Events::new(Config { max_objects: 5, max_cameras: 2, ..Config::default() });
    let mut open = BTreeSet::new();
    let (mut time, mut came, mut seq, mut random) = (1_700_000_000_000_000_000_u64, 0, 0, 0);
    while !input.is_empty() {
        let size = match input.byte() % 4 {
            0 => None,
            1 => Some((u32::from(input.short()), u32::from(input.short()))),
            _ => Some((640, 480)),
        };
        time = match input.byte() % 16 {
            0 => input.long(),
            1 => time.saturating_sub(u64::from(input.short()) * 1_000_000),
            _ => time.saturating_add(u64::from(input.short()) * 1_000_000),
        };
        came += u64::from(input.short()) * 1_000_000;
        seq += 1;
        // What the host's check refuses gets no further than that.
        let Some(result) = result(&mut input, seq) else { continue };
        let view = FrameView {
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            timestamp: Some(time),
            source: "",
        };
        told("dlstreamer", &json!(dlstreamer::frame(&result, &view)));
        for event in events.observe(&result, time, came, size, &mut || {
            random += 1;
            random
        }) {
            happened(&event, &mut open);
        }
    }
    for event in events.end_stale(came).into_iter().chain(events.finish()) {
        happened(&event, &mut open);
    }
    assert_eq!(open, BTreeSet::new(), "each object that began has ended");
}

/// Objects begin once, and what happens to them happens between their beginning and their end.
fn happened(event: &Event, open: &mut BTreeSet<String>) {
    told("frigate", &json!(event));
    let id = &event.after.id;
    assert!(
        match event.kind {
            EventKind::New => open.insert(id.clone()),
            EventKind::Update => open.contains(id),
            EventKind::End => open.remove(id),
        },
        "{:?} of {id}, open are {open:?}",
        event.kind
    );
    // At most so many of at most so many cameras.
    assert!(open.len() <= 10, "{open:?}");
}

fn result(input: &mut Input<'_>, seq: u64) -> Option<InferenceResult> {
    let detections = (0..input.byte() % 8).map(|_| {
        let [x, y, width, height] = [(); 4].map(|()| match input.byte() % 2 {
            0 => f64::from(input.short()) / 64.0,
            _ => input.number(),
        });
        let label = ["person", "cat", "", "\u{0}\u{10ffff}"][usize::from(input.byte() % 4)];
        json!({"bbox": {"x": x, "y": y, "width": width, "height": height},
               "confidence": f64::from(input.byte()) / 255.0, "label": label})
    });
    let detections: Vec<Value> = detections.collect();
    let region = [(); 4].map(|()| f64::from(input.byte()) / 255.0);
    let value = json!({
        "type": "person_detection", "instance_id": if input.byte().is_multiple_of(4) { "b" } else { "a" }, "room_id": "",
        "timestamp": "2026-11-22T08:00:00.000000001Z", "frame_seq": seq,
        "data": {"count": detections.len(), "detections": detections, "metadata": {"roi_processing": {
            "crop_applied": input.byte().is_multiple_of(2),
            "merged_roi": {"x": region[0], "y": region[1], "width": region[2], "height": region[3]}}}},
        "timing": {"total_ms": 1.0},
    });
    match WorkerMessage::decode(&rmp_serde::to_vec_named(&value).ok()?) {
        Ok(WorkerMessage::Result(result)) => Some(*result),
        _ => None,
    }
}

/// A message fits the schema that its readers go by.
fn told(name: &str, message: &Value) {
    static SCHEMAS: OnceLock<Vec<(String, Validator)>> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| {
        let all = contract::schemas()
            .into_iter()
            .filter(|(file, _)| ["dlstreamer", "frigate"].iter().any(|n| file.contains(n)));
        all.map(|(file, schema)| (file, jsonschema::validator_for(&contract::strict(schema)).expect("a schema")))
            .collect()
    });
    let (_, validator) = schemas.iter().find(|(file, _)| file.contains(name)).expect("a schema of that name");
    if let Err(error) = validator.validate(message) {
        panic!("{name}, {}: {error}\n{message:#}", error.instance_path());
    }
}
