// SPDX-License-Identifier: MPL-2.0
//! The record of results that will never be published: which frames, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ledger::Cause, timestamp};

/// The `type` of a gap record, and the last part of its topic.
pub const GAP_TYPE: &str = "gap";

/// Ranges kept in one record; beyond that the two nearest become one, which then says how many of its numbers are meant.
pub const MAX_RANGES: usize = 1000;

/// Sequence numbers from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeqRange {
    /// The first number.
    pub first: u64,
    /// The last number, never below the first.
    pub last: u64,
    /// How many of them are missing here: all of them, unless a long list had to be shortened.
    #[schemars(range(min = 1))]
    pub frames: u64,
}

/// Sequence numbers in the order in which they were lost, kept short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("maxItems" = MAX_RANGES))]
pub struct SeqRanges(Vec<SeqRange>);

impl SeqRanges {
    /// Adds one number behind the others. One that does not follow them (a new stream counts anew) begins a new range.
    pub fn add(&mut self, seq: u64) {
        self.append(SeqRange { first: seq, last: seq, frames: 1 });
    }

    /// Adds all of another behind these.
    pub fn extend(&mut self, other: &Self) {
        for range in &other.0 {
            self.append(*range);
        }
    }

    fn append(&mut self, next: SeqRange) {
        if let Some(end) = self.0.last_mut()
            && end.last.checked_add(1) == Some(next.first)
            && end.is_whole()
            && next.is_whole()
        {
            end.last = next.last;
            end.frames += next.frames;
            return;
        }
        self.0.push(next);
        if self.0.len() > MAX_RANGES {
            self.shorten();
        }
    }

    /// Makes one of the two rising neighbours with the smallest distance; of the first two if none rise.
    fn shorten(&mut self) {
        let distance = |pair: &[SeqRange]| pair[1].first.checked_sub(pair[0].last);
        let nearest = (0..self.0.len() - 1).min_by_key(|at| distance(&self.0[*at..=*at + 1]).unwrap_or(u64::MAX));
        let at = nearest.unwrap_or_default();
        let next = self.0.remove(at + 1);
        let range = &mut self.0[at];
        range.first = range.first.min(next.first);
        range.last = range.last.max(next.last);
        range.frames += next.frames;
    }

    /// How many numbers in all.
    pub fn frames(&self) -> u64 {
        self.0.iter().map(|range| range.frames).sum()
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[SeqRange] {
        &self.0
    }
}

impl SeqRange {
    fn is_whole(&self) -> bool {
        self.last.checked_sub(self.first).and_then(|n| n.checked_add(1)) == Some(self.frames)
    }
}

/// Results that were made and will never be published. It goes out before what waits, which may be older than what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Always `gap`.
    #[serde(rename = "type")]
    #[schemars(extend("const" = GAP_TYPE))]
    pub kind: String,
    /// Name of the pipeline whose results are missing.
    #[schemars(regex(pattern = crate::contract::INSTANCE_ID))]
    pub instance_id: String,
    /// The room, as in the results; empty when none was named.
    pub room_id: String,
    /// When this was said: RFC 3339 with nanoseconds, UTC.
    #[schemars(extend("format" = "date-time"), regex(pattern = timestamp::PATTERN))]
    pub timestamp: String,
    /// `type` of the missing results.
    #[schemars(regex(pattern = crate::contract::RESULT_TYPE))]
    pub missing_type: String,
    /// Why they are missing.
    pub cause: Cause,
    /// How many.
    #[schemars(range(min = 1))]
    pub frames: u64,
    /// Their sequence numbers (`frame_seq`), in the order in which they were lost.
    #[schemars(length(min = 1))]
    pub ranges: SeqRanges,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(numbers: impl IntoIterator<Item = u64>) -> SeqRanges {
        let mut ranges = SeqRanges::default();
        numbers.into_iter().for_each(|seq| ranges.add(seq));
        ranges
    }

    fn shown(ranges: &SeqRanges) -> Vec<(u64, u64, u64)> {
        ranges.as_slice().iter().map(|r| (r.first, r.last, r.frames)).collect()
    }

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        let mut seen = ranges([3, 4, 5, 9, 11, 12, 0, 1]);
        assert_eq!(shown(&seen), [(3, 5, 3), (9, 9, 1), (11, 12, 2), (0, 1, 2)]);
        assert_eq!(seen.frames(), 8);
        seen.extend(&ranges([2, 3, 7]));
        assert_eq!(shown(&seen)[3..], [(0, 3, 4), (7, 7, 1)]);
        assert_eq!(shown(&ranges([u64::MAX, 0])), [(u64::MAX, u64::MAX, 1), (0, 0, 1)]);
    }

    #[test]
    fn a_long_list_stays_short_and_says_so() {
        let every_third = ranges((0..5000).map(|n| n * 3));
        assert_eq!(every_third.as_slice().len(), MAX_RANGES);
        assert_eq!(every_third.frames(), 5000, "none is forgotten");
        assert!(every_third.as_slice().iter().any(|range| !range.is_whole()));
        assert_eq!(every_third.as_slice().last().unwrap().last, 4999 * 3);
        let falling = ranges((0..2000).rev().map(|n| n * 3));
        assert_eq!((falling.as_slice().len(), falling.frames()), (MAX_RANGES, 2000));
    }

    #[test]
    fn the_record_reads_as_documented() {
        let gap = Gap {
            kind: GAP_TYPE.into(),
            instance_id: "ward-3".into(),
            room_id: "7".into(),
            timestamp: "2026-11-22T08:00:00.000000001Z".into(),
            missing_type: "person_detection".into(),
            cause: Cause::QueueFull,
            frames: 2,
            ranges: ranges([8, 9]),
        };
        let json = serde_json::to_value(&gap).unwrap();
        assert_eq!(json["type"], "gap");
        assert_eq!(json["cause"], "queue_full");
        assert_eq!(json["ranges"], serde_json::json!([{"first": 8, "last": 9, "frames": 2}]));
        assert_eq!(serde_json::from_value::<Gap>(json).unwrap(), gap);
    }
}
