// SPDX-License-Identifier: MPL-2.0
//! Drawing on a picture in I420: a plane of luma, and two of chroma with a quarter of the samples.

use super::{
    colour::{Matrix, Rgb},
    letters,
};

/// One plane of samples.
pub(super) struct Plane<'a> {
    pub(super) data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub(super) stride: usize,
}

impl Plane<'_> {
    fn blend(&mut self, x: usize, y: usize, value: u8, coverage: u32) {
        // A plane that is shorter than its picture says ends the drawing, not the program.
        if let Some(sample) = self.data.get_mut(y * self.stride + x) {
            let mixed = u32::from(value) * coverage + u32::from(*sample) * (255 - coverage);
            *sample = ((mixed + 127) / 255) as u8;
        }
    }
}

/// Whole pixels; may reach beyond the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Rect {
    /// One edge of it, `thick` pixels inwards: 0 top, 1 bottom, 2 left, 3 right. The edges do not overlap.
    fn edge(self, number: usize, thick: i32) -> Self {
        let Self { x, y, width, height } = self;
        let (across, along) = (thick.min((width + 1) / 2), thick.min((height + 1) / 2));
        let middle = (height - 2 * along).max(0);
        match number {
            0 => Self { height: along, ..self },
            1 => Self { y: y + height - along, height: along.min(height - along), ..self },
            2 => Self { y: y + along, width: across, height: middle, ..self },
            _ => Self { x: x + width - across, y: y + along, width: across.min(width - across), height: middle },
        }
    }

    /// Larger by so many pixels on each side.
    pub(super) fn grown(self, by: i32) -> Self {
        Self { x: self.x - by, y: self.y - by, width: self.width + 2 * by, height: self.height + 2 * by }
    }

    /// Whether they share a pixel.
    pub(super) fn meets(self, other: Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }
}

/// A picture to draw on.
pub(super) struct Canvas<'a> {
    /// Luma, blue difference, red difference.
    pub(super) planes: [Plane<'a>; 3],
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) matrix: Matrix,
}

impl Canvas<'_> {
    /// Lays a colour over the pixels of `area`, each as much as `coverage` says (0..255; by column and row of the area).
    fn blend(&mut self, area: Rect, colour: Rgb, coverage: impl Fn(i32, i32) -> u8) {
        let (left, top) = (area.x.max(0), area.y.max(0));
        let (right, bottom) = ((area.x + area.width).min(self.width), (area.y + area.height).min(self.height));
        if left >= right || top >= bottom {
            return;
        }
        let within = |x: i32, y: i32| (left..right).contains(&x) && (top..bottom).contains(&y);
        let at = |x: i32, y: i32| if within(x, y) { u32::from(coverage(x - area.x, y - area.y)) } else { 0 };
        let [luma, blue, red] = &mut self.planes;
        let [y_value, u_value, v_value] = self.matrix.yuv(colour);
        for y in top..bottom {
            for x in left..right {
                luma.blend(x as usize, y as usize, y_value, at(x, y));
            }
        }
        // A sample of chroma stands for four pixels, at the picture's odd end for fewer.
        for y in top / 2..(bottom + 1) / 2 {
            for x in left / 2..(right + 1) / 2 {
                let (x2, y2) = (2 * x, 2 * y);
                let four = at(x2, y2) + at(x2 + 1, y2) + at(x2, y2 + 1) + at(x2 + 1, y2 + 1);
                let here = (self.width - x2).min(2) * (self.height - y2).min(2);
                let share = four / here.max(1) as u32;
                blue.blend(x as usize, y as usize, u_value, share);
                red.blend(x as usize, y as usize, v_value, share);
            }
        }
    }

    /// Fills a rectangle; `opacity` 0..255.
    pub(super) fn fill(&mut self, area: Rect, colour: Rgb, opacity: u8) {
        self.blend(area, colour, |_, _| opacity);
    }

    /// A rectangle's edges, `thick` pixels inwards.
    pub(super) fn frame(&mut self, area: Rect, thick: i32, colour: Rgb, opacity: u8) {
        (0..4).for_each(|n| self.fill(area.edge(n, thick), colour, opacity));
    }

    /// The same in strokes of so many pixels, with gaps as long.
    pub(super) fn dashes(&mut self, area: Rect, thick: i32, stroke: i32, colour: Rgb, gap: Rgb) {
        let stroke = stroke.max(1);
        for n in 0..4 {
            let edge = area.edge(n, thick);
            let is_stroke = move |x: i32, y: i32| (if n < 2 { x } else { y }) / stroke % 2 == 0;
            self.blend(edge, colour, |x, y| if is_stroke(x, y) { 255 } else { 0 });
            self.blend(edge, gap, |x, y| if is_stroke(x, y) { 0 } else { 150 });
        }
    }

    /// A line of text with its left upper corner there.
    pub(super) fn text(&mut self, x: i32, y: i32, text: &str, size: letters::Size, colour: Rgb) {
        for (n, character) in text.chars().enumerate() {
            let (glyph, scale) = (letters::glyph(character, size), size.scale());
            let area = Rect { x: x + n as i32 * size.width(), y, width: size.width(), height: size.height() };
            let pixel = |column: i32, row: i32| {
                glyph.pixel((column / scale).max(0) as usize, (row / scale).max(0) as usize).unwrap_or(0)
            };
            self.blend(area, colour, pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::colour::{BLACK, WHITE},
        *,
    };

    /// Draws on a grey picture; its planes.
    fn drawn(width: i32, height: i32, draw: impl FnOnce(&mut Canvas<'_>)) -> [Vec<u8>; 3] {
        let (w, h) = (width as usize, height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let mut planes = [vec![100; w * h], vec![100; cw * ch], vec![100; cw * ch]];
        let [y, u, v] = &mut planes;
        let plane = |data, stride| Plane { data, stride };
        draw(&mut Canvas { planes: [plane(y, w), plane(u, cw), plane(v, cw)], width, height, matrix: Matrix::BT601 });
        planes
    }

    #[test]
    fn a_frame_covers_each_pixel_of_its_edges_and_no_other() {
        let area = Rect { x: 3, y: 2, width: 9, height: 7 };
        let [luma, chroma, _] = drawn(16, 12, |canvas| canvas.frame(area, 2, WHITE, 255));
        for y in 0..12 {
            for x in 0..16 {
                let inside = (3..12).contains(&x) && (2..9).contains(&y);
                let hollow = (5..10).contains(&x) && (4..7).contains(&y);
                let expected = if inside && !hollow { 235 } else { 100 };
                assert_eq!(luma[y * 16 + x], expected, "{x} {y}");
            }
        }
        assert_eq!((chroma[0], chroma[8 + 2]), (100, 128), "wholly outside, wholly inside");
        assert_eq!(chroma[8 + 1], 114, "half of it, 3 of 2..3");
    }

    #[test]
    fn what_reaches_beyond_the_picture_is_cut() {
        for area in [
            Rect { x: -50, y: -50, width: 200, height: 200 },
            Rect { x: 14, y: 10, width: 50, height: 1 },
            Rect { x: -9, y: 3, width: 5, height: 5 },
            Rect { x: 5, y: 5, width: 0, height: 0 },
            Rect { x: 5, y: 5, width: 1, height: 1 },
        ] {
            let [luma, ..] = drawn(15, 11, |canvas| {
                canvas.frame(area, 3, WHITE, 255);
                canvas.dashes(area, 2, 0, WHITE, BLACK);
                canvas.text(area.x, area.y, "Wg\u{1F600}", letters::Size::for_picture(15, 11), WHITE);
            });
            assert_eq!(luma.len(), 15 * 11);
        }
        let [luma, ..] = drawn(15, 11, |canvas| canvas.fill(Rect { x: 14, y: 10, width: 9, height: 9 }, WHITE, 255));
        assert_eq!(luma.iter().filter(|sample| **sample != 100).count(), 1);
    }

    #[test]
    fn half_opacity_is_half_way() {
        let [luma, chroma, _] = drawn(4, 4, |canvas| {
            canvas.fill(Rect { x: 0, y: 0, width: 4, height: 4 }, WHITE, 128);
        });
        assert!(luma.iter().all(|sample| *sample == 168) && chroma.iter().all(|sample| *sample == 114));
    }

    #[test]
    fn text_leaves_marks_within_its_box_only() {
        let size = letters::Size::for_picture(320, 240);
        let [luma, ..] = drawn(60, 40, |canvas| canvas.text(8, 8, "g1", size, WHITE));
        let touched = |x: i32, y: i32| luma[(y * 60 + x) as usize] != 100;
        let marks: Vec<_> =
            (0..40).flat_map(|y| (0..60).map(move |x| (x, y))).filter(|(x, y)| touched(*x, *y)).collect();
        assert!(marks.len() > 20, "{marks:?}");
        assert!(marks.iter().all(|(x, y)| (8..8 + 2 * size.width()).contains(x) && (8..8 + size.height()).contains(y)));
    }
}
