// SPDX-License-Identifier: MPL-2.0
//! What metas on a buffer say of the detections on its frame.

use crate::{geometry::PixelRect, wire::Detection};

/// GStreamer counts pixels of pictures in 32 bits with a sign.
const LARGEST_SIDE: u32 = i32::MAX as u32;

/// A detection in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark<'a> {
    /// What it is, for example `person`.
    pub label: &'a str,
    /// The label's number in the model, where that has one.
    pub label_id: Option<u32>,
    /// How sure the model is, 0..1.
    pub confidence: f64,
    /// The pixels that its box touches, at least one, all inside the frame; no number above `i32::MAX`.
    pub pixels: PixelRect,
}

/// The detections on a frame of that size in pixels, in their order; boxes are cut at the frame's edges, those outside it are
/// left out.
pub fn marks(detections: &[Detection], width: u32, height: u32) -> Vec<Mark<'_>> {
    let (width, height) = (width.min(LARGEST_SIDE), height.min(LARGEST_SIDE));
    let seen = detections.iter().filter_map(|Detection { bbox: b, confidence, label, label_id }| {
        let pixels = PixelRect::covering(b.x, b.y, b.width, b.height, width, height);
        let touches = pixels.width > 0 && pixels.height > 0;
        touches.then_some(Mark { label, label_id: *label_id, confidence: *confidence, pixels })
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::BBox;

    fn detection(label: &str, x: f64, y: f64, width: f64, height: f64) -> Detection {
        Detection { bbox: BBox { x, y, width, height }, confidence: 0.75, label: label.into(), label_id: Some(3) }
    }

    #[test]
    fn a_box_becomes_the_whole_pixels_that_it_touches() {
        let seen = [detection("person", 0.5, 1.0, 2.0, 1.0)];
        let pixels = PixelRect { x: 0, y: 1, width: 3, height: 1 };
        let mark = Mark { label: "person", label_id: Some(3), confidence: 0.75, pixels };
        assert_eq!(marks(&seen, 8, 6), [mark]);
    }

    #[test]
    fn boxes_are_cut_at_the_edges_and_left_out_beyond_them() {
        let seen = [
            detection("left", -4.0, -2.5, 6.0, 4.0),
            detection("beyond", 8.0, 0.0, 5.0, 5.0),
            detection("above", 0.0, -9.0, 5.0, 5.0),
            detection("right", 7.5, 5.9, 1e9, 1e300),
        ];
        let found: Vec<_> = marks(&seen, 8, 6).into_iter().map(|mark| (mark.label, mark.pixels)).collect();
        let left = PixelRect { x: 0, y: 0, width: 2, height: 2 };
        assert_eq!(found, [("left", left), ("right", PixelRect { x: 7, y: 5, width: 1, height: 1 })]);
    }

    #[test]
    fn nothing_seen_marks_nothing_and_equal_boxes_are_both_kept() {
        assert_eq!(marks(&[], 8, 6), []);
        let twice = [detection("person", 1.0, 1.0, 2.0, 2.0), detection("person", 1.0, 1.0, 2.0, 2.0)];
        assert_eq!(marks(&twice, 8, 6).len(), 2);
        assert_eq!(marks(&twice, 0, 6), [], "a frame without pixels");
    }

    proptest! {
        #[test]
        fn every_number_fits_32_bits_with_a_sign(
            x in any::<f64>(), y in any::<f64>(), w in any::<f64>(), h in any::<f64>(),
            width in any::<u32>(), height in any::<u32>(),
        ) {
            for mark in marks(&[detection("", x, y, w, h)], width, height) {
                let p = mark.pixels;
                prop_assert!(p.width > 0 && p.height > 0);
                for (first, length, side) in [(p.x, p.width, width), (p.y, p.height, height)] {
                    let end = first.checked_add(length);
                    prop_assert!(end.is_some_and(|end| end <= side && i32::try_from(end).is_ok()), "{p:?}");
                }
            }
        }
    }
}
