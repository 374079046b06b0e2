// SPDX-License-Identifier: MPL-2.0
//! A live pipeline whose broker goes away and comes back. `ORION_OUTAGE_SECONDS=60` for the long form.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    env,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gst::prelude::*;
use orion_core::{gap::Gap, ledger::Cause};
use serde_json::Value;
use support::broker::{Broker, PATIENCE, Subscriber};

const RATE: u64 = 10;

/// A live camera, a worker, and a sink for each of `sinks`, which publishes to its own name.
fn pipeline(port: u16, sinks: &[(&str, &str)]) -> gst::Pipeline {
    gst::init().unwrap();
    gstorion::plugin_register_static().unwrap();
    support::leaks::watch();
    let branches: String = sinks
        .iter()
        .map(|(name, properties)| {
            format!(
                " t. ! queue ! orionmqttsink name={name} port={port} topic={name}/{{type}} \
                 max-reconnect-interval=500000000 drain-timeout={} {properties}",
                PATIENCE.as_nanos()
            )
        })
        .collect();
    let text = format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=64,height=48,framerate={RATE}/1 ! jpegenc \
         ! orionroi instance-id=ward-3 ! orionpyinfer worker-command=\"'{}'\" ! tee name=t{branches}",
        env!("CARGO_BIN_EXE_orion-stub-worker")
    );
    gst::parse::launch(&text).unwrap().downcast().unwrap()
}

/// Notes when each buffer passes.
fn clocked(pipeline: &gst::Pipeline) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&times);
    let pad = pipeline.by_name("t").unwrap().static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        notes.lock().unwrap().push(Instant::now());
        gst::PadProbeReturn::Ok
    });
    times
}

struct Heard {
    topic: String,
    json: Value,
}

/// What one sink has published, repeats left out.
#[derive(Default)]
struct Story {
    numbers: Vec<u64>,
    replayed: Vec<u64>,
    gaps: Vec<Gap>,
}

fn story(heard: &[Heard], sink: &str) -> Story {
    let mut story = Story::default();
    for message in heard.iter().filter(|message| message.topic.starts_with(&format!("{sink}/"))) {
        if message.json["type"] == "gap" {
            assert_eq!(message.topic, format!("{sink}/gap"));
            story.gaps.push(serde_json::from_value(message.json.clone()).unwrap());
            continue;
        }
        let seq = message.json["frame_seq"].as_u64().unwrap();
        if !story.numbers.contains(&seq) {
            story.numbers.push(seq);
            if message.json["replayed"] == true {
                story.replayed.push(seq);
            }
        }
    }
    story
}

fn count(pipeline: &gst::Pipeline, sink: &str, field: &str) -> u64 {
    pipeline.by_name(sink).unwrap().property::<gst::Structure>("stats").get(field).unwrap()
}

#[test]
fn an_outage_of_the_broker_costs_nothing_but_what_the_bound_says() {
    let seconds: u64 = env::var("ORION_OUTAGE_SECONDS").map_or(6, |text| text.parse().unwrap());
    let bound = if seconds < 60 { 20 } else { 100 };
    let mut broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let bounded = format!("max-buffered-messages={bound}");
    let sinks = [
        ("keep", ""),
        ("bounded", bounded.as_str()),
        ("newest", "outage-policy=newest"),
        ("none", "outage-policy=drop"),
    ];
    let pipeline = pipeline(broker.port(), &sinks);
    let times = clocked(&pipeline);
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut heard = Vec::new();
    let mut hear = |until: &mut dyn FnMut(&[Heard]) -> bool| {
        while !until(&heard) {
            let message = subscriber.next();
            let json = serde_json::from_slice(&message.payload).unwrap();
            heard.push(Heard { topic: message.topic, json });
        }
        heard.len()
    };
    let at_least = |sink: &'static str, seq: u64| {
        move |heard: &[Heard]| {
            heard.iter().any(|m| m.topic.starts_with(sink) && m.json["frame_seq"].as_u64() >= Some(seq))
        }
    };
    // All four have said number 10; the next comes a tenth of a second later.
    for sink in ["keep", "bounded", "newest", "none"] {
        hear(&mut at_least(sink, 10));
    }
    broker.kill();
    let before = times.lock().unwrap().len();
    // The outage is what is measured, so this is no wait for something else.
    std::thread::sleep(Duration::from_secs(seconds));
    let passed = times.lock().unwrap()[before..].to_vec();
    broker.resume();
    let last = before as u64 + seconds * RATE + 20;
    for sink in ["keep", "bounded", "newest", "none"] {
        hear(&mut at_least(sink, last));
    }
    pipeline.send_event(gst::event::Eos::new());
    let patience = gst::ClockTime::from_nseconds(PATIENCE.as_nanos() as u64);
    let ended = pipeline.bus().unwrap().timed_pop_filtered(patience, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert!(matches!(ended.unwrap().view(), gst::MessageView::Eos(_)));
    let produced = times.lock().unwrap().len() as u64;
    for (sink, _) in sinks {
        hear(&mut at_least(sink, produced - 1));
    }

    let longest = passed.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("{} frames in an outage of {seconds} s; longest interval {longest:?}", passed.len());
    let expected = seconds * RATE;
    assert!(passed.len() as u64 >= expected * 9 / 10, "{} frames, {expected} were expected", passed.len());
    // Whoever waits for a broker waits for seconds.
    assert!(longest < Duration::from_secs(1), "{longest:?}");

    let all: Vec<u64> = (0..produced).collect();
    let keep = story(&heard, "keep");
    assert_eq!(keep.numbers, all, "none missing, none out of order");
    assert!(keep.gaps.is_empty());
    assert!(keep.replayed.len() as u64 >= expected * 9 / 10, "{} of them late", keep.replayed.len());
    assert!(keep.replayed.windows(2).all(|pair| pair[1] == pair[0] + 1), "those of the outage: {:?}", keep.replayed);
    assert_eq!(count(&pipeline, "keep", "replayed"), keep.replayed.len() as u64);

    for (sink, cause) in [("bounded", Cause::QueueFull), ("newest", Cause::NoConnection), ("none", Cause::NoConnection)]
    {
        let story = story(&heard, sink);
        assert!(story.numbers.is_sorted(), "{sink}: {:?}", story.numbers);
        let missing: Vec<u64> = all.iter().copied().filter(|seq| !story.numbers.contains(seq)).collect();
        let mut said: Vec<u64> = Vec::new();
        for gap in &story.gaps {
            assert_eq!(
                (gap.cause, gap.instance_id.as_str(), gap.missing_type.as_str()),
                (cause, "ward-3", "person_detection")
            );
            said.extend(gap.ranges.as_slice().iter().flat_map(|range| range.first..=range.last));
        }
        println!("{sink}: {} missing, {} gap records, {} late", missing.len(), story.gaps.len(), story.replayed.len());
        assert_eq!(said, missing, "{sink}: exactly the numbers of the gap records are missing");
        let least = match sink {
            "bounded" => expected * 9 / 10 - bound,
            _ => expected * 9 / 10 - 1,
        };
        assert!(missing.len() as u64 >= least, "{sink}: {missing:?}");
    }
    for (sink, _) in sinks {
        let dropped: gst::Structure =
            pipeline.by_name(sink).unwrap().property::<gst::Structure>("stats").get("dropped").unwrap();
        let dropped: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
        let received = count(&pipeline, sink, "received");
        assert_eq!((received, count(&pipeline, sink, "forwarded") + dropped), (produced, produced), "{sink}");
    }
    pipeline.set_state(gst::State::Null).unwrap();
}
