// SPDX-License-Identifier: MPL-2.0
//! The rate gate: which frames pass so that at most so many a second do.

/// Slack for time stamps that are rounded to whole nanoseconds or jitter a little: a twentieth of the period.
const SLACK: u64 = 20;

/// Gates frames by presentation time, in exact fractions of a second, without looking at caps.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateGate {
    rate: f64,
    due: Option<f64>,
    last: Option<u64>,
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
        let pass = match self.due {
            _ if self.rate == 0.0 => true,
            None => true,
            // A jump back (seek, new stream) starts the grid anew.
            Some(due) => now >= due - self.period() / SLACK as f64 || self.last.is_some_and(|last| pts < last),
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
    }

    fn period(&self) -> f64 {
        1e9 / self.rate
    }
}

#[cfg(test)]
mod tests {
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
