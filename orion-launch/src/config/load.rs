// SPDX-License-Identifier: MPL-2.0
//! From a file and the environment to a checked configuration, or to all that is wrong with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Config, check,
    keys::{self, merge, nearest, nested, plain},
    problem::{ConfigError, Place},
    sources::Sources,
    yaml::{self, Entry, Node},
};

/// The configuration: variables before the file, the file before the defaults.
///
/// # Errors
/// [`ConfigError`] with all problems at once.
pub(super) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let known = serde_json::to_value(Config::default()).map_err(|error| ConfigError(vec![error.to_string()]))?;
    let mut loader = Loader { known: &known, values: Map::new(), places: BTreeMap::new(), problems: Vec::new() };
    if let Some((name, text)) = &sources.file {
        loader.file(name, text)?;
    }
    for (name, value) in &sources.variables {
        loader.variable(name, value);
    }
    loader.finish()
}

struct Loader<'a> {
    known: &'a Value,
    values: Map<String, Value>,
    places: BTreeMap<String, Place>,
    problems: Vec<String>,
}

impl Loader<'_> {
    fn file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        if text.trim().is_empty() {
            return Ok(());
        }
        match yaml::parse(text) {
            Ok(Node::Section(entries)) => self.section(name, &[], entries, self.known),
            Ok(Node::Leaf(Value::Null)) => {}
            Ok(Node::Leaf(_)) => {
                return Err(ConfigError(vec![format!("{name}: expected keys such as `instance_id: orion`")]));
            }
            Err(error) => {
                let at = error.location().map_or(String::new(), |l| format!("{}:{}: ", l.line(), l.column()));
                return Err(ConfigError(vec![format!("{name}:{at}{}", error.without_snippet())]));
            }
        }
        Ok(())
    }

    fn section(&mut self, file: &str, path: &[&str], entries: Vec<Entry>, known: &Value) {
        for entry in entries {
            let place = Place::File { name: file.to_owned(), line: entry.place.line(), column: entry.place.column() };
            let mut path = path.to_vec();
            path.push(&entry.key);
            let key = path.join(".");
            match (known.get(&entry.key), entry.node) {
                (None, _) => {
                    let names: Vec<&str> =
                        known.as_object().into_iter().flat_map(|o| o.keys().map(String::as_str)).collect();
                    let hint = match nearest(&entry.key, &names) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("known here are {}", names.join(", ")),
                    };
                    self.problems.push(format!("{place}{key}: unknown key, {hint}"));
                }
                // A section without content, or a key without value, leaves the defaults.
                (Some(_), Node::Leaf(Value::Null)) => {}
                (Some(known @ Value::Object(_)), Node::Section(inner)) => self.section(file, &path, inner, known),
                (Some(Value::Object(_)), Node::Leaf(value)) => {
                    self.problems.push(format!("{place}{key}: expected a section with keys of its own, got {value}"));
                }
                (Some(_), node) => self.set(&path, node.into(), place),
            }
        }
    }

    fn variable(&mut self, name: &str, text: &str) {
        // The sink reads these itself.
        if gstorion::orionmqttsink::ENVIRONMENT.contains(&name) {
            return;
        }
        let Some(rest) = name.strip_prefix(keys::VARIABLE) else {
            return;
        };
        let lower = rest.to_lowercase();
        let path: Vec<&str> = lower.split("__").collect();
        let place = Place::Variable(name.to_owned());
        let known = path.iter().try_fold(self.known, |known, part| known.get(part));
        match known {
            Some(Value::Object(_)) => self.problems.push(format!("{place}a section cannot be set as a whole")),
            // Text is taken as it is, so that `00123` or `on` stay what they are.
            Some(Value::String(_)) => self.set(&path, text.into(), place),
            Some(_) => match yaml::parse(text) {
                Ok(node) => self.set(&path, node.into(), place),
                Err(error) => self.problems.push(format!("{place}{}", error.without_snippet())),
            },
            None => {
                let variables = keys::variables(self.known);
                let names: Vec<&str> = variables.iter().map(String::as_str).collect();
                // Others use the prefix too; only what looks like a key is taken for a mistake.
                match nearest(name, &names) {
                    Some(near) => self.problems.push(format!("{place}no such key, did you mean {near}?")),
                    None if path.len() > 1 => self.problems.push(format!("{place}no such key")),
                    None => {}
                }
            }
        }
    }

    /// Takes a value if it fits its key on its own.
    fn set(&mut self, path: &[&str], value: Value, place: Place) {
        let alone = nested(path, value.clone());
        match serde_path_to_error::deserialize::<_, Config>(&alone) {
            Ok(_) => {
                self.places.insert(path.join("."), place);
                merge(&mut self.values, alone);
            }
            Err(error) => {
                let (at, text) = (error.path().to_string(), error.inner().to_string());
                // The path is longer than the key where an entry of a list is wrong.
                let key = if at.len() > path.join(".").len() { at } else { path.join(".") };
                self.problems.push(format!("{place}{key}: {}", plain(&text)));
            }
        }
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        let config = serde_json::from_value::<Config>(Value::Object(self.values));
        match &config {
            Ok(config) => {
                for (key, text) in check::together(config) {
                    let place = self.places.get(key).unwrap_or(&Place::Default);
                    self.problems.push(format!("{place}{key}: {text}"));
                }
            }
            Err(error) => self.problems.push(error.to_string()),
        }
        match config {
            Ok(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(self.problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let sources = Sources { file: Some(("o.yaml".into(), text.into())), variables };
        sources.load().map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_default_is_the_default() {
        let text = include_str!("../../../pipelines/orion.yaml");
        assert_eq!(load(text, &[]).unwrap(), Config::default());
        // Each key stands there, so that each is documented.
        let written = Value::from(yaml::parse(text).unwrap());
        let known = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(keys::variables(&written), keys::variables(&known));
    }

    #[test]
    fn variables_go_before_the_file_and_the_file_before_the_defaults() {
        let file = "instance_id: a\nstream: {fps: 12.5}\nmqtt:\nhttp: {bind: \"\"}\n";
        let config = load(
            file,
            &[
                ("ORION_ROOM_ID", "007"),
                ("ORION_STREAM__FPS", "7"),
                ("ORION_TEST_DATA", "/x"),
                ("ORION_MQTT_PASSWORD", "x"),
                ("HOME", "/"),
            ],
        );
        let config = config.unwrap();
        assert_eq!((config.instance_id.as_str(), config.room_id.as_str(), config.stream.fps), ("a", "007", 7.0));
        assert_eq!(config.http.bind, "");
        assert_eq!(config.mqtt, Config::default().mqtt);
        let rois = r#"[{"x":0,"y":0,"width":0.5,"height":1}]"#;
        assert_eq!(load("", &[("ORION_ROIS__ATTENTION", rois)]).unwrap().rois.attention.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_place_key_and_expectation() {
        for (file, expected) in [
            ("instance_id: a b", "o.yaml:1:1: instance_id: expected letters, digits, _ and -"),
            ("room_id: 7", "o.yaml:1:1: room_id: invalid type: integer `7`, expected text (in quotes)"),
            ("camera:\n  rtsp_ulr: x", "o.yaml:2:3: camera.rtsp_ulr: unknown key, did you mean rtsp_url?"),
            ("camera:\n  address: x", "o.yaml:2:3: camera.address: unknown key, known here are codec, file, rtsp_url"),
            ("camera: {rtsp_url: 'http://u:pw@x'}", "o.yaml:1:10: camera.rtsp_url: expected rtsp://"),
            ("stream: {resolution: 480}", "stream.resolution: "),
            ("stream: {resolution: 400p}", "expected one of `320p`, `480p`, `512p`, `720p`, `1080p`"),
            ("stream: 5", "o.yaml:1:1: stream: expected a section with keys of its own, got 5"),
            ("stream: {fps: fast}", "stream.fps: invalid type: string \"fast\", expected a number"),
            (
                "models: {person_detector: {confidence: 1.5}}",
                "models.person_detector.confidence: expected 0..1, got 1.5",
            ),
            (
                "models: {person_detector: {workers: 2.5}}",
                "workers: invalid type: floating point `2.5`, expected a whole number",
            ),
            (
                "rois:\n  attention: [{x: 0, y: 0, width: 2, height: 1}]",
                "o.yaml:2:3: rois.attention[0]: x + width must be at most 1",
            ),
            ("mqtt: {embedded: maybe}", "mqtt.embedded: invalid type: string \"maybe\", expected true or false"),
            ("mqtt: {uri: 'mqtt://me:secret@h'}", "mqtt.uri: a password does not belong here"),
            ("mqtt: {prefix: 'a/#'}", "mqtt.prefix: topic \"a/#\" must not contain '#'"),
            (
                "mqtt:\n  embedded: true\n  uri: mqtt://far:1883",
                "o.yaml:3:3: mqtt.uri: mqtt.embedded runs a broker on loopback only",
            ),
            ("http: {bind: 8080}", "http.bind: "),
            ("camera: {file: a, rtsp_url: 'rtsp://b/c'}", "camera.file: set either this or camera.rtsp_url"),
            ("a: [", "o.yaml:"),
            ("just text", "o.yaml: expected keys"),
            ("room_id: a\nroom_id: b", "o.yaml:2:1: "),
        ] {
            let error = load(file, &[]).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("pw@") && !error.contains("secret"),
                "{file:?}: {error}"
            );
        }
        for (name, value, expected) in [
            ("ORION_STREAM__FPS", "x", "environment variable ORION_STREAM__FPS: stream.fps: invalid type"),
            ("ORION_STREAM__FSP", "1", "ORION_STREAM__FSP: no such key, did you mean ORION_STREAM__FPS?"),
            ("ORION_INSTANC_ID", "1", "did you mean ORION_INSTANCE_ID?"),
            ("ORION_A__B", "1", "ORION_A__B: no such key"),
            ("ORION_MQTT", "1", "a section cannot be set as a whole"),
        ] {
            let error = load("", &[(name, value)]).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let error = load("stream: {fps: 0}\nrooom_id: x\nhttp: {bind: x}", &[("ORION_MQTT__QOS", "3")]).unwrap_err();
        assert_eq!(error.lines().count(), 4, "{error}");
    }
}
