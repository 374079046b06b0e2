// SPDX-License-Identifier: MPL-2.0
//! What is said about the sink itself on `status-topic`: whether it is there.

use orion_core::status::Status;

/// Keeps what the broker has retained equal to what is so.
#[derive(Debug)]
pub(super) struct Herald {
    wanted: Status,
    /// What was said last on this connection.
    said: Option<Status>,
    unacknowledged: usize,
    /// Somebody else said otherwise since.
    contradicted: bool,
}

impl Herald {
    pub(super) fn new() -> Self {
        Self { wanted: Status::Online, said: None, unacknowledged: 0, contradicted: false }
    }

    /// What is to be said from now on.
    pub(super) fn want(&mut self, status: Status) {
        self.wanted = status;
    }

    /// What is to be said now; it counts as said.
    pub(super) fn next(&mut self) -> Option<Status> {
        // One at a time, so that whoever shouts at us cannot fill the line.
        let again = self.contradicted && self.unacknowledged == 0;
        if self.said == Some(self.wanted) && !again {
            return None;
        }
        self.contradicted = false;
        self.said = Some(self.wanted);
        self.unacknowledged += 1;
        self.said
    }

    /// The broker has one of those that were said.
    pub(super) fn acknowledged(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
    }

    /// The connection is gone, and with it the broker has said [`Status::Offline`], or has forgotten everything.
    pub(super) fn connection_lost(&mut self) {
        self.said = None;
        self.unacknowledged = 0;
        self.contradicted = false;
    }

    /// Somebody wrote to the topic. A will of a former run may come late, when its broken connection is noticed at last.
    pub(super) fn overheard(&mut self, payload: &[u8]) {
        // What comes back of our own words, late, is no contradiction.
        if payload == Status::Offline.as_str().as_bytes() {
            self.contradicted = true;
        }
    }

    /// Whether the broker has what is wanted.
    pub(super) fn settled(&self) -> bool {
        self.said == Some(self.wanted) && self.unacknowledged == 0 && !self.contradicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_hears_the_present_status_once() {
        let mut herald = Herald::new();
        assert!(!herald.settled());
        assert_eq!((herald.next(), herald.next()), (Some(Status::Online), None));
        assert!(!herald.settled(), "said, but not acknowledged");
        herald.acknowledged();
        assert!(herald.settled());
        herald.connection_lost();
        assert!(!herald.settled());
        assert_eq!(herald.next().map(Status::as_str), Some("online"));
    }

    #[test]
    fn the_last_wish_counts() {
        let mut herald = Herald::new();
        herald.next();
        herald.want(Status::Stopped);
        assert_eq!(herald.next().map(Status::as_str), Some("stopped"));
        herald.acknowledged();
        assert!(!herald.settled(), "that was for `online`");
        herald.acknowledged();
        assert!(herald.settled());
        herald.connection_lost();
        assert_eq!(herald.next(), Some(Status::Stopped));
        herald.want(Status::Online);
        assert_eq!(herald.next(), Some(Status::Online));
    }

    #[test]
    fn a_late_will_is_contradicted_and_nothing_else() {
        let mut herald = Herald::new();
        herald.next();
        for harmless in ["online", "stopped", ""] {
            herald.overheard(harmless.as_bytes());
            assert_eq!(herald.next(), None);
        }
        herald.overheard(b"offline");
        assert_eq!(herald.next(), None, "one at a time");
        herald.acknowledged();
        assert!(!herald.settled());
        assert_eq!((herald.next(), herald.next()), (Some(Status::Online), None));
        herald.acknowledged();
        assert!(herald.settled());
    }
}
