// SPDX-License-Identifier: MPL-2.0
//! From what workers suggested on recent frames to the region for the next one.

use crate::geometry::NormRect;

/// What a worker suggested after it had looked at a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion {
    /// The frame's number.
    pub seq: u64,
    /// Where the persons were, with a margin.
    pub region: NormRect,
}

/// How suggestions become a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The last suggestion as it is.
    #[default]
    Simple,
    /// Exponential moving average of all components: `R = alpha * D + (1 - alpha) * R`.
    Smoothing,
    /// The last suggestion, grown with the speed of its centre.
    Velocity,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 3] = [Self::Simple, Self::Smoothing, Self::Velocity];

    /// The name in properties, commands and `stats`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Smoothing => "smoothing",
            Self::Velocity => "velocity",
        }
    }
}

/// A strategy and its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StrategySettings {
    /// Which one.
    pub strategy: Strategy,
    /// Weight of the newest suggestion in [`Strategy::Smoothing`], 0..1.
    pub alpha: f64,
    /// Speed from which a target counts as fast, in fractions of the frame per frame.
    pub velocity_threshold: f64,
    /// How many frames' way a fast target's region grows on each side.
    pub velocity_factor: f64,
    /// The most that it grows on each side, as a fraction of the frame.
    pub max_expansion: f64,
    /// How much the region of a slow target grows, as a fraction of its own size, half of it on each side.
    pub expansion: f64,
}

impl StrategySettings {
    /// The region for the next frame from the suggestions so far, oldest first; none without a suggestion.
    pub fn region(&self, suggestions: impl IntoIterator<Item = Suggestion>) -> Option<NormRect> {
        let mut suggestions = suggestions.into_iter();
        match self.strategy {
            Strategy::Simple => suggestions.last().map(|last| last.region),
            Strategy::Smoothing => {
                suggestions.map(|s| s.region).reduce(|average, next| average.mixed(&next, self.alpha))
            }
            Strategy::Velocity => {
                let mut before = suggestions.next()?;
                let mut last = before;
                for suggestion in suggestions {
                    before = std::mem::replace(&mut last, suggestion);
                }
                Some(self.led(before, last))
            }
        }
    }

    /// `max_expansion` and the speed are fractions of the frame, so a fast target's region grows by whole frames' ways.
    fn led(&self, before: Suggestion, last: Suggestion) -> NormRect {
        let frames = last.seq.saturating_sub(before.seq);
        let speed = if frames > 0 { before.region.centre_distance(&last.region) / frames as f64 } else { 0.0 };
        if speed > self.velocity_threshold {
            let side = self.max_expansion.min(speed * self.velocity_factor);
            last.region.grown_by(side, side)
        } else {
            let half = self.expansion / 2.0;
            last.region.grown_by(last.region.width() * half, last.region.height() * half)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prop_assert, proptest};

    use super::*;

    const SETTINGS: StrategySettings = StrategySettings {
        strategy: Strategy::Simple,
        alpha: 0.3,
        velocity_threshold: 0.05,
        velocity_factor: 1.5,
        max_expansion: 0.3,
        expansion: 0.15,
    };

    fn with(strategy: Strategy) -> StrategySettings {
        StrategySettings { strategy, ..SETTINGS }
    }

    fn at(seq: u64, x: f64) -> Suggestion {
        Suggestion { seq, region: NormRect::new(x, 0.4, 0.2, 0.2).unwrap() }
    }

    fn close(a: NormRect, b: [f64; 4]) -> bool {
        [a.x(), a.y(), a.width(), a.height()].iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn nothing_is_made_from_nothing() {
        for strategy in Strategy::ALL {
            assert_eq!(with(strategy).region([]), None);
        }
    }

    #[test]
    fn simple_is_the_last_suggestion() {
        assert_eq!(with(Strategy::Simple).region([at(1, 0.1), at(2, 0.5)]), Some(at(2, 0.5).region));
    }

    #[test]
    fn smoothing_is_an_exponential_average() {
        let region = with(Strategy::Smoothing).region([at(1, 0.0), at(2, 0.5), at(3, 0.5)]).unwrap();
        assert!(close(region, [0.3 * 0.5 + 0.7 * 0.15, 0.4, 0.2, 0.2]), "{region:?}");
    }

    #[test]
    fn velocity_grows_with_the_speed_up_to_a_limit() {
        let region = |suggestions: &[Suggestion]| with(Strategy::Velocity).region(suggestions.iter().copied()).unwrap();
        // Slow: 15 % of its size in all.
        assert!(close(region(&[at(1, 0.3), at(2, 0.34)]), [0.325, 0.385, 0.23, 0.23]));
        assert!(close(region(&[at(5, 0.3)]), [0.285, 0.385, 0.23, 0.23]));
        // 0.1 a frame: 0.15 on each side.
        assert!(close(region(&[at(1, 0.3), at(2, 0.4)]), [0.25, 0.25, 0.5, 0.5]));
        // The same way in four frames is slow.
        assert!(close(region(&[at(1, 0.3), at(5, 0.4)]), [0.385, 0.385, 0.23, 0.23]));
        // 0.4 a frame would be 0.6: 0.3 at most, and cut at the frame's edges.
        assert!(close(region(&[at(1, 0.1), at(2, 0.5)]), [0.2, 0.1, 0.8, 0.8]));
    }

    proptest! {
        #[test]
        fn no_strategy_leaves_the_unit_square(
            rects in collection::vec((0.0..0.99f64, 0.0..0.99f64, 0.01..=1.0f64, 0.01..=1.0f64, 0u64..5), 1..40),
            alpha in 0.0..=1.0f64, factor in 0.0..10.0f64, max in 0.0..=1.0f64, expansion in 0.0..=4.0f64,
        ) {
            let mut seq = 0;
            let suggestions: Vec<_> = rects.iter().map(|(x, y, w, h, step)| {
                seq += step;
                Suggestion { seq, region: NormRect::new(*x, *y, w * (1.0 - x), h * (1.0 - y)).unwrap() }
            }).collect();
            for strategy in Strategy::ALL {
                let settings = StrategySettings {
                    strategy, alpha, velocity_factor: factor, max_expansion: max, expansion, ..SETTINGS
                };
                let r = settings.region(suggestions.iter().copied()).unwrap();
                prop_assert!(r.x() >= 0.0 && r.y() >= 0.0 && r.width() > 0.0 && r.height() > 0.0);
                prop_assert!(r.x() + r.width() <= 1.0 + 1e-9 && r.y() + r.height() <= 1.0 + 1e-9);
            }
        }
    }
}
