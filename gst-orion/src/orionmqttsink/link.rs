// SPDX-License-Identifier: MPL-2.0
//! What the streaming thread, the client's thread and the storage thread share.

mod storage;

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use orion_core::{
    ledger::{Cause, Ledger},
    status::Status,
};
use tokio::sync::Notify;

use super::{
    album::{Album, Verdict},
    delays::Summary,
    herald::Herald,
    keeping::Keeping,
    outbox::{Aftermath, Fallen, GivenUp, Loss, Outbox, Sending, Unsaid},
    payload::{Draft, Now},
    snapshot::Snapshot,
};
use crate::qos::Place;

/// Time for the broker to acknowledge `stopped` behind the last result.
const FAREWELL: Duration = Duration::from_millis(500);

/// Time for a connection in the making at a stop, so that it does not end as an accident.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// Pause between two slices of a long work, so that the streaming thread gets the book.
const BREATH: Duration = Duration::from_micros(100);

/// Where the client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Connected,
    /// The last attempt failed.
    Waiting,
}

/// A stop that was asked for.
#[derive(Debug, Clone, Copy)]
struct Stop {
    /// When results are no longer waited for.
    drained: Instant,
    /// Since when only the farewell is missing.
    farewell: Option<Instant>,
}

#[derive(Debug)]
struct Book {
    outbox: Outbox,
    /// None = nothing is said about the sink itself.
    herald: Option<Herald>,
    album: Album,
    phase: Phase,
    connections: u64,
    failures: u64,
    last_error: String,
    stop: Option<Stop>,
    flushing: bool,
    /// A drain ended without success and nothing came since.
    gave_up: bool,
    /// The storage thread waits without an end.
    storage_idle: bool,
    /// It is to end, at this time at the latest.
    storage_end: Option<Instant>,
}

impl Book {
    fn settled(&self) -> bool {
        self.herald.as_ref().is_none_or(Herald::settled)
    }
}

/// The state of a client for `stats`.
#[derive(Debug, Clone, Default)]
pub(super) struct Statistics {
    pub(super) ledger: Ledger,
    pub(super) connected: bool,
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    pub(super) replayed: u64,
    pub(super) gap_records: u64,
    pub(super) messages_dropped: u64,
    pub(super) gaps_dropped: u64,
    pub(super) snapshots: u64,
    pub(super) snapshots_dropped: u64,
    pub(super) reconnects: u64,
    pub(super) failures: u64,
    pub(super) buffered: u64,
    pub(super) buffered_bytes: u64,
    pub(super) stored: u64,
    pub(super) stored_bytes: u64,
    pub(super) storage_errors: u64,
    pub(super) delays: Summary,
    pub(super) last_error: String,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    Empty,
    /// So many messages are left.
    TimedOut(usize),
    Flushed,
}

/// What the threads share. Its lock is never held across I/O.
#[derive(Debug)]
pub(super) struct Link {
    book: Mutex<Book>,
    changed: Condvar,
    wake: Notify,
    /// For the storage thread.
    storage: Condvar,
}

impl Link {
    /// `announced`: whether the sink says something about itself.
    pub(super) fn new(keeping: Keeping, announced: bool) -> Self {
        Self {
            book: Mutex::new(Book {
                outbox: Outbox::new(keeping),
                herald: announced.then(Herald::new),
                album: Album::default(),
                phase: Phase::Connecting,
                connections: 0,
                failures: 0,
                last_error: String::new(),
                stop: None,
                flushing: false,
                gave_up: false,
                storage_idle: false,
                storage_end: None,
            }),
            changed: Condvar::new(),
            wake: Notify::new(),
            storage: Condvar::new(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps all others out while it is held.
    #[cfg(test)]
    pub(super) fn hold(&self) -> impl Sized + '_ {
        self.book()
    }

    /// Takes a frame's messages; never waits for the broker.
    pub(super) fn push(&self, drafts: Vec<Draft>, place: Place, now: Now) {
        let mut book = self.book();
        book.outbox.push(drafts, place, now);
        book.gave_up = false;
        if let Some(herald) = book.herald.as_mut() {
            // A new stream after EOS.
            herald.want(Status::Online);
        }
        self.rouse_storage(&mut book);
        drop(book);
        self.wake.notify_one();
    }

    /// Takes messages that belong to no frame.
    pub(super) fn push_aside(&self, drafts: Vec<Draft>, now: Now) {
        let mut book = self.book();
        book.outbox.push_aside(drafts, now);
        self.rouse_storage(&mut book);
        drop(book);
        self.wake.notify_one();
    }

    /// See [`Outbox::refuse`].
    pub(super) fn refuse(&self, cause: Cause, place: Place) {
        self.book().outbox.refuse(cause, place);
    }

    /// See [`Outbox::set_keeping`] and [`Album::set_order`]. The client then drops what is too much.
    pub(super) fn apply(&self, keeping: Keeping, pictures: Option<u64>) {
        let mut book = self.book();
        book.outbox.set_keeping(keeping);
        book.album.set_order(pictures);
        drop(book);
        self.wake.notify_one();
    }

    /// See [`Outbox::tidy`]. Not for the streaming thread: it may take a second, but others get the book in between.
    pub(super) fn tidy(&self, now: Now) {
        self.in_slices(|outbox| outbox.tidy(now));
    }

    fn in_slices(&self, mut slice: impl FnMut(&mut Outbox) -> bool) {
        let mut sliced = false;
        while slice(&mut self.book().outbox) {
            sliced = true;
            thread::sleep(BREATH);
        }
        if sliced {
            let mut book = self.book();
            self.rouse_storage(&mut book);
            drop(book);
            self.changed.notify_all();
        }
    }

    /// The frames dropped since the last call, and the book as it stands with them.
    pub(super) fn take_fallen(&self) -> (Vec<Fallen>, Ledger) {
        let mut book = self.book();
        (book.outbox.take_fallen(), *book.outbox.ledger())
    }

    /// Makes a drain end, and lets none begin, until it is called with `false`.
    pub(super) fn set_flushing(&self, flushing: bool) {
        self.book().flushing = flushing;
        self.changed.notify_all();
    }

    /// Waits until the broker has everything.
    pub(super) fn drain(&self, timeout: Duration) -> Drained {
        let waiting = |book: &mut Book| book.outbox.pending() > 0 && !book.flushing;
        let (mut book, _) =
            self.changed.wait_timeout_while(self.book(), timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        match book.outbox.pending() {
            0 => Drained::Empty,
            _ if book.flushing => Drained::Flushed,
            left => {
                book.gave_up = true;
                Drained::TimedOut(left)
            }
        }
    }

    /// Says `stopped` after the end of the stream and waits until the broker has it, unless there is no connection.
    pub(super) fn say_stopped(&self) {
        let mut book = self.book();
        let Some(herald) = book.herald.as_mut() else { return };
        herald.want(Status::Stopped);
        self.wake.notify_one();
        let waiting = |book: &mut Book| book.phase == Phase::Connected && !book.settled() && !book.flushing;
        // A broker that does not answer gets it with the next connection.
        drop(self.changed.wait_timeout_while(book, FAREWELL, waiting).unwrap_or_else(PoisonError::into_inner));
    }

    /// The state of now.
    pub(super) fn statistics(&self) -> Statistics {
        let book = self.book();
        Statistics {
            ledger: *book.outbox.ledger(),
            connected: book.phase == Phase::Connected,
            published: book.outbox.published(),
            acknowledged: book.outbox.acknowledged(),
            replayed: book.outbox.replayed(),
            gap_records: book.outbox.gap_records(),
            messages_dropped: book.outbox.messages_dropped(),
            gaps_dropped: book.outbox.gaps_dropped(),
            snapshots: book.album.published(),
            snapshots_dropped: book.album.dropped(),
            failures: book.failures,
            reconnects: book.connections.saturating_sub(1),
            buffered: book.outbox.buffered() as u64,
            buffered_bytes: book.outbox.buffered_bytes() as u64,
            stored: book.outbox.stored() as u64,
            stored_bytes: book.outbox.stored_bytes() as u64,
            storage_errors: book.outbox.storage_errors(),
            delays: book.outbox.delays().summary(),
            last_error: book.last_error.clone(),
        }
    }

    /// Asks the client to end, with so much time for the results that are left.
    pub(super) fn stop(&self, drain: Duration) {
        self.book().stop = Some(Stop { drained: Instant::now() + drain, farewell: None });
        self.wake.notify_one();
    }

    /// Client and storage thread have ended. What is not on the disk is dropped as `shutdown`.
    pub(super) fn close(&self) {
        let mut book = self.book();
        book.outbox.close();
        book.phase = Phase::Waiting;
        drop(book);
        self.changed.notify_all();
    }

    /// After [`Link::close`]: see [`Outbox::unsaid`].
    pub(super) fn unsaid(&self) -> Unsaid {
        self.book().outbox.unsaid()
    }

    /// See [`Outbox::inherit`].
    pub(super) fn inherit(&self, unsaid: &Unsaid) {
        self.book().outbox.inherit(unsaid);
    }

    /// When to look again at the latest and, if that is now, to end; None = no end was asked for. First the results have
    /// their time, then `stopped` has its own.
    pub(super) fn ending(&self) -> Option<Instant> {
        let mut book = self.book();
        let stop = book.stop?;
        let now = Instant::now();
        if book.phase == Phase::Waiting {
            return Some(now);
        }
        let drained = book.outbox.pending() == 0 || book.gave_up || stop.drained <= now;
        if !drained {
            return Some(stop.drained);
        }
        let limit = if book.phase == Phase::Connected { FAREWELL } else { HANDSHAKE };
        let began = *book.stop.as_mut()?.farewell.get_or_insert(now);
        let Some(herald) = book.herald.as_mut() else { return Some(now) };
        herald.want(Status::Stopped);
        Some(if herald.settled() { now } else { began + limit })
    }

    /// Waits for a reason to look again.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// A connection is tried.
    pub(super) fn connecting(&self) {
        self.book().phase = Phase::Connecting;
    }

    /// The broker has accepted; returns how many messages wait.
    pub(super) fn connected(&self) -> usize {
        let mut book = self.book();
        book.phase = Phase::Connected;
        book.connections += 1;
        book.outbox.connected();
        book.album.connected();
        self.storage.notify_one();
        book.outbox.buffered()
    }

    /// The connection is gone, or there was none; `why` is for people. See [`Outbox::connection_lost`].
    pub(super) fn lost(&self, why: &str, loss: Loss, resumable: bool) -> Aftermath {
        let mut book = self.book();
        book.phase = Phase::Waiting;
        book.failures += 1;
        why.clone_into(&mut book.last_error);
        let aftermath = book.outbox.connection_lost(loss, resumable);
        if let Some(herald) = book.herald.as_mut() {
            herald.connection_lost();
        }
        drop(book);
        self.in_slices(Outbox::trim);
        // It may be waiting for what must not wait now.
        self.storage.notify_one();
        self.changed.notify_all();
        aftermath
    }

    /// See [`Outbox::session_lost`].
    pub(super) fn session_lost(&self) {
        let mut book = self.book();
        book.outbox.session_lost();
        self.rouse_storage(&mut book);
        drop(book);
        self.in_slices(Outbox::trim);
        self.changed.notify_all();
    }

    /// See [`Herald::next`].
    pub(super) fn next_status(&self) -> Option<Status> {
        self.book().herald.as_mut()?.next()
    }

    /// See [`Outbox::careful`].
    pub(super) fn careful(&self) -> bool {
        self.book().outbox.careful()
    }

    /// See [`Outbox::send`].
    pub(super) fn next_message(&self, window: usize, now: Now) -> Option<Sending> {
        self.tidy(now);
        let mut book = self.book();
        let sending = book.outbox.send(window, now);
        if book.outbox.hungry() {
            self.storage.notify_one();
        }
        sending
    }

    /// See [`Outbox::acknowledge`].
    pub(super) fn message_acknowledged(&self, ticket: u64, now: Now) {
        let mut book = self.book();
        book.outbox.acknowledge(ticket, now);
        self.rouse_storage(&mut book);
        drop(book);
        self.changed.notify_all();
    }

    /// See [`Outbox::reject`].
    pub(super) fn message_rejected(&self, ticket: u64) -> Option<GivenUp> {
        let mut book = self.book();
        let given_up = book.outbox.reject(ticket);
        self.rouse_storage(&mut book);
        drop(book);
        self.changed.notify_all();
        given_up
    }

    /// See [`Album::offer`].
    pub(super) fn offer_snapshot(&self, snapshot: Snapshot, order: u64, now: Now) {
        self.book().album.offer(snapshot, order, now.running);
        self.wake.notify_one();
    }

    /// See [`Album::is_open`].
    pub(super) fn wants_snapshots(&self) -> bool {
        self.book().album.is_open()
    }

    /// See [`Album::send`].
    pub(super) fn next_snapshot(&self) -> Option<Snapshot> {
        self.book().album.send()
    }

    /// See [`Album::acknowledged`].
    pub(super) fn snapshot_acknowledged(&self) {
        self.book().album.acknowledged();
    }

    /// See [`Album::rejected`].
    pub(super) fn snapshot_rejected(&self) {
        self.book().album.rejected();
    }

    /// See [`Album::connection_lost`].
    pub(super) fn judge_snapshot(&self, now: Now) -> Verdict {
        self.book().album.connection_lost(now.running)
    }

    /// See [`Herald::acknowledged`].
    pub(super) fn status_acknowledged(&self) {
        if let Some(herald) = self.book().herald.as_mut() {
            herald.acknowledged();
        }
        self.changed.notify_all();
    }

    /// See [`Herald::overheard`].
    pub(super) fn overheard(&self, payload: &[u8]) {
        if let Some(herald) = self.book().herald.as_mut() {
            herald.overheard(payload);
        }
    }

    /// Whether the broker has heard what it should of the sink itself.
    pub(super) fn settled(&self) -> bool {
        self.book().settled()
    }
}
