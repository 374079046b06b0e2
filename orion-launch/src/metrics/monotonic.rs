// SPDX-License-Identifier: MPL-2.0
//! Counters that never go back, although what is counted may begin anew.

use std::collections::HashMap;

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    /// What was counted before it began anew.
    before: u64,
    last: u64,
}

/// Counters by name and labels.
#[derive(Debug, Default)]
pub(super) struct Monotonic(HashMap<String, Counter>);

impl Monotonic {
    /// The count of all times, of which `now` is the present one.
    pub(super) fn count(&mut self, key: &str, now: u64) -> u64 {
        let counter = match self.0.get_mut(key) {
            Some(counter) => counter,
            None => self.0.entry(key.to_owned()).or_default(),
        };
        if now < counter.last {
            counter.before += counter.last;
        }
        counter.last = now;
        counter.before + now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_anew_is_added() {
        let mut counters = Monotonic::default();
        let counts = [1, 5, 5, 2, 7, 0, 3].map(|now| counters.count("a", now));
        assert_eq!(counts, [1, 5, 5, 7, 12, 12, 15]);
        assert_eq!(counters.count("b", 1), 1);
    }
}
