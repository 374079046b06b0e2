// SPDX-License-Identifier: MPL-2.0
//! What elements tell the application. The only file that names element messages.

use gst::prelude::*;

/// Name of the message about a worker process.
pub const WORKER_MESSAGE: &str = "orion-worker";

/// What happened to a worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEvent {
    /// `ready`, `exited` or `restarting`.
    pub event: String,
    /// Which of the element's workers.
    pub index: u32,
    /// Its process id; 0 = no process.
    pub pid: u32,
    /// In words.
    pub reason: String,
}

impl WorkerEvent {
    /// Posts it on the element's bus.
    pub(crate) fn post(&self, element: &gst::Element) {
        let structure = gst::Structure::builder(WORKER_MESSAGE)
            .field("event", &self.event)
            .field("index", self.index)
            .field("pid", self.pid)
            .field("reason", &self.reason)
            .build();
        // Without a bus nobody listens.
        let _ = element.post_message(gst::message::Element::builder(structure).src(element).build());
    }

    /// Reads it from an element message; none = another message.
    pub fn parse(message: &gst::MessageRef) -> Option<Self> {
        let structure = message.structure().filter(|s| s.name() == WORKER_MESSAGE)?;
        Some(Self {
            event: structure.get("event").ok()?,
            index: structure.get("index").ok()?,
            pid: structure.get("pid").ok()?,
            reason: structure.get("reason").ok()?,
        })
    }
}
