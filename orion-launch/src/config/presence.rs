// SPDX-License-Identifier: MPL-2.0
//! Keys of when somebody is said to be there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;

/// When somebody is said to be there, not to be there, or not to be known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Presence {
    /// Whether it is said, on {prefix}/presence/{instance_id}.
    pub(crate) enabled: bool,
    /// Seconds after which a look counts for nothing and the answer is unknown; for absent, a look at the whole frame.
    #[serde(with = "number::Evidence")]
    pub(crate) evidence_timeout_s: f64,
    /// Seconds for which somebody must be seen to be present.
    #[serde(with = "number::Delay")]
    pub(crate) present_after_s: f64,
    /// Seconds for which nobody must be seen to be absent.
    #[serde(with = "number::Delay")]
    pub(crate) absent_after_s: f64,
    /// Seconds of the same picture after which it is frozen and the answer unknown; 0 = not looked for.
    #[serde(with = "number::DelayOrNever")]
    pub(crate) frozen_after_s: f64,
    /// Seconds of a black picture after which the answer is unknown; 0 = not looked for.
    #[serde(with = "number::DelayOrNever")]
    pub(crate) black_after_s: f64,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            enabled: true,
            evidence_timeout_s: 10.0,
            present_after_s: 0.0,
            absent_after_s: 5.0,
            frozen_after_s: 10.0,
            black_after_s: 2.0,
        }
    }
}
