// SPDX-License-Identifier: MPL-2.0
//! Frames that went to the worker and have not come back.

use std::collections::{BTreeMap, VecDeque};

use orion_core::ledger::Cause;

/// Frames by their sequence number, which rises. The element in between keeps their order.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    frames: VecDeque<(u64, T)>,
    received: u64,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { frames: VecDeque::new(), received: 0 }
    }
}

impl<T> Waiting<T> {
    /// A frame goes to the worker.
    pub(super) fn add(&mut self, seq: u64, frame: T) {
        self.frames.push_back((seq, frame));
        self.received += 1;
    }

    /// The frame of this number has come back; those before it never will.
    pub(super) fn back(&mut self, seq: u64) -> Vec<(u64, T)> {
        let lost = self.frames.iter().take_while(|(waiting, _)| *waiting < seq).count();
        let lost = self.frames.drain(..lost).collect();
        if self.frames.front().is_some_and(|(waiting, _)| *waiting == seq) {
            self.frames.pop_front();
        }
        lost
    }

    /// None of them will come back.
    pub(super) fn end(&mut self) -> Vec<(u64, T)> {
        self.frames.drain(..).collect()
    }

    /// How many frames there were.
    pub(super) fn received(&self) -> u64 {
        self.received
    }
}

/// A cause for each of `frames` lost frames, by the counts that the element gives for all of them.
pub(super) fn causes(lost: &BTreeMap<String, u64>, frames: usize) -> Vec<Cause> {
    let named = |name: &str| Cause::ALL.into_iter().find(|cause| cause.as_str() == name);
    let known = lost.iter().filter_map(|(name, count)| Some((named(name)?, *count)));
    let mut causes: Vec<_> = known
        .flat_map(|(cause, count)| std::iter::repeat_n(cause, count.try_into().unwrap_or(usize::MAX)).take(frames))
        .collect();
    // What nobody gives a cause for was in hand when it ended.
    causes.resize(frames, Cause::Shutdown);
    causes
}

/// What `all` counts beyond `known`.
pub(super) fn beyond(all: &BTreeMap<String, u64>, known: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let rest = |(cause, count): (&String, &u64)| {
        let more = count.saturating_sub(known.get(cause).copied().unwrap_or_default());
        (more > 0).then(|| (cause.clone(), more))
    };
    all.iter().filter_map(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
        entries.iter().map(|(cause, count)| ((*cause).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_older_than_a_result_is_lost() {
        let mut waiting = Waiting::default();
        for seq in 0..7 {
            waiting.add(seq, seq * 10);
        }
        assert_eq!(waiting.back(0), []);
        assert_eq!(waiting.back(3), [(1, 10), (2, 20)]);
        assert_eq!(waiting.back(4), []);
        assert_eq!((waiting.end(), waiting.received()), (vec![(5, 50), (6, 60)], 7));
        assert_eq!(waiting.back(9), [], "nothing waits");
    }

    #[test]
    fn each_lost_frame_has_a_cause() {
        use Cause::{Shutdown, TooOld, WorkerError};
        assert_eq!(causes(&counts(&[("worker_error", 1), ("too_old", 1)]), 2), [TooOld, WorkerError]);
        assert_eq!(causes(&counts(&[("worker_error", 1)]), 3), [WorkerError, Shutdown, Shutdown]);
        assert_eq!(causes(&counts(&[("worker_error", u64::MAX)]), 1), [WorkerError]);
        assert_eq!(causes(&counts(&[("what", 5)]), 1), [Shutdown]);
        let (all, known) = (counts(&[("a", 5), ("b", 1)]), counts(&[("a", 3), ("b", 1), ("c", 9)]));
        assert_eq!(beyond(&all, &known), counts(&[("a", 2)]));
    }
}
