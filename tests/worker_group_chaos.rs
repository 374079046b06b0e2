// SPDX-License-Identifier: MPL-2.0
//! Everything at once in a group of elements: swaps, thresholds, kills, flushes, comings and goings, each on a thread of its
//! own. `ORION_CHAOS_SECONDS` makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/group.rs"]
mod group;
#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use group::{Group, adds_up};
use gst::prelude::*;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rig::{JPEG_CAPS, Rig, until};

/// Numbers that look random (xorshift, Marsaglia 2003); the seed is printed, so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Leaves the group and comes back, set like `other`, which never leaves.
fn rejoin(rig: &mut Rig, other: &gst::Element) {
    let element = rig.element();
    let start = Instant::now();
    element.set_state(gst::State::Null).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "it waits for nobody: {:?}", start.elapsed());
    assert!(adds_up(&rig.stats()), "{}", rig.stats());
    // Another one may change them just then.
    until("it is back", || {
        for name in ["model-size", "confidence"] {
            element.set_property_from_value(name, &other.property_value(name));
        }
        element.set_state(gst::State::Playing).is_ok()
    });
    rig.harness.play();
    rig.harness.set_src_caps_str(JPEG_CAPS);
}

fn flush(rig: &mut Rig) {
    rig.harness.push_event(gst::event::FlushStart::new());
    rig.harness.push_event(gst::event::FlushStop::new(true));
    rig.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
}

/// What one element lives through; how many results it has seen.
fn live(rig: &mut Rig, stays: bool, first: &gst::Element, dice: &mut Dice, stop: &AtomicBool) -> u64 {
    let (mut results, mut last) = (0, None);
    while !stop.load(SeqCst) {
        match dice.below(200) {
            0 => rig.set("model-size", ["n", "s", "m", "l"][dice.below(4) as usize]),
            1 => rig.element().set_property("confidence", dice.below(100) as f64 / 100.0),
            2 if dice.below(4) == 0 => rig.element().emit_by_name::<()>("restart-worker", &[]),
            3..6 if !stays => {
                rejoin(rig, first);
                last = None;
            }
            6..9 => flush(rig),
            _ => {
                rig.push().unwrap();
            }
        }
        while let Some(buffer) = rig.harness.try_pull() {
            let seq = gstorion::meta::frame(&buffer).unwrap().seq;
            if stays {
                assert!(last.is_none_or(|last| seq > last), "in order, each once");
            }
            (results, last) = (results + 1, Some(seq));
        }
    }
    results
}

#[test]
fn whatever_happens_to_a_group_it_works_on() {
    let seconds = std::env::var("ORION_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let seed = u64::from(std::process::id()) * 1_000_003 + 7;
    println!("seed {seed}");
    let group = Group::new("--load-ms 20 --delay-ms 2", 2);
    let limits = [("frame-timeout", "400000000"), ("shutdown-timeout", "400000000"), ("write-timeout", "400000000")];
    let rigs: Vec<_> = (0..4).map(|_| group.rig_with(&limits)).collect();
    let (first, stop) = (rigs[0].element(), AtomicBool::new(false));
    let mut rigs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = rigs
            .into_iter()
            .enumerate()
            .map(|(n, mut rig)| {
                let (first, stop) = (&first, &stop);
                scope.spawn(move || {
                    let mut dice = Dice(seed ^ (n as u64 + 1) << 32);
                    // Whatever goes wrong here must not leave the others running.
                    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        live(&mut rig, n < 2, first, &mut dice, stop)
                    }));
                    stop.store(true, SeqCst);
                    println!("element {n}: {lived:?} results");
                    lived.unwrap();
                    rig
                })
            })
            .collect();
        let start = Instant::now();
        let mut dice = Dice(seed);
        while start.elapsed() < Duration::from_secs(seconds) && !stop.load(SeqCst) {
            thread::sleep(Duration::from_millis(700));
            let processes = group.processes();
            if let Some(victim) = processes.get(dice.below(processes.len().max(1) as u64) as usize) {
                let signals = [Signal::SIGKILL, Signal::SIGSTOP];
                // It may be gone already.
                let _ = kill(Pid::from_raw(*victim as i32), signals[dice.below(2) as usize]);
            }
        }
        stop.store(true, SeqCst);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for rig in &mut rigs {
        until("the book is settled", || adds_up(&rig.stats()));
        let before = rig.count("forwarded");
        until("it works on", || {
            rig.push().unwrap();
            rig.count("forwarded") > before
        });
        until("the book is settled", || adds_up(&rig.stats()));
        assert!(rig.bus.pop_filtered(&[gst::MessageType::Error]).is_none_or(|error| {
            let gst::MessageView::Error(error) = error.view() else { unreachable!() };
            // While it was away something was changed.
            error.error().to_string().contains("set alike")
        }));
    }
    let size = |rig: &Rig| rig.element().property_value("model-size").serialize().unwrap();
    assert!(rigs.iter().all(|rig| size(rig) == size(&rigs[0])), "all read the same");
    drop(first);
    for rig in &rigs {
        rig.element().set_state(gst::State::Null).unwrap();
    }
    until("no process is left", || group.processes().is_empty());
}
