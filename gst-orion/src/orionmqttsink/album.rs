// SPDX-License-Identifier: MPL-2.0
//! Pictures that wait for the broker, and which of them it does not get.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::snapshot::{MAX_TOPICS, Snapshot};

/// Pictures that wait at most, whatever their topics; each may have megabytes.
const MAX_WAITING: usize = 8;

/// So many connections in a row must have ended on a picture until such pictures are left out.
const GIVE_UP_AFTER: u32 = 2;

/// A size that was left out is tried again, and a suspicion forgotten, after this time, ns.
const TRY_AGAIN: u64 = 600_000_000_000;

/// What came of a lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Innocent,
    /// Pictures of this size (bytes) and more are left out for a while.
    TooLarge(usize),
}

/// The picture that was handed to the connection.
#[derive(Debug)]
struct OnWire {
    topic: String,
    /// Bytes; 0 = it erases the one that the broker has kept.
    size: usize,
}

/// Connections ended on pictures.
#[derive(Debug)]
struct Suspect {
    /// The smallest of them, bytes.
    size: usize,
    times: u32,
    /// The largest that went well since, bytes.
    proven: usize,
    /// When it began, ns.
    since: u64,
}

/// The newest picture of each topic, and the one that is on the wire.
///
/// A picture is worth little when it is late: none outlives a connection. None leaves that was taken for an order which is not in
/// force any more, and what the broker has kept of such pictures is erased.
#[derive(Debug, Default)]
pub(super) struct Album {
    /// The number of the order in force; none = no pictures are wanted.
    order: Option<u64>,
    waiting: VecDeque<Snapshot>,
    on_wire: Option<OnWire>,
    connected: bool,
    suspect: Option<Suspect>,
    /// The size from which pictures are left out, and until when.
    limit: Option<(usize, u64)>,
    /// Topics of which the broker may keep a picture.
    kept: BTreeSet<String>,
    /// Those of which it must not.
    erase: BTreeSet<String>,
    published: u64,
    dropped: u64,
}

impl Album {
    /// Takes pictures of this order only from now on.
    pub(super) fn set_order(&mut self, order: Option<u64>) {
        if std::mem::replace(&mut self.order, order) != order {
            self.clear();
            self.erase.append(&mut self.kept);
        }
    }

    /// Whether a picture would be taken now.
    pub(super) fn is_open(&self) -> bool {
        self.connected && self.order.is_some()
    }

    /// Takes a picture, unless it is not wanted, there is no connection or it is too large for the broker. `now`: ns.
    pub(super) fn offer(&mut self, snapshot: Snapshot, order: u64, now: u64) {
        if self.order != Some(order) {
            return;
        }
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
        let snapshot = match self.erase.pop_first() {
            Some(topic) => Snapshot { topic, payload: Bytes::new(), qos: 1, retain: true, facts: Vec::new() },
            None => self.waiting.pop_front()?,
        };
        let size = snapshot.payload.len();
        if snapshot.retain && size > 0 {
            // Whether it arrives is not known yet.
            self.kept.insert(snapshot.topic.clone());
            if self.kept.len() > MAX_TOPICS {
                self.erase.extend(self.kept.pop_first());
            }
        }
        self.on_wire = Some(OnWire { topic: snapshot.topic.clone(), size });
        Some(snapshot)
    }

    /// The broker has it.
    pub(super) fn acknowledged(&mut self) {
        let Some(OnWire { size: size @ 1.., .. }) = self.on_wire.take() else { return };
        self.published += 1;
        if self.suspect.as_ref().is_some_and(|suspect| size >= suspect.size) {
            self.suspect = None;
        }
        if let Some(suspect) = &mut self.suspect {
            suspect.proven = suspect.proven.max(size);
        }
    }

    /// The broker does not take it.
    pub(super) fn rejected(&mut self) {
        if let Some(OnWire { size: 1.., .. }) = self.on_wire.take() {
            self.dropped += 1;
        }
    }

    pub(super) fn connected(&mut self) {
        self.connected = true;
    }

    /// The connection is gone: perhaps because of the picture that was on the wire, which the broker does not take or the
    /// network does not carry in time. `now`: ns.
    pub(super) fn connection_lost(&mut self, now: u64) -> Verdict {
        self.connected = false;
        self.clear();
        let size = match self.on_wire.take() {
            None => return Verdict::Innocent,
            Some(OnWire { topic, size: 0 }) => {
                self.erase.insert(topic);
                return Verdict::Innocent;
            }
            Some(OnWire { size, .. }) => size,
        };
        self.dropped += 1;
        let former = self.suspect.take().filter(|suspect| now.saturating_sub(suspect.since) < TRY_AGAIN);
        let suspect = match former {
            // Larger ones went well.
            Some(suspect) if size <= suspect.proven => suspect,
            Some(suspect) => Suspect { size: suspect.size.min(size), times: suspect.times + 1, ..suspect },
            None => Suspect { size, times: 1, proven: 0, since: now },
        };
        if suspect.times < GIVE_UP_AFTER {
            self.suspect = Some(suspect);
            return Verdict::Innocent;
        }
        self.limit = Some((suspect.size, now.saturating_add(TRY_AGAIN)));
        Verdict::TooLarge(suspect.size)
    }

    fn clear(&mut self) {
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
        album.set_order(Some(1));
        album.connected();
        album
    }

    /// One that is lost with its connection.
    fn lose(album: &mut Album, size: usize, now: u64) -> Option<Verdict> {
        album.connected();
        album.offer(snapshot("a", size), 1, now);
        album.send().map(|_| album.connection_lost(now))
    }

    fn succeed(album: &mut Album, size: usize) {
        album.connected();
        album.offer(snapshot("a", size), 1, 0);
        assert!(album.send().is_some());
        album.acknowledged();
    }

    #[test]
    fn the_newest_of_each_topic_waits() {
        let mut album = album();
        for (topic, size) in [("a", 1), ("b", 2), ("a", 3)] {
            album.offer(snapshot(topic, size), 1, 0);
        }
        assert_eq!(album.send(), Some(snapshot("b", 2)));
        assert_eq!(album.send(), None, "one at a time");
        album.acknowledged();
        assert_eq!(album.send(), Some(snapshot("a", 3)));
        album.rejected();
        assert_eq!((album.send(), album.published(), album.dropped()), (None, 1, 2));
        for n in 0..20 {
            album.offer(snapshot(&n.to_string(), 1), 1, 0);
        }
        assert_eq!((album.waiting.len(), album.dropped()), (MAX_WAITING, 14));
    }

    #[test]
    fn no_picture_outlives_a_connection() {
        let mut album = album();
        album.offer(snapshot("a", 1), 1, 0);
        album.send();
        album.offer(snapshot("a", 1), 1, 0);
        assert_eq!(album.connection_lost(0), Verdict::Innocent);
        assert!(!album.is_open());
        album.offer(snapshot("a", 1), 1, 0);
        album.connected();
        assert_eq!((album.send(), album.dropped()), (None, 3));
    }

    #[test]
    fn no_picture_leaves_that_is_not_wanted_any_more() {
        let mut album = album();
        album.offer(snapshot("a", 1), 1, 0);
        album.set_order(None);
        album.offer(snapshot("a", 1), 1, 0);
        assert!(!album.is_open());
        album.set_order(Some(2));
        album.offer(snapshot("a", 1), 1, 0);
        assert_eq!(album.send(), None, "it was taken before");
        album.offer(snapshot("a", 1), 2, 0);
        album.set_order(Some(2));
        assert_eq!(album.send(), Some(snapshot("a", 1)), "nothing has changed");
    }

    #[test]
    fn what_the_broker_has_kept_is_erased_with_the_wish() {
        let mut album = album();
        album.offer(Snapshot { retain: true, ..snapshot("a", 1) }, 1, 0);
        album.send();
        album.set_order(None);
        album.acknowledged();
        for _ in 0..2 {
            let eraser = album.send().unwrap();
            assert_eq!((eraser.topic.as_str(), eraser.payload.len(), eraser.retain), ("a", 0, true));
            assert_eq!(album.connection_lost(0), Verdict::Innocent, "it is sent until it is acknowledged");
            album.connected();
        }
        album.send();
        album.acknowledged();
        assert_eq!((album.send(), album.published()), (None, 1));
    }

    #[test]
    fn a_size_that_ends_connections_is_left_out_for_a_while() {
        let mut album = album();
        assert_eq!(lose(&mut album, 100, 5), Some(Verdict::Innocent), "once is chance");
        assert_eq!(lose(&mut album, 90, 5), Some(Verdict::TooLarge(90)));
        assert_eq!(lose(&mut album, 95, 5), None);
        succeed(&mut album, 89);
        assert_eq!(album.connection_lost(5), Verdict::Innocent, "nothing was on the wire");
        album.connected();
        album.offer(snapshot("a", 90), 1, 5 + TRY_AGAIN);
        assert!(album.send().is_some(), "the broker may have changed its mind");
    }

    #[test]
    fn chance_condemns_nobody() {
        let mut album = album();
        lose(&mut album, 100, 0);
        succeed(&mut album, 99);
        assert_eq!(lose(&mut album, 60, 0), Some(Verdict::Innocent), "99 went well");
        assert_eq!(lose(&mut album, 100, 0), Some(Verdict::TooLarge(100)));
        let mut album = self::album();
        lose(&mut album, 100, 0);
        succeed(&mut album, 200);
        assert_eq!(lose(&mut album, 100, 0), Some(Verdict::Innocent), "a larger one went well");
        assert_eq!(lose(&mut album, 100, TRY_AGAIN), Some(Verdict::Innocent), "long ago");
    }
}
