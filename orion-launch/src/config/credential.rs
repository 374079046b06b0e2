// SPDX-License-Identifier: MPL-2.0
//! Secrets that systemd hands to a service: `credential:NAME` in place of a file's path.

use serde_json::Value;

use super::fleet::Problems;

/// What begins such a text.
const PREFIX: &str = "credential:";
/// Where systemd says in which folder they are.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Puts the path for each credential that a key ending with `_file` names. What cannot be found is told, the key
/// and why, and is empty afterwards.
pub(super) fn put_in(values: &mut Value, variable: &impl Fn(&str) -> Option<String>) -> Problems {
    let mut problems = Vec::new();
    walk(values, String::new(), variable, &mut problems);
    problems
}

fn walk(value: &mut Value, key: String, variable: &impl Fn(&str) -> Option<String>, problems: &mut Problems) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                walk(value, key, variable, problems);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                walk(item, format!("{key}[{at}]"), variable, problems);
            }
        }
        Value::String(text) if key.ends_with("_file") => {
            match text.strip_prefix(PREFIX).map(|name| path(name, variable)) {
                Some(Ok(path)) => *text = path,
                Some(Err(why)) => {
                    problems.push((key, format!("{text:?}: {why}")));
                    // That there is no such file need not be told as well.
                    text.clear();
                }
                None => {}
            }
        }
        _ => {}
    }
}

/// The path of a credential.
fn path(name: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(format!("expected {PREFIX} and the name of a credential, without a /"));
    }
    match variable(VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => Ok(format!("{folder}/{name}")),
        None => Err(format!(
            "there is no {VARIABLE} in the environment, which systemd sets for a service with LoadCredential="
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(name: &str) -> Option<String> {
        (name == VARIABLE).then(|| "/run/credentials/o.service".to_owned())
    }

    #[test]
    fn names_become_paths_wherever_a_key_names_a_file() {
        let mut values = json!({
            "mqtt": {"password_file": "credential:orion_mqtt", "username": "credential:me", "tls": {"key_file": "/k"}},
            "cameras": [{"camera": {"password_file": "credential:orion_ward-1"}}],
        });
        assert_eq!(put_in(&mut values, &folder), []);
        let expected = json!({
            "mqtt": {"password_file": "/run/credentials/o.service/orion_mqtt", "username": "credential:me", "tls": {"key_file": "/k"}},
            "cameras": [{"camera": {"password_file": "/run/credentials/o.service/orion_ward-1"}}],
        });
        assert_eq!(values, expected);
    }

    #[test]
    fn what_is_no_credential_is_told_with_its_key() {
        for (text, words) in [
            ("credential:", "expected credential: and the name"),
            ("credential:../shadow", "without a /"),
            ("credential:..", "without a /"),
        ] {
            let problems = put_in(&mut json!({"mqtt": {"tls": {"ca_file": text}}}), &folder);
            assert_eq!(problems.len(), 1);
            assert!(problems[0].0 == "mqtt.tls.ca_file" && problems[0].1.contains(words), "{problems:?}");
        }
        let mut values = json!({"cameras": [{}, {"camera": {"password_file": "credential:x"}}]});
        let problems = put_in(&mut values, &|_| None);
        assert_eq!(problems[0].0, "cameras[1].camera.password_file");
        assert!(problems[0].1.contains("CREDENTIALS_DIRECTORY"), "{problems:?}");
        assert_eq!(values["cameras"][1]["camera"]["password_file"], "");
    }
}
