// SPDX-License-Identifier: MPL-2.0
//! Rectangles: normalised (`0..1`) and in pixels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Slack for sums of rounded decimals such as `0.7 + 0.3`; far below a thousandth of a pixel.
const EPSILON: f64 = 1e-6;

/// The least side of a region, a fraction of the frame's: of thinner ones rounding would leave nothing, in sums as in pixels.
const LEAST_SIDE: f64 = 1e-5;

/// Why four numbers are not a rectangle inside the unit square.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RectError {
    /// NaN or an infinity.
    #[error("{field} must be a finite number, got {value}")]
    NotFinite {
        /// Which of `x`, `y`, `width`, `height`.
        field: &'static str,
        /// The number as given.
        value: f64,
    },
    /// A corner outside the picture.
    #[error("{field} must be between 0 and 1, got {value}")]
    OutOfRange {
        /// `x` or `y`.
        field: &'static str,
        /// The number as given.
        value: f64,
    },
    /// A side of nothing or less.
    #[error("{field} must be greater than 0, got {value}")]
    NotPositive {
        /// `width` or `height`.
        field: &'static str,
        /// The number as given.
        value: f64,
    },
    /// A rectangle that leaves the picture at the right or at the bottom.
    #[error("{corner} + {side} must be at most 1, got {sum}")]
    Outside {
        /// `x` or `y`.
        corner: &'static str,
        /// `width` or `height`.
        side: &'static str,
        /// Corner plus side.
        sum: f64,
    },
}

/// The four numbers as they stand in a message, not yet checked.
#[derive(Debug, Clone, Copy, Deserialize)]
struct RawRect {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// A rectangle inside the frame: its upper left corner and its size, as fractions of the frame's width and height.
///
/// Every one is valid: finite, of positive size, inside `0..1`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawRect")]
#[schemars(!try_from)]
pub struct NormRect {
    /// Left edge, 0..1 of the frame's width.
    #[schemars(range(min = 0, max = 1))]
    x: f64,
    /// Top edge, 0..1 of the frame's height.
    #[schemars(range(min = 0, max = 1))]
    y: f64,
    /// Width, 0..1 of the frame's; `x + width` is at most 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    width: f64,
    /// Height, 0..1 of the frame's; `y + height` is at most 1.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    height: f64,
}

impl TryFrom<RawRect> for NormRect {
    type Error = RectError;

    fn try_from(raw: RawRect) -> Result<Self, RectError> {
        Self::new(raw.x, raw.y, raw.width, raw.height)
    }
}

impl NormRect {
    /// The whole frame.
    pub const FULL: Self = Self { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };

    /// Checks the four numbers; sums may pass 1 by a rounding error, which is cut off. A side below a hundred-thousandth of the
    /// frame, less than a pixel, becomes that.
    ///
    /// # Errors
    /// [`RectError`] names the first field that breaks a rule.
    pub fn new(x: f64, y: f64, width: f64, height: f64) -> Result<Self, RectError> {
        for (field, value) in [("x", x), ("y", y), ("width", width), ("height", height)] {
            if !value.is_finite() {
                return Err(RectError::NotFinite { field, value });
            }
        }
        for (field, value) in [("x", x), ("y", y)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(RectError::OutOfRange { field, value });
            }
        }
        for (field, value) in [("width", width), ("height", height)] {
            if value <= 0.0 {
                return Err(RectError::NotPositive { field, value });
            }
        }
        for (corner, side, sum) in [("x", "width", x + width), ("y", "height", y + height)] {
            if sum > 1.0 + EPSILON {
                return Err(RectError::Outside { corner, side, sum });
            }
        }
        // A corner at 1 leaves nothing inside once the slack is cut off.
        for (corner, side, start) in [("x", "width", x), ("y", "height", y)] {
            if start >= 1.0 {
                return Err(RectError::Outside { corner, side, sum: start + EPSILON });
            }
        }
        let (x, width) = inside_axis(x, width);
        let (y, height) = inside_axis(y, height);
        Ok(Self { x, y, width, height })
    }

    /// Left edge, `0..1`.
    pub fn x(&self) -> f64 {
        self.x
    }

    /// Top edge, `0..1`.
    pub fn y(&self) -> f64 {
        self.y
    }

    /// Width, `0..1`.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Height, `0..1`.
    pub fn height(&self) -> f64 {
        self.height
    }

    /// The smallest rectangle that holds both.
    pub fn union(&self, other: &Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width).min(1.0);
        let bottom = (self.y + self.height).max(other.y + other.height).min(1.0);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// Grown around its centre so that each side is at least `side` (a fraction, at most 1), and moved back inside the frame.
    pub fn grown_to(&self, side: f64) -> Self {
        let (x, width) = grow_axis(self.x, self.width, side);
        let (y, height) = grow_axis(self.y, self.height, side);
        Self { x, y, width, height }
    }

    /// Grown on each side by so much of the frame, and cut at its edges.
    pub fn grown_by(&self, dx: f64, dy: f64) -> Self {
        let (x, y) = ((self.x - dx).max(0.0), (self.y - dy).max(0.0));
        let right = (self.x + self.width + dx).min(1.0);
        let bottom = (self.y + self.height + dy).min(1.0);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// `weight * other + (1 - weight) * self`, each component for itself; `weight` in 0..1.
    pub fn mixed(&self, other: &Self, weight: f64) -> Self {
        let mix = |own: f64, other: f64| weight * other + (1.0 - weight) * own;
        let (x, y) = (mix(self.x, other.x), mix(self.y, other.y));
        let (width, height) = (mix(self.width, other.width), mix(self.height, other.height));
        // Both lie inside, and so does every mean of them, up to a rounding error.
        Self { x, y, width: width.min(1.0 - x), height: height.min(1.0 - y) }
    }

    /// Distance of the two centres, in fractions of the frame's sides.
    pub fn centre_distance(&self, other: &Self) -> f64 {
        let dx = (other.x + other.width / 2.0) - (self.x + self.width / 2.0);
        let dy = (other.y + other.height / 2.0) - (self.y + self.height / 2.0);
        dx.hypot(dy)
    }

    /// Its share of the frame, 0..1.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Area in pixels of a frame of that size.
    pub fn area_px(&self, frame_width: u32, frame_height: u32) -> f64 {
        self.width * f64::from(frame_width) * self.height * f64::from(frame_height)
    }

    /// The whole pixels that it touches in a frame of that size.
    pub fn to_pixels(&self, frame_width: u32, frame_height: u32) -> PixelRect {
        PixelRect::covering(
            self.x * f64::from(frame_width),
            self.y * f64::from(frame_height),
            self.width * f64::from(frame_width),
            self.height * f64::from(frame_height),
            frame_width,
            frame_height,
        )
    }
}

fn inside_axis(start: f64, length: f64) -> (f64, f64) {
    let start = start.min(1.0 - LEAST_SIDE);
    (start, length.max(LEAST_SIDE).min(1.0 - start))
}

fn grow_axis(start: f64, length: f64, at_least: f64) -> (f64, f64) {
    let grown = length.max(at_least.min(1.0));
    let start = (start - (grown - length) / 2.0).clamp(0.0, 1.0 - grown);
    (start, grown)
}

/// A rectangle of whole pixels, inside its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelRect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl PixelRect {
    /// The whole pixels that a rectangle of fractional pixels touches, cut at the frame's edges.
    pub fn covering(x: f64, y: f64, width: f64, height: f64, frame_width: u32, frame_height: u32) -> Self {
        let (left, right) = cover_axis(x, width, frame_width);
        let (top, bottom) = cover_axis(y, height, frame_height);
        Self { x: left, y: top, width: right - left, height: bottom - top }
    }
}

// Casts from f64 saturate, so even wild numbers end inside the frame.
fn cover_axis(start: f64, length: f64, limit: u32) -> (u32, u32) {
    let first = ((start + EPSILON).floor().max(0.0) as u32).min(limit);
    let last = ((start + length - EPSILON).ceil().max(0.0) as u32).clamp(first, limit);
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rect(x: f64, y: f64, width: f64, height: f64) -> NormRect {
        NormRect::new(x, y, width, height).unwrap()
    }

    #[test]
    fn refuses_each_bad_number_by_its_field() {
        for (numbers, text) in [
            ((f64::NAN, 0.0, 1.0, 1.0), "x must be a finite number, got NaN"),
            ((0.0, 0.0, f64::INFINITY, 1.0), "width must be a finite number, got inf"),
            ((-0.1, 0.0, 0.5, 0.5), "x must be between 0 and 1, got -0.1"),
            ((0.0, 1.5, 0.5, 0.5), "y must be between 0 and 1, got 1.5"),
            ((0.0, 0.0, 0.0, 0.5), "width must be greater than 0, got 0"),
            ((0.0, 0.0, 0.5, -1.0), "height must be greater than 0, got -1"),
            ((0.5, 0.0, 0.75, 0.5), "x + width must be at most 1, got 1.25"),
        ] {
            let (x, y, width, height) = numbers;
            assert_eq!(NormRect::new(x, y, width, height).unwrap_err().to_string(), text);
        }
        assert!(NormRect::new(1.0, 0.0, 1e-9, 0.5).is_err(), "nothing is left of it inside the frame");
    }

    #[test]
    fn accepts_sums_that_pass_one_by_a_rounding_error() {
        let r = rect(0.7, 0.1, 0.300_000_000_000_000_04, 0.9);
        assert!(r.x() + r.width() <= 1.0 && r.y() + r.height() <= 1.0);
    }

    #[test]
    fn a_region_thinner_than_any_pixel_still_holds_one() {
        for (x, width) in [(0.999_999, 1e-7), (0.5, 5e-324), (0.0, 1e-17), (1.0 - f64::EPSILON, f64::EPSILON)] {
            let thin = rect(x, 0.0, width, 1.0);
            assert_eq!(
                NormRect::new(thin.x(), thin.y(), thin.width(), thin.height()),
                Ok(thin),
                "read as it is written"
            );
            for made in [thin, thin.union(&thin), thin.grown_to(0.0), thin.grown_by(0.0, 0.0), thin.mixed(&thin, 0.5)] {
                assert!(made.width() > 0.0 && made.x() + made.width() <= 1.0, "{made:?}");
                for side in [1, 640, 8192] {
                    let pixels = made.to_pixels(side, side);
                    assert!(pixels.width > 0 && pixels.x + pixels.width <= side, "{made:?}: {pixels:?} of {side}");
                }
            }
        }
    }

    #[test]
    fn grows_around_the_centre_and_stays_inside() {
        assert_eq!(rect(0.5, 0.5, 0.02, 0.02).grown_to(0.1), rect(0.46, 0.46, 0.1, 0.1));
        let corner = rect(0.99, 0.0, 0.01, 0.5).grown_to(0.1);
        assert!((corner.x() - 0.9).abs() < 1e-12 && corner.height() == 0.5);
    }

    #[test]
    fn covers_every_pixel_it_touches() {
        assert_eq!(rect(0.1, 0.0, 0.25, 1.0).to_pixels(10, 7), PixelRect { x: 1, y: 0, width: 3, height: 7 });
        assert_eq!(PixelRect::covering(-5.0, 2.5, 1e12, 1.0, 8, 8), PixelRect { x: 0, y: 2, width: 8, height: 2 });
    }

    fn any_rect() -> impl Strategy<Value = NormRect> {
        (0.0..0.999f64, 0.0..0.999f64, 0.001..=1.0f64, 0.001..=1.0f64)
            .prop_map(|(x, y, w, h)| rect(x, y, w * (1.0 - x), h * (1.0 - y)))
    }

    proptest! {
        #[test]
        fn never_leaves_the_unit_square(a in any_rect(), b in any_rect(), side in 0.0..=1.0f64) {
            for r in [a.union(&b), a.grown_to(side), a.union(&b).grown_to(side)] {
                prop_assert!(r.x() >= 0.0 && r.y() >= 0.0 && r.width() > 0.0 && r.height() > 0.0);
                prop_assert!(r.x() + r.width() <= 1.0 + 1e-12 && r.y() + r.height() <= 1.0 + 1e-12);
            }
        }

        #[test]
        fn pixels_lie_inside_any_frame(a in any_rect(), w in 1u32..5000, h in 1u32..5000) {
            let p = a.to_pixels(w, h);
            prop_assert!(p.x + p.width <= w && p.y + p.height <= h);
        }
    }
}
