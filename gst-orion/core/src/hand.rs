// SPDX-License-Identifier: MPL-2.0
//! The frames that a worker has in hand: the one it works on, and the next one on its way. One that runs frames of several
//! cameras as one batch works on up to so many, and as many more are on their way.
//!
//! A worker answers in the order of its frames. A frame leaves the hand when it is answered *and* written: one that was
//! answered before it was read still fills the pipe.

use std::collections::VecDeque;

/// How many frames a worker may have in hand. The second one is decoded while the first is inferred.
/// That is also how many frames of one camera it may have, whatever the size of its batches.
pub const DEPTH: usize = 2;

/// The largest batch that is made use of; a worker that allows more gets no more.
pub const MAX_BATCH: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hand<T> {
    slots: VecDeque<Slot<T>>,
    /// How many of them, the oldest ones, the worker is believed to work on.
    working: usize,
    /// How many frames the worker takes at once.
    batch: usize,
}

impl<T> Default for Hand<T> {
    fn default() -> Self {
        Self { slots: VecDeque::new(), working: 0, batch: 1 }
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

    /// The worker takes up to so many frames at once, 1 to [`MAX_BATCH`].
    pub fn set_batch(&mut self, batch: usize) {
        self.batch = batch.clamp(1, MAX_BATCH);
    }

    /// How many frames it takes at once.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// How many more frames may be sent: as many as make the next batch.
    pub fn room(&self) -> usize {
        (self.working.max(1) + self.batch).saturating_sub(self.slots.len())
    }

    /// The frames in hand that are not answered and not given up, the oldest first.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter(|slot| !slot.answered).filter_map(|slot| slot.item.as_ref())
    }

    /// A frame is on its way.
    pub fn push(&mut self, seq: u64, item: T) {
        self.slots.push_back(Slot { seq, item: Some(item), written: false, answered: false });
        // It is not waited for others.
        self.working = self.working.max(1);
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
        let released = before - self.slots.len();
        self.working = self.working.saturating_sub(released);
        if self.working == 0 {
            // It goes on with what is there.
            self.working = self.slots.len().min(self.batch);
        }
        released
    }

    /// Empties the hand after the worker's end: the frames it worked on, and those it had not begun.
    pub fn clear(&mut self) -> (Vec<T>, Vec<T>) {
        let answered = self.slots.iter().take_while(|slot| slot.answered).count();
        // One that was answered before it was read is not what it worked on.
        let worked_on = self.working.saturating_sub(answered).max(1);
        self.working = 0;
        let mut slots = self.slots.drain(..).filter(|slot| !slot.answered);
        let worked_on = slots.by_ref().take(worked_on).filter_map(|slot| slot.item).collect();
        (worked_on, slots.filter_map(|slot| slot.item).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Hand<&'static str> {
        let mut hand = Hand::default();
        hand.push(7, "seven");
        assert!(hand.room() == 1 && hand.is_front_unwritten());
        hand.push(8, "eight");
        assert_eq!(hand.room(), 0);
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
        assert_eq!(two().clear(), (vec!["seven"], vec!["eight"]));
        let mut hand = two();
        hand.answered(Some(7));
        assert_eq!(hand.clear(), (vec!["eight"], vec![]));
        assert_eq!(hand.clear(), (vec![], vec![]));
    }

    #[test]
    fn one_that_takes_several_at_once_gets_as_many_more_as_make_the_next_batch() {
        let mut hand = Hand::default();
        hand.set_batch(3);
        for seq in 0..4 {
            assert_eq!(hand.room(), 4 - seq as usize, "it works on the first one, three may wait");
            hand.push(seq, seq);
            hand.written();
        }
        assert_eq!(hand.room(), 0);
        hand.answered(Some(0));
        assert_eq!((hand.release(), hand.room()), (1, 3), "now it works on three");
        for seq in 4..7 {
            hand.push(seq, seq);
            hand.written();
        }
        assert_eq!((hand.len(), hand.room()), (6, 0));
        hand.answered(Some(1));
        assert_eq!((hand.release(), hand.room()), (1, 0), "the rest of the batch comes at once");
        assert_eq!(hand.items().copied().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert_eq!(hand.clear(), (vec![2, 3], vec![4, 5, 6]), "all that it worked on is lost with it");
        assert_eq!(hand.room(), 4);
    }

    #[test]
    fn no_batch_is_larger_than_the_largest_or_smaller_than_one_frame() {
        let mut hand = Hand::<()>::default();
        assert_eq!(hand.batch(), 1);
        hand.set_batch(1000);
        assert_eq!(hand.batch(), MAX_BATCH);
        hand.set_batch(0);
        assert_eq!((hand.batch(), hand.room()), (1, DEPTH));
    }
}
