// SPDX-License-Identifier: MPL-2.0
//! How often a camera sends a frame: measured once at the start, and at any time over the last seconds.

use std::{collections::VecDeque, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fewer frames say nothing.
const MIN_FRAMES: u64 = 3;
/// A deviation of less than this part of the mean is stable.
const STABLE: f64 = 0.15;
/// Of a camera that is slower than what is wanted, this part is taken.
const SHARE: f64 = 0.9;
/// What the running measure looks back.
const WINDOW: Duration = Duration::from_secs(5);
/// Frames that the running measure keeps at most.
const CAPACITY: usize = 1024;

/// What the warm-up found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WarmupReport {
    /// Frames that were measured.
    pub frames: u64,
    /// Mean rate, Hz; none with fewer than three frames.
    pub fps_mean: Option<f64>,
    /// Standard deviation of the rate, Hz.
    pub fps_stddev: Option<f64>,
    /// Mean difference between an interval and the one before, ms.
    pub jitter_ms: Option<f64>,
    /// Whether the deviation is less than 15 % of the mean; none if unknown.
    pub stable: Option<bool>,
    /// Frames a second that pass from now on at most, Hz.
    pub rate_hz: f64,
    /// Why this rate, in words.
    pub reason: String,
}

/// The measurement at the start. Times are of any clock that does not go back, ns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Warmup {
    frames: u64,
    last: Option<u64>,
    interval: Option<f64>,
    intervals: u64,
    sum: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
    changes: u64,
    change_sum: f64,
}

impl Warmup {
    /// A frame of this time.
    pub fn frame(&mut self, time: u64) {
        self.frames += 1;
        let before = self.last.replace(time);
        let Some(before) = before.filter(|before| *before < time) else {
            self.interval = None;
            return;
        };
        let interval = (time - before) as f64 / 1e9;
        self.intervals += 1;
        self.sum += interval;
        // Welford's method: exact also when intervals hardly differ.
        let distance = interval - self.mean;
        self.mean += distance / self.intervals as f64;
        self.squares += distance * (interval - self.mean);
        if let Some(other) = self.interval.replace(interval) {
            self.changes += 1;
            self.change_sum += (interval - other).abs();
        }
    }

    /// The stream was interrupted: the next interval says nothing.
    pub fn interrupt(&mut self) {
        self.last = None;
        self.interval = None;
    }

    /// What was found; `max_rate` is what is wanted at most, Hz.
    pub fn report(&self, max_rate: f64) -> WarmupReport {
        if self.frames < MIN_FRAMES || self.intervals == 0 || self.sum <= 0.0 {
            return WarmupReport {
                frames: self.frames,
                fps_mean: None,
                fps_stddev: None,
                jitter_ms: None,
                stable: None,
                rate_hz: max_rate,
                reason: format!("{} frames do not tell the camera's rate; {max_rate} Hz as asked for", self.frames),
            };
        }
        let fps = self.intervals as f64 / self.sum;
        let deviation = fps * (self.squares / self.intervals as f64).max(0.0).sqrt() / self.mean;
        let (rate, reason) = match fps < max_rate {
            true => (SHARE * fps, format!("nine tenths of the camera's {fps:.2} Hz, which is less than {max_rate} Hz")),
            false => (max_rate, format!("as asked for; the camera sends {fps:.2} Hz")),
        };
        WarmupReport {
            frames: self.frames,
            fps_mean: Some(fps),
            fps_stddev: Some(deviation),
            jitter_ms: Some(if self.changes > 0 { 1e3 * self.change_sum / self.changes as f64 } else { 0.0 }),
            stable: Some(deviation < STABLE * fps),
            rate_hz: rate,
            reason,
        }
    }
}

/// The camera's rate over the last seconds.
#[derive(Debug, Clone, Default)]
pub struct FpsMeter {
    times: VecDeque<Duration>,
}

impl FpsMeter {
    /// A frame came at this time.
    pub fn frame(&mut self, now: Duration) {
        if self.times.len() == CAPACITY {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.forget(now);
    }

    /// Frames a second, Hz; none unless at least two came within the last five seconds.
    pub fn fps(&self, now: Duration) -> Option<f64> {
        let from = now.saturating_sub(WINDOW);
        let mut within = self.times.iter().filter(|time| **time >= from);
        let (first, last) = (within.next()?, self.times.back()?);
        let span = last.checked_sub(*first)?.as_secs_f64();
        (span > 0.0).then(|| within.count() as f64 / span)
    }

    /// Starts anew: what was before belongs to another connection.
    pub fn reset(&mut self) {
        self.times.clear();
    }

    fn forget(&mut self, now: Duration) {
        let from = now.saturating_sub(WINDOW);
        while self.times.front().is_some_and(|time| *time < from) {
            self.times.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(times_ms: &[u64], max_rate: f64) -> WarmupReport {
        let mut warmup = Warmup::default();
        times_ms.iter().for_each(|ms| warmup.frame(ms * 1_000_000));
        warmup.report(max_rate)
    }

    fn near(got: Option<f64>, expected: f64) {
        let got = got.unwrap();
        assert!((got - expected).abs() < 1e-6 * expected.max(1.0), "{got} instead of {expected}");
    }

    #[test]
    fn an_even_camera_is_stable_and_gives_what_is_asked() {
        let report = measured(&(0..=50).map(|n| 1_000 + n * 40).collect::<Vec<_>>(), 5.0);
        near(report.fps_mean, 25.0);
        near(report.fps_stddev, 0.0);
        near(report.jitter_ms, 0.0);
        assert_eq!((report.frames, report.stable, report.rate_hz), (51, Some(true), 5.0));
        assert_eq!(report.reason, "as asked for; the camera sends 25.00 Hz");
    }

    #[test]
    fn of_a_slow_camera_nine_tenths_are_taken() {
        let report = measured(&[0, 250, 500, 750, 1000], 5.0);
        near(Some(report.rate_hz), 3.6);
        assert_eq!(report.reason, "nine tenths of the camera's 4.00 Hz, which is less than 5 Hz");
    }

    #[test]
    fn deviation_and_jitter_are_those_of_the_intervals() {
        // Intervals of 30 and 50 ms in turn: mean 40, deviation 10, each differs by 20 from the one before.
        let times: Vec<_> = (0..=40).map(|n| n * 40 + if n % 2 == 1 { 10 } else { 20 } - 10).collect();
        let report = measured(&times, 30.0);
        near(report.fps_mean, 25.0);
        near(report.fps_stddev, 6.25);
        near(report.jitter_ms, 20.0);
        assert_eq!(report.stable, Some(false));
        near(Some(report.rate_hz), 22.5);
    }

    #[test]
    fn too_few_frames_say_nothing() {
        for times in [&[][..], &[5], &[5, 45], &[7, 7, 7]] {
            let report = measured(times, 5.0);
            assert_eq!((report.fps_mean, report.stable, report.rate_hz), (None, None, 5.0));
            assert!(report.reason.contains("do not tell"), "{}", report.reason);
        }
    }

    #[test]
    fn an_interruption_is_no_interval() {
        let mut warmup = Warmup::default();
        for (start, interrupt) in [(0, true), (9_000, false)] {
            (0..10).for_each(|n| warmup.frame((start + n * 100) * 1_000_000));
            if interrupt {
                warmup.interrupt();
            }
        }
        near(warmup.report(5.0).fps_mean, 10.0);
    }

    #[test]
    fn the_running_measure_follows_and_forgets() {
        let ms = Duration::from_millis;
        let mut meter = FpsMeter::default();
        assert_eq!(meter.fps(ms(0)), None);
        (0..200).for_each(|n| meter.frame(ms(n * 50)));
        near(meter.fps(ms(9_950)), 20.0);
        (0..60).for_each(|n| meter.frame(ms(10_000 + n * 100)));
        near(meter.fps(ms(15_900)), 10.0);
        assert_eq!(meter.fps(ms(30_000)), None, "nothing comes any more");
        meter.reset();
        assert_eq!(meter.fps(ms(15_900)), None);
        (0..5_000).for_each(|n| meter.frame(Duration::from_micros(n)));
        assert_eq!(meter.times.len(), CAPACITY);
    }
}
