// SPDX-License-Identifier: MPL-2.0
//! How `orionpyinfer` behaves between its neighbours: backpressure, flushes, queries, links.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rig.rs"]
mod rig;

use gst::prelude::*;
use gstorion::meta;
use rig::{JPEG_CAPS, Rig, init, until};

#[test]
fn on_a_live_stream_the_next_frame_is_not_taken_before_a_worker_is_free() {
    let mut rig = Rig::new("--at 0=slow", &[]);
    rig.harness.set_live(true);
    rig.push().unwrap();
    // A leaky queue would have kept the newest frame until now.
    assert_eq!(rig.count("results"), 1);
    assert_eq!(rig.pull_seq(), 0);
}

#[test]
fn on_a_live_stream_the_next_frame_is_asked_for_just_in_time() {
    // The fourth frame takes longer than those before, so that what is looked at does not pass by.
    let mut rig = Rig::new("--delay-ms 100 --at 3=slow", &[]);
    rig.harness.set_live(true);
    for seq in 0..3 {
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), seq, "until it is known how long a frame takes, one at a time");
        until("it is forwarded", || rig.count("in-flight") == 0);
    }
    rig.push().unwrap();
    let asked = std::time::Instant::now();
    // The worker should be about to be done with it; the next one is on its way by then.
    assert_eq!(rig.count("in-flight"), 1);
    rig.push().unwrap();
    assert!(asked.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!((rig.pull_seq(), rig.pull_seq()), (3, 4));
    let worker = rig.worker();
    assert_eq!(worker.get::<u64>("restarts"), Ok(0));
    rig.assert_settled(5, 5);
}

#[test]
fn eos_comes_after_the_last_result() {
    let mut rig = Rig::new("--at 1=slow", &[]);
    rig.push().unwrap();
    rig.push().unwrap();
    assert!(rig.harness.push_event(gst::event::Eos::new()));
    assert_eq!((rig.pull_seq(), rig.pull_seq()), (0, 1));
    until("EOS comes out", || {
        std::iter::from_fn(|| rig.harness.try_pull_event()).any(|event| event.type_() == gst::EventType::Eos)
    });
    rig.assert_settled(2, 2);
}

#[test]
fn a_flush_frees_whoever_waits_and_the_book_still_adds_up() {
    let mut rig = Rig::new("--at 0=hang", &[("frame-timeout", "1000000000")]);
    // Both are in the worker's hand.
    rig.push().unwrap();
    rig.push().unwrap();
    let pad = rig.element().static_pad("sink").unwrap();
    let (told, waiting) = std::sync::mpsc::channel();
    let flush = std::thread::spawn(move || {
        waiting.recv().unwrap();
        // The frame is counted before it waits for the worker.
        let element = pad.parent_element().unwrap();
        until("the third frame waits", || element.property::<gst::Structure>("stats").get("received") == Ok(3u64));
        pad.send_event(gst::event::FlushStart::new())
    });
    told.send(()).unwrap();
    assert_eq!(rig.push(), Err(gst::FlowError::Flushing));
    assert!(flush.join().unwrap());
    rig.assert_settled(3, 0);
    assert_eq!(rig.dropped("flush"), 3);
    assert!(rig.harness.push_event(gst::event::FlushStop::new(true)));
    assert!(rig.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 3, "the element works on after its worker was replaced");
    rig.assert_settled(4, 1);
}

#[test]
fn a_sink_that_waits_holds_the_source_back() {
    init();
    let text =
        "videotestsrc num-buffers=300 ! video/x-raw,format=RGB,width=64,height=48 ! orionpyinfer name=infer ! fakesink";
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let infer = pipeline.by_name("infer").unwrap();
    infer.set_property("worker-command", format!("'{}'", env!("CARGO_BIN_EXE_orion-stub-worker")));
    let count = |field: &str| infer.property::<gst::Structure>("stats").get::<u64>(field).unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    // One at the sink, two answered, one before the workers.
    until("it is full", || count("in-flight") == 4);
    for _ in 0..2000 {
        assert!(count("in-flight") <= 4, "nothing piles up while the sink waits");
        std::thread::yield_now();
    }
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &end).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos);
    assert_eq!((count("received"), count("forwarded")), (300, 300));
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn what_describes_the_stream_survives_a_flush() {
    let mut rig = Rig::new("--delay-ms 200", &[]);
    let element = rig.element();
    let pad = element.static_pad("sink").unwrap();
    rig.push().unwrap();
    // It waits behind the frame.
    let caps: gst::Caps = "image/jpeg,width=16,height=6,framerate=10/1".parse().unwrap();
    assert!(pad.send_event(gst::event::Caps::new(&caps)));
    assert!(pad.send_event(gst::event::FlushStart::new()));
    assert!(pad.send_event(gst::event::FlushStop::new(true)));
    assert!(pad.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 1);
    assert_eq!(element.static_pad("src").unwrap().current_caps(), Some(caps));
}

#[test]
fn flushing_often_does_not_keep_the_element_alive() {
    let mut rig = Rig::new("", &[]);
    let element = rig.element();
    let pad = element.static_pad("sink").unwrap();
    for seq in 0..50 {
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), seq);
        assert!(pad.send_event(gst::event::FlushStart::new()));
        assert!(pad.send_event(gst::event::FlushStop::new(true)));
        assert!(pad.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    }
    rig.assert_settled(50, 50);
    element.set_state(gst::State::Null).unwrap();
    // Messages on the bus hold their source too.
    element.set_bus(None);
    rig.bus.set_flushing(true);
    let weak = element.downgrade();
    drop((pad, element, rig));
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_drain_returns_after_the_last_frame_was_pushed() {
    let mut rig = Rig::new("", &[]);
    let pad = rig.element().static_pad("sink").unwrap();
    for n in 1..=200 {
        rig.push().unwrap();
        pad.query(&mut gst::query::Drain::new());
        assert_eq!((rig.count("forwarded"), rig.count("in-flight")), (n, 0));
    }
}

#[test]
fn frames_flow_again_after_a_new_link() {
    let mut rig = Rig::new("", &[]);
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 0);
    let src = rig.element().static_pad("src").unwrap();
    let peer = src.peer().unwrap();
    src.unlink(&peer).unwrap();
    rig.push().unwrap();
    until("downstream's refusal is known", || rig.push() == Err(gst::FlowError::NotLinked));
    until("all are refused", || rig.count("in-flight") == 0);
    let lost = rig.dropped("flush");
    assert!(lost >= 1);
    src.link(&peer).unwrap();
    src.send_event(gst::event::Reconfigure::new());
    rig.push().unwrap();
    let inference = meta::inferences(&rig.harness.pull().unwrap()).remove(0);
    assert_eq!(inference.lost.get("flush"), Some(&lost), "what was lost meanwhile is told");
    assert_eq!(rig.dropped("worker_restart"), 0, "no worker was restarted");
}

#[test]
fn a_flush_does_not_forget_what_was_lost_before_it() {
    let mut rig = Rig::new("--at 0=slow", &[]);
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 8, 8).build().unwrap();
    rig.harness.set_src_caps(info.to_caps().unwrap());
    rig.push_bytes(&[0; 8 * 8 * 3]).unwrap();
    // Waits for the worker, and is found to be too small before the first frame is answered or after.
    rig.push_bytes(&[0]).unwrap();
    rig.push_bytes(&[0]).unwrap();
    assert!(rig.harness.push_event(gst::event::FlushStart::new()));
    assert!(rig.harness.push_event(gst::event::FlushStop::new(true)));
    assert!(rig.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    while rig.harness.try_pull().is_some() {}
    rig.push_bytes(&[0; 8 * 8 * 3]).unwrap();
    until("the last frame is through", || rig.count("in-flight") == 0);
    let told: u64 = std::iter::from_fn(|| rig.harness.try_pull())
        .flat_map(|buffer| meta::inferences(&buffer))
        .map(|inference| inference.lost.get("decode_error").copied().unwrap_or(0))
        .sum();
    assert_eq!((rig.dropped("decode_error"), told), (2, 2));
}

#[test]
fn a_late_flush_stop_does_not_wake_a_stopped_element() {
    let rig = Rig::new("", &[]);
    let element = rig.element();
    let pad = element.static_pad("sink").unwrap();
    element.set_state(gst::State::Ready).unwrap();
    pad.send_event(gst::event::FlushStop::new(true));
    assert_eq!(pad.chain(gst::Buffer::from_slice([0])), Err(gst::FlowError::Flushing));
    element.set_state(gst::State::Null).unwrap();
    assert_eq!(JPEG_CAPS.parse::<gst::Caps>().unwrap().size(), 1);
}
