// SPDX-License-Identifier: MPL-2.0
//! element-orionroi
//!
//! Numbers and dates each frame, and decides where the worker is to look and with which model. It annotates, in place, and
//! never touches the picture.
//!
//! ## Example
//! ```text
//! gst-launch-1.0 videotestsrc is-live=true ! jpegenc \
//!   ! orionroi instance-id=yard max-rate=2.5 rois='[{"x":0.2,"y":0.2,"width":0.6,"height":0.6}]' \
//!   ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 ! orionpyinfer detector=motion ! orionmqttsink
//! ```
//!
//! ## `stats`
//! | field | type | meaning |
//! |---|---|---|
//! | `received` | u64 | frames that came in |
//! | `forwarded` | u64 | frames that went out, numbered from 0 |
//! | `in-flight` | u64 | `received` − `forwarded` − all of `dropped` |
//! | `dropped` | structure | one u64 a cause; here only `paused` and `rate_limit` are ever counted |
//! | `external`, `python-suggested`, `auto-history`, `full-frame` | u64 | forwarded frames by who chose the region |
//! | `sweeps` | u64 | those of `full-frame` that had a region, which `max-blind-time` overruled |
//! | `model-320`, `model-640` | u64 | forwarded frames by the model asked for |
//! | `strategy-simple`, `strategy-smoothing`, `strategy-velocity` | u64 | frames whose region that strategy made |
//! | `history-size` | u64 | suggestions remembered |
//! | `hits`, `misses`, `late` | u64 | workers' answers with a suggestion, without one, and too late to count |
//! | `time-since-full-sweep-ms` | f64 | stream time since the last full frame; absent before the first |
//! | `coverage` | f64 | share of the last frame that is looked at, 0..1; absent before the first |
//!
//! ## Attention
//! `rois` go first. With `auto-focus`, the worker's suggestions come back as upstream events, and the region is what
//! `strategy` makes of those of the last `history-frames` frames: labelled `python_suggested` while the last answer made one,
//! `auto_history` after one that did not. A second empty answer, one of a full frame, or a box that is cut by the region's edge
//! clears the history. Else the full frame is looked at; and at least once per `max-blind-time` in any case.

use gst::{glib, prelude::*};

mod imp;
mod settings;

pub use settings::RoiStrategy;

glib::wrapper! {
    /// The element `orionroi`.
    pub struct OrionRoi(ObjectSubclass<imp::OrionRoi>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    RoiStrategy::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(Some(plugin), "orionroi", gst::Rank::NONE, OrionRoi::static_type())
}
