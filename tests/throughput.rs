// SPDX-License-Identifier: MPL-2.0
//! Ten thousand frames as fast as they go through the real element and a stub worker: the book is exact and nothing grows.
//! What it costs is printed (`cargo test --release --test throughput -- --nocapture`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/rig.rs"]
mod rig;

use std::time::Instant;

use rig::{Rig, until};

const FRAMES: u64 = 10_000;
/// After these everything that is allocated once has been.
const WARM: u64 = 2_000;

/// Resident memory of a process, KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_thousand_frames_cost_little_and_nothing_grows() {
    // The leaks tracer would remember every frame.
    // SAFETY: no other thread is there yet that reads the environment.
    unsafe { std::env::remove_var("GST_TRACERS") };
    let mut rig = Rig::new("", &[]);
    // A VGA JPEG has about this size.
    let picture = vec![7; 60_000];
    let memory = |rig: &Rig| (resident(std::process::id()), resident(rig.pid()));
    let (mut before, mut start, mut next) = ((0, 0), Instant::now(), 0);
    for n in 0..WARM + FRAMES {
        if n == WARM {
            until("it is warm", || rig.count("in-flight") == 0);
            while rig.harness.try_pull().is_some() {
                next += 1;
            }
            before = memory(&rig);
            start = Instant::now();
        }
        rig.push_bytes(&picture).unwrap();
        while let Some(buffer) = rig.harness.try_pull() {
            assert_eq!(gstorion::meta::frame(&buffer).unwrap().seq, next);
            next += 1;
        }
    }
    until("all are through", || rig.count("in-flight") == 0);
    let took = start.elapsed();
    let after = memory(&rig);
    let each = took.as_secs_f64() / FRAMES as f64;
    println!("{FRAMES} frames: {:.0} frames/s, {:.0} us a frame", 1.0 / each, each * 1e6);
    println!("resident KiB: host {} -> {}, worker {} -> {}", before.0, after.0, before.1, after.1);
    rig.assert_settled(WARM + FRAMES, WARM + FRAMES);
    assert_eq!(rig.count("results"), WARM + FRAMES);
    // A leak of 100 bytes a frame would be a thousand KiB.
    assert!(after.0 < before.0 + 1000 && after.1 < before.1 + 1000, "{before:?} -> {after:?}");
}
