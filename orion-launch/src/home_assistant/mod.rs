// SPDX-License-Identifier: MPL-2.0
//! Home Assistant finds the cameras by itself: one retained message a camera says what there is to see and to set (its MQTT
//! device discovery).

mod discovery;
mod entities;
mod templates;

pub(crate) use discovery::Discovery;
pub(crate) use entities::Offers;
use serde_json::Value;

use crate::config::Config;

/// Who says it, in Home Assistant's log.
const ORIGIN: &str = "orion-launch";
/// What Home Assistant says when it has started.
const BORN: &[u8] = b"online";

/// Where Home Assistant listens and speaks, and whose devices we announce there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hub {
    /// First part of Home Assistant's topics.
    prefix: String,
    /// First part of ours.
    ours: String,
    /// The daemon's own name.
    daemon: String,
}

impl Hub {
    /// None = nothing is announced.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let hub = || Self {
            prefix: config.mqtt.home_assistant.prefix.clone(),
            ours: config.mqtt.prefix.clone(),
            daemon: config.instance_id.clone(),
        };
        config.mqtt.home_assistant.enabled.then(hub)
    }

    /// What is announced of a camera.
    pub(crate) fn discovery(&self, config: &Config, offers: &Offers) -> Discovery {
        Discovery::new(config, &self.daemon, offers)
    }

    /// Where Home Assistant says that it has started.
    pub(crate) fn birth(&self) -> String {
        format!("{}/status", self.prefix)
    }

    /// Whether this says so now; what is retained says it of the past.
    pub(crate) fn is_birth(&self, topic: &str, payload: &[u8], retained: bool) -> bool {
        !retained && payload == BORN && topic == self.birth()
    }

    /// Where all devices are announced, those of others as well.
    pub(crate) fn everyone(&self) -> String {
        self.topic_of("+")
    }

    /// Where a camera is announced.
    pub(crate) fn topic(&self, camera: &str) -> String {
        self.topic_of(&entities::object_id(camera))
    }

    fn topic_of(&self, object_id: &str) -> String {
        format!("{}/device/{object_id}/config", self.prefix)
    }

    /// Whether a topic is one of [`Hub::everyone`] or of [`Hub::birth`].
    pub(crate) fn is_for(&self, topic: &str) -> bool {
        let rest = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| rest == "status" || (rest.starts_with("device/") && rest.ends_with("/config")))
    }

    /// The camera that an announcement is about, if this daemon made it, now or in an earlier life.
    pub(crate) fn camera(&self, topic: &str, payload: &[u8]) -> Option<String> {
        let told: Value = serde_json::from_slice(payload).ok()?;
        let serial = told.pointer("/dev/serial_number")?.as_str()?;
        let camera = serial.strip_prefix(&self.daemon)?.strip_prefix('/')?;
        // There always, and of no other prefix.
        let state = format!("{}/state/{camera}", self.ours);
        let ours = told.pointer("/o/name")? == ORIGIN
            && topic == self.topic(camera)
            && told.pointer("/cmps/rate_in_force/state_topic")? == &state;
        ours.then(|| camera.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(daemon: &str) -> Hub {
        Hub { prefix: "homeassistant".into(), ours: "care".into(), daemon: daemon.into() }
    }

    fn announced(daemon: &str, camera: &str, prefix: &str) -> Vec<u8> {
        let mut config = Config { instance_id: camera.into(), ..Config::default() };
        config.mqtt.prefix = prefix.into();
        serde_json::to_vec(&Discovery::new(&config, daemon, &Offers::ALL)).unwrap()
    }

    #[test]
    fn it_is_off_unless_asked_for() {
        let mut config = Config::default();
        assert_eq!(Hub::of(&config), None);
        config.mqtt.home_assistant.enabled = true;
        assert_eq!(Hub::of(&config), Some(hub("orion")));
    }

    #[test]
    fn a_birth_is_told_by_its_topic_and_is_no_old_one() {
        let hub = hub("orion");
        assert!(hub.is_birth("homeassistant/status", b"online", false));
        assert!(!hub.is_birth("homeassistant/status", b"online", true));
        assert!(!hub.is_birth("homeassistant/status", b"offline", false));
        assert!(!hub.is_birth("care/status", b"online", false));
        for topic in ["homeassistant/status", "homeassistant/device/x/config"] {
            assert!(hub.is_for(topic), "{topic}");
        }
        for topic in
            ["care/control/a", "homeassistant/statusx", "homeassistantx/status", "homeassistant/sensor/x/config"]
        {
            assert!(!hub.is_for(topic), "{topic}");
        }
    }

    #[test]
    fn only_what_this_daemon_announced_is_its_own() {
        let hub = hub("ward");
        let topic = hub.topic("a");
        assert_eq!(topic, "homeassistant/device/orion_a/config");
        assert_eq!(hub.camera(&topic, &announced("ward", "a", "care")), Some("a".into()));
        for (topic, payload) in [
            (topic.as_str(), announced("ward2", "a", "care")),
            (&topic, announced("ward", "a", "house")),
            (&topic, announced("ward", "b", "care")),
            ("homeassistant/device/orion_b/config", announced("ward", "a", "care")),
            (&topic, b"".to_vec()),
            (&topic, b"{}".to_vec()),
            (&topic, b"[\"x".to_vec()),
            (&topic, br#"{"dev":{"serial_number":"ward/a"},"o":{"name":"other"}}"#.to_vec()),
        ] {
            assert_eq!(hub.camera(topic, &payload), None, "{topic} {}", String::from_utf8_lossy(&payload));
        }
    }
}
