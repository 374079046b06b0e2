// SPDX-License-Identifier: MPL-2.0
//! Each element while its state, its properties and what flows through it change in any order: random steps from a seed that
//! is printed. `ORION_SEED` repeats a run, `ORION_STEPS` makes it longer.
//!
//! No step may take long, the book adds up after each, frames flow in the end, and then nothing is left: no object (by
//! GStreamer's `leaks` tracer), no descriptor, no thread, no process. Warnings of GLib and GStreamer end the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "support/dice.rs"]
mod dice;
#[path = "support/street.rs"]
mod street;
mod support;
#[path = "support/watchman.rs"]
mod watchman;

use std::{
    env,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use dice::Dice;
use gst::{glib, prelude::*};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use street::Street;
use support::broker::Broker;
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
    /// Action signals, with their argument.
    commands: &'static [(&'static str, Option<&'static str>)],
    /// Whether it may refuse to start with some of these properties.
    refusals: bool,
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
        assert!(support::leaks::begin(), "GStreamer's coretracers plugin is needed");
        gstorion::plugin_register_static().unwrap();
        // GStreamer keeps this clock and its thread from the first wait on.
        let clock = gst::SystemClock::obtain();
        let (rang, rings) = mpsc::channel();
        let wait = clock.new_single_shot_id(clock.time());
        wait.wait_async(move |_, _, _| rang.send(()).unwrap_or_default()).unwrap();
        rings.recv_timeout(Duration::from_secs(10)).unwrap();
        glib::log_set_always_fatal(
            glib::LogLevels::LEVEL_WARNING | glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_ERROR,
        );
    });
    guard
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

impl Subject {
    fn run(&self) {
        let seed = number("ORION_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            // Short enough to be typed.
            now.as_nanos() as u64 % 1_000_000_000
        });
        let steps = number("ORION_STEPS").unwrap_or(STEPS);
        println!("races: {} ORION_SEED={seed} ORION_STEPS={steps} begins", self.factory);
        // What is made once and kept, such as the thread of the system clock, is there before it is counted.
        self.warm_up();
        let before = Belongings::settled();
        let start = Instant::now();
        let frames = self.play(seed, steps);
        let took = start.elapsed().as_secs_f64();
        let name = self.factory;
        before.are_all_there_is(&format!("{name}, ORION_SEED={seed}"));
        println!("races: {name} ORION_SEED={seed} ORION_STEPS={steps}: {frames} frames, {took:.1} s");
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

    /// How many frames were pushed.
    fn play(&self, seed: u64, steps: u64) -> u64 {
        let mut dice = Dice::new(seed);
        let street = Street::new(self, dice.below(2) == 0);
        let watchman = Watchman::new(format!("{}, ORION_SEED={seed}", self.factory));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _guard = End(&over, &street);
            let feeder = scope.spawn(|| street.feed(&over));
            for step in 0..steps {
                self.step(&street, &mut dice, |what| watchman.step(step, what));
                street.adds_up(&|| format!("{} after step {step} of ORION_SEED={seed}", self.factory));
            }
            watchman.step(steps, "frames flow in the end".into());
            for (name, values) in self.wishes {
                street.element.set_property_from_str(name, values[0]);
            }
            assert!(street.change(gst::State::Null) && street.change(gst::State::Playing));
            let before = street.count("forwarded");
            while street.count("forwarded") < before + 5 {
                // The watchman ends this.
                thread::yield_now();
            }
            watchman.step(steps, "the end".into());
            over.store(true, SeqCst);
            assert!(street.change(gst::State::Null));
            feeder.join().unwrap()
        });
        street.adds_up(&|| format!("{} at the end of ORION_SEED={seed}", self.factory));
        // What lies on the disk is in flight until the next run.
        if self.properties.iter().all(|(name, _)| *name != "buffer-directory") {
            assert_eq!(street.count("in-flight"), 0, "{}, ORION_SEED={seed}: {}", self.factory, street.stats());
        }
        assert_eq!(street.errors(), Vec::<glib::Error>::new(), "{}, ORION_SEED={seed}", self.factory);
        street.pushed()
    }

    fn step(&self, street: &Street, dice: &mut Dice, say: impl Fn(String)) {
        use gst::State::{Null, Paused, Playing, Ready};
        match dice.below(16) {
            0..4 => {
                let state = *dice.one(&[Null, Ready, Paused, Playing, Playing]);
                say(format!("state {state:?}"));
                let runs = street.change(state);
                assert!(runs || self.refusals, "the state {state:?} is refused");
            }
            4 => {
                say("flush".into());
                street.flush();
            }
            5 => {
                let flags = *dice.one(&[gst::SeekFlags::FLUSH, gst::SeekFlags::empty()]);
                say(format!("seek {flags:?}"));
                street.seek(flags);
            }
            6 => {
                let caps = *dice.one(self.caps);
                say(format!("caps {caps}"));
                street.order(gst::event::Caps::new(&caps.parse().unwrap()));
            }
            7 => {
                say("end of stream".into());
                street.order(gst::event::Eos::new());
            }
            8..12 => {
                let (name, values) = dice.one(self.wishes);
                let value = dice.one(values);
                say(format!("{name}={value}"));
                street.element.set_property_from_str(name, value);
            }
            12 if !self.commands.is_empty() => {
                let (name, argument) = dice.one(self.commands);
                say(format!("{name} {argument:?}"));
                let argument = argument.map(|text| text.to_value());
                street.element.emit_by_name_with_values(name, argument.as_slice());
            }
            13 if !self.tag.is_empty() => {
                let processes = watchman::tagged(&self.tag);
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
        commands: &[],
        refusals: false,
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
        commands: &[("restart-worker", None), ("swap-model", Some("l")), ("swap-model", Some("no size"))],
        refusals: false,
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
        commands: &[],
        // The topic "#" is none to publish on.
        refusals: true,
        tag: String::new(),
    };
    subject.run();
}
