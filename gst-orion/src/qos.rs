// SPDX-License-Identifier: MPL-2.0
//! The quality-of-service message for a frame that was dropped.

use gst::prelude::*;
use orion_core::ledger::Cause;

/// Posts it, for causes that are a loss: what was dropped by wish (rate, pause) or by a flush is none.
///
/// `processed`, `dropped`: frames so far.
pub(crate) fn post(
    element: &gst::Element,
    buffer: &gst::BufferRef,
    segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
    live: bool,
    cause: Cause,
    processed: u64,
    dropped: u64,
) {
    if matches!(cause, Cause::RateLimit | Cause::Paused | Cause::Flush | Cause::Shutdown) {
        return;
    }
    let pts = buffer.pts();
    let running = pts.and_then(|pts| segment.and_then(|segment| segment.to_running_time(pts)));
    let stream = pts.and_then(|pts| segment.and_then(|segment| segment.to_stream_time(pts)));
    let frames = |count| gst::format::Buffers::from_u64(count);
    let message = gst::message::Qos::builder(live)
        .src(element)
        .running_time(running)
        .stream_time(stream)
        .timestamp(pts)
        .duration(buffer.duration())
        .stats(frames(processed), frames(dropped))
        .other_field("cause", cause.as_str())
        .build();
    // Without a bus nobody listens.
    let _ = element.post_message(message);
}
