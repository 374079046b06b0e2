// SPDX-License-Identifier: MPL-2.0
//! From a file and the environment to a checked configuration, or to all that is wrong with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Config, check, files,
    keys::{self, Known, merge, nearest, nested, remove},
    launch_text,
    problem::{ConfigError, Place},
    sources::Sources,
    words,
    yaml::{self, Entry, Node},
};

/// The configuration: variables before the file, the file before the defaults.
///
/// # Errors
/// [`ConfigError`] with all problems at once.
pub(super) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut loader = Loader::new(Map::new())?;
    if let Some((name, text)) = &sources.file {
        loader.file(name, text)?;
    }
    for (name, value) in &sources.variables {
        loader.variable(name, value);
    }
    let variable =
        |name: &str| sources.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut config = loader.config(variable)?;
    for (key, text) in files::problems(&config) {
        loader.problem(&key, &text);
    }
    config.launch_text = loader.launch_text(&config, variable);
    loader.told(config)
}

/// This configuration with the keys of `patch` set; `null` = the default.
///
/// # Errors
/// [`ConfigError`] with all problems at once.
pub(super) fn patched(
    from: &Config,
    patch: &Value,
    variable: impl Fn(&str) -> Option<String> + Copy,
) -> Result<Config, ConfigError> {
    let broken = |error: serde_json::Error| ConfigError::from(error.to_string());
    let Value::Object(values) = serde_json::to_value(from).map_err(broken)? else {
        return Err("params.config: expected keys and values".to_owned().into());
    };
    let mut loader = Loader::new(values)?;
    match Node::from(patch) {
        Node::Section(entries) => loader.section(None, &[], entries),
        Node::Leaf(_) => loader.problems.push("params.config: expected keys and values, {\"key\": value}".into()),
    }
    let mut config = loader.config(variable)?;
    if files::named(&config) != files::named(from) {
        // What was wrong before, such as a file that is gone meanwhile, is not this change's fault.
        let known = files::problems(from);
        for (key, text) in files::problems(&config).into_iter().filter(|problem| !known.contains(problem)) {
            loader.problem(&key, &text);
        }
    }
    let same = config.pipeline == from.pipeline && config.pipeline_file == from.pipeline_file;
    config.launch_text = if same { from.launch_text.clone() } else { loader.launch_text(&config, variable) };
    loader.told(config)
}

struct Loader {
    known: Known,
    values: Map<String, Value>,
    places: BTreeMap<String, Place>,
    /// Where a key comes from that has no place.
    elsewhere: Place,
    problems: Vec<String>,
}

impl Loader {
    fn new(values: Map<String, Value>) -> Result<Self, ConfigError> {
        let known = Known::new().map_err(|error| ConfigError::from(error.to_string()))?;
        let elsewhere = if values.is_empty() { Place::Default } else { Place::Patch };
        Ok(Self { known, values, places: BTreeMap::new(), elsewhere, problems: Vec::new() })
    }

    fn file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        if text.trim_matches(['\u{feff}', ' ', '\n', '\r']).is_empty() {
            return Ok(());
        }
        match yaml::parse(text) {
            Ok(Node::Section(entries)) => self.section(Some(name), &[], entries),
            Ok(Node::Leaf(Value::Null)) => {}
            Ok(Node::Leaf(_)) => {
                return Err(format!("{name}:1:1: expected keys such as `instance_id: orion`").into());
            }
            Err(error) => {
                let at = error.place.map_or(String::new(), |(line, column)| format!("{line}:{column}: "));
                return Err(format!("{name}:{at}{}", error.text).into());
            }
        }
        Ok(())
    }

    /// Takes the keys of a section; of a change when there is no file.
    fn section(&mut self, file: Option<&str>, path: &[&str], entries: Vec<Entry>) {
        for entry in entries {
            let place = match file {
                Some(name) => {
                    Place::File { name: name.to_owned(), line: entry.place.line(), column: entry.place.column() }
                }
                None => Place::Patch,
            };
            let section = path;
            let mut path = path.to_vec();
            path.push(&entry.key);
            let key = path.join(".");
            let Some(known) = self.known.get(&path) else {
                let hint = self.known.hint(section, &entry.key);
                self.problems.push(format!("{place}{key}: unknown key, {hint}"));
                continue;
            };
            self.places.entry(key.clone()).or_insert_with(|| place.clone());
            match (known.is_object(), entry.node) {
                (_, Node::Leaf(Value::Null)) if file.is_none() => remove(&mut self.values, &path),
                // A section without content, or a key without value, leaves the defaults; a further worker is there all the same.
                (true, Node::Leaf(Value::Null)) => merge(&mut self.values, nested(&path, Value::Object(Map::new()))),
                (false, Node::Leaf(Value::Null)) => {}
                (true, Node::Section(inner)) => {
                    merge(&mut self.values, nested(&path, Value::Object(Map::new())));
                    self.section(file, &path, inner);
                }
                // The text is not repeated: it may be an address with a password.
                (true, Node::Leaf(_)) => {
                    self.problems.push(format!("{place}{key}: expected a section with keys of its own"));
                }
                (false, node) => self.set(&path, node.into(), place),
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
        match self.known.get(&path) {
            Some(Value::Object(_)) => self.problems.push(format!("{place}a section cannot be set as a whole")),
            // Text is taken as it is, so that `00123` or `on` stay what they are.
            Some(Value::String(_)) => self.set(&path, text.into(), place),
            Some(_) => match yaml::parse(text) {
                Ok(node) => self.set(&path, node.into(), place),
                Err(error) => self.problems.push(format!("{place}{}: {}", path.join("."), error.text)),
            },
            None => {
                let variables = self.known.variables();
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
        let key = path.join(".");
        let fits = |value: &Value| serde_path_to_error::deserialize::<_, Config>(&nested(path, value.clone()));
        match fits(&value) {
            Ok(_) => {
                for (at, _) in key.match_indices('.') {
                    self.places.entry(key[..at].to_owned()).or_insert_with(|| place.clone());
                }
                self.places.insert(key, place);
                merge(&mut self.values, nested(path, value));
            }
            Err(error) => {
                let (at, mut text) = (error.path().to_string(), error.inner().to_string());
                // serde names the choices only to a text.
                if text.ends_with("expected string or map")
                    && let Err(choices) = fits(&value.to_string().into())
                {
                    text = choices.inner().to_string();
                }
                // The path is longer than the key where an entry of a list is wrong.
                let key = if at.len() > key.len() { at } else { key };
                self.problems.push(format!("{place}{key}: {}", words::plain(&text)));
            }
        }
    }

    /// The values as a configuration, keys that do not fit each other told.
    fn config(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        match serde_json::from_value::<Config>(Value::Object(self.values.clone())) {
            Ok(config) => {
                for (key, text) in check::together(&config, variable) {
                    self.problem(&key, &text);
                }
                Ok(config)
            }
            Err(error) => {
                self.problems.push(words::plain(&error.to_string()));
                Err(ConfigError::new(std::mem::take(&mut self.problems)))
            }
        }
    }

    /// The pipeline's own text, if there is one and it is right.
    fn launch_text(&mut self, config: &Config, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let (key, mistakes) = match launch_text::read(config, variable) {
            Ok(text) => return text,
            Err(wrong) => wrong,
        };
        mistakes.iter().for_each(|text| self.problem(key, text));
        None
    }

    /// Notes what is wrong with a key, at its place or that of the section that holds it.
    fn problem(&mut self, key: &str, text: &str) {
        let sections = std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(section, _)| section));
        let place = sections.into_iter().find_map(|key| self.places.get(key)).unwrap_or(&self.elsewhere);
        self.problems.push(format!("{place}{key}: {text}"));
    }

    fn told(self, config: Config) -> Result<Config, ConfigError> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError::new(self.problems)) }
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
        assert_eq!(keys::variables(&written), Known::new().unwrap().variables());
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
                ("ORION_MQTT_USERNAME", "me"),
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
            ("camera:\n  rtsp_ulr: x", "o.yaml:2:3: camera.rtsp_ulr: unknown key, did you mean rtsp_url?"),
            (
                "stream: {resolution: 480}",
                "o.yaml:1:10: stream.resolution: expected one of 320p, 480p, 512p, 720p, 1080p",
            ),
            (
                "rois:\n  attention: [{x: 0, y: 0, width: 2, height: 1}]",
                "o.yaml:2:3: rois.attention[0]: x + width must be at most 1",
            ),
            // Blamed is the section where the key itself does not stand.
            ("models:\n  fall:\n", "o.yaml:2:3: models.fall.worker_command: expected a program"),
            ("mqtt: {embedded: true}\ncamera:\n  username: me", "o.yaml:3:3: camera.username: needs camera.rtsp_url"),
        ] {
            let error = load(file, &[]).unwrap_err();
            assert!(error.starts_with(expected), "{file:?}: {error}");
        }
        for (name, value, expected) in [
            (
                "ORION_STREAM__FPS",
                "x",
                "environment variable ORION_STREAM__FPS: stream.fps: expected a number, 0.1..120 frames a second, got \"x\"",
            ),
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
