// SPDX-License-Identifier: MPL-2.0
//! What of a camera Home Assistant shows, read off its configuration.

use std::collections::BTreeMap;

use orion_core::command::RATE_HZ;

use super::{
    ORIGIN,
    discovery::{Availability, Category, Component, Device, Discovery, Entity, Kind, Origin, Platform, Reading},
    templates,
};
use crate::config::{Config, Detector};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a pipeline can do besides what its configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offers {
    /// `status` is told.
    pub(crate) status: bool,
    /// The rate can be set.
    pub(crate) rate: bool,
    /// It can be paused.
    pub(crate) pause: bool,
    /// There is a person detector whose model can be changed.
    pub(crate) model: bool,
    /// It is the one that the configuration builds.
    pub(crate) built: bool,
}

#[cfg(test)]
impl Offers {
    pub(crate) const ALL: Self = Self { status: true, rate: true, pause: true, model: true, built: true };
}

/// What Home Assistant calls a camera.
pub(super) fn object_id(camera: &str) -> String {
    format!("orion_{camera}")
}

impl Discovery {
    /// The camera of this configuration, which belongs to `daemon`.
    pub(crate) fn new(config: &Config, daemon: &str, offers: &Offers) -> Self {
        let (id, room) = (&config.instance_id, config.room_id.trim());
        let names = Names { config };
        let status = Availability { topic: names.topic("status"), value_template: templates::AVAILABLE };
        Self {
            dev: Device {
                identifiers: vec![object_id(id)],
                name: if room.is_empty() { id.clone() } else { room.to_owned() },
                manufacturer: "Orion",
                model: "Person sensor",
                sw_version: VERSION,
                serial_number: format!("{daemon}/{id}"),
                suggested_area: (!room.is_empty()).then(|| room.to_owned()),
            },
            o: Origin { name: ORIGIN, sw_version: VERSION },
            cmps: names.components(offers),
            availability: if offers.status { vec![status] } else { Vec::new() },
            qos: 1,
        }
    }
}

struct Names<'a> {
    config: &'a Config,
}

impl Names<'_> {
    fn topic(&self, what: &str) -> String {
        format!("{}/{what}/{}", self.config.mqtt.prefix, self.config.instance_id)
    }

    /// All that there may be, in the same order always, so that what is there no longer is taken away.
    fn components(&self, offers: &Offers) -> BTreeMap<&'static str, Component> {
        let (config, mqtt) = (self.config, &self.config.mqtt);
        let presence = config.presence.enabled;
        let detector = &config.models.person_detector;
        // A certain file has no sizes, and motion needs none.
        let model = offers.model && detector.model_path.is_empty() && detector.detector != Detector::Motion;
        let pictures = &mqtt.snapshots;
        let picture = mqtt.home_assistant.picture && pictures.enabled && !pictures.privacy && offers.built;
        let all = [
            ("person", Platform::BinarySensor, presence, self.person()),
            ("count", Platform::Sensor, presence, self.count()),
            ("camera", Platform::BinarySensor, presence, self.camera()),
            ("camera_state", Platform::Sensor, presence, self.camera_state()),
            ("inference", Platform::Switch, offers.pause, self.inference()),
            ("rate", Platform::Number, offers.rate, self.rate()),
            // By which a daemon knows its own, too.
            ("rate_in_force", Platform::Sensor, true, self.rate_in_force()),
            ("model", Platform::Select, model, self.model()),
            ("picture", Platform::Image, picture, self.picture()),
        ];
        let component = |(key, platform, there, entity): (&'static str, Platform, bool, Entity)| {
            let unique_id = format!("{}_{key}", object_id(&config.instance_id));
            (key, Component { platform, entity: there.then_some(Entity { unique_id, ..entity }) })
        };
        all.map(component).into()
    }

    /// A value that is read off a topic.
    fn reading(&self, what: &str, value_template: &'static str, more: Reading) -> Entity {
        entity(Kind::Reading { state_topic: self.topic(what), value_template, more })
    }

    fn person(&self) -> Entity {
        let attributes = Reading {
            json_attributes_topic: Some(self.topic("presence")),
            json_attributes_template: Some(templates::PERSON_ATTRIBUTES),
            ..Reading::default()
        };
        Entity { device_class: Some("occupancy"), ..self.reading("presence", templates::PERSON, attributes) }
    }

    fn count(&self) -> Entity {
        let number =
            Reading { state_class: Some("measurement"), suggested_display_precision: Some(0), ..Reading::default() };
        Entity {
            name: Some("Persons"),
            icon: Some("mdi:account-group"),
            ..self.reading("presence", templates::COUNT, number)
        }
    }

    fn camera(&self) -> Entity {
        Entity {
            name: Some("Camera"),
            entity_category: Some(Category::Diagnostic),
            device_class: Some("problem"),
            ..self.reading("presence", templates::CAMERA, Reading::default())
        }
    }

    fn camera_state(&self) -> Entity {
        let options = Reading { options: Some(templates::CAMERA_STATES), ..Reading::default() };
        Entity {
            name: Some("Camera state"),
            entity_category: Some(Category::Diagnostic),
            device_class: Some("enum"),
            icon: Some("mdi:cctv"),
            ..self.reading("presence", templates::CAMERA_STATE, options)
        }
    }

    fn inference(&self) -> Entity {
        let kind = Kind::Switch {
            state_topic: self.topic("state"),
            value_template: templates::INFERENCE,
            state_on: "ON",
            state_off: "OFF",
            command_topic: self.topic("control"),
            payload_on: templates::RESUME,
            payload_off: templates::PAUSE,
        };
        Entity { name: Some("Inference"), icon: Some("mdi:eye"), ..entity(kind) }
    }

    fn rate(&self) -> Entity {
        let kind = Kind::Number {
            state_topic: self.topic("state"),
            value_template: templates::RATE,
            command_topic: self.topic("control"),
            command_template: templates::SET_RATE,
            min: *RATE_HZ.start(),
            max: *RATE_HZ.end(),
            step: 0.1,
            mode: "slider",
            unit_of_measurement: "Hz",
        };
        Entity {
            name: Some("Inference rate"),
            entity_category: Some(Category::Config),
            device_class: Some("frequency"),
            ..entity(kind)
        }
    }

    fn rate_in_force(&self) -> Entity {
        let rate = Reading {
            state_class: Some("measurement"),
            unit_of_measurement: Some("Hz"),
            suggested_display_precision: Some(1),
            ..Reading::default()
        };
        Entity {
            name: Some("Inference rate in force"),
            entity_category: Some(Category::Diagnostic),
            device_class: Some("frequency"),
            ..self.reading("state", templates::RATE_IN_FORCE, rate)
        }
    }

    fn model(&self) -> Entity {
        let kind = Kind::Select {
            state_topic: self.topic("state"),
            value_template: templates::MODEL,
            command_topic: self.topic("control"),
            command_template: templates::SET_MODEL,
            options: ["orion", "n", "s", "m", "l", "x"].map(str::to_owned).into(),
        };
        Entity {
            name: Some("Model size"),
            entity_category: Some(Category::Config),
            icon: Some("mdi:resize"),
            ..entity(kind)
        }
    }

    fn picture(&self) -> Entity {
        let kind = Kind::Image { image_topic: self.topic("snapshots"), content_type: "image/jpeg" };
        Entity { name: Some("Last detection"), ..entity(kind) }
    }
}

/// With the name of the device, and nothing more.
fn entity(kind: Kind) -> Entity {
    Entity { unique_id: String::new(), name: None, entity_category: None, device_class: None, icon: None, kind }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Config {
        let mut config = Config { instance_id: "ward-1".into(), ..Config::default() };
        config.mqtt.snapshots.enabled = true;
        config.mqtt.home_assistant.picture = true;
        config
    }

    fn told(config: &Config, offers: &Offers) -> Value {
        serde_json::to_value(Discovery::new(config, "ward", offers)).unwrap()
    }

    /// What is there of it, by key.
    fn there(config: &Config, offers: &Offers) -> Vec<String> {
        let told = told(config, offers);
        let all = told["cmps"].as_object().unwrap();
        assert_eq!(all.len(), 9, "what is not there is named, too, so that it goes");
        all.iter().filter(|(_, one)| one.as_object().unwrap().len() > 1).map(|(key, _)| key.clone()).collect()
    }

    #[test]
    fn a_device_says_whose_it_is() {
        let mut config = config();
        let device = told(&config, &Offers::ALL);
        let expected = json!({"identifiers": ["orion_ward-1"], "name": "ward-1", "manufacturer": "Orion",
            "model": "Person sensor", "sw_version": VERSION, "serial_number": "ward/ward-1"});
        assert_eq!(device["dev"], expected);
        assert_eq!(device["o"], json!({"name": "orion-launch", "sw_version": VERSION}));
        let status = json!([{"topic": "care/status/ward-1", "value_template": templates::AVAILABLE}]);
        assert_eq!((&device["availability"], &device["qos"]), (&status, &json!(1)));
        assert!(told(&config, &Offers { status: false, ..Offers::ALL }).get("availability").is_none());
        config.room_id = " Room 101".into();
        let device = told(&config, &Offers::ALL);
        assert_eq!(
            (&device["dev"]["name"], &device["dev"]["suggested_area"]),
            (&json!("Room 101"), &json!("Room 101"))
        );
    }

    #[test]
    fn each_entity_is_as_home_assistant_wants_it() {
        let all = told(&config(), &Offers::ALL);
        for (key, entity) in [
            (
                "person",
                json!({"platform": "binary_sensor", "name": null, "device_class": "occupancy",
                    "state_topic": "care/presence/ward-1", "value_template": templates::PERSON,
                    "json_attributes_topic": "care/presence/ward-1",
                    "json_attributes_template": templates::PERSON_ATTRIBUTES}),
            ),
            (
                "count",
                json!({"platform": "sensor", "name": "Persons", "icon": "mdi:account-group", "state_class": "measurement",
                    "suggested_display_precision": 0, "state_topic": "care/presence/ward-1",
                    "value_template": templates::COUNT}),
            ),
            (
                "camera",
                json!({"platform": "binary_sensor", "name": "Camera", "entity_category": "diagnostic",
                    "device_class": "problem", "state_topic": "care/presence/ward-1", "value_template": templates::CAMERA}),
            ),
            (
                "camera_state",
                json!({"platform": "sensor", "name": "Camera state", "entity_category": "diagnostic",
                    "device_class": "enum", "icon": "mdi:cctv", "options": templates::CAMERA_STATES,
                    "state_topic": "care/presence/ward-1", "value_template": templates::CAMERA_STATE}),
            ),
            (
                "inference",
                json!({"platform": "switch", "name": "Inference", "icon": "mdi:eye", "state_topic": "care/state/ward-1",
                    "value_template": templates::INFERENCE, "state_on": "ON", "state_off": "OFF",
                    "command_topic": "care/control/ward-1", "payload_on": templates::RESUME,
                    "payload_off": templates::PAUSE}),
            ),
            (
                "rate",
                json!({"platform": "number", "name": "Inference rate", "entity_category": "config",
                    "device_class": "frequency", "state_topic": "care/state/ward-1", "value_template": templates::RATE,
                    "command_topic": "care/control/ward-1", "command_template": templates::SET_RATE, "min": 0.1,
                    "max": 30.0, "step": 0.1, "mode": "slider", "unit_of_measurement": "Hz"}),
            ),
            (
                "rate_in_force",
                json!({"platform": "sensor", "name": "Inference rate in force", "entity_category": "diagnostic",
                    "device_class": "frequency", "state_class": "measurement", "unit_of_measurement": "Hz",
                    "suggested_display_precision": 1, "state_topic": "care/state/ward-1",
                    "value_template": templates::RATE_IN_FORCE}),
            ),
            (
                "model",
                json!({"platform": "select", "name": "Model size", "entity_category": "config", "icon": "mdi:resize",
                    "state_topic": "care/state/ward-1", "value_template": templates::MODEL,
                    "command_topic": "care/control/ward-1", "command_template": templates::SET_MODEL,
                    "options": ["orion", "n", "s", "m", "l", "x"]}),
            ),
            (
                "picture",
                json!({"platform": "image", "name": "Last detection", "image_topic": "care/snapshots/ward-1",
                    "content_type": "image/jpeg"}),
            ),
        ] {
            let mut expected = entity;
            expected["unique_id"] = format!("orion_ward-1_{key}").into();
            assert_eq!(all["cmps"][key], expected, "{key}");
        }
    }

    #[test]
    fn what_a_camera_cannot_do_is_not_shown() {
        let all =
            ["camera", "camera_state", "count", "inference", "model", "person", "picture", "rate", "rate_in_force"];
        assert_eq!(there(&config(), &Offers::ALL), all);
        let without = |gone: &[&str]| -> Vec<_> { all.into_iter().filter(|key| !gone.contains(key)).collect() };
        let changed = |change: fn(&mut Config), offers: Offers| {
            let mut config = config();
            change(&mut config);
            there(&config, &offers)
        };
        for (change, gone) in [
            ((|c| c.presence.enabled = false) as fn(&mut Config), &["person", "count", "camera", "camera_state"][..]),
            (|c| c.models.person_detector.detector = Detector::Motion, &["model"]),
            (|c| c.models.person_detector.model_path = "x.onnx".into(), &["model"]),
            (|c| c.mqtt.home_assistant.picture = false, &["picture"]),
            (|c| c.mqtt.snapshots.enabled = false, &["picture"]),
            (|c| c.mqtt.snapshots.privacy = true, &["picture"]),
        ] {
            assert_eq!(changed(change, Offers::ALL), without(gone));
        }
        let none = Offers { status: false, rate: false, pause: false, model: false, built: false };
        assert_eq!(changed(|_| {}, none), without(&["rate", "inference", "model", "picture"]));
    }
}
