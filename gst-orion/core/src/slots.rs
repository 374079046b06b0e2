// SPDX-License-Identifier: MPL-2.0
//! Who owns which slot of the memory that the host shares with a worker. A slot belongs to one side at a time: the message
//! of a frame lends it to the worker, the answer to that frame gives it back.
//!
//! Only the host keeps this book, so that nothing a worker says can put it out of order.

use std::collections::VecDeque;

use thiserror::Error;

/// Why a slot cannot come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SlotError {
    /// There is no such slot.
    #[error("there is no slot {slot}, only 0 to {}", count.saturating_sub(1))]
    Unknown {
        /// Its number.
        slot: u32,
        /// How many there are.
        count: u32,
    },
    /// The host has it already.
    #[error("slot {0} is not lent")]
    NotLent(u32),
}

/// The slots of one worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// The host's, the one that has been so for longest first.
    free: VecDeque<u32>,
    count: u32,
}

impl Slots {
    /// So many slots, all of them the host's.
    pub fn new(count: u32) -> Self {
        Self { free: (0..count).collect(), count }
    }

    /// There are so many slots from now on, if that is more than before.
    pub fn grow(&mut self, count: u32) {
        self.free.extend(self.count..count);
        self.count = self.count.max(count);
    }

    /// Lends a slot to the worker; none = it has all of them. It is the one that has been back for longest, so that a worker
    /// which lets go of a picture late is likely to still see that picture.
    pub fn lend(&mut self) -> Option<u32> {
        self.free.pop_front()
    }

    /// A slot is the host's again.
    ///
    /// # Errors
    /// [`SlotError`] when it was not lent; then nothing has changed.
    pub fn give_back(&mut self, slot: u32) -> Result<(), SlotError> {
        if slot >= self.count {
            return Err(SlotError::Unknown { slot, count: self.count });
        }
        if self.free.contains(&slot) {
            return Err(SlotError::NotLent(slot));
        }
        self.free.push_back(slot);
        Ok(())
    }

    /// All slots come back, as the worker has ended; how many it had.
    pub fn reclaim(&mut self) -> u32 {
        let lent = self.lent();
        *self = Self::new(self.count);
        lent
    }

    /// How many the worker has.
    pub fn lent(&self) -> u32 {
        self.count - self.free.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slot_belongs_to_one_side_at_a_time() {
        let mut slots = Slots::new(3);
        assert_eq!([slots.lend(), slots.lend(), slots.lend(), slots.lend()], [Some(0), Some(1), Some(2), None]);
        assert_eq!(slots.lent(), 3);
        slots.give_back(1).unwrap();
        assert_eq!((slots.lent(), slots.lend(), slots.lend()), (2, Some(1), None));
    }

    #[test]
    fn the_one_that_came_back_last_is_lent_last() {
        let mut slots = Slots::new(3);
        let first = slots.lend().unwrap();
        slots.give_back(first).unwrap();
        assert_eq!([slots.lend(), slots.lend(), slots.lend()], [Some(1), Some(2), Some(first)]);
    }

    #[test]
    fn what_is_not_lent_cannot_come_back() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.give_back(0), Err(SlotError::NotLent(0)));
        let lent = slots.lend().unwrap();
        slots.give_back(lent).unwrap();
        assert_eq!(slots.give_back(lent), Err(SlotError::NotLent(lent)), "twice");
        let error = slots.give_back(7).unwrap_err();
        assert_eq!(error.to_string(), "there is no slot 7, only 0 to 1");
        assert_eq!((slots.lent(), slots.lend(), slots.lend(), slots.lend()), (0, Some(1), Some(0), None));
    }

    #[test]
    fn the_slots_of_a_dead_worker_come_back() {
        let mut slots = Slots::new(3);
        slots.lend();
        slots.lend();
        assert_eq!((slots.reclaim(), slots.lent(), slots.reclaim()), (2, 0, 0));
        assert_eq!(slots, Slots::new(3));
    }

    #[test]
    fn there_may_be_more_of_them_later() {
        let mut slots = Slots::new(1);
        assert_eq!((slots.lend(), slots.lend()), (Some(0), None));
        slots.grow(3);
        slots.grow(2);
        assert_eq!((slots.lent(), slots.lend(), slots.lend(), slots.lend()), (1, Some(1), Some(2), None));
        slots.give_back(0).unwrap();
        assert_eq!(slots.reclaim(), 2);
        assert_eq!(slots, Slots::new(3));
    }

    proptest! {
        #[test]
        fn no_order_of_events_lends_a_slot_twice(events in prop::collection::vec((any::<bool>(), 0u32..5), 0..200)) {
            let mut slots = Slots::new(3);
            let mut worker = Vec::new();
            for (lend, slot) in events {
                if lend {
                    let lent = slots.lend();
                    prop_assert_eq!(lent.is_none(), worker.len() == 3);
                    prop_assert!(lent.is_none_or(|lent| lent < 3 && !worker.contains(&lent)));
                    worker.extend(lent);
                } else {
                    prop_assert_eq!(slots.give_back(slot).is_ok(), worker.contains(&slot));
                    worker.retain(|lent| *lent != slot);
                }
                prop_assert_eq!(slots.lent() as usize, worker.len());
            }
        }
    }
}
