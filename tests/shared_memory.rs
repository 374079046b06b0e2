// SPDX-License-Identifier: MPL-2.0
//! Pictures that go to the worker through shared memory: they arrive whole, whatever happens to the worker, and nothing is
//! left behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rig.rs"]
mod rig;

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use gst::prelude::*;
use gst_video::{VideoFormat, VideoInfo};
use rig::{Rig, until};
use serde_json::{Value, json};

/// The tests here count what the whole process has open.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Mapped memory that is shared with workers: inodes.
fn mappings() -> BTreeSet<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains("/memfd:orion-frames"));
    ours.map(|line| line.split_ascii_whitespace().nth(4).unwrap().to_owned()).collect()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    VideoInfo::builder(format, width, height).build().unwrap()
}

/// A frame of noise in rows as GStreamer pads them, and the hash of its rows without padding.
fn noise(info: &VideoInfo, seed: u64) -> (Vec<u8>, u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes: Vec<u8> = (0..info.size())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let (width, height) = (info.width() as usize, info.height() as usize);
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let planes = match info.format() {
        VideoFormat::I420 => vec![(width, height), (half_width, half_height), (half_width, half_height)],
        VideoFormat::Nv12 => vec![(width, height), (2 * half_width, half_height)],
        _ => vec![(3 * width, height)],
    };
    let mut packed = Vec::new();
    for (plane, (row, rows)) in planes.into_iter().enumerate() {
        for n in 0..rows {
            let start = info.offset()[plane] + n * info.stride()[plane] as usize;
            packed.extend_from_slice(&bytes[start..start + row]);
        }
    }
    let hash = hash(&packed);
    (bytes, hash)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn transport(rig: &Rig) -> String {
    rig.stats().get("transport").unwrap()
}

fn told(rig: &mut Rig, name: &str) -> Value {
    rig.pull()["data"]["metadata"][name].clone()
}

#[test]
fn every_raw_format_arrives_as_it_is_without_padding() {
    let _alone = alone();
    let mut rig = Rig::new("--shm", &[]);
    assert_eq!((transport(&rig).as_str(), rig.count("bytes-copied")), ("none", 0));
    let mut copied = 0;
    for (format, width, height, packed) in [
        (VideoFormat::Rgb, 5, 3, 45),
        (VideoFormat::Bgr, 641, 7, 641 * 7 * 3),
        (VideoFormat::I420, 37, 29, 37 * 29 + 2 * 19 * 15),
        (VideoFormat::Nv12, 37, 29, 37 * 29 + 2 * 19 * 15),
        (VideoFormat::Rgb, 1280, 720, 1280 * 720 * 3),
        // Caps change to a frame that is larger than any before, 24.9 MB, and back.
        (VideoFormat::Rgb, 3840, 2160, 3840 * 2160 * 3),
        (VideoFormat::Bgr, 2, 2, 12),
    ] {
        let info = info(format, width, height);
        rig.harness.set_src_caps(info.to_caps().unwrap());
        for seed in 0..3 {
            let (bytes, hash) = noise(&info, seed + 1);
            rig.push_bytes(&bytes).unwrap();
            let metadata = rig.pull()["data"]["metadata"].clone();
            assert_eq!((&metadata["bytes"], &metadata["hash"]), (&json!(packed), &json!(hash)), "{format} {width}");
            assert!(metadata["slot"].is_u64(), "{metadata}");
            copied += packed;
        }
        until("it is counted", || rig.count("bytes-copied") == copied);
        assert_eq!((transport(&rig).as_str(), rig.count("bytes-copied-last")), ("shm", packed));
    }
    assert_eq!(rig.worker().get::<u64>("restarts"), Ok(0));
    // The worker has touched 75 MB of it.
    let memory: u64 = rig.worker().get("memory").unwrap();
    assert!(memory < 64 << 20, "{memory}");
    rig.assert_settled(21, 21);
}

#[test]
fn jpegs_go_that_way_only_when_told_to() {
    let _alone = alone();
    for (wanted, way, copied) in [("auto", "pipe", 120_000), ("shm", "shm", 60_000)] {
        let mut rig = Rig::new("--shm", &[("transport", wanted)]);
        rig.push_bytes(&[7; 60_000]).unwrap();
        assert_eq!(told(&mut rig, "hash"), json!(hash(&[7; 60_000])));
        assert_eq!((transport(&rig).as_str(), rig.count("bytes-copied-last")), (way, copied));
    }
}

#[test]
fn a_worker_that_knows_nothing_of_it_gets_the_pictures_in_messages() {
    let _alone = alone();
    let mut rig = Rig::new("", &[]);
    let info = info(VideoFormat::Rgb, 5, 3);
    rig.harness.set_src_caps(info.to_caps().unwrap());
    rig.push_bytes(&noise(&info, 1).0).unwrap();
    assert_eq!(told(&mut rig, "bytes"), 45);
    assert_eq!((transport(&rig).as_str(), rig.count("bytes-copied")), ("pipe", 90));
    assert!(mappings().is_empty(), "what nobody uses is let go of");
    assert!(rig.bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
    rig.assert_settled(1, 1);
}

#[test]
fn pipes_are_used_when_they_are_asked_for() {
    let _alone = alone();
    let mut rig = Rig::new("--shm", &[("transport", "pipe")]);
    rig.push().unwrap();
    assert_eq!(told(&mut rig, "bytes"), 3);
    assert_eq!(transport(&rig), "pipe");
    assert!(mappings().is_empty());
}

#[test]
fn a_worker_that_cannot_is_an_error_where_nothing_else_will_do() {
    let _alone = alone();
    let rig = Rig::new("", &[("transport", "shm")]);
    let error = rig.error();
    assert!(error.contains("takes no pictures from shared memory") && error.contains("transport=shm"), "{error}");
    until("nothing is left", || mappings().is_empty());
}

#[test]
fn what_a_killed_worker_had_comes_back() {
    let _alone = alone();
    let mut rig = Rig::new("--shm --at 1=hang", &[("frame-timeout", "500000000")]);
    let info = info(VideoFormat::Rgb, 64, 48);
    rig.harness.set_src_caps(info.to_caps().unwrap());
    let frames: Vec<_> = (0..12).map(|seed| noise(&info, seed + 1)).collect();
    rig.push_bytes(&frames[0].0).unwrap();
    assert_eq!(told(&mut rig, "hash"), json!(frames[0].1));
    let (before, first) = (mappings(), rig.pid());
    // Both are in its hand when it is killed: one is lost, the other goes to its successor.
    rig.push_bytes(&frames[1].0).unwrap();
    for (bytes, _) in &frames[2..] {
        rig.push_bytes(bytes).unwrap();
    }
    for (n, (_, hash)) in frames.iter().enumerate().skip(2) {
        assert_eq!(told(&mut rig, "hash"), json!(hash), "frame {n}");
    }
    assert_ne!(rig.pid(), first);
    assert_eq!(rig.dropped("worker_restart"), 1);
    assert_eq!((before.len(), mappings().len(), mappings().is_disjoint(&before)), (1, 1, true));
    rig.assert_settled(12, 11);
    // The one that changed hands was copied twice.
    assert_eq!(rig.count("bytes-copied"), 13 * 64 * 48 * 3);
}

#[test]
fn thousands_of_frames_leave_nothing_behind() {
    let _alone = alone();
    let mut rig = Rig::new("--shm", &[]);
    let info = info(VideoFormat::I420, 160, 120);
    rig.harness.set_src_caps(info.to_caps().unwrap());
    let frames: Vec<_> = (0..7).map(|seed| noise(&info, seed + 1)).collect();
    let mut slots = BTreeSet::new();
    let mut run = |rig: &mut Rig, count: usize| {
        let mut pending = std::collections::VecDeque::new();
        for n in 0..count {
            let (bytes, hash) = &frames[n % frames.len()];
            rig.push_bytes(bytes).unwrap();
            pending.push_back(*hash);
            if n % 3 == 2 {
                for hash in pending.drain(..) {
                    let metadata = rig.pull()["data"]["metadata"].clone();
                    assert_eq!(metadata["hash"], json!(hash));
                    slots.insert(metadata["slot"].as_u64().unwrap());
                }
            }
        }
        until("all are through", || rig.count("in-flight") == 0);
    };
    run(&mut rig, 300);
    let before = (descriptors(), mappings());
    run(&mut rig, 3000);
    assert_eq!((descriptors(), mappings()), before);
    assert_eq!(slots, BTreeSet::from([0, 1, 2]), "they take turns");
    rig.assert_settled(3300, 3300);
    rig.element().set_state(gst::State::Null).unwrap();
    assert!(mappings().is_empty());
}

#[test]
fn a_swap_in_flow_gives_every_frame_to_somebody_who_sees_it_right() {
    let _alone = alone();
    let mut rig = Rig::new("--shm", &[]);
    let info = info(VideoFormat::Rgb, 64, 48);
    rig.harness.set_src_caps(info.to_caps().unwrap());
    let turn = |rig: &mut Rig, seed: u64| {
        let (bytes, hash) = noise(&info, seed + 1);
        rig.push_bytes(&bytes).unwrap();
        let metadata = rig.pull()["data"]["metadata"].clone();
        if !metadata["hash"].is_null() {
            assert_eq!(metadata["hash"], json!(hash), "frame {seed}");
        }
        metadata
    };
    turn(&mut rig, 0);
    let before = mappings();
    rig.set("model-size", "s");
    let mut seed = 1;
    while turn(&mut rig, seed)["model_size"] != "s" {
        seed += 1;
        assert!(seed < 100_000, "the swap does not end");
    }
    until("only the new memory is left", || mappings().len() == 1 && mappings().is_disjoint(&before));
    assert_eq!(transport(&rig), "shm");
    // To a worker that cannot: the pipe takes over without losing a frame.
    rig.set("worker-command", &format!("'{}'", env!("CARGO_BIN_EXE_orion-stub-worker")));
    while !turn(&mut rig, seed)["hash"].is_null() {
        seed += 1;
        assert!(seed < 100_000, "the swap does not end");
    }
    until("no memory is left", || mappings().is_empty());
    rig.set("transport", "shm");
    let reason = rig.swap("failed").reason;
    assert!(reason.contains("takes no pictures from shared memory"), "{reason}");
    assert_eq!(rig.element().property_value("transport").serialize().unwrap(), "auto", "as it was");
    turn(&mut rig, seed);
    until("all are through", || rig.count("in-flight") == 0);
    assert_eq!(rig.count("received"), rig.count("forwarded"));
}

#[test]
fn each_worker_has_memory_of_its_own() {
    let _alone = alone();
    let mut rig = Rig::new("--shm", &[("workers", "3"), ("transport", "shm")]);
    for n in 0..60 {
        rig.push_bytes(&[n; 1000]).unwrap();
    }
    for n in 0..60 {
        assert_eq!(told(&mut rig, "hash"), json!(hash(&[n; 1000])));
    }
    until("all are ready", || mappings().len() == 3);
    rig.assert_settled(60, 60);
}
