// SPDX-License-Identifier: MPL-2.0
//! What elements tell the application and each other. The only file that names element messages and events.

use gst::prelude::*;
use orion_core::{focus::Feedback, geometry::NormRect};

/// Name of the message about a worker process.
pub const WORKER_MESSAGE: &str = "orion-worker";

/// Name of the upstream event about a worker's answer.
const FEEDBACK_EVENT: &str = "orion-feedback";

/// The event that tells `orionroi` of an answer. `origin`: which `orionroi` planned the frame.
pub(crate) fn feedback(origin: u64, feedback: &Feedback) -> gst::Event {
    let mut structure = gst::Structure::builder(FEEDBACK_EVENT)
        .field("origin", origin)
        .field("type", &feedback.kind)
        .field("seq", feedback.seq)
        .field("time", feedback.time)
        .field("full-frame", feedback.full_frame)
        .field("cut", feedback.cut);
    if let Some(region) = feedback.suggested {
        structure = structure
            .field("x", region.x())
            .field("y", region.y())
            .field("width", region.width())
            .field("height", region.height());
    }
    gst::event::CustomUpstream::new(structure.build())
}

/// Reads an event made by [`feedback`]; none = another event.
pub(crate) fn parse_feedback(event: &gst::EventRef) -> Option<(u64, Feedback)> {
    let structure = event.structure().filter(|s| s.name() == FEEDBACK_EVENT)?;
    let side = |name: &str| structure.get::<f64>(name).ok();
    let region = || NormRect::new(side("x")?, side("y")?, side("width")?, side("height")?).ok();
    let feedback = Feedback {
        kind: structure.get("type").ok()?,
        seq: structure.get("seq").ok()?,
        time: structure.get("time").ok()?,
        full_frame: structure.get("full-frame").ok()?,
        suggested: region(),
        cut: structure.get("cut").ok()?,
    };
    Some((structure.get("origin").ok()?, feedback))
}

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

/// Name of the message about the replacement of workers by others.
pub const SWAP_MESSAGE: &str = "orion-swap";

/// What happened to a replacement of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapEvent {
    /// `started`, `taken-over` (the next frame goes to the new workers), `done`, `failed` or `overtaken` (something else was asked
    /// for meanwhile).
    pub event: String,
    /// In words; empty when it is done.
    pub reason: String,
    /// Size of the model in force, as the worker tells it; empty for one without models.
    pub model_size: String,
    /// File of the large model in force; likewise.
    pub model_file: String,
    /// When done: sequence number of the first frame that the new workers got.
    pub applied_at_seq: Option<u64>,
}

impl SwapEvent {
    /// Posts it on the element's bus.
    pub(crate) fn post(&self, element: &gst::Element) {
        let mut structure = gst::Structure::builder(SWAP_MESSAGE)
            .field("event", &self.event)
            .field("reason", &self.reason)
            .field("model-size", &self.model_size)
            .field("model-file", &self.model_file);
        if let Some(seq) = self.applied_at_seq {
            structure = structure.field("applied-at-seq", seq);
        }
        // Without a bus nobody listens.
        let _ = element.post_message(gst::message::Element::builder(structure.build()).src(element).build());
    }

    /// Reads it from an element message; none = another message.
    pub fn parse(message: &gst::MessageRef) -> Option<Self> {
        let structure = message.structure().filter(|s| s.name() == SWAP_MESSAGE)?;
        Some(Self {
            event: structure.get("event").ok()?,
            reason: structure.get("reason").ok()?,
            model_size: structure.get("model-size").ok()?,
            model_file: structure.get("model-file").ok()?,
            applied_at_seq: structure.get("applied-at-seq").ok(),
        })
    }
}

/// Name of the message about a setting that running workers are told of.
pub const SETTING_MESSAGE: &str = "orion-setting";

/// What became of a setting that a worker was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingEvent {
    /// The element's property.
    pub property: String,
    /// Which of the element's workers.
    pub index: u32,
    /// Why the worker does not take it; none = it is in force.
    pub refused: Option<String>,
}

impl SettingEvent {
    /// Posts it on the element's bus.
    pub(crate) fn post(&self, element: &gst::Element) {
        let structure = gst::Structure::builder(SETTING_MESSAGE)
            .field("property", &self.property)
            .field("index", self.index)
            .field_if_some("refused", self.refused.as_deref())
            .build();
        // Without a bus nobody listens.
        let _ = element.post_message(gst::message::Element::builder(structure).src(element).build());
    }

    /// Reads it from an element message; none = another message.
    pub fn parse(message: &gst::MessageRef) -> Option<Self> {
        let structure = message.structure().filter(|s| s.name() == SETTING_MESSAGE)?;
        Some(Self {
            property: structure.get("property").ok()?,
            index: structure.get("index").ok()?,
            refused: structure.get("refused").ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_is_read_as_it_was_written() {
        gst::init().unwrap();
        for suggested in [None, Some(NormRect::new(0.1, 0.2, 0.3, 0.4).unwrap())] {
            let told =
                Feedback { kind: "person_detection".into(), seq: 7, time: 8, full_frame: true, suggested, cut: true };
            assert_eq!(parse_feedback(&feedback(3, &told)), Some((3, told)));
        }
        assert_eq!(parse_feedback(&gst::event::Reconfigure::new()), None);
    }
}
