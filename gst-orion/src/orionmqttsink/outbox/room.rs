// SPDX-License-Identifier: MPL-2.0
//! What goes, so that no more is kept than should be.

use orion_core::ledger::Cause;

use super::{Fallen, Item, Keeping, Message, Now, OutagePolicy, Outbox, Place};

/// Frames that one call drops at most, or looks at: some milliseconds.
pub(super) const SLICE: usize = 1000;

impl Outbox {
    /// Drops what is worthless by now, what is not to wait for a connection, and what is too much, the oldest first. Says
    /// whether it must be called again at once, because that is a lot.
    pub(in super::super) fn tidy(&mut self, now: Now) -> bool {
        let mut budget = SLICE;
        if let Some(expiry) = self.keeping.expiry() {
            let old = |message: &Message| now.age(message.born) >= expiry;
            self.drop_oldest(Cause::TooOld, &mut budget, |outbox| outbox.waiting.front().is_some_and(old));
        }
        self.trim_within(&mut budget);
        budget == 0
    }

    /// The same, without a look at the clock.
    pub(in super::super) fn trim(&mut self) -> bool {
        let mut budget = SLICE;
        self.trim_within(&mut budget);
        budget == 0
    }

    fn trim_within(&mut self, budget: &mut usize) {
        let none = |outbox: &Self| outbox.outage && outbox.keeping.policy == OutagePolicy::Drop;
        self.drop_oldest(Cause::NoConnection, budget, none);
        self.sweep(budget);
        self.drop_oldest(Cause::QueueFull, budget, |outbox| outbox.is_over(0, 0) && !outbox.is_newest_alone());
    }

    /// Makes room for what comes, as far as one call goes.
    pub(super) fn make_room(&mut self, messages: usize, bytes: usize) {
        let mut budget = SLICE;
        self.drop_oldest(Cause::QueueFull, &mut budget, |outbox| outbox.is_over(messages, bytes));
    }

    fn is_over(&self, messages: usize, bytes: usize) -> bool {
        let Keeping { messages: most, bytes: most_bytes, .. } = self.keeping;
        // Gap records are few and not counted.
        self.buffered() + messages > most.max(1) || self.bytes.saturating_add(bytes) > most_bytes
    }

    /// It was taken in any case, so it stays.
    fn is_newest_alone(&self) -> bool {
        let frame = |message: Option<&Message>| message.map(|message| message.frame);
        frame(self.waiting.front()) == frame(self.waiting.back())
    }

    /// Only of those that wait: the rest is on the wire, and it is the broker's turn.
    fn drop_oldest(&mut self, cause: Cause, budget: &mut usize, too_much: impl Fn(&Self) -> bool) {
        while *budget > 0
            && too_much(self)
            && let Some(frame) = self.waiting.front().map(|message| message.frame)
        {
            *budget -= 1;
            self.discard(frame, cause);
        }
    }

    /// Drops a frame with those of its messages that wait. Those on the wire may still arrive.
    pub(super) fn discard(&mut self, frame: u64, cause: Cause) {
        self.sweep.forget(frame);
        self.drop_frame(frame, cause);
        // Frames wait in their order, each in one piece.
        let at = self.waiting.partition_point(|message| message.frame < frame);
        while self.waiting.get(at).is_some_and(|message| message.frame == frame)
            && let Some(message) = self.waiting.remove(at)
        {
            self.give_up(message, cause);
        }
    }

    pub(super) fn give_up(&mut self, message: Message, cause: Cause) {
        self.forget(&message);
        self.gaps.add(message.missing(), cause, &mut self.next_ticket);
        self.soil_gaps();
    }

    pub(super) fn forget(&mut self, message: &Message) {
        self.bytes -= message.size;
        if let Some(shelf) = &mut self.shelf {
            shelf.forget(message);
        }
    }

    pub(super) fn drop_frame(&mut self, number: u64, cause: Cause) {
        let Some(frame) = self.open.remove(&number) else { return };
        for item in &mut self.on_wire {
            if let Item::Message(message) = item
                && message.frame == number
            {
                message.fallen = Some(cause);
            }
        }
        if frame.counted {
            self.ledger.drop_frame(cause);
            self.fallen.add(Fallen { cause, place: frame.place.map_or_else(Place::default, |place| *place) });
        }
    }
}
