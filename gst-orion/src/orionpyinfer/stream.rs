// SPDX-License-Identifier: MPL-2.0
//! The frames inside the element: from the sink pad to a worker, and in their order to the source pad.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use orion_core::{
    ledger::{Cause, Losses},
    swap::Newcomers,
    turns::Wait,
    wire::{InferenceResult, Ready},
};

use super::{
    frame::{self, Answer},
    group::Seat,
    job::{Job, Message},
    report::Who,
    state::{Item, Push, Pushing, State, WorkerInfo},
};
use crate::identity;

/// What became of a buffer at the sink pad.
pub(super) enum Admission {
    /// Give it to this worker.
    Send(u64, Box<Job>),
    /// It was dropped and counted; why, where that is worth telling, and a text where it is worth a warning. None = a flush.
    Dropped(Option<(Cause, Option<String>)>),
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
    /// `generation`: that in which the wait began.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        generation: u64,
        limit: Duration,
        ready: impl Fn(&State) -> bool,
    ) -> (MutexGuard<'a, State>, bool) {
        let waiting = |state: &mut State| state.generation == generation && state.check().is_ok() && !ready(state);
        let wait = self.changed.wait_timeout_while(state, limit, waiting);
        let (state, result) = wait.unwrap_or_else(PoisonError::into_inner);
        (state, !result.timed_out())
    }

    /// Waits until no more than `frames` are inside. That has no limit of its own: a sink that is paused takes as long as it
    /// wants, and a flush, a stop or an error downstream ends the wait.
    fn wait_for_room(&self, state: MutexGuard<'_, State>, frames: u64) {
        let generation = state.generation;
        drop(self.wait(state, generation, Duration::MAX, |state| state.ledger.in_flight() <= frames));
    }

    /// Takes a buffer in: numbers it, waits for a worker, and makes the message for it.
    ///
    /// `patience`: how long to wait for a worker. `max_age`: ns, 0 = any.
    pub(super) fn admit(
        &self,
        seat: &Seat,
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
        // What the workers can hold, and this one: pushing and inferring overlap, and nothing piles up.
        let room = state.capacity() + 1;
        self.wait_for_room(state, room);
        seat.ask(Wait::Frame);
        let (mut state, in_time) = self.wait(self.lock(), generation, patience, |state| state.granted.is_some());
        let flow = state.check();
        let too_old = max_age > 0 && gst::get_timestamp().nseconds().saturating_sub(info.arrived) > max_age;
        let late = || format!("no worker was ready within {patience:?}");
        let refusal = match (flow, state.granted) {
            // The flush has counted this frame.
            _ if state.generation != generation => None,
            (Err(_), _) if state.failed => Some((Cause::WorkerRestart, None)),
            (Err(_), _) => Some((Cause::Flush, None)),
            (Ok(()), None) => Some((Cause::WorkerRestart, Some(late()))),
            (Ok(()), _) if !in_time => Some((Cause::WorkerRestart, Some(late()))),
            (Ok(()), _) if too_old => Some((Cause::TooOld, None)),
            (Ok(()), Some(worker)) => {
                state.granted = None;
                let live = state.live.unwrap_or(false) || max_age > 0;
                drop(state);
                // Outside the lock: mapping may take its time.
                let entry = seat.enter(info.seq);
                let job = frame::prepare(&picture, buffer, info, entry).map(|mut job| {
                    job.live = live;
                    job
                });
                let admission = self.dispatch(generation, worker, job);
                if matches!(admission, Admission::Dropped(_)) {
                    seat.put_back(worker);
                }
                return Ok(admission);
            }
        };
        if let Some((cause, _)) = &refusal {
            state.drop_frame(*cause);
        }
        drop(state);
        self.changed.notify_all();
        seat.withdraw();
        match refusal {
            None => Err(gst::FlowError::Flushing),
            refusal => flow.map(|()| Admission::Dropped(refusal)),
        }
    }

    /// Books a frame that goes to a worker.
    fn dispatch(&self, generation: u64, worker: u64, job: Result<Box<Job>, String>) -> Admission {
        self.update(|state| {
            if state.generation != generation {
                return Admission::Dropped(None);
            }
            match job {
                Ok(mut job) => {
                    job.ticket = state.order.promise();
                    job.stream = state.streams;
                    if state.keep_latest {
                        state.latest = job.message.clone().map(|message| (job.entry.number, message));
                    }
                    state.given(&job);
                    Admission::Send(worker, job)
                }
                Err(text) => {
                    state.drop_frame(Cause::DecodeError);
                    Admission::Dropped(Some((Cause::DecodeError, Some(text))))
                }
            }
        })
    }

    /// Waits until a worker could take another frame, so that a leaky queue upstream keeps the newest one until then.
    pub(super) fn wait_for_idle(&self, seat: &Seat, patience: Duration) -> Result<gst::FlowSuccess, gst::FlowError> {
        let state = self.lock();
        let (generation, room) = (state.generation, state.capacity());
        self.wait_for_room(state, room);
        seat.ask(Wait::Chance);
        let (state, _) = self.wait(self.lock(), generation, patience, |state| state.invited);
        let flow = state.check();
        drop(state);
        seat.withdraw();
        flow.map(|()| gst::FlowSuccess::Ok)
    }

    /// Waits until everything taken in has been pushed; false when that took longer than `limit`.
    pub(super) fn drain(&self, limit: Duration) -> bool {
        let state = self.lock();
        let generation = state.generation;
        self.wait(state, generation, limit, |state| state.order.is_empty() && state.pushing.is_none()).1
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
                    // A stop makes the push that is under way fail.
                    let cause = if state.active { Cause::Flush } else { Cause::Shutdown };
                    state.ledger.drop_frame(cause);
                    state.lost.add(cause, 1);
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

    /// A worker is done with a frame. If it is the first one of a new crew, tells with which frame its work began.
    pub(super) fn answered(&self, job: Job, result: InferenceResult) -> Option<u64> {
        let answered = gst::get_timestamp().nseconds();
        self.update(|state| {
            let news = state.newcomers.take_if(|newcomers| newcomers.crew == job.crew);
            let first = news.map(|newcomers| newcomers.begin(job.info.seq));
            state.totals.add_copies(&job);
            state.totals.results += 1;
            state.totals.detections += result.data.count;
            state.totals.worker_time += answered.saturating_sub(job.sent);
            state.totals.last_result = identity::wall_clock();
            let ticket = job.ticket;
            let answer = Answer { job, result, answered, lost: Losses::default(), generation: 0 };
            // An old ticket is from before a flush, where the frame was counted.
            state.order.fulfil(ticket, Item::Answer(Box::new(answer)));
            first
        })
    }

    /// A worker has lost a frame; false when it was counted before.
    pub(super) fn lost(&self, job: &Job, cause: Cause) -> bool {
        self.update(|state| {
            state.totals.add_copies(job);
            let ours = state.order.fulfil(job.ticket, Item::Lost(cause, 1));
            if ours {
                state.ledger.drop_frame(cause);
            }
            ours
        })
    }

    /// Keeps the latest frame from now on, or lets go of it.
    pub(super) fn keep_latest(&self, keep: bool) {
        let mut state = self.lock();
        state.keep_latest = keep;
        let old = state.latest.take();
        drop(state);
        // Its buffer may be the last one of its pool.
        drop(old);
    }

    /// The latest frame that was kept, with its number and when it came, ns of the monotonic clock.
    pub(super) fn latest(&self) -> Option<(u64, (u64, Arc<Message>))> {
        let state = self.lock();
        state.latest.clone().map(|latest| (state.arrived.unwrap_or(0), latest))
    }

    /// Another crew does the work from now on; whether the one before never had a result.
    pub(super) fn taken_over(&self, crew: u64, members: Vec<(Who, Ready)>) -> bool {
        self.update(|state| {
            let old = std::mem::take(&mut state.workers);
            // Where there are fewer workers now, what was counted of the others goes on with the first one.
            let others = old.iter().skip(members.len());
            let mut without_place: u64 = others.map(|old| old.restarts_before + old.status.restarts).sum();
            state.workers = members
                .into_iter()
                .map(|(who, ready)| {
                    let mut info = WorkerInfo::new(who);
                    if let Some(before) = old.get(who.index) {
                        info.restarts_before = before.restarts_before + before.status.restarts;
                        info.last_error.clone_from(&before.last_error);
                    }
                    info.restarts_before += std::mem::take(&mut without_place);
                    info.ready = Some(Box::new(ready));
                    info
                })
                .collect();
            state.swaps.under_way = false;
            state.swaps.done += 1;
            let after = state.given;
            state.newcomers.replace(Newcomers::new(crew, after)).is_some()
        })
    }

    /// The pads become active, or cease to be.
    pub(super) fn activate(&self, active: bool) {
        {
            let mut state = self.lock();
            state.active = active;
            // Numbers may begin anew.
            state.given = None;
            state.newcomers = state.newcomers.map(|newcomers| Newcomers::new(newcomers.crew, None));
        }
        let cause = if active { Cause::Flush } else { Cause::Shutdown };
        self.flush(!active, cause);
    }

    /// Begins or ends flushing. Both ways, what is inside is thrown away and counted under `cause`; events that stick to
    /// the pad are given back.
    pub(super) fn flush(&self, flushing: bool, cause: Cause) -> Vec<gst::Event> {
        let (sticky, rest) = self.update(|state| {
            // A pad that is not active refuses everything, whatever a late flush says.
            state.flushing = flushing || !state.active;
            state.generation += 1;
            // What becomes of the frame that is being pushed is known when that ends.
            let frames = state.ledger.drop_all_but(u64::from(state.pushing == Some(Pushing::Frame)), cause);
            state.lost.add(cause, frames);
            state.gaps.reset();
            state.flow = Ok(gst::FlowSuccess::Ok);
            let (mut sticky, mut rest) = (Vec::new(), Vec::new());
            for item in state.order.clear() {
                match item {
                    Item::Event(e) if !matches!(e.type_(), gst::EventType::Eos | gst::EventType::Segment) => {
                        sticky.extend(e.is_sticky().then_some(e));
                    }
                    Item::Lost(cause, frames) => state.lost.add(cause, frames),
                    Item::Event(_) | Item::Answer(_) => rest.push(item),
                }
            }
            (sticky, rest)
        });
        // Buffers are let go of outside the lock: they may be the last ones of their pool.
        drop(rest);
        sticky
    }
}

#[cfg(test)]
mod tests {
    use orion_core::wire::Models;

    use super::*;

    fn who(crew: u64, index: usize) -> Who {
        Who { id: 10 * crew + index as u64, index, crew }
    }

    fn ready() -> Ready {
        let (worker, version) = ("w".to_owned(), "1".to_owned());
        Ready {
            protocol: 1,
            worker,
            version,
            pid: 7,
            models: Models::default(),
            load_ms: 1.0,
            shm: false,
            threads: 0,
            max_batch: None,
            batch_wait_ms: None,
        }
    }

    #[test]
    fn what_was_given_before_a_stop_says_nothing_about_where_a_new_crew_begins() {
        let stream = Stream::default();
        stream.update(|state| state.given = Some(500));
        stream.taken_over(1, vec![(who(1, 0), ready())]);
        stream.activate(false);
        stream.activate(true);
        let newcomers = stream.lock().newcomers.unwrap();
        assert_eq!((newcomers.crew, newcomers.begin(0)), (1, 0));
    }

    #[test]
    fn restarts_are_counted_for_good_whatever_the_number_of_workers() {
        let stream = Stream::default();
        let total = || {
            let state = stream.lock();
            state.workers.iter().map(|worker| worker.restarts_before + worker.status.restarts).sum::<u64>()
        };
        stream.update(|state| state.workers = (0..3).map(|n| WorkerInfo::new(who(0, n))).collect());
        for (n, restarts) in [(0, 1), (1, 2), (2, 4)] {
            stream.update(|state| state.workers[n].status.restarts = restarts);
        }
        for (crew, workers) in [(1, 3), (2, 1), (3, 2)] {
            stream.taken_over(crew, (0..workers).map(|n| (who(crew, n), ready())).collect());
            assert_eq!(total(), 7, "{workers} workers");
        }
    }
}
