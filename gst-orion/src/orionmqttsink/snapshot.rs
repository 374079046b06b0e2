// SPDX-License-Identifier: MPL-2.0
//! Which frames are published as pictures, and which of those wait for the broker.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// Media type of a picture.
pub(super) const JPEG: &str = "image/jpeg";

/// Topics that are remembered; beyond that the one that was quiet for longest is forgotten.
const MAX_TOPICS: usize = 256;

/// Pictures that wait at most, whatever their topics; each may have megabytes.
const MAX_WAITING: usize = 8;

/// So many connections in a row must have ended on a picture of a size until such pictures are left out.
const GIVE_UP_AFTER: u32 = 2;

/// A size that was left out is tried again after this time, ns.
const TRY_AGAIN: u64 = 600_000_000_000;

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
    /// Whether a picture may be taken at `now`; it then counts as taken. `interval`, `now`: ns.
    pub(super) fn is_due(&mut self, topic: &str, now: u64, interval: u64) -> bool {
        if self.last.get(topic).is_some_and(|last| now.saturating_sub(*last) < interval) {
            return false;
        }
        if self.last.len() >= MAX_TOPICS
            && !self.last.contains_key(topic)
            && let Some(quiet) = self.last.iter().min_by_key(|(_, last)| **last).map(|(topic, _)| topic.clone())
        {
            self.last.remove(&quiet);
        }
        self.last.insert(topic.to_owned(), now);
        true
    }
}

/// What came of a lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Innocent,
    /// Pictures of this size (bytes) and more are left out for a while.
    TooLarge(usize),
}

/// Pictures that wait, the newest of each topic, and the one that is on the wire.
///
/// A picture is worth little when it is late: none outlives a connection.
#[derive(Debug, Default)]
pub(super) struct Album {
    waiting: VecDeque<Snapshot>,
    /// Size of the one on the wire, bytes.
    on_wire: Option<usize>,
    connected: bool,
    /// The size on which connections ended, and how often in a row.
    suspect: Option<(usize, u32)>,
    /// The size from which pictures are left out, and until when.
    limit: Option<(usize, u64)>,
    published: u64,
    dropped: u64,
}

impl Album {
    /// Takes a picture, unless there is no connection or it is too large for the broker. `now`: ns.
    pub(super) fn offer(&mut self, snapshot: Snapshot, now: u64) {
        let too_large = |(limit, until)| now < until && snapshot.payload.len() >= limit;
        if !self.connected || self.limit.is_some_and(too_large) {
            self.dropped += 1;
            return;
        }
        let before = self.waiting.len();
        self.waiting.retain(|other| other.topic != snapshot.topic);
        self.dropped += (before - self.waiting.len()) as u64;
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(snapshot);
    }

    /// Hands out the oldest, one at a time.
    pub(super) fn send(&mut self) -> Option<Snapshot> {
        if self.on_wire.is_some() {
            return None;
        }
        let snapshot = self.waiting.pop_front()?;
        self.on_wire = Some(snapshot.payload.len());
        Some(snapshot)
    }

    /// The broker has it.
    pub(super) fn acknowledged(&mut self) {
        let Some(size) = self.on_wire.take() else { return };
        self.published += 1;
        if self.suspect.is_some_and(|(suspect, _)| size >= suspect) {
            self.suspect = None;
        }
    }

    /// The broker does not take it.
    pub(super) fn rejected(&mut self) {
        self.dropped += u64::from(self.on_wire.take().is_some());
    }

    pub(super) fn connected(&mut self) {
        self.connected = true;
    }

    /// The connection is gone: perhaps because of the picture that was on the wire, which the broker does not take or the
    /// network does not carry in time. `now`: ns.
    pub(super) fn connection_lost(&mut self, now: u64) -> Verdict {
        self.connected = false;
        self.clear();
        let Some(size) = self.on_wire.take() else { return Verdict::Innocent };
        self.dropped += 1;
        let (least, times) = self.suspect.map_or((size, 1), |(suspect, times)| (suspect.min(size), times + 1));
        if times < GIVE_UP_AFTER {
            self.suspect = Some((least, times));
            return Verdict::Innocent;
        }
        self.suspect = None;
        self.limit = Some((least, now.saturating_add(TRY_AGAIN)));
        Verdict::TooLarge(least)
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.dropped += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// Pictures that the broker has.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Pictures that were taken and not published.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(topic: &str, size: usize) -> Snapshot {
        Snapshot { topic: topic.into(), payload: vec![0; size].into(), qos: 1, retain: false, facts: Vec::new() }
    }

    fn album() -> Album {
        let mut album = Album::default();
        album.connected();
        album
    }

    #[test]
    fn one_picture_an_interval_and_topic() {
        let mut schedule = Schedule::default();
        assert!(schedule.is_due("a", 0, 10));
        assert!(!schedule.is_due("a", 9, 10));
        assert!(schedule.is_due("b", 9, 10), "another camera has its own time");
        assert!(schedule.is_due("a", 10, 10));
        assert!(schedule.is_due("a", 10, 0), "no interval");
        for n in 0..1000 {
            schedule.is_due(&format!("topic {n}"), 100 + n, 10);
        }
        assert_eq!(schedule.last.len(), MAX_TOPICS);
        assert!(schedule.last.contains_key("topic 999") && !schedule.last.contains_key("a"));
    }

    #[test]
    fn the_newest_of_each_topic_waits() {
        let mut album = album();
        for (topic, size) in [("a", 1), ("b", 2), ("a", 3)] {
            album.offer(snapshot(topic, size), 0);
        }
        assert_eq!(album.send(), Some(snapshot("b", 2)));
        assert_eq!(album.send(), None, "one at a time");
        album.acknowledged();
        assert_eq!(album.send(), Some(snapshot("a", 3)));
        album.rejected();
        assert_eq!((album.send(), album.published(), album.dropped()), (None, 1, 2));
        for n in 0..20 {
            album.offer(snapshot(&n.to_string(), 1), 0);
        }
        assert_eq!((album.waiting.len(), album.dropped()), (MAX_WAITING, 14));
    }

    #[test]
    fn no_picture_outlives_a_connection() {
        let mut album = album();
        album.offer(snapshot("a", 1), 0);
        album.send();
        album.offer(snapshot("a", 1), 0);
        assert_eq!(album.connection_lost(0), Verdict::Innocent);
        album.offer(snapshot("a", 1), 0);
        album.connected();
        assert_eq!((album.send(), album.dropped()), (None, 3));
    }

    #[test]
    fn a_size_that_ends_connections_is_left_out() {
        let mut album = album();
        let mut lose_with = |size: usize| {
            album.connected();
            album.offer(snapshot("a", size), 5);
            album.send().map(|_| album.connection_lost(5))
        };
        assert_eq!(lose_with(100), Some(Verdict::Innocent), "once is chance");
        assert_eq!(lose_with(90), Some(Verdict::TooLarge(90)));
        assert_eq!(lose_with(95), None);
        album.connected();
        album.offer(snapshot("a", 89), 5);
        assert!(album.send().is_some());
        album.acknowledged();
        assert_eq!(album.connection_lost(5), Verdict::Innocent, "nothing was on the wire");
        album.connected();
        album.offer(snapshot("a", 90), 5 + TRY_AGAIN);
        assert!(album.send().is_some(), "the broker may have changed its mind");

        let mut other = self::album();
        other.offer(snapshot("a", 100), 0);
        other.send();
        other.connection_lost(0);
        other.connected();
        other.offer(snapshot("a", 200), 0);
        other.send();
        other.acknowledged();
        assert_eq!(other.suspect, None, "a larger one went well");
    }
}
