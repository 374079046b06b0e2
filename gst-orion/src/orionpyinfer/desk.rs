// SPDX-License-Identifier: MPL-2.0
//! Where the workers that can take a frame meet the elements that have one.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use orion_core::turns::{Turn, Turns, Wait};
use tokio::{sync::Notify, time};

use super::{report::Who, stream::Stream};
use crate::properties::lock;

/// A worker that can take a frame.
struct Free {
    worker: u64,
    /// How many frames it has in hand.
    load: usize,
    /// The elements of which it takes none now.
    full: Vec<u64>,
}

impl Free {
    fn welcomes(&self, element: u64) -> bool {
        !self.full.contains(&element)
    }
}

#[derive(Default)]
struct Book {
    /// Workers that can take a frame, the one with the least to do first.
    idle: Vec<Free>,
    /// Those that were given to an element whose frame is still on its way to them.
    lent: Vec<Free>,
    /// The crew at work.
    crew: u64,
    turns: Turns,
    members: Vec<(u64, Arc<Stream>)>,
    /// When somebody else may be told to fetch a frame.
    again: Option<Instant>,
}

// Lock order: the desk's own, then that of one of the streams.
pub(super) struct Desk {
    book: Mutex<Book>,
    changed: Notify,
    started: Instant,
}

impl Default for Desk {
    fn default() -> Self {
        Self { book: Mutex::default(), changed: Notify::new(), started: Instant::now() }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Changes something, and gives away what can be given then.
    fn update<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.lock();
        let result = change(&mut book);
        let before = book.again.take();
        book.again = book.settle(self.started);
        if before.is_none() && book.again.is_some() {
            self.changed.notify_one();
        }
        result
    }

    /// An element comes.
    pub(super) fn join(&self, id: u64, stream: Arc<Stream>) {
        let mut book = self.lock();
        book.turns.join(id);
        book.members.push((id, stream));
    }

    /// An element goes.
    pub(super) fn leave(&self, id: u64) {
        self.update(|book| {
            book.withdraw(id);
            book.turns.leave(id);
            book.members.retain(|(member, _)| *member != id);
        });
    }

    /// An element waits for a worker; its stream is told.
    pub(super) fn ask(&self, id: u64, wait: Wait) {
        self.update(|book| book.turns.wait(id, wait));
    }

    /// An element waits no longer; a worker that it was given meanwhile goes to the next one.
    pub(super) fn withdraw(&self, id: u64) {
        self.update(|book| book.withdraw(id));
    }

    /// An element has no frame for the worker that it was given.
    pub(super) fn put_back(&self, worker: u64) {
        self.update(|book| book.put_back(worker));
    }

    /// Takes a worker for a frame that goes before all others, the one with the least to do.
    pub(super) fn claim(&self) -> Option<u64> {
        let mut book = self.lock();
        (!book.idle.is_empty()).then(|| book.lend(0))
    }

    /// A worker can take a frame, or (none) cannot any more: how many it has in hand, and the elements of which it takes none.
    pub(super) fn set_idle(&self, who: Who, load: Option<(usize, Vec<u64>)>) {
        self.update(|book| {
            book.idle.retain(|free| free.worker != who.id);
            book.lent.retain(|free| free.worker != who.id);
            // One that has been replaced gets nothing more.
            if let Some((load, full)) = load.filter(|_| who.crew == book.crew) {
                book.offer(Free { worker: who.id, load, full });
            }
        });
    }

    /// Whether a worker could take a frame now.
    pub(super) fn is_any_idle(&self) -> bool {
        !self.lock().idle.is_empty()
    }

    /// Another crew does the work from now on.
    pub(super) fn take_over(&self, crew: u64) {
        let mut book = self.lock();
        book.crew = crew;
        book.idle.clear();
        book.lent.clear();
    }

    /// Whether a worker belongs to the crew at work.
    pub(super) fn is_at_work(&self, who: Who) -> bool {
        self.lock().crew == who.crew
    }

    /// Ends when [`Self::remind`] is due.
    pub(super) async fn due(&self) {
        loop {
            let again = self.lock().again;
            match again {
                Some(again) => return time::sleep_until(again.into()).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// Somebody who was told to fetch a frame had none: the next one is told.
    pub(super) fn remind(&self) {
        self.update(|_| ());
    }
}

impl Book {
    /// Gives workers to those whose turn it is; when that is to be done again, though nothing else has happened.
    fn settle(&mut self, started: Instant) -> Option<Instant> {
        let now = started.elapsed();
        while let Some((place, turn)) = self.turn(now) {
            if let Some(stream) = self.stream(turn.member) {
                let worker = self.lend(place);
                stream.update(|state| state.granted = Some(worker));
            }
            if let Some(stream) = turn.passed_over.and_then(|id| self.stream(id)) {
                stream.update(|state| state.invited = true);
            }
        }
        while let Some(id) = self.invite(now) {
            if let Some(stream) = self.stream(id) {
                stream.update(|state| state.invited = true);
            }
        }
        let idle = &self.idle;
        let welcome = |id| idle.iter().any(|free| free.welcomes(id));
        self.turns.next_invitation(idle.len(), now, welcome).map(|again| started + again)
    }

    /// Whose frame the first worker that takes one of theirs can have.
    fn turn(&mut self, now: Duration) -> Option<(usize, Turn)> {
        let Self { idle, turns, .. } = self;
        let mut all = idle.iter().enumerate();
        all.find_map(|(place, free)| Some((place, turns.take(now, |id| free.welcomes(id))?)))
    }

    fn invite(&mut self, now: Duration) -> Option<u64> {
        let Self { idle, turns, .. } = self;
        turns.invite(idle.len(), now, |id| idle.iter().any(|free| free.welcomes(id)))
    }

    fn offer(&mut self, free: Free) {
        let place = self.idle.partition_point(|other| other.load <= free.load);
        self.idle.insert(place, free);
    }

    fn stream(&self, id: u64) -> Option<Arc<Stream>> {
        self.members.iter().find(|(member, _)| *member == id).map(|(_, stream)| Arc::clone(stream))
    }

    fn lend(&mut self, place: usize) -> u64 {
        let free = self.idle.remove(place);
        let worker = free.worker;
        self.lent.push(free);
        worker
    }

    fn put_back(&mut self, worker: u64) {
        // One that was replaced, or has offered itself again meanwhile, is not there.
        if let Some(place) = self.lent.iter().position(|free| free.worker == worker) {
            let free = self.lent.swap_remove(place);
            self.offer(free);
        }
    }

    fn withdraw(&mut self, id: u64) {
        self.turns.withdraw(id);
        let Some(stream) = self.stream(id) else { return };
        let granted = {
            let mut state = stream.lock();
            state.invited = false;
            state.granted.take()
        };
        if let Some(worker) = granted {
            self.put_back(worker);
        }
    }
}
