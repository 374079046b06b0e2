// SPDX-License-Identifier: MPL-2.0
//! Puts results that come in any order back into the order of their frames.

use std::collections::VecDeque;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Slot<T> {
    Pending(u64),
    Done(T),
}

/// A queue whose items may be promised first and delivered later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reorder<T> {
    slots: VecDeque<Slot<T>>,
    next: u64,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { slots: VecDeque::new(), next: 0 }
    }
}

impl<T> Reorder<T> {
    /// Appends an item that is there already.
    pub fn push(&mut self, item: T) {
        self.slots.push_back(Slot::Done(item));
    }

    /// The item that was appended last, if it is there.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        match self.slots.back_mut() {
            Some(Slot::Done(item)) => Some(item),
            _ => None,
        }
    }

    /// Appends a promise; its ticket fulfils it.
    pub fn promise(&mut self) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.slots.push_back(Slot::Pending(ticket));
        ticket
    }

    /// Delivers the item of a promise; false when there is no such promise (any more).
    pub fn fulfil(&mut self, ticket: u64, item: T) -> bool {
        match self.find(ticket) {
            Some(index) => {
                self.slots[index] = Slot::Done(item);
                true
            }
            None => false,
        }
    }

    /// The first item, if it is there.
    pub fn pop(&mut self) -> Option<T> {
        match self.slots.pop_front() {
            Some(Slot::Done(item)) => Some(item),
            Some(pending) => {
                self.slots.push_front(pending);
                None
            }
            None => None,
        }
    }

    /// Whether nothing waits, neither items nor promises.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Forgets all promises and gives back the items that were there.
    pub fn clear(&mut self) -> Vec<T> {
        let items = |slot| match slot {
            Slot::Done(item) => Some(item),
            Slot::Pending(_) => None,
        };
        self.slots.drain(..).filter_map(items).collect()
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.slots.iter().position(|slot| matches!(slot, Slot::Pending(t) if *t == ticket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_the_order_of_their_promises() {
        let mut order = Reorder::default();
        let (a, b, c) = (order.promise(), order.promise(), order.promise());
        assert_eq!(order.last_mut(), None);
        order.push("event");
        assert_eq!(order.last_mut(), Some(&mut "event"));
        assert!(order.fulfil(c, "c"));
        assert_eq!(order.pop(), None);
        assert!(order.fulfil(a, "a"));
        assert_eq!(order.pop(), Some("a"));
        assert_eq!(order.pop(), None);
        assert!(order.fulfil(b, "b"));
        assert!(!order.fulfil(b, "twice"));
        let rest: Vec<_> = std::iter::from_fn(|| order.pop()).collect();
        assert_eq!(rest, ["b", "c", "event"]);
        assert!(order.is_empty());
    }

    #[test]
    fn what_comes_after_a_clear_is_not_mixed_up() {
        let mut order = Reorder::default();
        let old = order.promise();
        order.push("item");
        assert_eq!(order.clear(), ["item"]);
        let new = order.promise();
        assert!(!order.fulfil(old, "late") && order.fulfil(new, "new"));
        assert_eq!(order.pop(), Some("new"));
    }
}
