// SPDX-License-Identifier: MPL-2.0
//! What worker processes cost and gain, on real models: swaps under full load, two workers against one, and a file of
//! which no frame may be lost. `cargo bench --bench workers -- [FOLDER] [swaps|workers|file]`; FOLDER holds `models` and `clips`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/load.rs"]
mod load;
#[path = "../support/rig.rs"]
mod rig;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gst::prelude::*;
use load::Load;
use rig::{alive, init, play, until};

const CLIP: &str = "clips/one-by-one-person-detection.mp4";
const CAPS: &str = "video/x-raw,format=I420,width=768,height=432,framerate=10/1";
const SWAPS: usize = 20;

/// The element with the shipped worker, under full load.
fn load(models: &Path, properties: &[(&str, &str)], pictures: &[gst::Buffer]) -> Load {
    let base = [("model-dir", models.to_str().unwrap()), ("confidence", "0.3")];
    let properties: Vec<_> = base.into_iter().chain(properties.to_vec()).collect();
    let (harness, _) = play(&properties, CAPS);
    Load::new(harness, pictures.to_vec())
}

/// Times between results, for so many of them.
fn gaps(load: &mut Load, results: usize) -> Vec<Duration> {
    let mut last = Instant::now();
    let mut gap = || {
        load.result();
        std::mem::replace(&mut last, Instant::now()).elapsed()
    };
    (0..results).map(|_| gap()).collect()
}

fn memory(load: &Load) -> u64 {
    load.pids().into_iter().chain([std::process::id()]).map(resident_kib).sum()
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Pictures of the clip, decoded.
fn pictures(clip: &Path, count: usize) -> Vec<gst::Buffer> {
    let text = format!(
        "filesrc location=\"{}\" ! decodebin ! videoconvert ! videoscale ! {CAPS} ! fakesink name=sink signal-handoffs=true",
        clip.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(count);
    pipeline.by_name("sink").unwrap().connect("handoff", false, move |args| {
        let buffer = args[1].get::<gst::Buffer>().unwrap();
        let _ = sender.try_send(buffer.copy_deep().unwrap());
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let found = receiver.iter().take(count).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    found
}

fn swaps(models: &Path, pictures: &[gst::Buffer]) {
    // The slower model's own period, and where the memory begins.
    let mut slow = load(models, &[("model-size", "s")], pictures);
    gaps(&mut slow, 20);
    let period = median(gaps(&mut slow, 40));
    slow.end();

    let mut load = load(models, &[("model-size", "n")], pictures);
    gaps(&mut load, 40);
    let before = memory(&load);
    let mut all = VecDeque::from(load.pids());
    let (mut longest, mut took) = (Duration::ZERO, Vec::new());
    for round in 0..SWAPS {
        let wanted = if round % 2 == 0 { "s" } else { "n" };
        let start = Instant::now();
        let mut last = start;
        load.element().set_property_from_str("model-size", wanted);
        while load.result() != wanted {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        took.push(start.elapsed());
        for gap in gaps(&mut load, 20) {
            longest = longest.max(gap);
        }
        all.extend(load.pids());
    }
    gaps(&mut load, 40);
    let now = load.pids();
    until("the old processes are gone", || all.iter().all(|pid| now.contains(pid) || !alive(*pid)));
    let after = memory(&load);
    let frames = load.next;
    load.end();
    println!(
        "{SWAPS} swaps under full load: {frames} frames, none missing, none twice; a swap took {:.0} ms (median)",
        ms(median(took))
    );
    println!(
        "  longest gap between results {:.0} ms = {:.2} of the slower model's period ({:.0} ms)",
        ms(longest),
        longest.as_secs_f64() / period.as_secs_f64(),
        ms(period)
    );
    println!(
        "  resident memory of the tree {before} -> {after} KiB ({:+.1} %)",
        100.0 * (after as f64 / before as f64 - 1.0)
    );
}

fn several_workers(models: &Path, pictures: &[gst::Buffer]) {
    let speed = |properties: &[(&str, &str)]| {
        let mut load = load(models, properties, pictures);
        gaps(&mut load, 20);
        let start = Instant::now();
        gaps(&mut load, 80);
        let speed = 80.0 / start.elapsed().as_secs_f64();
        load.end();
        speed
    };
    let variants: [(&str, &[(&str, &str)]); 4] = [
        ("1 worker, 2 threads", &[]),
        ("2 workers, 2 threads each", &[("workers", "2")]),
        ("1 worker, 1 thread", &[("intra-op-threads", "1")]),
        ("2 workers, 1 thread each", &[("workers", "2"), ("intra-op-threads", "1")]),
    ];
    // Alternating, as the machine's speed drifts.
    let rounds: Vec<Vec<f64>> = (0..3).map(|_| variants.iter().map(|(_, p)| speed(p)).collect()).collect();
    let middle = |n: usize| {
        let mut speeds: Vec<_> = rounds.iter().map(|round| round[n]).collect();
        speeds.sort_by(f64::total_cmp);
        speeds[1]
    };
    println!("throughput, 640 model, order kept:");
    for (n, (name, _)) in variants.iter().enumerate() {
        println!("  {name:<28} {:>6.1} frames/s, {:.2} of the first", middle(n), middle(n) / middle(0));
    }
}

fn whole_file(models: &Path, clip: &Path) {
    let text = format!(
        "filesrc location=\"{}\" ! decodebin ! videoconvert ! orionroi ! orionpyinfer name=infer model-dir=\"{}\" ! fakesink",
        clip.display(),
        models.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let infer = pipeline.by_name("infer").unwrap();
    let start = Instant::now();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(600), &end).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let took = start.elapsed();
    let stats: gst::Structure = infer.property("stats");
    let count = |field: &str| stats.get::<u64>(field).unwrap();
    let (received, forwarded) = (count("received"), count("forwarded"));
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!((received, count("in-flight")), (forwarded, 0), "every frame is answered");
    println!("file without a queue: {forwarded} of {received} frames answered in {:.0} s", took.as_secs_f64());
}

fn main() {
    init();
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let words: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let folder = words.iter().map(PathBuf::from).find(|word| word.is_dir()).unwrap_or(default);
    let (models, clip) = (folder.join("models"), folder.join(CLIP));
    if !models.is_dir() || !clip.is_file() {
        println!("no models and clips in {}; name their folder", folder.display());
        return;
    }
    let parts = ["swaps", "workers", "file"];
    let named = |word: &String| parts.contains(&word.as_str());
    let chosen = |part: &str| !words.iter().any(named) || words.iter().any(|word| word == part);
    let pictures = pictures(&clip, 150);
    if chosen("swaps") {
        swaps(&models, &pictures);
    }
    if chosen("workers") {
        several_workers(&models, &pictures);
    }
    if chosen("file") {
        whole_file(&models, &clip);
    }
}
