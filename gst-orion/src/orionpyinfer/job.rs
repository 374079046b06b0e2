// SPDX-License-Identifier: MPL-2.0
//! One frame on its way through a worker.

use std::{sync::Arc, time::Instant};

use orion_core::wire::TargetSize;

use super::report::Who;
use crate::{frames::MappedPicture, meta::FrameInfo};

/// A framed message for a worker.
pub(super) struct Message {
    /// All but the picture.
    pub(super) head: Vec<u8>,
    /// The rest of it, which is not copied.
    pub(super) picture: MappedPicture,
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

    /// A frame whose answer nobody else will see.
    pub(super) fn check() -> Self {
        Self { job: None, target: None, live: false, is_followed: false }
    }
}
