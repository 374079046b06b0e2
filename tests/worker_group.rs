// SPDX-License-Identifier: MPL-2.0
//! Elements that share one pool of workers: whose turn it is, and that what one of them does costs the others nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/group.rs"]
mod group;
#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use group::{Group, adds_up, one, stop};
use gst::prelude::*;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rig::{Rig, alive, until};

#[test]
fn one_name_is_one_pool_and_the_last_one_ends_it() {
    let group = Group::new("", 1);
    let mut rigs: Vec<_> = (0..3).map(|_| group.rig()).collect();
    for seq in 0..5 {
        for rig in &mut rigs {
            let result = one(rig);
            assert_eq!(result["frame_seq"], seq, "each element counts for itself");
            assert_eq!(result["instance_id"], "orion");
        }
    }
    let pid = rigs[0].pid();
    assert!(rigs.iter().all(|rig| rig.pid() == pid));
    until("all see it rest", || rigs.iter().all(|rig| rig.worker().get("state") == Ok("ready")));
    assert_eq!(group.processes(), [pid]);
    let mut other = Group::new("", 1).rig();
    one(&mut other);
    assert_ne!(other.pid(), pid, "another name is another pool");
    for rig in rigs.drain(..2) {
        stop(&rig);
        rig.assert_settled(5, 5);
        assert_eq!(rig.worker().get("state"), Ok("stopped"));
        assert!(alive(pid));
    }
    assert_eq!(one(&mut rigs[0])["frame_seq"], 5);
    stop(&rigs[0]);
    assert!(!alive(pid), "the last one has ended it");
    // And it can begin again.
    let mut again = group.rig();
    assert_eq!(one(&mut again)["frame_seq"], 0);
}

#[test]
fn coming_and_going_costs_the_others_nothing() {
    let group = Group::new("--delay-ms 1", 2);
    let mut loads = [group.load(), group.load()];
    for _ in 0..20 {
        loads.iter_mut().for_each(|load| drop(load.result()));
        let mut guest = group.rig();
        assert_eq!(one(&mut guest)["frame_seq"], 0);
        // It goes with frames in hand.
        guest.push().unwrap();
        guest.push().unwrap();
        stop(&guest);
        assert!(adds_up(&guest.stats()), "{}", guest.stats());
    }
    loads.iter_mut().for_each(|load| load.finish());
    let [first, second] = loads;
    assert_eq!(first.pids(), second.pids());
    first.element().set_state(gst::State::Null).unwrap();
    second.end();
}

#[test]
fn one_that_floods_leaves_the_others_their_turns() {
    const EACH: u64 = 20;
    let group = Group::new("--delay-ms 5", 1);
    let mut flood = group.load();
    // One that has no frame at all holds nobody up.
    let idle = group.rig();
    (0..5).for_each(|_| drop(flood.result()));
    let others: Vec<_> = (0..7).map(|_| group.rig()).collect();
    let (begin, done) = (Barrier::new(8), AtomicBool::new(false));
    let during = thread::scope(|scope| {
        let threads: Vec<_> = others
            .into_iter()
            .map(|mut rig| {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    (0..EACH).for_each(|seq| assert_eq!(one(&mut rig)["frame_seq"], seq));
                })
            })
            .collect();
        let waits = scope.spawn(|| {
            begin.wait();
            let before = flood.next;
            while !done.load(Relaxed) {
                flood.result();
            }
            flood.next - before
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Relaxed);
        waits.join().unwrap()
    });
    assert!(during <= 2 * EACH, "{during} frames of the one that floods, {EACH} of each other");
    assert_eq!(idle.count("received"), 0);
    flood.finish();
}

#[test]
fn one_that_stands_still_holds_nobody_up() {
    let group = Group::new("--delay-ms 1", 1);
    let text = "videotestsrc ! video/x-raw,format=RGB,width=64,height=48 ! orionpyinfer name=infer ! fakesink";
    let mut rig = group.rig();
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let infer = pipeline.by_name("infer").unwrap();
    infer.set_property("worker-command", group.command());
    infer.set_property("worker-group", &group.name);
    let inside = || infer.property::<gst::Structure>("stats").get::<u64>("in-flight").unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    // One at the sink, two answered, one before the workers.
    until("it is full", || inside() == 4);
    (0..50).for_each(|seq| assert_eq!(one(&mut rig)["frame_seq"], seq));
    assert_eq!(inside(), 4);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(one(&mut rig)["frame_seq"], 50);
}

#[test]
fn a_killed_worker_costs_one_frame_of_one_element() {
    let group = Group::new("--delay-ms 5", 2);
    let rigs: Vec<_> = (0..3).map(|_| group.rig()).collect();
    let stopped = AtomicBool::new(false);
    let lost: u64 = thread::scope(|scope| {
        let threads: Vec<_> = rigs
            .into_iter()
            .map(|mut rig| {
                let stopped = &stopped;
                scope.spawn(move || {
                    let mut seqs = Vec::new();
                    while !stopped.load(Relaxed) {
                        rig.push().unwrap();
                        seqs.extend(std::iter::from_fn(|| rig.harness.try_pull()));
                    }
                    until("the book is settled", || rig.count("in-flight") == 0);
                    seqs.extend(std::iter::from_fn(|| rig.harness.try_pull()));
                    let seqs = seqs.iter().map(|buffer| gstorion::meta::frame(buffer).unwrap().seq);
                    assert!(seqs.is_sorted_by(|a, b| a < b), "in order, each once");
                    assert!(adds_up(&rig.stats()), "{}", rig.stats());
                    let (lost, missing) =
                        (rig.dropped("worker_restart"), rig.count("received") - rig.count("forwarded"));
                    assert_eq!(lost, missing, "{}", rig.stats());
                    (rig, lost)
                })
            })
            .collect();
        for _ in 0..3 {
            until("both run", || group.processes().len() == 2);
            thread::sleep(Duration::from_millis(50));
            kill(Pid::from_raw(group.processes()[0] as i32), Signal::SIGKILL).unwrap();
            thread::sleep(Duration::from_millis(50));
        }
        stopped.store(true, Relaxed);
        // Let go of together, so that none of them ends the pool before the others are done.
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        ended.iter().map(|(_, lost)| lost).sum()
    });
    assert!(lost <= 3, "{lost} frames lost by 3 kills");
}

#[test]
fn the_end_of_one_stream_and_a_flush_are_its_own_affair() {
    let group = Group::new("--delay-ms 2", 1);
    let mut load = group.load();
    let (mut ending, mut flushing) = (group.rig(), group.rig());
    for _ in 0..3 {
        ending.push().unwrap();
        flushing.push().unwrap();
    }
    assert!(ending.harness.push_event(gst::event::Eos::new()));
    assert_eq!([(); 3].map(|()| ending.pull_seq()), [0, 1, 2], "what was before it is finished");
    until("EOS comes out", || {
        std::iter::from_fn(|| ending.harness.try_pull_event()).any(|event| event.type_() == gst::EventType::Eos)
    });
    assert!(flushing.harness.push_event(gst::event::FlushStart::new()));
    assert!(flushing.harness.push_event(gst::event::FlushStop::new(true)));
    assert!(flushing.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    while flushing.harness.try_pull().is_some() {}
    assert_eq!(one(&mut flushing)["frame_seq"], 3);
    until("the book is settled", || adds_up(&flushing.stats()));
    (0..20).for_each(|_| drop(load.result()));
    load.finish();
}

#[test]
fn frames_of_the_same_number_are_not_mixed_up() {
    // Its numbers count over all elements.
    let group = Group::new("--delay-ms 50 --at 0=skip", 1);
    let (mut first, mut second) = (group.rig(), group.rig());
    first.push_bytes(&[1]).unwrap();
    second.push_bytes(&[1; 9]).unwrap();
    let result = second.pull();
    assert_eq!((&result["frame_seq"], &result["data"]["metadata"]["bytes"]), (&0.into(), &9.into()));
    until("the other one is lost", || first.dropped("worker_error") == 1);
    assert_eq!(one(&mut first)["frame_seq"], 1);
    first.assert_settled(2, 1);
}

#[test]
fn quick_comings_and_goings_leave_no_process_and_no_thread() {
    let group = Group::new("", 1);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..25 {
                    let mut rig = group.rig_with(&[("shutdown-timeout", "500000000")]);
                    if n % 3 == 0 {
                        one(&mut rig);
                    }
                    let start = Instant::now();
                    stop(&rig);
                    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
                }
            });
        }
    });
    until("no process is left", || group.processes().is_empty());
    // The other tests of this file may run beside it, so that only threads of an ended process can be told.
    let waiting = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        let pids: Vec<u32> = names.filter_map(|name| name.trim().strip_prefix("orion-wait-")?.parse().ok()).collect();
        pids.into_iter().filter(|pid| !alive(*pid)).count()
    };
    until("no thread is left", || waiting() == 0);
}

#[test]
fn on_live_streams_everyone_gets_fresh_frames() {
    let group = Group::new("--delay-ms 10", 1);
    let mut rigs: Vec<Rig> = (0..3).map(|_| group.rig()).collect();
    rigs.iter_mut().for_each(|rig| rig.harness.set_live(true));
    let rigs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = rigs
            .into_iter()
            .map(|mut rig| {
                scope.spawn(move || {
                    for seq in 0..30 {
                        assert_eq!(one(&mut rig)["frame_seq"], seq);
                    }
                    rig
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    rigs.iter().for_each(|rig| rig.assert_settled(30, 30));
}
