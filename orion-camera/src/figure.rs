// SPDX-License-Identifier: MPL-2.0
//! A walking person, drawn from limbs.

use crate::canvas::{Canvas, Point, Rgb};

const SKIN: Rgb = [215.0, 170.0, 140.0];
const HAIR: Rgb = [55.0, 40.0, 30.0];
const SHIRT: Rgb = [40.0, 60.0, 120.0];
const TROUSERS: Rgb = [45.0, 50.0, 60.0];
const SHOES: Rgb = [30.0, 25.0, 25.0];

/// How much darker the limbs of the far side are.
const FAR: f32 = 0.8;

/// Where a person is and what it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// Middle of the ground between the feet, pixels.
    pub(crate) foot: Point,
    /// From sole to crown, pixels.
    pub(crate) height: f32,
    /// Part of a double step, 0..1; any number of them may have gone before.
    pub(crate) step: f32,
    /// 1 = it walks to the right, -1 = to the left.
    pub(crate) direction: f32,
}

/// A limb that grows thinner from one end to the other, in hundredths of the figure's height: x from the middle in the direction of
/// walking, y from the crown down.
struct Limb {
    ends: [Point; 2],
    radii: [f32; 2],
    colour: Rgb,
}

impl Figure {
    /// Paints it, its shadow first.
    pub(crate) fn paint(&self, canvas: &mut Canvas) {
        let unit = self.height / 100.0;
        canvas.shade(self.foot, [20.0 * unit, 3.5 * unit], 0.7);
        let place = |[x, y]: Point| [self.foot[0] + self.direction * x * unit, self.foot[1] + (y - 99.0) * unit];
        for limb in self.limbs() {
            canvas.limb(limb.ends.map(place), limb.radii.map(|radius| radius * unit), limb.colour, unit);
        }
    }

    /// Its limbs, the hindmost first.
    fn limbs(&self) -> Vec<Limb> {
        let swing = (self.step * std::f32::consts::TAU).sin();
        let mut limbs = Vec::new();
        let mut add = |from, to, radii, colour| limbs.push(Limb { ends: [from, to], radii, colour });
        for (side, light) in [(-1.0, FAR), (1.0, 1.0)] {
            let lit = |colour: Rgb| colour.map(|part| part * light);
            let ahead = side * swing;
            let (hip, knee) = ([side * 3.0, 52.0], [side * 3.0 + 7.0 * ahead, 73.0]);
            let ankle = [side * 3.5 + 11.0 * ahead - 2.0 * (-ahead).max(0.0), 95.0];
            add(hip, knee, [5.0, 3.8], lit(TROUSERS));
            add(knee, ankle, [3.8, 2.6], lit(TROUSERS));
            add([ankle[0] - 1.0, 96.5], [ankle[0] + 4.0, 97.0], [2.2, 1.8], lit(SHOES));
            let (shoulder, elbow) = ([side * 8.5, 22.0], [side * 10.0 - 4.0 * ahead, 37.0]);
            let wrist = [side * 11.0 - 8.0 * ahead, 51.0];
            add(shoulder, elbow, [3.2, 2.6], lit(SHIRT));
            add(elbow, wrist, [2.6, 2.0], lit(SHIRT));
            add(wrist, [wrist[0], 53.0], [2.1, 1.8], lit(SKIN));
        }
        add([0.0, 19.0], [0.0, 14.0], [2.8, 2.6], SKIN);
        add([-6.5, 21.5], [6.5, 21.5], [3.5, 3.5], SHIRT);
        add([-2.0, 25.0], [-1.5, 50.0], [6.6, 5.8], SHIRT);
        add([2.0, 25.0], [1.5, 50.0], [6.6, 5.8], SHIRT);
        add([0.0, 6.0], [0.0, 6.5], [5.8, 5.6], HAIR);
        add([0.3, 7.8], [0.3, 10.6], [4.9, 4.6], SKIN);
        add([-0.5, 4.0], [0.5, 4.2], [4.6, 4.4], HAIR);
        limbs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_on_its_foot_and_is_as_tall_as_it_says() {
        for step in [0.0, 0.25, 0.6] {
            let figure = Figure { foot: [100.0, 180.0], height: 120.0, step, direction: 1.0 };
            let blank = Canvas::new(200, 200, |_, _| [0.0; 3]);
            let mut canvas = blank.clone();
            figure.paint(&mut canvas);
            let rows: Vec<_> = (0..200).filter(|y| (0..200).any(|x| canvas.at(x, *y) != blank.at(x, *y))).collect();
            let (top, bottom) = (rows[0] as f32, rows[rows.len() - 1] as f32);
            assert!((58.0..64.0).contains(&top) && (176.0..182.0).contains(&bottom), "{step}: {top} to {bottom}");
        }
    }

    #[test]
    fn arms_swing_against_legs() {
        let limbs = Figure { foot: [0.0; 2], height: 100.0, step: 0.25, direction: 1.0 }.limbs();
        // Of the near side: thigh, shin, shoe, upper arm, forearm.
        let (shin, forearm) = (limbs[7].ends[1][0], limbs[10].ends[1][0]);
        assert!(shin > 10.0 && forearm < 5.0, "{shin} {forearm}");
    }
}
