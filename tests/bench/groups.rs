// SPDX-License-Identifier: MPL-2.0
//! What a shared pool gains and costs: eight live cameras of 5 frames a second with pools of their own, with one worker for
//! all, and with two; then the memory of the real workers (`ORION_WORKER`). `cargo bench --bench groups`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/rig.rs"]
mod rig;

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use gst::prelude::*;
use gstorion::meta;
use rig::{init, until};

const CAMERAS: usize = 8;
const SECONDS: u64 = 10;

struct Camera {
    pipeline: gst::Pipeline,
    infer: gst::Element,
    /// From its arrival until its answer, ms, of each frame.
    ages: Arc<Mutex<Vec<f64>>>,
}

impl Camera {
    fn new(rate: u32, properties: &[(&str, &str)]) -> Self {
        let text = format!(
            "videotestsrc is-live=true ! video/x-raw,format=RGB,width=320,height=240,framerate={rate}/1 ! orionroi \
             ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 ! orionpyinfer name=infer ! fakesink sync=false"
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let infer = pipeline.by_name("infer").unwrap();
        for (name, value) in properties {
            match infer.find_property(name) {
                Some(spec) if spec.value_type() == gst::glib::Type::STRING => infer.set_property(name, value),
                _ => infer.set_property_from_str(name, value),
            }
        }
        let ages = Arc::new(Mutex::new(Vec::new()));
        let seen = ages.clone();
        infer.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            let (frame, inference) = (meta::frame(buffer).unwrap(), meta::inferences(buffer).remove(0));
            seen.lock().unwrap().push((inference.answered - frame.arrived) as f64 / 1e6);
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, infer, ages }
    }

    fn stats(&self) -> gst::Structure {
        self.infer.property("stats")
    }

    fn pids(&self) -> Vec<u32> {
        let workers: gst::Array = self.stats().get("workers").unwrap();
        workers.iter().map(|worker| worker.get::<gst::Structure>().unwrap().get("pid").unwrap()).collect()
    }

    fn works(&self) -> bool {
        self.stats().get::<u64>("forwarded").unwrap() > 2
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn cameras(rate: u32, properties: &[(&str, &str)]) -> Vec<Camera> {
    let cameras: Vec<_> = (0..CAMERAS)
        .map(|n| {
            // Cameras are not in step with each other.
            thread::sleep(Duration::from_millis(27 * n as u64 % 40));
            Camera::new(rate, properties)
        })
        .collect();
    until("all are at work", || cameras.iter().all(Camera::works));
    cameras
}

fn results(name: &str, rate: u32, properties: &[(&str, &str)]) {
    let stub = format!("'{}' --delay-ms 20", env!("CARGO_BIN_EXE_orion-stub-worker"));
    let properties: Vec<_> = [("worker-command", stub.as_str())].into_iter().chain(properties.to_vec()).collect();
    let cameras = cameras(rate, &properties);
    thread::sleep(Duration::from_secs(2));
    cameras.iter().for_each(|camera| camera.ages.lock().unwrap().clear());
    thread::sleep(Duration::from_secs(SECONDS));
    let ages: Vec<_> = cameras.iter().map(|camera| camera.ages.lock().unwrap().clone()).collect();
    let rates: Vec<_> = ages.iter().map(|ages| ages.len() as f64 / SECONDS as f64).collect();
    let (least, most) = rates.iter().fold((f64::MAX, 0f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    let mut all: Vec<_> = ages.concat();
    all.sort_by(f64::total_cmp);
    println!(
        "{name:<28} {rate:>2} fps each: results/s by element min {least:.1} max {most:.1}, sum {:.1}; \
         arrival to answer ms median {:.0}, 95 % {:.0}, max {:.0}",
        rates.iter().sum::<f64>(),
        all[all.len() / 2],
        all[all.len() * 95 / 100],
        all[all.len() - 1],
    );
}

/// Resident and proportional memory of a process, MiB.
fn memory(pid: u32) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    };
    (field("Rss:"), field("Pss:"))
}

fn real(name: &str, properties: &[(&str, &str)]) {
    let properties: Vec<_> = [("detector", "motion")].into_iter().chain(properties.to_vec()).collect();
    let cameras = cameras(5, &properties);
    thread::sleep(Duration::from_secs(3));
    let mut pids: Vec<_> = cameras.iter().flat_map(Camera::pids).collect();
    pids.sort();
    pids.dedup();
    let (resident, proportional) =
        pids.iter().map(|pid| memory(*pid)).fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    println!("{name:<28} {} processes: {resident:.0} MiB resident, {proportional:.0} MiB proportional", pids.len());
}

fn main() {
    init();
    for rate in [5, 30] {
        results("8 pools of their own", rate, &[]);
        results("one pool of 1", rate, &[("worker-group", "one")]);
        results("one pool of 2", rate, &[("worker-group", "two"), ("workers", "2")]);
    }
    if std::env::var_os("ORION_WORKER").is_some() {
        real("8 pools of their own, real", &[]);
        real("one pool of 1, real", &[("worker-group", "one")]);
        real("one pool of 2, real", &[("worker-group", "two"), ("workers", "2")]);
    }
}
