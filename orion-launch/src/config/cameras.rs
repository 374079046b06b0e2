// SPDX-License-Identifier: MPL-2.0
//! Several cameras: keys of each, laid over those of the top level.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Config, camera::Camera, keys, load, models::Models, presence::Presence, problem::ConfigError, rois::Rois, sources,
    stream::Stream, text,
};

/// Cameras of a daemon, at most.
pub(super) const MAX: usize = 64;

/// A camera of a list: its name, and the keys in which it differs from the top level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(crate) struct CameraEntry(Map<String, Value>);

impl CameraEntry {
    /// The keys that an entry may have; all others hold for the daemon as a whole.
    pub(super) const KEYS: [&str; 7] = ["instance_id", "room_id", "camera", "stream", "models", "rois", "presence"];

    /// Its name, unique in the daemon.
    pub(super) fn instance_id(&self) -> &str {
        self.0.get("instance_id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether the entry itself says this key.
    pub(super) fn says(&self, key: &str) -> bool {
        let mut path = key.split('.');
        let first = path.next().and_then(|key| self.0.get(key));
        path.try_fold(first, |at, key| at.map(|at| at.get(key))).flatten().is_some()
    }
}

impl TryFrom<Map<String, Value>> for CameraEntry {
    type Error = String;

    fn try_from(keys: Map<String, Value>) -> Result<Self, String> {
        if let Some(other) = keys.keys().find(|key| !Self::KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key {other}"));
        }
        if !keys.contains_key("instance_id") {
            return Err("instance_id is missing".into());
        }
        serde_json::from_value::<Config>(Value::Object(keys.clone())).map_err(|error| error.to_string())?;
        Ok(Self(keys))
    }
}

impl Config {
    /// Whether there is a list of cameras; `instance_id` is then the name of the daemon, and of no camera.
    pub(crate) fn is_fleet(&self) -> bool {
        !self.cameras.is_empty()
    }

    /// A complete configuration for each camera, in the order of the list; this one where there is no list. What holds for the
    /// daemon as a whole (mqtt, http and so on) is in each as it is here.
    pub(crate) fn sensors(&self) -> Vec<Config> {
        if !self.is_fleet() {
            return vec![self.clone()];
        }
        self.cameras.iter().map(|entry| self.sensor(entry)).collect()
    }

    fn sensor(&self, entry: &CameraEntry) -> Config {
        let mut tree = self.json();
        if let Value::Object(top) = &mut tree {
            top.remove("cameras");
            keys::merge(top, Value::Object(entry.0.clone()));
        }
        // Each value was checked when it was read, and none is made up here: that cannot fail.
        let mut config: Self = serde_json::from_value(tree).unwrap_or_default();
        // Each camera has a sink of its own, which must not push another one off the broker, or write into its folder.
        if !config.mqtt.client_id.is_empty() {
            config.mqtt.client_id = format!("{}-{}", config.mqtt.client_id, config.instance_id);
        }
        if !config.mqtt.buffer_directory.is_empty() {
            let folder = std::path::Path::new(&config.mqtt.buffer_directory).join(&config.instance_id);
            config.mqtt.buffer_directory = folder.display().to_string();
        }
        config
    }

    /// The keys for the daemon as a whole that `other` says otherwise.
    pub(crate) fn changes_for_all(&self, other: &Config) -> Vec<String> {
        let own = |key: &String| {
            let first = key.split(['.', '[']).next().unwrap_or_default();
            key == "instance_id" || (first != "cameras" && !CameraEntry::KEYS.contains(&first))
        };
        self.changes(other).into_iter().map(|change| change.key).filter(own).collect()
    }

    /// This list of cameras without one; none if it is not in there.
    pub(crate) fn without_camera(&self, instance_id: &str) -> Option<Config> {
        let mut rest = self.clone();
        rest.cameras.retain(|entry| entry.instance_id() != instance_id);
        (rest.cameras.len() < self.cameras.len()).then_some(rest)
    }

    /// This list of cameras and one more, `entry`, with the keys that an entry of the file may have.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems at once, such as `params.camera.stream.fsp: unknown key, did you mean fps?`; there is no
    /// list to which a camera could be added.
    pub(crate) fn with_camera(&self, entry: &Value) -> Result<Config, ConfigError> {
        let variables = sources::environment()?;
        let variable = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        load::added(self, entry, variable)
    }

    /// The complete configuration of one camera more; this one stays as it is. [`Config::with_camera`] remembers it: only then it is
    /// compared with those that come after it.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn sensor_from(&self, entry: &Value) -> Result<Config, ConfigError> {
        let fleet = self.with_camera(entry)?;
        Ok(fleet.cameras.last().map_or_else(|| fleet.clone(), |last| fleet.sensor(last)))
    }
}

impl JsonSchema for CameraEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CameraEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut models = generator.subschema_for::<Models>().to_value();
        // The top level may say the rest.
        strip(&mut models, "required");
        let mut properties = Map::new();
        for (key, schema, words) in [
            (
                "instance_id",
                text::InstanceId::json_schema(generator).to_value(),
                "Name of this sensor in topics and messages, unique: letters, digits, _ and -.",
            ),
            ("room_id", text::Free::json_schema(generator).to_value(), "Name of the place in messages, free text."),
            ("camera", generator.subschema_for::<Camera>().to_value(), "Where its frames come from."),
            ("stream", generator.subschema_for::<Stream>().to_value(), "What its frames are made into."),
            ("models", models, "The worker processes that look at its frames."),
            ("rois", generator.subschema_for::<Rois>().to_value(), "Where to look."),
            ("presence", generator.subschema_for::<Presence>().to_value(), "When somebody is said to be there."),
        ] {
            let mut schema = schema;
            // What is left out is as at the top level, which need not be the default.
            strip(&mut schema, "default");
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".into(), words.into());
            }
            properties.insert(key.into(), schema);
        }
        json_schema!({
            "type": "object",
            "properties": properties,
            "required": ["instance_id"],
            "additionalProperties": false,
        })
    }
}

/// Takes a word of JSON Schema out of a schema and all within it.
fn strip(schema: &mut Value, word: &str) {
    match schema {
        Value::Object(map) => {
            map.remove(word);
            map.values_mut().for_each(|inner| strip(inner, word));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| strip(inner, word)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Sources;

    const TWO: &str = r#"
instance_id: ward
stream: {fps: 12}
models: {person_detector: {size: s, worker_group: pool}}
mqtt: {prefix: house}
cameras:
  - {instance_id: ward-1, room_id: "101", camera: {rtsp_url: "rtsp://me:secret@10.0.0.11/s"}}
  - instance_id: ward-2
    camera:
      rtsp_url: rtsp://10.0.0.12/s
    models: {person_detector: {max_inference_rate_hz: 2}, fall: {worker_command: python3 fall.py}}
    presence: {absent_after_s: 1}
"#;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let sources = Sources { file: Some(("o.yaml".into(), text.into())), variables };
        sources.load().map_err(|error| error.to_string())
    }

    #[test]
    fn what_an_entry_leaves_out_is_as_at_the_top() {
        let fleet = load(TWO, &[("ORION_ROOM_ID", "hall"), ("ORION_STREAM__FPS", "7")]).unwrap();
        let sensors = fleet.sensors();
        assert!(fleet.is_fleet() && sensors.iter().all(|one| !one.is_fleet() && one.mqtt == fleet.mqtt));
        let of = |at: usize| {
            let one = &sensors[at];
            let model = &one.models.person_detector;
            (one.instance_id.as_str(), one.room_id.as_str(), one.stream.fps, model.max_inference_rate_hz)
        };
        assert_eq!((of(0), of(1)), (("ward-1", "101", 7.0, 5.0), ("ward-2", "hall", 7.0, 2.0)));
        assert_eq!(sensors[1].camera.rtsp_url, "rtsp://10.0.0.12/s");
        assert_eq!((sensors[0].models.others.len(), sensors[1].models.others.len()), (0, 1));
        assert_eq!((sensors[0].presence.absent_after_s, sensors[1].presence.absent_after_s), (5.0, 1.0));
        let one = Config::default();
        assert_eq!((one.is_fleet(), one.sensors()), (false, vec![one]));
    }

    #[test]
    fn a_variable_sets_the_list_as_a_whole() {
        let list = "[{instance_id: a}, {instance_id: b}, {instance_id: c, camera: {}}]";
        assert_eq!(load(TWO, &[("ORION_CAMERAS", list)]).unwrap().sensors().len(), 3);
        for (name, value, expected) in [
            (
                "ORION_CAMERAS",
                "[{instance_id: a, stream: {fsp: 1}}]",
                "cameras[0].stream.fsp: unknown key, did you mean",
            ),
            ("ORION_CAMERAS", "ward-1", "cameras: expected a list of cameras"),
            ("ORION_CAMERAS__0__ROOM_ID", "x", "no variable reaches into the list of cameras"),
            ("ORION_CAMERA__FILE", "x", "camera.file: there is a list of cameras: leave this empty"),
        ] {
            let error = load(TWO, &[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("environment variable {name}: {expected}")), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_camera_is_added_by_the_same_rules() {
        let fleet = load(TWO, &[]).unwrap();
        let entry = json!({"instance_id": "ward-3", "room_id": null, "camera": {"rtsp_url": "rtsp://c/"}});
        let sensor = fleet.sensor_from(&entry).unwrap();
        assert_eq!((sensor.instance_id.as_str(), sensor.stream.fps, sensor.is_fleet()), ("ward-3", 12.0, false));
        let three = fleet.with_camera(&entry).unwrap();
        assert_eq!(three.sensors()[2], sensor);
        assert!(three.with_camera(&entry).unwrap_err().to_string().contains("is the name of cameras[2], too"));
        for (entry, expected) in [
            (json!("x"), "params.camera: expected keys and values"),
            (json!({}), "params.camera.instance_id: is missing"),
            (json!({"instance_id": "all"}), "params.camera.instance_id: expected another name"),
            (json!({"instance_id": "ward"}), "params.camera.instance_id: ward is the name of the daemon itself"),
            (json!({"instance_id": "ward-1"}), "params.camera.instance_id: ward-1 is the name of cameras[0], too"),
            (json!({"instance_id": "x", "mqtt": {}}), "params.camera.mqtt: unknown key, it holds for all cameras"),
            (
                json!({"instance_id": "x", "camera": {"rtsp_ulr": "rtsp://a:secret@b/"}}),
                "params.camera.camera.rtsp_ulr: unknown key, did you mean rtsp_url?",
            ),
            (
                json!({"instance_id": "x", "stream": {"fps": 0}}),
                "params.camera.stream.fps: expected a number, 0.1..120",
            ),
            (
                json!({"instance_id": "x", "camera": {"file": "no.mp4"}}),
                "params.camera.camera.file: \"no.mp4\": there is",
            ),
            (
                json!({"instance_id": "x", "models": {"person_detector": {"size": "m"}}}),
                "params.camera.models.person_detector.size: differs from models.person_detector.size of cameras[0] (ward-1)",
            ),
        ] {
            let error = fleet.sensor_from(&entry).unwrap_err().to_string();
            assert!(error.starts_with(expected) && error.lines().count() == 1, "{entry}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = Config::default().sensor_from(&json!({"instance_id": "x"})).unwrap_err().to_string();
        assert!(error.starts_with("params.camera: expected a daemon with a list of cameras"), "{error}");
    }

    #[test]
    fn the_list_changes_as_a_whole() {
        let fleet = load(TWO, &[]).unwrap();
        let one =
            json!({"cameras": [{"instance_id": "ward-1", "camera": {"rtsp_url": "rtsp://me:other@10.0.0.11/s"}}]});
        let other = fleet.patched(&one).unwrap();
        let changes = fleet.changes(&other);
        assert_eq!((changes.len(), changes[0].key.as_str()), (1, "cameras"));
        assert_eq!(changes[0].to[0]["camera"]["rtsp_url"], "rtsp://me:***@10.0.0.11/s");
        assert_eq!(fleet.patched(&json!({"cameras": null})).unwrap().cameras, []);
        let wrong = json!({"cameras": [{"instance_id": "a"}, {"instance_id": "a", "rooom_id": "x"}]});
        let error = fleet.patched(&wrong).unwrap_err().to_string();
        assert!(error.starts_with("params.config.cameras[1].rooom_id: unknown key, did you mean room_id?"), "{error}");
        assert!(error.contains("\nparams.config.cameras[1].instance_id: a is the name of cameras[0]"), "{error}");
    }

    #[test]
    fn only_what_fits_becomes_an_entry() {
        for (entry, good) in [
            (json!({"instance_id": "a", "stream": {"fps": 1}}), true),
            (json!({"instance_id": "a", "stream": {"fps": 0}}), false),
            (json!({"instance_id": "a", "mqtt": {}}), false),
            (json!({"stream": {}}), false),
        ] {
            assert_eq!(serde_json::from_value::<CameraEntry>(entry.clone()).is_ok(), good, "{entry}");
        }
    }
}
