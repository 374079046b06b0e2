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
//! | `full-frame`, `external` | u64 | forwarded frames by who chose the region |
//! | `model-320`, `model-640` | u64 | forwarded frames by the model asked for |

use gst::{glib, prelude::*};

mod imp;

glib::wrapper! {
    /// The element `orionroi`.
    pub struct OrionRoi(ObjectSubclass<imp::OrionRoi>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "orionroi", gst::Rank::NONE, OrionRoi::static_type())
}
