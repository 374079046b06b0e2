// SPDX-License-Identifier: MPL-2.0
//! Messages on their way to the broker, and the book of the frames they belong to.
//!
//! A frame is forwarded when the broker has acknowledged all of its messages. It is dropped as a whole, also when some of
//! its messages were sent already. What is dropped leaves a gap record, which goes out before anything else.
//!
//! No call takes long, since the streaming thread waits for it: what is much is done in slices, see [`Outbox::tidy`].

mod fallen;
mod gaps;
mod loss;
mod message;
mod outcome;
mod room;
mod sending;
mod shelf;
mod storing;
mod suspicion;
mod sweep;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use orion_core::ledger::{Cause, Ledger};

use self::{
    fallen::FallenFrames,
    gaps::{Gaps, Missing, OpenGap},
    message::{Content, Message},
    shelf::Shelf,
    suspicion::Suspicion,
    sweep::Sweep,
};
use super::{
    delays::Delays,
    keeping::{Keeping, OutagePolicy},
    payload::{Draft, Now},
};
use crate::qos::Place;

pub(super) use fallen::Fallen;
pub(super) use gaps::Unsaid;
pub(super) use loss::Aftermath;
pub(super) use message::{Label, Slip};
pub(super) use sending::{GivenUp, Sending};
pub(super) use shelf::{Leftover, Record, Work};
pub(super) use suspicion::Loss;

#[derive(Debug)]
enum Item {
    Message(Message),
    Gap {
        ticket: u64,
        gap: OpenGap,
        /// Of the payload.
        bytes: usize,
    },
}

impl Item {
    fn ticket(&self) -> u64 {
        match self {
            Self::Message(message) => message.ticket,
            Self::Gap { ticket, .. } => *ticket,
        }
    }
}

#[derive(Debug)]
struct Frame {
    /// Messages not yet acknowledged.
    left: usize,
    /// None when its messages are on the disk: an index of many must be small.
    place: Option<Box<Place>>,
    /// There was a buffer, so that it counts.
    counted: bool,
}

#[derive(Debug)]
pub(super) struct Outbox {
    keeping: Keeping,
    waiting: VecDeque<Message>,
    on_wire: VecDeque<Item>,
    /// Of the messages of both, as [`Draft::size`] counts.
    bytes: usize,
    /// Frames that are neither forwarded nor dropped.
    open: BTreeMap<u64, Frame>,
    gaps: Gaps,
    suspicion: Suspicion,
    sweep: Sweep,
    /// None = memory only.
    shelf: Option<Shelf>,
    fallen: FallenFrames,
    /// The last connection was lost or the last attempt failed, and there is none since.
    outage: bool,
    /// Messages with a smaller ticket had to wait for a connection.
    late_below: u64,
    next_frame: u64,
    /// Of messages and of gap records; each keeps its own.
    next_ticket: u64,
    ledger: Ledger,
    /// Messages that came in.
    taken: u64,
    published: u64,
    acknowledged: u64,
    replayed: u64,
    gap_records: u64,
    delays: Delays,
}

impl Outbox {
    /// Keeps what it is told to keep.
    pub(super) fn new(keeping: Keeping) -> Self {
        Self {
            keeping,
            waiting: VecDeque::new(),
            on_wire: VecDeque::new(),
            bytes: 0,
            open: BTreeMap::new(),
            gaps: Gaps::default(),
            suspicion: Suspicion::default(),
            sweep: Sweep::default(),
            shelf: None,
            fallen: FallenFrames::default(),
            outage: false,
            late_below: 0,
            next_frame: 0,
            next_ticket: 0,
            ledger: Ledger::default(),
            taken: 0,
            published: 0,
            acknowledged: 0,
            replayed: 0,
            gap_records: 0,
            delays: Delays::default(),
        }
    }

    /// Changes what is kept; what is too much goes with the next frame or [`Outbox::tidy`].
    pub(super) fn set_keeping(&mut self, keeping: Keeping) {
        self.keeping = keeping;
        self.sweep.again();
    }

    /// Takes a frame with its messages. The oldest frames make room; the newest is taken in any case, unless it alone is more
    /// than may be kept or must not wait for a connection.
    pub(super) fn push(&mut self, drafts: Vec<Draft>, place: Place, now: Now) {
        self.ledger.receive();
        if drafts.is_empty() {
            self.ledger.forward();
            return;
        }
        self.take(drafts, place, true, now);
    }

    /// Takes messages that belong to no frame; they are kept and dropped like those of one.
    pub(super) fn push_aside(&mut self, drafts: Vec<Draft>, now: Now) {
        self.take(drafts, Place::default(), false, now);
    }

    fn take(&mut self, drafts: Vec<Draft>, place: Place, counted: bool, now: Now) {
        self.tidy(now);
        self.taken += drafts.len() as u64;
        let bytes: usize = drafts.iter().map(Draft::size).sum();
        let frame = self.next_frame;
        self.next_frame += 1;
        self.open.insert(frame, Frame { left: drafts.len(), place: Some(Box::new(place)), counted });
        let refused = match self.keeping.policy {
            OutagePolicy::Drop if self.outage => Some(Cause::NoConnection),
            _ if bytes > self.keeping.bytes => Some(Cause::QueueFull),
            _ => None,
        };
        if let Some(cause) = refused {
            self.drop_frame(frame, cause);
            drafts.iter().for_each(|draft| self.gaps.add(Missing::of(draft), cause, &mut self.next_ticket));
            self.soil_gaps();
            return;
        }
        self.make_room(drafts.len(), bytes);
        self.make_memory(bytes);
        let born = i64::try_from(now.running).unwrap_or(i64::MAX);
        for draft in drafts {
            let (ticket, size) = (self.take_ticket(), draft.size());
            self.bytes += size;
            if let Some(shelf) = &mut self.shelf {
                shelf.add(ticket, size);
            }
            self.waiting.push_back(Message::new(ticket, frame, Content::Held(Arc::new(draft)), size, born));
        }
        if self.outage {
            self.sweep.again();
            self.trim();
        }
    }

    fn take_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// Counts a frame that could not be turned into messages.
    pub(super) fn refuse(&mut self, cause: Cause, place: Place) {
        self.ledger.receive();
        self.ledger.drop_frame(cause);
        self.fallen.add(Fallen { cause, place });
    }

    /// Messages that wait or are not yet acknowledged, without gap records.
    pub(super) fn buffered(&self) -> usize {
        self.waiting.len() + self.messages_on_wire().count()
    }

    /// The same with the gap records that may be sent.
    pub(super) fn pending(&self) -> usize {
        self.waiting.len() + self.on_wire.len() + self.gaps.len()
    }

    fn messages_on_wire(&self) -> impl Iterator<Item = &Message> {
        self.on_wire.iter().filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::Gap { .. } => None,
        })
    }

    /// Bytes that they take in memory, or would if they were not on the disk.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.bytes
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

    /// Messages that were given up; one that was on the wire may have arrived all the same.
    pub(super) fn messages_dropped(&self) -> u64 {
        // After a stop what is on the disk is no longer counted as buffered.
        let left = self.buffered().max(self.stored()) as u64;
        self.taken.saturating_sub(self.acknowledged + left)
    }

    /// Messages sent that had to wait for a connection or were on the wire when one was lost, each counted once.
    pub(super) fn replayed(&self) -> u64 {
        self.replayed
    }

    /// Gap records sent, repeats too.
    pub(super) fn gap_records(&self) -> u64 {
        self.gap_records
    }

    /// Gap records, and additions to `lost_since_last`, that are never said.
    pub(super) fn gaps_dropped(&self) -> u64 {
        self.gaps.dropped()
    }

    /// The frames dropped since the last call.
    pub(super) fn take_fallen(&mut self) -> Vec<Fallen> {
        self.fallen.take()
    }

    fn soil_gaps(&mut self) {
        if let Some(shelf) = &mut self.shelf {
            shelf.soil_gaps();
        }
    }
}

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod gap_tests;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
