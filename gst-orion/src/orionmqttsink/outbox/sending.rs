// SPDX-License-Identifier: MPL-2.0
//! From waiting to the wire, and what the broker says to it.

use std::sync::Arc;

use bytes::Bytes;
use orion_core::{ledger::Cause, timestamp};

use super::{
    super::payload::{JSON, Now},
    Frame, Item, Outbox,
    gaps::OpenGap,
    message::{Content, Message},
};

/// So many messages ahead must be in memory at least.
const AHEAD: usize = 512;

/// A message that was handed to the connection.
#[derive(Debug)]
pub(in super::super) struct Sending {
    /// For [`Outbox::acknowledge`].
    pub(in super::super) ticket: u64,
    pub(in super::super) topic: String,
    pub(in super::super) payload: Bytes,
    pub(in super::super) qos: u8,
    pub(in super::super) retain: bool,
    /// When it is worthless to subscribers, s from now; none = never.
    pub(in super::super) expiry: Option<u32>,
    /// Media type of the payload; none = unknown.
    pub(in super::super) content_type: Option<String>,
    /// It had to wait for a connection, or is sent again after one was lost.
    pub(in super::super) replayed: bool,
    /// What is said beside the payload (MQTT 5), name and value.
    pub(in super::super) facts: Vec<(&'static str, String)>,
}

/// A message or a gap record that was given up because the broker does not take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct GivenUp {
    pub(in super::super) topic: String,
    /// Of the payload.
    pub(in super::super) bytes: usize,
}

impl Outbox {
    /// Whether the next message must wait until the connection has held for a while without it.
    pub(in super::super) fn careful(&self) -> bool {
        self.suspicion.careful() && self.on_wire.is_empty() && self.gaps.len() + self.waiting.len() > 0
    }

    /// Hands out the oldest waiting message unless `window` of them are on the wire; none while [`Outbox::tidy`] has more to
    /// do.
    pub(in super::super) fn send(&mut self, window: usize, now: Now) -> Option<Sending> {
        if self.tidy(now) {
            return None;
        }
        let window = if self.suspicion.careful() { 1 } else { window };
        while self.on_wire.len() < window {
            if let Some((ticket, gap)) = self.gaps.next(now.running) {
                self.soil_gaps();
                let Some(sending) = self.send_gap(ticket, gap, now) else { continue };
                return Some(sending);
            }
            // What has to wait again after a loss must still fit, but one may always go.
            let (messages, bytes) =
                self.messages_on_wire().fold((0, 0), |(messages, bytes), message| (messages + 1, bytes + message.size));
            let next = self.waiting.front()?.size;
            if messages > 0 && (messages >= self.keeping.messages || bytes + next > self.keeping.bytes) {
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

    fn send_gap(&mut self, ticket: u64, gap: OpenGap, now: Now) -> Option<Sending> {
        let record = gap.record(timestamp::rfc3339(now.wall));
        let Ok(payload) = serde_json::to_vec(&record) else {
            self.gaps.give_up();
            return None;
        };
        self.gap_records += 1;
        let sending = Sending {
            ticket,
            topic: gap.topic().to_owned(),
            payload: payload.into(),
            qos: gap.qos,
            // It must not take the place of a result that is kept for new subscribers.
            retain: false,
            expiry: None,
            content_type: Some(JSON.into()),
            replayed: false,
            facts: Vec::new(),
        };
        self.on_wire.push_back(Item::Gap { ticket, gap, bytes: sending.payload.len() });
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
    pub(in super::super) fn acknowledge(&mut self, ticket: u64, now: Now) {
        self.suspicion.acknowledged(ticket);
        let message = match self.take_from_wire(ticket) {
            Some(Item::Message(message)) => message,
            Some(Item::Gap { .. }) => {
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
    pub(in super::super) fn reject(&mut self, ticket: u64) -> Option<GivenUp> {
        let item = self.take_from_wire(ticket)?;
        self.suspicion.acknowledged(ticket);
        Some(self.give_up_item(item))
    }

    pub(super) fn give_up_item(&mut self, item: Item) -> GivenUp {
        match item {
            // A gap record that is refused is not replaced by another one.
            Item::Gap { gap, bytes, .. } => {
                self.gaps.give_up();
                self.soil_gaps();
                GivenUp { topic: gap.topic().to_owned(), bytes }
            }
            Item::Message(message) => {
                let given_up = GivenUp { topic: message.topic().to_owned(), bytes: message.payload() };
                let frame = message.frame;
                self.give_up(message, Cause::Refused);
                self.discard(frame, Cause::Refused);
                given_up
            }
        }
    }

    pub(super) fn take_from_wire(&mut self, ticket: u64) -> Option<Item> {
        let at = self.on_wire.iter().position(|item| item.ticket() == ticket)?;
        self.on_wire.remove(at)
    }
}
