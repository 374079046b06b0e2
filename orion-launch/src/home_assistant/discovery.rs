// SPDX-License-Identifier: MPL-2.0
//! The message by which Home Assistant finds a device, with the names that Home Assistant gives its parts.

use std::collections::BTreeMap;

use serde::Serialize;

/// A camera, as a device of Home Assistant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Discovery {
    pub(super) dev: Device,
    pub(super) o: Origin,
    /// By names that never change.
    pub(super) cmps: BTreeMap<&'static str, Component>,
    /// None = it is always available, as far as can be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) availability: Vec<Availability>,
    pub(super) qos: u8,
}

/// What the device is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Device {
    pub(super) identifiers: Vec<String>,
    pub(super) name: String,
    pub(super) manufacturer: &'static str,
    pub(super) model: &'static str,
    pub(super) sw_version: &'static str,
    /// The daemon and the camera, by which a daemon knows its own again.
    pub(super) serial_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suggested_area: Option<String>,
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Origin {
    pub(super) name: &'static str,
    pub(super) sw_version: &'static str,
}

/// Where is said whether the device is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Availability {
    pub(super) topic: String,
    pub(super) value_template: &'static str,
}

/// One thing to see or to set. Without an entity it is named all the same: that is how Home Assistant takes away what was there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Component {
    pub(super) platform: Platform,
    #[serde(flatten)]
    pub(super) entity: Option<Entity>,
}

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Platform {
    BinarySensor,
    Sensor,
    Number,
    Select,
    Switch,
    Image,
}

/// How it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Entity {
    pub(super) unique_id: String,
    /// None = it is called as the device is.
    pub(super) name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity_category: Option<Category>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) icon: Option<&'static str>,
    #[serde(flatten)]
    pub(super) kind: Kind,
}

/// Whether it is not the main thing about the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Category {
    Config,
    Diagnostic,
}

/// What belongs to one kind of thing only.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Kind {
    /// A binary sensor or a sensor.
    Reading {
        state_topic: String,
        value_template: &'static str,
        #[serde(flatten)]
        more: Reading,
    },
    Number {
        state_topic: String,
        value_template: &'static str,
        command_topic: String,
        command_template: &'static str,
        min: f64,
        max: f64,
        step: f64,
        mode: &'static str,
        unit_of_measurement: &'static str,
    },
    Select {
        state_topic: String,
        value_template: &'static str,
        command_topic: String,
        command_template: &'static str,
        options: Vec<String>,
    },
    Switch {
        state_topic: String,
        value_template: &'static str,
        state_on: &'static str,
        state_off: &'static str,
        command_topic: String,
        payload_on: &'static str,
        payload_off: &'static str,
    },
    Image {
        image_topic: String,
        content_type: &'static str,
    },
}

/// What a reading may have.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Reading {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_attributes_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_attributes_template: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit_of_measurement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suggested_display_precision: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) options: Option<[&'static str; 9]>,
}
