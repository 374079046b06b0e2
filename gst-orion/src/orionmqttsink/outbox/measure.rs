// SPDX-License-Identifier: MPL-2.0
//! Figures of a million reports: what they take, and how long the longest call is.
#![allow(clippy::print_stdout, reason = "it tells what it measures")]

use std::time::Instant;

use serde_json::json;

use super::{
    tests::{KEEPING, NOW, at_s, of_worker, report},
    *,
};

const MILLION: u64 = 1_000_000;

const ALL: Keeping = Keeping { messages: 2_000_000, bytes: 1 << 40, ..KEEPING };

/// Every `step`th number.
fn million(template: &Draft, step: u64) -> Outbox {
    let mut outbox = Outbox::new(ALL);
    for n in 0..MILLION {
        let mut draft = template.clone();
        if let Some(origin) = &mut draft.origin {
            origin.seq = n * step;
        }
        outbox.push(vec![draft], Place::default(), NOW);
    }
    outbox
}

/// Of this process, bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn take(template: &Draft) {
    let before = resident();
    let outbox = million(template, 1);
    let held = resident() - before;
    println!("{} bytes a message are counted, {} are held", outbox.buffered_bytes() / 1_000_000, held / 1_000_000);
    assert!(outbox.buffered_bytes() >= held);
}

/// As a worker speaks of three persons.
fn rich() -> Draft {
    let person =
        json!({"bbox": {"x": 1.5, "y": 2.5, "width": 30.25, "height": 60.125}, "confidence": 0.875, "label": "person"});
    let result = json!({
        "type": "person_detection", "instance_id": "ward-3", "room_id": "7", "frame_seq": 1, "suggested_roi": null,
        "timestamp": "2026-11-22T08:00:00.000000001Z", "timing": {"total_ms": 12.5},
        "data": {"detections": [person, person, person], "count": 3, "metadata": {
            "model_selected": "320", "frame_width": 1280, "frame_height": 720,
            "roi_processing": {"target_size": 320, "crop_applied": false, "source": "", "attention_rois": [], "merged_roi": null},
        }},
    });
    of_worker(result, BTreeMap::new())
}

#[test]
#[ignore = "a measurement, to be run alone"]
fn what_a_million_small_reports_take() {
    take(&report(0, 0));
}

#[test]
#[ignore = "a measurement, to be run alone"]
fn what_a_million_reports_take() {
    take(&rich());
}

#[test]
#[ignore = "a measurement"]
fn how_long_the_longest_call_is() {
    let mut outbox = Outbox::new(ALL);
    let cases = [
        ("expiry", Keeping { expiry_s: 1, ..ALL }),
        ("drop", Keeping { policy: OutagePolicy::Drop, ..ALL }),
        ("newest", Keeping { policy: OutagePolicy::Newest, ..ALL }),
        ("a smaller bound", Keeping { messages: 1, ..ALL }),
    ];
    for (what, keeping) in cases {
        drop(outbox);
        // Numbers with gaps are the worst.
        outbox = million(&report(0, 0), 3);
        outbox.set_keeping(keeping);
        let began = Instant::now();
        outbox.connection_lost(Loss::Other, false);
        let mut calls = vec![began.elapsed()];
        loop {
            let call = Instant::now();
            let more = outbox.tidy(at_s(100));
            calls.push(call.elapsed());
            if !more {
                break;
            }
        }
        let all = began.elapsed();
        calls.sort_unstable();
        let count = calls.len();
        println!("{what}: {count} calls, in all {all:?}, the longest {:?}", &calls[count - 3..]);
        assert!(outbox.buffered() <= 1 && outbox.take_fallen().len() < 110);
    }
}
