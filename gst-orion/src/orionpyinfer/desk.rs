// SPDX-License-Identifier: MPL-2.0
//! Where the workers that can take a frame meet the elements that have one.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use orion_core::turns::{Turns, Wait};
use tokio::{sync::Notify, time};

use super::{report::Who, stream::Stream};
use crate::properties::lock;

#[derive(Default)]
struct Book {
    /// Workers that can take a frame, with the number of frames that they have in hand.
    idle: Vec<(u64, usize)>,
    /// Those that were given to an element whose frame is still on its way to them.
    lent: Vec<(u64, usize)>,
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
        self.lock().lend()
    }

    /// A worker can take a frame, or (none) cannot any more.
    pub(super) fn set_idle(&self, who: Who, load: Option<usize>) {
        self.update(|book| {
            book.idle.retain(|(id, _)| *id != who.id);
            book.lent.retain(|(id, _)| *id != who.id);
            // One that has been replaced gets nothing more.
            if let Some(load) = load.filter(|_| who.crew == book.crew) {
                book.idle.push((who.id, load));
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
        while !self.idle.is_empty() {
            let Some(turn) = self.turns.take(now) else { break };
            if let (Some(stream), Some(worker)) = (self.stream(turn.member), self.lend()) {
                stream.update(|state| state.granted = Some(worker));
            }
            if let Some(stream) = turn.passed_over.and_then(|id| self.stream(id)) {
                stream.update(|state| state.invited = true);
            }
        }
        while let Some(id) = self.turns.invite(self.idle.len(), now) {
            if let Some(stream) = self.stream(id) {
                stream.update(|state| state.invited = true);
            }
        }
        self.turns.next_invitation(self.idle.len(), now).map(|again| started + again)
    }

    fn stream(&self, id: u64) -> Option<Arc<Stream>> {
        self.members.iter().find(|(member, _)| *member == id).map(|(_, stream)| Arc::clone(stream))
    }

    fn lend(&mut self) -> Option<u64> {
        let (place, _) = self.idle.iter().enumerate().min_by_key(|(_, (_, load))| *load)?;
        let worker = self.idle.remove(place);
        self.lent.push(worker);
        Some(worker.0)
    }

    fn put_back(&mut self, worker: u64) {
        // One that was replaced, or has offered itself again meanwhile, is not there.
        if let Some(place) = self.lent.iter().position(|(id, _)| *id == worker) {
            let worker = self.lent.swap_remove(place);
            self.idle.push(worker);
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
