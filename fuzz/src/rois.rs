// SPDX-License-Identifier: MPL-2.0
//! The text of the property `rois`.

use orion_core::roi::{format_rois, merge, parse_rois};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let rois = match parse_rois(text) {
        Ok(rois) => rois,
        Err(error) => return assert!(error.starts_with("rois"), "{error}"),
    };
    rois.iter().for_each(super::assert_valid);
    assert_eq!(parse_rois(&format_rois(&rois)).as_ref(), Ok(&rois), "{}", format_rois(&rois));
    for side in [0.0, 0.1, 1.0] {
        let merged = merge(&rois, side);
        assert_eq!(merged.is_none(), rois.is_empty());
        let Some(merged) = merged else { return };
        super::assert_valid(&merged);
        for (width, height) in [(1, 1), (640, 480), (8192, 4320)] {
            let pixels = merged.to_pixels(width, height);
            assert!(pixels.width > 0 && pixels.height > 0, "{merged:?} is {pixels:?} of {width}x{height}");
            assert!(pixels.x + pixels.width <= width && pixels.y + pixels.height <= height, "{pixels:?}");
        }
    }
}
