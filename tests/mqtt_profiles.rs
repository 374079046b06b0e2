// SPDX-License-Identifier: MPL-2.0
//! Results as consumers of DL Streamer and Frigate know them. Every message is held against its schema as it comes in.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use gst::prelude::*;
use gstorion::meta;
use serde_json::{Value, json};
use support::{
    broker::{Broker, Received, Subscriber, free_port},
    result::inferred,
    sink::Sink,
};

fn sink(port: u16, profile: &str, more: &[(&str, &dyn ToValue)]) -> Sink {
    let port = u32::from(port);
    let mut properties: Vec<(&str, &dyn ToValue)> = vec![("port", &port)];
    properties.extend_from_slice(more);
    let (element, bus) = Sink::element(&properties);
    element.set_property_from_str("profile", profile);
    Sink::of(element, bus, "image/jpeg,width=200,height=100")
}

fn json(message: &Received) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

/// A frame with a person, captured so many seconds ago.
fn seen_ago(seq: u64, seconds: u64) -> gst::Buffer {
    let mut buffer = inferred(seq, &["person_detection"]);
    let mut frame = meta::frame(&buffer).unwrap();
    frame.captured -= seconds * 1_000_000_000;
    let inner = buffer.get_mut().unwrap();
    meta::set_frame(inner, &frame).unwrap();
    buffer
}

#[test]
fn dl_streamer_consumers_get_their_json() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let mut sink = sink(broker.port(), "dlstreamer", &[]);
    assert_eq!(sink.element.property::<String>("topic"), "dlstreamer/{instance_id}/{type}");
    let mut buffer = inferred(3, &["person_detection"]);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_seconds(2));
    sink.harness.push(buffer).unwrap();
    let message = subscriber.next();
    assert_eq!(message.topic, "dlstreamer/ward-3/person_detection");
    let frame = json(&message);
    assert_eq!(frame["resolution"], json!({"width": 200, "height": 100}));
    assert_eq!(frame["timestamp"], 2_000_000_000_u64);
    let object = &frame["objects"][0];
    assert_eq!((&object["x"], &object["y"], &object["w"], &object["h"]), (&json!(1), &json!(2), &json!(3), &json!(4)));
    let detection = &object["detection"];
    assert_eq!(detection["bounding_box"], json!({"x_min": 0.005, "y_min": 0.02, "x_max": 0.02, "y_max": 0.06}));
    assert_eq!((&detection["confidence"], &detection["label"]), (&json!(0.5), &json!("person")));
    sink.eos();
    sink.adds_up();
}

#[test]
fn frigate_consumers_get_an_event_when_somebody_comes_and_one_at_the_end() {
    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    for ends in ["with EOS", "with a stop"] {
        let mut sink = sink(broker.port(), "frigate", &[("event-threshold", &0.3_f64)]);
        for seq in 0..8 {
            sink.harness.push(seen_ago(seq, 8 - seq)).unwrap();
        }
        let begun = json(&subscriber.next());
        assert_eq!((&begun["type"], &begun["after"]["camera"]), (&json!("new"), &json!("ward-3")));
        assert_eq!((&begun["after"]["label"], &begun["after"]["box"]), (&json!("person"), &json!([1, 2, 4, 6])));
        if ends == "with EOS" {
            sink.eos()
        } else {
            sink.stop()
        }
        let ended =
            std::iter::repeat_with(|| subscriber.next()).find(|message| json(message)["type"] == "end").unwrap();
        assert_eq!(ended.topic, "frigate/events");
        assert_eq!(json(&ended)["after"]["id"], begun["after"]["id"], "{ends}");
        assert!(json(&ended)["after"]["end_time"].is_number());
        assert_eq!((sink.count("received"), sink.count("forwarded")), (8, 8), "events are no frames");
        sink.adds_up();
    }
}

#[test]
fn nothing_of_orions_own_is_said_to_other_systems_consumers() {
    let port = free_port();
    let mut sink = sink(port, "dlstreamer", &[("max-buffered-messages", &2_u32), ("topic", &"t")]);
    for seq in 0..10 {
        sink.harness.push(inferred(seq, &["person_detection"])).unwrap();
    }
    assert_eq!(sink.dropped("queue_full"), 8);
    let _broker = Broker::with_session_at(port);
    let subscriber = Subscriber::new(port, "t");
    sink.eos();
    let frames: Vec<_> = (0..2).map(|_| json(&subscriber.next())["tags"]["frame_seq"].clone()).collect();
    assert_eq!(frames, [8, 9]);
    assert_eq!(sink.count("gap-records"), 0);
    assert_eq!(subscriber.rest(), []);
}
