// SPDX-License-Identifier: MPL-2.0
//! What became of every frame: `received = forwarded + dropped + in flight`, at every element and at any moment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a frame was dropped, or its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The rate that was asked for is lower than the camera's: not a loss.
    RateLimit,
    /// A newer frame took its place in a leaky queue (seen as a gap in the sequence numbers).
    QueueFull,
    /// Older than the age that was asked for.
    TooOld,
    /// Inference is paused.
    Paused,
    /// The picture cannot be decoded.
    DecodeError,
    /// The worker answered with an error, with nonsense, or did not take the frame in time.
    WorkerError,
    /// The worker died or was restarted while it had the frame, or was not back in time.
    WorkerRestart,
    /// There was no connection to the broker, and such results were not to be kept.
    NoConnection,
    /// The broker does not take it: too large, or not permitted.
    Refused,
    /// It waited on the disk and cannot be read again.
    StorageError,
    /// Downstream refused the frame, or a flush or a seek threw it away.
    Flush,
    /// The element was stopped with the frame in hand.
    Shutdown,
}

impl Cause {
    /// All causes, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::RateLimit,
        Self::QueueFull,
        Self::TooOld,
        Self::Paused,
        Self::DecodeError,
        Self::WorkerError,
        Self::WorkerRestart,
        Self::NoConnection,
        Self::Refused,
        Self::StorageError,
        Self::Flush,
        Self::Shutdown,
    ];

    /// The name in `stats`, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::QueueFull => "queue_full",
            Self::TooOld => "too_old",
            Self::Paused => "paused",
            Self::DecodeError => "decode_error",
            Self::WorkerError => "worker_error",
            Self::WorkerRestart => "worker_restart",
            Self::NoConnection => "no_connection",
            Self::Refused => "refused",
            Self::StorageError => "storage_error",
            Self::Flush => "flush",
            Self::Shutdown => "shutdown",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Frames dropped, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Losses([u64; Cause::ALL.len()]);

impl Losses {
    /// Counts `frames` under `cause`.
    pub fn add(&mut self, cause: Cause, frames: u64) {
        self.0[cause.index()] += frames;
    }

    /// The count of one cause.
    pub fn get(&self, cause: Cause) -> u64 {
        self.0[cause.index()]
    }

    /// The sum over all causes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The causes that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.into_iter().map(|c| (c, self.get(c))).filter(|(_, n)| *n > 0)
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (cause, frames) in other.iter() {
            self.add(cause, frames);
        }
    }

    /// Takes the counts and starts again at zero.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// The book of one element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    received: u64,
    forwarded: u64,
    dropped: Losses,
}

impl Ledger {
    /// A frame came in.
    pub fn receive(&mut self) {
        self.received += 1;
    }

    /// A frame went out.
    pub fn forward(&mut self) {
        self.forwarded += 1;
    }

    /// A frame that came in will not go out.
    pub fn drop_frame(&mut self, cause: Cause) {
        self.dropped.add(cause, 1);
    }

    /// Of what is inside, only `staying` frames may still go out; how many will not.
    pub fn drop_all_but(&mut self, staying: u64, cause: Cause) -> u64 {
        let frames = self.in_flight().saturating_sub(staying);
        self.dropped.add(cause, frames);
        frames
    }

    /// `frames` were lost on the way to this element; they count as received and dropped, so that the book still adds up.
    pub fn lost_upstream(&mut self, frames: u64) {
        self.received += frames;
        self.dropped.add(Cause::QueueFull, frames);
    }

    /// Frames that came in, with those known to be lost just before.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Frames that went out.
    pub fn forwarded(&self) -> u64 {
        self.forwarded
    }

    /// Frames that will not go out.
    pub fn dropped(&self) -> &Losses {
        &self.dropped
    }

    /// Frames that are still inside.
    pub fn in_flight(&self) -> u64 {
        self.received.saturating_sub(self.forwarded + self.dropped.total())
    }
}

/// Finds frames lost upstream from gaps in the sequence numbers of each instance.
#[derive(Debug, Clone, Default)]
pub struct GapFinder {
    last: BTreeMap<String, u64>,
}

impl GapFinder {
    /// How many numbers of this instance were skipped before `seq`. The first number, a repeat or a step back counts as no
    /// gap.
    pub fn gap_before(&mut self, instance: &str, seq: u64) -> u64 {
        match self.last.get_mut(instance) {
            Some(last) => {
                let gap = if seq > *last { seq - *last - 1 } else { 0 };
                *last = seq;
                gap
            }
            None => {
                self.last.insert(instance.to_owned(), seq);
                0
            }
        }
    }

    /// Forgets the last numbers (after a flush, numbers jump for other reasons).
    pub fn reset(&mut self) {
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_at_every_step() {
        let mut ledger = Ledger::default();
        for _ in 0..5 {
            ledger.receive();
        }
        assert_eq!(ledger.in_flight(), 5);
        ledger.forward();
        ledger.drop_frame(Cause::WorkerError);
        ledger.lost_upstream(3);
        assert_eq!(ledger.received(), 8);
        assert_eq!(ledger.dropped().total(), 4);
        assert_eq!(ledger.in_flight(), 3);
        let mut stopped = ledger;
        assert_eq!((stopped.drop_all_but(1, Cause::Shutdown), stopped.in_flight()), (2, 1));
        assert_eq!((stopped.drop_all_but(0, Cause::Shutdown), stopped.in_flight()), (1, 0));
        assert_eq!(ledger.dropped().iter().collect::<Vec<_>>(), [(Cause::QueueFull, 3), (Cause::WorkerError, 1)]);
    }

    #[test]
    fn every_cause_has_its_own_counter_and_name() {
        let mut losses = Losses::default();
        for (n, cause) in Cause::ALL.into_iter().enumerate() {
            losses.add(cause, n as u64 + 1);
        }
        for (n, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(losses.get(cause), n as u64 + 1);
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
        let mut twice = losses;
        twice.merge(&losses);
        assert_eq!(twice.total(), 156);
        assert_eq!(losses.take().total(), 78);
        assert_eq!(losses.total(), 0);
    }

    #[test]
    fn gaps_are_found_between_rising_numbers_only() {
        let mut gaps = GapFinder::default();
        assert_eq!(gaps.gap_before("a", 7), 0, "the first number may be any");
        assert_eq!(gaps.gap_before("a", 8), 0);
        assert_eq!(gaps.gap_before("b", 100), 0, "another camera counts for itself");
        assert_eq!(gaps.gap_before("a", 12), 3);
        assert_eq!(gaps.gap_before("a", 12), 0);
        assert_eq!(gaps.gap_before("a", 0), 0, "numbering began anew");
        assert_eq!(gaps.gap_before("b", 102), 1);
        gaps.reset();
        assert_eq!(gaps.gap_before("a", 30), 0);
    }
}
