// SPDX-License-Identifier: MPL-2.0
//! What the element knows at a moment: the book, the frames inside, and the workers.

use std::{sync::Arc, time::Duration};

use orion_core::{
    hand::DEPTH,
    ledger::{Cause, GapFinder, Ledger, Losses},
    reorder::Reorder,
    report::ClockSource,
    swap::Newcomers,
    throttle::Throttle,
    wire::Ready,
};

use super::{
    frame::Answer,
    job::{Job, Message, Way},
    report::Who,
    worker::Status,
};
use crate::{
    frames::Picture,
    identity,
    meta::{self, FrameInfo},
};

/// How often a repeated fault is posted as a warning.
pub(super) const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// What waits for the source pad.
pub(super) enum Item {
    Event(gst::Event),
    Answer(Box<Answer>),
    /// Frames that will not come, in the place where they would have been.
    Lost(Cause, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushing {
    Event,
    Frame,
}

/// What has to be booked when the frame has been pushed.
pub(super) struct Push {
    pub(super) generation: u64,
    pub(super) stream: u64,
    pub(super) lost: Losses,
}

impl Push {
    pub(super) fn of(answer: &Answer) -> Self {
        Self { generation: answer.generation, stream: answer.job.stream, lost: answer.lost }
    }
}

/// What is known of one of the workers.
#[derive(Debug, Clone)]
pub(super) struct WorkerInfo {
    pub(super) who: Who,
    pub(super) status: Status,
    /// Restarts of those that were in its place before.
    pub(super) restarts_before: u64,
    pub(super) last_error: String,
    /// What it said of itself when it was ready.
    pub(super) ready: Option<Box<Ready>>,
}

impl WorkerInfo {
    pub(super) fn new(who: Who) -> Self {
        Self { who, status: Status::default(), restarts_before: 0, last_error: String::new(), ready: None }
    }
}

/// The replacement of the workers, as `stats` shows it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Swaps {
    /// Successors are being started.
    pub(super) under_way: bool,
    pub(super) done: u64,
    pub(super) failed: u64,
}

/// Counters beside the ledger.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) results: u64,
    pub(super) detections: u64,
    /// ns between sending a frame and its answer, summed up.
    pub(super) worker_time: u64,
    /// ns since 1970; 0 = none yet.
    pub(super) last_result: u64,
    /// How the picture of the last frame that is done with went to its worker.
    pub(super) way: Option<Way>,
    /// Bytes of pictures that were copied between buffers and workers, of all frames and of the last one.
    pub(super) copied: u64,
    pub(super) last_copied: u64,
}

impl Totals {
    /// A frame is done with, answered or not.
    pub(super) fn add_copies(&mut self, job: &Job) {
        if job.way.is_some() {
            (self.way, self.last_copied) = (job.way, job.copied);
            self.copied += job.copied;
        }
    }
}

pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) totals: Totals,
    pub(super) workers: Vec<WorkerInfo>,
    pub(super) picture: Option<Picture>,
    /// Whether upstream is live, once it was asked.
    pub(super) live: Option<bool>,
    pub(super) order: Reorder<Item>,
    /// The worker that was given to the frame that waits for one.
    pub(super) granted: Option<u64>,
    /// Another frame may be fetched.
    pub(super) invited: bool,
    pub(super) swaps: Swaps,
    /// Time between the last two frames, and the last one, ns of the monotonic clock.
    pub(super) interval: Option<Duration>,
    pub(super) arrived: Option<u64>,
    pub(super) newcomers: Option<Newcomers>,
    /// The last frame that was given to a worker.
    pub(super) given: Option<u64>,
    pub(super) keep_latest: bool,
    pub(super) latest: Option<(u64, Arc<Message>)>,
    /// Frames of the present stream, for the running time of one that is lost.
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pub(super) gaps: GapFinder,
    pub(super) lost: Losses,
    pub(super) seq: u64,
    /// The pads are active, and the source pad's task runs.
    pub(super) active: bool,
    pub(super) flushing: bool,
    /// What the task has taken and not pushed yet.
    pub(super) pushing: Option<Pushing>,
    /// Counts streams, so that the flow of an old one says nothing about the next.
    pub(super) streams: u64,
    /// Counts flushes: what began in an earlier generation was booked when that ended.
    pub(super) generation: u64,
    pub(super) failed: bool,
    pub(super) flow: Result<gst::FlowSuccess, gst::FlowError>,
    pub(super) warnings: Throttle,
}

impl Default for State {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            totals: Totals::default(),
            workers: Vec::new(),
            picture: None,
            live: None,
            order: Reorder::default(),
            granted: None,
            invited: false,
            swaps: Swaps::default(),
            interval: None,
            arrived: None,
            newcomers: None,
            given: None,
            keep_latest: false,
            latest: None,
            segment: None,
            gaps: GapFinder::default(),
            lost: Losses::default(),
            seq: 0,
            active: false,
            flushing: true,
            pushing: None,
            streams: 0,
            generation: 0,
            failed: false,
            flow: Ok(gst::FlowSuccess::Ok),
            warnings: Throttle::new(WARNING_INTERVAL),
        }
    }
}

impl State {
    pub(super) fn check(&self) -> Result<(), gst::FlowError> {
        if self.flushing {
            return Err(gst::FlowError::Flushing);
        }
        if self.failed {
            return Err(gst::FlowError::Error);
        }
        self.flow.map(|_| ())
    }

    /// Frames that the workers can have in hand.
    pub(super) fn capacity(&self) -> u64 {
        (self.workers.len() * DEPTH) as u64
    }

    /// A frame goes to a worker.
    pub(super) fn given(&mut self, job: &Job) {
        let seq = job.info.seq;
        if let Some(newcomers) = &mut self.newcomers {
            newcomers.given(seq);
        }
        self.given = self.given.max(Some(seq));
    }

    /// What is known of a worker, unless it was replaced.
    pub(super) fn worker(&mut self, who: Who) -> Option<&mut WorkerInfo> {
        self.workers.iter_mut().find(|worker| worker.who == who)
    }

    /// Drops the frame that came last.
    pub(super) fn drop_frame(&mut self, cause: Cause) {
        self.ledger.drop_frame(cause);
        self.note_lost(cause, 1);
    }

    /// Remembers in the order of frames what was lost, neighbours in one.
    pub(super) fn note_lost(&mut self, cause: Cause, frames: u64) {
        match self.order.last_mut() {
            Some(Item::Lost(last, sum)) if *last == cause => *sum += frames,
            _ => self.order.push(Item::Lost(cause, frames)),
        }
    }

    /// Counts a buffer and finds out which frame it is.
    pub(super) fn identify(&mut self, buffer: &gst::Buffer, arrived: u64) -> FrameInfo {
        self.ledger.receive();
        let before = self.arrived.replace(arrived);
        self.interval = before.map(|before| Duration::from_nanos(arrived.saturating_sub(before)));
        if let Some(info) = meta::frame(buffer) {
            let gap = self.gaps.gap_before(&info.instance_id, info.seq);
            if gap > 0 {
                self.ledger.lost_upstream(gap);
                self.note_lost(Cause::QueueFull, gap);
            }
            return info;
        }
        let camera = meta::camera_time(buffer);
        let seq = self.seq;
        self.seq += 1;
        FrameInfo {
            seq,
            epoch: 0,
            captured: camera.unwrap_or_else(identity::wall_clock),
            clock_source: if camera.is_some() { ClockSource::Camera } else { ClockSource::Arrival },
            arrived,
            instance_id: identity::DEFAULT_INSTANCE.into(),
            room_id: String::new(),
            planned: None,
        }
    }
}
