// SPDX-License-Identifier: MPL-2.0
//! One frame on its way through a worker.

use std::{sync::Arc, time::Instant};

use orion_core::wire::{FrameStart, TargetSize};

use super::report::Who;
use crate::{frames::MappedPicture, meta::FrameInfo};

/// A message for a worker.
pub(super) struct Message {
    /// What it says whichever way the picture goes.
    pub(super) start: FrameStart,
    /// All but the picture, for one that follows it.
    pub(super) head: Vec<u8>,
    /// The picture, which is not copied into the message.
    pub(super) picture: MappedPicture,
    /// The picture's bytes.
    pub(super) length: usize,
    /// It is no JPEG.
    pub(super) raw: bool,
}

/// How a picture goes to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In its message.
    Pipe,
    /// In shared memory.
    Shm,
}

impl Way {
    /// Its name, as the property `transport` has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Shm => "shm",
        }
    }

    /// How often a picture's bytes are copied from the buffer to the worker: into a pipe and out of it again, or once.
    pub(super) fn copies(self) -> u64 {
        match self {
            Self::Pipe => 2,
            Self::Shm => 1,
        }
    }
}

/// A frame as the group knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The element that it came from.
    pub(super) owner: u64,
    /// Its place among all frames of the group.
    pub(super) place: u64,
    /// What the worker calls it: no two frames in a worker's hand have the same number.
    pub(super) number: u64,
}

/// A frame, from the sink pad until its result goes out.
pub(super) struct Job {
    pub(super) entry: Entry,
    /// Its place in the order of frames.
    pub(super) ticket: u64,
    /// The stream that it belongs to.
    pub(super) stream: u64,
    /// Whether it grows old while it waits.
    pub(super) live: bool,
    /// The buffer that the result will travel on.
    pub(super) buffer: gst::Buffer,
    /// The frame's identity.
    pub(super) info: FrameInfo,
    /// Width and height in pixels, where known.
    pub(super) size: Option<(u32, u32)>,
    /// None once it was answered, so that the buffer can be written to.
    pub(super) message: Option<Arc<Message>>,
    /// The crew that it was given to.
    pub(super) crew: u64,
    /// When a worker got it, ns of the monotonic clock.
    pub(super) sent: u64,
    /// How its picture went to the last worker that got it.
    pub(super) way: Option<Way>,
    /// Bytes of its picture that were copied, all workers that got it taken together.
    pub(super) copied: u64,
    /// When it came back from a worker that ended before it had begun with it.
    pub(super) returned: Option<Instant>,
}

impl Job {
    /// The model that it asks for.
    pub(super) fn target(&self) -> Option<TargetSize> {
        self.info.planned.as_ref().map(|planned| planned.roi.target_size)
    }

    /// Whether the next frame is planned by the answer to this one.
    pub(super) fn is_followed(&self) -> bool {
        self.info.planned.as_ref().is_some_and(|planned| planned.follows)
    }
}

/// A frame in a worker's hand.
pub(super) struct Carried {
    /// None for a frame that only checks a successor.
    pub(super) job: Option<Box<Job>>,
    pub(super) target: Option<TargetSize>,
    pub(super) live: bool,
    /// The next frame is planned by the answer to this one, and so not sent ahead of it.
    pub(super) is_followed: bool,
}

impl Carried {
    /// A frame that `who` gets now.
    pub(super) fn new(mut job: Box<Job>, who: &Who) -> Self {
        job.sent = gst::get_timestamp().nseconds();
        job.crew = who.crew;
        Self { target: job.target(), live: job.live, is_followed: job.is_followed(), job: Some(job) }
    }

    /// Its picture of so many bytes goes this way.
    pub(super) fn goes(&mut self, way: Way, length: usize) {
        if let Some(job) = &mut self.job {
            job.way = Some(way);
            job.copied += way.copies() * length as u64;
        }
    }

    /// Whether the next frame of its element has to wait for its answer.
    pub(super) fn holds_next(&self) -> bool {
        self.is_followed && !self.live
    }

    /// A frame whose answer nobody else will see.
    pub(super) fn check() -> Self {
        Self { job: None, target: None, live: false, is_followed: false }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use orion_core::wire::{FrameFormat, FrameMeta};

    use super::*;
    use crate::frames::Picture;

    /// A message with a picture of so many bytes.
    pub(in crate::orionpyinfer) fn message(length: usize) -> Message {
        gst::init().unwrap();
        let meta = FrameMeta {
            instance_id: "a".into(),
            room_id: String::new(),
            seq: 0,
            timestamp: String::new(),
            roi_processing: None,
        };
        let start = FrameStart::new(FrameFormat::Jpeg, 0, 0, &meta).unwrap();
        let picture = Picture::Jpeg(None).map(gst::Buffer::from_slice(vec![7; length])).unwrap();
        Message { head: start.inline(length).unwrap(), start, picture, length, raw: false }
    }
}
