// SPDX-License-Identifier: MPL-2.0
//! Finds the message that a broker answers by closing the connection.
//!
//! MQTT 3.1.1 has no other way to refuse one (too large, no permission). Sent again for ever, it would keep back all others.

/// So many connections in a row must have ended without a single acknowledgement until the messages go out one by one.
const CAREFUL_AFTER: u32 = 2;

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

#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Connections in a row that ended without an acknowledgement.
    fruitless: u32,
    /// The message that was alone on the wire, and on how many of those connections.
    alone: Option<(u64, u32)>,
}

impl Suspicion {
    /// Whether messages are to go out one by one, each on a connection that has held for a while without it.
    pub(super) fn careful(&self) -> bool {
        self.fruitless >= CAREFUL_AFTER
    }

    /// The broker acknowledges: it has nothing against what it gets.
    pub(super) fn acknowledged(&mut self) {
        *self = Self::default();
    }

    /// A connection has ended with these messages on the wire. The one to give up, if that is clear now.
    pub(super) fn connection_lost(&mut self, loss: Loss, on_wire: &[u64]) -> Option<u64> {
        if loss == Loss::Other || on_wire.is_empty() {
            return None;
        }
        let alone = self.careful() && on_wire.len() == 1;
        self.fruitless = self.fruitless.saturating_add(1);
        if !alone {
            return None;
        }
        let ticket = on_wire[0];
        let times = self.alone.filter(|(same, _)| *same == ticket).map_or(0, |(_, times)| times) + 1;
        self.alone = Some((ticket, times));
        (times >= GIVE_UP_AFTER).then(|| {
            self.alone = None;
            ticket
        })
    }
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
        suspicion.acknowledged();
        assert!(!suspicion.careful());
    }

    #[test]
    fn an_acknowledgement_clears_everybody() {
        let mut suspicion = Suspicion::default();
        for _ in 0..10 {
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[7]), None);
            suspicion.acknowledged();
        }
        for _ in 0..10 {
            assert_eq!(suspicion.connection_lost(Loss::Closed, &[7, 8]), None, "it may be either");
        }
    }
}
