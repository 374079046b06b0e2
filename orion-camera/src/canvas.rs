// SPDX-License-Identifier: MPL-2.0
//! A small painter: limbs with soft edges and light from the left, and pictures as I420.

/// x and y in pixels, or in the unit of who uses it.
pub(crate) type Point = [f32; 2];
/// Red, green, blue, 0..255.
pub(crate) type Rgb = [f32; 3];

/// A picture that is painted on.
#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A picture by the colour at each point, given as x and y in 0..1.
    pub(crate) fn new(width: usize, height: usize, colour: impl Fn(f32, f32) -> Rgb) -> Self {
        let at = |n: usize| {
            let (x, y) = (n % width, n / width);
            colour((x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32)
        };
        Self { width, height, pixels: (0..width * height).map(at).collect() }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// A pixel.
    #[cfg(test)]
    pub(crate) fn at(&self, x: usize, y: usize) -> Rgb {
        self.pixels[y * self.width + x]
    }

    /// Paints a limb: all points nearer to the line between two ends than a radius that goes from one number to another. What lies at
    /// its rim is darker, and so is its right side; `grain` is the size of the cloth's grain in pixels.
    pub(crate) fn limb(&mut self, ends: [Point; 2], radii: [f32; 2], colour: Rgb, grain: f32) {
        let [from, to] = ends;
        let along = [to[0] - from[0], to[1] - from[1]];
        let length = (along[0] * along[0] + along[1] * along[1]).max(f32::EPSILON);
        let reach = radii[0].max(radii[1]) + 1.0;
        let low = [from[0].min(to[0]) - reach, from[1].min(to[1]) - reach];
        let high = [from[0].max(to[0]) + reach, from[1].max(to[1]) + reach];
        self.each(low, high, |[x, y], pixel| {
            let (dx, dy) = (x - from[0], y - from[1]);
            let share = ((dx * along[0] + dy * along[1]) / length).clamp(0.0, 1.0);
            let (dx, dy) = (dx - share * along[0], dy - share * along[1]);
            let radius = radii[0] + share * (radii[1] - radii[0]);
            let inside = radius - (dx * dx + dy * dy).sqrt();
            let cover = (inside + 0.5).clamp(0.0, 1.0);
            if cover > 0.0 {
                let light = 0.7 + 0.35 * (inside / radius).clamp(0.0, 1.0) - 0.15 * dx / radius;
                let light = light + 0.06 * noise((x / grain) as i32, (y / grain) as i32);
                mix(pixel, colour.map(|part| part * light), cover);
            }
        });
    }

    /// Darkens an ellipse with a soft rim to `light` (0..1) in its middle.
    pub(crate) fn shade(&mut self, middle: Point, radii: Point, light: f32) {
        let low = [middle[0] - radii[0], middle[1] - radii[1]];
        let high = [middle[0] + radii[0], middle[1] + radii[1]];
        self.each(low, high, |[x, y], pixel| {
            let away = ((x - middle[0]) / radii[0]).powi(2) + ((y - middle[1]) / radii[1]).powi(2);
            let dark = pixel.map(|part| part * light);
            mix(pixel, dark, (1.0 - away).clamp(0.0, 1.0));
        });
    }

    /// The pixels between two corners, with their middles.
    fn each(&mut self, low: Point, high: Point, paint: impl Fn(Point, &mut Rgb)) {
        // A cast of what is negative gives 0.
        let (left, right) = (low[0] as usize, (high[0].max(0.0) as usize + 1).min(self.width));
        let (top, bottom) = (low[1] as usize, (high[1].max(0.0) as usize + 1).min(self.height));
        for y in top..bottom {
            let row = &mut self.pixels[y * self.width..(y + 1) * self.width];
            for (x, pixel) in row.iter_mut().enumerate().take(right).skip(left) {
                paint([x as f32 + 0.5, y as f32 + 0.5], pixel);
            }
        }
    }

    /// The brightness of a row (BT.601, 16..235).
    pub(crate) fn row_luma(&self, y: usize, out: &mut [u8]) {
        for (sample, [r, g, b]) in out.iter_mut().zip(&self.pixels[y * self.width..(y + 1) * self.width]) {
            *sample = (16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0).round() as u8;
        }
    }

    /// The colour differences (BT.601, 16..240) of two rows, blue's and red's, a sample for each two columns.
    pub(crate) fn row_chroma(&self, y: usize, blue: &mut [u8], red: &mut [u8]) {
        let row = |y: usize| &self.pixels[y * self.width..(y + 1) * self.width];
        let (upper, lower) = (row(y), row((y + 1).min(self.height - 1)));
        for (n, (blue, red)) in blue.iter_mut().zip(red).enumerate().take(self.width / 2) {
            let mean = |part: usize| {
                [upper[2 * n], upper[2 * n + 1], lower[2 * n], lower[2 * n + 1]].map(|p| p[part]).iter().sum::<f32>()
                    / 4.0
            };
            let (r, g, b) = (mean(0), mean(1), mean(2));
            *blue = (128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0).round() as u8;
            *red = (128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0).round() as u8;
        }
    }
}

fn mix(pixel: &mut Rgb, colour: Rgb, share: f32) {
    for (part, other) in pixel.iter_mut().zip(colour) {
        *part = (*part + share * (other - *part)).clamp(0.0, 255.0);
    }
}

/// A number in -1..1 that looks like chance, the same for the same place.
pub(crate) fn noise(x: i32, y: i32) -> f32 {
    // Mixing by multiplication and shift; nothing here needs better.
    let mut n = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    n = (n ^ (n >> 15)).wrapping_mul(0x2c1b_3c6d);
    n ^= n >> 12;
    (n & 0xffff) as f32 / 32_768.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_brightness_and_differences() {
        for (colour, expected) in
            [([255.0; 3], (235, 128, 128)), ([0.0; 3], (16, 128, 128)), ([255.0, 0.0, 0.0], (81, 90, 240))]
        {
            let canvas = Canvas::new(4, 2, |_, _| colour);
            let (mut luma, mut blue, mut red) = ([0; 4], [0; 2], [0; 2]);
            canvas.row_luma(1, &mut luma);
            canvas.row_chroma(0, &mut blue, &mut red);
            assert_eq!((luma[3], blue[1], red[1]), expected, "{colour:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_not_painted() {
        let mut canvas = Canvas::new(20, 10, |_, _| [9.0; 3]);
        for middle in [-30.0, 60.0] {
            canvas.limb([[middle, 5.0], [middle + 3.0, 5.0]], [4.0, 4.0], [200.0; 3], 1.0);
            canvas.limb([[5.0, middle], [5.0, middle]], [4.0, 4.0], [200.0; 3], 1.0);
            canvas.shade([middle, 5.0], [3.0, 3.0], 0.5);
        }
        assert!(canvas.pixels.iter().all(|pixel| *pixel == [9.0; 3]));
        canvas.limb([[0.0, 5.0], [0.0, 5.0]], [4.0, 4.0], [200.0; 3], 1.0);
        assert!(canvas.at(1, 5)[0] > 100.0 && canvas.at(6, 5) == [9.0; 3]);
    }
}
