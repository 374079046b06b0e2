// SPDX-License-Identifier: MPL-2.0
//! When to hand a worker its next frame, so that it is decoded in time and yet as fresh as can be.
//!
//! On a live stream a frame that waits in the worker grows old. So the next one is handed over when the present one has
//! as much time left as the worker needs to get the next one ready. Both are exponential moving averages.

use std::time::Duration;

use crate::wire::TargetSize;

/// Weight of the newest measurement.
const ALPHA: f64 = 0.2;
/// For the way through pipe and scheduler, which the worker does not see.
const MARGIN: Duration = Duration::from_millis(3);

/// Averages of one model.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    /// From the moment that a frame is the oldest in hand until its answer, s.
    service: Option<f64>,
    /// Decoding and scaling, s.
    prepare: f64,
}

/// The pace of one worker process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    // The two models take different times.
    small: Mean,
    large: Mean,
}

impl Pace {
    /// A frame was answered. `service`: since it was the oldest in hand; `prepare`: what the worker spent on getting
    /// it ready, whether hidden behind the frame before or not.
    pub fn answered(&mut self, target: Option<TargetSize>, service: Duration, prepare: Duration) {
        let mean = self.mean_mut(target);
        let mix = |old: f64, new: Duration| old + ALPHA * (new.as_secs_f64() - old);
        match mean.service {
            None => *mean = Mean { service: Some(service.as_secs_f64()), prepare: prepare.as_secs_f64() },
            Some(old) => *mean = Mean { service: Some(mix(old, service)), prepare: mix(mean.prepare, prepare) },
        }
    }

    /// How long after a frame became the oldest in hand the next one is to be handed over; none = nothing is known yet.
    /// `frames`: how many are to be got ready until then.
    pub fn hand_over(&self, target: Option<TargetSize>, frames: usize) -> Option<Duration> {
        let mean = if target == Some(TargetSize::S320) { self.small } else { self.large };
        let left = mean.service? - mean.prepare * frames as f64 - MARGIN.as_secs_f64();
        Some(Duration::try_from_secs_f64(left.max(0.0)).unwrap_or_default())
    }

    fn mean_mut(&mut self, target: Option<TargetSize>) -> &mut Mean {
        if target == Some(TargetSize::S320) { &mut self.small } else { &mut self.large }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_next_frame_comes_in_time_to_be_prepared() {
        let mut pace = Pace::default();
        assert_eq!(pace.hand_over(None, 1), None);
        pace.answered(Some(TargetSize::S640), ms(100), ms(10));
        assert_eq!(pace.hand_over(Some(TargetSize::S640), 1), Some(ms(87)));
        assert_eq!(pace.hand_over(None, 4), Some(ms(57)), "four take four times as long to prepare");
        assert_eq!(pace.hand_over(None, 1), Some(ms(87)), "without a wish it is the large model");
        assert_eq!(pace.hand_over(Some(TargetSize::S320), 1), None, "the other model has its own pace");
        pace.answered(Some(TargetSize::S320), ms(10), ms(9));
        assert_eq!(pace.hand_over(Some(TargetSize::S320), 1), Some(ms(0)));
    }

    #[test]
    fn it_follows_a_machine_that_becomes_slower() {
        let mut pace = Pace::default();
        pace.answered(None, ms(50), ms(5));
        for _ in 0..30 {
            pace.answered(None, ms(100), ms(5));
        }
        let hand_over = pace.hand_over(None, 1).unwrap();
        assert!(hand_over > ms(90) && hand_over <= ms(92), "{hand_over:?}");
    }
}
