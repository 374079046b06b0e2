// SPDX-License-Identifier: MPL-2.0
//! The elements of a pipeline that commands act on, found by their factories, so that any pipeline will do.

use std::sync::Arc;

use gst::{glib, prelude::*};
use orion_core::command::RATE_HZ;
use serde_json::{Value, json};

use super::effect::Effect;
use crate::{
    config::{Config, Resolution},
    home_assistant::Offers,
    inlet::Inlet,
    launch, source,
};

/// The model whose element is called otherwise.
const PERSON: &str = "person_detector";

/// The elements, and the gate.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    rois: Vec<gst::Element>,
    workers: Vec<gst::Element>,
    sinks: Vec<gst::Element>,
    /// Says to which size frames are scaled.
    size: Option<gst::Element>,
    inlet: Arc<Inlet>,
    /// Whether the pipeline is the one that is built from the configuration.
    built: bool,
}

impl Parts {
    pub(crate) fn new(ours: &[gst::Element], size: Option<gst::Element>, inlet: Arc<Inlet>, built: bool) -> Self {
        let of = |factory: &str| ours.iter().filter(|element| source::is(element, factory)).cloned().collect();
        Self { rois: of("orionroi"), workers: of("orionpyinfer"), sinks: of("orionmqttsink"), size, inlet, built }
    }

    /// The element that works for `models.<name>`, and what it is called.
    pub(super) fn worker(&self, name: &str) -> Result<&gst::Element, String> {
        let element = match name {
            PERSON if self.built => self.workers.iter().find(|element| element.name() == launch::INFER),
            // In a pipeline of somebody's own it may be called anything.
            PERSON => self.workers.first(),
            name => self.workers.iter().find(|element| element.name() == name),
        };
        element.ok_or_else(|| format!("the pipeline has no orionpyinfer for {name}"))
    }

    /// Those with this name, or all.
    pub(super) fn workers(&self, name: Option<&str>) -> Result<Vec<&gst::Element>, String> {
        let known = || self.workers.iter().map(|element| element.name().to_string()).collect::<Vec<_>>().join(", ");
        let found: Vec<_> =
            self.workers.iter().filter(|element| name.is_none_or(|name| element.name() == name)).collect();
        match (found.is_empty(), name) {
            (false, _) => Ok(found),
            (true, Some(name)) if !self.workers.is_empty() => {
                Err(format!("params.worker: there is no {name:?}, known are {}", known()))
            }
            (true, _) => Err("the pipeline has no orionpyinfer".to_owned()),
        }
    }

    /// The elements that choose regions.
    pub(super) fn rois(&self) -> Result<&[gst::Element], String> {
        if self.rois.is_empty() { Err("the pipeline has no orionroi".to_owned()) } else { Ok(&self.rois) }
    }

    /// What sets the size of frames.
    pub(super) fn size(&self) -> Result<&gst::Element, String> {
        self.size.as_ref().ok_or_else(|| "the pipeline is not the one that the configuration builds".to_owned())
    }

    /// Whether the pipeline is the one that is built from the configuration.
    pub(super) fn is_built(&self) -> bool {
        self.built
    }

    /// The number of a frame from which on everything that was set before is in force; none without `orionroi`.
    pub(super) fn next_seq(&self) -> Option<u64> {
        // Frames that the gate let pass by what was in force then, and that are not numbered yet.
        let passed = if self.built { self.inlet.ledger().forwarded() } else { 0 };
        let stats = self.rois.first()?.property::<gst::Structure>("stats");
        let (next, received): (u64, u64) = (stats.get("next-seq").ok()?, stats.get("received").ok()?);
        Some(next + passed.saturating_sub(received))
    }

    /// Sets the highest rate, Hz; none = all frames.
    pub(super) fn set_rate(&self, rate: Option<f64>) {
        let rate = rate.unwrap_or(0.0);
        if self.built {
            self.inlet.set_rate(rate);
        } else {
            self.rois.iter().for_each(|roi| roi.set_property("max-rate", rate));
        }
    }

    /// The highest rate in force, Hz; none = all frames.
    pub(super) fn rate(&self) -> Option<f64> {
        let rate = match self.rois.first() {
            Some(roi) if !self.built => roi.property("max-rate"),
            _ => self.inlet.rate(),
        };
        Some(rate).filter(|rate| *rate > 0.0)
    }

    /// Whether no frames are looked at.
    pub(super) fn is_paused(&self) -> bool {
        self.rois.iter().any(|roi| roi.property("paused"))
    }

    /// Elements have to end within the daemon's own time.
    pub(crate) fn hasten(&self, shutdown_timeout_s: f64) {
        let part = |share: f64| (shutdown_timeout_s * share * 1e9) as u64;
        self.workers.iter().for_each(|element| element.set_property("shutdown-timeout", part(0.1)));
        self.sinks.iter().for_each(|element| element.set_property("drain-timeout", part(0.2)));
    }

    /// What of it Home Assistant can use.
    pub(super) fn offers(&self, config: &Config) -> Offers {
        let status = format!("{}/status/{}", config.mqtt.prefix, config.instance_id);
        let tells = |sink: &gst::Element| {
            let topic = sink.property::<Option<String>>("status-topic").unwrap_or_default();
            topic.replace("{instance_id}", &config.instance_id) == status
        };
        let rois = self.rois().is_ok();
        Offers {
            status: self.sinks.iter().any(tells),
            rate: rois && (!self.built || config.rate().is_some()),
            pause: rois,
            model: self.worker(PERSON).is_ok(),
            built: self.built,
        }
    }

    /// The camera's frames a second.
    pub(super) fn camera_fps(&self) -> Option<f64> {
        self.inlet.fps()
    }

    /// Frames are scaled to this size from the next one on.
    pub(super) fn resize(&self, resolution: Resolution) {
        if let Some(size) = &self.size {
            size.set_property_from_str("caps", &launch::size_caps(resolution));
        }
    }

    /// Commands that this pipeline cannot serve, and why, one line a reason.
    pub(crate) fn unserved(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.rois.is_empty() {
            lines.push(
                "no orionroi: pause_inference, resume_inference, set_inference_rate, everything about attention and auto focus"
                    .to_owned(),
            );
        }
        if self.workers.is_empty() {
            lines.push("no orionpyinfer: set_model_size, restart_worker".to_owned());
        }
        if !self.built {
            lines.push("keys of camera and stream by update_config".to_owned());
        }
        lines
    }
}

/// Sets a property to the value of a key; says whether the element took it. Seconds become nanoseconds, lists texts.
pub(super) fn set(element: &gst::Element, property: &str, value: &Value) -> bool {
    let Some(pspec) = element.find_property(property) else { return false };
    let kind = pspec.value_type();
    match value {
        Value::Number(number) if kind == f64::static_type() => {
            element.set_property(property, number.as_f64().unwrap_or_default());
        }
        Value::Number(number) if kind == u64::static_type() => {
            let seconds = number.as_f64().unwrap_or_default();
            element.set_property(property, (seconds * 1e9).round() as u64);
        }
        Value::Number(number) if kind == u32::static_type() => {
            element.set_property(property, number.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX));
        }
        Value::Bool(flag) => element.set_property(property, flag),
        Value::String(text) if kind == String::static_type() => element.set_property(property, text),
        Value::String(nick) => element.set_property_from_str(property, nick),
        Value::Array(list) => element.set_property(property, list_text(list)),
        _ => return false,
    }
    get(element, property, value).is_some_and(|taken| is_same(&taken, value))
}

/// Whether two values are the same but for what a property cannot tell apart, such as parts of a nanosecond.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(1.0),
        _ => one == other,
    }
}

/// A property as the value of a key that looks like `like`.
pub(super) fn get(element: &gst::Element, property: &str, like: &Value) -> Option<Value> {
    element.find_property(property)?;
    let value = element.property_value(property);
    if let Ok(number) = value.get::<f64>() {
        // A whole number in a configuration has no point.
        let whole = like.is_u64() && number.fract() == 0.0;
        return Some(if whole { json!(number as u64) } else { json!(number) });
    }
    if let Ok(nanoseconds) = value.get::<u64>() {
        let seconds = nanoseconds as f64 / 1e9;
        let whole = like.is_u64() && seconds.fract() == 0.0;
        return Some(if whole { json!(seconds as u64) } else { json!(seconds) });
    }
    if let Ok(number) = value.get::<u32>() {
        return Some(json!(number));
    }
    if let Ok(flag) = value.get::<bool>() {
        return Some(json!(flag));
    }
    if let Ok(text) = value.get::<Option<String>>() {
        let text = text.unwrap_or_default();
        return Some(if like.is_array() { list(&text) } else { json!(text) });
    }
    glib::EnumValue::from_value(&value).map(|(_, value)| json!(value.nick()))
}

/// A property's value as GStreamer writes it.
pub(super) fn written(element: &gst::Element, property: &str) -> Option<String> {
    element.property_value(property).serialize().ok().map(|text| text.to_string())
}

/// Names are separated by commas, regions are JSON.
fn list_text(list: &[Value]) -> String {
    let names: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
    match names {
        Some(names) if !names.is_empty() => names.join(","),
        Some(_) => String::new(),
        None => Value::from(list).to_string(),
    }
}

fn list(text: &str) -> Value {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).unwrap_or_default();
    }
    text.split(',').filter(|name| !name.is_empty()).collect()
}

/// The configuration with the values that the elements of a pipeline of somebody's own really have. One that the configuration does
/// not allow stays as it was.
pub(super) fn adopted(config: &Config, parts: &Parts) -> Config {
    let mut adopted = config.clone();
    if let Some(rate) = parts.rate().filter(|rate| RATE_HZ.contains(rate)) {
        adopted.models.person_detector.max_inference_rate_hz = rate;
    }
    for (key, effect) in Effect::properties() {
        let mut tree = serde_json::to_value(&adopted).unwrap_or_default();
        let Some(place) = tree.pointer_mut(&format!("/{}", key.replace('.', "/"))) else { continue };
        let value = match effect {
            Effect::Roi(property) => parts.rois.first().and_then(|roi| get(roi, property, place)),
            Effect::Worker { name, property } => parts.worker(&name).ok().and_then(|e| get(e, property, place)),
            _ => None,
        };
        if let Some(value) = value {
            *place = value;
            adopted = adopted.rebuilt(tree).unwrap_or(adopted);
        }
    }
    adopted
}
