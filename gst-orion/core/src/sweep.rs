// SPDX-License-Identifier: MPL-2.0
//! Never blind for long: when the whole frame has to be looked at, whatever the regions say.

use std::collections::{BTreeMap, VecDeque};

/// Answers whose distances are remembered.
const KEPT: usize = 8;

/// Keeps track of full frames that were really inferred.
///
/// All times are in ns of one clock, that of the frames. A full frame that is planned may still be dropped in a queue, so
/// only a worker's answer counts; until the first answer of all (or where no element tells), planning it is all one can do.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// The last full frame that each kind of worker answered.
    swept: BTreeMap<String, u64>,
    answers: VecDeque<u64>,
    planned: Option<u64>,
    /// The first full frame that was planned since the last one known to be inferred.
    open: Option<u64>,
    last_frame: Option<u64>,
    step: u64,
    told: bool,
}

impl Sweep {
    /// Whether the frame at `now` has to be a full one so that no longer than `max_blind` (0 = off) passes without one.
    pub fn is_due(&mut self, now: u64, max_blind: u64) -> bool {
        if self.last_frame.is_some_and(|last| now < last) {
            // The stream jumped back, so the times known mean nothing.
            *self = Self { told: self.told, ..Self::default() };
        }
        if let Some(last) = self.last_frame {
            self.step = now - last;
        }
        self.last_frame = Some(now);
        if max_blind == 0 {
            return false;
        }
        // One that is under way may have been dropped; the next chance comes one step later, and if that is too late, it
        // has to be now.
        self.last().is_none_or(|last| {
            (self.told && self.open.is_some()) || now.saturating_sub(last).saturating_add(self.stride()) > max_blind
        })
    }

    /// A full frame was planned at `now`.
    pub fn planned(&mut self, now: u64) {
        self.planned = Some(now);
        self.open = self.open.or(Some(now));
    }

    /// A worker of this kind answered the frame of that time.
    pub fn answered(&mut self, kind: &str, time: u64, full_frame: bool) {
        self.told = true;
        if self.answers.back().is_none_or(|last| time > *last) {
            if self.answers.len() == KEPT {
                self.answers.pop_front();
            }
            self.answers.push_back(time);
        }
        if full_frame {
            let swept = self.swept.entry(kind.to_owned()).or_insert(time);
            *swept = time.max(*swept);
            if self.open.is_some_and(|open| self.last().is_some_and(|last| last >= open)) {
                self.open = None;
            }
        }
    }

    /// How long ago, at `now`, the last full frame was; none = there was none yet.
    pub fn since(&self, now: u64) -> Option<u64> {
        self.last().map(|last| now.saturating_sub(last))
    }

    /// The full frame that the slowest kind of worker saw last.
    fn last(&self) -> Option<u64> {
        if self.told { self.swept.values().min().copied() } else { self.planned }
    }

    /// The time until the next frame is likely to be inferred: frames may be dropped between two that are.
    fn stride(&self) -> u64 {
        let distances = self.answers.iter().zip(self.answers.iter().skip(1)).map(|(a, b)| b - a);
        distances.max().unwrap_or(0).max(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Plays frames at `period` through a queue of which every `nth` is answered `delay` later; the longest time between two
    /// answered full frames, and the share of full frames among the answered.
    fn play(period: u64, nth: u64, delay: u64, max_blind: u64) -> (u64, f64) {
        let mut sweep = Sweep::default();
        let mut answers: VecDeque<(u64, u64, bool)> = VecDeque::new();
        let (mut last, mut worst, mut full, mut all) = (None, 0, 0, 0);
        for n in 0..3000 {
            let now = n * period;
            while let Some((due, time, swept)) = answers.front().copied().filter(|(due, ..)| *due <= now) {
                let _ = due;
                answers.pop_front();
                sweep.answered("person_detection", time, swept);
            }
            let due = sweep.is_due(now, max_blind);
            if due {
                sweep.planned(now);
            }
            if n % nth == 0 {
                answers.push_back((now + delay, now, due));
                all += 1;
                if due {
                    full += 1;
                    worst = worst.max(now - last.unwrap_or(now));
                    last = Some(now);
                }
            }
        }
        (worst, f64::from(full) / f64::from(all))
    }

    #[test]
    fn no_longer_than_asked_for_at_any_rate() {
        for (period, nth, delay) in [
            (33 * MS, 1, 20 * MS),
            (33 * MS, 7, 200 * MS),
            (200 * MS, 1, 50 * MS),
            (1000 * MS, 1, 900 * MS),
            (33 * MS, 30, 1000 * MS),
            (5000 * MS, 1, 100 * MS),
        ] {
            let (worst, share) = play(period, nth, delay, 5000 * MS);
            assert!(worst <= 5000 * MS, "{} ms at {period} / {nth}", worst / MS);
            if period * nth <= 1000 * MS {
                assert!(share <= 0.5, "{share} of the frames are swept at {period} / {nth}");
            }
        }
    }

    #[test]
    fn zero_turns_it_off_and_a_jump_back_begins_anew() {
        let mut sweep = Sweep::default();
        assert!(!sweep.is_due(0, 0));
        assert!(sweep.is_due(10 * MS, 100 * MS), "nothing was seen yet");
        sweep.planned(10 * MS);
        assert!(!sweep.is_due(20 * MS, 100 * MS));
        assert_eq!(sweep.since(20 * MS), Some(10 * MS));
        assert!(sweep.is_due(5 * MS, 100 * MS));
    }

    #[test]
    fn a_planned_sweep_counts_only_until_workers_tell() {
        let mut sweep = Sweep::default();
        assert!(sweep.is_due(0, 100 * MS));
        sweep.planned(0);
        sweep.answered("person_detection", 0, true);
        assert!(!sweep.is_due(50 * MS, 200 * MS));
        assert!(sweep.is_due(160 * MS, 200 * MS));
        sweep.planned(160 * MS);
        assert!(sweep.is_due(170 * MS, 200 * MS), "the one before may have been dropped");
        sweep.answered("person_detection", 170 * MS, true);
        // Another kind that has not seen a full frame for longer decides.
        sweep.answered("motion_detection", 20 * MS, true);
        assert_eq!(sweep.since(180 * MS), Some(160 * MS));
    }
}
