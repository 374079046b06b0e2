// SPDX-License-Identifier: MPL-2.0
//! What of the outbox is to be on the disk: decided here, done by the storage thread.
//!
//! A message is written when it waits without a connection or has waited half a second with one, so a fast link costs no write.
//! It is removed once it is acknowledged or dropped, in the same transaction as the gap record that says so. In memory are kept
//! the contents of what is not yet written and of those whose turn is near.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    super::payload::{Draft, Now},
    gaps::Unsaid,
    message::{Label, Message, Slip},
};

const MS: u64 = 1_000_000;

/// A message that the broker has not acknowledged for so long is written.
pub(super) const PATIENCE: u64 = 500 * MS;

/// Time between two commits, so that many messages share one.
pub(super) const GATHER: u64 = 100 * MS;

/// Time until the disk is tried again after an error.
pub(super) const RETRY: u64 = 5_000 * MS;

/// A disk that could not be read for so long is given up while there is a connection.
pub(super) const HOPELESS: u64 = 60_000 * MS;

/// Messages and bytes in one transaction, of one read, and in memory ahead of their turn. One message and one frame
/// are never cut.
pub(super) const BATCH: usize = 1024;
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// Bytes of what is not written, as they are counted: a slow or broken disk must not fill the memory.
pub(super) const MEMORY: usize = 64 << 20;

/// Labels beyond which those that nobody uses are forgotten.
const LABELS: usize = 1024;

/// A message to be written. A key that is known is overwritten.
#[derive(Debug, Clone)]
pub(in super::super) struct Record {
    pub(in super::super) key: u64,
    pub(in super::super) frame: u64,
    /// When it came, ns since 1970.
    pub(in super::super) born: u64,
    pub(in super::super) draft: Arc<Draft>,
}

/// What a former run has left.
#[derive(Debug)]
pub(in super::super) struct Leftover {
    pub(in super::super) key: u64,
    pub(in super::super) frame: u64,
    /// ns since 1970.
    pub(in super::super) born: u64,
    pub(in super::super) slip: Slip,
}

/// What is to be done at once: all changes in one transaction, then the reading.
#[derive(Debug)]
pub(in super::super) struct Work {
    /// When it was decided.
    pub(in super::super) now: Now,
    pub(in super::super) write: Vec<Record>,
    pub(in super::super) remove: Vec<u64>,
    /// None = as before.
    pub(in super::super) unsaid: Option<Unsaid>,
    pub(in super::super) read: Vec<u64>,
}

/// The part of the outbox that knows the disk.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Messages to be written (again), unless a write is under way.
    pub(super) unsaved: BTreeSet<u64>,
    /// What is on the disk and no longer wanted.
    pub(super) removals: Vec<u64>,
    pub(super) removed_since: Option<u64>,
    /// The gap records may differ from those on the disk, and since when.
    pub(super) unsaid_changed: bool,
    pub(super) unsaid_since: Option<u64>,
    pub(super) unsaid: Unsaid,
    /// Messages on the disk, and their bytes as they are counted.
    pub(super) stored: usize,
    pub(super) stored_bytes: usize,
    /// Bytes of messages that are not on the disk.
    pub(super) memory: usize,
    /// Contents are to be read.
    pub(super) hungry: bool,
    /// On the running clock.
    pub(super) last_commit: Option<u64>,
    pub(super) retry_at: Option<u64>,
    pub(super) unreadable_since: Option<u64>,
    pub(super) labels: HashSet<Arc<Label>>,
    pub(super) errors: u64,
}

impl Shelf {
    pub(super) fn add(&mut self, ticket: u64, size: usize) {
        self.unsaved.insert(ticket);
        self.memory += size;
    }

    /// A message was changed.
    pub(super) fn soil(&mut self, ticket: u64) {
        self.unsaved.insert(ticket);
    }

    /// Gap records have changed.
    pub(super) fn soil_gaps(&mut self) {
        self.unsaid_changed = true;
    }

    /// A message is acknowledged or dropped.
    pub(super) fn forget(&mut self, message: &Message) {
        self.unsaved.remove(&message.ticket);
        if message.on_disk {
            self.stored -= 1;
            self.stored_bytes -= message.size;
            self.removals.push(message.ticket);
        } else {
            self.memory -= message.size;
        }
    }

    pub(super) fn look_ahead(&mut self) {
        self.hungry = true;
    }

    /// Shares the label with others.
    pub(super) fn label(&mut self, slip: &mut Slip) {
        if let Some(known) = self.labels.get(&slip.label) {
            slip.label = Arc::clone(known);
            return;
        }
        if self.labels.len() >= LABELS {
            self.labels.retain(|label| Arc::strong_count(label) > 1);
        }
        self.labels.insert(Arc::clone(&slip.label));
    }
}

impl Work {
    /// Whether anything is to be changed.
    pub(in super::super) fn commits(&self) -> bool {
        !self.write.is_empty() || !self.remove.is_empty() || self.unsaid.is_some()
    }
}
