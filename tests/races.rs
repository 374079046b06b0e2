// SPDX-License-Identifier: MPL-2.0
//! Each element while its state, its properties and what flows through it change in any order: random steps from a seed that
//! is printed. `ORION_SEED` repeats a run, `ORION_STEPS` makes it longer, `ORION_SEEDS` plays so many seeds in a row, and
//! `ORION_VERBOSE` prints each step.
//!
//! No step may take long, the book adds up after each, an element starts unless it was given a value that it must refuse, frames
//! flow in the end, and then nothing is left: no object (by GStreamer's `leaks` tracer), no descriptor, no thread, no process.
//! Warnings of GLib and GStreamer end the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/street.rs"]
mod street;
mod support;
#[path = "support/tally.rs"]
mod tally;
#[path = "support/watchman.rs"]
mod watchman;

use std::{
    collections::BTreeSet,
    env,
    io::{Write, stderr},
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use dice::Dice;
use gst::prelude::*;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use street::Street;
use support::{broker::Broker, leaks};
use tally::Tally;
use watchman::{Belongings, Watchman};

/// Steps of each element, unless told otherwise.
const STEPS: u64 = 150;

/// An element, and what may be done to it.
pub struct Subject {
    factory: &'static str,
    /// As it is made.
    properties: Vec<(&'static str, String)>,
    caps: &'static [&'static str],
    /// Properties with values; the first of each lets frames flow.
    wishes: &'static [(&'static str, &'static [&'static str])],
    /// Of these, the ones that are refused, after which the element does not leave NULL before it gets a better one.
    refused: &'static [(&'static str, &'static str)],
    /// Action signals, with their argument.
    commands: &'static [(&'static str, Option<&'static str>)],
    /// What its processes have on their command line.
    tag: String,
}

/// The tests measure the whole process, so one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static ONCE: Once = Once::new();
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    ONCE.call_once(|| {
        // SAFETY: whatever else runs in this process waits for the lock above.
        unsafe { env::set_var("GST_TRACERS", "leaks") };
        gst::init().unwrap();
        assert!(leaks::begin(), "GStreamer's coretracers plugin is needed");
        gstorion::plugin_register_static().unwrap();
        // It starts its thread, which it keeps, when somebody asks it for a timer.
        let clock = gst::SystemClock::obtain();
        clock.new_single_shot_id(clock.time()).wait_async(|_, _, _| {}).unwrap();
        leaks::fatal_warnings();
    });
    guard
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

impl Subject {
    fn run(&self) {
        let first = number("ORION_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            // Short enough to be typed.
            now.as_nanos() as u64 % 1_000_000_000
        });
        let steps = number("ORION_STEPS").unwrap_or(STEPS);
        // What is made once and kept, such as the thread of the system clock, is there before it is counted.
        self.warm_up();
        for seed in first..first + number("ORION_SEEDS").unwrap_or(1) {
            // Past what the test runner holds back, for a process that is ended.
            let _ = writeln!(stderr(), "races: {} begins, ORION_SEED={seed} ORION_STEPS={steps}", self.factory);
            let before = Belongings::settled();
            let start = Instant::now();
            let tally = self.play(seed, steps);
            let took = start.elapsed().as_secs_f64();
            let name = self.factory;
            before.are_all_there_is(&format!("{name}, ORION_SEED={seed}"));
            let live: usize = leaks::leaked().values().sum();
            println!("races: {name} ORION_SEED={seed} ORION_STEPS={steps}: {tally}, {live} live objects, {took:.1} s");
        }
    }

    fn warm_up(&self) {
        let street = Street::new(self, false);
        for (name, values) in self.wishes {
            for value in values.iter().rev() {
                street.element.set_property_from_str(name, value);
            }
        }
        self.play(1, 25);
    }

    fn play(&self, seed: u64, steps: u64) -> Tally {
        let mut dice = Dice::new(seed);
        let who = format!("{}, ORION_SEED={seed}", self.factory);
        let street = Street::new(self, dice.below(2) == 0);
        let watchman = Watchman::new(who.clone());
        let mut game =
            Game { subject: self, street: &street, watchman: &watchman, tally: Tally::default(), bad: BTreeSet::new() };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _guard = End(&over, &street);
            let feeder = scope.spawn(|| street.feed(&over));
            for step in 0..steps {
                game.step(step, &mut dice, &who);
                street.adds_up(&|| format!("after step {step} of {who}"));
            }
            watchman.step(steps, "frames flow in the end".into());
            for (name, values) in self.wishes {
                game.set(name, values[0]);
            }
            game.change(gst::State::Null, &who);
            game.change(gst::State::Playing, &who);
            let before = street.count("forwarded");
            while street.count("forwarded") < before + 5 {
                // The watchman ends this.
                thread::yield_now();
            }
            watchman.step(steps, "the end".into());
            game.change(gst::State::Null, &who);
            over.store(true, SeqCst);
            feeder.join().unwrap();
        });
        street.adds_up(&|| format!("at the end of {who}"));
        // What lies on the disk is in flight until the next run.
        if self.properties.iter().all(|(name, _)| *name != "buffer-directory") {
            assert_eq!(street.count("in-flight"), 0, "{who}: {}", street.stats());
        }
        assert_eq!(street.take_errors(), Vec::<String>::new(), "{who}");
        game.tally.frames = street.pushed();
        game.tally.longest = watchman.longest();
        game.tally
    }
}

/// One run.
struct Game<'a> {
    subject: &'a Subject,
    street: &'a Street,
    watchman: &'a Watchman,
    tally: Tally,
    /// Properties that were given a value last that they refuse.
    bad: BTreeSet<&'static str>,
}

impl Game<'_> {
    fn set(&mut self, name: &'static str, value: &'static str) {
        self.street.element.set_property_from_str(name, value);
        if self.subject.refused.contains(&(name, value)) {
            self.bad.insert(name);
        } else {
            self.bad.remove(name);
        }
    }

    /// Succeeds, unless the element is to leave NULL with a value that it refuses.
    fn change(&mut self, state: gst::State, who: &str) {
        use gst::State::Null;
        let barred = !self.bad.is_empty() && state != Null && self.street.element.current_state() == Null;
        let went = self.street.change(state);
        let errors = self.street.take_errors();
        assert_eq!(went, !barred, "to {state:?}, refused: {:?}, errors: {errors:?}, {who}", self.bad);
        assert_eq!(errors.len(), usize::from(barred), "to {state:?}, errors: {errors:?}, {who}");
        self.tally.states += 1;
        self.tally.barred += u64::from(barred);
    }

    fn step(&mut self, step: u64, dice: &mut Dice, who: &str) {
        use gst::State::{Null, Paused, Playing, Ready};
        let say = |what: String| self.watchman.step(step, what);
        let (subject, street) = (self.subject, self.street);
        match dice.below(16) {
            0..4 => {
                let state = *dice.one(&[Null, Ready, Paused, Playing, Playing]);
                say(format!("state {state:?}"));
                self.change(state, who);
            }
            4 => {
                say("flush".into());
                street.flush();
                self.tally.flushes += 1;
            }
            5 => {
                let flags = *dice.one(&[gst::SeekFlags::FLUSH, gst::SeekFlags::empty()]);
                say(format!("seek {flags:?}"));
                street.seek(flags);
                self.tally.seeks += 1;
            }
            6 => {
                let caps = *dice.one(subject.caps);
                say(format!("caps {caps}"));
                street.order(gst::event::Caps::new(&caps.parse().unwrap()));
                self.tally.caps += 1;
            }
            7 => {
                say("end of stream".into());
                street.order(gst::event::Eos::new());
            }
            8..12 => {
                let (name, values) = dice.one(subject.wishes);
                let value = dice.one(values);
                say(format!("{name}={value}"));
                self.set(name, value);
                self.tally.properties += 1;
            }
            12 if !subject.commands.is_empty() => {
                let (name, argument) = dice.one(subject.commands);
                say(format!("{name} {argument:?}"));
                let argument = argument.map(|text| text.to_value());
                street.element.emit_by_name_with_values(name, argument.as_slice());
            }
            13 if !subject.tag.is_empty() => {
                let processes = watchman::tagged(&subject.tag);
                if let Some(victim) = processes.get(dice.below(processes.len().max(1) as u64) as usize) {
                    let signal = *dice.one(&[Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGTERM]);
                    say(format!("{signal} to a worker"));
                    // It may be gone already.
                    let _ = kill(Pid::from_raw(*victim), signal);
                }
            }
            _ => {
                let pause = Duration::from_micros(dice.below(8_000));
                say(format!("nothing for {pause:?}"));
                thread::sleep(pause);
            }
        }
    }
}

/// Whatever goes wrong must not leave the feeder waiting.
struct End<'a>(&'a AtomicBool, &'a Street);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
        let _ = self.1.element.set_state(gst::State::Null);
    }
}

#[test]
fn orionroi_survives_any_order_of_changes() {
    let _alone = alone();
    let subject = Subject {
        factory: "orionroi",
        properties: vec![],
        caps: &[
            "video/x-raw,format=I420,width=64,height=48,framerate=30/1",
            "video/x-raw,format=RGB,width=32,height=24,framerate=10/1",
            "image/jpeg,width=64,height=48,framerate=30/1",
        ],
        wishes: &[
            ("paused", &["false", "true"]),
            ("max-rate", &["0", "5", "1000"]),
            ("auto-focus", &["true", "false"]),
            ("strategy", &["simple", "smoothing", "velocity"]),
            ("rois", &["", r#"[{"x":0.1,"y":0.1,"width":0.5,"height":0.5}]"#, "no JSON"]),
            ("max-blind-time", &["0", "100000000"]),
            ("instance-id", &["orion", "other", "n o"]),
        ],
        refused: &[],
        commands: &[],
        tag: String::new(),
    };
    subject.run();
}

#[test]
fn orionpyinfer_survives_any_order_of_changes() {
    let _alone = alone();
    let tag = format!("races-{}", std::process::id());
    let stub = env!("CARGO_BIN_EXE_orion-stub-worker");
    let limit = || "300000000".to_owned();
    let subject = Subject {
        factory: "orionpyinfer",
        properties: vec![
            ("worker-command", format!("'{stub}' --load-ms 5 --delay-ms 1 {tag}")),
            ("frame-timeout", limit()),
            ("write-timeout", limit()),
            ("shutdown-timeout", limit()),
            ("startup-timeout", "5000000000".to_owned()),
        ],
        caps: &["image/jpeg,width=8,height=6,framerate=10/1", "image/jpeg,width=16,height=6,framerate=10/1"],
        wishes: &[
            ("model-size", &["n", "s", "m"]),
            ("workers", &["1", "2", "3"]),
            ("confidence", &["0.5", "0.1"]),
            ("labels", &["person", "person,car", "unicorn"]),
            ("max-age", &["0", "20000000"]),
            ("transport", &["auto", "pipe"]),
            ("frame-timeout", &["300000000", "200000000"]),
        ],
        refused: &[],
        commands: &[("restart-worker", None), ("swap-model", Some("l")), ("swap-model", Some("no size"))],
        tag,
    };
    subject.run();
}

#[test]
fn orionmqttsink_survives_any_order_of_changes() {
    let _alone = alone();
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let subject = Subject {
        factory: "orionmqttsink",
        properties: vec![
            ("port", broker.port().to_string()),
            ("topic", "t".to_owned()),
            ("status-topic", "status".to_owned()),
            ("max-reconnect-interval", "100000000".to_owned()),
            ("buffer-directory", folder.path().display().to_string()),
        ],
        caps: &["application/octet-stream", "image/jpeg,width=8,height=6,framerate=10/1"],
        wishes: &[
            ("drain-timeout", &["200000000", "0"]),
            ("host", &["127.0.0.1", "127.0.0.2"]),
            ("mqtt-version", &["3.1.1", "5"]),
            ("mqtt-qos", &["1", "0", "2"]),
            ("profile", &["orion", "frigate", "dlstreamer"]),
            ("outage-policy", &["keep", "newest", "drop"]),
            ("max-buffered-messages", &["1000", "1"]),
            ("topic", &["t", "u/v", "#"]),
            ("snapshot-topic", &["", "snap"]),
            ("privacy", &["false", "true"]),
        ],
        refused: &[("topic", "#")],
        commands: &[],
        tag: String::new(),
    };
    subject.run();
}
