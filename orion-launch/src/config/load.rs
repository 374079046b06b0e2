// SPDX-License-Identifier: MPL-2.0
//! From a file and the environment to a checked configuration, or to all that is wrong with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_saphyr::Location;

use super::{
    Config, check, credential, files,
    keys::{self, Known},
    launch_text,
    problem::{ConfigError, Place},
    sizes,
    sources::Sources,
    take::Origin,
    words,
    yaml::{Item, Node},
};

/// The configuration: variables before the file, the file before the defaults.
///
/// # Errors
/// [`ConfigError`] with all problems at once.
pub(super) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let known = Known::new().map_err(broken)?;
    let mut loader = Loader::new(&known, Map::new(), Place::Default);
    if let Some((name, text)) = &sources.file {
        loader.file(name, text)?;
    }
    for (name, value) in &sources.variables {
        loader.variable(name, value);
    }
    let variable =
        |name: &str| sources.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    loader.credentials(variable);
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
    let known = Known::new().map_err(broken)?;
    let mut loader = Loader::new(&known, values(from)?, Place::Patch("params.config"));
    match Node::from(patch) {
        Node::Section(entries) => loader.section(Origin::Patch("params.config"), &[], entries),
        _ => loader.problems.push("params.config: expected keys and values, {\"key\": value}".into()),
    }
    let mut config = loader.config(variable)?;
    if files::named(&config) != files::named(from) {
        loader.new_files(from, &config);
    }
    let same = config.pipeline == from.pipeline && config.pipeline_file == from.pipeline_file;
    config.launch_text = if same { from.launch_text.clone() } else { loader.launch_text(&config, variable) };
    loader.told(config)
}

/// This configuration with one camera more in its list.
///
/// # Errors
/// [`ConfigError`] with all problems at once; there is no list.
pub(super) fn added(
    from: &Config,
    entry: &Value,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    if !from.is_fleet() {
        return Err("params.camera: expected a daemon with a list of cameras; this one has a single camera"
            .to_owned()
            .into());
    }
    if !entry.is_object() {
        return Err("params.camera: expected keys and values, {\"key\": value}".to_owned().into());
    }
    let known = Known::new().map_err(broken)?;
    let mut loader = Loader::new(&known, values(from)?, Place::Default);
    let at = from.cameras.len();
    let item = Item { place: Location::UNKNOWN, node: entry.into() };
    let camera = loader.camera(&known.of_a_camera(), Origin::Patch("params.camera"), at, item);
    if let Some(Value::Array(list)) = loader.values.get_mut(keys::CAMERAS) {
        list.push(camera);
    }
    let told = loader.config(variable).and_then(|config| {
        loader.new_files(from, &config);
        loader.told(config)
    });
    // Who sends it does not know of its place in the list.
    told.map_err(|error| error.replaced(&format!("params.camera.cameras[{at}]"), "params.camera"))
}

fn values(config: &Config) -> Result<Map<String, Value>, ConfigError> {
    match serde_json::to_value(config).map_err(broken)? {
        Value::Object(values) => Ok(values),
        _ => Ok(Map::new()),
    }
}

fn broken(error: serde_json::Error) -> ConfigError {
    error.to_string().into()
}

/// Gathers values, where they stand, and what is wrong with them.
pub(super) struct Loader<'a> {
    pub(super) known: &'a Known,
    /// What stands before each key: nothing, or such as `cameras[1].`
    pub(super) prefix: String,
    pub(super) values: Map<String, Value>,
    /// By key, with what stands before it.
    pub(super) places: BTreeMap<String, Place>,
    /// Where a key comes from that has no place.
    pub(super) elsewhere: Place,
    pub(super) problems: Vec<String>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(known: &'a Known, values: Map<String, Value>, elsewhere: Place) -> Self {
        Self { known, prefix: String::new(), values, places: BTreeMap::new(), elsewhere, problems: Vec::new() }
    }

    /// Puts the paths of credentials where they are named; messages may name no files, so only what was read has them.
    fn credentials(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let mut values = Value::Object(std::mem::take(&mut self.values));
        let problems = credential::put_in(&mut values, &variable);
        if let Value::Object(values) = values {
            self.values = values;
        }
        for (key, text) in problems {
            self.problem(&key, &text);
        }
    }

    /// The values as a configuration, keys that do not fit each other told.
    fn config(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        sizes::complete(&mut self.values);
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

    /// Notes what is wrong with files. What was wrong before, such as a file that is gone meanwhile, is not this change's fault.
    fn new_files(&mut self, from: &Config, config: &Config) {
        let known = files::problems(from);
        for (key, text) in files::problems(config).into_iter().filter(|problem| !known.contains(problem)) {
            self.problem(&key, &text);
        }
    }

    fn told(self, config: Config) -> Result<Config, ConfigError> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError::new(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

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
