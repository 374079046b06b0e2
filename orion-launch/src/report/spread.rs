// SPDX-License-Identifier: MPL-2.0
//! How values are spread, in little memory: counts by magnitude, in steps of 2 %.

use std::collections::BTreeMap;

/// Each step is so many times the one before.
const STEP: f64 = 1.02;
/// What is smaller counts as this: a microsecond where values are milliseconds.
const LEAST: f64 = 1e-3;
/// What is larger counts as this.
const MOST: f64 = 1e12;

/// Values that are not negative; a percentile is off by 1 % at most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spread {
    counts: BTreeMap<i16, u64>,
    total: u64,
    sum: f64,
    largest: f64,
}

impl Spread {
    /// Counts a value. What is no number is passed over, what is negative (two clocks may disagree) counts as nothing.
    pub(super) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let value = value.clamp(0.0, MOST);
        let step = (value.max(LEAST).ln() / STEP.ln()).round() as i16;
        *self.counts.entry(step).or_default() += 1;
        self.total += 1;
        self.sum += value;
        self.largest = self.largest.max(value);
    }

    /// Counts all of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (step, count) in &other.counts {
            *self.counts.entry(*step).or_default() += count;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.largest = self.largest.max(other.largest);
    }

    /// How many values.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// None without a value.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.total > 0).then(|| self.sum / self.total as f64)
    }

    /// None without a value.
    pub(super) fn largest(&self) -> Option<f64> {
        (self.total > 0).then_some(self.largest)
    }

    /// The value that this share (0..1) of the values does not exceed; none without a value.
    pub(super) fn percentile(&self, share: f64) -> Option<f64> {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        let step = self.counts.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        step.map(|(step, _)| {
            let value = STEP.powi(i32::from(*step));
            // The first step holds what is next to nothing, and no value exceeds the largest.
            if value < 1.5 * LEAST { 0.0 } else { value.min(self.largest) }
        })
    }

    /// Counts in `bars` equal parts of 0..`end`; what is beyond is in the last. What one step counts is shared among the parts
    /// that it reaches into, as bars of two widths would else make waves.
    pub(super) fn bars(&self, bars: usize, end: f64) -> Vec<f64> {
        let mut all = vec![0.0; bars];
        let (last, width) = (bars.saturating_sub(1), end / bars as f64);
        for (step, count) in &self.counts {
            let middle = f64::from(*step);
            // No value exceeds the largest.
            let from = (STEP.powf(middle - 0.5)).min(self.largest);
            let to = STEP.powf(middle + 0.5).min(self.largest).max(from);
            let first = ((from / width) as usize).min(last);
            for at in first..=((to / width) as usize).min(last) {
                let low = if at == first { from } else { at as f64 * width };
                let high = if at == last { to } else { to.min((at + 1) as f64 * width) };
                let share = if to > from { (high - low) / (to - from) } else { 1.0 };
                if let Some(bar) = all.get_mut(at) {
                    *bar += *count as f64 * share;
                }
                if to <= from {
                    break;
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut spread = Spread::default();
        values.into_iter().for_each(|value| spread.add(value));
        spread
    }

    #[test]
    fn percentiles_are_off_by_a_hundredth_at_most() {
        let spread = of((1..=1000).map(f64::from));
        for (share, exact) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0), (0.0, 1.0)] {
            let found = spread.percentile(share).unwrap();
            assert!((found / exact - 1.0).abs() <= 0.0101, "{share}: {found}");
        }
        assert_eq!((spread.mean(), spread.largest(), spread.total()), (Some(500.5), Some(1000.0), 1000));
        assert_eq!(of([]).percentile(0.5), None);
        assert_eq!(of([0.0, 0.0]).percentile(0.99), Some(0.0));
        assert!((of([7.0]).percentile(0.99).unwrap() / 7.0 - 1.0).abs() <= 0.0101);
    }

    #[test]
    fn odd_values_do_no_harm() {
        let spread = of([f64::NAN, f64::INFINITY, -5.0, f64::NEG_INFINITY, 1e300]);
        assert_eq!((spread.total(), spread.percentile(0.5)), (4, Some(0.0)));
        assert_eq!(spread.largest(), Some(MOST));
    }

    #[test]
    fn parts_make_the_whole_and_memory_is_bounded() {
        let (mut one, other) = (of((0..500).map(f64::from)), of((500..1000).map(f64::from)));
        one.merge(&other);
        assert_eq!(one, of((0..1000).map(f64::from)));
        let bars = one.bars(10, 1000.0);
        assert!((bars.iter().sum::<f64>() - 1000.0).abs() < 1e-6, "{bars:?}");
        assert!(bars.iter().all(|n| (90.0..=110.0).contains(n)), "{bars:?}");
        let beyond = one.bars(4, 10.0);
        assert!((beyond.iter().sum::<f64>() - 1000.0).abs() < 1e-6 && beyond[3] > 980.0, "{beyond:?}");
        assert_eq!(of([0.0, 0.0, 5.0]).bars(2, 5.0), [2.0, 1.0]);
        let many = of((0..400_000).map(|n| f64::from(n) * f64::from(n)));
        assert!(many.counts.len() < 2000);
    }
}
