// SPDX-License-Identifier: MPL-2.0
//! element-orionpyinfer
//!
//! Sends each frame to a worker process and puts what it saw on the buffer: one `GstVideoRegionOfInterestMeta` a detection
//! and an `OrionInferenceMeta` with the whole result. The worker speaks protocol version 1 on its stdin and stdout; the
//! shipped one detects persons, or motion without any model.
//!
//! Frames leave in the order in which they came. While no worker is free the element does not take the next frame, so a
//! leaky queue before it drops old ones; without a queue every frame of a file is answered.
//!
//! ## Example
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! videoconvert ! orionpyinfer detector=motion ! orionmqttsink async=true
//! ```
//!
//! ## `stats`
//! | field | type | meaning |
//! |---|---|---|
//! | `received` | u64 | frames that came in, and those lost in the queue before (gaps in the sequence numbers) |
//! | `forwarded` | u64 | frames that went out with a result |
//! | `in-flight` | u64 | `received` − `forwarded` − all of `dropped` |
//! | `dropped` | structure | one u64 a cause |
//! | `results`, `detections` | u64 | answers of the workers, and what they found in all |
//! | `average-latency-ms` | f64 | mean time between sending a frame and its answer |
//! | `last-result` | u64 | moment of the last answer, ns since 1970; 0 = none yet |
//! | `workers` | array of structures | `index` u32, `state` (starting, ready, busy, backing-off, failed, stopped), `pid` u32, `restarts` u64, `last-error` |
//!
//! ## Messages
//! Element messages named `orion-worker` with `event` (`ready`, `exited`, `restarting`), `index`, `pid`, `reason`.
//! Lost frames and dead workers are warnings, at most one a second; a worker that cannot start is an error.

use gst::{glib, prelude::*};

mod command;
mod frame;
mod imp;
mod pool;
mod process;
mod session;
mod settings;
mod stderr;
mod stream;
mod worker;

pub use settings::{Detector, ModelSize, Restart};

glib::wrapper! {
    /// The element `orionpyinfer`.
    pub struct OrionPyInfer(ObjectSubclass<imp::OrionPyInfer>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    for kind in [Detector::static_type(), ModelSize::static_type(), Restart::static_type()] {
        kind.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "orionpyinfer", gst::Rank::NONE, OrionPyInfer::static_type())
}
