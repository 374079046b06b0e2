// SPDX-License-Identifier: MPL-2.0
//! Elements that share one pool of workers: what is set on one of them holds for all, and who is set otherwise stays out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/group.rs"]
mod group;
#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use group::{Group, one, stop};
use gst::prelude::*;
use rig::{Rig, alive, init, until};

fn size(rig: &Rig) -> String {
    rig.element().property_value("model-size").serialize().unwrap().into()
}

/// Counts how often a property is told to have changed.
fn notified(rig: &Rig, name: &str) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    rig.element().connect_notify(Some(name), move |_, _| {
        counted.fetch_add(1, SeqCst);
    });
    count
}

#[test]
fn a_swap_by_one_is_a_swap_of_all() {
    let group = Group::new("--load-ms 50", 1);
    let (mut asks, mut follows, mut silent) = (group.rig(), group.rig(), group.rig());
    let told = notified(&follows, "model-size");
    assert_eq!(one(&mut asks)["data"]["metadata"]["model_size"], "n");
    one(&mut follows);
    let old = asks.pid();
    asks.set("model-size", "s");
    assert_eq!((size(&follows), size(&silent)), ("s".to_owned(), "s".to_owned()));
    assert_eq!(told.load(SeqCst), 1);
    let mut seqs = Vec::new();
    for rig in [&mut asks, &mut follows] {
        let (seq, size) = loop {
            let result = one(rig);
            let size = result["data"]["metadata"]["model_size"].as_str().unwrap().to_owned();
            if size != "n" {
                break (result["frame_seq"].as_u64(), size);
            }
        };
        assert_eq!(size, "s");
        seqs.push(seq);
    }
    for (rig, seq) in [&asks, &follows].into_iter().zip(&seqs) {
        rig.swap("started");
        rig.swap("taken-over");
        let done = rig.swap("done");
        assert_eq!((done.applied_at_seq, done.model_size.as_str()), (*seq, "s"), "the first of its own frames");
    }
    until("the old process is gone", || !alive(old));
    assert!([&asks, &follows, &silent].iter().all(|rig| rig.pid() == asks.pid() && rig.count("swaps") == 1));
    silent.swap("taken-over");
    assert_eq!(one(&mut silent)["data"]["metadata"]["model_size"], "s");
    assert_eq!(silent.swap("done").applied_at_seq, Some(0), "with the first frame that it has");
    for rig in [&asks, &follows, &silent] {
        let frames = rig.count("received");
        rig.assert_settled(frames, frames);
    }
    // Who comes now has to be set as they are.
    let mut late = group.rig_with(&[("model-size", "s")]);
    assert_eq!(one(&mut late)["data"]["metadata"]["model_size"], "s");
}

#[test]
fn swaps_by_several_under_full_load_lose_nothing() {
    let group = Group::new("--delay-ms 1", 2);
    let mut loads = [group.load(), group.load(), group.load()];
    for round in 0..9 {
        let size = ["s", "m", "n"][round % 3];
        loads[round % 2].element().set_property_from_str("model-size", size);
        loads.iter_mut().for_each(|load| load.until_size(size));
    }
    loads[2].element().emit_by_name::<()>("restart-worker", &[]);
    while loads[0].count("swaps") < 10 {
        loads.iter_mut().for_each(|load| drop(load.result()));
    }
    loads.iter_mut().for_each(|load| load.finish());
    assert_eq!(loads.each_ref().map(|load| load.count("swaps")), [10; 3]);
    let [first, second, third] = loads;
    for load in [first, second] {
        load.element().set_state(gst::State::Null).unwrap();
    }
    third.end();
}

#[test]
fn what_is_refused_is_taken_back_everywhere() {
    let group = Group::new("--size s=fail", 1);
    let (mut asks, mut follows) = (group.rig(), group.rig());
    one(&mut asks);
    let told = notified(&follows, "model-size");
    asks.set("model-size", "s");
    for rig in [&asks, &follows] {
        assert!(rig.swap("failed").reason.contains("no model in /nowhere"));
        until("the property is back", || size(rig) == "n");
        assert_eq!(rig.count("swaps-failed"), 1);
    }
    until("it was told there and back", || told.load(SeqCst) == 2);
    let command = follows.element().property::<String>("worker-command");
    follows.element().set_property("worker-command", "sh 'x");
    assert!(follows.warning().contains("worker-command \"sh 'x\""));
    assert!([&asks, &follows].iter().all(|rig| rig.element().property::<String>("worker-command") == command));
    assert_eq!(one(&mut follows)["data"]["metadata"]["model_size"], "n");

    asks.set("labels", "unicorn");
    for rig in [&asks, &follows] {
        until("the labels are back", || rig.element().property::<String>("labels") == "person");
    }
}

#[test]
fn thresholds_and_labels_are_those_of_all() {
    let group = Group::new("", 2);
    let (mut asks, mut follows) = (group.rig(), group.rig());
    follows.set("confidence", "0.9");
    asks.set("labels", "dog");
    assert_eq!(asks.element().property::<f64>("confidence"), 0.9);
    until("it is in force", || {
        let metadata = one(&mut asks)["data"]["metadata"].clone();
        metadata["confidence"] == 0.9 && metadata["labels"] == "dog"
    });
    assert_eq!(follows.element().property::<String>("labels"), "dog");
    let in_force = |rig: &Rig| rig.stats().get::<gst::Structure>("in-force").unwrap().get::<String>("labels").unwrap();
    until("all know", || in_force(&asks) == in_force(&follows) && in_force(&asks) == "dog");
    one(&mut follows);
}

#[test]
fn who_is_set_otherwise_stays_out() {
    let group = Group::new("", 1);
    let mut rig = group.rig();
    one(&mut rig);
    for (name, value, theirs) in
        [("model-size", "s", "n"), ("workers", "2", "1"), ("confidence", "0.25", "0.5"), ("labels", "dog", "person")]
    {
        init();
        let element = gst::ElementFactory::make("orionpyinfer").build().unwrap();
        element.set_property("worker-command", group.command());
        element.set_property("worker-group", &group.name);
        element.set_property_from_str(name, value);
        let bus = rig::leaks::bus(&element);
        assert!(element.set_state(gst::State::Playing).is_err());
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else { unreachable!() };
        let text = error.error().to_string();
        assert!(text.contains(&format!("{name} is \"{value}\"")), "{text}");
        assert!(text.contains(&format!("\"{}\" have \"{theirs}\"", group.name)), "{text}");
        element.set_state(gst::State::Null).unwrap();
        // It can come once it is set alike.
        element.set_property_from_str(name, theirs);
        element.set_state(gst::State::Playing).unwrap();
        element.set_state(gst::State::Null).unwrap();
    }
    assert_eq!(one(&mut rig)["frame_seq"], 1, "the group is not disturbed");
}

#[test]
fn a_worker_that_cannot_start_is_an_error_of_all_and_the_group_can_begin_anew() {
    let group = Group::new("--load-ms 200 --start fail", 1);
    let mut rigs = [group.rig(), group.rig(), group.rig()];
    for rig in &mut rigs {
        assert!(rig.error().contains("exited with code 3: no model in /nowhere"));
        assert_eq!(rig.push(), Err(gst::FlowError::Error));
    }
    // The others have not stopped yet.
    let better = Rig::new("", &[("worker-group", &group.name)]);
    until("it is at work", || better.worker().get("state") == Ok("ready"));
    rigs.iter().for_each(stop);
    assert!(alive(better.pid()));
}
