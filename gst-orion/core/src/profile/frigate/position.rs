// SPDX-License-Identifier: MPL-2.0
//! Whether an object keeps its place, though its box trembles.
//!
//! The rule is that of Frigate (`norfair_tracker.py`, `update_position`; limits: `stationary_classifier.py`) for
//! labels without an entry of their own, and without the comparison of pictures.

use std::collections::VecDeque;

use super::{
    PixelBox,
    matching::{Edges, edges, overlap},
};

/// Overlap with the mean of the latest boxes below which it moved, whatever else is true.
const SURELY_MOVED: f64 = 0.2;
/// The overlap that an object at rest must keep.
const RESTING: f64 = 0.6;
/// The overlap that an object on the move must reach to count as motionless.
const MOVING: f64 = 0.9;
/// Boxes remembered: the latest, and those that say where the place is.
const HISTORY: usize = 10;
/// Shares of the place's boxes that lie beyond its left or top edge, and beyond its right or bottom edge: leaves out
/// freaks.
const OUTLIERS: (f64, f64) = (0.15, 0.85);

/// The place of one object.
#[derive(Debug)]
pub(super) struct Position {
    place: Vec<PixelBox>,
    latest: VecDeque<PixelBox>,
}

impl Position {
    pub fn new(bbox: PixelBox) -> Self {
        Self { place: vec![bbox], latest: VecDeque::from([bbox]) }
    }

    /// Takes the next box; whether the object has left its place. `resting`: it was stationary so far.
    pub fn moved_to(&mut self, bbox: PixelBox, resting: bool) -> bool {
        self.latest.push_back(bbox);
        if self.latest.len() > HISTORY {
            self.latest.pop_front();
        }
        let needed = if resting { RESTING } else { MOVING };
        let steady = overlap(edges(bbox), self.mean());
        if steady < SURELY_MOVED || (steady < needed && overlap(self.bounds(), self.middle()) < needed) {
            // The latest boxes lie on the way here; the new place begins without them.
            self.latest.clear();
            self.place = vec![bbox];
            return true;
        }
        if self.place.len() < HISTORY {
            self.place.push(bbox);
        }
        false
    }

    fn mean(&self) -> Edges {
        let mut sum = [0.0; 4];
        for bbox in &self.latest {
            for (total, edge) in sum.iter_mut().zip(edges(*bbox)) {
                *total += edge;
            }
        }
        sum.map(|total| total / self.latest.len() as f64)
    }

    /// Of the latest boxes the one of middle area.
    fn middle(&self) -> Edges {
        let mut boxes = self.latest.iter().map(|bbox| edges(*bbox)).collect::<Vec<_>>();
        let area = |[left, top, right, bottom]: &Edges| (right - left) * (bottom - top);
        boxes.sort_by(|a, b| area(a).total_cmp(&area(b)));
        boxes.get(boxes.len() / 2).copied().unwrap_or_default()
    }

    fn bounds(&self) -> Edges {
        let edge = |n: usize, share: f64| {
            let mut values = self.place.iter().map(|bbox| f64::from(bbox[n])).collect::<Vec<_>>();
            values.sort_by(f64::total_cmp);
            let at = share * (values.len() - 1) as f64;
            let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
            low + (high - low) * at.fract()
        };
        [edge(0, OUTLIERS.0), edge(1, OUTLIERS.0), edge(2, OUTLIERS.1), edge(3, OUTLIERS.1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: u32, side: u32) -> PixelBox {
        [x, 100, x + side, 100 + side]
    }

    #[test]
    fn trembling_is_no_move() {
        let mut position = Position::new(at(100, 100));
        for n in 0..50 {
            assert!(!position.moved_to(at(99 + n % 3, 100 + n % 2), false), "box {n}");
        }
    }

    #[test]
    fn a_jump_and_a_walk_are_moves() {
        let mut position = Position::new(at(100, 100));
        assert!(position.moved_to(at(250, 100), true), "no overlap left");
        assert!(!position.moved_to(at(250, 100), false));
        let mut position = Position::new(at(100, 100));
        let moves = (1..20).filter(|step| position.moved_to(at(100 + step * 20, 100), false)).count();
        assert!(moves >= 5, "{moves} moves in 19 steps");
    }

    #[test]
    fn one_at_rest_may_sway_more() {
        let rest = |resting: bool| {
            let mut position = Position::new(at(100, 100));
            let still = (0..9).all(|_| !position.moved_to(at(100, 100), resting));
            assert!(still);
            (0..10).any(|_| position.moved_to(at(115, 100), resting))
        };
        assert!(rest(false));
        assert!(!rest(true));
    }

    #[test]
    fn a_freak_box_does_not_shift_the_place() {
        let mut position = Position::new(at(100, 100));
        position.place = vec![at(100, 100); HISTORY - 1];
        position.place.push(at(0, 900));
        assert_eq!(position.bounds(), edges(at(100, 100)));
    }
}
