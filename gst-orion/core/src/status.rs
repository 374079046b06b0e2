// SPDX-License-Identifier: MPL-2.0
//! Whether somebody is there to publish results.

use schemars::JsonSchema;

/// Whether the publisher of results is there: plain text, not JSON. The broker keeps the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Status {
    /// It runs.
    Online,
    /// Its connection ended without a goodbye; the broker says so in its stead (last will).
    Offline,
    /// It has ended as it should.
    Stopped,
}

impl Status {
    /// The payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Stopped => "stopped",
        }
    }
}
