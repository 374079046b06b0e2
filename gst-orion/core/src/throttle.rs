// SPDX-License-Identifier: MPL-2.0
//! Keeps one fault from filling a log.

use std::time::Duration;

/// Lets one of many repeated events through per interval, and counts the others.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    interval: Duration,
    open_at: Option<Duration>,
    held_back: u64,
}

impl Throttle {
    /// Lets one event pass per `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, open_at: None, held_back: 0 }
    }

    /// Some = this event passes, with the number of those held back since the last one that did. `now` counts from any fixed moment.
    pub fn pass(&mut self, now: Duration) -> Option<u64> {
        if self.open_at.is_some_and(|open| now < open) {
            self.held_back += 1;
            return None;
        }
        self.open_at = Some(now + self.interval);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_an_interval_passes_and_tells_how_many_did_not() {
        let ms = Duration::from_millis;
        let mut throttle = Throttle::new(ms(1000));
        assert_eq!(throttle.pass(ms(5)), Some(0));
        assert_eq!([throttle.pass(ms(6)), throttle.pass(ms(1004))], [None, None]);
        assert_eq!(throttle.pass(ms(1005)), Some(2));
        assert_eq!(throttle.pass(ms(9000)), Some(0));
    }
}
