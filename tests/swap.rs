// SPDX-License-Identifier: MPL-2.0
//! `orionpyinfer` while its workers are replaced by others: no frame is lost, none is answered twice, and what fails
//! leaves everything as it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use gst::prelude::*;
use load::Load;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rig::{Rig, alive, until};

/// The stub worker under full load.
fn load(stub: &str, properties: &[(&str, &str)]) -> Load {
    let Rig { harness, .. } = Rig::new(stub, properties);
    Load::new(harness, vec![gst::Buffer::from_slice([1, 2, 3])])
}

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
    let mut load = load("--delay-ms 1", &[("workers", "2")]);
    let mut pids = vec![];
    for round in 0..20 {
        let size = if round % 2 == 0 { "s" } else { "n" };
        pids.extend(load.pids());
        load.element().set_property_from_str("model-size", size);
        // One of the two workers before may answer a frame behind the first one of the new size: that is no news.
        while load.result() != size || load.count("swaps") <= round {}
    }
    assert_eq!(load.count("swaps"), 20);
    until("the old processes are gone", || {
        let now = load.pids();
        pids.iter().all(|pid| now.contains(pid) || !alive(*pid))
    });
    load.end();
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
    assert_eq!(rig.swap("done").model_size, "l");

    rig.set("model-size", "x");
    rig.swap("started");
    rig.set("model-size", "l");
    rig.swap("overtaken");
    assert_eq!(rig.stats().get("swap"), Ok("none"), "what is in force already needs no swap");
    in_order(&flow(&mut rig, is_size("l")));
}

#[test]
fn the_same_wish_again_does_not_begin_anew() {
    let mut rig = Rig::new("--load-ms 300", &[]);
    flow(&mut rig, is_size("n"));
    rig.set("model-size", "s");
    rig.swap("started");
    flow(&mut rig, |rig, _| {
        rig.set("model-size", "s");
        rig.count("swaps") == 1
    });
    assert!(rig.bus.pop_filtered(&[gst::MessageType::Element]).iter().all(|message| {
        gstorion::message::SwapEvent::parse(message).is_none_or(|event| event.event != "overtaken")
    }));
}

#[test]
fn of_many_wishes_few_become_processes() {
    let tag = format!("many-wishes-{}", std::process::id());
    let mut rig = Rig::new(&format!("--load-ms 200 {tag}"), &[]);
    flow(&mut rig, is_size("n"));
    for n in 0..200 {
        rig.set("model-size", ["s", "m", "l", "x"][n % 4]);
    }
    let mut most = 0;
    flow(&mut rig, |_, result| {
        most = most.max(processes_with(&tag).len());
        result["data"]["metadata"]["model_size"] == "x"
    });
    assert!(most < 20, "{most} processes at once");
}

#[test]
fn only_what_workers_are_started_with_needs_a_swap() {
    let mut rig = Rig::new("", &[]);
    flow(&mut rig, is_size("n"));
    rig.set("confidence", "0.9");
    flow(&mut rig, |_, result| result["data"]["metadata"]["confidence"] == 0.9);
    rig.set("model-size", "n");
    rig.set("labels", "dog");
    flow(&mut rig, |_, result| result["data"]["metadata"]["labels"] == "dog");
    assert_eq!((rig.count("swaps"), rig.stats().get("swap")), (0, Ok("none")));
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
fn the_number_of_workers_changes_under_full_load() {
    let mut load = load("--delay-ms 2", &[]);
    for count in [3, 1, 2] {
        load.element().set_property_from_str("workers", &count.to_string());
        while load.pids().len() != count {
            load.result();
        }
        for _ in 0..20 {
            load.result();
        }
    }
    load.end();
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
    // It has two in hand, of which it can only have begun the first.
    rig.push().unwrap();
    rig.push().unwrap();
    rig.set("model-size", "s");
    until("the new one is at work", || rig.count("swaps") == 1);
    for _ in 0..3 {
        rig.push().unwrap();
    }
    assert_eq!([(); 4].map(|()| rig.pull_seq()), [2, 3, 4, 5]);
    assert_eq!(rig.dropped("worker_restart"), 1);
    until("the hung one is gone", || !alive(old.as_raw() as u32));
    rig.assert_settled(6, 5);
}

#[test]
fn a_successor_that_ends_after_its_check_is_not_put_to_work() {
    for _ in 0..5 {
        let mut rig = Rig::new("--size s=checked --delay-ms 1", &[]);
        // So that its answer and its end are found at the same time.
        rig.bus.set_sync_handler(|_, message| {
            if message.type_() == gst::MessageType::Element {
                std::thread::sleep(Duration::from_millis(20));
            }
            gst::BusSyncReply::Pass
        });
        flow(&mut rig, is_size("n"));
        rig.set("model-size", "s");
        // If its end comes after it was put to work, it is started again like any other, and costs a frame.
        let over =
            |rig: &Rig| failed_swaps(rig) == 1 || (rig.count("swaps") == 1 && rig.worker().get("restarts") != Ok(0u64));
        until("it is noticed", || {
            rig.push().unwrap();
            while rig.harness.try_pull().is_some() {}
            over(&rig)
        });
    }
}

#[test]
fn a_successor_that_answers_before_it_reads_does_not_wedge() {
    let limits = [("frame-timeout", "300000000"), ("write-timeout", "200000000")];
    let mut rig = Rig::new("--size s=eager", &limits);
    let big = vec![0; 8 << 20];
    rig.push_bytes(&big).unwrap();
    assert_eq!(rig.pull_seq(), 0);
    rig.set("model-size", "s");
    rig.push_bytes(&big).unwrap();
    assert_eq!(rig.pull_seq(), 1);
    until("it is over", || rig.count("swaps") + failed_swaps(&rig) > 0);
    if rig.count("swaps") > 0 {
        // At work it is noticed as hung, since it never takes a frame to its end.
        until("it is replaced", || rig.worker().get::<u64>("restarts") != Ok(0));
    }
}

#[test]
fn a_model_is_checked_on_a_slow_stream_too() {
    let mut rig = Rig::new("--size s=broken", &[]);
    let pause = || std::thread::sleep(Duration::from_millis(600));
    flow(&mut rig, |_, _| true);
    pause();
    flow(&mut rig, |_, _| true);
    rig.set("model-size", "s");
    pause();
    pause();
    // More than a second later the next frame comes, and shows that the model is broken.
    flow(&mut rig, |rig, _| failed_swaps(rig) == 1);
    assert_eq!(rig.dropped("worker_error"), 0);
}

#[test]
fn no_frame_is_held_after_a_stop_in_the_middle_of_a_swap() {
    struct Told(Vec<u8>, std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl AsRef<[u8]> for Told {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Told {
        fn drop(&mut self) {
            self.1.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let mut rig = Rig::new("--size s=silent", &[("shutdown-timeout", "100000000")]);
    rig.set("model-size", "s");
    until("it is under way", || rig.stats().get("swap") == Ok("under-way"));
    let freed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    rig.harness.push(gst::Buffer::from_slice(Told(vec![1], freed.clone()))).unwrap();
    drop(rig.harness.pull().unwrap());
    rig.element().set_state(gst::State::Null).unwrap();
    until("the frame is free", || freed.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_handler_may_set_properties_while_it_hears_a_warning() {
    let mut rig = Rig::new("", &[]);
    flow(&mut rig, is_size("n"));
    let element = rig.element();
    let good = element.property::<String>("worker-command");
    let (weak, wish) = (element.downgrade(), good.clone());
    rig.bus.set_sync_handler(move |_, message| {
        if let (gst::MessageType::Warning, Some(element)) = (message.type_(), weak.upgrade()) {
            element.set_property("worker-command", &wish);
            assert!(element.property::<gst::Structure>("stats").n_fields() > 0);
        }
        gst::BusSyncReply::Pass
    });
    let (told, set) = std::sync::mpsc::channel();
    let setter = std::thread::spawn(move || {
        element.set_property("worker-command", "sh 'x");
        told.send(()).unwrap();
    });
    set.recv_timeout(Duration::from_secs(20)).expect("it does not wait for itself");
    setter.join().unwrap();
    rig.bus.unset_sync_handler();
    assert!(rig.warning().contains("worker-command \"sh 'x\""));
    assert_eq!(rig.element().property::<String>("worker-command"), good);
}

#[test]
fn a_value_of_which_no_worker_can_be_made_is_taken_back() {
    let mut rig = Rig::new("", &[]);
    flow(&mut rig, is_size("n"));
    let good = rig.element().property::<String>("worker-command");
    rig.element().set_property("worker-command", "sh 'x");
    assert!(rig.warning().contains("the value before stays in force"));
    assert_eq!(rig.element().property::<String>("worker-command"), good);
    rig.set("model-size", "s");
    in_order(&flow(&mut rig, is_size("s")));
}

#[test]
fn what_is_set_during_the_start_is_not_lost() {
    for round in 0..30 {
        rig::init();
        let element = gst::ElementFactory::make("orionpyinfer").build().unwrap();
        element.set_property("worker-command", format!("'{}'", env!("CARGO_BIN_EXE_orion-stub-worker")));
        let (other, go) = (element.clone(), std::sync::Arc::new(std::sync::Barrier::new(2)));
        let begin = go.clone();
        let setter = std::thread::spawn(move || {
            begin.wait();
            std::thread::sleep(Duration::from_micros(round * 20));
            other.set_property_from_str("model-size", "x");
        });
        go.wait();
        element.set_state(gst::State::Paused).unwrap();
        setter.join().unwrap();
        until("the wish is in force", || {
            let stats: gst::Structure = element.property("stats");
            let worker: gst::Structure = stats.get::<gst::Array>("workers").unwrap()[0].get().unwrap();
            worker.get::<String>("model-size").is_ok_and(|size| size == "x")
        });
        element.set_state(gst::State::Null).unwrap();
    }
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
fn a_refusal_does_not_forget_what_was_accepted_before() {
    let mut rig = Rig::new("", &[]);
    rig.set("labels", "dog");
    flow(&mut rig, |_, result| result["data"]["metadata"]["labels"] == "dog");
    rig.set("labels", "unicorn");
    rig.warning();
    until("the property is back", || rig.element().property::<String>("labels") == "dog");
    kill(Pid::from_raw(rig.pid() as i32), Signal::SIGKILL).unwrap();
    until("it is replaced", || rig.worker().get("restarts") == Ok(1u64));
    rig.push().unwrap();
    assert_eq!(rig.pull()["data"]["metadata"]["labels"], "dog");
}

#[test]
fn a_refusal_does_not_undo_a_newer_wish() {
    let mut rig = Rig::new("--delay-ms 200", &[("labels", "dog")]);
    flow(&mut rig, is_size("n"));
    // It is busy, so that its answer comes after the next wish.
    rig.push().unwrap();
    rig.set("labels", "unicorn");
    rig.set("labels", "cat");
    rig.pull();
    assert!(rig.warning().contains("unicorn"));
    flow(&mut rig, |_, result| result["data"]["metadata"]["labels"] == "cat");
    assert_eq!(rig.element().property::<String>("labels"), "cat");
}

#[test]
fn a_swap_that_fails_does_not_undo_a_command_under_way() {
    let mut rig = Rig::new("--delay-ms 300", &[]);
    flow(&mut rig, is_size("n"));
    rig.push().unwrap();
    rig.set("confidence", "0.9");
    rig.element().set_property("worker-command", "/no/such/worker");
    rig.swap("failed");
    rig.pull();
    flow(&mut rig, |_, result| result["data"]["metadata"]["confidence"] == 0.9);
    assert_eq!(rig.element().property::<f64>("confidence"), 0.9);
}

#[test]
fn what_is_tuned_right_after_a_wish_holds_for_it() {
    let mut rig = Rig::new("", &[]);
    flow(&mut rig, is_size("n"));
    // So that the next two find the workers' thread busy, and are taken up together.
    rig.bus.set_sync_handler(|_, message| {
        if gstorion::message::SwapEvent::parse(message).is_some_and(|event| event.event == "started") {
            std::thread::sleep(Duration::from_millis(100));
        }
        gst::BusSyncReply::Pass
    });
    rig.set("model-size", "s");
    rig.set("model-size", "m");
    rig.set("labels", "cat");
    flow(&mut rig, is_size("m"));
    rig.push().unwrap();
    assert_eq!(rig.pull()["data"]["metadata"]["labels"], "cat");
}

#[test]
fn what_is_tuned_during_a_swap_holds_after_it() {
    let mut rig = Rig::new("--load-ms 100", &[("workers", "2")]);
    flow(&mut rig, is_size("n"));
    rig.set("model-size", "s");
    rig.swap("started");
    rig.set("labels", "cat");
    flow(&mut rig, is_size("s"));
    for _ in 0..4 {
        rig.push().unwrap();
    }
    assert_eq!([(); 4].map(|()| rig.pull()["data"]["metadata"]["labels"].clone()), [(); 4].map(|()| "cat"));
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
