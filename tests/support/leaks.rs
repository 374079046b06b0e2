// SPDX-License-Identifier: MPL-2.0
//! What of GStreamer is alive, by the word of its own `leaks` tracer.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::{
    collections::BTreeMap,
    sync::{Mutex, Once, PoisonError},
};

use gst::{glib, prelude::*};

/// What GStreamer itself keeps for as long as the process lives.
const KEPT: [&str; 12] = [
    "GstCaps",
    "GstCapsFeatures",
    "GstDeviceProviderFactory",
    "GstElementFactory",
    "GstPadTemplate",
    "GstPlugin",
    "GstRegistry",
    // That of buffers made of Rust's own memory.
    "GstRsAllocator-0",
    "GstSystemClock",
    "GstTaskPool",
    "GstTracerFactory",
    "GstTypeFindFactory",
];

/// The tracer tells what came and went since it was asked last. Its list of what is alive would be shorter, but whoever frees
/// that list lets go of the objects in it too.
fn tracer() -> Option<gst::Tracer> {
    gst::active_tracers().into_iter().find(|tracer| tracer.type_().name() == "GstLeaksTracer")
}

/// Counts from now on; false = the tracer is not there.
pub fn begin() -> bool {
    let Some(tracer) = tracer() else { return false };
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracer.emit_by_name::<()>("activity-start-tracking", &[]));
    true
}

/// How many there are of each type that were made since [`begin`].
pub fn alive() -> BTreeMap<String, usize> {
    static COUNT: Mutex<BTreeMap<String, i64>> = Mutex::new(BTreeMap::new());
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    let told: gst::Structure = tracer().expect("it began").emit_by_name("activity-get-checkpoint", &[]);
    for (list, change) in [("objects-created-list", 1), ("objects-removed-list", -1)] {
        let objects: gst::List = told.get(list).expect("the tracer tells a list");
        for object in objects.iter() {
            let object: gst::Structure = object.get().expect("of structures");
            let kind: String = object.get("type-name").expect("with a type");
            *count.entry(kind).or_default() += change;
        }
    }
    // Fewer than none: it was there before.
    count.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| (kind.clone(), *count as usize)).collect()
}

/// What is alive that somebody should have let go of.
pub fn leaked() -> BTreeMap<String, usize> {
    let mut found = alive();
    found.retain(|kind, _| !KEPT.contains(&kind.as_str()));
    found
}

/// A bus for an element that is in no pipeline. With `set_bus` alone, what nobody took off the bus would keep the element,
/// and that the bus.
pub fn bus(element: &gst::Element) -> gst::Bus {
    let (own, heard) = (gst::Bus::new(), gst::Bus::new());
    let weak = heard.downgrade();
    own.set_sync_handler(move |_, message| {
        if let Some(heard) = weak.upgrade() {
            // Refused once it is flushing, as it should be.
            let _ = heard.post(message.clone());
        }
        gst::BusSyncReply::Drop
    });
    element.set_bus(Some(&own));
    heard
}

/// As `G_DEBUG=fatal-warnings` does it.
pub fn fatal_warnings() {
    glib::log_set_always_fatal(
        glib::LogLevels::LEVEL_WARNING | glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_ERROR,
    );
}

/// Where the tracer is active (`GST_TRACERS=leaks`, as in `make test-rust`), the process fails in the end when anything was
/// leaked. To be called after `gst::init`.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if begin() {
            // SAFETY: the function has the type that is asked for and does not unwind.
            unsafe { nix::libc::atexit(judge) };
        }
    });
}

extern "C" fn judge() {
    // Threads that nobody waits for may be about to let go of the last things.
    for _ in 0..200 {
        if leaked().is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    eprintln!("leaked, by the leaks tracer: {:?}", leaked());
    // SAFETY: it ends the process; a panic would have to unwind through C.
    unsafe { nix::libc::_exit(1) };
}
