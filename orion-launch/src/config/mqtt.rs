// SPDX-License-Identifier: MPL-2.0
//! Keys of where results go. Defaults and limits are those of `orionmqttsink`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

use super::{number, text};

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Mqtt {
    /// mqtt://[user@]host[:port] or mqtts://... (TLS); never with a password.
    #[serde(with = "text::MqttUri")]
    pub(crate) uri: String,
    /// Run a broker of our own (mosquitto) on the loopback address of uri; port 0 there means any free port.
    pub(crate) embedded: bool,
    /// First part of every topic.
    #[serde(with = "text::Prefix")]
    pub(crate) prefix: String,
    /// Quality of service of results: 0 at most once, 1 at least once, 2 exactly once.
    #[serde(with = "number::Qos")]
    pub(crate) qos: u32,
    /// Who logs in at the broker; empty = the user in uri.
    #[serde(with = "text::Free")]
    pub(crate) username: String,
    /// File with the password, so that it stands in no configuration; credential:NAME = one that systemd hands to the service.
    #[serde(with = "text::Free")]
    pub(crate) password_file: String,
    /// For mqtts: whom to trust, and who we are.
    pub(crate) tls: Tls,
    /// Version of MQTT.
    pub(crate) version: MqttVersion,
    /// Client identifier, unique at the broker; empty = a random one at each start.
    #[serde(with = "text::Free")]
    pub(crate) client_id: String,
    /// Begin a new session with each connection; false = go on with it after a lost one, so that qos 2 means exactly once.
    pub(crate) clean_start: bool,
    /// Seconds that the broker keeps the session after a lost connection; version 5 with clean_start false only.
    #[serde(with = "number::Expiry")]
    pub(crate) session_expiry_interval_s: u32,
    /// Seconds after which a result is worthless: it is dropped here and, with version 5, by the broker; 0 = never.
    #[serde(with = "number::ExpiryOrNever")]
    pub(crate) message_expiry_interval_s: u32,
    /// Seconds of silence until the broker is asked for a sign of life; 0 = never.
    #[serde(with = "number::KeepAlive")]
    pub(crate) keep_alive_s: u32,
    /// Seconds between two attempts to connect at most; they begin at 0.1 and double.
    #[serde(with = "number::Reconnect")]
    pub(crate) max_reconnect_interval_s: f64,
    /// What becomes of results while there is no connection: keep, newest (one a topic), drop.
    pub(crate) outage_policy: OutagePolicy,
    /// Messages kept until the broker has them; beyond that the oldest go.
    #[serde(with = "number::Messages")]
    pub(crate) max_buffered_messages: u32,
    /// The same in bytes.
    #[serde(with = "number::Bytes")]
    pub(crate) max_buffered_bytes: u64,
    /// Folder of this daemon alone in which results survive a crash and a restart until the broker has them; empty = memory only.
    #[serde(with = "text::Free")]
    pub(crate) buffer_directory: String,
    /// Whose messages are published: orion, dlstreamer or frigate, each on topics of its own.
    pub(crate) profile: Profile,
    /// Profile frigate: median confidence from which an object is announced.
    #[serde(with = "number::Fraction")]
    pub(crate) event_threshold: f64,
    /// Pictures of frames with a detection.
    pub(crate) snapshots: Snapshots,
    /// Whether Home Assistant finds the cameras by itself.
    pub(crate) home_assistant: HomeAssistant,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            uri: "mqtt://127.0.0.1:1883".into(),
            embedded: false,
            prefix: "care".into(),
            qos: 1,
            username: String::new(),
            password_file: String::new(),
            tls: Tls::default(),
            version: MqttVersion::V3,
            client_id: String::new(),
            clean_start: true,
            session_expiry_interval_s: 3600,
            message_expiry_interval_s: 0,
            keep_alive_s: 10,
            max_reconnect_interval_s: 30.0,
            outage_policy: OutagePolicy::Keep,
            max_buffered_messages: 1000,
            max_buffered_bytes: 64 * 1024 * 1024,
            buffer_directory: String::new(),
            profile: Profile::Orion,
            event_threshold: 0.7,
            snapshots: Snapshots::default(),
            home_assistant: HomeAssistant::default(),
        }
    }
}

impl Mqtt {
    /// Host and port of the broker.
    pub(crate) fn broker(&self) -> Option<(&str, u16)> {
        text::broker(&self.uri)
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.uri.starts_with("mqtts://")
    }
}

/// For mqtts: whom to trust, and who we are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM file with the certificates of the authorities to trust; empty = those of the system.
    #[serde(with = "text::Free")]
    pub(crate) ca_file: String,
    /// PEM file with the certificate to show to the broker; needs key_file.
    #[serde(with = "text::Free")]
    pub(crate) cert_file: String,
    /// PEM file with the private key of cert_file, not encrypted.
    #[serde(with = "text::Free")]
    pub(crate) key_file: String,
    /// Take any certificate of the broker for good: for tests only.
    pub(crate) insecure: bool,
}

impl Tls {
    /// The keys that name files, and those files.
    pub(super) fn files(&self) -> [(&'static str, &str); 3] {
        [
            ("mqtt.tls.ca_file", &self.ca_file),
            ("mqtt.tls.cert_file", &self.cert_file),
            ("mqtt.tls.key_file", &self.key_file),
        ]
    }
}

/// Pictures of frames with a detection, on `{prefix}/snapshots/{instance_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Snapshots {
    /// Whether pictures are published, on {prefix}/snapshots/{instance_id}.
    pub(crate) enabled: bool,
    /// Seconds between two pictures at least.
    #[serde(with = "number::SnapshotInterval")]
    pub(crate) interval_s: f64,
    /// Publish no picture, whatever enabled says.
    pub(crate) privacy: bool,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { enabled: false, interval_s: 5.0, privacy: false }
    }
}

/// Home Assistant's MQTT device discovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct HomeAssistant {
    /// Whether each camera is announced as a device, on {prefix}/device/orion_{instance_id}/config.
    pub(crate) enabled: bool,
    /// First part of Home Assistant's topics, its discovery prefix.
    #[serde(with = "text::Prefix")]
    pub(crate) prefix: String,
    /// Show the last picture of a detection, too; needs snapshots.enabled, and does nothing with snapshots.privacy.
    pub(crate) picture: bool,
}

impl Default for HomeAssistant {
    fn default() -> Self {
        Self { enabled: false, prefix: "homeassistant".into(), picture: false }
    }
}

/// What becomes of results while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutagePolicy {
    Keep,
    Newest,
    Drop,
}

/// Whose messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    Orion,
    Dlstreamer,
    Frigate,
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum MqttVersion {
    #[serde(rename = "3.1.1")]
    V3,
    #[serde(rename = "5")]
    V5,
}

// Without quotes YAML takes 5 for a number.
impl<'de> Deserialize<'de> for MqttVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Version;

        impl Visitor<'_> for Version {
            type Value = MqttVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of 3.1.1, 5")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MqttVersion, E> {
                match text {
                    "3.1.1" => Ok(MqttVersion::V3),
                    "5" => Ok(MqttVersion::V5),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<MqttVersion, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Version)
    }
}

impl JsonSchema for MqttVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MqttVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ["3.1.1", "5", 5]})
    }
}
