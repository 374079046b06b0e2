// SPDX-License-Identifier: MPL-2.0
//! What is kept for the broker, and for how long.

use gst::glib;

/// What becomes of messages while there is no connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionMqttSinkOutagePolicy")]
pub(super) enum OutagePolicy {
    /// All are kept, within the bounds.
    #[default]
    #[enum_value(name = "Everything within the bounds is kept, and delivered in order afterwards", nick = "keep")]
    Keep,
    /// One frame a topic is kept.
    #[enum_value(name = "The newest frame of each topic is kept", nick = "newest")]
    Newest,
    /// None is kept.
    #[enum_value(name = "Nothing is kept", nick = "drop")]
    Drop,
}

/// The bounds of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keeping {
    /// Messages, at least 1.
    pub(super) messages: usize,
    /// Bytes in memory, as [`Draft::size`](super::payload::Draft::size) counts.
    pub(super) bytes: usize,
    pub(super) policy: OutagePolicy,
    /// How long a message is worth something, s; 0 = for ever.
    pub(super) expiry_s: u32,
}

const SECOND: u64 = 1_000_000_000;

impl Keeping {
    /// How long a message is worth something, ns.
    pub(super) fn expiry(&self) -> Option<u64> {
        (self.expiry_s > 0).then(|| u64::from(self.expiry_s) * SECOND)
    }

    /// The rest of that for a message of this age (ns), s, at least 1.
    pub(super) fn expiry_left(&self, age: u64) -> Option<u32> {
        let left = self.expiry()?.saturating_sub(age).div_ceil(SECOND).max(1);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_time_is_rounded_up() {
        let keeping = Keeping { messages: 1, bytes: 1, policy: OutagePolicy::Keep, expiry_s: 10 };
        assert_eq!(
            [0, 1, SECOND, 9_500_000_000, 99 * SECOND].map(|age| keeping.expiry_left(age)),
            [10, 10, 9, 1, 1].map(Some)
        );
        let never = Keeping { expiry_s: 0, ..keeping };
        assert_eq!((never.expiry(), never.expiry_left(5)), (None, None));
    }
}
