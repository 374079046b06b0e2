// SPDX-License-Identifier: MPL-2.0
//! Pauses that keep order and "exactly once" over a resumed session.
//!
//! The client library repeats what was on the wire in the order of the packet ids: when a connection is lost it forgets which of
//! them were handed out first, and which ones were acknowledged out of turn. So ids are handed out in laps that begin with the
//! lowest, each when everything of the lap before is acknowledged, and what is acknowledged in one go (one quality of service, a
//! subscription) does not overlap with anything else.

/// What may be handed over without a pause.
#[derive(Debug)]
pub(super) struct Lap {
    /// Packet ids in a lap; none = there are no laps, since nothing is resumed.
    ids: Option<u16>,
    /// The id that was used last, 0 = none.
    last: u16,
    qos: u8,
    /// Nothing more until everything is acknowledged.
    paused: bool,
}

impl Lap {
    /// No laps.
    pub(super) fn endless() -> Self {
        Self { ids: None, last: 0, qos: 0, paused: false }
    }

    /// Laps of so many ids.
    pub(super) fn of(ids: u16) -> Self {
        Self { ids: Some(ids.max(1)), ..Self::endless() }
    }

    /// Whether there are pauses at all.
    pub(super) fn counts(&self) -> bool {
        self.ids.is_some()
    }

    /// Whether anything may be handed over now; `idle`: everything is acknowledged.
    pub(super) fn open(&self, idle: bool) -> bool {
        idle || self.ids.is_none_or(|ids| !self.paused && self.last < ids)
    }

    /// Whether a message at `qos` may.
    pub(super) fn admits(&self, qos: u8, idle: bool) -> bool {
        self.open(idle) && (idle || self.ids.is_none() || self.qos == qos)
    }

    /// It is handed over.
    pub(super) fn take(&mut self, qos: u8) {
        self.qos = qos;
        self.paused = false;
        if let (Some(ids), 1..) = (self.ids, qos) {
            self.last = if self.last >= ids { 1 } else { self.last + 1 };
        }
    }

    /// Everything waits until what was handed over is acknowledged.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// The quality of service of those on their way.
    pub(super) fn qos(&self) -> u8 {
        self.qos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_again_when_everything_is_acknowledged() {
        let mut lap = Lap::of(3);
        for _ in 0..2 {
            assert!(lap.admits(2, true));
            for _ in 0..3 {
                assert!(lap.open(lap.last == 0 || lap.last == 3));
                lap.take(2);
            }
            assert!(!lap.open(false) && !lap.admits(2, false) && lap.open(true));
        }
        lap.take(2);
        assert_eq!(lap.last, 1);
        assert!(lap.admits(2, false) && !lap.admits(1, false) && lap.admits(1, true), "one quality of service");
        lap.take(0);
        assert_eq!(lap.last, 1, "needs no id");
    }

    #[test]
    fn a_pause_keeps_the_place_in_the_lap() {
        let mut lap = Lap::of(3);
        lap.take(1);
        lap.pause();
        assert!(!lap.open(false) && lap.open(true));
        lap.take(1);
        assert!(lap.open(false));
        lap.take(1);
        assert!(!lap.open(false), "three were used");
    }

    #[test]
    fn a_clean_session_needs_no_pause() {
        let mut lap = Lap::endless();
        for qos in [2, 1, 0, 2] {
            assert!(lap.admits(qos, false));
            lap.take(qos);
        }
        lap.pause();
        assert!(lap.open(false));
    }
}
