// SPDX-License-Identifier: MPL-2.0
//! From the configuration to the rules of presence and watchdog.

use std::time::Duration;

use orion_core::presence;

use crate::config::Config;

/// When what is said about persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Whether anything is said at all.
    pub(crate) enabled: bool,
    /// How looks are judged.
    pub(crate) looks: presence::Rules,
    /// The same picture for so long is a frozen one; zero = not looked for.
    pub(crate) frozen_after: Duration,
    /// Nothing but black for so long; zero = not looked for.
    pub(crate) black_after: Duration,
}

/// When workers are taken for hanging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watchdog {
    /// From one look at the workers to the next.
    pub(crate) interval: Duration,
    /// How long a frame may be outstanding at least, whatever the rate.
    pub(crate) min_timeout: Duration,
}

/// The rules of presence in force.
pub(crate) fn presence(config: &Config) -> Presence {
    let keys = &config.presence;
    let looks = presence::Rules {
        evidence_timeout: Duration::from_secs_f64(keys.evidence_timeout_s),
        present_after: Duration::from_secs_f64(keys.present_after_s),
        absent_after: Duration::from_secs_f64(keys.absent_after_s),
    };
    Presence {
        enabled: keys.enabled,
        looks,
        frozen_after: Duration::from_secs_f64(keys.frozen_after_s),
        black_after: Duration::from_secs_f64(keys.black_after_s),
    }
}

/// The rules of the watchdog in force.
pub(crate) fn watchdog(config: &Config) -> Watchdog {
    Watchdog {
        interval: Duration::from_secs_f64(config.watchdog.interval_s),
        min_timeout: Duration::from_secs_f64(config.watchdog.min_timeout_s),
    }
}
