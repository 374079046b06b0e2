// SPDX-License-Identifier: MPL-2.0
//! Axes: where marks go, and what stands at them.

use jiff::{Timestamp, fmt::strtime};

use super::series::Clock;

/// Marks along an axis, about.
const MARKS: f64 = 7.0;
/// Distances of marks on a time axis, ms.
const TIMES: [i64; 24] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    10_800_000,
    21_600_000,
    43_200_000,
    86_400_000,
    172_800_000,
    432_000_000,
    864_000_000,
];
const DAY: i64 = 86_400_000;

/// A horizontal axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Axis {
    /// From a time to another, ms.
    Time { from: i64, to: i64, clock: Clock },
    /// From 0 on, in this unit.
    Value { to: f64, unit: &'static str },
}

impl Axis {
    /// Where a value lies, 0..1.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self {
            Self::Time { from, to, .. } => (value - *from as f64) / (*to as f64 - *from as f64).max(1.0),
            Self::Value { to, .. } => value / to,
        }
    }

    /// Marks: places (0..1), and their texts.
    pub(super) fn marks(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Value { to, .. } => steps(to).into_iter().map(|(value, text)| (value / to, text)).collect(),
            Self::Time { from, to, clock } => {
                let wanted = (to as f64 - from as f64) / MARKS;
                let step = TIMES.into_iter().find(|step| *step as f64 >= wanted);
                let step = step.unwrap_or_else(|| ((wanted / DAY as f64).ceil() as i64).saturating_mul(DAY));
                let first = from.div_euclid(step) * step;
                let times = (0..12).map(|n| first.saturating_add(step.saturating_mul(n)));
                times
                    .filter(|time| (from..=to).contains(time))
                    .map(|time| (self.place(time as f64), moment(time, step, clock)))
                    .collect()
            }
        }
    }

    /// What the axis shows.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Value { unit, .. } => (*unit).to_owned(),
            Self::Time { clock: Clock::Recording, .. } => "time in the recording".to_owned(),
            Self::Time { from, to, clock: Clock::Utc } => {
                let (first, last) = (date(*from), date(to - 1));
                if first == last { format!("UTC, {first}") } else { format!("UTC, {first} to {last}") }
            }
        }
    }
}

fn date(time: i64) -> String {
    utc(time, "%Y-%m-%d")
}

fn utc(time: i64, format: &str) -> String {
    let printed = Timestamp::from_millisecond(time).ok().and_then(|time| strtime::format(format, time).ok());
    printed.unwrap_or_else(|| "?".to_owned())
}

/// A moment as precise as marks so far apart need it.
fn moment(time: i64, step: i64, clock: Clock) -> String {
    match clock {
        Clock::Utc if step >= DAY => utc(time, "%m-%d"),
        Clock::Utc if step >= 60_000 => utc(time, "%H:%M"),
        Clock::Utc => utc(time, "%H:%M:%S"),
        Clock::Recording => span(time, step < 1000),
    }
}

/// A time in a recording: `1:02:03`, `2:03`, or `2:03.5` with tenths.
pub(super) fn span(ms: i64, tenths: bool) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let rest = if tenths { format!(".{}", ms / 100 % 10) } else { String::new() };
    match hours {
        0 => format!("{sign}{minutes}:{seconds:02}{rest}"),
        _ => format!("{sign}{hours}:{minutes:02}:{seconds:02}{rest}"),
    }
}

/// A moment in full.
pub(super) fn full(time: i64, clock: Clock) -> String {
    match clock {
        Clock::Utc => utc(time, "%Y-%m-%d %H:%M:%S"),
        Clock::Recording => span(time, true),
    }
}

/// Round values from 0 to `to`, with their texts.
pub(super) fn steps(to: f64) -> Vec<(f64, String)> {
    let rough = to / 5.0;
    if !rough.is_normal() || rough < 0.0 {
        return vec![(0.0, "0".to_owned())];
    }
    let power = 10_f64.powi(rough.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let count = (to / step + 1e-9).floor() as i32;
    (0..=count.min(12)).map(|n| f64::from(n) * step).map(|value| (value, number(value))).collect()
}

/// A number with as many digits as are of use.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        least if least >= 100.0 || least == 0.0 => 0,
        least if least >= 10.0 => 1,
        least if least >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.marks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn values_have_round_marks() {
        let marks = |to| steps(to).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ");
        assert_eq!(marks(1.0), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(marks(137.0), "0 50 100");
        assert_eq!(marks(3.0), "0 1 2 3");
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(marks(odd), "0");
        }
        assert_eq!([0.0, 0.1234, 12.34, 1234.5, 5.0].map(number).join(" "), "0 0.123 12.3 1234 5");
    }

    #[test]
    fn times_are_marked_in_steps_that_people_use() {
        let recording = |to| Axis::Time { from: 0, to, clock: Clock::Recording };
        assert_eq!(texts(&recording(139_400)), ["0:00", "0:30", "1:00", "1:30", "2:00"]);
        assert_eq!(texts(&recording(1_000))[1], "0:00.2");
        assert_eq!(texts(&recording(2 * 3_600_000))[3], "1:30:00");
        let start = "2026-11-22T08:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let utc = |length| Axis::Time { from: start + 1, to: start + length, clock: Clock::Utc };
        assert_eq!(texts(&utc(60_000)), ["08:00:10", "08:00:20", "08:00:30", "08:00:40", "08:00:50", "08:01:00"]);
        assert_eq!(texts(&utc(5 * DAY)), ["11-23", "11-24", "11-25", "11-26", "11-27"]);
        assert_eq!(utc(60_000).title(), "UTC, 2026-11-22");
        assert_eq!(utc(2 * DAY).title(), "UTC, 2026-11-22 to 2026-11-24");
        let wild = Axis::Time { from: i64::MIN / 4, to: i64::MAX / 4, clock: Clock::Utc };
        assert!(wild.marks().len() <= 12);
    }
}
