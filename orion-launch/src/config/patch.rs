// SPDX-License-Identifier: MPL-2.0
//! Changes of a configuration: made from some keys, and told.

use serde_json::Value;

use super::{Config, keys, load, mask, problem::ConfigError, sources};

/// A key with another value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Dotted, such as `stream.fps`.
    pub(crate) key: String,
    /// Its former value, passwords masked; null where there was none.
    pub(crate) from: Value,
    /// Its new value, passwords masked; null where there is none any more.
    pub(crate) to: Value,
}

impl Config {
    /// This configuration with the keys in `patch` set: a list replaces a list, `null` means back to the default.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems at once, such as `params.config.stream.fsp: unknown key, did you mean fps?`
    pub(crate) fn patched(&self, patch: &Value) -> Result<Config, ConfigError> {
        let variables = sources::environment()?;
        let variable = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        load::patched(self, patch, variable)
    }

    /// What `other` says otherwise, by key. A text of a pipeline that a file or the environment has changed counts as a change of
    /// `pipeline` or `pipeline_file`.
    pub(crate) fn changes(&self, other: &Config) -> Vec<Change> {
        let (old, new) = (self.json(), other.json());
        let (old, new) = (keys::leaves(&old), keys::leaves(&new));
        let value = |leaves: &[(String, &Value)], key: &str| {
            leaves.binary_search_by(|(known, _)| known.as_str().cmp(key)).map_or(Value::Null, |at| leaves[at].1.clone())
        };
        let mut all: Vec<&str> = old.iter().chain(&new).map(|(key, _)| key.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        let pairs = all.into_iter().map(|key| (key, value(&old, key), value(&new, key)));
        let mut changes: Vec<Change> =
            pairs.filter(|(_, from, to)| from != to).map(|(key, from, to)| change(key, &from, &to)).collect();
        let named = changes.iter().any(|change| change.key.starts_with("pipeline"));
        if self.launch_text != other.launch_text && !named {
            let key = if other.pipeline_file.is_empty() { "pipeline" } else { "pipeline_file" };
            let at = changes.partition_point(|change| change.key.as_str() < key);
            let text = |config: &Config| config.launch_text.clone().map_or(Value::Null, Value::String);
            changes.insert(at, change(key, &text(self), &text(other)));
        }
        changes
    }

    /// This configuration with the values of `tree`, which were checked before.
    ///
    /// # Errors
    /// A value does not fit its key.
    pub(crate) fn rebuilt(&self, tree: Value) -> Result<Config, serde_json::Error> {
        let config: Self = serde_json::from_value(tree)?;
        Ok(Self { launch_text: self.launch_text.clone(), ..config })
    }

    /// The whole configuration without passwords.
    pub(crate) fn masked_json(&self) -> Value {
        mask::tree(&self.json())
    }

    /// The whole configuration, passwords included.
    pub(super) fn json(&self) -> Value {
        // Plain structures with text for keys: that cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn change(key: &str, from: &Value, to: &Value) -> Change {
    Change { key: key.to_owned(), from: mask::tree(from), to: mask::tree(to) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Config {
        Config::default()
            .patched(&json!({
                "camera": {"rtsp_url": "rtsp://me:secret@cam/x"},
                "stream": {"fps": 12.5},
                "models": {"fall": {"worker_command": "python3 fall.py"}},
            }))
            .unwrap()
    }

    #[test]
    fn some_keys_are_laid_over_the_others() {
        let config = config();
        assert_eq!((config.stream.fps, config.models.others.len()), (12.5, 1));
        let next = config
            .patched(&json!({"stream": {"fps": null}, "models": {"fall": null, "person_detector": {"labels": ["cat"]}},
                             "camera": {"codec": "h265"}, "http": {}}))
            .unwrap();
        assert_eq!((next.stream.fps, next.models.others.len()), (30.0, 0));
        assert_eq!(next.models.person_detector.labels, ["cat"]);
        assert_eq!(next.camera.rtsp_url, config.camera.rtsp_url);
        assert_eq!(config.patched(&json!({"stream": null})).unwrap().stream.fps, 30.0);
        assert_eq!(config.patched(&json!({})).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_changes_nothing_and_is_told() {
        for (patch, expected) in [
            (json!({"stream": {"fsp": 1}}), "params.config.stream.fsp: unknown key, did you mean fps?"),
            (
                json!({"stream": {"fps": 0}}),
                "params.config.stream.fps: expected a number, 0.1..120 frames a second, got 0",
            ),
            (json!({"stream": 5}), "params.config.stream: expected a section"),
            (
                json!({"models": {"fall": {"worker_command": ""}}}),
                "params.config.models.fall.worker_command: expected a program",
            ),
            (json!({"mqtt": {"embedded": true, "uri": "mqtt://far"}}), "params.config.mqtt.uri: mqtt.embedded"),
            (json!({"camera": {"username": "x"}}), "params.config.camera.username: needs camera.rtsp_url, without"),
            (
                json!({"pipeline": "a ${ORION_NOT_THERE}"}),
                "params.config.pipeline: line 1, column 3 of the text: the environment",
            ),
            (json!([1]), "params.config: expected keys and values"),
        ] {
            let error = config().patched(&patch).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("secret"), "{patch}: {error}");
        }
        let two = config().patched(&json!({"stream": {"fps": 0, "x": 1}})).unwrap_err().to_string();
        assert_eq!(two.lines().count(), 2, "{two}");
    }

    #[test]
    fn changes_are_told_by_key_without_passwords() {
        let config = config();
        let next = json!({
            "camera": {"rtsp_url": "rtsp://me:other@cam/x"},
            "models": {"person_detector": {"labels": ["cat"]}, "fall": null},
            "pipeline": "fakesrc ! fakesink password=other",
        });
        let changes = config.changes(&config.patched(&next).unwrap());
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert!(keys.is_sorted() && keys.contains(&"models.fall.worker_command"), "{keys:?}");
        let told = |key: &str| changes.iter().find(|change| change.key == key).cloned().unwrap();
        assert_eq!(told("camera.rtsp_url").to, "rtsp://me:***@cam/x");
        assert_eq!(
            told("models.person_detector.labels"),
            change("models.person_detector.labels", &json!(["person"]), &json!(["cat"]))
        );
        assert_eq!(told("models.fall.worker_command").to, Value::Null);
        assert_eq!(told("pipeline").to, "fakesrc ! fakesink password=***");
        assert_eq!(config.changes(&config), []);
    }

    #[test]
    fn another_text_in_the_same_file_is_a_change() {
        let text = |text: &str| Config {
            pipeline_file: "a.launch".into(),
            launch_text: Some(text.to_owned()),
            ..Config::default()
        };
        let changes = text("a").changes(&text("b"));
        assert_eq!(changes, [change("pipeline_file", &json!("a"), &json!("b"))]);
    }
}
