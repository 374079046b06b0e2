// SPDX-License-Identifier: MPL-2.0
//! orionmqttsink over TLS: whom it trusts, who it is, and what it says when that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::Path};

use gst::prelude::*;
use support::{
    broker::{Broker, free_port},
    certificates::{Authority, Pair, Validity},
    sink::{Sink, VERSIONS, text},
};

/// A broker whose certificate stands in files of its own, so that it can be replaced.
struct Secure {
    broker: Broker,
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Secure {
    fn start(make: impl FnOnce(&Authority) -> Pair, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make(dir.path(), "ca");
        install(dir.path(), &make(&authority));
        let path = dir.path().display();
        let ca = authority.cert.display();
        let config =
            format!("allow_anonymous true\ncafile {ca}\ncertfile {path}/live.pem\nkeyfile {path}/live.key\n{more}");
        let broker = Broker::start_with(free_port(), &config);
        Self { broker, dir, authority }
    }

    /// Starts again with another certificate.
    fn change(&mut self, pair: &Pair) {
        self.broker.stop();
        install(self.dir.path(), pair);
        self.broker.resume();
    }

    fn good(authority: &Authority) -> Pair {
        authority.issue("good", "IP:127.0.0.1", Validity::Now)
    }

    fn sink(&self, properties: &[(&str, &dyn ToValue)]) -> Sink {
        let uri = format!("mqtts://127.0.0.1:{}", self.broker.port());
        let ca = utf8(&self.authority.cert);
        let mut all: Vec<(&str, &dyn ToValue)> = vec![("uri", &uri), ("tls-ca-file", &ca), ("topic", &"t")];
        all.extend_from_slice(properties);
        Sink::new(&all)
    }
}

fn install(dir: &Path, pair: &Pair) {
    fs::copy(&pair.cert, dir.join("live.pem")).unwrap();
    fs::copy(&pair.key, dir.join("live.key")).unwrap();
}

fn utf8(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Everything that is pushed now arrives.
fn publishes(sink: &mut Sink) {
    sink.push("x");
    sink.eos();
    assert_eq!((sink.count("acknowledged"), sink.count("buffered")), (1, 0));
}

/// One clear warning while it fails, however often, and everything arrives when the cause is gone.
fn fails_and_recovers(make: impl Fn(&Authority) -> Pair, parts: &[&str]) {
    for version in VERSIONS {
        fails_and_recovers_in(version, &make, parts);
    }
}

fn fails_and_recovers_in(version: &str, make: impl FnOnce(&Authority) -> Pair, parts: &[&str]) {
    let mut secure = Secure::start(make, "");
    let mut sink = secure.sink(&[("mqtt-version", &version), ("max-reconnect-interval", &20_000_000_u64)]);
    let warning = sink.message(gst::MessageType::Warning);
    for part in parts {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    sink.wait_for("connection-failures", 10);
    assert_eq!(sink.messages(gst::MessageType::Warning), [""; 0], "the same cause is named once");
    assert_eq!(sink.stats().get::<bool>("connected"), Ok(false));
    assert_eq!(sink.stats().get::<String>("last-error").unwrap(), warning);
    let good = Secure::good(&secure.authority);
    secure.change(&good);
    publishes(&mut sink);
    assert!(sink.message(gst::MessageType::Info).contains("connected"));
    assert_eq!(sink.count("reconnects"), 0);
}

#[test]
fn a_good_certificate_is_accepted() {
    for version in VERSIONS {
        a_good_certificate_is_accepted_in(version);
    }
}

fn a_good_certificate_is_accepted_in(version: &str) {
    let secure = Secure::start(Secure::good, "");
    publishes(&mut secure.sink(&[("mqtt-version", &version)]));
}

#[test]
fn a_certificate_of_another_authority_is_not() {
    let other = tempfile::tempdir().unwrap();
    fails_and_recovers(
        |_| Secure::good(&Authority::make(other.path(), "other")),
        &["MQTT broker 127.0.0.1:", "certificate is not accepted", "UnknownIssuer", "tls-ca-file must name"],
    );
}

#[test]
fn an_expired_certificate_is_not() {
    fails_and_recovers(
        |authority| authority.issue("old", "IP:127.0.0.1", Validity::Over),
        &["it has expired", "renew it"],
    );
}

#[test]
fn a_certificate_for_another_host_is_not() {
    fails_and_recovers(
        |authority| authority.issue("elsewhere", "DNS:elsewhere.example", Validity::Now),
        &["127.0.0.1", "elsewhere.example", "use one of the names in it as host"],
    );
}

#[test]
fn an_insecure_connection_must_be_asked_for_and_is_warned_of() {
    let secure = Secure::start(|authority| authority.issue("old", "DNS:elsewhere.example", Validity::Over), "");
    let mut sink = secure.sink(&[("tls-insecure", &true)]);
    let warning = sink.message(gst::MessageType::Warning);
    assert!(warning.starts_with("tls-insecure: ") && warning.contains("NOT checked"), "{warning}");
    publishes(&mut sink);
    assert_eq!(sink.messages(gst::MessageType::Warning), [""; 0], "once");
}

#[test]
fn a_broker_that_wants_a_client_certificate_gets_it() {
    for (version, tls) in [("3.1.1", "tlsv1.3"), ("3.1.1", "tlsv1.2"), ("5", "tlsv1.3"), ("5", "tlsv1.2")] {
        let secure = Secure::start(Secure::good, &format!("require_certificate true\ntls_version {tls}"));
        let client = secure.authority.issue("client", "DNS:client", Validity::Now);
        let (cert, key) = (utf8(&client.cert), utf8(&client.key));
        publishes(&mut secure.sink(&[("mqtt-version", &version), ("tls-cert-file", &cert), ("tls-key-file", &key)]));

        let warning = secure.sink(&[("mqtt-version", &version)]).message(gst::MessageType::Warning);
        assert!(warning.contains("tls-cert-file"), "{tls}: {warning}");

        let other = Authority::make(secure.dir.path(), "stranger").issue("stranger", "DNS:client", Validity::Now);
        let (cert, key) = (utf8(&other.cert), utf8(&other.key));
        let warning = secure
            .sink(&[("mqtt-version", &version), ("tls-cert-file", &cert), ("tls-key-file", &key)])
            .message(gst::MessageType::Warning);
        assert!(warning.contains("tls-cert-file must hold"), "{tls}: {warning}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::make(dir.path(), "ca");
    let one = authority.issue("one", "DNS:one", Validity::Now);
    let two = authority.issue("two", "DNS:two", Validity::Now);
    let (ca, cert, key, wrong) = (utf8(&authority.cert), utf8(&one.cert), utf8(&one.key), utf8(&two.key));
    for (properties, expected) in [
        (vec![("tls-cert-file", &cert)], "tls-cert-file is set without tls-key-file".to_owned()),
        (vec![("tls-key-file", &key)], "tls-key-file is set without tls-cert-file".to_owned()),
        (vec![("tls-cert-file", &key), ("tls-key-file", &key)], format!("tls-cert-file {key:?} holds no certificate")),
        (
            vec![("tls-cert-file", &cert), ("tls-key-file", &cert)],
            format!("tls-key-file {cert:?} holds no private key"),
        ),
        (
            vec![("tls-cert-file", &cert), ("tls-key-file", &wrong)],
            format!("the key in tls-key-file {wrong:?} does not belong to the certificate in tls-cert-file {cert:?}"),
        ),
    ] {
        let mut all: Vec<(&str, &dyn ToValue)> = vec![("uri", &"mqtts://127.0.0.1"), ("tls-ca-file", &ca)];
        all.extend(properties.iter().map(|(name, file)| (*name, *file as &dyn ToValue)));
        let (element, bus) = Sink::element(&all);
        assert_eq!(element.set_state(gst::State::Playing), Err(gst::StateChangeError));
        let error = text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
        assert!(error.contains(&expected), "{expected}: {error}");
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_plain_connection_to_a_tls_port_says_so() {
    let secure = Secure::start(Secure::good, "");
    let warning = Sink::at(secure.broker.port(), &[]).message(gst::MessageType::Warning);
    assert!(warning.contains("does it want TLS (mqtts://)?") || warning.contains("reset"), "{warning}");
}
