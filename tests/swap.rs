// SPDX-License-Identifier: MPL-2.0
//! `orionpyinfer` while its workers are replaced by others: no frame is lost, none is answered twice, and what fails
//! leaves everything as it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use gst::prelude::*;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rig::{Rig, alive, until};

/// Pushes and pulls until `done`; sequence number and model size of each result.
fn flow(rig: &mut Rig, mut done: impl FnMut(&Rig, &serde_json::Value) -> bool) -> Vec<(u64, String)> {
    let start = Instant::now();
    let mut seen = Vec::new();
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s");
        rig.push().unwrap();
        let result = rig.pull();
        let size = result["data"]["metadata"]["model_size"].as_str().unwrap().to_owned();
        seen.push((result["frame_seq"].as_u64().unwrap(), size));
        if done(rig, &result) {
            return seen;
        }
    }
}

fn is_size(wanted: &str) -> impl FnMut(&Rig, &serde_json::Value) -> bool {
    move |_, result| result["data"]["metadata"]["model_size"] == wanted
}

fn failed_swaps(rig: &Rig) -> u64 {
    rig.count("swaps-failed")
}

fn in_order(seen: &[(u64, String)]) {
    let first = seen[0].0;
    assert!(seen.iter().enumerate().all(|(n, (seq, _))| *seq == first + n as u64), "{seen:?}");
}

#[test]
fn another_model_takes_over_without_losing_a_frame() {
    let mut rig = Rig::new("--load-ms 50", &[]);
    flow(&mut rig, is_size("n"));
    let old = rig.pid();
    rig.set("model-size", "s");
    let seen = flow(&mut rig, is_size("s"));
    in_order(&seen);
    let done = rig.swap("done");
    assert_eq!((done.model_size.as_str(), done.model_file.as_str()), ("s", "stub_s.onnx"));
    assert_eq!(done.applied_at_seq, seen.last().map(|(seq, _)| *seq), "the first frame of the new model");
    assert!(seen.len() > 1, "the old model worked on while the new one was loaded");
    until("the old process is gone", || !alive(old));
    let worker = rig.worker();
    assert_eq!((worker.get::<&str>("model-size"), worker.get::<u64>("restarts")), (Ok("s"), Ok(0)));
    assert_eq!((rig.count("swaps"), failed_swaps(&rig)), (1, 0));
    let frames = rig.count("received");
    rig.assert_settled(frames, frames);
}

#[test]
fn what_fails_leaves_the_old_model_at_work_and_says_why() {
    for (action, reason) in [
        ("fail", "exited with code 3: no model in /nowhere"),
        ("silent", "was not ready within 300ms (startup-timeout)"),
        ("chatter", "sent no protocol message"),
        ("broken", "its answer to a frame was no result: inference_failed"),
        ("fickle", "changed its mind"),
        ("deaf", "(frame-timeout)"),
    ] {
        let limits = [("startup-timeout", "300000000"), ("frame-timeout", "300000000")];
        let mut rig = Rig::new(&format!("--size s={action}"), &limits);
        flow(&mut rig, is_size("n"));
        let pid = rig.pid();
        rig.set("model-size", "s");
        let seen = flow(&mut rig, |rig, _| failed_swaps(rig) == 1);
        in_order(&seen);
        assert!(seen.iter().all(|(_, size)| size == "n"));
        let failed = rig.swap("failed");
        assert!(failed.reason.contains(reason), "{action}: {failed:?}");
        until("the property is back", || {
            rig.element().property_value("model-size").serialize().is_ok_and(|size| size == "n")
        });
        assert_eq!(rig.pid(), pid, "{action}: the same process");
        let frames = rig.count("received");
        rig.assert_settled(frames, frames);
    }
}

#[test]
fn twenty_swaps_under_full_load_lose_nothing_and_leave_no_process() {
    let mut rig = Rig::new("--delay-ms 1", &[("workers", "2")]);
    let mut pids = vec![];
    for round in 0..20 {
        let size = if round % 2 == 0 { "s" } else { "n" };
        pids.push(rig.pid());
        rig.set("model-size", size);
        in_order(&flow(&mut rig, is_size(size)));
    }
    assert_eq!(rig.count("swaps"), 20);
    until("the old processes are gone", || !pids.iter().any(|pid| alive(*pid) && *pid != rig.pid()));
    let frames = rig.count("received");
    rig.assert_settled(frames, frames);
}

#[test]
fn the_last_wish_counts() {
    let mut rig = Rig::new("--load-ms 100", &[]);
    flow(&mut rig, is_size("n"));
    for size in ["s", "m", "l"] {
        rig.set("model-size", size);
    }
    let seen = flow(&mut rig, |_, result| result["data"]["metadata"]["model_size"] != "n");
    in_order(&seen);
    assert_eq!(seen.last().unwrap().1, "l");
    rig.swap("overtaken");
    rig.swap("overtaken");
    assert_eq!(rig.swap("done").model_size, "l");

    rig.set("model-size", "x");
    rig.set("model-size", "l");
    rig.swap("overtaken");
    rig.set("model-size", "l");
    let seen = flow(&mut rig, |rig, _| rig.count("swaps") == 1);
    assert!(seen.iter().all(|(_, size)| size == "l"), "what is in force already needs no swap");
    assert_eq!(rig.stats().get("swap"), Ok("none"));
}

#[test]
fn the_action_signal_swaps_to_the_same_size_too() {
    let mut rig = Rig::new("", &[]);
    flow(&mut rig, is_size("n"));
    let old = rig.pid();
    assert!(rig.element().emit_by_name::<bool>("swap-model", &[&"n"]));
    in_order(&flow(&mut rig, |rig, _| rig.count("swaps") == 1));
    assert_ne!(rig.pid(), old, "the file may be a new one");
    assert!(!rig.element().emit_by_name::<bool>("swap-model", &[&"huge"]));
    assert!(rig.warning().contains("\"huge\" is no model size"));
    assert!(!rig.element().emit_by_name::<bool>("swap-model", &[&None::<String>]));
    assert!(rig.element().emit_by_name::<bool>("swap-model", &[&"m"]));
    in_order(&flow(&mut rig, is_size("m")));
    rig.element().set_state(gst::State::Null).unwrap();
    assert!(!rig.element().emit_by_name::<bool>("swap-model", &[&"s"]), "nothing is running");
}

#[test]
fn the_number_of_workers_changes_while_frames_flow() {
    let mut rig = Rig::new("--delay-ms 2", &[]);
    let workers = |rig: &Rig| rig.stats().get::<gst::Array>("workers").unwrap().len();
    for count in [3, 1, 2] {
        rig.set("workers", &count.to_string());
        in_order(&flow(&mut rig, |rig, _| workers(rig) == count));
    }
    let frames = rig.count("received");
    rig.assert_settled(frames, frames);
}

#[test]
fn a_swap_before_the_first_frame_needs_none() {
    let mut rig = Rig::new("", &[]);
    rig.set("model-size", "s");
    until("it took over", || rig.count("swaps") == 1);
    assert_eq!(flow(&mut rig, |_, _| true), [(0, "s".to_owned())]);
    assert_eq!(rig.swap("done").applied_at_seq, Some(0));
}

#[test]
fn a_worker_that_hangs_does_not_keep_its_successor_from_work() {
    let mut rig = Rig::new("--delay-ms 1", &[("frame-timeout", "500000000")]);
    flow(&mut rig, is_size("n"));
    let old = Pid::from_raw(rig.pid() as i32);
    kill(old, Signal::SIGSTOP).unwrap();
    rig.push().unwrap();
    rig.set("model-size", "s");
    until("the new one is at work", || rig.count("swaps") == 1);
    for _ in 0..3 {
        rig.push().unwrap();
    }
    // What the hung one had in hand is lost, and only that.
    assert_eq!([(); 3].map(|()| rig.pull_seq()), [2, 3, 4]);
    assert_eq!(rig.dropped("worker_restart"), 1);
    until("the hung one is gone", || !alive(old.as_raw() as u32));
    rig.assert_settled(5, 4);
}

#[test]
fn stopping_in_the_middle_of_a_swap_is_bounded_and_leaves_no_process() {
    let tag = format!("middle-of-a-swap-{}", std::process::id());
    let stub = format!("--size s=silent --delay-ms 20 {tag}");
    let mut rig = Rig::new(&stub, &[("shutdown-timeout", "100000000")]);
    flow(&mut rig, is_size("n"));
    rig.set("model-size", "s");
    until("both processes run", || processes_with(&tag).len() == 2);
    rig.push().unwrap();
    let element = rig.element();
    let start = Instant::now();
    element.set_state(gst::State::Null).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    until("the book is settled", || rig.count("in-flight") == 0);
    assert_eq!(processes_with(&tag), Vec::<String>::new());
}

/// Processes whose command line has this word.
fn processes_with(word: &str) -> Vec<String> {
    let found = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        line.split(|byte| *byte == 0).any(|arg| arg == word.as_bytes()).then(|| entry.path().display().to_string())
    });
    found.collect()
}

#[test]
fn thresholds_and_labels_change_in_place_and_outlive_a_restart() {
    let mut rig = Rig::new("", &[]);
    let metadata = |rig: &mut Rig| {
        rig.push().unwrap();
        rig.pull()["data"]["metadata"].clone()
    };
    assert_eq!(metadata(&mut rig)["confidence"], 0.5);
    let pid = rig.pid();
    rig.set("confidence", "0.25");
    rig.set("labels", "dog,cat");
    until("it is in force", || metadata(&mut rig)["labels"] == "dog,cat");
    assert_eq!(metadata(&mut rig)["confidence"], 0.25);
    assert_eq!((rig.pid(), rig.count("swaps")), (pid, 0), "no process was started for it");

    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    until("it is replaced", || rig.worker().get("restarts") == Ok(1u64));
    let after = metadata(&mut rig);
    assert_eq!((&after["confidence"], &after["labels"]), (&0.25.into(), &"dog,cat".into()));

    rig.set("model-size", "s");
    flow(&mut rig, is_size("s"));
    let after = metadata(&mut rig);
    assert_eq!((&after["confidence"], &after["labels"]), (&0.25.into(), &"dog,cat".into()));
}

#[test]
fn a_refused_value_leaves_the_one_before_in_force() {
    let mut rig = Rig::new("", &[("labels", "dog")]);
    flow(&mut rig, is_size("n"));
    rig.set("labels", "unicorn");
    let warning = rig.warning();
    assert!(warning.contains("labels: worker 0 refused it: params.labels: this model has no unicorn"), "{warning}");
    until("the property is back", || rig.element().property::<String>("labels") == "dog");
    rig.push().unwrap();
    assert_eq!(rig.pull()["data"]["metadata"]["labels"], "dog");
}

#[test]
fn a_worker_that_knows_no_commands_costs_no_frame() {
    let mut rig = Rig::new("--start mute", &[("frame-timeout", "100000000")]);
    flow(&mut rig, is_size("n"));
    rig.set("confidence", "0.9");
    assert!(rig.warning().contains("confidence: worker 0 refused it: was not acknowledged"));
    in_order(&flow(&mut rig, is_size("n")));
    assert_eq!(rig.worker().get::<u64>("restarts"), Ok(0));
}

#[test]
fn a_worker_that_leaks_is_replaced_without_losing_a_frame() {
    let mut rig = Rig::new("--leak 8000000", &[("max-worker-memory", "100000000")]);
    let first = rig.pid();
    let seen = flow(&mut rig, |rig, _| {
        // So that the machine has enough of it.
        until("the next look at the memory", || {
            let memory = rig.worker().get::<u64>("memory").unwrap_or(0);
            memory < 150_000_000 || rig.count("swaps") > 0
        });
        rig.count("swaps") == 1
    });
    in_order(&seen);
    until("the leak is gone", || !alive(first));
    let frames = rig.count("received");
    rig.assert_settled(frames, frames);
}
