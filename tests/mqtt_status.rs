// SPDX-License-Identifier: MPL-2.0
//! What orionmqttsink says about itself: birth, last will and the clean end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use gst::prelude::*;
use support::{
    broker::{Broker, PATIENCE, Subscriber, free_port, signal_process},
    sink::{Sink, VERSIONS, text},
};

const TOPIC: &str = "care/status/ward-3";

fn announced(port: u16, more: &[(&str, &dyn ToValue)]) -> Sink {
    let mut properties: Vec<(&str, &dyn ToValue)> =
        vec![("status-topic", &"care/status/{instance_id}"), ("instance-id", &"ward-3")];
    properties.extend_from_slice(more);
    Sink::at(port, &properties)
}

/// The next message, which must be a status.
#[track_caller]
fn status(subscriber: &Subscriber) -> String {
    let message = subscriber.next();
    assert_eq!(message.topic, TOPIC, "{message:?}");
    message.text()
}

/// What the broker has kept for a subscriber that comes now.
fn retained(port: u16) -> String {
    let subscriber = Subscriber::new(port, TOPIC);
    let kept = std::iter::repeat_with(|| subscriber.next()).find(|message| message.retain);
    kept.unwrap().text()
}

/// A new stream after EOS, as after a loop or a seek.
fn begin_again(sink: &mut Sink) {
    sink.harness.push_event(gst::event::FlushStart::new());
    sink.harness.push_event(gst::event::FlushStop::new(true));
    sink.harness.set_src_caps_str("application/octet-stream");
    sink.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
}

#[test]
fn it_is_online_before_any_result_and_stopped_after_the_last() {
    for version in VERSIONS {
        it_is_online_before_any_result_and_stopped_after_the_last_in(version);
    }
}

fn it_is_online_before_any_result_and_stopped_after_the_last_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let mut sink = announced(broker.port(), &[("mqtt-version", &version)]);
    sink.push_all(0..50);
    assert_eq!(status(&subscriber), "online");
    sink.stop();
    let mut expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    expected.push("stopped".into());
    assert_eq!(subscriber.texts(51), expected);
    drop(subscriber);
    assert_eq!(retained(broker.port()), "stopped", "the will stays silent");
    assert_eq!((sink.count("published"), sink.count("forwarded")), (50, 50), "only results count");
    sink.adds_up();
}

#[test]
fn it_stands_before_results_that_waited_for_the_broker() {
    let port = free_port();
    // Topic `t` is what the broker keeps for the subscriber.
    let mut sink = Sink::at(port, &[("status-topic", &"t")]);
    sink.push_all(0..100);
    sink.message(gst::MessageType::Warning);
    let _broker = Broker::with_session_at(port);
    sink.wait_for("acknowledged", 100);
    let subscriber = Subscriber::new(port, "t");
    let fresh = std::iter::repeat_with(|| subscriber.next()).filter(|message| !message.retain);
    let texts: Vec<_> = fresh.take(101).map(|message| message.text()).collect();
    assert_eq!((texts[0].as_str(), texts[1].as_str(), texts[100].as_str()), ("online", "0", "99"));
}

#[test]
fn a_broker_that_forgot_everything_is_told_again() {
    for version in VERSIONS {
        a_broker_that_forgot_everything_is_told_again_in(version);
    }
}

fn a_broker_that_forgot_everything_is_told_again_in(version: &str) {
    let mut broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), TOPIC);
    let sink = announced(broker.port(), &[("mqtt-version", &version)]);
    assert_eq!(status(&subscriber), "online");
    for reconnects in 1..=2 {
        broker.kill();
        broker.forget();
        broker.resume();
        sink.wait_for("reconnects", reconnects);
        assert_eq!(status(&Subscriber::new(broker.port(), TOPIC)), "online", "retained, or said just now");
    }
    assert!(sink.count("connection-failures") >= 2);
    sink.stop();
    assert_eq!(retained(broker.port()), "stopped");
}

#[test]
fn it_stops_with_the_stream_and_is_online_with_the_next() {
    for version in VERSIONS {
        it_stops_with_the_stream_and_is_online_with_the_next_in(version);
    }
}

fn it_stops_with_the_stream_and_is_online_with_the_next_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let mut sink = announced(broker.port(), &[("mqtt-version", &version)]);
    sink.push("a");
    assert_eq!(subscriber.texts(2), ["online", "a"]);
    sink.eos();
    assert_eq!(status(&subscriber), "stopped");
    begin_again(&mut sink);
    sink.push("b");
    assert_eq!(subscriber.texts(2), ["online", "b"]);
    sink.eos();
    assert_eq!(status(&subscriber), "stopped");
    sink.stop();
    drop(subscriber);
    assert_eq!(retained(broker.port()), "stopped");
}

#[test]
fn a_will_that_comes_late_is_contradicted() {
    for version in VERSIONS {
        a_will_that_comes_late_is_contradicted_in(version);
    }
}

fn a_will_that_comes_late_is_contradicted_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), TOPIC);
    let sink = announced(broker.port(), &[("mqtt-version", &version)]);
    assert_eq!(status(&subscriber), "online");
    // As from a former run whose broken connection is noticed only now.
    let mut former = Sink::at(broker.port(), &[("topic", &TOPIC), ("retain", &true)]);
    former.push("offline");
    former.eos();
    assert_eq!([status(&subscriber), status(&subscriber)], ["offline", "online"]);
    drop(subscriber);
    assert_eq!(retained(broker.port()), "online");
    sink.stop();
    assert_eq!(retained(broker.port()), "stopped");
}

const PORT: &str = "ORION_TEST_PORT";
const VERSION: &str = "ORION_TEST_VERSION";

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "started by another test"]
fn a_process_to_be_killed() {
    let Ok(port) = env::var(PORT) else { return };
    let version = env::var(VERSION).unwrap();
    let _sink = announced(port.parse().unwrap(), &[("mqtt-version", &version.as_str())]);
    // Until it is killed, or a test that failed to do so is long over.
    std::thread::sleep(3 * PATIENCE);
}

#[test]
fn a_killed_process_is_offline() {
    for version in VERSIONS {
        a_killed_process_is_offline_in(version);
    }
}

fn a_killed_process_is_offline_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), TOPIC);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_process_to_be_killed"])
        .env(PORT, broker.port().to_string())
        .env(VERSION, version)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(status(&subscriber), "online");
    signal_process(child.id().cast_signed(), "-KILL");
    child.wait().unwrap();
    assert_eq!(status(&subscriber), "offline");
    drop(subscriber);
    assert_eq!(retained(broker.port()), "offline");
}

#[test]
fn a_broker_that_freezes_does_not_hold_up_the_end() {
    for version in VERSIONS {
        a_broker_that_freezes_does_not_hold_up_the_end_in(version);
    }
}

fn a_broker_that_freezes_does_not_hold_up_the_end_in(version: &str) {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), TOPIC);
    let mut sink = announced(broker.port(), &[("mqtt-version", &version), ("drain-timeout", &300_000_000_u64)]);
    assert_eq!(status(&subscriber), "online");
    signal_process(broker.pid(), "-STOP");
    sink.push("x");
    let began = Instant::now();
    sink.eos();
    sink.stop();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    signal_process(broker.pid(), "-CONT");
    // Whether it still reads `stopped` or not: without its acknowledgement no goodbye was said.
    while status(&subscriber) != "offline" {}
    drop(subscriber);
    assert_eq!(retained(broker.port()), "offline");
    sink.adds_up();
}

#[test]
fn a_topic_that_could_not_be_published_to_is_refused() {
    let (element, bus) = Sink::element(&[("status-topic", &"care/status/{instance_id}")]);
    for (property, bad, part) in [
        ("status-topic", "care/#", "'#'"),
        ("status-topic", "care/+/x", "'+'"),
        ("status-topic", "care/{type}", "known are {instance_id}"),
        ("instance-id", "a/b", "not an instance id"),
    ] {
        element.set_property(property, bad);
        let warning = text(&bus.pop_filtered(&[gst::MessageType::Warning]).unwrap());
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(element.property::<String>("status-topic"), "care/status/{instance_id}");
    assert_eq!(element.set_state(gst::State::Ready), Err(gst::StateChangeError));
}
