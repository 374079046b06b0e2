// SPDX-License-Identifier: MPL-2.0
//! Wall-clock times as they stand in messages.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970): RFC 5905, figure 4.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// What [`rfc3339`] writes.
pub(crate) const PATTERN: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{9}Z$";

/// RFC 3339, UTC, always nine decimals: `2026-11-22T08:00:00.000000001Z`.
///
/// `unix_ns`: nanoseconds since 1970. Any value fits until the year 2554.
pub fn rfc3339(unix_ns: u64) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut text = String::new();
    let printer = DateTimePrinter::new().precision(Some(9));
    if printer.print_timestamp(&timestamp, &mut text).is_err() {
        text.clear(); // writing to a String does not fail
    }
    text
}

/// Nanoseconds since 1970 from nanoseconds since 1900; `None` before 1970.
pub fn unix_from_ntp(ntp_ns: u64) -> Option<u64> {
    ntp_ns.checked_sub(NTP_TO_UNIX_S * 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nine_decimals_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_795_334_400_000_000_001), "2026-11-22T08:00:00.000000001Z");
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn ntp_time_before_1970_is_refused() {
        assert_eq!(unix_from_ntp(2_208_988_800_500_000_000), Some(500_000_000));
        assert_eq!(unix_from_ntp(5), None);
    }
}
