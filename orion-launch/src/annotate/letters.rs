// SPDX-License-Identifier: MPL-2.0
//! Letters as small pictures: Noto Sans Mono, anti-aliased, in a size that can be read at the picture's.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

/// What stands for a character that the font does not have.
const UNKNOWN: char = '\u{FFFD}';

/// A size of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    raster: RasterHeight,
    scale: i32,
}

impl Size {
    /// What can be read in a picture of so many pixels: a thirtieth of its smaller side, 16 pixels at least.
    pub(super) fn for_picture(width: i32, height: i32) -> Self {
        let (raster, scale) = match width.min(height) {
            ..500 => (RasterHeight::Size16, 1),
            500..700 => (RasterHeight::Size20, 1),
            700..900 => (RasterHeight::Size24, 1),
            900..1400 => (RasterHeight::Size32, 1),
            1400..3000 => (RasterHeight::Size32, 2),
            _ => (RasterHeight::Size32, 4),
        };
        Self { raster, scale }
    }

    /// Pixels of the screen for one of the letter's.
    pub(super) fn scale(self) -> i32 {
        self.scale
    }

    /// Height of a line, pixels.
    pub(super) fn height(self) -> i32 {
        self.raster.val() as i32 * self.scale
    }

    /// Width of each letter, pixels.
    pub(super) fn width(self) -> i32 {
        get_raster_width(FontWeight::Bold, self.raster) as i32 * self.scale
    }
}

/// The picture of a character.
pub(super) fn glyph(character: char, size: Size) -> Glyph {
    let raster = |c| get_raster(c, FontWeight::Bold, size.raster);
    Glyph(raster(character).or_else(|| raster(UNKNOWN)).or_else(|| raster('?')))
}

/// See [`glyph`].
pub(super) struct Glyph(Option<RasterizedChar>);

impl Glyph {
    /// How much of that pixel is covered, 0..255; none outside.
    pub(super) fn pixel(&self, x: usize, y: usize) -> Option<u8> {
        self.0.as_ref()?.pixel(x, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_grow_with_the_picture() {
        let heights: Vec<_> =
            [(320, 240), (768, 432), (854, 640), (1280, 720), (1920, 1080), (1080, 1920), (3840, 2160)]
                .map(|(w, h)| Size::for_picture(w, h).height())
                .into();
        assert_eq!(heights, [16, 16, 20, 24, 32, 32, 64]);
    }

    #[test]
    fn what_the_font_lacks_is_shown_as_something() {
        let size = Size::for_picture(320, 240);
        let ink = |c| {
            (0..16)
                .flat_map(|y| (0..16).map(move |x| (x, y)))
                .filter(|(x, y)| glyph(c, size).pixel(*x, *y) > Some(0))
                .count()
        };
        for c in ['p', '%', 'ü', 'ő', '\u{1F600}', '人', '\n'] {
            assert!(ink(c) > 0, "{c:?}");
        }
        assert_eq!(ink(' '), 0);
    }
}
