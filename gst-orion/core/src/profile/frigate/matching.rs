// SPDX-License-Identifier: MPL-2.0
//! Which of the things seen on a frame is which of the objects followed so far.

use serde::Deserialize;

use super::PixelBox;
use crate::{
    geometry::NormRect,
    wire::{BBox, Detection, InferenceResult, MAX_LABEL},
};

/// The overlap from which two boxes are the same object: default `iou_threshold` of SORT (abewley/sort, `sort.py`).
const MIN_OVERLAP: f64 = 0.3;

/// The distance up to which two boxes can be the same object: Frigate, `norfair_tracker.py`, `distance_threshold`.
const MAX_DISTANCE: f64 = 2.5;

/// A region that is not known.
pub(super) const NOWHERE: PixelBox = [0; 4];

/// Edges as fractional pixels: left, top, right, bottom.
pub(super) type Edges = [f64; 4];

/// One thing seen on a frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sighting {
    pub label: String,
    pub score: f64,
    pub bbox: PixelBox,
}

impl Sighting {
    /// Whole pixels as Frigate cuts them (`video.py`, `detect`): rounded down, at most the last pixel of the frame,
    /// whose size in pixels is `size`. None for what lies outside; without a size nothing is known to.
    pub fn new(detection: &Detection, size: Option<(u32, u32)>) -> Option<Self> {
        let BBox { x, y, width, height } = detection.bbox;
        let (width_limit, height_limit) = size.unwrap_or((u32::MAX, u32::MAX));
        let (last_x, last_y) = (width_limit.saturating_sub(1), height_limit.saturating_sub(1));
        let bbox = [x as u32, y as u32, ((x + width) as u32).min(last_x), ((y + height) as u32).min(last_y)];
        let outside = bbox[0] >= last_x || bbox[1] >= last_y || x + width <= 0.0 || y + height <= 0.0;
        if outside || !detection.confidence.is_finite() {
            return None;
        }
        let label = detection.label.chars().take(MAX_LABEL).collect();
        Some(Self { label, score: detection.confidence.clamp(0.0, 1.0), bbox })
    }
}

/// What matters here of `metadata.roi_processing`; a worker may leave out the rest.
#[derive(Deserialize)]
struct Crop {
    crop_applied: bool,
    merged_roi: Option<NormRect>,
}

/// The part of the frame that the worker looked at, pixels: the region if it cut the picture, else all of it. A part of
/// a frame whose size is not known may be anywhere, so it is nowhere.
pub(super) fn searched(result: &InferenceResult, size: Option<(u32, u32)>) -> PixelBox {
    let roi = result.data.metadata.get("roi_processing");
    let crop = roi.and_then(|value| Crop::deserialize(value).ok());
    let region = crop.filter(|crop| crop.crop_applied).and_then(|crop| crop.merged_roi);
    let Some((width, height)) = size else {
        return if region.is_some() { NOWHERE } else { [0, 0, u32::MAX, u32::MAX] };
    };
    let pixels = region.unwrap_or(NormRect::FULL).to_pixels(width, height);
    [pixels.x, pixels.y, pixels.x + pixels.width, pixels.y + pixels.height]
}

/// Whether the middle of the box lies in the region.
pub(super) fn covers(region: PixelBox, bbox: PixelBox) -> bool {
    let inside = |start: usize| {
        let middle = f64::midpoint(f64::from(bbox[start]), f64::from(bbox[start + 2]));
        (f64::from(region[start])..=f64::from(region[start + 2])).contains(&middle)
    };
    inside(0) && inside(1)
}

pub(super) fn edges(bbox: PixelBox) -> Edges {
    bbox.map(f64::from)
}

/// Intersection over union, 0..1; 0 for boxes without an area.
pub(super) fn overlap(a: Edges, b: Edges) -> f64 {
    let area = |[left, top, right, bottom]: Edges| (right - left).max(0.0) * (bottom - top).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let union = area(a) + area(b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// How far a box is from where the object was, in its own sizes: the length of (move of the lower edge's middle in x /
/// width, in y / height, ratio of widths − 1, ratio of heights − 1), the larger side of each ratio above. Formula:
/// Frigate, `norfair_tracker.py`, `distance`; there from an estimate, here from the last box.
fn distance(was: Edges, is: Edges) -> f64 {
    let size = |[left, top, right, bottom]: Edges| ((right - left).max(1.0), (bottom - top).max(1.0));
    let (old, new) = (size(was), size(is));
    let dx = (f64::midpoint(is[0], is[2]) - f64::midpoint(was[0], was[2])) / old.0;
    let dy = (is[3] - was[3]) / old.1;
    let growth = |a: f64, b: f64| a.max(b) / a.min(b) - 1.0;
    dx.hypot(dy).hypot(growth(old.0, new.0).hypot(growth(old.1, new.1)))
}

/// For each sighting the object that it is, by its place in `objects` (label and last box). Objects of the same label
/// only; each at most once; the largest overlap first, then, for fast ones, the smallest distance.
pub(super) fn pair(objects: &[(&str, PixelBox)], seen: &[Sighting]) -> Vec<Option<usize>> {
    let mut found = vec![None; seen.len()];
    let mut taken = vec![false; objects.len()];
    let costs: [fn(Edges, Edges) -> Option<f64>; 2] = [
        |was, is| Some(overlap(was, is)).filter(|iou| *iou >= MIN_OVERLAP).map(|iou| -iou),
        |was, is| Some(distance(was, is)).filter(|distance| *distance < MAX_DISTANCE),
    ];
    for cost in costs {
        let mut pairs = Vec::new();
        for (n, sighting) in seen.iter().enumerate().filter(|(n, _)| found[*n].is_none()) {
            let free = objects.iter().enumerate().filter(|(o, (label, _))| !taken[*o] && *label == sighting.label);
            pairs.extend(free.filter_map(|(o, (_, bbox))| Some((cost(edges(*bbox), edges(sighting.bbox))?, o, n))));
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, object, sighting) in pairs {
            if !taken[object] && found[sighting].is_none() {
                taken[object] = true;
                found[sighting] = Some(object);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(label: &str, bbox: PixelBox) -> Sighting {
        Sighting { label: label.into(), score: 0.9, bbox }
    }

    #[test]
    fn the_largest_overlap_wins() {
        let objects = [("person", [0, 0, 100, 100]), ("person", [40, 0, 140, 100])];
        let frame = [seen("person", [50, 0, 150, 100]), seen("person", [20, 0, 120, 100])];
        assert_eq!(pair(&objects, &frame), [Some(1), Some(0)]);
    }

    #[test]
    fn a_fast_one_is_found_by_its_distance_and_another_label_never() {
        let objects = [("person", [0, 0, 40, 100]), ("cat", [200, 0, 240, 100])];
        let moved = [seen("person", [90, 0, 130, 100])];
        assert_eq!(pair(&objects, &moved), [Some(0)], "2.25 widths");
        assert_eq!(pair(&objects, &[seen("person", [110, 0, 150, 100])]), [None], "2.75 widths");
        assert_eq!(pair(&objects, &[seen("dog", [0, 0, 40, 100])]), [None]);
        assert_eq!(pair(&objects, &[seen("person", [0, 60, 160, 100])]), [None], "four times as wide");
        let twice = [seen("person", [0, 0, 40, 100]), seen("person", [0, 0, 40, 99])];
        assert_eq!(pair(&objects, &twice), [Some(0), None]);
        assert_eq!(overlap([1.0; 4], [1.0; 4]), 0.0, "no area, no division by it");
    }

    #[test]
    fn boxes_are_whole_pixels_inside_the_frame() {
        let detection = |x: f64, width: f64| Detection {
            bbox: BBox { x, y: 1.9, width, height: 1e9 },
            confidence: 0.5,
            label: "x".repeat(1000),
            label_id: None,
        };
        let whole = Sighting::new(&detection(-2.5, 1e300), Some((64, 48))).unwrap();
        assert_eq!(whole.bbox, [0, 1, 63, 47]);
        assert_eq!(whole.label.len(), MAX_LABEL);
        assert_eq!(Sighting::new(&detection(63.0, 1.0), Some((64, 48))), None);
        assert_eq!(Sighting::new(&detection(-9.0, 9.0), Some((64, 48))), None);
        assert_eq!(Sighting::new(&detection(0.0, 9.0), Some((0, 0))), None);
        let far = Sighting::new(&detection(5000.0, 9.0), None).unwrap();
        assert_eq!(far.bbox[..3], [5000, 1, 5009], "no edge is known");
        assert_eq!(Sighting::new(&detection(-9.0, 9.0), None), None, "that one is");
        let sure = Detection { confidence: 7.0, ..detection(0.0, 9.0) };
        assert_eq!(Sighting::new(&sure, None).unwrap().score, 1.0);
    }

    #[test]
    fn only_a_cut_picture_narrows_the_region() {
        let result = |applied: bool, width: f64| {
            let roi = json!({"target_size": 640, "crop_applied": applied, "source": "external", "attention_rois": [],
                "merged_roi": {"x": 0.25, "y": 0.5, "width": width, "height": 0.5}});
            let value = json!({
                "type": "t", "instance_id": "", "room_id": "", "timestamp": "", "frame_seq": 0, "timing": {"total_ms": 0.0},
                "data": {"detections": [], "count": 0, "metadata": {"roi_processing": roi}},
            });
            serde_json::from_value::<InferenceResult>(value).unwrap()
        };
        assert_eq!(searched(&result(true, 0.5), Some((100, 80))), [25, 40, 75, 80]);
        assert_eq!(searched(&result(false, 0.5), Some((100, 80))), [0, 0, 100, 80]);
        assert_eq!(searched(&result(true, 5.0), Some((100, 80))), [0, 0, 100, 80], "not a region");
        let place = [9000, 40, 9050, 80];
        assert!(covers(searched(&result(false, 0.5), None), place), "wherever it is");
        assert!(!covers(searched(&result(true, 0.5), None), place), "who knows?");
        assert!(covers([25, 40, 75, 80], [20, 30, 30, 50]));
        assert!(!covers([25, 40, 75, 80], [0, 50, 48, 60]));
    }
}
