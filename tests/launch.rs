// SPDX-License-Identifier: MPL-2.0
//! The daemon as a program: a real RTSP camera, a real worker, its own broker, HTTP, signals and exit codes.
//!
//! Needs mosquitto and the worker's Python environment (`make setup`). `orion-camera` is built by the tests themselves.

// Helpers of tests are tests too: what they cannot do is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/launch.rs"]
mod support;

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use gst::prelude::*;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{
    PATIENCE, Running, SHUTDOWN, after, camera, children, daemon, daemon_binary, get, is_alive, next_text, results,
    subscribe,
};

fn watches(codec: &str) {
    let (_camera, _stdin, url) = camera(&["--codec", codec, "--width", "320", "--height", "240"]);
    let directory = tempfile::tempdir().unwrap();
    let mut daemon =
        daemon(directory.path(), &format!("camera: {{rtsp_url: '{url}'}}\nhttp: {{bind: '127.0.0.1:0'}}\n"));
    let line = daemon.line("is running");
    let (broker, http) = (after(&line, "results go to ").to_owned(), after(&line, "state: http://").to_owned());
    let http = http.trim_end_matches("/readiness");

    let results = results(&broker, 12);
    for (topic, report) in &results {
        assert_eq!(topic, "care/inferences/test/motion_detection");
        assert_eq!((report.result.kind.as_str(), report.result.instance_id.as_str()), ("motion_detection", "test"));
        for detection in &report.result.data.detections {
            let b = detection.bbox;
            assert!(b.x >= 0.0 && b.y >= 0.0 && b.x + b.width <= 320.0 && b.y + b.height <= 240.0, "{b:?}");
        }
    }
    assert!(results.iter().any(|(_, report)| report.result.data.count > 0), "the ball moves");
    assert!(results.is_sorted_by_key(|(_, report)| report.result.frame_seq));

    assert_eq!(get(http, "/health").0, 200);
    assert_eq!(get(http, "/nowhere").0, 404, "an unknown path");
    let (code, state) = get(http, "/readiness");
    assert_eq!((code, &state["status"]), (200, &Value::from("healthy")), "{state:#}");
    assert_eq!(state["broker"]["connected"], true);
    let worker = &state["workers"][0];
    assert!(worker["inferences_emitted"].as_u64() >= Some(12) && worker["last_seen_at"].is_string(), "{worker:#}");
    assert!(worker["rate_limit"].as_u64() > Some(0), "the camera gives 15 a second, 5 are wanted: {worker:#}");
    assert!(worker["drop_rate"].as_f64() < Some(0.5), "what is not wanted is no loss: {worker:#}");
    let process = worker["processes"][0]["pid"].as_u64().unwrap();

    let children = children(daemon.child.id());
    assert_eq!(children.len(), 2, "the broker and the worker");
    assert!(children.contains(&(process as u32)));
    let own = |text: &str| ("care/status/test".to_owned(), text.to_owned());
    let (_client, mut connection) = subscribe(&broker, "care/status/#");
    assert_eq!(next_text(&mut connection), own("online"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(next_text(&mut connection), own("stopped"), "before the daemon ends its broker");
    let (status, said) = daemon.end(SHUTDOWN);
    assert_eq!(status.code(), Some(0), "{said}");
    for element in ["source: ", "roi: ", "infer: ", "sink: "] {
        let line =
            said.lines().find(|line| line.contains(&format!("{element}received"))).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("in flight 0 (adds up)"), "{line}");
    }
    assert!(said.contains("stopped after "), "{said}");
    assert_eq!(children.into_iter().filter(|pid| is_alive(*pid)).count(), 0);
}

#[test]
fn watches_an_h264_camera_and_stops_cleanly() {
    watches("h264");
}

#[test]
fn watches_an_h265_camera_and_stops_cleanly() {
    gst::init().unwrap();
    if gst::ElementFactory::find("x265enc").is_none() {
        println!("skipped: no x265enc; it is in gstreamer1.0-plugins-bad");
        return;
    }
    watches("h265");
}

#[test]
fn every_frame_of_a_recording_is_answered() {
    gst::init().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("a clip.avi");
    let text = format!(
        "videotestsrc num-buffers=45 pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 ! jpegenc ! avimux \
         ! filesink location=\"{}\"",
        clip.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();

    let daemon = daemon(directory.path(), &format!("camera: {{file: '{}'}}\nhttp: {{bind: ''}}\n", clip.display()));
    let (status, said) = daemon.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{said}");
    for element in ["source", "roi", "infer", "sink"] {
        let line = format!("{element}: received 45 = forwarded 45 + dropped 0 + in flight 0 (adds up)");
        assert!(said.contains(&line), "{line}: {said}");
    }
}

#[test]
fn what_cannot_work_is_told_with_cause_and_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (yaml, code, expected) in [
        ("camera: {rtsp: x}", 2, "orion.yaml:5:10: camera.rtsp: unknown key"),
        (&format!("http: {{bind: '{address}'}}"), 1, "http.bind 127.0.0.1:"),
        (
            "camera: {file: /nowhere/clip.mp4}\nhttp: {bind: ''}",
            2,
            "camera.file: \"/nowhere/clip.mp4\": there is no such",
        ),
        ("models: {person_detector: {worker_command: /nowhere/worker}}\nhttp: {bind: ''}", 1, "/nowhere/worker"),
        ("pipeline: videotestsrc ! nosuchelement\nhttp: {bind: ''}", 1, "nosuchelement"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (status, said) = daemon(directory.path(), yaml).end(PATIENCE);
        assert_eq!(status.code(), Some(code), "{yaml}: {said}");
        assert!(said.contains(expected), "{yaml}: {said}");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // A worker that never gets ready: the first signal waits for it.
    let yaml = "models: {person_detector: {worker_command: sh -c 'exec sleep 60'}}\nhttp: {bind: ''}\nshutdown_timeout_s: 60\n";
    let file = directory.path().join("orion.yaml");
    std::fs::write(&file, format!("mqtt: {{embedded: true, uri: 'mqtt://127.0.0.1:0'}}\n{yaml}")).unwrap();
    let mut command = Command::new(daemon_binary());
    command.arg("--config").arg(&file).args(["--log-format", "text"]).stderr(Stdio::piped());
    let mut daemon = Running::start(&mut command, |child| Box::new(child.stderr.take().unwrap()));
    daemon.line("is running");
    daemon.signal(Signal::SIGINT);
    daemon.line("stopping");
    daemon.signal(Signal::SIGINT);
    let (status, said) = daemon.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{said}");
}
