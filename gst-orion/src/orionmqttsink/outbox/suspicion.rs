// SPDX-License-Identifier: MPL-2.0
//! Finds the message that a broker answers by closing the connection.
//!
//! MQTT 3.1.1 has no other way to refuse one (too large, no permission). Sent again for ever, it would keep back all others.

/// So many connections in a row must have ended without a single acknowledgement until the messages go out one by one.
const CAREFUL_AFTER: u32 = 2;

/// Or so many with the same message as the oldest on the wire: a broker may close late, and acknowledge what is behind it.
const SAME_HEAD: u32 = 3;

/// So many connections must have ended while the same message was the only one on the wire.
const GIVE_UP_AFTER: u32 = 3;

/// How a connection that had been accepted ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Loss {
    /// The broker closed it, without saying why.
    Closed,
    /// Anything else: the network, silence, an attempt that failed, another client's doing.
    Other,
}

/// A message, and on how many connections in a row it was seen so.
type Seen = Option<(u64, u32)>;

#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Connections in a row that ended without an acknowledgement.
    fruitless: u32,
    /// The oldest on the wire when the last ones ended.
    head: Seen,
    /// The message that was alone on the wire.
    alone: Seen,
}

impl Suspicion {
    /// Whether messages are to go out one by one, each on a connection that has held for a while without it.
    pub(super) fn careful(&self) -> bool {
        self.fruitless >= CAREFUL_AFTER || self.head.is_some_and(|(_, times)| times >= SAME_HEAD)
    }

    /// The broker has nothing against this one.
    pub(super) fn acknowledged(&mut self, ticket: u64) {
        self.fruitless = 0;
        for seen in [&mut self.head, &mut self.alone] {
            if seen.is_some_and(|(same, _)| same == ticket) {
                *seen = None;
            }
        }
    }

    /// It is gone, so that it keeps nothing back; nothing is said about the others.
    pub(super) fn gone(&mut self, ticket: u64) {
        let fruitless = self.fruitless;
        self.acknowledged(ticket);
        self.fruitless = fruitless;
    }

    /// A connection has ended with these messages on the wire, the oldest first. The one to give up, if that is clear now.
    pub(super) fn connection_lost(&mut self, loss: Loss, on_wire: &[u64]) -> Option<u64> {
        let (Loss::Closed, [ticket, others @ ..]) = (loss, on_wire) else { return None };
        let alone = self.careful() && others.is_empty();
        self.fruitless = self.fruitless.saturating_add(1);
        count(&mut self.head, *ticket);
        if !alone {
            return None;
        }
        if count(&mut self.alone, *ticket) < GIVE_UP_AFTER {
            return None;
        }
        self.gone(*ticket);
        Some(*ticket)
    }
}

fn count(seen: &mut Seen, ticket: u64) -> u32 {
    let times = seen.filter(|(same, _)| *same == ticket).map_or(0, |(_, times)| times).saturating_add(1);
    *seen = Some((ticket, times));
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_message_that_is_alone_three_times_is_given_up() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[1, 2, 3]), None);
        assert!(!suspicion.careful());
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[1, 2, 3]), None);
        assert!(suspicion.careful());
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[1]), None);
        assert_eq!(suspicion.connection_lost(Loss::Other, &[1]), None, "the network is no judge");
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[]), None, "closed before it was sent");
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[1]), None);
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[1]), Some(1));
        assert!(suspicion.careful(), "until the next is acknowledged");
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[2]), None);
        suspicion.acknowledged(2);
        assert!(!suspicion.careful());
    }

    #[test]
    fn an_acknowledgement_clears_the_message_and_the_connection() {
        let mut suspicion = Suspicion::default();
        for _ in 0..10 {
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[7]), None);
            suspicion.acknowledged(7);
        }
        for head in 0..10 {
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[head, 11]), None);
            suspicion.acknowledged(11);
            assert!(!suspicion.careful(), "another one is the oldest each time");
        }
        for _ in 0..10 {
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[7, 8]), None, "it may be either");
        }
    }

    #[test]
    fn the_oldest_that_is_never_acknowledged_is_found_whatever_is_behind_it() {
        let mut suspicion = Suspicion::default();
        for behind in 8..11 {
            assert!(!suspicion.careful());
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[7, behind]), None);
            suspicion.acknowledged(behind);
        }
        assert!(suspicion.careful());
        for _ in 0..2 {
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[7]), None);
            suspicion.acknowledged(99);
        }
        assert_eq!(suspicion.connection_lost(Loss::Closed, &[7]), Some(7));
    }
}
