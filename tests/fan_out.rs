// SPDX-License-Identifier: MPL-2.0
//! Several different workers on one stream: tee, a leaky queue a branch, funnel. A slow or dead branch costs the other one
//! nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rig.rs"]
mod rig;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use gst::prelude::*;
use gstorion::meta;
use rig::init;

const FRAMES: u64 = 60;

/// Runs [`FRAMES`] live frames through two branches; what each one's results say: sequence number and frames lost before it.
fn run(first: &str, second: &str) -> (gst::Pipeline, BTreeMap<String, Vec<(u64, u64)>>) {
    init();
    let queue = "queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0";
    let text = format!(
        "videotestsrc is-live=true num-buffers={FRAMES} ! video/x-raw,format=RGB,width=32,height=24,framerate=60/1 \
         ! orionroi ! tee name=t \
         t. ! {queue} ! orionpyinfer name=first frame-timeout=2000000000 ! funnel name=f ! fakesink name=sink async=false signal-handoffs=true \
         t. ! {queue} ! orionpyinfer name=second frame-timeout=2000000000 ! f."
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    for (name, arguments) in [("first", first), ("second", second)] {
        let command = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_orion-stub-worker"));
        pipeline.by_name(name).unwrap().set_property("worker-command", command);
    }
    let results = Arc::new(Mutex::new(BTreeMap::<String, Vec<(u64, u64)>>::new()));
    let seen = results.clone();
    pipeline.by_name("sink").unwrap().connect("handoff", false, move |args| {
        let buffer = args[1].get::<gst::Buffer>().unwrap();
        let seq = meta::frame(&buffer).unwrap().seq;
        let inferences = meta::inferences(&buffer);
        assert_eq!(inferences.len(), 1, "each branch has put its own result on its own buffer");
        let lost = inferences[0].lost.values().sum();
        seen.lock().unwrap().entry(inferences[0].kind.clone()).or_default().push((seq, lost));
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &end).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let results = std::mem::take(&mut *results.lock().unwrap());
    (pipeline, results)
}

/// Every frame of the stream is a result of this branch, or was told as lost by it.
fn adds_up(pipeline: &gst::Pipeline, name: &str, results: &[(u64, u64)]) {
    let stats: gst::Structure = pipeline.by_name(name).unwrap().property("stats");
    let dropped: gst::Structure = stats.get("dropped").unwrap();
    let lost: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
    assert_eq!(stats.get("forwarded"), Ok(results.len() as u64), "{name}");
    assert_eq!(stats.get("received"), Ok(results.len() as u64 + lost), "{name}: {stats}");
    let mut next = results[0].0;
    for (seq, lost) in results {
        assert_eq!(*seq, next + if *seq == results[0].0 { 0 } else { *lost }, "{name}: {results:?}");
        next = seq + 1;
    }
}

#[test]
fn two_kinds_of_workers_share_a_stream() {
    let (pipeline, results) = run("--type person_detection", "--type motion_detection");
    assert_eq!(results.keys().collect::<Vec<_>>(), ["motion_detection", "person_detection"]);
    adds_up(&pipeline, "first", &results["person_detection"]);
    adds_up(&pipeline, "second", &results["motion_detection"]);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_slow_a_hung_or_a_dying_branch_costs_the_other_nothing() {
    let dying: Vec<_> = (0..FRAMES).map(|seq| format!("--at {seq}=die")).collect();
    for bad in ["--delay-ms 300", "--at 3=hang", &dying.join(" ")] {
        let (pipeline, results) = run("--type person_detection", &format!("--type motion_detection {bad}"));
        let good = &results["person_detection"];
        adds_up(&pipeline, "first", good);
        // The machine may be busy; a branch that waited for the other one would have lost nearly all.
        assert!(good.len() as u64 > FRAMES * 3 / 4, "{bad}: {} results", good.len());
        if let Some(results) = results.get("motion_detection") {
            assert!(results.len() < good.len(), "{bad}");
            adds_up(&pipeline, "second", results);
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
