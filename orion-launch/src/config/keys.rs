// SPDX-License-Identifier: MPL-2.0
//! Keys as paths, as variables, and as they are mistyped.

use serde_json::{Map, Value};

/// Variables that set keys begin with this; `__` stands between the parts of a key.
pub(super) const VARIABLE: &str = "ORION_";
/// How many letters may be wrong in a key for a hint at the right one.
const NEAR: usize = 2;

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

/// The names of all variables that set a key.
pub(super) fn variables(known: &Value) -> Vec<String> {
    fn walk(known: &Value, path: &str, names: &mut Vec<String>) {
        for (key, value) in known.as_object().into_iter().flatten() {
            let path = format!("{path}{}", key.to_uppercase());
            match value {
                Value::Object(_) => walk(value, &format!("{path}__"), names),
                _ => names.push(path),
            }
        }
    }
    let mut names = Vec::new();
    walk(known, VARIABLE, &mut names);
    names.sort();
    names
}

/// A hint at the name that was probably meant, if one is alike.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
    known.iter().min_by_key(distance).filter(|near| distance(near) <= NEAR).copied()
}

/// serde's words in those of a person who writes YAML.
pub(super) fn plain(text: &str) -> String {
    [("f64", "a number"), ("u32", "a whole number"), ("a boolean", "true or false"), ("a string", "text (in quotes)")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(&format!("expected {from}"), &format!("expected {to}")))
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
        assert_eq!(Value::Object(tree), json!({"a": {"b": 4, "c": 2}, "d": 3}));
    }

    #[test]
    fn a_hint_is_given_only_at_what_is_alike() {
        assert_eq!(nearest("pipline", &["pipeline", "mqtt"]), Some("pipeline"));
        assert_eq!(nearest("video", &["pipeline", "mqtt"]), None);
        assert_eq!(variables(&json!({"x": {"y": 1}, "a": ""})), ["ORION_A", "ORION_X__Y"]);
    }
}
