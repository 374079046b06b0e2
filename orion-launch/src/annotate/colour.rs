// SPDX-License-Identifier: MPL-2.0
//! Colours as video has them: a luma and two chroma samples, 8 bits each.

/// Red, green, blue, 0..255.
pub(super) type Rgb = [u8; 3];

/// What attention regions and captions are drawn in.
pub(super) const WHITE: Rgb = [255, 255, 255];
/// What outlines and letters are drawn in.
pub(super) const BLACK: Rgb = [0, 0, 0];
/// What a caption about a failure is drawn in.
pub(super) const WARNING: Rgb = [255, 170, 60];

/// Bright enough for black letters, far enough from each other to be told apart.
const PALETTE: [Rgb; 8] = [
    [102, 255, 102],
    [90, 200, 255],
    [255, 214, 64],
    [255, 140, 200],
    [255, 150, 90],
    [150, 255, 230],
    [210, 170, 255],
    [220, 235, 120],
];

/// The colour of a label: the same in each frame and each run.
pub(super) fn of_label(label: &str) -> Rgb {
    if label == "person" {
        return PALETTE[0];
    }
    // FNV-1a, for which any seed would do; the first colour is a person's.
    let hash = label.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    PALETTE[1 + hash as usize % (PALETTE.len() - 1)]
}

/// How a video turns red, green and blue into what it stores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matrix {
    /// Weight of red in luma.
    kr: f64,
    /// Weight of blue in luma.
    kb: f64,
    /// Whether samples fill 0..255 instead of 16..235.
    full: bool,
}

impl Matrix {
    /// Standard definition.
    #[cfg(test)]
    pub(super) const BT601: Self = Self { kr: 0.299, kb: 0.114, full: false };

    /// BT.601, BT.709 and BT.2020 by their weights; others are close enough to BT.709.
    pub(super) fn of(colorimetry: &gst_video::VideoColorimetry) -> Self {
        let (kr, kb) = match colorimetry.matrix() {
            gst_video::VideoColorMatrix::Bt601 | gst_video::VideoColorMatrix::Fcc => (0.299, 0.114),
            gst_video::VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
            _ => (0.2126, 0.0722),
        };
        Self { kr, kb, full: colorimetry.range() == gst_video::VideoColorRange::Range0_255 }
    }

    /// Luma, blue difference and red difference.
    pub(super) fn yuv(self, rgb: Rgb) -> [u8; 3] {
        let [r, g, b] = rgb.map(|c| f64::from(c) / 255.0);
        let luma = self.kr * r + (1.0 - self.kr - self.kb) * g + self.kb * b;
        let (blue, red) = ((b - luma) / (2.0 - 2.0 * self.kb), (r - luma) / (2.0 - 2.0 * self.kr));
        let (black, luma_span, chroma_span) = if self.full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
        [black + luma * luma_span, 128.0 + blue * chroma_span, 128.0 + red * chroma_span].map(|v| v.round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours_are_what_the_standards_say() {
        let bt601 = Matrix::BT601;
        let bt709 = Matrix { kr: 0.2126, kb: 0.0722, full: false };
        for (matrix, rgb, yuv) in [
            (bt601, WHITE, [235, 128, 128]),
            (bt601, BLACK, [16, 128, 128]),
            (bt601, [255, 0, 0], [81, 90, 240]),
            (bt709, [255, 0, 0], [63, 102, 240]),
            (bt709, [0, 0, 255], [32, 240, 118]),
            (Matrix { full: true, ..bt601 }, WHITE, [255, 128, 128]),
        ] {
            assert_eq!(matrix.yuv(rgb), yuv, "{matrix:?} {rgb:?}");
        }
    }

    #[test]
    fn a_label_keeps_its_colour_and_only_persons_have_theirs() {
        assert_eq!(of_label("car"), of_label("car"));
        for other in ["", "car", "motion", "dog", "\u{1F600}"] {
            assert_ne!(of_label(other), of_label("person"), "{other}");
        }
    }
}
