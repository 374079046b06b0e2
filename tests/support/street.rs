// SPDX-License-Identifier: MPL-2.0
//! An element between a pad that pushes from a thread of its own and a pad that takes what comes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gst::prelude::*;

use crate::Subject;

/// How long the feeder rests after each buffer.
const REST: Duration = Duration::from_micros(300);

/// Upstream.
struct Source {
    pad: gst::Pad,
    caps: gst::Caps,
    /// Held by whoever pushes; data must not come before the events that belong in front of it.
    way: Mutex<()>,
    /// To be pushed before the next buffer.
    orders: Mutex<Vec<gst::Event>>,
}

impl Source {
    /// What precedes all data. The way is held.
    fn begin(&self) {
        self.orders.lock().unwrap().clear();
        self.pad.push_event(gst::event::StreamStart::new("races"));
        self.pad.push_event(gst::event::Caps::new(&self.caps));
        self.pad.push_event(segment());
    }

    fn flush(&self) {
        self.pad.push_event(gst::event::FlushStart::new());
        // Whoever pushes has been sent back by now.
        let _way = self.way.lock().unwrap();
        self.pad.push_event(gst::event::FlushStop::new(true));
        self.begin();
    }
}

fn segment() -> gst::Event {
    gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())
}

/// The whole of it.
pub struct Street {
    pub element: gst::Element,
    source: Arc<Source>,
    sink: Option<gst::Pad>,
    errors: Arc<Mutex<Vec<String>>>,
    pushed: AtomicU64,
}

impl Street {
    pub fn new(subject: &Subject, live: bool) -> Self {
        let element = gst::ElementFactory::make(subject.factory).build().unwrap();
        for (name, value) in &subject.properties {
            match element.find_property(name) {
                // As it is: a command has quotes of its own.
                Some(spec) if spec.value_type() == gst::glib::Type::STRING => element.set_property(name, value),
                _ => element.set_property_from_str(name, value),
            }
        }
        let errors = Arc::new(Mutex::new(Vec::new()));
        let bus = gst::Bus::new();
        let (heard, weak) = (Arc::clone(&errors), element.downgrade());
        bus.set_sync_handler(move |_, message| {
            // What an application may do in its handler.
            if let Some(element) = weak.upgrade() {
                let _: gst::Structure = element.property("stats");
            }
            if let gst::MessageView::Error(error) = message.view() {
                heard.lock().unwrap().push(format!("{} {:?}", error.error(), error.debug()));
            }
            gst::BusSyncReply::Drop
        });
        element.set_bus(Some(&bus));
        let source = Arc::new_cyclic(|source: &std::sync::Weak<Source>| {
            let source = source.clone();
            let pad = gst::Pad::builder(gst::PadDirection::Src)
                .query_function(move |pad, parent, query| match query.view_mut() {
                    gst::QueryViewMut::Latency(query) => {
                        query.set(live, gst::ClockTime::ZERO, gst::ClockTime::NONE);
                        true
                    }
                    _ => gst::Pad::query_default(pad, parent, query),
                })
                .event_function(move |pad, parent, event| match (event.view(), source.upgrade()) {
                    (gst::EventView::Seek(seek), Some(source)) => {
                        if seek.get().1.contains(gst::SeekFlags::FLUSH) {
                            source.flush();
                        } else {
                            source.orders.lock().unwrap().push(segment());
                        }
                        true
                    }
                    _ => gst::Pad::event_default(pad, parent, event),
                })
                .build();
            let caps = subject.caps[0].parse().unwrap();
            Source { pad, caps, way: Mutex::default(), orders: Mutex::default() }
        });
        let sink = element.static_pad("src").map(|out| {
            let sink = taker();
            out.link(&sink).unwrap();
            sink
        });
        source.pad.set_active(true).unwrap();
        source.pad.link(&element.static_pad("sink").unwrap()).unwrap();
        // The pad keeps these for the element; it would push no buffer without.
        source.begin();
        Self { element, source, sink, errors, pushed: AtomicU64::new(0) }
    }

    /// Brings the element into a state; false = it refuses.
    pub fn change(&self, state: gst::State) -> bool {
        let rises = self.element.current_state() <= gst::State::Ready && state >= gst::State::Paused;
        // Whoever pushes into an element that does not run comes back at once.
        let _way = rises.then(|| self.source.way.lock().unwrap());
        let went = self.element.set_state(state).is_ok();
        if rises {
            self.source.begin();
        }
        went
    }

    /// To be pushed by the feeder.
    pub fn order(&self, event: gst::Event) {
        self.source.orders.lock().unwrap().push(event);
    }

    pub fn flush(&self) {
        self.source.flush();
    }

    /// As an application or a sink asks for it.
    pub fn seek(&self, flags: gst::SeekFlags) {
        let none = gst::ClockTime::NONE;
        let seek =
            gst::event::Seek::new(1.0, flags, gst::SeekType::Set, gst::ClockTime::ZERO, gst::SeekType::None, none);
        match &self.sink {
            Some(sink) => sink.push_event(seek),
            None => self.element.send_event(seek),
        };
    }

    /// Pushes buffers, and what was ordered, until it is over.
    pub fn feed(&self, over: &AtomicBool) {
        while !over.load(SeqCst) {
            {
                let _way = self.source.way.lock().unwrap();
                let orders = std::mem::take(&mut *self.source.orders.lock().unwrap());
                for event in orders {
                    self.source.pad.push_event(event);
                }
                let n = self.pushed.fetch_add(1, SeqCst);
                // Some are larger than any pipe.
                let size = if n % 50 == 7 { 1 << 20 } else { 64 * 48 * 3 };
                let mut buffer = gst::Buffer::from_slice(vec![1u8; size]);
                buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(n));
                // It may be refused at any time.
                let _ = self.source.pad.push(buffer);
            }
            thread::sleep(REST);
        }
    }

    pub fn pushed(&self) -> u64 {
        self.pushed.load(SeqCst)
    }

    /// The errors on the bus since this was asked last.
    pub fn take_errors(&self) -> Vec<String> {
        std::mem::take(&mut *self.errors.lock().unwrap())
    }

    pub fn stats(&self) -> gst::Structure {
        self.element.property("stats")
    }

    pub fn count(&self, field: &str) -> u64 {
        self.stats().get(field).unwrap()
    }

    /// Each frame is accounted for.
    #[track_caller]
    pub fn adds_up(&self, when: &dyn Fn() -> String) {
        let stats = self.stats();
        let count = |field: &str| stats.get::<u64>(field).unwrap();
        let dropped: gst::Structure = stats.get("dropped").unwrap();
        let dropped: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
        assert_eq!(count("received"), count("forwarded") + dropped + count("in-flight"), "{}: {stats}", when());
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
        if let Some(bus) = self.element.bus() {
            bus.unset_sync_handler();
        }
        self.element.set_bus(None);
        let _ = self.source.pad.set_active(false);
    }
}

/// Downstream: takes everything.
fn taker() -> gst::Pad {
    let sink = gst::Pad::builder(gst::PadDirection::Sink)
        .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
        .event_function(|_, _, _| true)
        .query_function(|pad, parent, query| match query.view_mut() {
            gst::QueryViewMut::AcceptCaps(query) => {
                query.set_result(true);
                true
            }
            gst::QueryViewMut::Caps(query) => {
                query.set_result(&gst::Caps::new_any());
                true
            }
            _ => gst::Pad::query_default(pad, parent, query),
        })
        .build();
    sink.set_active(true).unwrap();
    sink
}
