// SPDX-License-Identifier: MPL-2.0
//! Rules over the cameras of a list, and over workers that share a group.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Config, Worker, cameras, check::Rules, keys};

/// What is wrong: the key to blame and why.
pub(super) type Problems = Vec<(String, String)>;

/// What is wrong with the list itself.
pub(super) fn list(config: &Config, rules: &mut Rules) {
    if !config.is_fleet() {
        return;
    }
    for (key, value) in [("camera.rtsp_url", &config.camera.rtsp_url), ("camera.file", &config.camera.file)] {
        rules.broken(
            !value.is_empty(),
            key,
            "there is a list of cameras: leave this empty and set it in the entries of the list",
        );
    }
    for (key, value) in [("pipeline", &config.pipeline), ("pipeline_file", &config.pipeline_file)] {
        rules.broken(!value.is_empty(), key, "the pipelines of a list of cameras are built: leave this empty");
    }
    let count = config.cameras.len();
    rules.broken(count > cameras::MAX, "cameras", format!("expected {} cameras at most, got {count}", cameras::MAX));
    let mut names = BTreeMap::new();
    for (at, entry) in config.cameras.iter().enumerate() {
        let (key, name) = (format!("cameras[{at}].instance_id"), entry.instance_id());
        if name == config.instance_id {
            rules.broken(
                true,
                key,
                format!("{name} is the name of the daemon itself (instance_id at the top level), expected another one"),
            );
        } else if let Some(first) = names.get(name) {
            rules.broken(true, key, format!("{name} is the name of cameras[{first}], too, expected another one"));
        } else {
            names.insert(name, at);
        }
    }
}

/// What is wrong with each camera. What is wrong with all of them because of the top level is told once, and blamed there.
pub(super) fn each(config: &Config, problems: impl Fn(&Config) -> Problems) -> Problems {
    if !config.is_fleet() {
        return problems(config);
    }
    // These are told by `list`; each camera would only repeat it.
    let mut plain = config.clone();
    for key in [&mut plain.camera.rtsp_url, &mut plain.camera.file, &mut plain.pipeline, &mut plain.pipeline_file] {
        key.clear();
    }
    let all: Vec<Problems> = plain.sensors().iter().map(&problems).collect();
    let mut found = problems(&plain);
    found.retain(|problem| all.iter().all(|one| one.contains(problem)));
    let shared = found.clone();
    for (at, one) in all.into_iter().enumerate() {
        let own = one.into_iter().filter(|problem| !shared.contains(problem));
        found.extend(own.map(|(key, text)| (format!("cameras[{at}].{key}"), text)));
    }
    found
}

/// One that names a group.
struct Member {
    /// Its place in the list, if there is one.
    at: Option<usize>,
    /// Such as `models.person_detector`.
    section: String,
    worker: Worker,
}

impl Member {
    fn key(&self, key: &str) -> String {
        let at = self.at.map_or_else(String::new, |at| format!("cameras[{at}]."));
        format!("{at}{}.{key}", self.section)
    }

    /// Whether its entry says this itself.
    fn says(&self, config: &Config, key: &str) -> bool {
        let entry = self.at.and_then(|at| config.cameras.get(at));
        entry.is_some_and(|entry| entry.says(&format!("{}.{key}", self.section)))
    }

    fn told(&self, config: &Config, key: &str) -> String {
        match self.at {
            Some(at) => {
                let name = config.cameras.get(at).map_or("", |entry| entry.instance_id());
                format!("{}.{key} of cameras[{at}] ({name})", self.section)
            }
            None => format!("{}.{key}", self.section),
        }
    }
}

/// Workers of a group are started once for all that name it: these must agree in all keys by which they are started.
pub(super) fn groups(config: &Config, rules: &mut Rules) {
    let mut groups: BTreeMap<String, Member> = BTreeMap::new();
    // Once for each group and key is enough.
    let mut told = BTreeSet::new();
    for (at, sensor) in config.sensors().into_iter().enumerate() {
        let models = sensor.models;
        let shipped = ("person_detector".to_owned(), (*models.person_detector).clone());
        for (name, worker) in std::iter::once(shipped).chain(models.others) {
            let group = worker.worker_group.clone();
            if group.is_empty() {
                continue;
            }
            let at = config.is_fleet().then_some(at);
            let member = Member { at, section: format!("models.{name}"), worker };
            let Some(first) = groups.get(&group) else {
                groups.insert(group, member);
                continue;
            };
            for key in differences(&first.worker, &member.worker) {
                if !told.insert((group.clone(), key.clone())) {
                    continue;
                }
                let first_says = first.says(config, &key) && !member.says(config, &key);
                let (blamed, other) = if first_says { (first, &member) } else { (&member, first) };
                let text = format!(
                    "differs from {}, with which it shares the workers of group {group}: make both the same, or name \
                     another worker_group",
                    other.told(config, &key)
                );
                rules.broken(true, blamed.key(&key), text);
            }
        }
    }
}

/// The keys in which they differ.
fn differences(a: &Worker, b: &Worker) -> Vec<String> {
    // Plain structures: that cannot fail.
    let (a, b) = (serde_json::to_value(a).unwrap_or_default(), serde_json::to_value(b).unwrap_or_default());
    let differ = |(key, value): (String, &Value)| (b.get(&key) != Some(value)).then_some(key);
    keys::leaves(&a).into_iter().filter_map(differ).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(values: Value) -> Config {
        serde_json::from_value(values).unwrap()
    }

    fn broken(values: Value) -> Problems {
        let config = config(values);
        let mut rules = Rules::default();
        list(&config, &mut rules);
        groups(&config, &mut rules);
        rules.into_problems()
    }

    #[test]
    fn what_is_wrong_at_the_top_is_told_once() {
        let room = |config: &Config| {
            let wrong = config.room_id.clone();
            if wrong.is_empty() { Vec::new() } else { vec![("room_id".to_owned(), wrong)] }
        };
        let told = |top: &str, rooms: [&str; 2]| {
            let cameras =
                [json!({"instance_id": "a", "room_id": rooms[0]}), json!({"instance_id": "b", "room_id": rooms[1]})];
            let found = each(&config(json!({"room_id": top, "cameras": cameras})), room);
            found.into_iter().map(|(key, text)| format!("{key} {text}")).collect::<Vec<_>>()
        };
        assert_eq!(told("x", ["x", "x"]), ["room_id x"]);
        assert_eq!(told("x", ["", "y"]), ["cameras[1].room_id y"]);
        assert_eq!(told("", ["x", "x"]), ["cameras[0].room_id x", "cameras[1].room_id x"]);
        assert_eq!(told("x", ["", ""]), [""; 0]);
    }

    #[test]
    fn a_group_agrees_in_how_its_workers_are_started() {
        let model = |values: Value| json!({"person_detector": values});
        let pool = |a: Value, b: Value| {
            broken(json!({
                "models": {"person_detector": {"worker_group": "pool"}},
                "cameras": [{"instance_id": "a", "models": model(a)}, {"instance_id": "b", "models": model(b)}],
            }))
        };
        assert_eq!(pool(json!({"max_inference_rate_hz": 1}), json!({"max_inference_rate_hz": 2})), []);
        assert_eq!(pool(json!({"size": "s"}), json!({"worker_group": "own"})), []);
        assert_eq!(pool(json!({"size": "s"}), json!({"worker_group": ""})), []);
        let found = pool(json!({}), json!({"size": "s", "threads": 2}));
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["cameras[1].models.person_detector.size", "cameras[1].models.person_detector.threads"]);
        let text = "differs from models.person_detector.size of cameras[0] (a), with which it shares the workers of group pool";
        assert!(found[0].1.starts_with(text), "{found:?}");
        // Blamed is who says it.
        let found = pool(json!({"labels": ["cat"]}), json!({}));
        assert_eq!((found.len(), found[0].0.as_str()), (1, "cameras[0].models.person_detector.labels"));
    }

    #[test]
    fn workers_of_one_camera_share_a_group_by_the_same_rule() {
        let found = broken(json!({"models": {
            "fall": {"worker_command": "a", "worker_group": "x"}, "hand": {"worker_command": "b", "worker_group": "x"},
        }}));
        assert_eq!((found.len(), found[0].0.as_str()), (1, "models.hand.worker_command"));
        assert!(found[0].1.starts_with("differs from models.fall.worker_command, with which"), "{found:?}");
    }

    #[test]
    fn there_are_not_too_many_cameras() {
        let cameras = |count: usize| -> Value { (0..count).map(|n| json!({"instance_id": format!("c{n}")})).collect() };
        assert_eq!(broken(json!({"cameras": cameras(cameras::MAX)})), []);
        let found = broken(json!({"cameras": cameras(cameras::MAX + 1)}));
        assert_eq!(found, [("cameras".to_owned(), "expected 64 cameras at most, got 65".to_owned())]);
    }
}
