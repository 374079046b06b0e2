// SPDX-License-Identifier: MPL-2.0
//! An orionmqttsink that is fed by hand.

use std::{thread, time::Instant};

use gst::prelude::*;
use gst_check::Harness;

use super::{broker::PATIENCE, leaks};

/// What `mqtt-version` may be.
pub const VERSIONS: [&str; 2] = ["3.1.1", "5"];

/// One element with a bus of its own, playing.
pub struct Sink {
    pub element: gst::Element,
    pub bus: gst::Bus,
    pub harness: Harness,
}

impl Sink {
    /// One that does nothing yet.
    pub fn element(properties: &[(&str, &dyn ToValue)]) -> (gst::Element, gst::Bus) {
        gst::init().unwrap();
        gstorion::plugin_register_static().unwrap();
        leaks::watch();
        let element = gst::ElementFactory::make("orionmqttsink").build().unwrap();
        // Tests must not wait for the longest interval, and the last message may take its time on a busy machine.
        element.set_property("max-reconnect-interval", 200_000_000_u64);
        element.set_property("drain-timeout", PATIENCE.as_nanos() as u64);
        let bus = leaks::bus(&element);
        for (name, value) in properties {
            let value = value.to_value();
            match value.get::<&str>() {
                // Enumerations too.
                Ok(text) => element.set_property_from_str(name, text),
                Err(_) => element.set_property_from_value(name, &value),
            }
        }
        (element, bus)
    }

    /// One with these properties.
    pub fn new(properties: &[(&str, &dyn ToValue)]) -> Self {
        let (element, bus) = Self::element(properties);
        Self::of(element, bus, "application/octet-stream")
    }

    /// Lets an element play.
    pub fn of(element: gst::Element, bus: gst::Bus, caps: &str) -> Self {
        let mut harness = Harness::with_element(&element, Some("sink"), None);
        harness.set_src_caps_str(caps);
        Self { element, bus, harness }
    }

    /// One that publishes to topic `t` at this port.
    pub fn at(port: u16, properties: &[(&str, &dyn ToValue)]) -> Self {
        let port = u32::from(port);
        let mut all: Vec<(&str, &dyn ToValue)> = vec![("port", &port), ("topic", &"t")];
        all.extend_from_slice(properties);
        Self::new(&all)
    }

    pub fn push(&mut self, text: &str) {
        let buffer = gst::Buffer::from_slice(text.to_owned());
        assert_eq!(self.harness.push(buffer), Ok(gst::FlowSuccess::Ok));
    }

    pub fn push_all(&mut self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|n| self.push(&n.to_string()));
    }

    /// Returns when everything is acknowledged.
    pub fn eos(&mut self) {
        assert!(self.harness.push_event(gst::event::Eos::new()));
    }

    pub fn stop(&self) {
        assert_eq!(self.element.set_state(gst::State::Null), Ok(gst::StateChangeSuccess::Success));
    }

    pub fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    pub fn count(&self, field: &str) -> u64 {
        self.stats().get(field).unwrap()
    }

    /// Waits until the statistics are as they should be.
    pub fn wait_until(&self, what: &str, is: impl Fn(&gst::Structure) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(&self.stats()) {
            assert!(Instant::now() < deadline, "{what}: {}", self.stats());
            thread::yield_now();
        }
    }

    /// Waits until a counter of `stats` has come so far.
    pub fn wait_for(&self, field: &str, least: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(field) < least {
            assert!(Instant::now() < deadline, "{}", self.stats());
            thread::yield_now();
        }
    }

    pub fn dropped(&self, cause: &str) -> u64 {
        let dropped: gst::Structure = self.stats().get("dropped").unwrap();
        dropped.get(cause).unwrap()
    }

    /// The next message of this type, as its text.
    pub fn message(&self, kind: gst::MessageType) -> String {
        let patience = gst::ClockTime::from_nseconds(PATIENCE.as_nanos() as u64);
        let message = self.bus.timed_pop_filtered(patience, &[kind]);
        text(&message.expect("no message on the bus"))
    }

    /// The texts of all messages of this type that are there.
    pub fn messages(&self, kind: gst::MessageType) -> Vec<String> {
        let pop = || self.bus.pop_filtered(&[kind]);
        std::iter::from_fn(pop).map(|message| text(&message)).collect()
    }

    #[track_caller]
    pub fn adds_up(&self) {
        let stats = self.stats();
        let dropped: gst::Structure = stats.get("dropped").unwrap();
        let dropped: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
        let get = |field: &str| stats.get::<u64>(field).unwrap();
        assert_eq!(get("received"), get("forwarded") + get("in-flight") + dropped, "{stats}");
    }
}

/// The text of a warning, error or info.
pub fn text(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Warning(warning) => warning.error().message().to_owned(),
        gst::MessageView::Error(error) => error.error().message().to_owned(),
        gst::MessageView::Info(info) => info.error().message().to_owned(),
        other => panic!("{other:?}"),
    }
}
