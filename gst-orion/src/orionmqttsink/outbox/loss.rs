// SPDX-License-Identifier: MPL-2.0
//! Connections that come and go, and the end.

use std::collections::BTreeSet;

use orion_core::ledger::Cause;

use super::{GivenUp, Item, Loss, Outbox, Unsaid};

/// What follows from a lost connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Aftermath {
    /// What was on the wire still is: the session is to be resumed.
    pub(in super::super) resume: bool,
    pub(in super::super) given_up: Option<GivenUp>,
}

impl Outbox {
    /// The connection is gone, or there was none. What was not acknowledged waits again, in its old place, unless the session
    /// is `resumable`. A message that the broker has refused in this way too often is given up. [`Outbox::trim`] follows.
    pub(in super::super) fn connection_lost(&mut self, loss: Loss, resumable: bool) -> Aftermath {
        let tickets: Vec<_> = self.on_wire.iter().map(Item::ticket).collect();
        let culprit = self.suspicion.connection_lost(loss, &tickets).and_then(|ticket| self.take_from_wire(ticket));
        if let Some(Item::Gap { gap, .. }) = &culprit {
            self.gaps.silence(gap);
        }
        let given_up = culprit.map(|item| self.give_up_item(item));
        self.outage = true;
        self.sweep.again();
        // A session that is resumed sends everything at once, so it finds no culprit.
        let resume = resumable && !self.suspicion.careful();
        if !resume {
            self.take_back();
        }
        self.trim();
        Aftermath { resume, given_up }
    }

    /// What was on the wire has to be sent anew. [`Outbox::trim`] follows.
    pub(in super::super) fn session_lost(&mut self) {
        self.take_back();
        self.trim();
    }

    fn take_back(&mut self) {
        let (mut unsent, mut gaps) = (Vec::new(), Vec::new());
        for item in std::mem::take(&mut self.on_wire) {
            match item {
                Item::Gap { ticket, gap, .. } => gaps.push((ticket, gap)),
                Item::Message(message) => match message.fallen {
                    // Whether it arrived nobody knows.
                    Some(cause) => self.give_up(message, cause),
                    None => unsent.push(message),
                },
            }
        }
        // Each goes before what came later.
        for (ticket, gap) in gaps.into_iter().rev() {
            self.gaps.put_back(ticket, gap);
            self.soil_gaps();
        }
        unsent.into_iter().rev().for_each(|message| self.waiting.push_front(message));
        self.sweep.again();
    }

    /// There is a connection. What is on the wire is repeated by the session.
    pub(in super::super) fn connected(&mut self) {
        if std::mem::take(&mut self.outage) {
            self.late_below = self.next_ticket;
            for item in &mut self.on_wire {
                if let Item::Message(message) = item
                    && !std::mem::replace(&mut message.replayed, true)
                {
                    self.replayed += 1;
                }
            }
        }
        if let Some(shelf) = &mut self.shelf {
            shelf.look_ahead();
        }
    }

    /// Gives up everything that is left; what is on the disk stays there, in flight, for the next run.
    pub(in super::super) fn close(&mut self) {
        let stored = self.shelf.is_some();
        let lost: BTreeSet<u64> = if stored { self.unstored_frames() } else { self.open.keys().copied().collect() };
        let counted = lost.iter().filter(|frame| self.open.get(frame).is_some_and(|frame| frame.counted)).count();
        for _ in 0..counted {
            self.ledger.drop_frame(Cause::Shutdown);
        }
        if stored {
            self.gaps.clear();
        }
        let mut messages = std::mem::take(&mut self.waiting);
        for item in std::mem::take(&mut self.on_wire).into_iter().rev() {
            match item {
                Item::Gap { ticket, gap, .. } if !stored => self.gaps.put_back(ticket, gap),
                Item::Gap { .. } => {}
                Item::Message(message) => messages.push_front(message),
            }
        }
        for message in messages.iter().filter(|message| !message.on_disk) {
            let cause = message.fallen.unwrap_or(Cause::Shutdown);
            self.gaps.add(message.missing(), cause, &mut self.next_ticket);
        }
        self.open.clear();
        self.bytes = 0;
    }

    /// After [`Outbox::close`]: what the next run of the same element is to say of this one, unless the disk knows it.
    pub(in super::super) fn unsaid(&self) -> Unsaid {
        self.gaps.unsaid(std::iter::empty())
    }

    /// Says it.
    pub(in super::super) fn inherit(&mut self, unsaid: &Unsaid) {
        self.gaps.restore(unsaid, &mut self.next_ticket);
        self.soil_gaps();
    }
}
