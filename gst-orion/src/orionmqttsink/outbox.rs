// SPDX-License-Identifier: MPL-2.0
//! Messages on their way to the broker, and the book of the frames they belong to.
//!
//! A frame is forwarded when the broker has acknowledged all of its messages. It is dropped as a whole, also when some of
//! its messages were sent already.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use orion_core::ledger::{Cause, Ledger};

use super::{
    delays::Delays,
    payload::{Body, Draft, Now},
};

/// A message that was handed to the connection.
#[derive(Debug)]
pub(super) struct Sending {
    /// For [`Outbox::acknowledge`].
    pub(super) ticket: u64,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
}

#[derive(Debug)]
struct Message {
    ticket: u64,
    frame: u64,
    draft: Draft,
    /// When it was sent last, ns on the clock of [`Now::running`].
    sent: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Outbox {
    bound: usize,
    waiting: VecDeque<Message>,
    on_wire: VecDeque<Message>,
    /// Frames that are neither forwarded nor dropped → messages not yet acknowledged.
    open: BTreeMap<u64, usize>,
    /// By topic: what the next report must add to `lost_since_last`, because the reports that would have said so are gone.
    unreported: BTreeMap<String, BTreeMap<String, u64>>,
    next_frame: u64,
    next_ticket: u64,
    ledger: Ledger,
    published: u64,
    acknowledged: u64,
    delays: Delays,
}

impl Outbox {
    /// `bound`: messages kept, at least 1.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(1),
            waiting: VecDeque::new(),
            on_wire: VecDeque::new(),
            open: BTreeMap::new(),
            unreported: BTreeMap::new(),
            next_frame: 0,
            next_ticket: 0,
            ledger: Ledger::default(),
            published: 0,
            acknowledged: 0,
            delays: Delays::default(),
        }
    }

    /// Changes the bound; what is too much goes with the next message.
    pub(super) fn set_bound(&mut self, bound: usize) {
        self.bound = bound.max(1);
    }

    /// Takes a frame with its messages. The oldest frames make room; the newest is taken in any case.
    pub(super) fn push(&mut self, drafts: Vec<Draft>) {
        self.ledger.receive();
        if drafts.is_empty() {
            self.ledger.forward();
            return;
        }
        self.make_room(drafts.len());
        let frame = self.next_frame;
        self.next_frame += 1;
        self.open.insert(frame, drafts.len());
        for draft in drafts {
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.waiting.push_back(Message { ticket, frame, draft, sent: None });
        }
    }

    /// Counts a frame that could not be turned into messages.
    pub(super) fn refuse(&mut self, cause: Cause) {
        self.ledger.receive();
        self.ledger.drop_frame(cause);
    }

    /// Hands out the oldest waiting message unless `window` of them are on the wire.
    pub(super) fn send(&mut self, window: usize, now: Now) -> Option<Sending> {
        while self.on_wire.len() < window.min(self.bound) {
            let mut message = self.waiting.pop_front()?;
            if let Body::Report(timed) = &mut message.draft.body
                && let Some(lost) = self.unreported.remove(&message.draft.topic)
            {
                add(&mut timed.report.lost_since_last, &lost);
            }
            let Ok(payload) = message.draft.body.bytes(now) else {
                // Does not happen with plain numbers and texts; if it did, it would stand in the way of all others.
                self.discard(message.frame, Cause::WorkerError);
                continue;
            };
            self.published += u64::from(message.sent.replace(now.running).is_none());
            let sending = Sending {
                ticket: message.ticket,
                topic: message.draft.topic.clone(),
                payload,
                qos: message.draft.qos,
                retain: message.draft.retain,
            };
            self.on_wire.push_back(message);
            return Some(sending);
        }
        None
    }

    /// The broker has a message. A ticket that is not on the wire is ignored.
    pub(super) fn acknowledge(&mut self, ticket: u64, now: Now) {
        let Some(at) = self.on_wire.iter().position(|m| m.ticket == ticket) else {
            return;
        };
        let Some(message) = self.on_wire.remove(at) else {
            return;
        };
        self.acknowledged += 1;
        // At QoS 0 it is merely written.
        if let (Some(sent), 1..) = (message.sent, message.draft.qos) {
            self.delays.add(now.running.saturating_sub(sent));
        }
        if let Some(left) = self.open.get_mut(&message.frame) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(&message.frame);
                self.ledger.forward();
            }
        }
    }

    /// The connection is gone: what was not acknowledged waits again, in its old place.
    pub(super) fn connection_lost(&mut self) {
        while let Some(message) = self.on_wire.pop_back() {
            if self.open.contains_key(&message.frame) {
                self.waiting.push_front(message);
            }
        }
        self.make_room(0);
    }

    /// Gives up everything that is left.
    pub(super) fn close(&mut self) {
        for _ in 0..self.open.len() {
            self.ledger.drop_frame(Cause::Shutdown);
        }
        self.open.clear();
        self.waiting.clear();
        self.on_wire.clear();
        self.unreported.clear();
    }

    /// Messages that wait or are not yet acknowledged.
    pub(super) fn buffered(&self) -> usize {
        self.waiting.len() + self.on_wire.len()
    }

    /// Bytes of their payloads.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.waiting.iter().chain(&self.on_wire).map(|m| m.draft.body.size()).sum()
    }

    /// How long the broker takes.
    pub(super) fn delays(&self) -> &Delays {
        &self.delays
    }

    /// The book of frames.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Messages sent, each counted once.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Messages that the broker has.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn make_room(&mut self, needed: usize) {
        while self.buffered() + needed > self.bound {
            let Some(frame) = self.waiting.front().map(|m| m.frame) else {
                return; // the rest is on the wire: it is the broker's turn
            };
            self.discard(frame, Cause::QueueFull);
        }
    }

    /// Drops a frame with those of its messages that wait; they are at the front. Those on the wire may still arrive.
    fn discard(&mut self, frame: u64, cause: Cause) {
        if self.open.remove(&frame).is_some() {
            self.ledger.drop_frame(cause);
        }
        while self.waiting.front().is_some_and(|m| m.frame == frame)
            && let Some(message) = self.waiting.pop_front()
        {
            if let Body::Report(timed) = message.draft.body {
                let lost = self.unreported.entry(message.draft.topic).or_default();
                add(lost, &timed.report.lost_since_last);
                *lost.entry(cause.as_str().to_owned()).or_default() += 1;
            }
        }
    }
}

fn add(sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (cause, frames) in more {
        *sum.entry(cause.clone()).or_default() += frames;
    }
}

#[cfg(test)]
mod tests;
