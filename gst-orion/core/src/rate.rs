// SPDX-License-Identifier: MPL-2.0
//! The rate gate: which frames pass so that at most so many a second do.

/// Slack for time stamps that are rounded to whole nanoseconds, while the camera's interval is not known yet: a twentieth
/// of the period.
const SLACK: f64 = 20.0;
/// Weight of the newest interval in the mean.
const ALPHA: f64 = 0.125;
/// A longer interval than so many mean ones is an interruption, or a camera that changed: it counts as so many.
const LONGEST: f64 = 2.0;

/// Gates frames by presentation time, in exact fractions of a second, without looking at caps.
///
/// Moments lie on a grid of the rate that is asked for, and of each the nearest frame passes: so the mean rate is exact also
/// where the camera's is no multiple of it, and where its times jitter.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateGate {
    rate: f64,
    due: Option<f64>,
    last: Option<u64>,
    /// The frame before, whether it passed or not.
    before: Option<u64>,
    /// Mean time from one frame to the next, ns.
    interval: Option<f64>,
}

impl RateGate {
    /// Sets the highest rate in Hz; 0 (or anything not positive) lets all frames pass. Takes effect on the next frame:
    /// the grid starts anew at the frame that passed last, so no gap is longer than the old period plus the new one.
    pub fn set_rate(&mut self, rate: f64) {
        let rate = if rate.is_finite() && rate > 0.0 { rate } else { 0.0 };
        if rate != self.rate {
            self.rate = rate;
            self.due = self.last.filter(|_| rate > 0.0).map(|last| last as f64 + self.period());
        }
    }

    /// The rate in force, Hz; 0 = no limit.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether the frame of presentation time `pts` (ns) passes. Frames without a time always pass.
    pub fn admit(&mut self, pts: Option<u64>) -> bool {
        let Some(pts) = pts else {
            return true;
        };
        let now = pts as f64;
        self.measure(pts);
        let pass = match self.due {
            _ if self.rate == 0.0 => true,
            None => true,
            // A jump back (seek, new stream) starts the grid anew.
            Some(due) => now >= due - self.slack() || self.last.is_some_and(|last| pts < last),
        };
        if pass {
            if self.rate > 0.0 {
                let period = self.period();
                self.due = Some(match self.due {
                    // Keeping to the grid makes the mean rate exact; after a gap of a period or more it starts anew.
                    Some(due) if (now - due).abs() < period => due + period,
                    _ => now + period,
                });
            }
            self.last = Some(pts);
        }
        pass
    }

    /// Forgets the past: the next frame passes.
    pub fn reset(&mut self) {
        self.due = None;
        self.last = None;
        self.before = None;
    }

    /// How much too early a frame may be: the next one would be later by more.
    fn slack(&self) -> f64 {
        let period = self.period();
        self.interval.map_or(period / SLACK, |interval| interval.min(period) / 2.0)
    }

    fn measure(&mut self, pts: u64) {
        let Some(before) = self.before.replace(pts).filter(|before| *before < pts) else {
            return;
        };
        let interval = (pts - before) as f64;
        self.interval = Some(match self.interval {
            None => interval,
            Some(mean) => mean + ALPHA * (interval.min(LONGEST * mean) - mean),
        });
    }

    fn period(&self) -> f64 {
        1e9 / self.rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(rate: f64, fps: f64, seconds: f64) -> usize {
        let mut gate = RateGate::default();
        gate.set_rate(rate);
        (0..(fps * seconds) as u64).filter(|n| gate.admit(Some((*n as f64 * 1e9 / fps) as u64))).count()
    }

    #[test]
    fn mean_rate_is_the_one_asked_for_even_in_fractions() {
        for rate in [0.5, 1.0, 2.5, 5.0, 7.0, 12.5, 29.97] {
            let got = passed(rate, 30.0, 120.0) as f64 / 120.0;
            assert!((got - rate).abs() / rate < 0.02, "asked {rate}, got {got}");
        }
        assert_eq!(passed(60.0, 25.0, 10.0), 250, "a rate above the camera's lets every frame pass");
        assert_eq!(passed(0.0, 25.0, 10.0), 250);
        assert_eq!(passed(25.0, 25.0, 10.0), 250, "rounded time stamps do not cost a frame");
    }

    #[test]
    fn a_change_leaves_no_gap_longer_than_both_periods() {
        let rates = [1.0, 5.0, 0.5, 2.5, 30.0, 1.0, 0.0, 4.0];
        let mut gate = RateGate::default();
        let (mut last, mut before) = (None, 0.0);
        for n in 0u64..30 * 8 * 6 {
            let rate = rates[(n / (30 * 6)) as usize];
            if n % (30 * 6) == 0 {
                before = if gate.rate() > 0.0 { 1.0 / gate.rate() } else { 0.0 };
                gate.set_rate(rate);
            }
            let pts = n * 1_000_000_000 / 30;
            if gate.admit(Some(pts)) {
                if let Some(last) = last {
                    let gap = (pts - last) as f64 / 1e9;
                    let period = if rate > 0.0 { 1.0 / rate } else { 0.0 };
                    assert!(gap <= before + period + 2.0 / 30.0, "gap {gap} at {rate} Hz");
                }
                last = Some(pts);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the rates, and though times jitter by a fifth of the interval.
        #[test]
        fn the_mean_is_kept_and_no_gap_is_longer_than_both_periods(
            fps in 2.0..60.0f64,
            rates in prop::collection::vec(0.2..60.0f64, 1..5),
            jitter in prop_oneof![Just(0.0), 0.0..0.2f64],
            chances in prop::collection::vec(-1.0..1.0f64, 97),
        ) {
            let mut gate = RateGate::default();
            let interval = 1.0 / fps;
            let (mut n, mut last, mut period_before) = (0u32, None::<f64>, 0.0f64);
            for rate in rates {
                gate.set_rate(rate);
                let expected = rate.min(fps);
                let frames = (fps * (60.0 / expected).max(10.0)).ceil() as u32;
                let mut passed = 0u32;
                for _ in 0..frames {
                    n += 1;
                    let time = (f64::from(n) + 1.0 + jitter * chances[n as usize % chances.len()]) * interval;
                    if gate.admit(Some((time * 1e9) as u64)) {
                        if let Some(last) = last {
                            let gap = time - last;
                            // Two neighbours are at most 1.4 intervals apart.
                            let limit = period_before.max(1.0 / rate).max(interval) + 1.4 * interval;
                            prop_assert!(gap <= limit, "gap {gap} s, limit {limit} s, {rate} of {fps} Hz");
                        }
                        last = Some(time);
                        passed += 1;
                    }
                }
                let mean = f64::from(passed) * fps / f64::from(frames);
                prop_assert!((mean - expected).abs() <= 0.05 * expected, "{mean} Hz, asked {rate} of {fps} Hz");
                period_before = 1.0 / rate;
            }
        }
    }

    #[test]
    fn a_jump_back_or_a_missing_time_passes() {
        let mut gate = RateGate::default();
        gate.set_rate(1.0);
        assert!(gate.admit(Some(50_000_000_000)));
        assert!(!gate.admit(Some(50_100_000_000)));
        assert!(gate.admit(Some(0)));
        assert!(!gate.admit(Some(500_000_000)));
        assert!(gate.admit(Some(1_000_000_000)));
        assert!(gate.admit(None));
        gate.reset();
        assert!(gate.admit(Some(1_100_000_000)));
    }
}
