// SPDX-License-Identifier: MPL-2.0
//! `orionpyinfer` against a real child process that behaves, or misbehaves as each test asks for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo, VideoRegionOfInterestMeta};
use gstorion::meta;
use rig::{JPEG_CAPS, Rig, SECOND, alive, init, until};

#[test]
fn a_worker_has_a_state_from_the_beginning() {
    let rig = Rig::new("--load-ms 300", &[]);
    assert_eq!(rig.worker().get::<&str>("state"), Ok("starting"));
}

#[test]
fn every_frame_leaves_in_order_with_its_result() {
    let mut rig = Rig::new("", &[]);
    for _ in 0..5 {
        rig.push().unwrap();
    }
    for seq in 0..5 {
        let buffer = rig.harness.pull().unwrap();
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(100 * seq)));
        let frame = meta::frame(&buffer).unwrap();
        assert_eq!((frame.seq, frame.instance_id.as_str()), (seq, "orion"));
        let inference = &meta::inferences(&buffer)[0];
        assert_eq!(inference.kind, "person_detection");
        assert!(frame.arrived <= inference.sent && inference.sent <= inference.answered);
        let result: serde_json::Value = serde_json::from_str(&inference.result).unwrap();
        assert_eq!(result["frame_seq"], seq);
        assert_eq!(result["data"]["metadata"]["bytes"], 3);
        assert_eq!(result["instance_id"], "orion", "what the host knows goes over the worker's echo");
        let region = buffer.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
        assert_eq!((region.roi_type(), region.rect()), ("person", (0, 1, 3, 1)));
        assert_eq!(region.param("detection").unwrap().get::<f64>("confidence"), Ok(0.75));
        let map = buffer.map_readable().unwrap();
        assert_eq!(map.as_slice(), [1, 2, 3], "the picture is untouched");
    }
    rig.assert_settled(5, 5);
    assert_eq!((rig.count("results"), rig.count("detections")), (5, 5));
}

#[test]
fn raw_rows_reach_the_worker_without_padding() {
    for (format, name, packed) in [
        (VideoFormat::Rgb, "rgb", 5 * 3 * 3),
        (VideoFormat::Bgr, "bgr", 5 * 3 * 3),
        (VideoFormat::I420, "i420", 15 + 2 * 3 * 2),
        (VideoFormat::Nv12, "nv12", 15 + 2 * 3 * 2),
    ] {
        let mut rig = Rig::new("", &[]);
        let info = VideoInfo::builder(format, 5, 3).build().unwrap();
        rig.harness.set_src_caps(info.to_caps().unwrap());
        rig.push_bytes(&vec![1; info.size()]).unwrap();
        let metadata = rig.pull()["data"]["metadata"].clone();
        assert_eq!(metadata["format"], name);
        assert_eq!((&metadata["bytes"], &metadata["sum"]), (&packed.into(), &packed.into()), "{name}");
        assert_eq!((&metadata["frame_width"], &metadata["frame_height"]), (&5.into(), &3.into()));
    }
}

#[test]
fn a_buffer_smaller_than_its_caps_is_dropped_with_a_warning() {
    let mut rig = Rig::new("", &[]);
    rig.harness.set_src_caps(VideoInfo::builder(VideoFormat::Rgb, 64, 64).build().unwrap().to_caps().unwrap());
    rig.push_bytes(&[0; 100]).unwrap();
    assert!(rig.warning().contains("smaller than its caps"));
    rig.push_bytes(&[0; 64 * 64 * 3]).unwrap();
    assert_eq!(rig.pull_seq(), 1);
    assert_eq!(rig.dropped("decode_error"), 1);
    rig.assert_settled(2, 1);
}

#[test]
fn a_worker_error_is_a_warning_and_a_counted_drop() {
    let mut rig = Rig::new("--at 1=error --at 2=bad-frame --at 3=unreadable", &[]);
    for _ in 0..5 {
        rig.push().unwrap();
    }
    assert_eq!((rig.pull_seq(), rig.pull_seq()), (0, 4));
    assert!(rig.warning().contains("frame 1: inference_failed: as asked for"));
    assert_eq!((rig.dropped("worker_error"), rig.dropped("decode_error")), (2, 1));
    rig.assert_settled(5, 2);
}

#[test]
fn a_lost_frame_is_told_by_a_qos_message() {
    let mut rig = Rig::new("--at 1=error", &[]);
    for _ in 0..3 {
        rig.push().unwrap();
    }
    assert_eq!((rig.pull_seq(), rig.pull_seq()), (0, 2));
    let message = rig.bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Qos]).unwrap();
    assert_eq!(message.structure().unwrap().get("cause"), Ok("worker_error"));
    let gst::MessageView::Qos(qos) = message.view() else { unreachable!() };
    assert_eq!(qos.timestamp(), Some(gst::ClockTime::from_mseconds(100)));
    assert_eq!(qos.running_time(), Some(gst::ClockTime::from_mseconds(100)));
    assert!(!qos.live());
    assert_eq!(qos.dropped(), gst::format::Buffers::from_u64(1).into());
    assert!(rig.bus.pop_filtered(&[gst::MessageType::Qos]).is_none(), "one a frame");
}

#[test]
fn the_next_result_tells_what_was_lost_before_it() {
    let mut rig = Rig::new("--at 1=error --at 2=bad-frame", &[]);
    for _ in 0..4 {
        rig.push().unwrap();
    }
    let lost = |rig: &mut Rig| meta::inferences(&rig.harness.pull().unwrap())[0].lost.clone();
    assert!(lost(&mut rig).is_empty());
    let told = lost(&mut rig).into_iter().collect::<Vec<_>>();
    assert_eq!(told, [("decode_error".to_owned(), 1), ("worker_error".to_owned(), 1)]);
}

#[test]
fn a_dead_worker_is_replaced_at_once_and_costs_one_frame() {
    for (action, reason) in [
        ("die", "exited with code 1: dying at frame 1"),
        ("half", "in the middle of an answer"),
        ("garbage", "sent no protocol message"),
        ("close-stdout", "closed its stdout"),
    ] {
        let mut rig = Rig::new(&format!("--at 1={action}"), &[]);
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), 0);
        let first = rig.pid();
        rig.push().unwrap();
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), 2, "{action}");
        let texts = [rig.warning(), rig.warning()].join("; ");
        assert!(texts.contains(reason), "{action}: {texts}");
        assert!(texts.contains("started again now"), "{action}: {texts}");
        assert_ne!(rig.pid(), first);
        assert!(!alive(first), "{action}: no zombie is left");
        assert_eq!((rig.dropped("worker_restart"), rig.worker().get::<u64>("restarts")), (1, Ok(1)), "{action}");
        rig.assert_settled(3, 2);
    }
}

#[test]
fn what_a_worker_wrote_before_its_end_is_not_lost() {
    let mut rig = Rig::new("--at 0=answer-and-die", &[]);
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 0);
    // Until its end is noticed it could still be given a frame.
    until("it is replaced", || rig.worker().get("restarts") == Ok(1u64));
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 1);
    rig.assert_settled(2, 2);
}

#[test]
fn a_hung_worker_is_killed_after_its_frame_timeout() {
    let mut rig = Rig::new("--at 1=hang", &[("frame-timeout", "200000000")]);
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 0);
    let first = rig.pid();
    rig.push().unwrap();
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 2);
    assert!(rig.warning().contains("did not answer within 200ms (frame-timeout)"));
    assert!(!alive(first));
    assert_eq!(rig.dropped("worker_restart"), 1);
    rig.assert_settled(3, 2);
}

#[test]
fn a_frame_timeout_counts_for_workers_at_work() {
    let mut rig = Rig::new("--at 20=hang", &[("frame-timeout", "60000000000")]);
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 0);
    rig.set("frame-timeout", "200000000");
    // It is told behind the frames that are under way, so not of the very next one.
    for seq in 1..20 {
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), seq);
    }
    rig.push().unwrap();
    assert!(rig.warning().contains("did not answer within 200ms (frame-timeout)"));
    rig.assert_settled(21, 20);
}

#[test]
fn a_frame_that_a_worker_does_not_take_in_time_is_dropped() {
    let timeouts = [("write-timeout", "100000000"), ("frame-timeout", "400000000")];
    let mut rig = Rig::new("--start deaf", &timeouts);
    // More than any pipe holds.
    rig.push_bytes(&vec![0; 8 << 20]).unwrap();
    assert!(rig.warning().contains("did not take the frame within 100ms (write-timeout)"));
    assert_eq!(rig.dropped("worker_error"), 1);
    assert!(rig.warning().contains("(frame-timeout)"), "then it is restarted");
    rig.assert_settled(1, 0);
}

#[test]
fn answers_that_nobody_waits_for_are_ignored() {
    let mut rig = Rig::new("--at 1=wrong-seq --at 2=twice", &[]);
    for _ in 0..4 {
        rig.push().unwrap();
    }
    assert_eq!([(); 4].map(|()| rig.pull_seq()), [0, 1, 2, 3]);
    rig.assert_settled(4, 4);
    assert_eq!(rig.worker().get::<u64>("restarts"), Ok(0));
}

#[test]
fn a_worker_that_cannot_start_is_an_error_that_names_cause_and_remedy() {
    for (stub, expected) in [
        ("--start fail", "worker 0 exited with code 3: no model in /nowhere; put one there"),
        ("--start chatter", "sent no protocol message"),
        ("--start protocol", "protocol: 2 is not spoken here, only 1"),
        ("--start silent", "was not ready within 300ms (startup-timeout)"),
    ] {
        let mut rig = Rig::new(stub, &[("startup-timeout", "300000000")]);
        let error = rig.error();
        assert!(error.contains(expected), "{stub}: {error}");
        assert_eq!(rig.push(), Err(gst::FlowError::Error));
        assert_eq!(rig.worker().get::<&str>("state"), Ok("failed"));
    }
    let rig = Rig::new("", &[("worker-command", "/no/such/worker")]);
    assert!(rig.error().contains("No such file or directory"));
}

#[test]
fn restart_never_makes_a_dead_worker_an_error() {
    let mut rig = Rig::new("--at 0=die", &[("restart", "never")]);
    rig.push().unwrap();
    assert!(rig.error().contains("dying at frame 0"));
    assert_eq!(rig.push(), Err(gst::FlowError::Error));
    // The error is told before frames are refused, so the second one may have come in between; then it is lost by the same cause.
    let received = rig.count("received");
    assert!((1..=2).contains(&received), "{received}");
    rig.assert_settled(received, 0);
}

#[test]
fn several_workers_keep_the_order_of_frames() {
    let mut rig = Rig::new("--at 0=slow --at 3=slow --at 5=die", &[("workers", "3")]);
    for _ in 0..9 {
        rig.push().unwrap();
    }
    assert_eq!([(); 8].map(|()| rig.pull_seq()), [0, 1, 2, 3, 4, 6, 7, 8]);
    rig.assert_settled(9, 8);
}

#[test]
fn restart_on_request_loses_no_frame() {
    let mut rig = Rig::new("--delay-ms 50", &[]);
    rig.push().unwrap();
    let first = rig.pid();
    rig.element().emit_by_name::<()>("restart-worker", &[]);
    assert_eq!(rig.pull_seq(), 0);
    let mut frames = 1;
    while rig.pid() == first {
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), frames);
        frames += 1;
    }
    until("the old process is gone", || !alive(first));
    rig.assert_settled(frames, frames);
}

#[test]
fn frames_lost_in_a_queue_are_seen_as_gaps() {
    init();
    let mut numbering = Harness::new("orionroi");
    numbering.set_src_caps_str(JPEG_CAPS);
    numbering.play();
    let mut rig = Rig::new("", &[]);
    for n in 0..6 {
        numbering.push(gst::Buffer::from_slice([n])).unwrap();
        let buffer = numbering.pull().unwrap();
        if n == 0 || n == 4 || n == 5 {
            rig.harness.push(buffer).unwrap();
        }
    }
    let lost = |rig: &mut Rig| meta::inferences(&rig.harness.pull().unwrap())[0].lost.get("queue_full").copied();
    assert_eq!([lost(&mut rig), lost(&mut rig), lost(&mut rig)], [None, Some(3), None]);
    assert_eq!(rig.dropped("queue_full"), 3);
    rig.assert_settled(6, 3);
}

#[test]
fn old_frames_are_dropped_unseen() {
    let mut rig = Rig::new("--at 0=slow", &[("max-age", "50000000")]);
    rig.push().unwrap();
    // Waits for the worker longer than it may.
    rig.push().unwrap();
    rig.push().unwrap();
    assert_eq!((rig.pull_seq(), rig.pull_seq()), (0, 2));
    assert_eq!(rig.dropped("too_old"), 1);
    rig.assert_settled(3, 2);
}

#[test]
fn stopping_is_bounded_and_leaves_no_process() {
    for stub in ["", "--at 0=hang", "--start stubborn", "--start silent"] {
        let mut rig = Rig::new(stub, &[("shutdown-timeout", "100000000")]);
        if stub != "--start silent" {
            rig.push().unwrap();
        }
        until("the process runs", || rig.pid() != 0);
        let pid = rig.pid();
        let element = rig.element();
        let start = Instant::now();
        element.set_state(gst::State::Null).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{stub}: {:?}", start.elapsed());
        assert!(!alive(pid), "{stub}: no process and no zombie is left");
        assert_eq!(rig.worker().get::<&str>("state"), Ok("stopped"));
        let received = rig.count("received");
        until("the book is settled", || rig.count("in-flight") == 0);
        assert_eq!(received, rig.count("forwarded") + rig.dropped("shutdown"));
    }
}

#[test]
fn it_can_be_started_again_after_a_stop() {
    let mut rig = Rig::new("", &[]);
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 0);
    for _ in 0..3 {
        rig.element().set_state(gst::State::Null).unwrap();
        rig.harness.play();
        rig.harness.set_src_caps_str(JPEG_CAPS);
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), 0, "numbers begin anew");
        rig.assert_settled(1, 1);
    }
}

#[test]
fn the_host_gets_no_signal_handler() {
    let mut rig = Rig::new("--at 0=die", &[]);
    rig.push().unwrap();
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    assert_eq!(caught & (1 << (nix::libc::SIGCHLD - 1)), 0, "SIGCHLD is left alone");
}

#[test]
fn frames_before_caps_are_refused() {
    let mut rig = Rig::new("", &[]);
    let bare = gst::ElementFactory::make("orionpyinfer")
        .property("worker-command", format!("'{}'", env!("CARGO_BIN_EXE_orion-stub-worker")))
        .build()
        .unwrap();
    bare.set_state(gst::State::Playing).unwrap();
    let pad = bare.static_pad("sink").unwrap();
    assert!(pad.send_event(gst::event::StreamStart::new("test")));
    assert!(pad.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    assert_eq!(pad.chain(gst::Buffer::from_slice([0])), Err(gst::FlowError::NotNegotiated));
    bare.set_state(gst::State::Null).unwrap();
    // And the properties say what they are.
    assert_eq!(rig.element().property::<u64>("startup-timeout"), 30 * SECOND);
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 0);
}

#[test]
fn errors_without_a_number_do_not_wedge_a_worker_that_reads_late() {
    let mut rig = Rig::new("--start early", &[]);
    // More than any pipe holds, so that it is still being written when the errors come.
    rig.push_bytes(&vec![0; 8 << 20]).unwrap();
    assert!(rig.warning().contains("told before it read"));
    rig.push().unwrap();
    assert_eq!(rig.pull_seq(), 1);
    assert_eq!((rig.dropped("worker_error"), rig.worker().get::<u64>("restarts")), (1, Ok(0)));
    rig.assert_settled(2, 1);
}

#[test]
fn texts_with_a_nul_harm_nobody() {
    let mut rig = Rig::new("--at 0=nul --at 1=nul-error --at 2=nul-and-die", &[]);
    for _ in 0..4 {
        rig.push().unwrap();
    }
    let buffer = rig.harness.pull().unwrap();
    let region = buffer.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
    assert_eq!(region.roi_type(), "per\u{fffd}son");
    assert_eq!(rig.pull_seq(), 3);
    until("its last words are known", || {
        rig.worker().get::<String>("last-error").is_ok_and(|text| text.contains("b\u{fffd}d"))
    });
    rig.assert_settled(4, 2);
}
