// SPDX-License-Identifier: MPL-2.0
//! Regions as text, their merge, and the model that fits the merged area.

use crate::{geometry::NormRect, wire::TargetSize};

/// Reads a list of regions, `[{"x":0.1,"y":0.2,"width":0.5,"height":0.5}]`; empty text or an empty list clears. All or nothing.
///
/// # Errors
/// A text that names the region, the field and the rule it breaks.
pub fn parse_rois(text: &str) -> Result<Vec<NormRect>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let rois: Vec<NormRect> = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if path == "." { format!("rois: {inner}") } else { format!("rois{path}: {inner}") }
    })?;
    deserializer.end().map_err(|error| format!("rois: {error}"))?;
    Ok(rois)
}

/// Writes regions as [`parse_rois`] reads them; none = empty text.
pub fn format_rois(rois: &[NormRect]) -> String {
    if rois.is_empty() { String::new() } else { serde_json::to_string(rois).unwrap_or_default() }
}

/// The bounding box of the regions, grown to `min_side` (fraction of the frame) on each side; none without a region.
pub fn merge(rois: &[NormRect], min_side: f64) -> Option<NormRect> {
    rois.iter().copied().reduce(|a, b| a.union(&b)).map(|r| r.grown_to(min_side))
}

/// How the model follows from the area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelChoice {
    /// Area in px² from which on the large model is taken.
    pub threshold_area: f64,
    /// Fraction of the threshold, both ways, within which the last choice stands.
    pub hysteresis: f64,
}

impl ModelChoice {
    /// The model for a region of `area` px². Without a region it is the large one.
    pub fn choose(&self, area: Option<f64>, last: Option<TargetSize>) -> TargetSize {
        let Some(area) = area else {
            return TargetSize::S640;
        };
        let band = self.threshold_area * self.hysteresis;
        match last {
            Some(last) if (area - self.threshold_area).abs() <= band => last,
            _ if area >= self.threshold_area => TargetSize::S640,
            _ => TargetSize::S320,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: ModelChoice = ModelChoice { threshold_area: 102_400.0, hysteresis: 0.1 };

    fn rect(x: f64, y: f64, width: f64, height: f64) -> NormRect {
        NormRect::new(x, y, width, height).unwrap()
    }

    #[test]
    fn text_names_region_field_and_rule() {
        let good = r#"[{"x":0.1,"y":0.2,"width":0.5,"height":0.5},{"x":0,"y":0,"width":1,"height":1}]"#;
        assert_eq!(parse_rois(good).unwrap().len(), 2);
        assert_eq!(parse_rois(&format_rois(&parse_rois(good).unwrap())), parse_rois(good));
        assert_eq!(parse_rois(" "), Ok(vec![]));
        assert_eq!(parse_rois("[]"), Ok(vec![]));
        for (text, expected) in [
            (
                r#"[{"x":0,"y":0,"width":1,"height":1},{"x":0.5,"y":0,"width":0.6,"height":1}]"#,
                "rois[1]: x + width must be at most 1, got 1.1",
            ),
            (r#"[{"x":0,"y":0,"width":1}]"#, "rois[0]: missing field `height`"),
            (r#"[{"x":"a","y":0,"width":1,"height":1}]"#, "rois[0].x: invalid type"),
            (r#"{"x":0}"#, "rois: invalid type: map, expected a sequence"),
            ("[", "rois"),
            ("[] []", "rois: trailing characters"),
        ] {
            let error = parse_rois(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn merge_is_the_bounding_box_grown_to_the_least_side() {
        assert_eq!(merge(&[], 0.1), None);
        let merged = merge(&[rect(0.1, 0.1, 0.2, 0.2), rect(0.2, 0.5, 0.3, 0.1)], 0.1).unwrap();
        assert!((merged.width() - 0.4).abs() < 1e-12 && (merged.height() - 0.5).abs() < 1e-12);
        assert_eq!(merge(&[rect(0.0, 0.5, 0.01, 0.5)], 0.1).unwrap().width(), 0.1);
    }

    #[test]
    fn model_follows_the_area_with_hysteresis() {
        use TargetSize::{S320, S640};
        assert_eq!(CHOICE.choose(None, Some(S320)), S640);
        assert_eq!(CHOICE.choose(Some(102_400.0), None), S640);
        assert_eq!(CHOICE.choose(Some(102_399.0), None), S320);
        assert_eq!(CHOICE.choose(Some(102_400.0 * 0.91), Some(S640)), S640);
        assert_eq!(CHOICE.choose(Some(102_400.0 * 1.09), Some(S320)), S320);
        assert_eq!(CHOICE.choose(Some(102_400.0 * 0.89), Some(S640)), S320);
        assert_eq!(CHOICE.choose(Some(102_400.0 * 1.11), Some(S320)), S640);
    }
}
