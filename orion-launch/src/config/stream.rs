// SPDX-License-Identifier: MPL-2.0
//! Keys of what frames are made into.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;

/// What frames are made into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Stream {
    /// Greatest height of a frame; smaller pictures are not enlarged.
    pub(crate) resolution: Resolution,
    /// Frames a second that go on at most, and those of the test picture.
    #[serde(with = "number::Fps")]
    pub(crate) fps: f64,
    /// Seconds at the start in which the camera's rate is measured and no frame is looked at.
    #[serde(with = "number::Warmup")]
    pub(crate) warmup_duration_s: f64,
    /// How frames go to the worker: jpeg, or raw (spares encoding and decoding, costs copying).
    pub(crate) format: Format,
}

impl Default for Stream {
    fn default() -> Self {
        Self { resolution: Resolution::R480, fps: 30.0, warmup_duration_s: 5.0, format: Format::Jpeg }
    }
}

/// The greatest height of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Resolution {
    #[serde(rename = "320p")]
    R320,
    #[serde(rename = "480p")]
    R480,
    #[serde(rename = "512p")]
    R512,
    #[serde(rename = "720p")]
    R720,
    #[serde(rename = "1080p")]
    R1080,
}

impl Resolution {
    /// Rows of pixels.
    pub(crate) fn height(self) -> u32 {
        match self {
            Self::R320 => 320,
            Self::R480 => 480,
            Self::R512 => 512,
            Self::R720 => 720,
            Self::R1080 => 1080,
        }
    }
}

/// How frames go to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Jpeg,
    Raw,
}
