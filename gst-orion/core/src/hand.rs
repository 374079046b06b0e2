// SPDX-License-Identifier: MPL-2.0
//! The frames that a worker has in hand: the one it works on, and the next one on its way.
//!
//! A worker answers in the order of its frames. A frame leaves the hand when it is answered *and* written: one that was
//! answered before it was read still fills the pipe.

use std::collections::VecDeque;

/// How many frames a worker may have in hand. The second one is decoded while the first is inferred.
pub const DEPTH: usize = 2;

#[derive(Debug)]
struct Slot<T> {
    seq: u64,
    /// None once it was answered or given up.
    item: Option<T>,
    written: bool,
    answered: bool,
}

/// What an answer was about.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// Frames before it, which will not be answered any more.
    pub passed_over: Vec<T>,
    /// The frame that was answered; none = it had been given up.
    pub item: Option<T>,
}

/// The frames of one worker process.
#[derive(Debug)]
pub struct Hand<T> {
    slots: VecDeque<Slot<T>>,
}

impl<T> Default for Hand<T> {
    fn default() -> Self {
        Self { slots: VecDeque::new() }
    }
}

impl<T> Hand<T> {
    /// How many frames it has.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether another frame may be sent.
    pub fn has_room(&self) -> bool {
        self.slots.len() < DEPTH
    }

    /// A frame is on its way.
    pub fn push(&mut self, seq: u64, item: T) {
        self.slots.push_back(Slot { seq, item: Some(item), written: false, answered: false });
    }

    /// The sequence number of the frame that is to be answered next.
    pub fn due(&self) -> Option<u64> {
        self.slots.iter().find(|slot| !slot.answered).map(|slot| slot.seq)
    }

    /// The frame that is to be answered next, unless it was given up.
    pub fn front(&self) -> Option<&T> {
        self.slots.iter().find(|slot| !slot.answered).and_then(|slot| slot.item.as_ref())
    }

    /// Whether the oldest frame is still on its way into the pipe.
    pub fn is_front_unwritten(&self) -> bool {
        self.slots.front().is_some_and(|slot| !slot.written)
    }

    /// The oldest frame that was not written yet has been written now.
    pub fn written(&mut self) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| !slot.written) {
            slot.written = true;
        }
    }

    /// The worker answered a frame; without a number it can only be the one that was due. None = no frame in hand.
    pub fn answered(&mut self, seq: Option<u64>) -> Option<Answered<T>> {
        let due = self.slots.iter().position(|slot| !slot.answered)?;
        let answered = match seq {
            // It cannot be about a frame that the worker has not begun to read.
            None if self.slots.range(..due).any(|slot| !slot.written) => return None,
            None => due,
            Some(seq) => self.slots.iter().position(|slot| !slot.answered && slot.seq == seq)?,
        };
        let mut items = self.slots.range_mut(due..=answered).map(|slot| {
            slot.answered = true;
            slot.item.take()
        });
        let item = items.next_back().flatten();
        Some(Answered { passed_over: items.flatten().collect(), item })
    }

    /// Gives up the oldest frame, which the worker may still answer.
    pub fn give_up(&mut self) -> Option<T> {
        self.slots.front_mut().and_then(|slot| slot.item.take())
    }

    /// Lets go of frames that are answered and written; how many.
    pub fn release(&mut self) -> usize {
        let before = self.slots.len();
        while self.slots.front().is_some_and(|slot| slot.answered && slot.written) {
            self.slots.pop_front();
        }
        before - self.slots.len()
    }

    /// Empties the hand after the worker's end: the frame it worked on, and those it had not begun.
    pub fn clear(&mut self) -> (Option<T>, Vec<T>) {
        let mut slots = self.slots.drain(..).filter(|slot| !slot.answered);
        let worked_on = slots.next().and_then(|slot| slot.item);
        (worked_on, slots.filter_map(|slot| slot.item).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Hand<&'static str> {
        let mut hand = Hand::default();
        hand.push(7, "seven");
        assert!(hand.has_room() && hand.is_front_unwritten());
        hand.push(8, "eight");
        assert!(!hand.has_room());
        hand
    }

    #[test]
    fn frames_are_answered_in_their_order() {
        let mut hand = two();
        hand.written();
        hand.written();
        assert_eq!((hand.due(), hand.front()), (Some(7), Some(&"seven")));
        assert_eq!(hand.answered(Some(7)), Some(Answered { passed_over: vec![], item: Some("seven") }));
        assert_eq!(hand.release(), 1);
        assert_eq!(hand.answered(None), Some(Answered { passed_over: vec![], item: Some("eight") }));
        assert_eq!((hand.release(), hand.is_empty()), (1, true));
        assert_eq!(hand.answered(Some(8)), None, "twice");
        assert_eq!(hand.answered(None), None);
    }

    #[test]
    fn a_frame_that_is_passed_over_is_told() {
        let mut hand = two();
        assert_eq!(hand.answered(Some(99)), None);
        assert_eq!(hand.answered(Some(8)), Some(Answered { passed_over: vec!["seven"], item: Some("eight") }));
        assert_eq!(hand.answered(Some(7)), None, "too late");
    }

    #[test]
    fn what_is_answered_before_it_is_read_keeps_its_place_until_then() {
        let mut hand = two();
        assert_eq!(hand.answered(Some(7)), Some(Answered { passed_over: vec![], item: Some("seven") }));
        assert_eq!((hand.release(), hand.len()), (0, 2));
        assert_eq!(hand.answered(None), None, "the second one was not even begun");
        assert_eq!(hand.due(), Some(8));
        hand.written();
        assert_eq!((hand.release(), hand.len(), hand.is_front_unwritten()), (1, 1, true));
    }

    #[test]
    fn a_frame_that_was_given_up_may_still_be_answered() {
        let mut hand = two();
        assert_eq!(hand.give_up(), Some("seven"));
        assert_eq!(hand.give_up(), None);
        assert_eq!((hand.due(), hand.front()), (Some(7), None));
        assert_eq!(hand.answered(Some(7)), Some(Answered { passed_over: vec![], item: None }));
    }

    #[test]
    fn after_the_end_only_the_frame_in_work_is_to_blame() {
        assert_eq!(two().clear(), (Some("seven"), vec!["eight"]));
        let mut hand = two();
        hand.answered(Some(7));
        assert_eq!(hand.clear(), (Some("eight"), vec![]));
        assert_eq!(hand.clear(), (None, vec![]));
    }
}
