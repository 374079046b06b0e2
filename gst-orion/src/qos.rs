// SPDX-License-Identifier: MPL-2.0
//! The quality-of-service message for a frame that was dropped.

use gst::prelude::*;
use orion_core::ledger::Cause;

/// Where a frame stands in its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pts: Option<gst::ClockTime>,
    duration: Option<gst::ClockTime>,
    running: Option<gst::ClockTime>,
    stream: Option<gst::ClockTime>,
}

impl Place {
    /// Stream time, ns.
    pub(crate) fn stream_time(self) -> Option<u64> {
        self.stream.map(gst::ClockTime::nseconds)
    }

    /// The place of a buffer in the present segment.
    pub(crate) fn of(buffer: &gst::BufferRef, segment: Option<&gst::FormattedSegment<gst::ClockTime>>) -> Self {
        let pts = buffer.pts();
        Self {
            pts,
            duration: buffer.duration(),
            running: pts.and_then(|pts| segment.and_then(|segment| segment.to_running_time(pts))),
            stream: pts.and_then(|pts| segment.and_then(|segment| segment.to_stream_time(pts))),
        }
    }
}

/// Posts it, for causes that are a loss: what was dropped by wish (rate, pause) or by a flush is none.
///
/// `processed`, `dropped`: frames so far.
pub(crate) fn post(element: &gst::Element, place: Place, live: bool, cause: Cause, processed: u64, dropped: u64) {
    if matches!(cause, Cause::RateLimit | Cause::Paused | Cause::Flush | Cause::Shutdown) {
        return;
    }
    let frames = |count| gst::format::Buffers::from_u64(count);
    let message = gst::message::Qos::builder(live)
        .src(element)
        .running_time(place.running)
        .stream_time(place.stream)
        .timestamp(place.pts)
        .duration(place.duration)
        .stats(frames(processed), frames(dropped))
        .other_field("cause", cause.as_str())
        .build();
    // Without a bus nobody listens.
    let _ = element.post_message(message);
}
