// SPDX-License-Identifier: MPL-2.0
//! Keys as paths, as variables, and as they are mistyped.

use serde_json::{Map, Value};

use super::{Config, Worker, cameras::CameraEntry, models};

/// Variables that set keys begin with this; `__` stands between the parts of a key.
pub(super) const VARIABLE: &str = "ORION_";
/// The list of cameras: the one list whose entries have keys of this configuration.
pub(super) const CAMERAS: &str = "cameras";
/// How many letters may be wrong in a key for a hint at the right one.
const NEAR: usize = 2;

/// All keys with their defaults.
pub(super) struct Known {
    tree: Value,
    /// What a further worker holds.
    worker: Value,
    /// Keys of the top level that are not known here.
    above: Vec<String>,
}

impl Known {
    pub(super) fn new() -> Result<Self, serde_json::Error> {
        let (tree, worker) = (serde_json::to_value(Config::default())?, serde_json::to_value(Worker::default())?);
        Ok(Self { tree, worker, above: Vec::new() })
    }

    /// Those of an entry in the list of cameras.
    pub(super) fn of_a_camera(&self) -> Self {
        let (tree, worker) = (self.tree.as_object().cloned().unwrap_or_default(), self.worker.clone());
        let (own, above): (Map<_, _>, Map<_, _>) =
            tree.into_iter().partition(|(key, _)| CameraEntry::KEYS.contains(&key.as_str()));
        Self { tree: own.into(), worker, above: above.into_iter().map(|(key, _)| key).collect() }
    }

    /// Whether there is such a key: its default, a section's as an object.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        match path {
            // A text that is no name of a worker is a mistyped key.
            ["models", name, rest @ ..] if *name != "person_detector" && models::check_name(name).is_ok() => {
                rest.iter().try_fold(&self.worker, |at, key| at.get(key))
            }
            path => path.iter().try_fold(&self.tree, |at, key| at.get(key)),
        }
    }

    /// What to say of a key that is not known in this section.
    pub(super) fn hint(&self, section: &[&str], key: &str) -> String {
        if section.is_empty() && self.above.iter().any(|above| above == key) {
            return "it holds for all cameras: set it at the top level".into();
        }
        let keys = self.get(section).and_then(Value::as_object);
        let names: Vec<&str> = keys.into_iter().flat_map(|keys| keys.keys().map(String::as_str)).collect();
        match (nearest(key, &names), section) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, ["models"]) => models::check_name(key).err().unwrap_or_default(),
            (None, _) => format!("known here are {}", names.join(", ")),
        }
    }

    /// The names of all variables that set a key.
    pub(super) fn variables(&self) -> Vec<String> {
        variables(&self.tree)
    }
}

/// `{a: {b: value}}` from the path `a.b`.
pub(super) fn nested(path: &[&str], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| Value::Object(Map::from_iter([((*key).to_owned(), value)])))
}

/// Puts the values of one tree over another's.
pub(super) fn merge(into: &mut Map<String, Value>, from: Value) {
    let Value::Object(from) = from else { return };
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(inner)), value @ Value::Object(_)) => merge(inner, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Takes a value or a section out.
pub(super) fn remove(from: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [key] => drop(from.remove(*key)),
        [key, rest @ ..] => {
            if let Some(Value::Object(inner)) = from.get_mut(*key) {
                remove(inner, rest);
            }
        }
        [] => {}
    }
}

/// All values that are no sections, by dotted key, in order.
pub(crate) fn leaves(tree: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(tree: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
        for (key, value) in tree.as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Object(_) => walk(value, &path, found),
                _ => found.push((path, value)),
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, "", &mut found);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The names of the variables that set the keys of this tree.
pub(super) fn variables(tree: &Value) -> Vec<String> {
    let name = |key: &str| format!("{VARIABLE}{}", key.to_uppercase().replace('.', "__"));
    let mut names: Vec<_> = leaves(tree).iter().map(|(key, _)| name(key)).collect();
    names.sort();
    names
}

/// The name that was probably meant, if one is alike.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
    known.iter().min_by_key(distance).filter(|near| distance(near) <= NEAR).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trees_are_laid_over_each_other() {
        let mut tree = Map::new();
        for (path, value) in [(&["a", "b"][..], 1), (&["a", "c"], 2), (&["d"], 3), (&["a", "b"], 4)] {
            merge(&mut tree, nested(path, value.into()));
        }
        assert_eq!(Value::Object(tree.clone()), json!({"a": {"b": 4, "c": 2}, "d": 3}));
        remove(&mut tree, &["a", "b"]);
        remove(&mut tree, &["d"]);
        remove(&mut tree, &["x", "y"]);
        assert_eq!(Value::Object(tree), json!({"a": {"c": 2}}));
    }

    #[test]
    fn a_hint_is_given_only_at_what_is_alike() {
        assert_eq!(nearest("pipline", &["pipeline", "mqtt"]), Some("pipeline"));
        assert_eq!(nearest("video", &["pipeline", "mqtt"]), None);
        assert_eq!(variables(&json!({"x": {"y": 1}, "a": ""})), ["ORION_A", "ORION_X__Y"]);
    }

    #[test]
    fn further_workers_have_the_keys_of_one() {
        let known = Known::new().unwrap();
        assert_eq!(known.get(&["models", "fall", "workers"]), Some(&json!(1)));
        for unknown in [&["models", "fall", "max_inference_rate_hz"][..], &["models", "Fall"], &["models", "sink"]] {
            assert_eq!(known.get(unknown), None, "{unknown:?}");
        }
        assert!(known.hint(&["models"], "Fall").contains("a-z"));
        assert_eq!(known.hint(&["stream"], "fsp"), "did you mean fps?");
    }
}
