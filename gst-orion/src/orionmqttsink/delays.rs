// SPDX-License-Identifier: MPL-2.0
//! How long the broker takes to acknowledge.

use std::collections::VecDeque;

/// So many are looked at.
const LAST: usize = 1000;

/// The times of the last 1000 messages, ns.
#[derive(Debug, Default)]
pub(super) struct Delays {
    last: VecDeque<u64>,
}

/// What they come to, ms; 0 = none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) mean: f64,
    /// 99 of 100 take no longer.
    pub(super) p99: f64,
}

impl Delays {
    /// Adds one, ns.
    pub(super) fn add(&mut self, delay: u64) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(delay);
    }

    /// Mean and 99th percentile.
    pub(super) fn summary(&self) -> Summary {
        let mut sorted: Vec<_> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        // The smallest that at least 99 % do not exceed.
        let rank = (sorted.len() * 99).div_ceil(100);
        let Some(p99) = rank.checked_sub(1).and_then(|at| sorted.get(at)) else {
            return Summary::default();
        };
        let ms = |ns: f64| ns / 1e6;
        let sum: f64 = sorted.iter().map(|ns| *ns as f64).sum();
        Summary { mean: ms(sum / sorted.len() as f64), p99: ms(*p99 as f64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_the_last_thousand() {
        let mut delays = Delays::default();
        assert_eq!(delays.summary(), Summary { mean: 0.0, p99: 0.0 });
        delays.add(3_000_000);
        assert_eq!(delays.summary(), Summary { mean: 3.0, p99: 3.0 });
        for ms in 1..=100 {
            delays.add(ms * 1_000_000);
        }
        assert_eq!(delays.summary().p99, 99.0, "one of 101 may take longer");
        for _ in 0..LAST {
            delays.add(500_000);
        }
        assert_eq!((delays.summary(), delays.last.len()), (Summary { mean: 0.5, p99: 0.5 }, LAST));
    }
}
