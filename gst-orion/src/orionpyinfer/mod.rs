// SPDX-License-Identifier: MPL-2.0
//! element-orionpyinfer
//!
//! Sends each frame to a worker process and puts what it saw on the buffer: one `GstVideoRegionOfInterestMeta` a detection
//! and an `OrionInferenceMeta` with the whole result. The worker speaks protocol version 1 on its stdin and stdout; the
//! shipped one detects persons, or motion without any model. Built with the feature `v1_24`, which needs GStreamer 1.24, it puts the
//! same boxes into a `GstAnalyticsRelationMeta`, for elements such as `objectdetectionoverlay` (docs/analytics.md).
//!
//! Frames leave in the order in which they came. A worker has at most two of them in hand: while it infers one, it decodes
//! the next. Apart from that no frame is taken before a worker is free, so a leaky queue before the element drops old ones
//! (on a live stream the second frame is asked for just in time); without a queue every frame of a file is answered.
//!
//! ## Example
//! ```text
//! gst-launch-1.0 filesrc location=clip.mp4 ! decodebin ! videoconvert ! orionpyinfer detector=motion ! orionmqttsink async=true
//! ```
//!
//! ## Changes while frames flow
//! `confidence`, `iou-threshold` and `labels` are told to the running workers. `model-size` and everything else that workers
//! are started with is changed by a swap: new processes are started beside the old ones, load, warm up, and are checked on the
//! latest frame; then the next frame goes to them, and the old ones finish what they have in hand and end. No frame is lost
//! or answered twice. If anything fails, the old workers carry on, a warning says why, and the property reads as before.
//! Action signals: `swap-model` (size: orion, n, s, m, l, x; returns whether a swap was begun), which also loads the same size again, and
//! `restart-worker`, a swap to the same.
//!
//! ## How pictures reach a worker
//! A raw picture is copied once, from the buffer into memory that host and worker share, and looked at there; rows are packed
//! in that same copy. JPEGs, which are small, go through the worker's standard input, and so does every picture for a worker
//! that does not know of shared memory, or with `transport=pipe`. `transport=shm` shares all pictures, and such a worker is
//! an error.
//!
//! ## One pool for several elements
//! Elements of one process that have the same `worker-group` share one pool of workers: eight cameras then need one model in
//! memory, or two, and not eight. The first one of them that starts makes the pool, with its `workers` and time-outs; others
//! have to be set like it in `worker-command`, `worker-environment`, `model-dir`, `model-file`, `model-file-320`, `model-size`, `detector`, `workers`,
//! `execution-provider`, `intra-op-threads`, `transport`, `max-batch`, `batch-wait`, `confidence`, `iou-threshold` and `labels`, else they do not start, and an error says
//! where they differ. They may come and go at any time; the last one ends the processes. A worker that cannot start is an error
//! of all of them, and whoever starts after that begins with new workers.
//!
//! A free worker takes the next frame from the element that was served longest ago, of those that have one: none of them waits
//! for more than one frame of each other one. On live streams an element asks for its next frame when it is its turn.
//! Frames, order, losses, flushes, EOS and the `stats` of each element are its own; `workers`, `swaps` and the messages about workers
//! are those of all. What is changed on one of them while frames flow is changed on all: their properties follow, and
//! with `orion-swap` each one tells its own `applied-at-seq`. In its log a worker counts the frames of all of them.
//!
//! A model that leaves open how many pictures it takes (its batch dimension is dynamic) runs frames of several elements at once:
//! up to `max-batch` of those that wait when it is free, or that come within `batch-wait`. `timing.batch` in a result says how
//! many there were, if more than one, and `inference_ms` is the time of that run. It is meant for accelerators. On a processor with two
//! cores it was measured to answer no more frames in a second, and each of them later, as a frame waits for the whole run; so the
//! shipped worker makes no batches there unless `max-batch` says so. An element alone is served as ever.
//!
//! Workers that remember something from frame to frame, as `detector=motion` does with the background, mix the pictures of
//! different cameras up; a group is for those that look at each frame by itself.
//!
//! ## When a worker dies or hangs
//! It is replaced at once, the second time after 1 s, then up to 30 s later, and at once again after a minute of good work. Only
//! the frame, or the batch, that it worked on is lost; one that it had not begun goes to its successor. A worker that ends by itself and
//! never was ready is an error of the element: its configuration is wrong, and a restart would not help.
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
//! | `transport` | string | how the picture of the last frame went to its worker: `none` yet, `pipe` or `shm` |
//! | `bytes-copied`, `bytes-copied-last` | u64 | bytes of pictures copied between buffers and workers, of all frames and of the last one: a picture is copied once into shared memory, but into a pipe and out of it again |
//! | `swap` | string | `none` or `under-way` |
//! | `swaps`, `swaps-failed` | u64 | replacements of the workers that came to work, and those that did not |
//! | `in-force` | structure | the properties that workers are started with or told of, as those at work have them, as GStreamer writes values |
//! | `workers` | array of structures | those at work, see below |
//!
//! A worker: `index` u32, `state` (starting, ready, busy, stalled, swapping, backing-off, failed, stopped), `pid` u32, `restarts` u64
//! (against our will), `memory` u64 (resident bytes without shared ones), `last-error`; once it is ready also `worker`, `version`, `load-ms` f64, `model-size`,
//! `model-file` and `model-file-320`, which are empty for a worker without models, and `threads` u32, with which it computes, as it says (0 = it does not).
//!
//! ## Messages
//! * `orion-worker`: `event` (`ready`, `exited`, `restarting`), `index`, `pid`, `reason`. An element that joins a group hears `ready` of those
//!   that are.
//! * `orion-setting`: a worker was told of a changed `confidence`, `iou-threshold` or `labels`: `property`, `index`, and `refused`, the reason,
//!   if it does not take it.
//! * `orion-swap`: `event` (`started`, `taken-over`, `done`, `failed`, `overtaken`), `reason`, `model-size` and `model-file` in force, and with `done`, which
//!   comes with the first result of the new workers, `applied-at-seq`, the first frame that they got.
//! * A QoS message with its `cause` for each frame that is lost by a fault or by its age.
//! * Lost frames and dead workers are warnings too, at most one a second for frames and one a restart for workers, with the
//!   worker's last lines on stderr; a worker that cannot start is an error.

use gst::{glib, prelude::*};

mod budget;
mod command;
mod crew;
mod desk;
mod farewell;
mod frame;
mod group;
mod imp;
mod job;
mod lane;
mod pool;
mod priority;
mod process;
mod report;
mod reporter;
mod ring;
mod router;
mod session;
mod settings;
mod state;
mod stats;
mod stderr;
mod stream;
mod terms;
mod tuning;
mod worker;
mod writer;

pub use settings::{Detector, ModelSize, Restart, Transport};

glib::wrapper! {
    /// The element `orionpyinfer`.
    pub struct OrionPyInfer(ObjectSubclass<imp::OrionPyInfer>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    for kind in [Detector::static_type(), ModelSize::static_type(), Restart::static_type(), Transport::static_type()] {
        kind.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "orionpyinfer", gst::Rank::NONE, OrionPyInfer::static_type())
}
