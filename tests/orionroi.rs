// SPDX-License-Identifier: MPL-2.0
//! `orionroi` in a harness.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/leaks.rs"]
mod leaks;

use std::sync::Once;

use gst::prelude::*;
use gst_check::Harness;
use gst_video::VideoRegionOfInterestMeta;
use gstorion::meta;
use orion_core::{
    report::ClockSource,
    wire::{RoiProcessing, RoiSource, TargetSize},
};

const CAPS: &str = "video/x-raw,format=I420,width=640,height=480,framerate=30/1";

fn harness(properties: &[(&str, &str)]) -> (Harness, gst::Bus) {
    init();
    let mut harness = Harness::new("orionroi");
    let element = harness.element().unwrap();
    let bus = leaks::bus(&element);
    for (name, value) in properties {
        element.set_property_from_str(name, value);
    }
    harness.set_src_caps_str(CAPS);
    harness.play();
    (harness, bus)
}

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstorion::plugin_register_static().unwrap();
        leaks::watch();
    });
}

fn buffer(n: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(640 * 480 * 3 / 2).unwrap();
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_nseconds(n * 1_000_000_000 / 30));
    buffer
}

fn set(harness: &Harness, name: &str, value: &str) {
    harness.element().unwrap().set_property_from_str(name, value);
}

fn push_pull(harness: &mut Harness, n: u64) -> gst::Buffer {
    assert_eq!(harness.push(buffer(n)), Ok(gst::FlowSuccess::Ok));
    harness.pull().unwrap()
}

fn stats(harness: &Harness) -> gst::Structure {
    harness.element().unwrap().property("stats")
}

#[test]
fn frames_are_numbered_dated_and_never_copied() {
    let (mut harness, _bus) = harness(&[("instance-id", "ward-3"), ("room-id", "12")]);
    for n in 0..3 {
        let input = buffer(n);
        let memory = input.peek_memory(0).as_ptr();
        let before = wall_clock();
        harness.push(input).unwrap();
        let output = harness.pull().unwrap();
        assert_eq!(output.peek_memory(0).as_ptr(), memory, "the picture stays where it is");
        let frame = meta::frame(&output).unwrap();
        assert_eq!((frame.seq, frame.epoch), (n, 0));
        assert_eq!((frame.instance_id.as_str(), frame.room_id.as_str()), ("ward-3", "12"));
        assert_eq!(frame.clock_source, ClockSource::Arrival);
        assert!((before..=wall_clock()).contains(&frame.captured));
    }
}

fn wall_clock() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[test]
fn a_shared_buffer_keeps_its_memory_and_the_other_owner_sees_no_meta() {
    let (mut harness, _bus) = harness(&[]);
    let shared = buffer(0);
    harness.push(shared.clone()).unwrap();
    let output = harness.pull().unwrap();
    assert_eq!(output.peek_memory(0).as_ptr(), shared.peek_memory(0).as_ptr());
    assert!(meta::has_frame(&output) && !meta::has_frame(&shared));
}

#[test]
fn the_cameras_clock_goes_over_the_time_of_arrival() {
    let (mut harness, _bus) = harness(&[]);
    let mut input = buffer(0);
    let ntp = gst::Caps::new_empty_simple("timestamp/x-ntp");
    let time = gst::ClockTime::from_seconds(2_208_988_800 + 1_700_000_000);
    gst::ReferenceTimestampMeta::add(input.get_mut().unwrap(), &ntp, time, gst::ClockTime::NONE);
    harness.push(input).unwrap();
    let frame = meta::frame(&harness.pull().unwrap()).unwrap();
    assert_eq!((frame.captured, frame.clock_source), (1_700_000_000_000_000_000, ClockSource::Camera));
}

#[test]
fn regions_take_effect_on_the_next_frame() {
    let (mut harness, bus) = harness(&[]);
    let plan = |buffer: &gst::Buffer| meta::frame(buffer).unwrap().planned.unwrap().roi;
    let full = plan(&push_pull(&mut harness, 0));
    assert_eq!((full.source, full.target_size, full.merged_roi), (RoiSource::FullFrame, TargetSize::S640, None));

    set(&harness, "rois", r#"[{"x":0.25,"y":0.25,"width":0.25,"height":0.5}]"#);
    let output = push_pull(&mut harness, 1);
    let region = plan(&output);
    assert_eq!((region.source, region.target_size), (RoiSource::External, TargetSize::S320));
    let mark = output.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
    assert_eq!((mark.roi_type(), mark.rect()), (meta::ATTENTION_TYPE, (160, 120, 160, 240)));
    assert_eq!(mark.param("attention").unwrap().get::<u32>("target-size"), Ok(320));

    // A refused text leaves the old regions in force and says why.
    set(&harness, "rois", r#"[{"x":0.25,"y":0.25,"width":0.9,"height":0.5}]"#);
    let warning = bus.pop_filtered(&[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { unreachable!() };
    assert!(warning.error().to_string().contains("rois[0]: x + width must be at most 1, got 1.15"));
    assert_eq!(plan(&push_pull(&mut harness, 2)), region);

    set(&harness, "threshold-area", "1000");
    assert_eq!(plan(&push_pull(&mut harness, 3)).target_size, TargetSize::S640);
    set(&harness, "rois", "");
    assert_eq!(plan(&push_pull(&mut harness, 4)).source, RoiSource::FullFrame);

    let stats = stats(&harness);
    for (field, expected) in [("forwarded", 5), ("external", 3), ("full-frame", 2), ("model-320", 2), ("model-640", 3)]
    {
        assert_eq!(stats.get::<u64>(field), Ok(expected), "{field}");
    }
}

#[test]
fn small_regions_grow_to_the_least_side() {
    let (mut harness, _bus) = harness(&[
        ("rois", r#"[{"x":0.5,"y":0.5,"width":0.02,"height":0.02}]"#),
        ("min-roi", "0.25"),
        ("max-blind-time", "0"),
    ]);
    let merged = meta::frame(&push_pull(&mut harness, 0)).unwrap().planned.unwrap().roi.merged_roi.unwrap();
    assert_eq!((merged.width(), merged.height()), (0.25, 0.25));
}

#[test]
fn paused_and_rate_limited_frames_are_told_apart_and_leave_no_gap() {
    let (mut harness, _bus) = harness(&[]);
    push_pull(&mut harness, 0);
    set(&harness, "paused", "true");
    for n in 1..4 {
        assert_eq!(harness.push(buffer(n)), Ok(gst::FlowSuccess::Ok));
    }
    set(&harness, "paused", "false");
    assert_eq!(meta::frame(&push_pull(&mut harness, 4)).unwrap().seq, 1);
    set(&harness, "max-rate", "3");
    for n in 5..35 {
        harness.push(buffer(n)).unwrap();
    }
    let mut seqs = Vec::new();
    while let Some(buffer) = harness.try_pull() {
        seqs.push(meta::frame(&buffer).unwrap().seq);
    }
    assert_eq!(seqs, [2, 3, 4]);
    let stats = stats(&harness);
    let dropped: gst::Structure = stats.get("dropped").unwrap();
    assert_eq!((dropped.get("paused"), dropped.get("rate_limit")), (Ok(3u64), Ok(27u64)));
    assert_eq!(
        (stats.get("received"), stats.get("forwarded"), stats.get("in-flight")),
        (Ok(35u64), Ok(5u64), Ok(0u64))
    );
}

#[test]
fn an_instance_id_that_breaks_topics_is_refused() {
    let (harness, bus) = harness(&[("instance-id", "a/b")]);
    assert_eq!(harness.element().unwrap().property::<String>("instance-id"), "orion");
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_some());
}

#[test]
fn a_new_stream_is_a_new_epoch() {
    let (mut harness, _bus) = harness(&[]);
    assert_eq!(meta::frame(&push_pull(&mut harness, 0)).unwrap().epoch, 0);
    harness.push_event(gst::event::StreamStart::new("another"));
    harness.push_event(gst::event::Caps::new(&CAPS.parse().unwrap()));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    let frame = meta::frame(&push_pull(&mut harness, 1)).unwrap();
    assert_eq!((frame.seq, frame.epoch), (1, 1));
}

#[test]
fn attention_survives_encoding_and_decoding() {
    init();
    let mut harness = Harness::new_parse("orionroi ! queue ! jpegenc ! jpegdec ! funnel");
    harness.set_src_caps_str(CAPS);
    harness.play();
    harness.push(buffer(0)).unwrap();
    assert_eq!(meta::frame(&harness.pull().unwrap()).unwrap().seq, 0);
}

/// Tells the element what a worker suggested on a frame, as `orionpyinfer` does.
fn suggest(harness: &mut Harness, frame: &gst::Buffer, (x, y, width, height): (f64, f64, f64, f64)) {
    let info = meta::frame(frame).unwrap();
    let planned = info.planned.unwrap();
    let structure = gst::Structure::builder("orion-feedback")
        .field("origin", planned.origin)
        .field("type", "person_detection")
        .field("seq", info.seq)
        .field("time", planned.time)
        .field("full-frame", planned.roi.merged_roi.is_none())
        .field("cut", false)
        .field("x", x)
        .field("y", y)
        .field("width", width)
        .field("height", height);
    assert!(harness.push_upstream_event(gst::event::CustomUpstream::new(structure.build())));
}

#[test]
fn every_property_takes_effect_on_the_next_frame() {
    let (mut harness, _bus) = harness(&[("max-blind-time", "0")]);
    let mut n = 0;
    // A target that moves by a tenth of the frame and back.
    let mut next = |harness: &mut Harness, changes: &[(&str, &str)]| {
        for (name, value) in changes {
            set(harness, name, value);
        }
        let output = push_pull(harness, n);
        suggest(harness, &output, (0.3 + 0.1 * (n % 2) as f64, 0.3, 0.2, 0.2));
        n += 1;
        meta::frame(&output).unwrap().planned.unwrap().roi
    };
    let width = |roi: &RoiProcessing| (roi.merged_roi.unwrap().width() * 1e6).round() / 1e6;
    let left = |roi: &RoiProcessing| (roi.merged_roi.unwrap().x() * 1e6).round() / 1e6;
    next(&mut harness, &[]);
    assert_eq!(next(&mut harness, &[]).source, RoiSource::FullFrame, "auto-focus is off");
    let roi = next(&mut harness, &[("auto-focus", "true")]);
    assert_eq!((roi.source, left(&roi), width(&roi)), (RoiSource::PythonSuggested, 0.4, 0.2));
    assert_eq!(width(&next(&mut harness, &[("strategy", "velocity")])), 0.5, "0.15 on each side");
    assert_eq!(width(&next(&mut harness, &[("max-expansion", "0.05")])), 0.3);
    assert_eq!(width(&next(&mut harness, &[("max-expansion", "0.3"), ("velocity-factor", "1")])), 0.4);
    assert_eq!(width(&next(&mut harness, &[("velocity-threshold", "0.2")])), 0.23);
    assert_eq!(width(&next(&mut harness, &[("expansion", "1")])), 0.4);
    let newest = next(&mut harness, &[("strategy", "smoothing"), ("alpha", "1")]);
    assert_eq!(left(&newest), 0.4);
    assert_eq!(left(&next(&mut harness, &[("alpha", "0")])), 0.3, "the first one stays");
    assert_eq!(left(&next(&mut harness, &[("history-frames", "1")])), 0.4, "only one is remembered");
    assert_eq!(width(&next(&mut harness, &[("min-roi", "0.9")])), 0.9);
    // A fifth of the frame each way is 128x96 = 12288 square pixels.
    let size = |roi: &RoiProcessing| u32::from(roi.target_size);
    assert_eq!(size(&next(&mut harness, &[("min-roi", "0"), ("threshold-area", "12000"), ("hysteresis", "0")])), 640);
    assert_eq!(size(&next(&mut harness, &[("threshold-area", "13000")])), 320);
    assert_eq!(
        size(&next(&mut harness, &[("threshold-area", "12000"), ("hysteresis", "0.1")])),
        320,
        "the last one stays"
    );
    assert_eq!(next(&mut harness, &[("max-blind-time", "1")]).source, RoiSource::FullFrame);
    assert_eq!(next(&mut harness, &[("max-blind-time", "0")]).source, RoiSource::PythonSuggested);
    harness.element().unwrap().emit_by_name::<()>("clear-history", &[]);
    assert_eq!(next(&mut harness, &[]).source, RoiSource::FullFrame);
    let region = r#"[{"x":0,"y":0,"width":0.5,"height":0.5}]"#;
    let roi = next(&mut harness, &[("rois", region)]);
    assert_eq!((roi.source, width(&roi)), (RoiSource::External, 0.5));
    let stats = stats(&harness);
    for (field, expected) in [("received", 19), ("forwarded", 19), ("sweeps", 1), ("late", 0), ("hits", 19)] {
        assert_eq!(stats.get::<u64>(field), Ok(expected), "{field}");
    }
}

#[test]
fn answers_to_another_elements_frames_go_on_upstream() {
    let (mut ours, _bus) = harness(&[("auto-focus", "true"), ("max-blind-time", "0")]);
    let (mut others, _bus) = harness(&[]);
    push_pull(&mut ours, 0);
    let theirs = push_pull(&mut others, 0);
    suggest(&mut ours, &theirs, (0.1, 0.1, 0.2, 0.2));
    let source = meta::frame(&push_pull(&mut ours, 1)).unwrap().planned.unwrap().roi.source;
    assert_eq!(source, RoiSource::FullFrame);
    assert_eq!(stats(&ours).get::<u64>("hits"), Ok(0));
}
