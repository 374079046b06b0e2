// SPDX-License-Identifier: MPL-2.0
//! Notices workers that take frames and give no answers, and says what is to be done.
//!
//! A worker that hangs on one frame is replaced by its element. This looks from outside at what comes of it all, and sees as well
//! what the element does not.

use std::time::Duration;

/// How many periods of the inference rate without any answer are too many.
const PERIODS: f64 = 3.0;

/// How long a frame may be outstanding at this rate (Hz; none or 0 = as many as come): `max(min_timeout, 3 / rate)`.
pub fn timeout(min_timeout: Duration, rate: Option<f64>) -> Duration {
    let rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.map_or(min_timeout, |rate| min_timeout.max(Duration::from_secs_f64((PERIODS / rate).min(86_400.0))))
}

/// What is seen of an element with workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sight {
    /// Frames that it has taken and not yet given up or answered.
    pub in_flight: u64,
    /// Frames that it has answered or given up since its start.
    pub settled: u64,
    /// Whether frames are wanted and come: not paused, a stream is there.
    pub wanted: bool,
    /// Whether new workers are being started already.
    pub starting: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Start the workers anew: a frame has been outstanding for so long.
    Restart(Duration),
    /// That was done and has not helped for so long; told once.
    Failed(Duration),
}

/// Watches one element.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watchdog {
    settled: u64,
    /// Since when nothing has been settled while a frame was outstanding.
    since: Option<Duration>,
    /// The workers were started anew at that time, and nothing was settled since.
    restarted: Option<Duration>,
    told: bool,
    restarts: u64,
}

impl Watchdog {
    /// How often workers were to be started anew.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Looks at an element; `startup`: how long new workers may take until they are ready.
    pub fn look(&mut self, now: Duration, sight: Sight, timeout: Duration, startup: Duration) -> Verdict {
        if sight.settled != self.settled {
            *self = Self { settled: sight.settled, restarts: self.restarts, ..Self::default() };
        }
        // A frame that is not wanted any more, or that never came, is not waited for.
        if sight.in_flight == 0 || !sight.wanted {
            self.since = None;
            return Verdict::Fine;
        }
        let waited = now.saturating_sub(*self.since.get_or_insert(now));
        match self.restarted {
            None if sight.starting => {
                self.since = Some(now);
                Verdict::Fine
            }
            None if waited >= timeout => {
                self.restarted = Some(now);
                self.restarts += 1;
                Verdict::Restart(waited)
            }
            Some(at) if !self.told && now.saturating_sub(at) >= timeout + startup => {
                self.told = true;
                Verdict::Failed(waited)
            }
            _ => Verdict::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(30);
    const STARTUP: Duration = Duration::from_secs(30);

    fn busy(settled: u64) -> Sight {
        Sight { in_flight: 1, settled, wanted: true, starting: false }
    }

    #[test]
    fn slow_rates_have_more_time() {
        for (rate, seconds) in [
            (Some(1.0), 30.0),
            (Some(0.5), 30.0),
            (Some(0.1), 30.0),
            (Some(10.0), 30.0),
            (Some(0.05), 60.0),
            (None, 30.0),
        ] {
            assert!((timeout(LEAST, rate).as_secs_f64() - seconds).abs() < 1e-6, "{rate:?}");
        }
        assert_eq!(timeout(LEAST, Some(0.0)), LEAST);
        assert_eq!(timeout(LEAST, Some(f64::NAN)), LEAST);
    }

    fn first_verdict(sight: impl Fn(u64) -> Sight, seconds: u64) -> Option<(u64, Verdict)> {
        let mut watchdog = Watchdog::default();
        let look = |n| watchdog.look(Duration::from_secs(n), sight(n), timeout(LEAST, Some(0.1)), STARTUP);
        (0..seconds).map(look).zip(0..).map(|(verdict, n)| (n, verdict)).find(|(_, verdict)| *verdict != Verdict::Fine)
    }

    #[test]
    fn only_a_frame_that_is_outstanding_counts() {
        assert_eq!(first_verdict(|_| busy(7), 300), Some((30, Verdict::Restart(LEAST))));
        assert_eq!(first_verdict(|_| Sight { wanted: false, ..busy(7) }, 300), None, "paused, or no camera");
        assert_eq!(first_verdict(|_| Sight { in_flight: 0, ..busy(7) }, 300), None, "no frame comes");
        assert_eq!(first_verdict(|n| busy(n / 10), 300), None, "an answer every 10 s at 0.1 Hz");
        assert_eq!(first_verdict(|n| Sight { starting: n < 100, ..busy(0) }, 125), None, "the first frame is slow");
        let paused = |n| Sight { wanted: !(20..320).contains(&n), ..busy(7) };
        assert_eq!(first_verdict(paused, 345), None, "a pause of five minutes begins the time anew");
        assert_eq!(first_verdict(paused, 360), Some((350, Verdict::Restart(LEAST))));
    }

    #[test]
    fn a_restart_that_does_not_help_is_told_once() {
        let mut watchdog = Watchdog::default();
        let mut verdicts = Vec::new();
        for n in 0..300 {
            match watchdog.look(Duration::from_secs(n), busy(1), LEAST, STARTUP) {
                Verdict::Fine => {}
                verdict => verdicts.push((n, verdict)),
            }
        }
        let failed = Verdict::Failed(Duration::from_secs(90));
        assert_eq!(verdicts, [(30, Verdict::Restart(LEAST)), (90, failed)]);
        assert_eq!(watchdog.look(Duration::from_secs(300), busy(2), LEAST, STARTUP), Verdict::Fine);
        assert_eq!(watchdog.look(Duration::from_secs(329), busy(2), LEAST, STARTUP), Verdict::Fine);
        assert_eq!(watchdog.look(Duration::from_secs(330), busy(2), LEAST, STARTUP), Verdict::Restart(LEAST), "again");
        assert_eq!(watchdog.restarts(), 2);
    }
}
