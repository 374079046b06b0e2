// SPDX-License-Identifier: MPL-2.0
//! `orionpyinfer` with the shipped Python worker: swaps between detectors and models, and commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;

use std::path::{Path, PathBuf};

use gst::prelude::*;
use load::Load;
use rig::{play, until};

const CAPS: &str = "video/x-raw,format=RGB,width=64,height=48,framerate=10/1";

/// The shipped worker under full load, with what it says on the bus.
fn start(properties: &[(&str, &str)]) -> (Load, gst::Bus) {
    let (harness, bus) = play(properties, CAPS);
    (Load::new(harness, vec![gst::Buffer::from_slice(vec![90u8; 64 * 48 * 3])]), bus)
}

/// Takes results until the number of swaps that ended this way has grown; the warnings meanwhile.
fn until_swapped(load: &mut Load, bus: &gst::Bus, counter: &str) -> String {
    let before = load.count(counter);
    while load.count(counter) == before {
        load.result();
    }
    let warnings = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning]));
    let text = |message: gst::Message| match message.view() {
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        _ => String::new(),
    };
    warnings.map(text).collect::<Vec<_>>().join("; ")
}

/// Waits for a warning with this text while results flow.
fn until_warned(load: &mut Load, bus: &gst::Bus, text: &str) {
    until(text, || {
        load.result();
        bus.pop_filtered(&[gst::MessageType::Warning]).is_some_and(|message| match message.view() {
            gst::MessageView::Warning(warning) => warning.error().to_string().contains(text),
            _ => false,
        })
    });
}

fn data() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let found = std::env::var_os("ORION_TEST_DATA").map_or(default, PathBuf::from);
    if found.join("models").is_dir() {
        return Some(found);
    }
    println!("skipped: no models in {}; set ORION_TEST_DATA", found.display());
    None
}

#[test]
fn without_models_motion_carries_on_and_the_reason_is_said() {
    let nowhere = tempfile::tempdir().unwrap();
    let (mut load, bus) = start(&[("detector", "motion"), ("model-dir", nowhere.path().to_str().unwrap())]);
    for _ in 0..10 {
        load.result();
    }
    load.element().set_property_from_str("detector", "auto");
    let warning = until_swapped(&mut load, &bus, "swaps-failed");
    assert!(warning.contains("no model of size 'n' in"), "{warning}");
    assert!(warning.contains("the old ones carry on"), "{warning}");
    until("the property is back", || {
        load.element().property_value("detector").serialize().is_ok_and(|detector| detector == "motion")
    });
    load.element().emit_by_name::<()>("restart-worker", &[]);
    until_swapped(&mut load, &bus, "swaps");
    load.element().set_property("labels", "dog");
    until_warned(&mut load, &bus, "motion_detector has no setting 'labels'");
    assert_eq!(load.element().property::<String>("labels"), "person");
    load.element().set_property("confidence", 0.75);
    for _ in 0..20 {
        load.result();
    }
    assert_eq!(load.element().property::<f64>("confidence"), 0.75);
    load.end();
}

#[test]
fn a_model_that_is_broken_or_missing_leaves_the_old_one_at_work() {
    let Some(data) = data() else { return };
    let models = tempfile::tempdir().unwrap();
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(data.join("models").join(from), models.path().join(to)).unwrap();
    };
    link("yoloxn_fp32_640.onnx", "yoloxn_fp32_640.onnx");
    link("yoloxn_fp32_320.onnx", "yoloxn_fp32_320.onnx");
    link("yolov8s_standin_fp32_640.onnx", "yolov8s_fp32_640.onnx");
    link("yolov8s_standin_fp32_320.onnx", "yolov8s_fp32_320.onnx");
    // Two large ones of different kinds, and one that is no model.
    link("yolox_nano_416_rawgrid.onnx", "yolov8l_fp32_320.onnx");
    link("yolov8s_standin_fp32_640.onnx", "yolov8l_fp32_640.onnx");
    std::fs::write(models.path().join("yolov8m_fp32_640.onnx"), "this is no model").unwrap();
    let (mut load, bus) = start(&[("model-dir", models.path().to_str().unwrap())]);
    load.until_size("n");
    for (size, reason) in
        [("x", "no model of size 'x' in"), ("m", "yolov8m_fp32_640.onnx"), ("l", "the two models are no pair")]
    {
        load.element().set_property_from_str("model-size", size);
        let warning = until_swapped(&mut load, &bus, "swaps-failed");
        assert!(warning.contains(reason), "{size}: {warning}");
        assert_eq!(load.result(), "n");
    }
    load.element().set_property("execution-provider", "quantum");
    let warning = until_swapped(&mut load, &bus, "swaps-failed");
    assert!(warning.contains("execution provider 'quantum' is not available"), "{warning}");
    assert_eq!(load.element().property::<String>("execution-provider"), "cpu");
    load.element().set_property_from_str("model-size", "s");
    load.until_size("s");
    let worker: gst::Structure = load.stats().get::<gst::Array>("workers").unwrap()[0].get().unwrap();
    assert_eq!(worker.get("model-file"), Ok("yolov8s_fp32_640.onnx"));
    assert_eq!(worker.get("model-file-320"), Ok("yolov8s_fp32_320.onnx"));
    load.end();
}
