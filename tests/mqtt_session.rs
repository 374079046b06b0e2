// SPDX-License-Identifier: MPL-2.0
//! orionmqttsink with a session that outlives its connections (`clean-start=false`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use gst::prelude::*;
use support::{
    broker::{Broker, PATIENCE, Subscriber},
    fake::{DISCONNECT, Fake},
    proxy::{Proxy, Towards},
    sink::{Sink, VERSIONS, text},
};

const ID: &str = "ward-3";

fn kept(port: u16, version: &str, more: &[(&str, &dyn ToValue)]) -> Sink {
    let mut properties: Vec<(&str, &dyn ToValue)> = vec![
        ("mqtt-version", &version),
        ("client-id", &ID),
        ("clean-start", &false),
        ("mqtt-qos", &2_u32),
        ("max-reconnect-interval", &10_000_000_u64),
    ];
    properties.extend_from_slice(more);
    Sink::at(port, &properties)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Numbers that look random and are the same in each run.
fn scatter(n: usize) -> usize {
    let mut x = n as u64 + 0x9E37_79B9;
    for _ in 0..3 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x as usize
}

/// Messages that go while one connection after the other is cut in their midst. Each carries its number.
fn cut_often(version: &str, more: &[(&str, &dyn ToValue)]) {
    const ROUNDS: usize = 40;
    // Packet ids begin again in the midst of a round.
    const STEP: usize = 13;
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "t");
    let proxy = Proxy::to(broker.port());
    let mut sink = kept(proxy.port(), version, more);
    for round in 0..ROUNDS {
        // At least 180 bytes go there for so many messages, and 100 come back.
        let (towards, most) = [(Towards::Server, 160), (Towards::Client, 95)][round % 2];
        proxy.cut_after(towards, 1 + scatter(round) % most);
        sink.push_all(round * STEP..(round + 1) * STEP);
        proxy.wait_for_cuts(round + 1);
        sink.wait_for("acknowledged", ((round + 1) * STEP) as u64);
    }
    sink.eos();
    assert_eq!(subscriber.texts(ROUNDS * STEP), numbers(0..ROUNDS * STEP), "{version}");
    assert_eq!(sink.count("forwarded"), (ROUNDS * STEP) as u64);
    assert!(sink.count("connection-failures") >= ROUNDS as u64);
    assert_eq!(subscriber.rest(), [], "{version}: each once");
    sink.adds_up();
}

#[test]
fn each_message_arrives_once_and_in_order_over_lost_connections() {
    cut_often("3.1.1", &[]);
}

#[test]
fn each_message_arrives_once_and_in_order_over_lost_connections_with_5() {
    cut_often("5", &[]);
}

#[test]
fn nor_does_the_status_disturb_them() {
    for version in VERSIONS {
        cut_often(version, &[("status-topic", &"s")]);
    }
}

#[test]
fn a_broker_that_forgot_the_session_gets_everything_anew() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        let proxy = Proxy::to(broker.port());
        let mut sink = kept(proxy.port(), version, &[]);
        sink.push("before");
        sink.wait_for("acknowledged", 1);
        // Nothing of what is sent now is acknowledged.
        proxy.stall(Towards::Client, true);
        sink.push_all(0..40);
        sink.wait_for("published", 2);
        proxy.refuse(true);
        proxy.cut();
        proxy.stall(Towards::Client, false);
        broker.kill();
        broker.forget();
        broker.resume();
        let subscriber = Subscriber::new(broker.port(), "t");
        proxy.refuse(false);
        sink.eos();
        assert_eq!(subscriber.texts(40), numbers(0..40), "{version}");
        assert_eq!((sink.count("forwarded"), sink.count("buffered")), (41, 0));
        sink.adds_up();
    }
}

#[test]
fn every_quality_of_service_survives_lost_connections() {
    for version in VERSIONS {
        let broker = Broker::start();
        let subscriber = Subscriber::new(broker.port(), "t");
        let proxy = Proxy::to(broker.port());
        let mut sink = kept(proxy.port(), version, &[]);
        for (round, qos) in [0, 2, 1, 2, 0, 1].into_iter().enumerate() {
            proxy.cut_after(Towards::Server, 30);
            sink.element.set_property("mqtt-qos", qos as u32);
            sink.push_all(round * 50..(round + 1) * 50);
            proxy.wait_for_cuts(round + 1);
            sink.wait_for("acknowledged", (round as u64 + 1) * 50);
        }
        sink.push("end");
        sink.eos();
        let texts = std::iter::repeat_with(|| subscriber.next().text()).take_while(|text| text != "end");
        let mut last = None;
        for number in texts.map(|text| text.parse::<usize>().unwrap()) {
            // At QoS 0 a message may be lost with its connection, at 1 some come again.
            let qos = [0, 2, 1, 2, 0, 1][number / 50];
            assert!(qos == 1 || last.is_none_or(|last| last < number), "{version}: {number} after {last:?}");
            last = last.max(Some(number));
        }
        assert_eq!((sink.count("forwarded"), sink.count("buffered")), (301, 0));
        sink.adds_up();
    }
}

#[test]
fn the_status_is_right_after_every_loss() {
    for version in VERSIONS {
        let broker = Broker::start();
        let proxy = Proxy::to(broker.port());
        let mut sink = kept(proxy.port(), version, &[("status-topic", &"s")]);
        let subscriber = Subscriber::new(broker.port(), "s");
        assert_eq!(subscriber.next().text(), "online");
        for round in 0..20 {
            sink.wait_for("reconnects", round as u64);
            // Sometimes the status of the last connection was not yet acknowledged.
            if round % 2 == 0 {
                proxy.cut_after(Towards::Client, 1 + scatter(round) % 8);
                sink.push("x");
                proxy.wait_for_cuts(round + 1);
            } else {
                proxy.cut();
            }
            sink.wait_for("connection-failures", round as u64 + 1);
        }
        sink.push("y");
        sink.eos();
        sink.stop();
        let last = std::iter::repeat_with(|| subscriber.next().text()).find(|text| text == "stopped");
        assert!(last.is_some());
        assert_eq!(subscriber.rest(), [], "{version}: nothing comes behind it");
        drop(subscriber);
        let subscriber = Subscriber::new(broker.port(), "s");
        let kept = std::iter::repeat_with(|| subscriber.next()).find(|message| message.retain).unwrap();
        assert_eq!(kept.text(), "stopped", "{version}");
    }
}

/// What CONNACK says about a session that the client with [`ID`] has left at the broker; it stays there.
fn session_is_there(port: u16, version: &str) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let five = version == "5";
    let mut rest = vec![0, 4, b'M', b'Q', b'T', b'T', if five { 5 } else { 4 }, 0, 0, 60];
    if five {
        // Session expiry interval: 1000 s.
        rest.extend([5, 0x11, 0, 0, 3, 0xE8]);
    }
    rest.extend([0, ID.len() as u8]);
    rest.extend(ID.as_bytes());
    let mut packet = vec![0x10, rest.len() as u8];
    packet.extend(rest);
    stream.write_all(&packet).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[3]), (0x20, 0));
    answer[2] & 1 == 1
}

#[test]
fn what_a_former_run_left_behind_is_no_harm() {
    for version in VERSIONS {
        let broker = Broker::start();
        assert!(!session_is_there(broker.port(), version));
        assert!(session_is_there(broker.port(), version));
        let subscriber = Subscriber::new(broker.port(), "#");
        let mut sink = kept(broker.port(), version, &[("status-topic", &"s")]);
        sink.push_all(0..20);
        sink.eos();
        let mut expected = numbers(0..20);
        expected.insert(0, "online".into());
        expected.push("stopped".into());
        assert_eq!(subscriber.texts(22), expected, "{version}: not offline first");
        assert_eq!(sink.count("connection-failures"), 0);
        sink.stop();
        assert_eq!(session_is_there(broker.port(), version), version == "3.1.1", "MQTT 5 can end it");
    }
}

#[test]
fn an_old_status_that_is_acknowledged_late_does_not_stand_for_the_new_one() {
    let fake = Fake::new();
    let sink = kept(fake.port(), "5", &[("status-topic", &"s")]);
    let mut peer = fake.welcome(&[]);
    let old = peer.read();
    assert!(old.ends_with("online"));
    drop(peer);
    let (mut peer, connect) = fake.accept();
    assert_eq!(connect.connect_flags() & 2, 0, "no clean start");
    peer.resume(&[]);
    let again = peer.read();
    assert_eq!((again.id(), again.first & 8), (old.id(), 8), "a repeat");
    let new = peer.read();
    assert!(new.ends_with("online"));
    let stopping = thread::spawn(move || sink.stop());
    assert!(peer.read().ends_with("stopped"));
    peer.puback(old.id(), 0);
    peer.puback(new.id(), 0);
    assert!(!peer.rest().contains(&DISCONNECT), "a goodbye would silence the will");
    stopping.join().unwrap();
}

#[test]
fn a_broker_with_other_limits_gets_a_new_session() {
    let fake = Fake::new();
    let mut sink = kept(fake.port(), "5", &[]);
    let mut peer = fake.welcome(&[]);
    sink.push("x");
    assert!(peer.read().ends_with("x"));
    drop(peer);
    let (mut peer, connect) = fake.accept();
    assert_eq!(connect.connect_flags() & 2, 0, "no clean start");
    peer.resume(&[0x21, 0, 5]);
    assert_eq!(peer.rest(), [0; 0]);
    let (mut peer, connect) = fake.accept();
    assert_eq!(connect.connect_flags() & 2, 2, "a clean start");
    peer.connack(0, &[0x21, 0, 5]);
    let message = peer.read();
    assert!(message.ends_with("x") && message.first & 8 == 0, "{message:?}");
    let warnings = sink.messages(gst::MessageType::Warning);
    assert!(warnings.iter().any(|warning| warning.contains("other limits")), "{warnings:?}");
}

#[test]
fn a_session_without_a_name_is_refused() {
    let (element, bus) = Sink::element(&[("clean-start", &false)]);
    assert_eq!(element.set_state(gst::State::Playing), Err(gst::StateChangeError));
    let error = text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
    assert!(error.contains("clean-start=false needs a client-id"), "{error}");
    element.set_state(gst::State::Null).unwrap();
}
