// SPDX-License-Identifier: MPL-2.0
//! When a worker that takes ever more memory is to be replaced.

use std::time::Duration;

/// A worker of this age that is over the limit needs that much; replacing it again and again would not help.
const SETTLED: Duration = Duration::from_secs(10);
/// Shortest time between two replacements.
const PAUSE: Duration = Duration::from_secs(60);

/// What to do about a worker's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is fine, or was dealt with.
    Fine,
    /// Replace the workers.
    Replace,
    /// The limit is below what a fresh worker needs: say so once, and leave it.
    TooLow,
}

/// Watches the memory of the workers of one element.
#[derive(Debug, Clone, Default)]
pub struct MemoryWatch {
    replaced: Option<Duration>,
    told: bool,
}

impl MemoryWatch {
    /// `resident`: bytes of the largest worker; `limit`: bytes, 0 = none; `age`: time since the workers took over;
    /// `now`: time since any fixed moment.
    pub fn check(&mut self, resident: u64, limit: u64, age: Duration, now: Duration) -> Verdict {
        if limit == 0 || resident <= limit {
            self.told = false;
            return Verdict::Fine;
        }
        if self.told {
            return Verdict::Fine;
        }
        if self.replaced.is_some() && age < SETTLED {
            self.told = true;
            return Verdict::TooLow;
        }
        if self.replaced.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return Verdict::Fine;
        }
        self.replaced = Some(now);
        Verdict::Replace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_leak_is_replaced_but_not_more_than_once_a_minute() {
        let mut watch = MemoryWatch::default();
        assert_eq!(watch.check(99, 100, s(5), s(5)), Verdict::Fine);
        assert_eq!(watch.check(101, 100, s(6), s(6)), Verdict::Replace);
        assert_eq!(watch.check(50, 100, s(1), s(8)), Verdict::Fine);
        assert_eq!(watch.check(101, 100, s(30), s(36)), Verdict::Fine, "too soon");
        assert_eq!(watch.check(101, 100, s(60), s(66)), Verdict::Replace);
        assert_eq!(watch.check(1 << 40, 0, s(60), s(200)), Verdict::Fine, "no limit");
    }

    #[test]
    fn a_limit_that_is_too_low_is_said_once() {
        let mut watch = MemoryWatch::default();
        assert_eq!(watch.check(101, 100, s(1), s(1)), Verdict::Replace);
        assert_eq!(watch.check(101, 100, s(1), s(4)), Verdict::TooLow);
        assert_eq!(watch.check(101, 100, s(2), s(5)), Verdict::Fine);
        assert_eq!(watch.check(101, 100, s(600), s(604)), Verdict::Fine, "it is left alone");
        watch.check(99, 100, s(601), s(605));
        assert_eq!(watch.check(101, 100, s(602), s(606)), Verdict::Replace, "it was below meanwhile");
    }
}
