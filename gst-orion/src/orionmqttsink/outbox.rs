// SPDX-License-Identifier: MPL-2.0
//! Messages on their way to the broker, and the book of the frames they belong to.
//!
//! A frame is forwarded when the broker has acknowledged all of its messages. It is dropped as a whole, also when some of
//! its messages were sent already. What is dropped leaves a gap record, which goes out before anything else.

mod gaps;
mod message;
mod outcome;
mod shelf;
mod storing;
mod suspicion;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use orion_core::{
    ledger::{Cause, Ledger},
    timestamp,
};

use self::{
    gaps::{Gaps, Missing, OpenGap},
    message::{Content, Message},
    shelf::Shelf,
    suspicion::Suspicion,
};
use super::{
    delays::Delays,
    keeping::{Keeping, OutagePolicy},
    payload::{Draft, JSON, Now},
};
use crate::qos::Place;

/// So many messages ahead must be in memory at least.
const AHEAD: usize = 512;

pub(super) use gaps::Unsaid;
pub(super) use message::{Label, Slip};
pub(super) use shelf::{Leftover, Record, Work};
pub(super) use suspicion::Loss;

/// A message that was handed to the connection.
#[derive(Debug)]
pub(super) struct Sending {
    /// For [`Outbox::acknowledge`].
    pub(super) ticket: u64,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// When it is worthless to subscribers, s from now; none = never.
    pub(super) expiry: Option<u32>,
    /// Media type of the payload; none = unknown.
    pub(super) content_type: Option<String>,
    /// It had to wait for a connection, or is sent again after one was lost.
    pub(super) replayed: bool,
    /// What is said beside the payload (MQTT 5), name and value.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// A frame that was dropped here, for those who watch the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fallen {
    pub(super) cause: Cause,
    pub(super) place: Place,
}

/// A message that was given up because the broker does not take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) topic: String,
    /// Of the payload.
    pub(super) bytes: usize,
}

/// What follows from a lost connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aftermath {
    /// What was on the wire still is: the session is to be resumed.
    pub(super) resume: bool,
    pub(super) given_up: Option<GivenUp>,
}

#[derive(Debug)]
enum Item {
    Message(Message),
    Gap(u64, OpenGap),
}

impl Item {
    fn ticket(&self) -> u64 {
        match self {
            Self::Message(message) => message.ticket,
            Self::Gap(ticket, _) => *ticket,
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
    /// Of the payloads of both.
    bytes: usize,
    /// Frames that are neither forwarded nor dropped.
    open: BTreeMap<u64, Frame>,
    gaps: Gaps,
    suspicion: Suspicion,
    /// None = memory only.
    shelf: Option<Shelf>,
    fallen: Vec<Fallen>,
    /// The last connection was lost or the last attempt failed, and there is none since.
    outage: bool,
    /// Messages with a smaller ticket had to wait for a connection.
    late_below: u64,
    next_frame: u64,
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
            shelf: None,
            fallen: Vec::new(),
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

    /// Changes what is kept; what is too much goes with the next frame.
    pub(super) fn set_keeping(&mut self, keeping: Keeping) {
        self.keeping = keeping;
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
        self.expire(now);
        self.taken += drafts.len() as u64;
        let bytes: usize = drafts.iter().map(|draft| draft.body.size()).sum();
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
            drafts.iter().for_each(|draft| self.gaps.add(Missing::of(draft), cause));
            self.soil_gaps();
            return;
        }
        self.make_room(drafts.len(), bytes);
        self.make_memory(drafts.len(), bytes);
        let born = i64::try_from(now.running).unwrap_or(i64::MAX);
        for draft in drafts {
            let (ticket, size) = (self.take_ticket(), draft.body.size());
            self.bytes += size;
            if let Some(shelf) = &mut self.shelf {
                shelf.add(ticket, size);
            }
            let content = Content::Held(Arc::new(draft));
            let (sent, replayed, on_disk) = (None, false, false);
            self.waiting.push_back(Message { ticket, frame, content, size, born, sent, replayed, on_disk });
        }
        if self.outage {
            self.keep_newest();
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
        self.fallen.push(Fallen { cause, place });
    }

    /// Whether the next message must wait until the connection has held for a while without it.
    pub(super) fn careful(&self) -> bool {
        self.suspicion.careful() && self.on_wire.is_empty() && self.gaps.len() + self.waiting.len() > 0
    }

    /// Hands out the oldest waiting message unless `window` of them are on the wire.
    pub(super) fn send(&mut self, window: usize, now: Now) -> Option<Sending> {
        self.expire(now);
        let window = if self.suspicion.careful() { 1 } else { window };
        while self.on_wire.len() < window {
            if let Some(gap) = self.gaps.next() {
                self.soil_gaps();
                let Some(sending) = self.send_gap(gap, now) else { continue };
                return Some(sending);
            }
            // What has to wait again after a loss must still fit.
            if self.messages_on_wire() >= self.keeping.messages.max(1) {
                return None;
            }
            self.look_ahead();
            if self.waiting.front()?.is_away() {
                return None; // until it is read
            }
            let message = self.waiting.pop_front()?;
            let Some(sending) = self.send_message(message, now) else { continue };
            return Some(sending);
        }
        None
    }

    fn send_gap(&mut self, gap: OpenGap, now: Now) -> Option<Sending> {
        let record = gap.record(timestamp::rfc3339(now.wall));
        let payload = serde_json::to_vec(&record).ok()?.into();
        let ticket = self.take_ticket();
        self.gap_records += 1;
        let sending = Sending {
            ticket,
            topic: gap.topic.clone(),
            payload,
            qos: gap.qos,
            // It must not take the place of a result that is kept for new subscribers.
            retain: false,
            expiry: None,
            content_type: Some(JSON.into()),
            replayed: false,
            facts: Vec::new(),
        };
        self.on_wire.push_back(Item::Gap(ticket, gap));
        Some(sending)
    }

    /// Asks in good time for what is on the disk.
    fn look_ahead(&mut self) {
        let Some(shelf) = &mut self.shelf else { return };
        let ahead = self.waiting.get(AHEAD.min(self.waiting.len().saturating_sub(1)));
        let away = |message: &Message| matches!(message.content, Content::Away(_, false));
        if ahead.is_some_and(away) || self.waiting.front().is_some_and(away) {
            shelf.look_ahead();
        }
    }

    fn soil_gaps(&mut self) {
        if let Some(shelf) = &mut self.shelf {
            shelf.soil_gaps();
        }
    }

    fn send_message(&mut self, mut message: Message, now: Now) -> Option<Sending> {
        let replayed = message.ticket < self.late_below;
        let Content::Held(draft) = &mut message.content else { return None };
        let draft = Arc::make_mut(draft);
        if self.gaps.tell(draft)
            && let Some(shelf) = &mut self.shelf
        {
            shelf.soil(message.ticket);
            shelf.soil_gaps();
        }
        let Ok(payload) = draft.body.bytes(now, replayed) else {
            // Does not happen with plain numbers and texts; if it did, it would stand in the way of all others.
            let frame = message.frame;
            self.give_up(message, Cause::WorkerError);
            self.discard(frame, Cause::WorkerError);
            return None;
        };
        let (topic, content_type) = (draft.topic.clone(), draft.content_type.clone());
        let (qos, retain) = (draft.qos, draft.retain);
        self.published += u64::from(message.sent.replace(now.running).is_none());
        self.replayed += u64::from(replayed && !message.replayed);
        message.replayed |= replayed;
        let sending = Sending {
            ticket: message.ticket,
            topic,
            payload,
            qos,
            retain,
            expiry: self.keeping.expiry_left(now.age(message.born)),
            content_type,
            replayed,
            facts: Vec::new(),
        };
        self.on_wire.push_back(Item::Message(message));
        Some(sending)
    }

    /// The broker has a message. A ticket that is not on the wire is ignored.
    pub(super) fn acknowledge(&mut self, ticket: u64, now: Now) {
        self.suspicion.acknowledged();
        let message = match self.take_from_wire(ticket) {
            Some(Item::Message(message)) => message,
            Some(Item::Gap(..)) => {
                self.soil_gaps();
                return;
            }
            None => return,
        };
        self.forget(&message);
        self.acknowledged += 1;
        // At QoS 0 it is merely written.
        if let (Some(sent), 1..) = (message.sent, message.qos()) {
            self.delays.add(now.running.saturating_sub(sent));
        }
        if let Some(frame) = self.open.get_mut(&message.frame) {
            frame.left -= 1;
            if frame.left == 0
                && let Some(Frame { counted: true, .. }) = self.open.remove(&message.frame)
            {
                self.ledger.forward();
            }
        }
    }

    /// The broker does not take a message, and never will.
    pub(super) fn reject(&mut self, ticket: u64) -> Option<GivenUp> {
        let item = self.take_from_wire(ticket)?;
        self.suspicion.acknowledged();
        self.give_up_item(item)
    }

    fn give_up_item(&mut self, item: Item) -> Option<GivenUp> {
        // A gap record that is refused is not replaced by another one.
        let Item::Message(message) = item else {
            self.soil_gaps();
            return None;
        };
        let given_up = GivenUp { topic: message.topic().to_owned(), bytes: message.size };
        let frame = message.frame;
        self.give_up(message, Cause::Refused);
        self.discard(frame, Cause::Refused);
        Some(given_up)
    }

    fn take_from_wire(&mut self, ticket: u64) -> Option<Item> {
        let at = self.on_wire.iter().position(|item| item.ticket() == ticket)?;
        self.on_wire.remove(at)
    }

    /// The connection is gone, or there was none. What was not acknowledged waits again, in its old place, unless the session
    /// is `resumable`. A message that the broker has refused in this way too often is given up.
    pub(super) fn connection_lost(&mut self, loss: Loss, resumable: bool) -> Aftermath {
        let tickets: Vec<_> = self.on_wire.iter().map(Item::ticket).collect();
        let culprit = self.suspicion.connection_lost(loss, &tickets).and_then(|ticket| self.take_from_wire(ticket));
        let given_up = culprit.and_then(|item| self.give_up_item(item));
        self.outage = true;
        // A session that is resumed sends everything at once, so it finds no culprit.
        let resume = resumable && !self.suspicion.careful();
        if !resume {
            self.session_lost();
        }
        Aftermath { resume, given_up }
    }

    /// What was on the wire has to be sent anew.
    pub(super) fn session_lost(&mut self) {
        while let Some(item) = self.on_wire.pop_back() {
            match item {
                Item::Gap(_, gap) => {
                    self.gaps.put_back(gap);
                    self.soil_gaps();
                }
                Item::Message(message) if self.open.contains_key(&message.frame) => self.waiting.push_front(message),
                Item::Message(message) => self.forget(&message),
            }
        }
        if self.outage && self.keeping.policy == OutagePolicy::Drop {
            while let Some(frame) = self.waiting.front().map(|message| message.frame) {
                self.discard(frame, Cause::NoConnection);
            }
        }
        if self.outage {
            self.keep_newest();
        }
        self.make_room(0, 0);
    }

    /// There is a connection.
    pub(super) fn connected(&mut self) {
        if std::mem::take(&mut self.outage) {
            self.late_below = self.next_ticket;
        }
        if let Some(shelf) = &mut self.shelf {
            shelf.look_ahead();
        }
    }

    /// Gives up everything that is left; what is on the disk stays there, in flight, for the next run.
    pub(super) fn close(&mut self) {
        let counts = |frame: &u64| self.open.get(frame).is_some_and(|frame| frame.counted);
        let given_up = match &self.shelf {
            Some(_) => self.unstored_frames().iter().filter(|frame| counts(frame)).count(),
            None => self.open.keys().filter(|frame| counts(frame)).count(),
        };
        for _ in 0..given_up {
            self.ledger.drop_frame(Cause::Shutdown);
        }
        self.open.clear();
        self.waiting.clear();
        self.on_wire.clear();
        self.gaps.clear();
        self.bytes = 0;
    }

    /// Messages that wait or are not yet acknowledged, without gap records.
    pub(super) fn buffered(&self) -> usize {
        self.waiting.len() + self.messages_on_wire()
    }

    /// The same with gap records.
    pub(super) fn pending(&self) -> usize {
        self.waiting.len() + self.on_wire.len() + self.gaps.len()
    }

    fn messages_on_wire(&self) -> usize {
        self.on_wire.iter().filter(|item| matches!(item, Item::Message(_))).count()
    }

    /// Bytes of their payloads.
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

    /// The frames dropped since the last call.
    pub(super) fn take_fallen(&mut self) -> Vec<Fallen> {
        std::mem::take(&mut self.fallen)
    }

    fn make_room(&mut self, messages: usize, bytes: usize) {
        let Keeping { messages: most, bytes: most_bytes, .. } = self.keeping;
        // Gap records are few and not counted.
        while self.buffered() + messages > most.max(1) || self.bytes + bytes > most_bytes {
            let Some(frame) = self.waiting.front().map(|m| m.frame) else {
                return; // the rest is on the wire: it is the broker's turn
            };
            self.discard(frame, Cause::QueueFull);
        }
    }

    /// Drops what has waited longer than it is worth.
    fn expire(&mut self, now: Now) {
        let Some(expiry) = self.keeping.expiry() else { return };
        while let Some(message) = self.waiting.front()
            && now.age(message.born) >= expiry
        {
            self.discard(message.frame, Cause::TooOld);
        }
    }

    /// Where only the newest is wanted, it takes the place of what waits for the same topic and is about the same.
    fn keep_newest(&mut self) {
        if self.keeping.policy != OutagePolicy::Newest {
            return;
        }
        let mut subjects = HashSet::new();
        let mut stale = Vec::new();
        for frame in self.waiting.make_contiguous().chunk_by(|a, b| a.frame == b.frame).rev() {
            // All of them, so no short-cut.
            let newer = frame.iter().filter(|message| subjects.insert(message.subject())).count();
            if newer == 0 {
                stale.push(frame[0].frame);
            }
        }
        stale.into_iter().rev().for_each(|frame| self.discard(frame, Cause::NoConnection));
    }

    /// Drops a frame with those of its messages that wait. Those on the wire may still arrive.
    fn discard(&mut self, frame: u64, cause: Cause) {
        self.drop_frame(frame, cause);
        // Frames wait in their order, each in one piece.
        let at = self.waiting.partition_point(|message| message.frame < frame);
        while self.waiting.get(at).is_some_and(|message| message.frame == frame)
            && let Some(message) = self.waiting.remove(at)
        {
            self.give_up(message, cause);
        }
    }

    fn give_up(&mut self, message: Message, cause: Cause) {
        self.forget(&message);
        self.gaps.add(message.missing(), cause);
        self.soil_gaps();
    }

    fn forget(&mut self, message: &Message) {
        self.bytes -= message.size;
        if let Some(shelf) = &mut self.shelf {
            shelf.forget(message);
        }
    }

    fn drop_frame(&mut self, frame: u64, cause: Cause) {
        if let Some(frame) = self.open.remove(&frame).filter(|frame| frame.counted) {
            self.ledger.drop_frame(cause);
            self.fallen.push(Fallen { cause, place: frame.place.map_or_else(Place::default, |place| *place) });
        }
    }
}

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
