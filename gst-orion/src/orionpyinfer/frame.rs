// SPDX-License-Identifier: MPL-2.0
//! One frame: from a buffer to a message for the worker, and from its result to metas on the buffer.

use std::sync::Arc;

use gst::glib;
use orion_core::{
    focus::{self, Feedback},
    ledger::Losses,
    report::Report,
    timestamp,
    wire::{self, InferenceResult},
};

use super::job::{Entry, Job, Message};
use crate::{
    frames::Picture,
    meta::{self, FrameInfo, Inference},
};

/// A frame with its result.
pub(super) struct Answer {
    pub(super) job: Job,
    pub(super) result: InferenceResult,
    /// ns of the monotonic clock.
    pub(super) answered: u64,
    /// Frames lost since the answer before.
    pub(super) lost: Losses,
    /// The flush that it came after.
    pub(super) generation: u64,
}

/// Maps the picture and writes the head of its message.
pub(super) fn prepare(
    picture: &Picture,
    buffer: gst::Buffer,
    info: FrameInfo,
    entry: Entry,
) -> Result<Box<Job>, String> {
    let mapped = picture.map(buffer.clone()).map_err(|error| error.to_string())?;
    let size = picture.size();
    let (width, height) = size.unwrap_or((0, 0));
    let meta = wire::FrameMeta {
        instance_id: info.instance_id.clone(),
        room_id: info.room_id.clone(),
        seq: entry.number,
        timestamp: timestamp::rfc3339(info.captured),
        roi_processing: info.planned.as_ref().map(|planned| planned.roi.clone()),
    };
    let length = mapped.len();
    let start = wire::FrameStart::new(picture.format(), width, height, &meta).map_err(|e| e.to_string())?;
    let head = start.inline(length).map_err(|e| e.to_string())?;
    let message =
        Some(Arc::new(Message { start, head, picture: mapped, length, raw: matches!(picture, Picture::Raw(..)) }));
    let (ticket, stream, crew, sent, copied) = (0, 0, 0, 0, 0);
    let (live, way, returned) = (false, None, None);
    Ok(Box::new(Job { entry, ticket, stream, live, buffer, info, size, message, crew, sent, way, copied, returned }))
}

/// Puts the result on the frame's buffer.
pub(super) fn annotate(answer: Answer) -> Result<gst::Buffer, glib::BoolError> {
    let Answer { job, mut result, answered, lost, generation: _ } = answer;
    // What the host knows better than any echo.
    result.frame_seq = job.info.seq;
    result.instance_id.clone_from(&job.info.instance_id);
    result.room_id.clone_from(&job.info.room_id);
    result.timestamp = timestamp::rfc3339(job.info.captured);
    let size = size(&job, &result);
    if let Some((width, height)) = size {
        result.clip(width, height);
    }
    let json = serde_json::to_string(&result).map_err(|e| glib::bool_error!("cannot write the result: {}", e))?;
    let mut buffer = job.buffer;
    let target = buffer.make_mut();
    if !meta::has_frame(target) {
        meta::set_frame(target, &job.info)?;
    }
    if let Some((width, height)) = size {
        meta::add_detections(target, &result.data.detections, width, height)?;
    }
    let lost = Report::losses(&lost);
    meta::add_inference(target, &Inference { kind: result.kind, result: json, sent: job.sent, answered, lost })?;
    Ok(buffer)
}

/// The frame's width and height in pixels, where the caps or else the worker tell them.
fn size(job: &Job, result: &InferenceResult) -> Option<(u32, u32)> {
    let told = |name| result.data.metadata.get(name).and_then(|n| n.as_u64()).and_then(|n| u32::try_from(n).ok());
    job.size.or_else(|| told("frame_width").zip(told("frame_height")))
}

/// What is wrong with an answer whose boxes all lie outside the frame: without them it would say that nobody is there.
pub(super) fn stray(job: &Job, result: &InferenceResult) -> Option<String> {
    let (width, height) = size(job, result)?;
    let first = result.all_outside(width, height)?;
    let (x, y) = (first.x, first.y);
    let count = result.data.count;
    Some(format!(
        "unreadable answer: all boxes ({count}) lie outside the frame of {width}x{height} px, the first at {x}, {y}"
    ))
}

/// What `orionroi` is told of an answer, with its own number; none where no `orionroi` planned the frame.
pub(super) fn feedback(job: &Job, result: &InferenceResult) -> Option<(u64, Feedback)> {
    let planned = job.info.planned.as_ref()?;
    let region = planned.roi.merged_roi.as_ref();
    let cut = region.zip(size(job, result)).is_some_and(|(region, frame)| {
        result.data.detections.iter().any(|detection| focus::is_cut(&detection.bbox, region, frame))
    });
    let feedback = Feedback {
        kind: result.kind.clone(),
        seq: job.info.seq,
        time: planned.time,
        full_frame: planned.roi.merged_roi.is_none(),
        suggested: result.suggested_roi,
        cut,
    };
    Some((planned.origin, feedback))
}
