// SPDX-License-Identifier: MPL-2.0
//! What follows from what the disk did, or did not.

use std::{collections::BTreeSet, sync::Arc};

use orion_core::ledger::Cause;

use super::{
    super::payload::{Body, Now},
    Outbox,
    message::{Content, Slip},
    shelf::{BATCH, BATCH_BYTES, HOPELESS, RETRY, Work},
};

impl Outbox {
    /// The work is done; `bodies` were read in its course, none = cannot be read.
    pub(in super::super) fn storage_done(&mut self, work: &Work, bodies: Vec<(u64, Option<Body>)>) {
        for record in &work.write {
            let message = self.find_mut(record.key);
            let first = message.as_ref().is_some_and(|message| !message.on_disk);
            let size = message.map(|message| {
                message.on_disk = true;
                message.size
            });
            let Some(shelf) = &mut self.shelf else { return };
            match size {
                // It was acknowledged or dropped meanwhile.
                None => shelf.removals.push(record.key),
                Some(size) if first => {
                    shelf.stored += 1;
                    shelf.stored_bytes += size;
                    shelf.memory -= size;
                }
                Some(_) => {}
            }
        }
        if let (Some(shelf), Some(unsaid)) = (&mut self.shelf, &work.unsaid) {
            shelf.unsaid.clone_from(unsaid);
        }
        if let Some(shelf) = &mut self.shelf {
            if work.commits() {
                shelf.retry_at = None;
            }
            if !work.read.is_empty() {
                shelf.unreadable_since = None;
            }
        }
        for (ticket, body) in bodies {
            let Some(at) = self.waiting_at(ticket) else { continue };
            let message = &mut self.waiting[at];
            let Content::Away(slip, _) = &message.content else { continue };
            match body {
                Some(body) => message.content = Content::Held(Arc::new(slip.with(body))),
                None => {
                    let frame = message.frame;
                    if let Some(shelf) = &mut self.shelf {
                        shelf.errors += 1;
                    }
                    self.discard(frame, Cause::StorageError);
                }
            }
        }
        self.put_away(work);
    }

    /// Takes from memory what was written and is far from its turn.
    fn put_away(&mut self, work: &Work) {
        let mut bytes = 0;
        let near = self.waiting.iter().take(BATCH).enumerate().find(|(at, message)| {
            bytes += message.size;
            *at > 0 && bytes > BATCH_BYTES
        });
        let near = near.map_or(BATCH, |(at, _)| at);
        for record in &work.write {
            let Some(at) = self.waiting_at(record.key).filter(|at| *at >= near) else { continue };
            let Some(shelf) = &mut self.shelf else { return };
            if shelf.unsaved.contains(&record.key) {
                continue;
            }
            let mut slip = Slip::of(&record.draft);
            shelf.label(&mut slip);
            self.waiting[at].content = Content::Away(slip, false);
            if let Some(frame) = self.open.get_mut(&record.frame) {
                frame.place = None;
            }
        }
    }

    /// The disk did nothing of it: all is as before, and is tried again after a while.
    pub(in super::super) fn storage_failed(&mut self, work: &Work, now: Now) {
        for record in &work.write {
            if self.find(record.key).is_some()
                && let Some(shelf) = &mut self.shelf
            {
                shelf.unsaved.insert(record.key);
            }
        }
        for ticket in &work.read {
            if let Some(Content::Away(_, asked)) = self.find_mut(*ticket).map(|message| &mut message.content) {
                *asked = false;
            }
        }
        let Some(shelf) = &mut self.shelf else { return };
        shelf.errors += 1;
        shelf.removals.extend(&work.remove);
        shelf.retry_at = Some(now.running + RETRY);
        if work.unsaid.is_some() {
            shelf.unsaid_changed = true;
        }
        shelf.hungry |= !work.read.is_empty();
        // If there was something to write, that may be all that failed.
        if work.commits() {
            return;
        }
        if now.running.saturating_sub(*shelf.unreadable_since.get_or_insert(now.running)) >= HOPELESS {
            self.leave_behind();
        }
    }

    /// What cannot be read must not keep back all others for ever. It stays on the disk for the next run.
    fn leave_behind(&mut self) {
        let away: BTreeSet<_> = self.waiting.iter().filter(|m| m.is_away()).map(|m| m.frame).collect();
        let removals = self.shelf.as_ref().map_or(0, |shelf| shelf.removals.len());
        for frame in away {
            self.discard(frame, Cause::StorageError);
        }
        if let Some(shelf) = &mut self.shelf {
            shelf.removals.truncate(removals);
        }
    }

    /// Frames that are not on the disk as a whole.
    pub(super) fn unstored_frames(&self) -> BTreeSet<u64> {
        let unstored = self.waiting.iter().chain(self.messages_on_wire()).filter(|message| !message.on_disk);
        unstored.map(|message| message.frame).collect()
    }
}
