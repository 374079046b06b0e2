// SPDX-License-Identifier: MPL-2.0
//! What keeps a sink from its broker: one warning that says what to do, the right counter, and everything arrives when the
//! cause is gone. TLS has its own file.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, net::TcpListener, process::Command};

use gst::prelude::*;
use support::{
    broker::{Broker, Subscriber, free_port, signal_process},
    proxy::{Proxy, Towards},
    sink::Sink,
};

const VERSIONS: [&str; 2] = ["3.1.1", "5"];

fn sink(port: u16, version: &str, more: &[(&str, &dyn ToValue)]) -> Sink {
    let port = u32::from(port);
    let mut properties: Vec<(&str, &dyn ToValue)> =
        vec![("port", &port), ("topic", &"t"), ("keep-alive-interval", &1_u32)];
    properties.extend_from_slice(more);
    let (element, bus) = Sink::element(&properties);
    element.set_property_from_str("mqtt-version", version);
    Sink::of(element, bus, "application/octet-stream")
}

/// Waits until it has failed so often; nothing but the one warning may have been said. `parts`: what it says.
fn fails(sink: &Sink, times: u64, parts: &[&str]) {
    let warning = sink.message(gst::MessageType::Warning);
    for part in parts {
        assert!(warning.contains(part), "no {part:?} in {warning:?}");
    }
    sink.wait_for("connection-failures", times);
    assert_eq!(sink.stats().get::<&str>("last-error"), Ok(warning.as_str()));
    assert_eq!(sink.stats().get::<bool>("connected"), Ok(false));
    let again: Vec<_> =
        sink.messages(gst::MessageType::Warning).into_iter().filter(|other| *other == warning).collect();
    assert_eq!(again, [""; 0], "the same cause is named once");
}

/// All that was pushed arrives, in order.
fn recovers(sink: &mut Sink, subscriber: &Subscriber, messages: usize) {
    assert!(sink.message(gst::MessageType::Info).contains("connected"));
    sink.eos();
    let mut texts = Vec::new();
    while texts.len() < messages {
        let text = subscriber.next().text();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    assert_eq!(texts, (0..messages).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(sink.count("forwarded"), messages as u64);
    sink.adds_up();
}

#[test]
fn somebody_listens_and_never_answers() {
    for version in VERSIONS {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut sink = sink(port, version, &[]);
        sink.push_all(0..20);
        fails(&sink, 1, &["does not answer in time", "is something else listening there"]);
        drop(silent);
        let _broker = Broker::with_session_at(port);
        let subscriber = Subscriber::new(port, "t");
        recovers(&mut sink, &subscriber, 20);
    }
}

#[test]
fn the_network_swallows_everything() {
    for version in VERSIONS {
        for half in [vec![Towards::Server], vec![Towards::Client], vec![Towards::Server, Towards::Client]] {
            let broker = Broker::start();
            let subscriber = Subscriber::new(broker.port(), "t");
            let proxy = Proxy::to(broker.port());
            let mut sink = sink(proxy.port(), version, &[]);
            sink.push_all(0..10);
            sink.wait_for("acknowledged", 10);
            half.iter().for_each(|way| proxy.stall(*way, true));
            sink.push_all(10..20);
            // A broker that hears nothing may be the first to give up, and its farewell comes through.
            let deaf = half == [Towards::Server];
            fails(&sink, 1, if deaf { &[] } else { &["; is the network up"] });
            sink.push_all(20..30);
            half.iter().for_each(|way| proxy.stall(*way, false));
            recovers(&mut sink, &subscriber, 30);
            assert!(sink.count("replayed") >= 10);
        }
    }
}

#[test]
fn the_password_is_wrong_until_the_broker_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let set_password = |password: &str| {
        let status = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["ann", password]).status();
        assert!(status.unwrap().success());
        let all = fs::read_to_string(&file).unwrap();
        let reader = Command::new("mosquitto_passwd").arg("-b").arg(&file).args(["reader", "x"]).status();
        assert!(reader.unwrap().success() && !all.is_empty());
    };
    for version in VERSIONS {
        set_password("old");
        let config = format!("allow_anonymous false\npassword_file {}", file.display());
        let broker = Broker::start_with(free_port(), &config);
        let subscriber = Subscriber::with_credentials(broker.port(), "t", Some(("reader", "x")));
        let mut sink = sink(broker.port(), version, &[("username", &"ann"), ("password", &"new")]);
        sink.push_all(0..20);
        fails(&sink, 3, &["refused the credentials of user \"ann\"", "check username and password"]);
        set_password("new");
        signal_process(broker.pid(), "-HUP");
        recovers(&mut sink, &subscriber, 20);
    }
}

#[test]
fn the_host_has_no_address() {
    for version in VERSIONS {
        // A name that never exists (RFC 6761).
        let mut sink = sink(1, version, &[("host", &"broker.invalid"), ("drain-timeout", &0_u64)]);
        sink.push_all(0..3);
        fails(&sink, 2, &["MQTT broker broker.invalid:1: ", "lookup"]);
        sink.stop();
        assert_eq!(sink.dropped("shutdown"), 3);
    }
}

#[test]
fn a_broker_without_its_memory_gets_everything_anew() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        drop(Subscriber::new(broker.port(), "t"));
        let mut sink = sink(broker.port(), version, &[]);
        sink.push_all(0..10);
        sink.wait_for("acknowledged", 10);
        broker.kill();
        broker.forget();
        sink.push_all(10..20);
        fails(&sink, 1, &["127.0.0.1"]);
        // It comes back as a stranger, and keeps the rest for whoever has subscribed before the sink found it.
        let port = broker.port();
        drop(broker);
        let _broker = Broker::with_session_at(port);
        sink.push_all(20..30);
        sink.eos();
        let subscriber = Subscriber::new(port, "t");
        let texts = subscriber.texts(20);
        assert_eq!(texts, (10..30).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!((sink.count("forwarded"), sink.count("reconnects")), (30, 1));
    }
}
