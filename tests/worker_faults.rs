// SPDX-License-Identifier: MPL-2.0
//! Everything that can go wrong with a worker, one test each: the pipeline goes on, the book adds up, and the time to the
//! next good result is printed (`cargo test --test worker_faults -- --nocapture --test-threads 1`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/rig.rs"]
mod rig;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use gst::prelude::*;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rig::{Rig, alive, until};

/// What the stub worker needs until it is ready.
const LOAD_MS: u64 = 100;
/// A worker that is dead, not merely silent, is replaced within this time and its load time.
const DEAD: Duration = Duration::from_secs(1);
const FRAME_TIMEOUT: Duration = Duration::from_millis(500);
/// The frame at which it happens.
const BAD: u64 = 2;

struct Fault {
    name: &'static str,
    /// How the stub worker is started.
    stub: String,
    /// Frames that are lost by it, with the cause.
    lost: Option<(&'static str, u64)>,
    /// Whether the process is replaced.
    replaced: bool,
    /// Longest time to the next good result.
    limit: Duration,
}

impl Fault {
    fn at(name: &'static str, action: &str) -> Self {
        let stub = format!("--load-ms {LOAD_MS} --at {BAD}={action}");
        let limit = DEAD + Duration::from_millis(LOAD_MS);
        Self { name, stub, lost: Some(("worker_restart", 1)), replaced: true, limit }
    }

    fn harmless(mut self) -> Self {
        self.lost = None;
        self.replaced = false;
        self
    }

    fn noticed_by_time(mut self) -> Self {
        self.limit += FRAME_TIMEOUT;
        self
    }

    /// Runs frames through it; `strike` happens while frame [`BAD`] is in the worker's hand.
    fn survive(self, strike: impl FnOnce(u32)) {
        let frame_timeout = FRAME_TIMEOUT.as_nanos().to_string();
        let mut rig = Rig::new(&self.stub, &[("frame-timeout", &frame_timeout)]);
        for seq in 0..BAD {
            rig.push().unwrap();
            assert_eq!(rig.pull_seq(), seq);
        }
        let pid = rig.pid();
        // The second one is in its hand, too; it is not begun, and must not be lost.
        rig.push().unwrap();
        rig.push().unwrap();
        strike(pid);
        let start = Instant::now();
        for _ in 0..3 {
            rig.push().unwrap();
        }
        let lost = self.lost.map_or(0, |(_, frames)| frames);
        let seqs: Vec<_> = (BAD + lost..BAD + 5).collect();
        let mut took = None;
        for seq in &seqs {
            assert_eq!(rig.pull_seq(), *seq, "{}: in order, each once", self.name);
            took.get_or_insert_with(|| start.elapsed());
        }
        let took = took.unwrap();
        println!("{:<40} next result after {:>5} ms, {lost} frame(s) lost", self.name, took.as_millis());
        assert!(took < self.limit, "{}: {took:?}", self.name);
        rig.assert_settled(BAD + 5, BAD + 5 - lost);
        if let Some((cause, frames)) = self.lost {
            assert_eq!(rig.dropped(cause), frames, "{}", self.name);
        }
        assert_eq!(rig.worker().get::<u64>("restarts"), Ok(u64::from(self.replaced)), "{}", self.name);
        assert_eq!(alive(pid), !self.replaced, "{}: no process and no zombie is left", self.name);
        rig.element().set_state(gst::State::Null).unwrap();
        assert_eq!(rig.count("in-flight"), 0);
    }
}

fn signal(signal: Signal) -> impl FnOnce(u32) {
    move |pid| kill(Pid::from_raw(pid as i32), signal).unwrap()
}

#[test]
fn killed_in_the_middle_of_a_frame() {
    Fault::at("kill -9 in the middle of a frame", "hang").survive(signal(Signal::SIGKILL));
}

#[test]
fn stopped_by_a_signal() {
    Fault::at("SIGSTOP", "hang").noticed_by_time().survive(signal(Signal::SIGSTOP));
}

#[test]
fn hangs() {
    Fault::at("hangs", "hang").noticed_by_time().survive(|_| {});
}

#[test]
fn prints_garbage() {
    Fault::at("garbage on stdout", "garbage").survive(|_| {});
}

#[test]
fn sends_half_a_message() {
    Fault::at("half a message", "half").survive(|_| {});
}

#[test]
fn announces_four_gigabytes() {
    Fault::at("a length of 4 GiB", "huge").survive(|_| {});
}

#[test]
fn closes_its_stdout() {
    Fault::at("closes stdout", "close-stdout").survive(|_| {});
}

#[test]
fn exits_as_if_all_were_well() {
    Fault::at("exit 0", "leave").survive(|_| {});
}

#[test]
fn exits_with_an_error() {
    Fault::at("exit 1", "die").survive(|_| {});
}

/// How often this is said in GStreamer's log, by elements of this name.
fn said(element: &'static str, words: &'static str) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    gst::log::set_threshold_for_name("orionpyinfer", gst::DebugLevel::Warning);
    gst::log::add_log_function(move |_, _, _, _, _, object, message| {
        let ours = object.is_some_and(|object| object.to_string().contains(element));
        if ours && message.get().is_some_and(|text| text.contains(words)) {
            counted.fetch_add(1, SeqCst);
        }
    });
    count
}

#[test]
fn a_worker_that_answers_all_frames_twice_does_not_fill_the_log() {
    rig::init();
    let count = said("chatterbox", "answered frame");
    let twice: String = (0..60).map(|seq| format!(" --at {seq}=twice")).collect();
    let mut rig = Rig::new(&twice, &[("name", "chatterbox")]);
    let start = Instant::now();
    for seq in 0..60 {
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), seq);
    }
    until("it is said", || count.load(SeqCst) > 0);
    let seconds = start.elapsed().as_secs();
    rig.assert_settled(60, 60);
    assert!(count.load(SeqCst) <= 1 + seconds, "{count:?} lines in {seconds} s");
}

#[test]
fn answers_twice() {
    Fault::at("answers twice", "twice").harmless().survive(|_| {});
}

#[test]
fn answers_for_a_wrong_number() {
    Fault::at("answers for a wrong number", "wrong-seq").harmless().survive(|_| {});
}

#[test]
fn answers_too_late() {
    // The frame was passed over by the answer to the next one.
    let mut fault = Fault::at("answers after the next frame", "late").harmless();
    fault.lost = Some(("worker_error", 1));
    fault.survive(|_| {});
}

#[test]
fn passes_a_frame_over() {
    let mut fault = Fault::at("never answers one frame", "skip").harmless();
    fault.lost = Some(("worker_error", 1));
    fault.survive(|_| {});
}

#[test]
fn leaks_and_is_replaced_in_time() {
    let mut rig = Rig::new("--leak 20000000", &[("max-worker-memory", "100000000")]);
    let start = Instant::now();
    let (mut seq, mut longest) = (0, Duration::ZERO);
    while rig.count("swaps") == 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        // No more than the machine can bear.
        until("its memory is looked at", || {
            rig.worker().get::<u64>("memory").unwrap_or(0) < 300_000_000 || rig.count("swaps") > 0
        });
        let pushed = Instant::now();
        rig.push().unwrap();
        assert_eq!(rig.pull_seq(), seq, "no frame is lost");
        seq += 1;
        longest = longest.max(pushed.elapsed());
    }
    let name = "leaks, replaced by max-worker-memory";
    println!("{name:<40} longest wait for a result {:>5} ms, 0 frame(s) lost", longest.as_millis());
    rig.assert_settled(seq, seq);
}

#[test]
fn dies_again_and_again() {
    let actions: Vec<_> = (0..3).map(|seq| format!("--at {seq}=die")).collect();
    let mut rig = Rig::new(&actions.join(" "), &[]);
    let start = Instant::now();
    for _ in 0..5 {
        rig.push().unwrap();
    }
    assert_eq!((rig.pull_seq(), rig.pull_seq()), (3, 4));
    println!("{:<40} next result after {:>5} ms, 3 frame(s) lost", "dies 3 times", start.elapsed().as_millis());
    assert!(start.elapsed() >= Duration::from_secs(3), "the second and third restart had to wait 1 s and 2 s");
    // One message a step, with what the worker said last.
    let texts: Vec<_> = std::iter::from_fn(|| rig.bus.pop_filtered(&[gst::MessageType::Warning]))
        .filter_map(|message| match message.view() {
            gst::MessageView::Warning(warning) => Some((warning.error().to_string(), warning.debug()?.to_string())),
            _ => None,
        })
        .filter(|(text, _)| text.contains("started again"))
        .collect();
    let when = |n: usize| texts[n].0.rsplit("; ").next().unwrap().to_owned();
    assert_eq!(
        [when(0), when(1), when(2)],
        ["it is started again now", "it is started again in 1 s", "it is started again in 2 s"]
    );
    assert!(
        texts.iter().enumerate().all(|(n, (_, debug))| debug.contains(&format!("dying at frame {n}"))),
        "{texts:?}"
    );
    rig.assert_settled(5, 2);
}
