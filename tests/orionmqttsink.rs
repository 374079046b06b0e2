// SPDX-License-Identifier: MPL-2.0
//! orionmqttsink against a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};
use gstorion::meta::{self, Inference};
use orion_core::{
    gap::{Gap, SeqRange},
    ledger::Cause,
    report::{ClockSource, Report},
};
use serde_json::{Value, json};
use support::{
    broker::{Broker, DeadPort, PATIENCE, Subscriber, free_port, signal_process},
    result::{inferred, result},
    sink::{Sink, VERSIONS, text},
};

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Without repeats: each text where it came first.
fn first_occurrences(texts: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    texts.into_iter().filter(|text| seen.insert(text.clone())).collect()
}

#[test]
fn a_result_is_published_with_what_the_host_knows() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let port = u32::from(broker.port());
    let mut sink = Sink::new(&[("port", &port)]);
    sink.harness.push(inferred(41, &["person_detection"])).unwrap();
    let message = subscriber.next();
    assert_eq!(message.topic, "care/inferences/ward-3/person_detection");
    assert!(!message.retain);
    let report: Report = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(serde_json::to_value(&report.result).unwrap(), result("person_detection", 41));
    assert_eq!(report.clock_source, ClockSource::Camera);
    assert!((100.0..60_000.0).contains(&report.latency_ms), "{report:?}");
    assert_eq!((report.stages.queue_ms, report.stages.worker_ms), (10.0, 30.0));
    assert!((10.0..60_000.0).contains(&report.stages.publish_ms), "{report:?}");
    assert_eq!(report.lost_since_last, BTreeMap::from([("queue_full".to_owned(), 2)]));
    let json: Value = serde_json::from_slice(&message.payload).unwrap();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = "clock_source coverage data frame_seq instance_id latency_ms lost_since_last room_id stages suggested_roi \
                    time_since_full_sweep_ms timestamp timing type";
    assert_eq!(keys.join(" "), expected);
}

#[test]
fn results_on_one_buffer_go_out_in_their_order() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let mut sink = Sink::at(broker.port(), &[("topic", &"{room_id}/{type}")]);
    for seq in 0..10 {
        sink.harness.push(inferred(seq, &["one", "two", "three"])).unwrap();
    }
    for seq in 0..10 {
        for topic in ["7/one", "7/two", "7/three"] {
            let message = subscriber.next();
            let json: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!((message.topic.as_str(), &json["frame_seq"]), (topic, &json!(seq)));
        }
    }
    sink.eos();
    assert_eq!((sink.count("received"), sink.count("forwarded")), (10, 10), "frames");
    assert_eq!((sink.count("published"), sink.count("acknowledged")), (30, 30), "messages");
    let ms = |field: &str| sink.stats().get::<f64>(field).unwrap();
    assert!(0.0 < ms("acknowledge-mean-ms") && ms("acknowledge-mean-ms") <= ms("acknowledge-p99-ms") + 1e-9);
    assert_eq!(sink.stats().get::<bool>("connected"), Ok(true));
    assert_eq!(sink.stats().get::<&str>("last-error"), Ok(""));
    sink.adds_up();
}

#[test]
fn other_buffers_go_out_as_they_are_and_silent_frames_do_not() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let topic = "{instance_id}/{room_id}/{type}";
    let mut sink = Sink::at(broker.port(), &[("topic", &topic), ("name", &"my/sink")]);
    sink.harness.push(inferred(0, &[])).unwrap();
    let mut nonsense = inferred(1, &[]);
    let inference = Inference { kind: "x".into(), result: "[]".into(), sent: 0, answered: 0, lost: BTreeMap::new() };
    meta::add_inference(nonsense.get_mut().unwrap(), &inference).unwrap();
    sink.harness.push(nonsense).unwrap();
    // Far above the 10 KiB that the client library allows by default.
    let picture: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    sink.harness.push(gst::Buffer::from_slice(picture.clone())).unwrap();
    sink.push("");
    let message = subscriber.next();
    assert_eq!(message.topic, "my_sink/_/buffer");
    assert!(message.payload == picture);
    assert_eq!(subscriber.next().text(), "");
    sink.eos();
    assert_eq!((sink.count("received"), sink.count("forwarded")), (4, 3));
    assert_eq!((sink.count("published"), sink.dropped("worker_error")), (2, 1));
    sink.adds_up();
    assert_eq!(subscriber.rest(), []);
}

#[test]
fn every_quality_of_service_arrives_and_retain_is_kept() {
    for version in VERSIONS {
        every_quality_of_service_arrives_and_retain_is_kept_in(version);
    }
}

fn every_quality_of_service_arrives_and_retain_is_kept_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let mut sink = Sink::at(broker.port(), &[("mqtt-version", &version)]);
    for (qos, range) in [(0, 0..200), (2, 200..400), (1, 400..600)] {
        sink.element.set_property("mqtt-qos", qos as u32);
        sink.push_all(range.clone());
        assert_eq!(subscriber.texts(200), numbers(range));
    }
    sink.element.set_property("retain", true);
    sink.push("kept");
    assert_eq!(subscriber.next().text(), "kept");
    sink.eos();
    assert_eq!((sink.count("forwarded"), sink.count("acknowledged")), (601, 601));
    drop(subscriber);
    // What the first subscriber had not yet acknowledged may come once more.
    let subscriber = Subscriber::new(broker.port(), "t");
    let kept = std::iter::repeat_with(|| subscriber.next()).find(|message| message.retain);
    assert_eq!(kept.map(|message| message.text()).as_deref(), Some("kept"));
}

#[test]
fn a_broker_that_is_down_stalls_nothing_and_gets_everything_later() {
    for version in VERSIONS {
        a_broker_that_is_down_stalls_nothing_and_gets_everything_later_in(version);
    }
}

fn a_broker_that_is_down_stalls_nothing_and_gets_everything_later_in(version: &str) {
    let port = free_port();
    let mut sink = Sink::at(port, &[("mqtt-version", &version)]);
    sink.push_all(0..100);
    assert_eq!((sink.count("received"), sink.count("in-flight"), sink.count("buffered")), (100, 100, 100));
    assert!((190 + 100 * 1024..190 + 100 * 1100).contains(&sink.count("buffered-bytes")), "{}", sink.stats());
    let warning = sink.message(gst::MessageType::Warning);
    for part in [&format!("127.0.0.1:{port}"), "Connection refused", "is mosquitto"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(sink.stats().get::<String>("last-error").unwrap(), warning);
    sink.push_all(100..150);
    let _broker = Broker::with_session_at(port);
    assert!(sink.message(gst::MessageType::Info).contains("connected"));
    sink.eos();
    let subscriber = Subscriber::new(port, "t");
    assert_eq!(subscriber.texts(150), numbers(0..150));
    assert_eq!((sink.count("forwarded"), sink.count("reconnects")), (150, 0));
    assert_eq!(sink.messages(gst::MessageType::Warning), [""; 0], "the same cause is named once");
    sink.adds_up();
}

#[test]
fn nothing_is_lost_or_reordered_over_restarts_of_the_broker() {
    for version in VERSIONS {
        nothing_is_lost_or_reordered_over_restarts_of_the_broker_in(version);
    }
}

fn nothing_is_lost_or_reordered_over_restarts_of_the_broker_in(version: &str) {
    let mut broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "t");
    let mut sink = Sink::at(broker.port(), &[("mqtt-version", &version), ("max-buffered-messages", &10_000_u32)]);
    let mut got = Vec::new();
    let receive_up_to = |got: &mut Vec<String>, last: usize| {
        let last = last.to_string();
        while got.last().is_none_or(|text| *text != last) {
            got.push(subscriber.next().text());
        }
    };
    sink.push_all(0..100);
    receive_up_to(&mut got, 99);
    broker.kill();
    sink.push_all(100..200);
    broker.resume();
    receive_up_to(&mut got, 199);
    // In the middle of the stream: some messages have arrived, others are on the wire or wait. A stopped broker saves what waits
    // for the subscriber, so that a missing message is the sink's fault.
    for round in 1..4 {
        sink.push_all(round * 200..round * 200 + 50);
        let (ready, go) = mpsc::channel();
        let restart = thread::spawn(move || {
            go.recv().unwrap();
            broker.stop();
            broker.resume();
            broker
        });
        receive_up_to(&mut got, round * 200 + 5);
        ready.send(()).unwrap();
        sink.push_all(round * 200 + 50..round * 200 + 200);
        broker = restart.join().unwrap();
        receive_up_to(&mut got, round * 200 + 199);
    }
    sink.eos();
    // QoS 1: a message whose acknowledgement was lost is sent again, so there may be repeats.
    let arrived = first_occurrences(got);
    let wrong = arrived.iter().zip(numbers(0..800)).find(|(is, should)| *is != should);
    assert_eq!((wrong, arrived.len()), (None, 800));
    assert_eq!((sink.count("received"), sink.count("forwarded")), (800, 800));
    assert_eq!(sink.count("reconnects"), 4);
    sink.adds_up();
}

#[test]
fn the_oldest_make_room_and_are_counted() {
    let port = free_port();
    let mut sink = Sink::at(port, &[("max-buffered-messages", &10_u32)]);
    for seq in 0..100 {
        sink.harness.push(inferred(seq, &["x"])).unwrap();
    }
    assert_eq!((sink.count("buffered"), sink.count("in-flight")), (10, 10));
    assert_eq!((sink.count("forwarded"), sink.dropped("queue_full")), (0, 90));
    sink.adds_up();
    sink.element.set_property("max-buffered-messages", 5_u32);
    sink.harness.push(inferred(100, &["x"])).unwrap();
    assert_eq!((sink.count("buffered"), sink.dropped("queue_full")), (5, 96));
    let _broker = Broker::with_session_at(port);
    let subscriber = Subscriber::new(port, "t");
    let gap: Gap = serde_json::from_slice(&subscriber.next().payload).unwrap();
    assert_eq!((gap.instance_id.as_str(), gap.missing_type.as_str(), gap.cause), ("ward-3", "x", Cause::QueueFull));
    assert_eq!((gap.frames, gap.ranges.as_slice()), (96, &[SeqRange { first: 0, last: 95, frames: 96 }][..]));
    let reports: Vec<Report> = (0..5).map(|_| serde_json::from_slice(&subscriber.next().payload).unwrap()).collect();
    assert!(reports.iter().all(|report| report.replayed));
    assert_eq!(reports.iter().map(|r| r.result.frame_seq).collect::<Vec<_>>(), [96, 97, 98, 99, 100]);
    let lost: Vec<_> = reports.iter().map(|r| r.lost_since_last["queue_full"]).collect();
    assert_eq!(lost, [96 + 96 * 2 + 2, 2, 2, 2, 2], "what was lost here is said too");
    sink.eos();
    assert_eq!((sink.count("received"), sink.count("forwarded")), (101, 5));
    sink.adds_up();
}

#[test]
fn what_a_stop_costs_is_said_after_the_next_start() {
    let port = DeadPort::new();
    let mut sink = Sink::at(port.number, &[("drain-timeout", &1_000_000_u64), ("topic", &"{type}")]);
    (0..7).for_each(|seq| assert!(sink.harness.push(inferred(seq, &["x"])).is_ok()));
    sink.stop();
    assert_eq!(sink.dropped("shutdown"), 7);
    sink.element.set_state(gst::State::Playing).unwrap();
    sink.harness.set_src_caps_str("application/octet-stream");
    assert_eq!((sink.count("received"), sink.count("in-flight")), (0, 0), "the book begins anew");
    let broker = Broker::with_session_on(port.number, "#");
    let subscriber = Subscriber::new(broker.port(), "#");
    sink.element.set_property("drain-timeout", PATIENCE.as_nanos() as u64);
    // Upstream goes on where it was: it is the sink alone that was stopped.
    sink.harness.push(inferred(7, &["x"])).unwrap();
    let gap = subscriber.next();
    let said: Gap = serde_json::from_slice(&gap.payload).unwrap();
    assert_eq!((gap.topic.as_str(), said.cause, said.missing_type.as_str()), ("gap", Cause::Shutdown, "x"));
    assert_eq!(said.ranges.as_slice(), [SeqRange { first: 0, last: 6, frames: 7 }]);
    let report: Report = serde_json::from_slice(&subscriber.next().payload).unwrap();
    assert_eq!((report.result.frame_seq, report.lost_since_last["shutdown"]), (7, 7));
    sink.eos();
    sink.adds_up();
}

#[test]
fn a_wrong_topic_or_uri_is_refused_and_the_old_one_kept() {
    let (element, bus) = Sink::element(&[("topic", &"good/{type}")]);
    element.set_property("topic", "bad/{room}");
    let warning = text(&bus.pop_filtered(&[gst::MessageType::Warning]).unwrap());
    assert!(warning.contains("\"room\"") && warning.contains("{room_id}"), "{warning}");
    assert_eq!(element.property::<String>("topic"), "good/{type}");
    assert_eq!(element.set_state(gst::State::Ready), Err(gst::StateChangeError));
    let error = text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
    assert!(error.contains("\"room\""), "{error}");
    element.set_property("topic", "good");
    element.set_property("uri", "mqtt://ann:secret@broker");
    let warning = text(&bus.pop_filtered(&[gst::MessageType::Warning]).unwrap());
    assert!(warning.contains("password-file") && !warning.contains("secret"), "{warning}");
    assert_eq!(element.property::<String>("uri"), "");
    assert_eq!(element.set_state(gst::State::Ready), Err(gst::StateChangeError));
    element.set_property("uri", "mqtt://broker");
    assert_eq!(element.set_state(gst::State::Ready), Ok(gst::StateChangeSuccess::Success));
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn eos_waits_for_the_last_acknowledgement_and_says_what_is_missing() {
    let mut broker = Broker::start();
    let mut sink = Sink::at(broker.port(), &[]);
    sink.push_all(0..500);
    sink.eos();
    assert_eq!((sink.count("forwarded"), sink.count("buffered")), (500, 0));
    assert_eq!(sink.bus.pop_filtered(&[gst::MessageType::Eos]).map(|m| m.type_()), Some(gst::MessageType::Eos));

    let mut sink = Sink::at(broker.port(), &[("drain-timeout", &300_000_000_u64)]);
    broker.kill();
    sink.push_all(0..3);
    sink.eos();
    let warnings = sink.messages(gst::MessageType::Warning);
    assert!(warnings.iter().any(|w| w.starts_with("3 messages were not acknowledged within 300ms")), "{warnings:?}");
    sink.stop();
    assert_eq!((sink.dropped("shutdown"), sink.count("in-flight"), sink.count("received")), (3, 0, 3));
    sink.adds_up();
}

#[test]
fn a_flush_ends_the_wait_at_eos() {
    let (element, _bus) = Sink::element(&[("port", &u32::from(free_port())), ("topic", &"t")]);
    element.set_property("drain-timeout", u64::MAX);
    let pad = gst::Pad::builder(gst::PadDirection::Src).name("src").build();
    pad.link(&element.static_pad("sink").unwrap()).unwrap();
    pad.set_active(true).unwrap();
    element.set_state(gst::State::Playing).unwrap();
    pad.push_event(gst::event::StreamStart::new("s"));
    pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    pad.push(gst::Buffer::from_slice("x")).unwrap();
    let (done, ended) = mpsc::channel();
    let streaming = pad.clone();
    let thread = thread::spawn(move || {
        streaming.push_event(gst::event::Eos::new());
        done.send(()).unwrap();
    });
    // Whether it comes before the wait or during it, the wait must end.
    pad.push_event(gst::event::FlushStart::new());
    ended.recv_timeout(PATIENCE).expect("EOS still waits");
    thread.join().unwrap();
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_state_change_ends_the_wait_at_eos() {
    let mut sink = Sink::at(free_port(), &[("drain-timeout", &u64::MAX)]);
    sink.push("x");
    let element = sink.element.clone();
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        sink.harness.push_event(gst::event::Eos::new());
        done.send(sink).unwrap();
    });
    element.set_state(gst::State::Null).unwrap();
    let sink = ended.recv_timeout(PATIENCE).expect("EOS still waits");
    assert_eq!(sink.dropped("shutdown"), 1);
}

#[test]
fn a_broker_that_accepts_and_never_answers_does_not_hold_up_the_stop() {
    for version in VERSIONS {
        a_broker_that_accepts_and_never_answers_does_not_hold_up_the_stop_in(version);
    }
}

fn a_broker_that_accepts_and_never_answers_does_not_hold_up_the_stop_in(version: &str) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut sink = Sink::at(port, &[("mqtt-version", &version)]);
    sink.push_all(0..10);
    let _connection = silent.accept().unwrap();
    let began = Instant::now();
    sink.stop();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!((sink.count("received"), sink.dropped("shutdown")), (10, 10));
    sink.adds_up();
}

#[test]
fn a_broker_that_freezes_does_not_hold_up_the_stop() {
    for version in VERSIONS {
        a_broker_that_freezes_does_not_hold_up_the_stop_in(version);
    }
}

fn a_broker_that_freezes_does_not_hold_up_the_stop_in(version: &str) {
    let broker = Broker::start();
    let mut sink = Sink::at(broker.port(), &[("mqtt-version", &version)]);
    sink.push("x");
    sink.eos();
    signal_process(broker.pid(), "-STOP");
    // A new stream after EOS, as after a loop or a seek.
    sink.harness.push_event(gst::event::FlushStart::new());
    sink.harness.push_event(gst::event::FlushStop::new(true));
    sink.harness.set_src_caps_str("application/octet-stream");
    sink.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    // More than the network takes.
    for _ in 0..10 {
        sink.harness.push(gst::Buffer::from_slice(vec![0_u8; 4 << 20])).unwrap();
    }
    let began = Instant::now();
    sink.stop();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!((sink.count("received"), sink.count("forwarded"), sink.dropped("shutdown")), (11, 1, 10));
}

#[test]
fn a_frozen_broker_is_noticed_and_gets_everything_when_it_thaws() {
    for version in VERSIONS {
        a_frozen_broker_is_noticed_and_gets_everything_when_it_thaws_in(version);
    }
}

fn a_frozen_broker_is_noticed_and_gets_everything_when_it_thaws_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "t");
    let mut sink = Sink::at(broker.port(), &[("mqtt-version", &version), ("keep-alive-interval", &1_u32)]);
    sink.push_all(0..10);
    assert_eq!(subscriber.texts(10), numbers(0..10));
    signal_process(broker.pid(), "-STOP");
    sink.push_all(10..20);
    let warning = sink.message(gst::MessageType::Warning);
    assert!(warning.contains("is the broker alive?"), "{warning}");
    signal_process(broker.pid(), "-CONT");
    sink.eos();
    let mut got = Vec::new();
    while got.last().is_none_or(|text| text != "19") {
        got.push(subscriber.next().text());
    }
    assert_eq!(first_occurrences(got), numbers(10..20));
    assert_eq!(sink.count("forwarded"), 20);
}

fn password_file(dir: &Path, user: &str, password: &str) -> std::path::PathBuf {
    let file = dir.join("users");
    let status = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args([user, password]).status();
    assert!(status.expect("mosquitto_passwd is needed").success());
    file
}

#[test]
fn the_password_comes_from_a_file_and_a_wrong_one_is_named_as_the_cause() {
    for version in VERSIONS {
        the_password_comes_from_a_file_and_a_wrong_one_is_named_as_the_cause_in(version);
    }
}

fn the_password_comes_from_a_file_and_a_wrong_one_is_named_as_the_cause_in(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let users = password_file(dir.path(), "ann", "right");
    let broker = Broker::start_with(free_port(), &format!("password_file {}", users.display()));
    let secret = dir.path().join("secret");
    let file = secret.to_str().unwrap().to_owned();
    fs::write(&secret, "right\n").unwrap();
    let uri = format!("mqtt://ann@127.0.0.1:{}", broker.port());
    let mut sink = Sink::new(&[("mqtt-version", &version), ("uri", &uri), ("password-file", &file), ("topic", &"t")]);
    sink.push("x");
    sink.eos();
    assert_eq!(sink.count("acknowledged"), 1);

    fs::write(&secret, "wrong\n").unwrap();
    let sink = Sink::new(&[("mqtt-version", &version), ("uri", &uri), ("password-file", &file)]);
    let warning = sink.message(gst::MessageType::Warning);
    assert!(warning.contains("refused the credentials of user \"ann\""), "{warning}");
    assert!(!warning.contains("wrong"), "{warning}");

    let sink = Sink::at(broker.port(), &[("mqtt-version", &version), ("username", &"ann"), ("password", &"right")]);
    let pspec = sink.element.find_property("password").unwrap();
    assert!(!pspec.flags().contains(glib::ParamFlags::READABLE));
    let mut sink = sink;
    sink.push("x");
    sink.eos();
    assert_eq!(sink.count("acknowledged"), 1);

    let sink = Sink::at(broker.port(), &[("mqtt-version", &version)]);
    let warning = sink.message(gst::MessageType::Warning);
    assert!(warning.contains("set username and password"), "{warning}");

    let (element, bus) = Sink::element(&[("password-file", &"/nowhere/secret"), ("username", &"ann")]);
    assert_eq!(element.set_state(gst::State::Playing), Err(gst::StateChangeError));
    let error = text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
    assert!(error.contains("password-file \"/nowhere/secret\" cannot be read"), "{error}");
    element.set_state(gst::State::Null).unwrap();
}

/// Waits until so many threads of this process have this name: a thread takes its name, and goes, a little later.
fn wait_for_threads(name: &str, count: usize) {
    let named = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|comm| comm.trim_end() == name).count()
    };
    let deadline = Instant::now() + PATIENCE;
    while named() != count {
        assert!(Instant::now() < deadline, "{} threads, not {count}", named());
        thread::yield_now();
    }
}

#[test]
fn starting_and_stopping_many_times_leaves_no_thread_behind() {
    let broker = Broker::start();
    let (element, _bus) = Sink::element(&[("name", &"cycled"), ("port", &u32::from(broker.port()))]);
    for _ in 0..50 {
        element.set_state(gst::State::Playing).unwrap();
        wait_for_threads("cycled", 1);
        element.set_state(gst::State::Null).unwrap();
        wait_for_threads("cycled", 0);
    }
}

#[test]
fn the_application_is_told_of_each_frame_that_is_dropped() {
    let mut sink = Sink::at(free_port(), &[("max-buffered-messages", &2_u32)]);
    for second in 0..5 {
        let mut buffer = gst::Buffer::from_slice("x");
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_seconds(second));
        sink.harness.push(buffer).unwrap();
    }
    let messages = std::iter::from_fn(|| sink.bus.pop_filtered(&[gst::MessageType::Qos]));
    let told: Vec<_> = messages
        .map(|message| {
            let gst::MessageView::Qos(qos) = message.view() else { panic!("{message:?}") };
            let (_live, running, stream, ..) = qos.get();
            assert_eq!(running, stream);
            let cause = message.structure().unwrap().get::<String>("cause").unwrap();
            (running.map(gst::ClockTime::seconds), cause)
        })
        .collect();
    let expected = |second| (Some(second), "queue_full".to_owned());
    assert_eq!(told, [expected(0), expected(1), expected(2)]);
}
