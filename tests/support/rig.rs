// SPDX-License-Identifier: MPL-2.0
//! `orionpyinfer` in a harness, with the stub worker. Each test file uses some of it.

#![allow(dead_code)]

#[path = "leaks.rs"]
pub mod leaks;

use std::{
    sync::Once,
    time::{Duration, Instant},
};

use gst::prelude::*;
use gst_check::Harness;
use gstorion::{
    message::{SwapEvent, WorkerEvent},
    meta,
};

pub const JPEG_CAPS: &str = "image/jpeg,width=8,height=6,framerate=10/1";
pub const SECOND: u64 = 1_000_000_000;

/// The element in a harness, with its messages.
pub struct Rig {
    pub harness: Harness,
    pub bus: gst::Bus,
    next: u64,
}

impl Rig {
    pub fn new(stub: &str, properties: &[(&str, &str)]) -> Self {
        let command = format!("'{}' {stub}", env!("CARGO_BIN_EXE_orion-stub-worker"));
        let properties: Vec<_> =
            [("worker-command", command.as_str())].into_iter().chain(properties.to_vec()).collect();
        let (harness, bus) = play(&properties, JPEG_CAPS);
        Self { harness, bus, next: 0 }
    }

    pub fn element(&self) -> gst::Element {
        self.harness.element().unwrap()
    }

    pub fn push(&mut self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.push_bytes(&[1, 2, 3])
    }

    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut buffer = gst::Buffer::from_slice(bytes.to_vec());
        let pts = gst::ClockTime::from_mseconds(100 * self.next);
        buffer.get_mut().unwrap().set_pts(pts);
        self.next += 1;
        self.harness.push(buffer)
    }

    /// The result on the next buffer that comes out.
    pub fn pull(&mut self) -> serde_json::Value {
        let buffer = self.harness.pull().expect("a buffer comes out");
        let inferences = meta::inferences(&buffer);
        assert_eq!(inferences.len(), 1);
        serde_json::from_str(&inferences[0].result).unwrap()
    }

    pub fn pull_seq(&mut self) -> u64 {
        self.pull()["frame_seq"].as_u64().unwrap()
    }

    pub fn stats(&self) -> gst::Structure {
        self.element().property("stats")
    }

    pub fn count(&self, field: &str) -> u64 {
        self.stats().get(field).unwrap()
    }

    pub fn dropped(&self, cause: &str) -> u64 {
        self.stats().get::<gst::Structure>("dropped").unwrap().get(cause).unwrap()
    }

    pub fn worker(&self) -> gst::Structure {
        self.stats().get::<gst::Array>("workers").unwrap()[0].get().unwrap()
    }

    pub fn set(&self, property: &str, value: &str) {
        self.element().set_property_from_str(property, value);
    }

    pub fn pid(&self) -> u32 {
        self.worker().get("pid").unwrap()
    }

    /// The text of the next warning or error.
    pub fn complaint(&self, kind: gst::MessageType) -> String {
        let message = self.bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[kind]).expect("a message comes");
        match message.view() {
            gst::MessageView::Warning(w) => w.error().to_string(),
            gst::MessageView::Error(e) => e.error().to_string(),
            _ => unreachable!(),
        }
    }

    /// Waits for what becomes of a replacement of the workers; earlier events of it are skipped.
    pub fn swap(&self, wanted: &str) -> SwapEvent {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let message = self.bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Element]);
            let event = message.and_then(|message| SwapEvent::parse(&message));
            if let Some(event) = event.filter(|event| event.event == wanted) {
                return event;
            }
        }
        panic!("no swap is {wanted}");
    }

    /// Waits for something that happens to a worker.
    pub fn worker_event(&self, wanted: &str) -> WorkerEvent {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let message = self.bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Element]);
            let event = message.and_then(|message| WorkerEvent::parse(&message));
            if let Some(event) = event.filter(|event| event.event == wanted) {
                return event;
            }
        }
        panic!("no worker is {wanted}");
    }

    pub fn warning(&self) -> String {
        self.complaint(gst::MessageType::Warning)
    }

    pub fn error(&self) -> String {
        self.complaint(gst::MessageType::Error)
    }

    /// Asserts that the book adds up with nothing left inside.
    pub fn assert_settled(&self, received: u64, forwarded: u64) {
        // A frame is booked just after it was pushed, which the other end of the pad may see first.
        until("the book is settled", || self.count("in-flight") == 0);
        let dropped: gst::Structure = self.stats().get("dropped").unwrap();
        let lost: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
        assert_eq!((self.count("received"), self.count("forwarded")), (received, forwarded), "{}", self.stats());
        assert_eq!(received, forwarded + lost);
    }
}

/// The element in a harness that plays, with its bus.
pub fn play(properties: &[(&str, &str)], caps: &str) -> (Harness, gst::Bus) {
    init();
    // The harness starts the element at once, so the properties come first.
    let element = gst::ElementFactory::make("orionpyinfer").build().unwrap();
    for (name, value) in properties {
        match element.find_property(name) {
            // As it is: a command has quotes of its own.
            Some(spec) if spec.value_type() == gst::glib::Type::STRING => element.set_property(name, value),
            _ => element.set_property_from_str(name, value),
        }
    }
    let bus = leaks::bus(&element);
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_live(false);
    harness.set_src_caps_str(caps);
    harness.play();
    (harness, bus)
}

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstorion::plugin_register_static().unwrap();
        leaks::watch();
    });
}

/// Waits for something that another thread brings about.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::yield_now();
    }
}

pub fn alive(pid: u32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).unwrap()
}
