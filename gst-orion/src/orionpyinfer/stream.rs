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
    flushing: bool,
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
            flushing: true,
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

    /// Waits until `ready` says so, the element is flushed, or `limit` is over; false in the last case.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        limit: Duration,
        ready: impl Fn(&State) -> bool,
    ) -> (MutexGuard<'a, State>, bool) {
        let wait = self.changed.wait_timeout_while(state, limit, |state| !state.flushing && !ready(state));
        let (state, result) = wait.unwrap_or_else(PoisonError::into_inner);
        (state, !result.timed_out())
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
        let ready = |state: &State| !state.idle.is_empty() || state.failed || state.generation != generation;
        let (mut state, in_time) = self.wait(state, patience, ready);
        if state.generation != generation {
            return Err(gst::FlowError::Flushing);
        }
        if let Err(error) = state.check() {
            state.drop_frame(Cause::WorkerRestart);
            return Err(error);
        }
        if !in_time {
            state.drop_frame(Cause::WorkerRestart);
            return Ok(Admission::Dropped(Some(format!("no worker was ready within {patience:?}"))));
        }
        if max_age > 0 && gst::get_timestamp().nseconds().saturating_sub(info.arrived) > max_age {
            state.drop_frame(Cause::TooOld);
            return Ok(Admission::Dropped(None));
        }
        drop(state);
        match frame::prepare(&picture, buffer, info) {
            Ok(mut job) => Ok(self.update(|state| match state.idle.pop_front() {
                // A flush in between has counted the frame already.
                idle if state.generation != generation => {
                    state.idle.extend(idle);
                    Admission::Dropped(None)
                }
                Some(index) => {
                    job.ticket = state.order.promise();
                    Admission::Send(index, job)
                }
                None => {
                    state.drop_frame(Cause::WorkerRestart);
                    Admission::Dropped(Some("the worker has just ended".into()))
                }
            })),
            Err(text) => {
                self.update(|state| {
                    if state.generation == generation {
                        state.drop_frame(Cause::DecodeError);
                    }
                });
                Ok(Admission::Dropped(Some(text)))
            }
        }
    }

    /// Waits until a worker could take another frame, so that a leaky queue upstream keeps the newest one until then.
    pub(super) fn wait_for_idle(&self, patience: Duration) -> Result<gst::FlowSuccess, gst::FlowError> {
        let ready = |state: &State| !state.idle.is_empty() || state.failed || state.flow.is_err();
        let (state, _) = self.wait(self.lock(), patience, ready);
        state.check()?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// Waits until everything taken in has left; false when that took longer than `limit`.
    pub(super) fn drain(&self, limit: Duration) -> bool {
        self.wait(self.lock(), limit, |state| state.order.is_empty()).1
    }

    /// Appends an event behind the frames before it; false while flushing.
    pub(super) fn push_event(&self, event: gst::Event) -> bool {
        self.update(|state| {
            if state.flushing {
                return false;
            }
            if event.type_() == gst::EventType::StreamStart {
                state.flow = Ok(gst::FlowSuccess::Ok);
                state.live = None;
            }
            state.order.push(Item::Event(event));
            true
        })
    }

    /// The next item for the source pad; none = the element is flushing.
    pub(super) fn next(&self) -> Option<Item> {
        let mut state = self.lock();
        loop {
            if state.flushing {
                return None;
            }
            if let Some(mut item) = state.order.pop() {
                match &mut item {
                    Item::Lost(cause, frames) => {
                        state.lost.add(*cause, *frames);
                        continue;
                    }
                    Item::Answer(answer) => {
                        answer.lost = state.lost.take();
                        answer.generation = state.generation;
                    }
                    Item::Event(_) => {}
                }
                drop(state);
                self.changed.notify_all();
                return Some(item);
            }
            // Whoever drains waits for this.
            self.changed.notify_all();
            // Ends by a frame, an event or a flush; all of them notify.
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Books a buffer that was pushed.
    pub(super) fn pushed(&self, generation: u64, flow: Result<gst::FlowSuccess, gst::FlowError>) {
        self.update(|state| {
            if state.generation != generation {
                return;
            }
            state.flow = flow;
            match flow {
                Ok(_) => state.ledger.forward(),
                Err(_) => {
                    state.ledger.drop_frame(Cause::Flush);
                    state.lost.add(Cause::Flush, 1);
                }
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

    /// Begins or ends flushing. Both ways, what is inside is thrown away and counted under `cause`; events that stick to
    /// the pad are given back.
    pub(super) fn flush(&self, flushing: bool, cause: Cause) -> Vec<gst::Event> {
        self.update(|state| {
            state.flushing = flushing;
            state.generation += 1;
            let frames = state.ledger.drop_all(cause);
            state.lost.add(cause, frames);
            state.gaps.reset();
            state.flow = Ok(gst::FlowSuccess::Ok);
            let events = state.order.clear().into_iter().filter_map(|item| match item {
                Item::Event(event) => Some(event),
                Item::Answer(_) | Item::Lost(..) => None,
            });
            events
                .filter(|e| e.is_sticky() && !matches!(e.type_(), gst::EventType::Eos | gst::EventType::Segment))
                .collect()
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
        self.order.push(Item::Lost(cause, 1));
    }

    /// Counts a buffer and finds out which frame it is.
    fn identify(&mut self, buffer: &gst::Buffer, arrived: u64) -> FrameInfo {
        self.ledger.receive();
        if let Some(info) = meta::frame(buffer) {
            let gap = self.gaps.gap_before(info.seq);
            if gap > 0 {
                self.ledger.lost_upstream(gap);
                self.order.push(Item::Lost(Cause::QueueFull, gap));
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
            attention: None,
        }
    }
}
