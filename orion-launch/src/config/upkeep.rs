// SPDX-License-Identifier: MPL-2.0
//! Keys of how the daemon is watched, and watches itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{number, text};

/// Where the state can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Http {
    /// Address and port of /health, /readiness, /metrics and the live page; port 0 = any free one, empty = off.
    #[serde(with = "text::Bind")]
    pub(crate) bind: String,
    /// Whether there is /metrics, for Prometheus.
    pub(crate) metrics: bool,
    /// The live page.
    pub(crate) page: Page,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: "127.0.0.1:8080".into(), metrics: true, page: Page::default() }
    }
}

/// The page on which cameras can be watched and controlled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Page {
    /// Whether there is a page at all.
    pub(crate) enabled: bool,
    /// Show the pictures; false = boxes only, nothing of a picture leaves the daemon. mqtt.snapshots.privacy means false, too.
    pub(crate) pictures: bool,
    /// File with the token that visitors have to enter; needed unless bind is a loopback address. ORION_PAGE_TOKEN counts before it.
    #[serde(with = "text::Free")]
    pub(crate) token_file: String,
}

impl Default for Page {
    fn default() -> Self {
        Self { enabled: true, pictures: true, token_file: String::new() }
    }
}

/// When workers that do nothing are started anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Watchdog {
    /// Seconds between two looks at the workers.
    #[serde(with = "number::WatchdogInterval")]
    pub(crate) interval_s: f64,
    /// Seconds that a worker may take for a frame before it is started anew, at least; three frames' time where that is more.
    #[serde(with = "number::WatchdogTimeout")]
    pub(crate) min_timeout_s: f64,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { interval_s: 30.0, min_timeout_s: 30.0 }
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Log {
    /// Seconds between two lines with figures of what became of the frames; 0 = none.
    #[serde(with = "number::StatsInterval")]
    pub(crate) stats_interval_s: f64,
}

impl Default for Log {
    fn default() -> Self {
        Self { stats_interval_s: 10.0 }
    }
}
