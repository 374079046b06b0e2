// SPDX-License-Identifier: MPL-2.0
//! The way an object went.

use super::{PathPoint, PixelBox};

/// How far a place must be from the one before to be noted, in diagonals of the frame. Frigate,
/// `tracked_object.py`, `update`.
const STEP: f64 = 0.05;
/// Places that are kept; the oldest go. Frigate keeps all of them.
pub(super) const LENGTH: usize = 50;

/// Notes where the box is at that time (s) in a frame of that size (pixels), if that is far enough from the place
/// before; whether it was. The first two places are noted wherever they are, as Frigate does. Without a size there are
/// no fractions of it, so nothing is noted.
pub(super) fn note(
    path: &mut Vec<PathPoint>,
    [left, _, right, bottom]: PixelBox,
    time: f64,
    size: Option<(u32, u32)>,
) -> bool {
    let Some((width, height)) = size else { return false };
    let (width, height) = (f64::from(width), f64::from(height));
    let share = |pixels: f64, side: f64| ((pixels / side).clamp(0.0, 1.0) * 1e4).round() / 1e4;
    let middle = f64::midpoint(f64::from(left), f64::from(right)).floor();
    let (x, y) = (share(middle, width), share(f64::from(bottom), height));
    let step = STEP * width.hypot(height) / width.max(height);
    if path.len() > 1 && path.last().is_some_and(|((last_x, last_y), _)| (x - last_x).hypot(y - last_y) < step) {
        return false;
    }
    if path.len() == LENGTH {
        path.remove(0);
    }
    path.push(((x, y), time));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_places_far_enough_apart_and_not_too_many() {
        let (mut path, size) = (Vec::new(), Some((640, 480)));
        let at = |x: u32| [x, 100, x + 51, 200];
        assert!(note(&mut path, at(100), 1.5, size));
        assert_eq!(path, [((0.1953, 0.4167), 1.5)]);
        assert!(note(&mut path, at(100), 2.0, size), "the second");
        assert!(!note(&mut path, at(139), 3.0, size), "0.0609 of 0.0625");
        assert!(note(&mut path, at(141), 4.0, size));
        for step in 0..200u32 {
            assert!(note(&mut path, at(step % 2 * 300), f64::from(step), size));
        }
        assert_eq!((path.len(), path[LENGTH - 1].1), (LENGTH, 199.0));
        assert!(!note(&mut path, at(0), 300.0, None), "fractions of what?");
    }
}
