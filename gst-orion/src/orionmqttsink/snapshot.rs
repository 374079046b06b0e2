// SPDX-License-Identifier: MPL-2.0
//! A picture, and when it is time for the next one.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Media type of a picture.
pub(super) const JPEG: &str = "image/jpeg";

/// Topics that are remembered; beyond that the one that was quiet for longest is forgotten.
pub(super) const MAX_TOPICS: usize = 256;

/// A picture on its way to the broker. It is JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// 0..2.
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// What it shows, name and value.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// Says when it is time for the next picture of a topic.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When the last one was taken, ns.
    last: BTreeMap<String, u64>,
}

impl Schedule {
    /// Whether a picture may be taken at `now`. `interval`, `now`: ns.
    pub(super) fn is_due(&self, topic: &str, now: u64, interval: u64) -> bool {
        self.last.get(topic).is_none_or(|last| now.saturating_sub(*last) >= interval)
    }

    /// One is taken at `now`, ns.
    pub(super) fn taken(&mut self, topic: &str, now: u64) {
        if self.last.len() >= MAX_TOPICS
            && !self.last.contains_key(topic)
            && let Some(quiet) = self.last.iter().min_by_key(|(_, last)| **last).map(|(topic, _)| topic.clone())
        {
            self.last.remove(&quiet);
        }
        self.last.insert(topic.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_picture_an_interval_and_topic() {
        let mut schedule = Schedule::default();
        assert!(schedule.is_due("a", 0, 10));
        assert!(schedule.is_due("a", 5, 10), "it was not taken");
        schedule.taken("a", 5);
        assert!(!schedule.is_due("a", 14, 10));
        assert!(schedule.is_due("b", 14, 10), "another camera has its own time");
        assert!(schedule.is_due("a", 15, 10));
        assert!(schedule.is_due("a", 5, 0), "no interval");
        for n in 0..1000 {
            schedule.taken(&format!("topic {n}"), 100 + n);
        }
        assert_eq!(schedule.last.len(), MAX_TOPICS);
        assert!(schedule.last.contains_key("topic 999") && !schedule.last.contains_key("a"));
    }
}
