// SPDX-License-Identifier: MPL-2.0
//! Output profiles: results in the form of another system's messages, so that its consumers work unchanged.

pub mod dlstreamer;
pub mod frigate;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::topic;

/// Whose messages are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Orion's own: one [`Report`](crate::report::Report) per result.
    #[default]
    Orion,
    /// Intel DL Streamer's `gvametaconvert format=json`: one [`dlstreamer::Frame`] per result.
    Dlstreamer,
    /// Frigate's events: one [`frigate::Event`] whenever something about a followed object changes.
    Frigate,
}

impl Profile {
    /// All profiles, the default first.
    pub const ALL: [Self; 3] = [Self::Orion, Self::Dlstreamer, Self::Frigate];

    /// The name in properties and configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orion => "orion",
            Self::Dlstreamer => "dlstreamer",
            Self::Frigate => "frigate",
        }
    }

    /// Where its messages go unless another topic is asked for.
    ///
    /// `gvametapublish` has none for DL Streamer's messages; Orion's own topic would promise Orion's own payload.
    pub fn default_topic(self) -> &'static str {
        match self {
            Self::Orion => topic::DEFAULT_TEMPLATE,
            Self::Dlstreamer => dlstreamer::DEFAULT_TOPIC,
            Self::Frigate => frigate::DEFAULT_TOPIC,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No profile has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown profile {name:?}, known are {known}", known = Profile::ALL.map(Profile::as_str).join(", "))]
pub struct UnknownProfile {
    /// The name as given.
    pub name: String,
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.as_str() == name);
        found.ok_or_else(|| UnknownProfile { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicTemplate;

    #[test]
    fn each_has_one_name_and_a_valid_topic() {
        for profile in Profile::ALL {
            assert_eq!(profile.as_str().parse::<Profile>(), Ok(profile));
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.to_string());
            assert!(TopicTemplate::parse(profile.default_topic()).is_ok(), "{profile}");
        }
        assert_eq!(Profile::default().default_topic(), topic::DEFAULT_TEMPLATE);
        assert_eq!(Profile::Frigate.default_topic(), "frigate/events");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "Frigate".parse::<Profile>().unwrap_err().to_string();
        assert_eq!(error, "unknown profile \"Frigate\", known are orion, dlstreamer, frigate");
    }
}
