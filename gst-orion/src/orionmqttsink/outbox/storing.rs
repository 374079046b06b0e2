// SPDX-License-Identifier: MPL-2.0
//! What is to be done on the disk, and when.

use std::{sync::Arc, time::Duration};

use orion_core::ledger::Cause;

use super::{
    super::{keeping::OutagePolicy, payload::Now},
    Frame, Item, Outbox,
    gaps::Unsaid,
    message::{Content, Message},
    shelf::{BATCH, BATCH_BYTES, GATHER, Leftover, MEMORY, PATIENCE, Record, Shelf, Work},
};

impl Outbox {
    /// From now on it is written to the disk; first comes what a former run has left there. What is too much of it goes as
    /// [`Outbox::tidy`] does it, in part with later calls.
    pub(in super::super) fn restore(&mut self, leftovers: Vec<Leftover>, unsaid: Unsaid, now: Now) {
        let mut shelf = Shelf { hungry: true, ..Shelf::default() };
        for Leftover { key, frame, born, mut slip } in leftovers {
            self.taken += 1;
            shelf.label(&mut slip);
            shelf.stored += 1;
            shelf.stored_bytes += slip.size;
            self.bytes += slip.size;
            if !self.open.contains_key(&frame) {
                self.ledger.receive();
                self.open.insert(frame, Frame { left: 0, place: None, counted: true });
            }
            if let Some(frame) = self.open.get_mut(&frame) {
                frame.left += 1;
            }
            self.next_frame = self.next_frame.max(frame + 1);
            self.next_ticket = self.next_ticket.max(key + 1);
            let (size, born) = (slip.size, now.running_of(born));
            let content = Content::Away(slip, false);
            let message = Message { on_disk: true, ..Message::new(key, frame, content, size, born) };
            self.waiting.push_back(message);
        }
        self.late_below = self.next_ticket;
        self.gaps.restore(&unsaid, &mut self.next_ticket);
        shelf.unsaid = unsaid;
        self.shelf = Some(shelf);
        self.tidy(now);
    }

    /// Messages on the disk.
    pub(in super::super) fn stored(&self) -> usize {
        self.shelf.as_ref().map_or(0, |shelf| shelf.stored)
    }

    /// Their bytes, as they are counted.
    pub(in super::super) fn stored_bytes(&self) -> usize {
        self.shelf.as_ref().map_or(0, |shelf| shelf.stored_bytes)
    }

    /// What the disk did not do.
    pub(in super::super) fn storage_errors(&self) -> u64 {
        self.shelf.as_ref().map_or(0, |shelf| shelf.errors)
    }

    /// Whether contents are wanted at once.
    pub(in super::super) fn hungry(&self) -> bool {
        self.shelf.as_ref().is_some_and(|shelf| shelf.hungry)
    }

    /// Makes room in memory, when the disk does not keep up.
    pub(super) fn make_memory(&mut self, bytes: usize) {
        while let Some(shelf) = &self.shelf
            && shelf.memory.saturating_add(bytes) > MEMORY
        {
            let first = self.waiting.front().map_or(u64::MAX, |message| message.ticket);
            let Some(ticket) = shelf.unsaved.range(first..).copied().find(|ticket| self.is_unwritten(*ticket)) else {
                return;
            };
            let Some(frame) = self.waiting_at(ticket).map(|at| self.waiting[at].frame) else { return };
            self.discard(frame, Cause::QueueFull);
        }
    }

    fn is_unwritten(&self, ticket: u64) -> bool {
        self.waiting_at(ticket).is_some_and(|at| !self.waiting[at].on_disk)
    }

    pub(super) fn waiting_at(&self, ticket: u64) -> Option<usize> {
        // Messages wait in their order.
        self.waiting.binary_search_by_key(&ticket, |message| message.ticket).ok()
    }

    pub(super) fn find(&self, ticket: u64) -> Option<&Message> {
        let on_wire = || self.messages_on_wire().find(|message| message.ticket == ticket);
        self.waiting_at(ticket).map(|at| &self.waiting[at]).or_else(on_wire)
    }

    pub(super) fn find_mut(&mut self, ticket: u64) -> Option<&mut Message> {
        if let Some(at) = self.waiting_at(ticket) {
            return self.waiting.get_mut(at);
        }
        self.on_wire.iter_mut().find_map(|item| match item {
            Item::Message(message) if message.ticket == ticket => Some(message),
            _ => None,
        })
    }

    /// When something is to be done, on the running clock; none = nothing until something happens.
    fn storage_due(&mut self, now: u64, closing: bool) -> Option<u64> {
        let (outage, policy) = (self.outage, self.keeping.policy);
        let shelf = self.shelf.as_mut()?;
        if shelf.removals.is_empty() {
            shelf.removed_since = None;
        } else {
            shelf.removed_since.get_or_insert(now);
        }
        if shelf.unsaid_changed {
            shelf.unsaid_since.get_or_insert(now);
        }
        let mut due = Vec::new();
        let patience = if outage { 0 } else { PATIENCE };
        due.extend(shelf.removed_since.map(|since| since + PATIENCE));
        due.extend(shelf.unsaid_since.map(|since| since + patience));
        let full = shelf.unsaved.len() >= BATCH || shelf.removals.len() >= BATCH;
        let gathered = shelf.last_commit.filter(|_| !full).map_or(0, |last| last + GATHER);
        let retry = shelf.retry_at.unwrap_or(0);
        if shelf.removals.len() >= BATCH {
            due.push(now);
        }
        // A disk that is full can still be read.
        let unreadable = shelf.unreadable_since.map_or(now, |_| retry);
        let reading = (shelf.hungry && !outage && !closing).then_some(unreadable);
        let oldest = shelf.unsaved.first().copied().filter(|_| policy != OutagePolicy::Drop);
        let oldest = oldest.and_then(|ticket| self.find(ticket)).map(|message| message.born);
        due.extend(oldest.map(|born| u64::try_from(born).unwrap_or(0) + patience));
        if closing {
            return (!due.is_empty()).then_some(now);
        }
        let commit = due.into_iter().min().map(|due| due.max(gathered).max(retry));
        commit.into_iter().chain(reading).min()
    }

    /// The time until [`Outbox::storage_work`] is to be asked again; none = when something happens.
    pub(in super::super) fn storage_pause(&mut self, now: Now) -> Option<Duration> {
        let due = self.storage_due(now.running, false)?;
        Some(Duration::from_nanos(due.saturating_sub(now.running)))
    }

    /// What is to be done now, if anything. `closing`: everything that is left, without waiting for more.
    pub(in super::super) fn storage_work(&mut self, now: Now, closing: bool) -> Option<Work> {
        if self.storage_due(now.running, closing)? > now.running {
            return None;
        }
        let mut work = Work { now, write: Vec::new(), remove: Vec::new(), unsaid: None, read: Vec::new() };
        if !closing && !self.outage {
            self.choose_reads(&mut work);
        }
        // After an error reading is tried alone, so that it is known what fails.
        if let Some(retry) = self.shelf.as_ref()?.retry_at.filter(|_| !closing)
            && (retry > now.running || !work.read.is_empty())
        {
            return (!work.read.is_empty()).then_some(work);
        }
        self.choose_writes(&mut work, closing);
        let on_wire = self.on_wire.iter().filter_map(|item| match item {
            Item::Gap { gap, .. } => Some(gap),
            Item::Message(_) => None,
        });
        let unsaid = self.gaps.unsaid(on_wire);
        let shelf = self.shelf.as_mut()?;
        let many = shelf.removals.len().min(8 * BATCH);
        work.remove = shelf.removals.drain(..many).collect();
        shelf.removed_since = None;
        shelf.unsaid_since = None;
        shelf.unsaid_changed = false;
        if unsaid != shelf.unsaid {
            work.unsaid = Some(unsaid);
        }
        let commits = work.commits();
        if commits {
            shelf.last_commit = Some(now.running);
        }
        (commits || !work.read.is_empty()).then_some(work)
    }

    fn choose_writes(&mut self, work: &mut Work, closing: bool) {
        if self.keeping.policy == OutagePolicy::Drop {
            return;
        }
        let at_once = closing || self.outage;
        let mut chosen: Vec<u64> = Vec::new();
        let mut bytes = 0;
        let Some(shelf) = &self.shelf else { return };
        for ticket in &shelf.unsaved {
            let Some(message) = self.find(*ticket) else { continue };
            let Content::Held(draft) = &message.content else { continue };
            // What was changed when it was sent goes with the gap records.
            let changed = message.on_disk;
            if !at_once && !changed && work.now.age(message.born) < PATIENCE {
                break;
            }
            let full = chosen.len() >= BATCH || bytes + message.size > BATCH_BYTES;
            if full && work.write.last().is_some_and(|last| last.frame != message.frame) {
                break;
            }
            bytes += message.size;
            chosen.push(*ticket);
            let (key, frame, born) = (message.ticket, message.frame, work.now.wall_of(message.born));
            work.write.push(Record { key, frame, born, draft: Arc::clone(draft) });
        }
        if let Some(shelf) = &mut self.shelf {
            chosen.iter().for_each(|ticket| {
                shelf.unsaved.remove(ticket);
            });
        }
    }

    fn choose_reads(&mut self, work: &mut Work) {
        let Some(shelf) = &mut self.shelf else { return };
        if !std::mem::take(&mut shelf.hungry) {
            return;
        }
        let mut bytes = 0;
        for (at, message) in self.waiting.iter_mut().take(BATCH).enumerate() {
            bytes += message.size;
            if at > 0 && bytes > BATCH_BYTES {
                break;
            }
            if let Content::Away(_, asked @ false) = &mut message.content {
                *asked = true;
                work.read.push(message.ticket);
            }
        }
    }
}
