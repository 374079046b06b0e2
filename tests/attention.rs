// SPDX-License-Identifier: MPL-2.0
//! Attention as a whole: `orionroi`, a queue, `orionpyinfer` and a stub that sees patches, one frame after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/rig.rs"]
mod rig;

use gst::prelude::*;
use gst_check::Harness;
use gstorion::meta;
use orion_core::wire::{InferenceResult, RoiProcessing, RoiSource, TargetSize};
use rig::init;

const WIDTH: usize = 160;
const HEIGHT: usize = 120;
const CAPS: &str = "video/x-raw,format=RGB,width=160,height=120,framerate=10/1";
const MS: u64 = 1_000_000;

/// Patches of a scene: channel (0 red, 1 green), left, top, side; pixels.
type Patch = (usize, usize, usize, usize);

struct Scene {
    harness: Harness,
    period: u64,
    frames: u64,
}

impl Scene {
    /// `between` stands between the two elements.
    fn new(between: &str, roi: &str, period: u64) -> Self {
        Self::trembling(between, roi, period, 0.0)
    }

    /// With suggestions that tremble by so much of the frame.
    fn trembling(between: &str, roi: &str, period: u64, tremor: f64) -> Self {
        init();
        let stub = env!("CARGO_BIN_EXE_orion-stub-worker");
        let text =
            format!("orionroi name=roi {roi} ! {between} orionpyinfer worker-command=\"'{stub}' --scene {tremor}\"");
        let bin = gst::parse::bin_from_description(&text, true).unwrap();
        let mut harness = Harness::with_element(&bin, Some("sink"), Some("src"));
        harness.set_live(false);
        harness.set_src_caps_str(CAPS);
        harness.play();
        Self { harness, period, frames: 0 }
    }

    fn roi(&self) -> gst::Element {
        self.harness.element().unwrap().downcast::<gst::Bin>().unwrap().by_name("roi").unwrap()
    }

    /// Shows a frame and waits for its result.
    fn show(&mut self, patches: &[Patch]) -> (RoiProcessing, InferenceResult, Option<u64>) {
        let mut pixels = vec![0; WIDTH * HEIGHT * 3];
        for (channel, left, top, side) in patches {
            for y in *top..(top + side).min(HEIGHT) {
                for x in *left..(left + side).min(WIDTH) {
                    pixels[(y * WIDTH + x) * 3 + channel] = 255;
                }
            }
        }
        let mut buffer = gst::Buffer::from_slice(pixels);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_nseconds(self.frames * self.period));
        self.frames += 1;
        self.harness.push(buffer).unwrap();
        let buffer = self.harness.pull().unwrap();
        let planned = meta::frame(&buffer).unwrap().planned.unwrap();
        let result = serde_json::from_str(&meta::inferences(&buffer)[0].result).unwrap();
        (planned.roi, result, planned.since_sweep)
    }

    fn stat(&self, field: &str) -> u64 {
        self.roi().property::<gst::Structure>("stats").get(field).unwrap()
    }
}

fn sees(result: &InferenceResult, label: &str) -> bool {
    result.data.detections.iter().any(|detection| detection.label == label)
}

/// Mean change of the speed of the region's left edge, fractions of the frame per frame: 0 if it follows smoothly.
fn jitter(strategy: &str) -> f64 {
    // Wide enough that the target is never cut, which would be another matter.
    let roi = format!("auto-focus=true strategy={strategy} max-blind-time=0 min-roi=0.5");
    let mut scene = Scene::trembling("queue !", &roi, 100 * MS, 0.01);
    let mut edges = Vec::new();
    for n in 0..60 {
        let (roi, result, _) = scene.show(&[(0, 50 + n, 50, 20)]);
        assert_eq!(result.data.detections[0].bbox.width, 20.0, "{strategy}: frame {n}, region {:?}", roi.merged_roi);
        edges.extend(roi.merged_roi.map(|region| region.x()));
    }
    assert_eq!(edges.len(), 59, "only the first frame had nothing to go by");
    let changes = edges[10..].windows(3).map(|e| (e[2] - 2.0 * e[1] + e[0]).abs());
    changes.sum::<f64>() / 47.0
}

#[test]
fn smoothing_trembles_less_than_simple() {
    let (simple, smoothing) = (jitter("simple"), jitter("smoothing"));
    println!("jitter per frame: simple {simple:.5}, smoothing {smoothing:.5}, {:.1} times less", simple / smoothing);
    assert!(smoothing < simple / 2.0);
}

#[test]
fn velocity_keeps_a_fast_target_inside() {
    let inside = |strategy: &str| {
        let roi = format!("auto-focus=true strategy={strategy} velocity-threshold=0.03 max-blind-time=0 min-roi=0");
        let mut scene = Scene::new("queue !", &roi, 100 * MS);
        // It starts slowly and ends at 18 of 160 pixels a frame.
        let mut left = 8;
        let steps = [4, 6, 8, 10, 12, 14, 16, 18];
        let whole = steps.map(|step| {
            let (_, result, _) = scene.show(&[(0, left, 40, 40)]);
            left += step;
            result.data.detections.first().is_some_and(|detection| detection.bbox.width == 40.0)
        });
        whole.into_iter().filter(|whole| *whole).count()
    };
    let (simple, velocity) = (inside("simple"), inside("velocity"));
    println!("whole target seen in {velocity} of 8 frames with velocity, in {simple} with simple");
    assert_eq!(velocity, 8);
    assert!(simple < velocity);
}

#[test]
fn what_appears_outside_is_seen_within_the_blind_time() {
    for (period, blind) in [(100 * MS, 1000 * MS), (5000 * MS, 5000 * MS)] {
        let mut scene = Scene::new("queue !", &format!("auto-focus=true max-blind-time={blind}"), period);
        let mut worst = 0;
        for round in 0..6 {
            // Something is followed for a while, at another phase of the sweep each time.
            for _ in 0..3 + round {
                scene.show(&[(0, 10, 10, 16)]);
            }
            let mut waited = 0;
            loop {
                let (_, result, since) = scene.show(&[(0, 10, 10, 16), (1, 130, 90, 16)]);
                assert!(since.unwrap() <= blind, "{since:?}");
                assert!(sees(&result, "red"));
                if sees(&result, "green") {
                    break;
                }
                waited += period;
                assert!(waited <= 2 * blind, "nobody sees it");
            }
            worst = worst.max(waited);
        }
        println!("seen at the latest {} ms after it appeared, blind time {} ms", worst / MS, blind / MS);
        assert!(worst <= blind + period);
    }
}

#[test]
fn external_regions_are_swept_too_and_never_without_end() {
    let region = r#"rois="[{\"x\":0.0,\"y\":0.0,\"width\":0.25,\"height\":0.25}]" max-blind-time=1000000000"#;
    let mut scene = Scene::new("queue !", region, 100 * MS);
    let full: Vec<_> = (0..40).filter(|_| scene.show(&[(1, 130, 90, 16)]).0.source == RoiSource::FullFrame).collect();
    assert_eq!(full, [0, 10, 20, 30]);
    assert_eq!((scene.stat("sweeps"), scene.stat("external"), scene.stat("full-frame")), (4, 36, 4));
    assert_eq!((scene.stat("hits"), scene.stat("misses")), (4, 36));
    let stats: gst::Structure = scene.roi().property("stats");
    assert_eq!((stats.get("time-since-full-sweep-ms"), stats.get("coverage")), (Ok(900.0), Ok(0.0625)));
}

#[test]
fn suggestions_find_their_way_through_tee_and_funnel() {
    let mut scene =
        Scene::new("tee name=t ! queue ! funnel name=f ! queue !", "auto-focus=true max-blind-time=0", 100 * MS);
    assert_eq!(scene.show(&[(0, 40, 40, 20)]).0.source, RoiSource::FullFrame);
    let (roi, result, since) = scene.show(&[(0, 40, 40, 20)]);
    assert_eq!((roi.source, roi.target_size), (RoiSource::PythonSuggested, TargetSize::S320));
    assert!(sees(&result, "red"));
    assert_eq!(since, Some(100 * MS));
    // Gone: one look more at the old place, then the full frame again.
    let sources: Vec<_> = (0..5).map(|_| scene.show(&[]).0.source).collect();
    assert_eq!(sources[..2], [RoiSource::PythonSuggested, RoiSource::AutoHistory]);
    assert!(sources[2..].iter().all(|source| *source == RoiSource::FullFrame), "{sources:?}");
    let counts = ["python-suggested", "auto-history", "strategy-simple"].map(|field| scene.stat(field));
    assert_eq!(counts, [2, 1, 3]);
    assert_eq!(scene.stat("history-size"), 0);
}
