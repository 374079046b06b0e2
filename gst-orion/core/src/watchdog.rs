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
    /// Of these, the ones with a result.
    pub results: u64,
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
    /// There was no result for so long, whatever was done about it; told once.
    Failed(Duration),
}

/// Watches one element.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watchdog {
    settled: u64,
    results: u64,
    /// Since when nothing has been settled while a frame was outstanding.
    since: Option<Duration>,
    /// Since when there was no result although frames were taken.
    fruitless: Option<Duration>,
    /// The workers were started anew, and nothing was settled since.
    restarted: bool,
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
        let given_up = sight.settled != self.settled && sight.results == self.results;
        if sight.settled != self.settled {
            (self.settled, self.since, self.restarted) = (sight.settled, None, false);
        }
        if sight.results != self.results {
            (self.results, self.fruitless, self.told) = (sight.results, None, false);
        }
        // A frame that is not wanted any more is not waited for.
        if !sight.wanted {
            (self.since, self.fruitless) = (None, None);
            return Verdict::Fine;
        }
        // A worker that dies of each frame has none in hand when it is looked at.
        if sight.in_flight > 0 || given_up {
            self.fruitless.get_or_insert(now);
        }
        // Whoever replaces workers that hang has had the time for it twice, and the new ones had that to start.
        let silent = self.fruitless.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if !self.told && silent >= 2 * timeout + startup {
            self.told = true;
            return Verdict::Failed(silent);
        }
        if sight.in_flight == 0 {
            self.since = None;
            return Verdict::Fine;
        }
        let waited = now.saturating_sub(*self.since.get_or_insert(now));
        match self.restarted {
            false if sight.starting => {
                self.since = Some(now);
                Verdict::Fine
            }
            false if waited >= timeout => {
                self.restarted = true;
                self.restarts += 1;
                Verdict::Restart(waited)
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
        Sight { in_flight: 1, settled, results: settled, wanted: true, starting: false }
    }

    /// All verdicts of so many seconds, and when they came.
    fn verdicts(
        watchdog: &mut Watchdog,
        seconds: std::ops::Range<u64>,
        sight: impl Fn(u64) -> Sight,
    ) -> Vec<(u64, Verdict)> {
        let looks = seconds.map(|n| (n, watchdog.look(Duration::from_secs(n), sight(n), LEAST, STARTUP)));
        looks.filter(|(_, verdict)| *verdict != Verdict::Fine).collect()
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
        assert_eq!(first_verdict(|n| Sight { starting: n < 50, ..busy(0) }, 75), None, "the first frame is slow");
        let paused = |n| Sight { wanted: !(20..320).contains(&n), ..busy(7) };
        assert_eq!(first_verdict(paused, 345), None, "a pause of five minutes begins the time anew");
        assert_eq!(first_verdict(paused, 360), Some((350, Verdict::Restart(LEAST))));
    }

    #[test]
    fn a_restart_that_does_not_help_is_told_once() {
        let mut watchdog = Watchdog::default();
        let (restart, failed) = (Verdict::Restart(LEAST), Verdict::Failed(Duration::from_secs(90)));
        assert_eq!(verdicts(&mut watchdog, 0..300, |_| busy(1)), [(30, restart), (90, failed)]);
        assert_eq!(verdicts(&mut watchdog, 300..331, |_| busy(2)), [(330, restart)], "answered, then again");
        assert_eq!(watchdog.restarts(), 2);
    }

    #[test]
    fn workers_that_are_replaced_again_and_again_are_no_help_either() {
        let failed = Verdict::Failed(Duration::from_secs(90));
        let silent = |sight: Sight| Sight { results: 7, ..sight };
        // Replaced by their element as each of them hangs, just before it would be noticed here.
        let hanging = |n| silent(busy(n / 29));
        assert_eq!(verdicts(&mut Watchdog::default(), 0..600, hanging), [(90, failed)]);
        // Dead with each frame, so that none is in hand when it is looked at.
        let dying = |n| silent(Sight { in_flight: 0, ..busy(n / 5) });
        assert_eq!(verdicts(&mut Watchdog::default(), 0..600, dying), [(95, failed)]);
        // Never ready.
        let starting = |n| silent(Sight { starting: true, ..busy(n / 40) });
        assert_eq!(verdicts(&mut Watchdog::default(), 0..600, starting), [(90, failed)]);
        // At work, and nothing but errors.
        assert_eq!(verdicts(&mut Watchdog::default(), 0..600, |n| silent(busy(n))), [(90, failed)]);
        assert_eq!(verdicts(&mut Watchdog::default(), 0..600, |n| busy(n / 20)), []);
        let paused = |n| Sight { wanted: n % 80 > 0, ..hanging(n) };
        assert_eq!(verdicts(&mut Watchdog::default(), 0..600, paused), [], "each pause begins the time anew");
    }
}
