// SPDX-License-Identifier: MPL-2.0
//! When to try again, and when to say so.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Wait before the first new attempt.
const FIRST: Duration = Duration::from_millis(100);

/// Part of a wait that chance may take away, so that many clients do not come back at once.
const JITTER: f64 = 0.25;

/// A warning is repeated after this time at the earliest.
const QUIET: Duration = Duration::from_secs(60);

/// Growing waits: 100 ms, then twice as long each time up to a bound.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(max: Duration) -> Self {
        Self { next: FIRST.min(max), max }
    }

    /// The next wait; `chance` in 0..1 shortens it by up to a quarter.
    pub(super) fn wait(&mut self, chance: f64) -> Duration {
        let wait = self.next.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0));
        self.next = self.next.saturating_mul(2).min(self.max);
        wait
    }

    /// Starts again with the shortest wait.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.max);
    }
}

/// Lets each text through once a minute.
#[derive(Debug, Default)]
pub(super) struct Gate {
    said: HashMap<String, Instant>,
}

impl Gate {
    /// Whether `text` is to be said now.
    pub(super) fn admits(&mut self, text: &str, now: Instant) -> bool {
        self.said.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        if self.said.contains_key(text) {
            return false;
        }
        self.said.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(500));
        let waits: Vec<_> = (0..5).map(|_| backoff.wait(0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 500, 500]);
        assert_eq!(backoff.wait(1.0), Duration::from_millis(375));
        backoff.reset();
        assert_eq!(backoff.wait(1.0), Duration::from_millis(75));
        assert_eq!(Backoff::new(Duration::from_millis(10)).wait(0.0), Duration::from_millis(10));
    }

    #[test]
    fn a_text_is_said_once_a_minute() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut gate = Gate::default();
        assert!(gate.admits("refused", at(0)));
        assert!(!gate.admits("refused", at(59)));
        assert!(gate.admits("timeout", at(59)));
        assert!(!gate.admits("refused", at(59)), "alternating texts are no news");
        assert!(gate.admits("refused", at(60)));
    }
}
