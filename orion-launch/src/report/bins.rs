// SPDX-License-Identifier: MPL-2.0
//! Values over time in little memory: as many parts of time as fit, of one length, which doubles when more would be needed.

use std::collections::BTreeMap;

/// Parts at most.
const MOST: i64 = 240;
/// The shortest part, ms.
const SHORTEST: i64 = 100;

/// What a part of time is told in.
pub(super) trait Part: Default {
    /// Takes over all of the part that follows.
    fn merge(&mut self, next: Self);
}

/// Parts of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins<T> {
    parts: BTreeMap<i64, T>,
    length: i64,
}

impl<T> Default for Bins<T> {
    fn default() -> Self {
        Self { parts: BTreeMap::new(), length: SHORTEST }
    }
}

impl<T: Part> Bins<T> {
    /// The part that holds that moment, ms; it need not be later than others.
    pub(super) fn at(&mut self, time: i64) -> &mut T {
        loop {
            let index = time.div_euclid(self.length);
            let first = self.parts.keys().next().map_or(index, |first| *first.min(&index));
            let last = self.parts.keys().next_back().map_or(index, |last| *last.max(&index));
            if last - first < MOST {
                return self.parts.entry(index).or_default();
            }
            self.coarsen();
        }
    }

    /// Makes parts of twice the length.
    fn coarsen(&mut self) {
        self.length *= 2;
        for (index, part) in std::mem::take(&mut self.parts) {
            self.parts.entry(index.div_euclid(2)).or_default().merge(part);
        }
    }

    /// Makes parts longer until each holds so many of `total` things in the mean, as long as a dozen is left.
    pub(super) fn settle(&mut self, total: u64, each: u64) {
        while self.span().is_some_and(|(first, last)| (last - first) / self.length > 24)
            && total < each * self.parts_in_all()
        {
            self.coarsen();
        }
    }

    fn parts_in_all(&self) -> u64 {
        self.span().map_or(0, |(first, last)| ((last - first) / self.length).unsigned_abs())
    }

    /// Begin of the first part, and end of the last, ms.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        let (first, _) = self.parts.first_key_value()?;
        let (last, _) = self.parts.last_key_value()?;
        Some((first * self.length, (last + 1) * self.length))
    }

    /// Length of each part, ms.
    pub(super) fn length(&self) -> i64 {
        self.length
    }

    /// The parts that hold something, by the time at which they begin, ms.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        self.parts.iter().map(|(index, part)| (index * self.length, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Count(u64);

    impl Part for Count {
        fn merge(&mut self, next: Self) {
            self.0 += next.0;
        }
    }

    fn of(times: impl IntoIterator<Item = i64>) -> Bins<Count> {
        let mut bins = Bins::<Count>::default();
        times.into_iter().for_each(|time| bins.at(time).0 += 1);
        bins
    }

    #[test]
    fn a_long_time_makes_longer_parts_and_loses_nothing() {
        for step in [1, 100, 7_000, 86_400_000] {
            let bins = of((0..2000).map(|n| n * step));
            assert_eq!(bins.iter().map(|(_, part)| part.0).sum::<u64>(), 2000);
            assert!(bins.parts.len() <= 240);
            assert!(step < 100 || bins.parts.len() > 110, "{step}: {}", bins.parts.len());
            let (first, last) = bins.span().unwrap();
            assert!(first <= 0 && last > 1999 * step);
        }
    }

    #[test]
    fn order_does_not_matter() {
        let forward: Vec<_> = (0..500).map(|n| n * 1000 - 100_000).collect();
        assert_eq!(of(forward.clone()), of(forward.into_iter().rev()));
        let far = of([i64::MIN / 4, 0, i64::MAX / 4]);
        assert_eq!(far.iter().map(|(_, part)| part.0).sum::<u64>(), 3);
        assert_eq!(of([]).span(), None);
    }

    #[test]
    fn few_things_are_not_spread_over_many_parts() {
        let mut bins = of((0..100).map(|n| n * 200));
        bins.settle(100, 3);
        assert!((13..=34).contains(&bins.parts.len()), "{}", bins.parts.len());
        assert_eq!(bins.iter().map(|(_, part)| part.0).sum::<u64>(), 100);
    }
}
