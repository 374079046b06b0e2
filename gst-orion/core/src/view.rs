// SPDX-License-Identifier: MPL-2.0
//! From the frame to a network's input and back: crop, scale, pad; for workers written in Rust, and as the yardstick of others.
//!
//! The numbers agree with those of the shipped Python worker; `tests/fixtures/views.json` is checked by both.

use crate::{
    geometry::{NormRect, PixelRect},
    wire::BBox,
};

/// The smallest side of a crop, pixels; below that nothing can be scaled sensibly.
const MIN_CROP: u32 = 2;

/// How a frame, or a part of it, lies in a network's input: aspect kept, in the middle, bars around it.
///
/// Each axis has its own exact scale, since the scaled size is rounded to whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// What is cut out of the frame, pixels of the frame.
    pub crop: PixelRect,
    /// Size of the cut-out in the input, pixels.
    pub scaled: (u32, u32),
    /// Where the cut-out begins in the input, pixels.
    pub offset: (u32, u32),
    frame: (u32, u32),
}

impl View {
    /// How `region` of a frame lies in an input. Sizes are width and height in pixels, none of them 0.
    pub fn new(frame: (u32, u32), region: Option<&NormRect>, input: (u32, u32)) -> Self {
        let crop = region.unwrap_or(&NormRect::FULL).to_pixels(frame.0, frame.1);
        let (x, width) = at_least(crop.x, crop.width, frame.0);
        let (y, height) = at_least(crop.y, crop.height, frame.1);
        let ratio = (f64::from(input.0) / f64::from(width)).min(f64::from(input.1) / f64::from(height));
        let fit = |side: u32, limit: u32| ((f64::from(side) * ratio).round_ties_even() as u32).clamp(1, limit);
        let scaled = (fit(width, input.0), fit(height, input.1));
        let offset = ((input.0 - scaled.0) / 2, (input.1 - scaled.1) / 2);
        Self { crop: PixelRect { x, y, width, height }, scaled, offset, frame }
    }

    fn scale(&self) -> (f64, f64) {
        (f64::from(self.scaled.0) / f64::from(self.crop.width), f64::from(self.scaled.1) / f64::from(self.crop.height))
    }

    /// A box of the frame in pixels of the input.
    pub fn to_input(&self, bbox: &BBox) -> BBox {
        let (sx, sy) = self.scale();
        BBox {
            x: (bbox.x - f64::from(self.crop.x)) * sx + f64::from(self.offset.0),
            y: (bbox.y - f64::from(self.crop.y)) * sy + f64::from(self.offset.1),
            width: bbox.width * sx,
            height: bbox.height * sy,
        }
    }

    /// A box of the input in pixels of the frame, cut at the frame's edges; none when nothing is left of it.
    pub fn to_frame(&self, bbox: &BBox) -> Option<BBox> {
        let (sx, sy) = self.scale();
        let left = (bbox.x - f64::from(self.offset.0)) / sx + f64::from(self.crop.x);
        let top = (bbox.y - f64::from(self.offset.1)) / sy + f64::from(self.crop.y);
        let (right, bottom) = (left + bbox.width / sx, top + bbox.height / sy);
        if ![left, top, right, bottom].iter().all(|side| side.is_finite()) {
            return None;
        }
        let (x, right) = (left.max(0.0), right.min(f64::from(self.frame.0)));
        let (y, bottom) = (top.max(0.0), bottom.min(f64::from(self.frame.1)));
        (right > x && bottom > y).then_some(BBox { x, y, width: right - x, height: bottom - y })
    }
}

fn at_least(start: u32, length: u32, limit: u32) -> (u32, u32) {
    if length >= MIN_CROP {
        return (start, length);
    }
    let start = start.min(limit.saturating_sub(MIN_CROP));
    (start, MIN_CROP.min(limit - start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        frame: (u32, u32),
        region: Option<NormRect>,
        input: (u32, u32),
        crop: (u32, u32, u32, u32),
        scaled: (u32, u32),
        offset: (u32, u32),
    }

    #[test]
    fn agrees_with_the_python_worker() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../../tests/fixtures/views.json")).unwrap();
        assert!(cases.len() >= 20);
        for case in cases {
            let view = View::new(case.frame, case.region.as_ref(), case.input);
            let crop = (view.crop.x, view.crop.y, view.crop.width, view.crop.height);
            assert_eq!((crop, view.scaled, view.offset), (case.crop, case.scaled, case.offset), "{:?}", case.frame);
        }
    }

    #[test]
    fn what_is_outside_or_no_number_is_no_box() {
        let view = View::new((1280, 720), None, (640, 640));
        let at = |x: f64, width: f64| view.to_frame(&BBox { x, y: 200.0, width, height: 50.0 });
        assert_eq!(at(700.0, 50.0), None);
        assert_eq!(at(f64::NAN, 50.0), None);
        assert_eq!(at(-10.0, 20.0).map(|b| (b.x, b.width)), Some((0.0, 20.0)));
    }

    proptest! {
        #[test]
        fn boxes_come_back_within_a_pixel_and_inside_the_frame(
            frame in (2u32..5000, 2u32..5000),
            region in prop::option::of((0.0..0.98f64, 0.0..0.98f64, 0.02..=1.0f64, 0.02..=1.0f64)),
            input in prop::sample::select(vec![(320, 320), (640, 640), (416, 416), (640, 384)]),
            place in (0.0..0.9f64, 0.0..0.9f64, 0.05..=1.0f64, 0.05..=1.0f64),
        ) {
            let region = region.map(|(x, y, w, h)| NormRect::new(x, y, w * (1.0 - x), h * (1.0 - y)).unwrap());
            let view = View::new(frame, region.as_ref(), input);
            let c = view.crop;
            prop_assert!(c.width > 0 && c.height > 0 && c.x + c.width <= frame.0 && c.y + c.height <= frame.1);
            // A box somewhere inside the crop, in pixels of the frame.
            let (x, y, w, h) = place;
            let bbox = BBox {
                x: f64::from(c.x) + x * f64::from(c.width),
                y: f64::from(c.y) + y * f64::from(c.height),
                width: w * (1.0 - x) * f64::from(c.width),
                height: h * (1.0 - y) * f64::from(c.height),
            };
            let seen = view.to_input(&bbox);
            prop_assert!(seen.x > -1e-6 && seen.x + seen.width < f64::from(input.0) + 1e-6);
            prop_assert!(seen.y > -1e-6 && seen.y + seen.height < f64::from(input.1) + 1e-6);
            let back = view.to_frame(&seen).unwrap();
            for (a, b) in [(bbox.x, back.x), (bbox.y, back.y), (bbox.width, back.width), (bbox.height, back.height)] {
                prop_assert!((a - b).abs() < 1.0, "{bbox:?} {back:?}");
            }
            prop_assert!(back.x >= 0.0 && back.x + back.width <= f64::from(frame.0) + 1e-6);
            prop_assert!(back.y >= 0.0 && back.y + back.height <= f64::from(frame.1) + 1e-6);
        }

        #[test]
        fn whatever_a_network_says_lies_inside_the_frame(
            frame in (1u32..5000, 1u32..5000),
            x in -2000.0..3000.0f64, y in -2000.0..3000.0f64, w in -10.0..3000.0f64, h in -10.0..3000.0f64,
        ) {
            if let Some(b) = View::new(frame, None, (640, 640)).to_frame(&BBox { x, y, width: w, height: h }) {
                prop_assert!(b.width > 0.0 && b.height > 0.0 && b.x >= 0.0 && b.y >= 0.0);
                prop_assert!(b.x + b.width <= f64::from(frame.0) + 1e-6 && b.y + b.height <= f64::from(frame.1) + 1e-6);
            }
        }
    }
}
