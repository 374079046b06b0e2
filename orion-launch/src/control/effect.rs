// SPDX-License-Identifier: MPL-2.0
//! What a key of the configuration changes while the daemon runs.

/// How a changed key comes into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// The gate is set anew.
    Rate,
    /// A property of `orionroi`, at once.
    Roi(&'static str),
    /// A property of the `orionpyinfer` of this name, when its workers have it.
    Worker {
        /// As below `models`.
        name: String,
        property: &'static str,
    },
    /// The camera is connected anew.
    Camera,
    /// The size that frames are scaled to.
    Resolution,
    /// The name of the place in messages.
    Room,
    /// The daemon reads it when it needs it.
    Later,
    /// Not while the daemon runs.
    Restart,
}

/// Keys below `rois`, and what they are called in `orionroi`.
const ROIS: [(&str, &str); 10] = [
    ("threshold_area", "threshold-area"),
    ("attention", "rois"),
    ("max_blind_time_s", "max-blind-time"),
    ("auto_focus.enabled", "auto-focus"),
    ("auto_focus.strategy", "strategy"),
    ("auto_focus.alpha", "alpha"),
    ("auto_focus.velocity_threshold", "velocity-threshold"),
    ("auto_focus.velocity_factor", "velocity-factor"),
    ("auto_focus.max_expansion", "max-expansion"),
    ("auto_focus.history_frames", "history-frames"),
];

/// Keys below `models.<name>`, and what they are called in `orionpyinfer`.
const MODELS: [(&str, &str); 14] = [
    ("detector", "detector"),
    ("size", "model-size"),
    ("model_dir", "model-dir"),
    ("model_path", "model-file"),
    ("model_path_320", "model-file-320"),
    ("confidence", "confidence"),
    ("iou_threshold", "iou-threshold"),
    ("labels", "labels"),
    ("workers", "workers"),
    ("threads", "intra-op-threads"),
    ("max_batch", "max-batch"),
    ("batch_wait_s", "batch-wait"),
    ("worker_command", "worker-command"),
    ("worker_environment", "worker-environment"),
];

fn property(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == key).map(|(_, property)| *property)
}

impl Effect {
    /// The effect of a key.
    pub(super) fn of(key: &str) -> Self {
        match key {
            "stream.fps" | "models.person_detector.max_inference_rate_hz" => return Self::Rate,
            "stream.resolution" => return Self::Resolution,
            "room_id" => return Self::Room,
            "shutdown_timeout_s" => return Self::Later,
            _ if key.starts_with("camera.") => return Self::Camera,
            // Read anew at each look.
            _ if key.starts_with("presence.") || key.starts_with("watchdog.") => return Self::Later,
            _ => {}
        }
        if let Some(property) = key.strip_prefix("rois.").and_then(|rest| property(&ROIS, rest)) {
            return Self::Roi(property);
        }
        let model = key.strip_prefix("models.").and_then(|rest| rest.split_once('.'));
        match model.and_then(|(name, rest)| Some((name, property(&MODELS, rest)?))) {
            Some((name, property)) => Self::Worker { name: name.to_owned(), property },
            None => Self::Restart,
        }
    }

    /// Every key that is a property of an element, with the property; of the models, those of `person_detector`.
    pub(super) fn properties() -> impl Iterator<Item = (String, Self)> {
        let rois = ROIS.iter().map(|(key, _)| format!("rois.{key}"));
        let models = MODELS.iter().map(|(key, _)| format!("models.person_detector.{key}"));
        rois.chain(models).map(|key| (key.clone(), Self::of(&key)))
    }
}

/// Whether only another start can change a key.
pub(crate) fn is_fixed(key: &str) -> bool {
    Effect::of(key) == Effect::Restart
}

/// Whether a key may not be set by a message: it makes the daemon run a program or read a file, which who may publish to a topic
/// must not be able to do. `password`: whether the camera's password comes from a file, which must not be sent to another camera.
pub(super) fn is_local(key: &str, password: bool) -> bool {
    match key {
        "camera.password_file" | "camera.file" => true,
        "camera.rtsp_url" => password,
        "pipeline" | "pipeline_file" => true,
        _ => {
            let files = [".worker_command", ".worker_environment", ".model_path", ".model_path_320", ".model_dir"];
            key.starts_with("models.") && files.iter().any(|end| key.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::Config;

    fn leaves(value: &Value, path: &str, keys: &mut Vec<String>) {
        match value.as_object() {
            Some(section) => section.iter().for_each(|(key, value)| {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, keys);
            }),
            None => keys.push(path.to_owned()),
        }
    }

    #[test]
    fn every_key_has_its_effect() {
        let mut keys = Vec::new();
        leaves(&serde_json::to_value(Config::default()).unwrap(), "", &mut keys);
        let live: Vec<_> = keys.iter().filter(|key| Effect::of(key) != Effect::Restart).collect();
        for (key, effect) in Effect::properties() {
            assert!(keys.contains(&key), "{key} is no key");
            assert!(matches!(effect, Effect::Roi(_) | Effect::Worker { .. }), "{key}");
        }
        let fixed = [
            "instance_id",
            "cameras",
            "models.person_detector.worker_group",
            "stream.warmup_duration_s",
            "stream.format",
            "mqtt.uri",
            "http.bind",
            "pipeline",
            "pipeline_file",
        ];
        assert!(fixed.iter().all(|key| !live.iter().any(|live| live == key)));
        // A key that is added must be thought of here.
        let unknown = |key: &&String| {
            let restart = ["mqtt.", "http.", "pipeline", "log."].iter().any(|start| key.starts_with(start));
            !restart && !fixed.contains(&key.as_str()) && Effect::of(key) == Effect::Restart
        };
        assert_eq!(keys.iter().filter(unknown).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn programs_and_secrets_stay_with_who_owns_the_machine() {
        let model = "models.person_detector.model_path";
        for key in ["camera.password_file", "camera.file", "models.falls.worker_command", model, "pipeline_file"] {
            assert!(is_local(key, false), "{key}");
        }
        assert!(is_local("camera.rtsp_url", true) && !is_local("camera.rtsp_url", false));
        assert!(!is_local("models.person_detector.size", true));
    }

    #[test]
    fn other_models_have_elements_of_their_own() {
        let expected = Effect::Worker { name: "falls".into(), property: "model-file" };
        assert_eq!(Effect::of("models.falls.model_path"), expected);
        assert_eq!(Effect::of("models.falls.nonsense"), Effect::Restart);
        assert_eq!(Effect::of("camera.rtsp_url"), Effect::Camera);
    }
}
