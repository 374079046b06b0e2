// SPDX-License-Identifier: MPL-2.0

use std::{collections::BTreeMap, thread};

use orion_core::{profile::frigate::Config, report::ClockSource};

use super::*;
use crate::meta::{FrameInfo, Inference};

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sink that makes events without a broker, of which each object is one at once.
fn sink(forget_after: u64) -> crate::orionmqttsink::OrionMqttSink {
    gst::init().unwrap();
    crate::plugin_register_static().unwrap();
    let sink = glib::Object::new::<crate::orionmqttsink::OrionMqttSink>();
    sink.set_property("host", "127.0.0.1");
    sink.set_property("port", 9_u32);
    sink.set_property_from_str("profile", "frigate");
    sink.set_state(gst::State::Paused).unwrap();
    let config = Config { threshold: 0.0, end_after: forget_after, forget_after, ..Config::default() };
    *lock(&sink.imp().translator) = Translator::with(Profile::Frigate, config);
    sink
}

/// A frame with a person, of which nobody says how large it is; the camera has no clock.
fn buffer(seq: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    let frame = FrameInfo {
        seq,
        epoch: 0,
        captured: seq,
        clock_source: ClockSource::Camera,
        arrived: 0,
        instance_id: "ward".into(),
        room_id: String::new(),
        planned: None,
    };
    let result = serde_json::json!({
        "type": "x", "instance_id": "ward", "room_id": "", "timestamp": "t", "frame_seq": seq, "timing": {"total_ms": 1.0},
        "data": {
            "detections": [{"bbox": {"x": 5.0, "y": 5.0, "width": 5.0, "height": 5.0}, "confidence": 0.5, "label": "person"}],
            "count": 1,
        },
    });
    let (kind, result) = ("x".into(), result.to_string());
    let inference = Inference { kind, result, sent: 0, answered: 0, lost: BTreeMap::new() };
    let inner = buffer.get_mut().unwrap();
    meta::set_frame(inner, &frame).unwrap();
    meta::add_inference(inner, &inference).unwrap();
    buffer
}

fn buffered(sink: &crate::orionmqttsink::OrionMqttSink) -> u64 {
    sink.property::<gst::Structure>("stats").get("buffered").unwrap()
}

#[test]
fn the_timer_ends_an_event_although_no_frame_comes_any_more() {
    let sink = sink(1);
    sink.imp().render(&buffer(1)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while buffered(&sink) < 2 {
        assert!(Instant::now() < deadline, "no end: {:?}", sink.property::<gst::Structure>("stats"));
        thread::sleep(Duration::from_millis(10));
    }
    let left = lock(&sink.imp().translator).finish(&lock(&sink.imp().settings).delivery()).unwrap();
    assert!(left.is_empty(), "it was the end");
    sink.set_state(gst::State::Null).unwrap();
}

#[test]
fn nothing_is_said_between_a_translation_and_its_place_in_line() {
    let sink = sink(u64::MAX);
    let (link, delivery) = (sink.imp().link().unwrap(), lock(&sink.imp().settings).delivery());
    thread::scope(|scope| {
        let held = link.hold();
        scope.spawn(|| sink.imp().render(&buffer(1)).unwrap());
        // It cannot get into line now. Whoever gets at the translator meanwhile must not find what it has said.
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            if let Ok(mut translator) = sink.imp().translator.try_lock() {
                let end = translator.finish(&delivery).unwrap();
                assert!(end.is_empty(), "an end before its beginning is in line");
            }
            thread::yield_now();
        }
        drop(held);
    });
    assert_eq!(buffered(&sink), 1);
    sink.set_state(gst::State::Null).unwrap();
    assert_eq!(sink.property::<gst::Structure>("stats").get("messages-dropped"), Ok(2_u64), "a beginning and an end");
}

#[test]
fn an_unknown_size_is_told_to_the_application_once() {
    let sink = sink(u64::MAX);
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    for seq in 1..9 {
        sink.imp().render(&buffer(seq)).unwrap();
    }
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]));
    let texts = warnings.filter_map(|message| match message.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().message().to_owned()),
        _ => None,
    });
    let texts: Vec<_> = texts.filter(|text| text.contains("size of the frames")).collect();
    assert_eq!(texts, ["the size of the frames is not known: events have neither region nor path_data"]);
    sink.set_state(gst::State::Null).unwrap();
}
