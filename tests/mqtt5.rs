// SPDX-License-Identifier: MPL-2.0
//! What orionmqttsink makes of MQTT 5: properties, reasons and limits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path, sync::mpsc, thread};

use gst::prelude::*;
use rumqttc5::{AsyncClient, Client, Event, Incoming, MqttOptions, Publish, QoS};
use support::{
    broker::{Broker, PATIENCE, Subscriber, free_port},
    fake::{Fake, PINGREQ, PUBLISH},
    sink::{Sink, VERSIONS},
};

const WARNING: gst::MessageType = gst::MessageType::Warning;

fn at(port: u16, more: &[(&str, &dyn ToValue)]) -> Sink {
    let mut properties: Vec<(&str, &dyn ToValue)> = vec![("mqtt-version", &"5")];
    properties.extend_from_slice(more);
    Sink::at(port, &properties)
}

/// The next warning that contains all of these.
#[track_caller]
fn warning(sink: &Sink, parts: &[&str]) -> String {
    let warning = sink.message(WARNING);
    assert!(parts.iter().all(|part| warning.contains(part)), "{parts:?}: {warning}");
    warning
}

/// The first `count` messages at `port` for topic `t`, as MQTT 5 has them; returns when the subscription is confirmed.
fn listen(port: u16, count: usize) -> mpsc::Receiver<Publish> {
    let mut options = MqttOptions::new("listener", ("127.0.0.1", port));
    options.set_max_packet_size(Some(1 << 20));
    let (client, mut connection) = Client::builder(options).capacity(8).build();
    client.subscribe("t", QoS::ExactlyOnce).unwrap();
    let (ready, confirmed) = mpsc::channel();
    let (sender, messages) = mpsc::channel();
    thread::spawn(move || {
        let mut left = count;
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Incoming::SubAck(_))) => ready.send(()).unwrap(),
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    left -= 1;
                    let _ = sender.send(publish);
                }
                Ok(_) => {}
                Err(_) => return,
            }
            if left == 0 {
                let _ = client.disconnect_now();
            }
        }
    });
    confirmed.recv_timeout(PATIENCE).expect("no SUBACK");
    messages
}

#[test]
fn messages_carry_what_they_are_and_how_long_they_are_worth_something() {
    let broker = Broker::start();
    let messages = listen(broker.port(), 4);
    let mut sink = at(broker.port(), &[("message-expiry-interval", &100_u32)]);
    sink.harness.set_src_caps_str("text/plain");
    for qos in 0..3_u8 {
        sink.element.set_property("mqtt-qos", u32::from(qos));
        sink.push("caf\u{e9}");
        let message = messages.recv_timeout(PATIENCE).unwrap();
        assert_eq!((message.qos as u8, message.payload.as_ref()), (qos, "caf\u{e9}".as_bytes()));
        let properties = message.properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
        assert_eq!(properties.payload_format_indicator, Some(1));
        assert!((90..=100).contains(&properties.message_expiry_interval.unwrap()), "{properties:?}");
        assert_eq!(properties.user_properties, []);
    }
    sink.element.set_property("message-expiry-interval", 0_u32);
    sink.harness.set_src_caps_str("image/jpeg");
    sink.push("x");
    let properties = messages.recv_timeout(PATIENCE).unwrap().properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("image/jpeg"));
    assert_eq!((properties.payload_format_indicator, properties.message_expiry_interval), (None, None));
    sink.eos();
    assert_eq!((sink.count("forwarded"), sink.count("acknowledged")), (4, 4));
    assert_eq!(sink.messages(WARNING), [""; 0]);
}

#[test]
fn what_had_to_wait_for_the_broker_says_so() {
    let port = free_port();
    let mut sink = at(port, &[("retain", &true)]);
    sink.push("x");
    sink.message(WARNING);
    let _broker = Broker::start_with(port, "allow_anonymous true");
    sink.eos();
    let message = listen(port, 1).recv_timeout(PATIENCE).unwrap();
    let said = message.properties.unwrap().user_properties;
    assert_eq!((message.retain, said), (true, vec![("replayed".to_owned(), "true".to_owned())]));
    assert_eq!(sink.count("replayed"), 1);
}

#[test]
fn a_message_that_is_too_large_is_given_up_and_the_others_arrive() {
    for version in VERSIONS {
        let broker = Broker::start_with(free_port(), "allow_anonymous true\nmax_packet_size 20000");
        let subscriber = Subscriber::new(broker.port(), "t");
        let mut sink =
            Sink::at(broker.port(), &[("mqtt-version", &version), ("max-reconnect-interval", &20_000_000_u64)]);
        sink.push_all(0..3);
        sink.push(&"x".repeat(30_000));
        sink.push_all(3..10);
        sink.eos();
        let mut texts = subscriber.texts(10);
        // In 3.1.1 the broker closes the connection, and what it had not acknowledged comes again.
        while texts.last().is_none_or(|last| last != "9") {
            texts.push(subscriber.next().text());
        }
        let mut seen = std::collections::HashSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        assert_eq!(texts, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!((sink.count("forwarded"), sink.dropped("refused")), (10, 1), "{version}");
        let warnings = sink.messages(WARNING);
        let about: Vec<_> = warnings.iter().filter(|warning| warning.contains("30000 bytes for topic \"t\"")).collect();
        assert_eq!(about.len(), 1, "{warnings:?}");
        if version == "5" {
            assert!(about[0].contains("packets of 20000 bytes at most"), "{about:?}");
            assert_eq!((sink.count("connection-failures"), warnings.len()), (0, 1));
        } else {
            assert!(sink.count("connection-failures") >= 4, "{}", sink.stats());
        }
        sink.adds_up();
    }
}

/// A broker that lets nobody publish but to `t`.
fn strict(dir: &Path) -> Broker {
    let acl = dir.join("acl");
    fs::write(&acl, "topic readwrite t\n").unwrap();
    // mosquitto 2.0.11 closes the connection on a forbidden message when it may queue any number (0) of them.
    let config = format!("allow_anonymous true\nacl_file {}\nmax_queued_messages 100000", acl.display());
    Broker::start_with(free_port(), &config)
}

#[test]
fn a_forbidden_message_is_given_up_and_the_topic_named() {
    let dir = tempfile::tempdir().unwrap();
    let broker = strict(dir.path());
    let subscriber = Subscriber::new(broker.port(), "t");
    for (forbidden, qos) in [("secret/1", 1_u32), ("secret/2", 2)] {
        let mut sink = at(broker.port(), &[("topic", &forbidden), ("mqtt-qos", &qos)]);
        sink.push("x");
        sink.push("y");
        warning(&sink, &[forbidden, "(not authorized)", "given up"]);
        sink.element.set_property("topic", "t");
        sink.push("z");
        sink.eos();
        assert_eq!(subscriber.next().text(), "z");
        assert_eq!(
            (sink.count("forwarded"), sink.dropped("refused"), sink.count("connection-failures")),
            (1, 2, 0),
            "{}",
            sink.stats()
        );
        assert_eq!(sink.messages(WARNING), [""; 0], "each topic is named once");
        sink.adds_up();
    }
    assert_eq!(subscriber.rest(), []);
}

#[test]
fn a_forbidden_status_topic_is_named_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = strict(dir.path());
    let mut sink = at(broker.port(), &[("status-topic", &"secret")]);
    sink.push("x");
    sink.eos();
    warning(&sink, &["status-topic"]);
    assert_eq!(sink.count("forwarded"), 1, "{}", sink.stats());
    assert_eq!(sink.messages(WARNING), [""; 0]);
}

#[test]
fn less_is_asked_of_a_broker_that_offers_less() {
    let fake = Fake::new();
    let mut sink = at(
        fake.port(),
        &[("status-topic", &"s"), ("mqtt-qos", &2_u32), ("retain", &true), ("keep-alive-interval", &60_u32)],
    );
    // Receive maximum 1, maximum packet size 100, maximum QoS 0, no retain, server keep alive 1.
    let (mut peer, connect) = fake.accept();
    assert_eq!(connect.connect_flags(), 0b0010_1110, "will: retain, QoS 1; clean start");
    peer.connack(0, &[0x21, 0, 1, 0x27, 0, 0, 0, 100, 0x24, 0, 0x25, 0, 0x13, 0, 1]);
    let status = peer.read();
    assert_eq!((status.kind(), status.qos(), status.retain()), (PUBLISH, 0, false));
    assert!(status.ends_with("online"));
    sink.push(&"x".repeat(100));
    sink.push("y");
    let mut message = peer.read();
    while message.kind() != PUBLISH {
        message = peer.read();
    }
    assert_eq!((message.qos(), message.retain(), message.topic().as_str()), (0, false, "t"));
    assert!(message.ends_with("y"));
    let warnings: Vec<_> = (0..3).map(|_| sink.message(WARNING)).collect();
    for part in ["quality of service", "without retain", "100 bytes for topic \"t\""] {
        assert_eq!(warnings.iter().filter(|warning| warning.contains(part)).count(), 1, "{part}: {warnings:?}");
    }
    // Ours is 60 s.
    let mut packet = peer.read();
    while packet.kind() != PINGREQ {
        packet = peer.read();
    }
    sink.push("z");
    drop(peer);
    let (_peer, connect) = fake.accept();
    assert_eq!(connect.connect_flags(), 0b0000_0110, "will: no retain, QoS 0; clean start");
    let keep_alive = &connect.body[8..10];
    assert_eq!(keep_alive, [0, 60], "its wish was for that connection");
    assert_eq!(sink.dropped("refused"), 1);
}

#[test]
fn a_broker_that_takes_one_at_a_time_gets_one_at_a_time() {
    let fake = Fake::new();
    let mut sink = at(fake.port(), &[]);
    sink.push_all(0..5);
    let mut peer = fake.welcome(&[0x21, 0, 1, 0x13, 0, 1]);
    for n in 0..5 {
        let message = peer.read();
        assert!(message.ends_with(&n.to_string()), "{message:?}");
        // Nothing but a sign of life before it is acknowledged.
        assert_eq!(peer.read().kind(), PINGREQ);
        peer.send(&[0xD0, 0]);
        // "No matching subscribers" is none of our business.
        peer.puback(message.id(), 0x10);
    }
    sink.eos();
    assert_eq!((sink.count("forwarded"), sink.count("connection-failures")), (5, 0));
}

#[test]
fn a_will_that_the_broker_does_not_want_is_made_acceptable() {
    let fake = Fake::new();
    let sink = at(fake.port(), &[("status-topic", &"s")]);
    for (code, flags) in [(0x9A, 0b0010_1110), (0x9B, 0b0000_1110)] {
        let (mut peer, connect) = fake.accept();
        assert_eq!(connect.connect_flags(), flags);
        peer.connack(code, &[]);
    }
    let (mut peer, connect) = fake.accept();
    assert_eq!(connect.connect_flags(), 0b0000_0110);
    peer.connack(0, &[0x24, 0, 0x25, 0]);
    let status = peer.read();
    assert!(status.ends_with("online") && status.qos() == 0 && !status.retain());
    warning(&sink, &["without retain"]);
    warning(&sink, &["quality of service"]);
    assert_eq!(sink.messages(WARNING), [""; 0]);
}

#[test]
fn a_quota_is_waited_for() {
    let fake = Fake::new();
    let mut sink = at(fake.port(), &[]);
    sink.push("a");
    let mut peer = fake.welcome(&[]);
    let message = peer.read();
    peer.puback(message.id(), 0x97);
    warning(&sink, &["does not take a message now", "quota exceeded"]);
    let mut peer = fake.welcome(&[]);
    let message = peer.read();
    assert!(message.ends_with("a"));
    peer.puback(message.id(), 0);
    sink.eos();
    assert_eq!((sink.count("forwarded"), sink.dropped("refused"), sink.count("reconnects")), (1, 0, 1));
}

#[test]
fn the_reason_of_an_end_is_told() {
    let fake = Fake::new();
    let sink = at(fake.port(), &[("max-reconnect-interval", &10_000_000_u64)]);
    for (reason, words, remedy) in [
        (0x8E, "session taken over", "same client-id"),
        (0x8B, "server shutting down", "tried again"),
        (0x89, "server busy", "tried again"),
        (0x98, "administrative action", "administrator"),
        (0x95, "packet too large", "larger than the broker allows"),
        (0x97, "quota exceeded", "limit"),
        (0x9C, "use another server", "new address"),
    ] {
        fake.welcome(&[]).disconnect(reason, "because");
        warning(&sink, &[words, "\"because\"", remedy]);
    }
    assert_eq!(sink.count("connection-failures"), 7);
}

#[test]
fn only_some_reasons_cost_a_message() {
    for (reason, given_up) in [(0x8B, false), (0x95, true)] {
        let fake = Fake::new();
        let mut sink = at(fake.port(), &[("max-reconnect-interval", &10_000_000_u64)]);
        sink.push("x");
        for _ in 0..5 {
            let mut peer = fake.welcome(&[]);
            assert!(peer.read().ends_with("x"));
            peer.disconnect(reason, "");
        }
        let mut peer = fake.welcome(&[]);
        sink.push("y");
        let next = peer.read();
        assert!(next.ends_with(if given_up { "y" } else { "x" }), "{next:?}");
        assert_eq!(sink.dropped("refused"), u64::from(given_up));
    }
}

#[test]
fn the_reason_of_a_refusal_is_told() {
    for (code, parts) in [
        (0x84, ["does not speak MQTT 5", "set mqtt-version=3.1.1"]),
        (0x85, ["refused the client-id", "set another"]),
        (0x86, ["without credentials", "set username"]),
        (0x87, ["without credentials", "set username"]),
        (0x89, ["server busy", "tried again"]),
        (0x8A, ["banned", "administrator"]),
        (0x9D, ["server moved", "new address"]),
    ] {
        let fake = Fake::new();
        let sink = at(fake.port(), &[]);
        fake.accept().0.connack(code, &[]);
        warning(&sink, &parts);
    }
    // What a broker says that knows 3.1.1 only, before it closes.
    let fake = Fake::new();
    let sink = at(fake.port(), &[]);
    fake.accept().0.send(&[0x20, 2, 0, 1]);
    warning(&sink, &["mqtt-version=3.1.1"]);
    let fake = Fake::new();
    let sink = Sink::at(fake.port(), &[]);
    fake.accept().0.send(&[0x20, 2, 0, 1]);
    warning(&sink, &["does not speak MQTT 3.1.1", "use another broker"]);
}

#[test]
fn another_client_with_the_same_id_is_told() {
    let broker = Broker::start();
    let sink = at(broker.port(), &[("client-id", &"twin"), ("max-reconnect-interval", &60_000_000_000_u64)]);
    sink.wait_for("reconnects", 0);
    while sink.stats().get::<bool>("connected") != Ok(true) {
        thread::yield_now();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = MqttOptions::new("twin", ("127.0.0.1", broker.port()));
        let (_client, mut events) = AsyncClient::builder(options).capacity(1).build();
        events.poll().await.unwrap();
    });
    // mosquitto 2.0.11 does not say so, it just closes.
    warning(&sink, &["same client-id"]);
}
