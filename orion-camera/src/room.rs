// SPDX-License-Identifier: MPL-2.0
//! A room through which a person walks now and then.

use crate::{
    canvas::{Canvas, Rgb, noise},
    figure::Figure,
};

/// Seconds from one entrance to the next.
const ROUND: f64 = 12.0;
/// Seconds of it in which somebody may be seen; then the room is empty.
const WALK: f64 = 7.0;
/// Seconds of a double step.
const STEP: f64 = 1.1;
/// Where wall and floor meet, share of the height.
const FLOOR: f32 = 0.64;
/// The person's height in one round after the other, share of the picture's: farther away and nearer.
const HEIGHTS: [f32; 3] = [0.62, 0.45, 0.7];

/// The room, empty, and painted anew with whoever is in there.
#[derive(Debug)]
pub(crate) struct Room {
    empty: Canvas,
}

impl Room {
    /// A room of that many pixels.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { empty: Canvas::new(width, height, wall_and_floor) }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.empty.size()
    }

    /// The room at a time in seconds.
    pub(crate) fn at(&self, seconds: f64) -> Canvas {
        let mut canvas = self.empty.clone();
        if let Some(figure) = self.visitor(seconds) {
            figure.paint(&mut canvas);
        }
        canvas
    }

    /// Who is there: somebody who crosses the picture from one side to the other, from both in turns.
    fn visitor(&self, seconds: f64) -> Option<Figure> {
        let (round, time) = ((seconds / ROUND) as usize, seconds % ROUND);
        if time >= WALK {
            return None;
        }
        let (width, height) = (self.size().0 as f32, self.size().1 as f32);
        let tall = HEIGHTS[round % HEIGHTS.len()];
        let direction = if round.is_multiple_of(2) { 1.0 } else { -1.0 };
        let margin = 0.25 * tall * height;
        let way = (time / WALK) as f32 * (width + 2.0 * margin) - margin;
        let x = if direction > 0.0 { way } else { width - way };
        // Who is nearer stands lower in the picture.
        let foot = [x, (FLOOR + 0.42 * tall) * height];
        Some(Figure { foot, height: tall * height, step: (time / STEP).fract() as f32, direction })
    }
}

/// A wall with a door, a window and a skirting board over a floor of boards.
fn wall_and_floor(x: f32, y: f32) -> Rgb {
    let grain = 3.0 * noise((x * 4096.0) as i32, (y * 4096.0) as i32);
    let light = 0.85 + 0.15 * (1.5 * (x - 0.5)).cos();
    let within = |left, top, right, bottom| (left..right).contains(&x) && (top..bottom).contains(&y);
    let colour = if y > FLOOR {
        let near = (y - FLOOR) / (1.0 - FLOOR);
        let board = 4.0 * noise(((x - 0.5) / (0.1 + 0.12 * near)).floor() as i32, 7);
        [120.0 + 40.0 * near + board, 92.0 + 34.0 * near + board, 66.0 + 28.0 * near + board]
    } else if y > FLOOR - 0.015 {
        [236.0, 234.0, 228.0]
    } else if within(0.1, 0.22, 0.235, FLOOR) {
        [146.0, 118.0, 90.0]
    } else if within(0.675, 0.2, 0.865, 0.39) {
        [176.0, 202.0, 226.0]
    } else if within(0.66, 0.18, 0.88, 0.41) {
        [238.0, 238.0, 236.0]
    } else {
        [212.0, 208.0, 200.0]
    };
    colour.map(|part| (part * light + grain).clamp(0.0, 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_comes_from_either_side_and_goes_out_of_the_picture() {
        let room = Room::new(64, 48);
        for (start, sign) in [(0.0, 1.0), (ROUND, -1.0)] {
            let at = |time: f64| room.visitor(start + time).unwrap();
            assert_eq!(at(0.1).direction, sign);
            assert!(sign * (at(3.0).foot[0] - at(2.0).foot[0]) > 0.0);
            assert!((0.0..64.0).contains(&at(WALK / 2.0).foot[0]));
            let outside = |x: f32| !(0.0..64.0).contains(&x);
            assert!(outside(at(0.0).foot[0]) && outside(at(WALK - 0.01).foot[0]));
            assert_eq!(room.visitor(start + WALK), None);
        }
        assert_ne!(room.visitor(1.0).unwrap().height, room.visitor(ROUND + 1.0).unwrap().height);
    }

    #[test]
    fn an_empty_room_stays_as_it_is() {
        let room = Room::new(64, 48);
        let (first, later) = (room.at(WALK + 1.0), room.at(ROUND + WALK + 2.0));
        let differ = |a: &Canvas, b: &Canvas| (0..64).any(|x| (0..48).any(|y| a.at(x, y) != b.at(x, y)));
        assert!(!differ(&first, &later) && differ(&first, &room.at(WALK / 2.0)));
    }
}
