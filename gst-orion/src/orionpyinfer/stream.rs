// SPDX-License-Identifier: MPL-2.0
//! The frames inside the element: from the sink pad to a worker, and in their order to the source pad.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use orion_core::{
    ledger::{Cause, GapFinder, Ledger, Losses},
    reorder::Reorder,
    report::ClockSource,
    throttle::Throttle,
    wire::InferenceResult,
};

use super::{
    frame::{self, Answer},
    pool::Job,
    worker::Status,
};
use crate::{
    frames::Picture,
    identity,
    meta::{self, FrameInfo},
};

/// How often a repeated fault is posted as a warning.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// What waits for the source pad.
pub(super) enum Item {
    Event(gst::Event),
    Answer(Box<Answer>),
    /// Frames that will not come, in the place where they would have been.
    Lost(Cause, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushing {
    Event,
    Frame,
}

/// What has to be booked when the frame has been pushed.
pub(super) struct Push {
    generation: u64,
    stream: u64,
    lost: Losses,
}

impl Push {
    pub(super) fn of(answer: &Answer) -> Self {
        Self { generation: answer.generation, stream: answer.job.stream, lost: answer.lost }
    }
}

/// What became of a buffer at the sink pad.
pub(super) enum Admission {
    /// Give it to this worker.
    Send(usize, Box<Job>),
    /// It was dropped and counted; the text is worth a warning.
    Dropped(Option<String>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct WorkerInfo {
    pub(super) status: Status,
    pub(super) last_error: String,
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
}

pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) totals: Totals,
    pub(super) workers: Vec<WorkerInfo>,
    pub(super) picture: Option<Picture>,
    /// Whether upstream is live, once it was asked.
    pub(super) live: Option<bool>,
    order: Reorder<Item>,
    idle: VecDeque<usize>,
    gaps: GapFinder,
    lost: Losses,
    seq: u64,
    /// The pads are active, and the source pad's task runs.
    active: bool,
    flushing: bool,
    /// What the task has taken and not pushed yet.
    pushing: Option<Pushing>,
    /// Counts streams, so that the flow of an old one says nothing about the next.
    streams: u64,
    /// Counts flushes: what began in an earlier generation was booked when that ended.
    generation: u64,
    failed: bool,
    flow: Result<gst::FlowSuccess, gst::FlowError>,
    warnings: Throttle,
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
            idle: VecDeque::new(),
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

/// Shared by the streaming threads of both pads and the workers' thread. Its lock is held for moments only, never
/// while something is pushed, posted, mapped or written.
pub(super) struct Stream {
    state: Mutex<State>,
    changed: Condvar,
    started: Instant,
}

impl Default for Stream {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), started: Instant::now() }
    }
}

impl Stream {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for it.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Whether a repeated fault is to be posted now, with the number of those that were not.
    pub(super) fn may_warn(&self) -> Option<u64> {
        let now = self.started.elapsed();
        self.lock().warnings.pass(now)
    }

    /// Waits until `ready` says so, nothing can be waited for any more, or `limit` is over; false in the last case.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        limit: Duration,
        ready: impl Fn(&State) -> bool,
    ) -> (MutexGuard<'a, State>, bool) {
        let generation = state.generation;
        let waiting = |state: &mut State| state.generation == generation && state.check().is_ok() && !ready(state);
        let wait = self.changed.wait_timeout_while(state, limit, waiting);
        let (state, result) = wait.unwrap_or_else(PoisonError::into_inner);
        (state, !result.timed_out())
    }

    /// Waits until no more than `frames` are inside. That has no limit of its own: a sink that is paused takes as long as it
    /// wants, and a flush, a stop or an error downstream ends the wait.
    fn wait_for_room<'a>(&'a self, state: MutexGuard<'a, State>, frames: u64) -> MutexGuard<'a, State> {
        self.wait(state, Duration::MAX, |state| state.ledger.in_flight() <= frames).0
    }

    /// Takes a buffer in: numbers it, waits for a worker, and makes the message for it.
    ///
    /// `patience`: how long to wait for a worker. `max_age`: ns, 0 = any.
    pub(super) fn admit(
        &self,
        buffer: gst::Buffer,
        patience: Duration,
        max_age: u64,
    ) -> Result<Admission, gst::FlowError> {
        let arrived = gst::get_timestamp().nseconds();
        let mut state = self.lock();
        state.check()?;
        let picture = state.picture.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let info = state.identify(&buffer, arrived);
        let generation = state.generation;
        // One frame more than the workers can hold, and this one: pushing and inferring overlap, and nothing piles up.
        let room = state.workers.len() as u64 + 1;
        let state = self.wait_for_room(state, room);
        let (mut state, in_time) = self.wait(state, patience, |state| !state.idle.is_empty());
        if state.generation != generation {
            // The flush has counted this frame.
            return Err(gst::FlowError::Flushing);
        }
        let flow = state.check();
        let too_old = max_age > 0 && gst::get_timestamp().nseconds().saturating_sub(info.arrived) > max_age;
        let (cause, text) = match flow {
            Err(_) if state.failed => (Cause::WorkerRestart, None),
            Err(_) => (Cause::Flush, None),
            Ok(()) if !in_time => (Cause::WorkerRestart, Some(format!("no worker was ready within {patience:?}"))),
            Ok(()) if too_old => (Cause::TooOld, None),
            Ok(()) => {
                drop(state);
                return Ok(self.dispatch(generation, &picture, buffer, info));
            }
        };
        state.drop_frame(cause);
        drop(state);
        self.changed.notify_all();
        flow.map(|()| Admission::Dropped(text))
    }

    /// Makes the message and chooses the worker.
    fn dispatch(&self, generation: u64, picture: &Picture, buffer: gst::Buffer, info: FrameInfo) -> Admission {
        // Outside the lock: mapping may take its time.
        let prepared = frame::prepare(picture, buffer, info);
        self.update(|state| {
            if state.generation != generation {
                return Admission::Dropped(None);
            }
            match (prepared, state.idle.pop_front()) {
                (Ok(mut job), Some(index)) => {
                    job.ticket = state.order.promise();
                    job.stream = state.streams;
                    Admission::Send(index, job)
                }
                (Ok(_), None) => {
                    state.drop_frame(Cause::WorkerRestart);
                    Admission::Dropped(Some("the worker has just ended".into()))
                }
                (Err(text), idle) => {
                    state.idle.extend(idle);
                    state.drop_frame(Cause::DecodeError);
                    Admission::Dropped(Some(text))
                }
            }
        })
    }

    /// Waits until a worker could take another frame, so that a leaky queue upstream keeps the newest one until then.
    pub(super) fn wait_for_idle(&self, patience: Duration) -> Result<gst::FlowSuccess, gst::FlowError> {
        let state = self.lock();
        let room = state.workers.len() as u64;
        let state = self.wait_for_room(state, room);
        let (state, _) = self.wait(state, patience, |state| !state.idle.is_empty());
        state.check()?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// Waits until everything taken in has been pushed; false when that took longer than `limit`.
    pub(super) fn drain(&self, limit: Duration) -> bool {
        self.wait(self.lock(), limit, |state| state.order.is_empty() && state.pushing.is_none()).1
    }

    /// Waits, while flushing, for the push that is under way; downstream is flushing too, so that it ends at once.
    pub(super) fn wait_for_push(&self) {
        // A flush that is sent from within that very push must not wait for itself for ever.
        let limit = Duration::from_secs(1);
        let wait = self.changed.wait_timeout_while(self.lock(), limit, |state| state.pushing.is_some() && state.active);
        drop(wait);
    }

    /// Appends an event behind the frames before it; false while flushing.
    pub(super) fn push_event(&self, event: gst::Event) -> bool {
        self.update(|state| {
            if state.flushing {
                return false;
            }
            if event.type_() == gst::EventType::StreamStart {
                state.flow = Ok(gst::FlowSuccess::Ok);
                state.streams += 1;
                state.live = None;
            }
            state.order.push(Item::Event(event));
            true
        })
    }

    /// The next item for the source pad; none = the pad is not active any more. [`Self::pushed`] or [`Self::event_pushed`]
    /// has to follow.
    pub(super) fn next(&self) -> Option<Item> {
        let mut state = self.lock();
        loop {
            if !state.active {
                return None;
            }
            if let Some(mut item) = state.order.pop() {
                state.pushing = Some(match &mut item {
                    Item::Lost(cause, frames) => {
                        state.lost.add(*cause, *frames);
                        continue;
                    }
                    Item::Answer(answer) => {
                        answer.lost = state.lost.take();
                        answer.generation = state.generation;
                        Pushing::Frame
                    }
                    Item::Event(_) => Pushing::Event,
                });
                return Some(item);
            }
            // Whoever drains waits for this.
            self.changed.notify_all();
            // Ends by a frame, an event or a flush; all of them notify.
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Books a buffer that was pushed, or was not as downstream takes no more.
    pub(super) fn pushed(&self, push: &Push, flow: Result<gst::FlowSuccess, gst::FlowError>) {
        self.update(|state| {
            state.pushing = None;
            if state.generation == push.generation && state.streams == push.stream {
                state.flow = flow;
            }
            match flow {
                Ok(_) => state.ledger.forward(),
                Err(_) => {
                    state.ledger.drop_frame(Cause::Flush);
                    state.lost.add(Cause::Flush, 1);
                    // Nobody was told of these.
                    state.lost.merge(&push.lost);
                }
            }
        });
    }

    /// An event was pushed.
    pub(super) fn event_pushed(&self) {
        self.update(|state| state.pushing = None);
    }

    /// Something new is linked downstream.
    pub(super) fn relinked(&self) {
        self.update(|state| {
            if state.flow == Err(gst::FlowError::NotLinked) {
                state.flow = Ok(gst::FlowSuccess::Ok);
            }
        });
    }

    /// Whether downstream still takes frames.
    pub(super) fn flow(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.lock().flow
    }

    /// A worker is done with a frame.
    pub(super) fn answered(&self, job: Job, result: InferenceResult) {
        let answered = gst::get_timestamp().nseconds();
        self.update(|state| {
            state.totals.results += 1;
            state.totals.detections += result.data.count;
            state.totals.worker_time += answered.saturating_sub(job.sent);
            state.totals.last_result = identity::wall_clock();
            let ticket = job.ticket;
            let answer = Answer { job, result, answered, lost: Losses::default(), generation: 0 };
            // An old ticket is from before a flush, where the frame was counted.
            state.order.fulfil(ticket, Item::Answer(Box::new(answer)));
        });
    }

    /// A worker has lost a frame; false when it was counted before.
    pub(super) fn lost(&self, job: &Job, cause: Cause) -> bool {
        self.update(|state| {
            let ours = state.order.fulfil(job.ticket, Item::Lost(cause, 1));
            if ours {
                state.ledger.drop_frame(cause);
            }
            ours
        })
    }

    pub(super) fn set_idle(&self, index: usize, idle: bool) {
        self.update(|state| {
            state.idle.retain(|other| *other != index);
            if idle {
                state.idle.push_back(index);
            }
        });
    }

    /// No worker will ever take a frame again.
    pub(super) fn fail(&self) {
        self.update(|state| state.failed = true);
    }

    /// The pads become active, or cease to be.
    pub(super) fn activate(&self, active: bool) {
        self.lock().active = active;
        let cause = if active { Cause::Flush } else { Cause::Shutdown };
        self.flush(!active, cause);
    }

    /// Begins or ends flushing. Both ways, what is inside is thrown away and counted under `cause`; events that stick to
    /// the pad are given back.
    pub(super) fn flush(&self, flushing: bool, cause: Cause) -> Vec<gst::Event> {
        self.update(|state| {
            // A pad that is not active refuses everything, whatever a late flush says.
            state.flushing = flushing || !state.active;
            state.generation += 1;
            // What becomes of the frame that is being pushed is known when that ends.
            let frames = state.ledger.drop_all_but(u64::from(state.pushing == Some(Pushing::Frame)), cause);
            state.lost.add(cause, frames);
            state.gaps.reset();
            state.flow = Ok(gst::FlowSuccess::Ok);
            let mut sticky = Vec::new();
            for item in state.order.clear() {
                match item {
                    Item::Event(e) if !matches!(e.type_(), gst::EventType::Eos | gst::EventType::Segment) => {
                        sticky.extend(e.is_sticky().then_some(e));
                    }
                    Item::Lost(cause, frames) => state.lost.add(cause, frames),
                    Item::Event(_) | Item::Answer(_) => {}
                }
            }
            sticky
        })
    }
}

impl State {
    fn check(&self) -> Result<(), gst::FlowError> {
        if self.flushing {
            return Err(gst::FlowError::Flushing);
        }
        if self.failed {
            return Err(gst::FlowError::Error);
        }
        self.flow.map(|_| ())
    }

    /// Drops the frame that came last.
    fn drop_frame(&mut self, cause: Cause) {
        self.ledger.drop_frame(cause);
        self.note_lost(cause, 1);
    }

    /// Remembers in the order of frames what was lost, neighbours in one.
    fn note_lost(&mut self, cause: Cause, frames: u64) {
        match self.order.last_mut() {
            Some(Item::Lost(last, sum)) if *last == cause => *sum += frames,
            _ => self.order.push(Item::Lost(cause, frames)),
        }
    }

    /// Counts a buffer and finds out which frame it is.
    fn identify(&mut self, buffer: &gst::Buffer, arrived: u64) -> FrameInfo {
        self.ledger.receive();
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
