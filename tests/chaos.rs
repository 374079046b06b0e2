// SPDX-License-Identifier: MPL-2.0
//! Everything at once: swaps, thresholds, other numbers of workers, kills, stops, flushes and new caps from several threads
//! while frames flow. `ORION_CHAOS_SECONDS` makes it longer. State changes have a file of their own: races.rs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/rig.rs"]
mod rig;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use dice::Dice;
use gst::{glib::translate::IntoGlib, prelude::*};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const CAPS: &str = "image/jpeg,width=8,height=6,framerate=10/1";

/// What is done to the element.
#[derive(Clone, Copy, PartialEq)]
enum Chaos {
    /// What a user may do; no frame may be lost.
    Wishes,
    /// And what happens to workers, and flushes.
    Faults,
    /// The same on a live stream.
    LiveFaults,
}

struct Stage {
    element: gst::Element,
    src: gst::Pad,
    /// Held by whoever pushes.
    way: Mutex<()>,
    /// Kept, as the link does not keep it.
    _sink: gst::Pad,
    tag: String,
    results: Arc<Mutex<Vec<u64>>>,
    eos: Arc<AtomicBool>,
    errors: Arc<Mutex<Vec<String>>>,
    /// What upstream was told last.
    refused: AtomicI64,
}

impl Stage {
    fn new(name: &str, live: bool) -> Self {
        rig::init();
        let tag = format!("chaos-{name}-{}", std::process::id());
        let element = gst::ElementFactory::make("orionpyinfer").build().unwrap();
        let stub = env!("CARGO_BIN_EXE_orion-stub-worker");
        element.set_property("worker-command", format!("'{stub}' --load-ms 20 --delay-ms 2 {tag}"));
        element.set_property("workers", 2u32);
        for limit in ["frame-timeout", "write-timeout", "shutdown-timeout"] {
            element.set_property(limit, 400_000_000u64);
        }
        element.set_property("startup-timeout", 5_000_000_000u64);
        let errors = Arc::new(Mutex::new(Vec::new()));
        let (heard, weak) = (errors.clone(), element.downgrade());
        let bus = gst::Bus::new();
        bus.set_sync_handler(move |_, message| {
            // What an application may do in its handler.
            if let Some(element) = weak.upgrade() {
                let _: gst::Structure = element.property("stats");
                element.set_property("iou-threshold", 0.5);
            }
            if let gst::MessageView::Error(error) = message.view() {
                heard.lock().unwrap().push(error.error().to_string());
            }
            gst::BusSyncReply::Drop
        });
        element.set_bus(Some(&bus));
        let (results, eos) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, ended) = (results.clone(), eos.clone());
        let sink = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                let result = &gstorion::meta::inferences(&buffer)[0].result;
                let result: serde_json::Value = serde_json::from_str(result).unwrap();
                seen.lock().unwrap().push(result["frame_seq"].as_u64().unwrap());
                Ok(gst::FlowSuccess::Ok)
            })
            .query_function(|pad, parent, query| match query.view_mut() {
                gst::QueryViewMut::AcceptCaps(query) => {
                    query.set_result(true);
                    true
                }
                gst::QueryViewMut::Caps(query) => {
                    query.set_result(&gst::Caps::new_any());
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            })
            .event_function(move |_, _, event| {
                if event.type_() == gst::EventType::Eos {
                    ended.store(true, SeqCst);
                }
                true
            })
            .build();
        let src = gst::Pad::builder(gst::PadDirection::Src)
            .query_function(move |pad, parent, query| match query.view_mut() {
                gst::QueryViewMut::Latency(query) => {
                    query.set(live, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                    true
                }
                _ => gst::Pad::query_default(pad, parent, query),
            })
            .build();
        sink.set_active(true).unwrap();
        src.set_active(true).unwrap();
        src.link(&element.static_pad("sink").unwrap()).unwrap();
        element.static_pad("src").unwrap().link(&sink).unwrap();
        element.set_state(gst::State::Playing).unwrap();
        let stage = Self {
            element,
            src,
            way: Mutex::default(),
            _sink: sink,
            tag,
            results,
            eos,
            errors,
            refused: AtomicI64::new(0),
        };
        stage.begin();
        stage
    }

    fn begin(&self) {
        self.src.push_event(gst::event::StreamStart::new("chaos"));
        self.src.push_event(gst::event::Caps::new(&CAPS.parse().unwrap()));
        self.segment();
    }

    fn segment(&self) {
        self.src.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    }

    fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    fn forwarded(&self) -> u64 {
        self.stats().get("forwarded").unwrap()
    }

    fn processes(&self) -> Vec<Pid> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let ours = |entry: &std::fs::DirEntry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(|arg| arg == self.tag.as_bytes()))
        };
        let pid = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().parse().ok().map(Pid::from_raw);
        entries.filter(ours).filter_map(pid).collect()
    }

    /// One thing that a user (0), the system (1) or an application (2) does.
    fn strike(&self, chaos: Chaos, who: u64, dice: &mut Dice) {
        let element = &self.element;
        match (who, dice.below(10)) {
            (0, 0..4) => {
                element.set_property_from_str("model-size", dice.one::<&str>(&["n", "s", "m", "l"]));
            }
            (0, 4) => element.emit_by_name::<()>("restart-worker", &[]),
            (0, 5) => assert!(element.emit_by_name::<bool>("swap-model", &[&"x"])),
            (0, 6) => element.set_property("workers", 1 + dice.below(3) as u32),
            (0, _) => element.set_property("confidence", dice.below(100) as f64 / 100.0),
            (1, 0..2) if chaos != Chaos::Wishes => {
                let processes = self.processes();
                if let Some(victim) = processes.get(dice.below(processes.len().max(1) as u64) as usize) {
                    // It may be gone already.
                    let _ = kill(*victim, *dice.one(&[Signal::SIGKILL, Signal::SIGSTOP]));
                }
            }
            (2, 0) if chaos != Chaos::Wishes => {
                self.src.push_event(gst::event::FlushStart::new());
                // Whoever pushes has been sent back by now, and no data may come before the segment.
                let _way = self.way.lock().unwrap();
                self.src.push_event(gst::event::FlushStop::new(true));
                self.segment();
            }
            (2, 2) => {
                let caps = format!("image/jpeg,width={},height=6,framerate=10/1", 8 + dice.below(3));
                self.src.push_event(gst::event::Caps::new(&caps.parse().unwrap()));
            }
            _ => {}
        }
    }

    /// Pushes until `stop`; how many were taken.
    fn push(&self, stop: &AtomicBool) -> u64 {
        let mut pushed = 0;
        for n in 0.. {
            if stop.load(SeqCst) {
                break;
            }
            // Some are larger than any pipe.
            let mut buffer = gst::Buffer::from_slice(vec![1u8; if n % 50 == 7 { 3 << 20 } else { 100 }]);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(n));
            let result = {
                let _way = self.way.lock().unwrap();
                self.src.push(buffer)
            };
            match result {
                Ok(_) => pushed += 1,
                Err(error) => {
                    self.refused.store(error.into_glib().into(), SeqCst);
                    thread::yield_now();
                }
            }
        }
        pushed
    }

    /// Looks at the book all the time; how often.
    fn audit(&self, stop: &AtomicBool) -> u64 {
        let mut looks = 0;
        while !stop.load(SeqCst) {
            let stats = self.stats();
            let count = |field: &str| stats.get::<u64>(field).unwrap();
            let dropped: gst::Structure = stats.get("dropped").unwrap();
            let dropped: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
            assert_eq!(count("received"), count("forwarded") + dropped + count("in-flight"), "{stats}");
            assert!(count("in-flight") <= 30, "{stats}");
            looks += 1;
            thread::sleep(Duration::from_micros(200));
        }
        looks
    }
}

/// Ends the threads, after a panic too.
struct End<'a>([&'a AtomicBool; 2]);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|flag| flag.store(true, SeqCst));
    }
}

fn run(name: &str, chaos: Chaos) {
    let seconds = std::env::var("ORION_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let seed = u64::from(std::process::id()) * 1_000_003 + chaos as u64 + 1;
    println!("{name}: seed {seed}");
    let stage = Stage::new(name, chaos == Chaos::LiveFaults);
    let (stop, quiet, pushed) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let looks = thread::scope(|scope| {
        // Whatever goes wrong here must not leave the others running.
        let _guard = End([&stop, &quiet]);
        let pusher = scope.spawn(|| pushed.store(stage.push(&stop), SeqCst));
        let auditor = scope.spawn(|| stage.audit(&stop));
        let strikers: Vec<_> = (0..3)
            .map(|who| {
                let (stage, quiet) = (&stage, &quiet);
                scope.spawn(move || {
                    let mut dice = Dice::new(seed ^ (who + 1) << 32);
                    while !quiet.load(SeqCst) {
                        stage.strike(chaos, who, &mut dice);
                        thread::sleep(Duration::from_millis(dice.below(120)));
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(seconds));
        quiet.store(true, SeqCst);
        strikers.into_iter().for_each(|striker| striker.join().unwrap());
        // Whatever was done to it: it works on by itself.
        let before = stage.forwarded();
        let (start, error) = (Instant::now(), || stage.refused.load(SeqCst));
        while stage.forwarded() < before + 100 {
            assert!(start.elapsed() < Duration::from_secs(20), "no flow, {} {}", error(), stage.stats());
            thread::yield_now();
        }
        stop.store(true, SeqCst);
        pusher.join().unwrap();
        stage.src.push_event(gst::event::Eos::new());
        rig::until("EOS comes out", || stage.eos.load(SeqCst));
        rig::until("the book is settled", || stage.stats().get("in-flight") == Ok(0u64));
        auditor.join().unwrap()
    });
    let results = stage.results.lock().unwrap().clone();
    println!("{name}: {} of {pushed:?} frames answered, {looks} looks at the book\n{}", results.len(), stage.stats());
    assert_eq!(*stage.errors.lock().unwrap(), Vec::<String>::new());
    assert!(results.is_sorted_by(|a, b| a < b), "in order, each once");
    if chaos == Chaos::Wishes {
        assert_eq!(results.len() as u64, pushed.load(SeqCst), "no frame is lost");
    }
    stage.element.set_state(gst::State::Null).unwrap();
    rig::until("no process is left", || stage.processes().is_empty());
    let (weak, bus) = (stage.element.downgrade(), stage.element.bus().unwrap());
    bus.unset_sync_handler();
    stage.element.set_bus(None);
    drop((stage, bus));
    rig::until("the element is gone", || weak.upgrade().is_none());
}

#[test]
fn what_users_wish_for_costs_no_frame() {
    run("wishes", Chaos::Wishes);
}

#[test]
fn faults_cost_no_more_than_they_must() {
    run("faults", Chaos::Faults);
}

#[test]
fn faults_on_a_live_stream_do_not_stop_it() {
    run("live", Chaos::LiveFaults);
}
