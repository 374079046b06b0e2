// SPDX-License-Identifier: MPL-2.0
//! Pictures of frames with a detection.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use gst::prelude::*;
use gstorion::meta;
use serde_json::Value;
use support::{
    broker::{Broker, Received, Subscriber, free_port},
    result::{inferred, result},
    sink::Sink,
};

const RGB: &str = "video/x-raw,format=RGB,width=16,height=8,framerate=10/1";
const TOPIC: &str = "pictures/{instance_id}/{label}";

fn sink(port: u16, caps: &str, more: &[(&str, &dyn ToValue)]) -> Sink {
    let port = u32::from(port);
    let mut properties: Vec<(&str, &dyn ToValue)> = vec![("port", &port), ("snapshot-topic", &TOPIC)];
    properties.extend_from_slice(more);
    let (element, bus) = Sink::element(&properties);
    let sink = Sink::of(element, bus, caps);
    // Pictures wait for nobody.
    sink.wait_until("connected", |stats| stats.get("connected") == Ok(true));
    sink
}

/// A frame with these bytes on which somebody is seen, or nobody.
fn frame(seq: u64, bytes: Vec<u8>, somebody: bool) -> gst::Buffer {
    let template = inferred(seq, &["person_detection"]);
    let mut buffer = gst::Buffer::from_slice(bytes);
    let inner = buffer.get_mut().unwrap();
    meta::set_frame(inner, &meta::frame(&template).unwrap()).unwrap();
    let mut inference = meta::inferences(&template).remove(0);
    if !somebody {
        let mut nobody = result("person_detection", seq);
        nobody["data"]["detections"] = Value::Array(Vec::new());
        nobody["data"]["count"] = 0.into();
        inference.result = nobody.to_string();
    }
    meta::add_inference(inner, &inference).unwrap();
    buffer
}

fn is_picture(message: &Received) -> bool {
    message.topic.starts_with("pictures/")
}

/// The sequence numbers of `count` results, repeats left out; what else comes is kept.
fn results(subscriber: &Subscriber, count: usize, pictures: &mut Vec<Received>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let message = subscriber.next();
        if is_picture(&message) {
            pictures.push(message);
        } else {
            let seq = serde_json::from_slice::<Value>(&message.payload).unwrap()["frame_seq"].as_u64().unwrap();
            if !numbers.contains(&seq) {
                numbers.push(seq);
            }
        }
    }
    numbers
}

#[test]
fn a_frame_with_somebody_is_shown_once_an_interval() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let mut sink = sink(broker.port(), "image/jpeg", &[("snapshot-interval", &u64::MAX)]);
    sink.harness.push(frame(0, b"nobody".to_vec(), false)).unwrap();
    for seq in 1..50 {
        sink.harness.push(frame(seq, format!("picture {seq}").into_bytes(), true)).unwrap();
    }
    let mut pictures = Vec::new();
    assert_eq!(results(&subscriber, 50, &mut pictures), (0..50).collect::<Vec<_>>());
    sink.wait_for("snapshots", 1);
    sink.eos();
    pictures.extend(subscriber.rest().into_iter().filter(is_picture));
    if pictures.is_empty() {
        pictures.push(subscriber.next());
    }
    assert_eq!(pictures.len(), 1);
    assert_eq!((pictures[0].topic.as_str(), pictures[0].text().as_str()), ("pictures/ward-3/person", "picture 1"));
    assert_eq!((sink.count("published"), sink.count("forwarded")), (50, 50), "pictures are no frames");
    assert_eq!((sink.count("snapshots"), sink.count("snapshots-dropped")), (1, 0));
    sink.adds_up();
}

#[test]
fn a_raw_frame_is_shown_as_jpeg() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "pictures/#");
    let mut sink = sink(broker.port(), RGB, &[]);
    sink.harness.push(frame(0, vec![200; 16 * 8 * 3], true)).unwrap();
    let picture = subscriber.next().payload;
    assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]), "{picture:?}");
    sink.stop();
}

#[test]
fn what_is_no_picture_is_named_once() {
    let broker = Broker::start();
    let mut sink = sink(broker.port(), "video/x-h264", &[("snapshot-interval", &0_u64)]);
    for seq in 0..3 {
        sink.harness.push(frame(seq, vec![1], true)).unwrap();
    }
    assert_eq!(
        sink.message(gst::MessageType::Warning),
        "snapshots are made of image/jpeg or video/x-raw, not of video/x-h264"
    );
    sink.eos();
    assert_eq!(sink.messages(gst::MessageType::Warning), [""; 0]);
    assert_eq!((sink.count("snapshots"), sink.count("forwarded")), (0, 3));
}

#[test]
fn privacy_lets_no_picture_out_whatever_is_set_when() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    for caps in ["image/jpeg", RGB] {
        let mut sink = sink(broker.port(), caps, &[("snapshot-interval", &0_u64), ("privacy", &true)]);
        let mut seq = 0;
        let mut push = |sink: &mut Sink, count: u64| {
            for _ in 0..count {
                sink.harness.push(frame(seq, vec![9; 16 * 8 * 3], true)).unwrap();
                seq += 1;
                sink.wait_for("acknowledged", seq);
            }
        };
        push(&mut sink, 10);
        assert_eq!(sink.count("snapshots"), 0);
        sink.element.set_property("privacy", false);
        while sink.count("snapshots") == 0 {
            push(&mut sink, 1);
        }
        sink.element.set_property("privacy", true);
        push(&mut sink, 10);
        sink.element.set_property("privacy", false);
        sink.element.set_property("snapshot-topic", "");
        push(&mut sink, 10);
        // Whatever was on its way when it was forbidden has gone by then.
        sink.stop();
        let mut pictures = Vec::new();
        assert_eq!(results(&subscriber, seq as usize, &mut pictures).len() as u64, seq);
        pictures.extend(subscriber.rest());
        let allowed = seq - 30;
        assert!((1..=allowed).contains(&(pictures.len() as u64)), "{} pictures of {allowed} frames", pictures.len());
        assert!(pictures.iter().all(is_picture));
    }
}

#[test]
fn privacy_erases_what_the_broker_has_kept() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "pictures/#");
    let mut sink = sink(broker.port(), "image/jpeg", &[("retain", &true)]);
    sink.harness.push(frame(0, b"somebody".to_vec(), true)).unwrap();
    assert_eq!(subscriber.next().text(), "somebody");
    sink.element.set_property("privacy", true);
    assert_eq!(subscriber.next().text(), "");
    sink.stop();
    drop(subscriber);
    let latecomer = Subscriber::new(broker.port(), "pictures/#");
    let mut other = Sink::at(broker.port(), &[("topic", &"pictures/end")]);
    other.push("end");
    let first = std::iter::repeat_with(|| latecomer.next()).find(|message| message.text() == "end" || message.retain);
    assert_eq!(first.unwrap().text(), "end", "nothing is kept");
}

#[test]
fn without_a_broker_no_picture_is_kept() {
    let port = free_port();
    let (element, bus) = Sink::element(&[("port", &u32::from(port)), ("snapshot-topic", &"t"), ("topic", &"t")]);
    element.set_property("snapshot-interval", 0_u64);
    let mut sink = Sink::of(element, bus, "image/jpeg");
    for seq in 0..5 {
        sink.harness.push(frame(seq, vec![7; 1000], true)).unwrap();
    }
    assert_eq!((sink.count("buffered"), sink.count("snapshots"), sink.count("snapshots-dropped")), (5, 0, 0));
    let _broker = Broker::with_session_at(port);
    let subscriber = Subscriber::new(port, "t");
    sink.eos();
    for seq in 0..5 {
        let json: Value = serde_json::from_slice(&subscriber.next().payload).expect("a result and no picture");
        assert_eq!(json["frame_seq"], seq);
    }
}

/// 50 MB to a broker that takes 20,000 bytes: with 3.1.1 it closes the connection, with 5 it says so before.
#[test]
fn a_picture_that_is_too_large_costs_no_result() {
    for version in ["3.1.1", "5"] {
        let broker = Broker::start_with(free_port(), "allow_anonymous true\nmax_packet_size 20000");
        let subscriber = Subscriber::new(broker.port(), "#");
        let (element, bus) = Sink::element(&[
            ("port", &u32::from(broker.port())),
            ("snapshot-topic", &TOPIC),
            ("snapshot-interval", &0_u64),
        ]);
        element.set_property_from_str("mqtt-version", version);
        let mut sink = Sink::of(element, bus, "image/jpeg");
        sink.wait_until("connected", |stats| stats.get("connected") == Ok(true));
        let mut pictures = Vec::new();
        let mut seq = 0;
        let mut push = |sink: &mut Sink, size: usize| {
            sink.wait_until("connected", |stats| stats.get("connected") == Ok(true));
            sink.harness.push(frame(seq, vec![seq as u8; size], true)).unwrap();
            seq += 1;
        };
        // With 3.1.1, once may be chance.
        for _ in 0..if version == "5" { 1 } else { 2 } {
            let dropped = sink.count("snapshots-dropped");
            push(&mut sink, 50_000_000);
            sink.wait_for("snapshots-dropped", dropped + 1);
        }
        let mut warnings = std::iter::repeat_with(|| sink.message(gst::MessageType::Warning));
        let warning = warnings.find(|warning| warning.contains("snapshot")).unwrap();
        assert!(warning.contains("50000000 bytes"), "{version}: {warning}");
        for _ in 0..3 {
            push(&mut sink, 50_000_000);
        }
        push(&mut sink, 10_000);
        sink.wait_for("snapshots", 1);
        sink.eos();
        let failures = sink.count("connection-failures");
        assert_eq!(failures, if version == "5" { 0 } else { 2 }, "{version}");
        let again = sink.messages(gst::MessageType::Warning).into_iter().filter(|text| text.contains("snapshot"));
        assert_eq!(again.count(), 0, "{version}: said once");
        let total = seq;
        assert_eq!(results(&subscriber, total as usize, &mut pictures), (0..total).collect::<Vec<_>>(), "{version}");
        assert_eq!((sink.count("received"), sink.count("forwarded")), (total, total), "{version}");
        if pictures.is_empty() {
            pictures.push(subscriber.next());
        }
        assert_eq!((pictures.len(), pictures[0].payload.len()), (1, 10_000), "{version}");
    }
}
