// SPDX-License-Identifier: MPL-2.0
//! MQTT 5's reason codes: one table for every packet. MQTT 3.1.1's few are translated to them.

/// A code of 0x80 and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Reason(pub(in super::super) u8);

impl Reason {
    pub(super) const UNSPECIFIED: Self = Self(0x80);
    pub(super) const MALFORMED: Self = Self(0x81);
    pub(super) const PROTOCOL_ERROR: Self = Self(0x82);
    pub(super) const IMPLEMENTATION: Self = Self(0x83);
    pub(in super::super) const VERSION: Self = Self(0x84);
    pub(in super::super) const CLIENT_ID: Self = Self(0x85);
    pub(in super::super) const CREDENTIALS: Self = Self(0x86);
    pub(in super::super) const NOT_AUTHORIZED: Self = Self(0x87);
    pub(super) const UNAVAILABLE: Self = Self(0x88);
    pub(super) const BUSY: Self = Self(0x89);
    pub(in super::super) const BANNED: Self = Self(0x8A);
    pub(super) const AUTHENTICATION: Self = Self(0x8C);
    pub(super) const TOPIC: Self = Self(0x90);
    pub(super) const ID_IN_USE: Self = Self(0x91);
    pub(super) const PACKET_TOO_LARGE: Self = Self(0x95);
    pub(super) const QUOTA: Self = Self(0x97);
    pub(super) const FORMAT: Self = Self(0x99);
    pub(in super::super) const RETAIN: Self = Self(0x9A);
    pub(in super::super) const QOS: Self = Self(0x9B);
    pub(super) const ELSEWHERE: Self = Self(0x9C);
    pub(super) const MOVED: Self = Self(0x9D);
    pub(super) const RATE: Self = Self(0x9F);

    /// In words.
    pub(in super::super) fn words(self) -> &'static str {
        match self.0 {
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "implementation specific error",
            0x84 => "unsupported protocol version",
            0x85 => "client identifier not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8A => "banned",
            0x8B => "server shutting down",
            0x8C => "bad authentication method",
            0x8D => "keep alive timeout",
            0x8E => "session taken over",
            0x8F => "topic filter invalid",
            0x90 => "topic name invalid",
            0x91 => "packet identifier in use",
            0x92 => "packet identifier not found",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9A => "retain not supported",
            0x9B => "QoS not supported",
            0x9C => "use another server",
            0x9D => "server moved",
            0x9F => "connection rate exceeded",
            0xA0 => "maximum connect time",
            _ => "unspecified error",
        }
    }

    /// What to do when a connection is refused or ended with it.
    pub(in super::super) fn remedy(self) -> &'static str {
        match self.0 {
            0x81 | 0x82 | 0x83 | 0x90 | 0x94 | 0x99 => "does the broker's log say which message it did not like?",
            0x87 => "is the client allowed to publish to its topics?",
            0x88 | 0x89 | 0x8B => "it is tried again; is the broker all right?",
            0x8A | 0x98 => "ask the broker's administrator",
            0x8D | 0x93 => "is the network overloaded?",
            0x8E => "does another client use the same client-id?",
            0x95 => "is a message larger than the broker allows?",
            0x96 | 0x97 | 0x9F | 0xA0 => "does the broker limit clients too much?",
            0x9A => "set retain=false",
            0x9B => "set a lower mqtt-qos",
            0x9C | 0x9D => "set uri to the broker's new address",
            _ => "see the broker's log",
        }
    }

    /// Whether a broker that ends a connection so may mean the last message it got. Nothing is said of which one it is.
    pub(in super::super) fn may_mean_a_message(self) -> bool {
        matches!(self.0, 0x80..=0x83 | 0x87 | 0x90 | 0x94 | 0x95 | 0x99 | 0x9A | 0x9B)
    }

    /// Whether a message that is refused so may well be taken later. Quotas are the broker's, and so are packet ids.
    pub(in super::super) fn passes(self) -> bool {
        matches!(self, Self::QUOTA | Self::ID_IN_USE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_of_its_own() {
        let named: Vec<_> = (0x81..=0xA0).filter(|code| ![0x9E].contains(code)).map(|c| Reason(c).words()).collect();
        let mut once = named.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), named.len());
        assert_eq!(Reason(0xFF).words(), Reason::UNSPECIFIED.words());
    }

    #[test]
    fn only_what_may_be_a_messages_fault_is_blamed_on_one() {
        for code in [0x95, 0x90, 0x87, 0x81, 0x82, 0x83, 0x99, 0x9A, 0x9B] {
            assert!(Reason(code).may_mean_a_message(), "{code:#x}");
        }
        for code in [0x8E, 0x8B, 0x89, 0x8D, 0x9C, 0x9D, 0x98, 0x9F, 0x97, 0xA0] {
            assert!(!Reason(code).may_mean_a_message(), "{code:#x}");
        }
        assert!(Reason::QUOTA.passes() && !Reason::NOT_AUTHORIZED.passes());
    }
}
