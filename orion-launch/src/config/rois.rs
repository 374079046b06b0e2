// SPDX-License-Identifier: MPL-2.0
//! Keys of where to look.

use std::borrow::Cow;

use orion_core::{
    command::FocusStrategy as Strategy,
    geometry::{NormRect, RectError},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Rois {
    /// Area in square pixels of the attention region from which on the 640 model is taken, below it the 320 one.
    #[serde(with = "number::Area")]
    pub(crate) threshold_area: u32,
    /// Regions to look at, fractions of the frame; empty = the whole frame.
    #[serde(with = "Regions")]
    pub(crate) attention: Vec<NormRect>,
    /// Seconds after which at the latest the whole frame is looked at again, whatever the regions say; 0 = never.
    #[serde(with = "number::BlindTime")]
    pub(crate) max_blind_time_s: f64,
    /// Without regions above: follow what the worker finds.
    pub(crate) auto_focus: AutoFocus,
}

impl Default for Rois {
    fn default() -> Self {
        Self { threshold_area: 102_400, attention: Vec::new(), max_blind_time_s: 5.0, auto_focus: AutoFocus::default() }
    }
}

/// Following what the worker suggests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct AutoFocus {
    /// Whether it is followed.
    pub(crate) enabled: bool,
    /// simple (the last suggestion), smoothing (an average), velocity (grown with the target's speed).
    pub(crate) strategy: Strategy,
    /// smoothing: weight of the newest suggestion.
    #[serde(with = "number::Fraction")]
    pub(crate) alpha: f64,
    /// velocity: speed from which on a target is fast, in fractions of the frame per frame.
    #[serde(with = "number::Fraction")]
    pub(crate) velocity_threshold: f64,
    /// velocity: by how many frames' ways the region of a fast target grows on each side.
    #[serde(with = "number::Factor")]
    pub(crate) velocity_factor: f64,
    /// velocity: the most that it grows on each side, in fractions of the frame.
    #[serde(with = "number::Fraction")]
    pub(crate) max_expansion: f64,
    /// For how many frames a suggestion is remembered.
    #[serde(with = "number::History")]
    pub(crate) history_frames: u32,
}

impl Default for AutoFocus {
    fn default() -> Self {
        Self {
            enabled: false,
            strategy: Strategy::Simple,
            alpha: 0.3,
            velocity_threshold: 0.05,
            velocity_factor: 1.5,
            max_expansion: 0.3,
            history_frames: 30,
        }
    }
}

/// A list of regions in which a mistyped key is not passed over, as it would be on the wire.
struct Regions;

#[derive(Deserialize)]
#[serde(try_from = "Numbers")]
struct Region(NormRect);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl TryFrom<Numbers> for Region {
    type Error = RectError;

    fn try_from(n: Numbers) -> Result<Self, RectError> {
        NormRect::new(n.x, n.y, n.width, n.height).map(Self)
    }
}

impl Regions {
    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NormRect>, D::Error> {
        Ok(Vec::<Region>::deserialize(deserializer)?.into_iter().map(|Region(rect)| rect).collect())
    }

    fn serialize<S: Serializer>(regions: &[NormRect], serializer: S) -> Result<S::Ok, S::Error> {
        regions.serialize(serializer)
    }
}

impl JsonSchema for Regions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Regions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut region = NormRect::json_schema(generator);
        region.insert("additionalProperties".into(), false.into());
        json_schema!({"type": "array", "items": region})
    }
}
