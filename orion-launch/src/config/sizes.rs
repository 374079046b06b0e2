// SPDX-License-Identifier: MPL-2.0
//! The size of a model where nothing says it.

use serde_json::{Map, Value};

use super::keys::CAMERAS;

/// What is looked for in a folder, or told to a program, that somebody named.
const ELSEWHERE: &str = "n";

/// Sets `size` of each worker that does not say it although it names a folder of models or a program of its own: there it was n before
/// Orion had a model of its own, and that one is for those who name nothing.
pub(super) fn complete(values: &mut Map<String, Value>) {
    let top = values.get("models").cloned().unwrap_or_default();
    workers(values, &Value::Null);
    let cameras = values.get_mut(CAMERAS).and_then(Value::as_array_mut).into_iter().flatten();
    for camera in cameras.filter_map(Value::as_object_mut) {
        workers(camera, &top);
    }
}

/// The same for the workers of one section, whose keys lie over those of `above`.
fn workers(values: &mut Map<String, Value>, above: &Value) {
    let workers = values.get_mut("models").and_then(Value::as_object_mut).into_iter().flatten();
    for (name, worker) in workers {
        let named = |key: &str| worker[key].as_str().is_some_and(|text| !text.is_empty());
        let elsewhere = named("model_dir") || named("worker_command");
        if elsewhere
            && above[name]["size"].is_null()
            && let Some(worker) = worker.as_object_mut()
        {
            worker.entry("size").or_insert_with(|| ELSEWHERE.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(values: Value) -> Value {
        let mut values = values.as_object().unwrap().clone();
        complete(&mut values);
        values.into()
    }

    #[test]
    fn a_folder_or_program_of_ones_own_makes_it_n() {
        let given = json!({"models": {
            "person_detector": {"model_dir": "/m"}, "fall": {"worker_command": "fall"}, "hand": {"worker_command": "h", "size": "s"}}});
        let models = &completed(given)["models"];
        assert_eq!(
            (&models["person_detector"]["size"], &models["fall"]["size"], &models["hand"]["size"]),
            (&json!("n"), &json!("n"), &json!("s"))
        );
    }

    #[test]
    fn who_names_nothing_gets_what_comes_with_orion() {
        for given in [
            json!({}),
            json!({"models": {"person_detector": {"model_dir": "", "threads": 2}}}),
            json!({"models": {"person_detector": {"model_dir": "/m", "size": "orion"}}}),
        ] {
            assert_eq!(completed(given.clone()), given);
        }
    }

    #[test]
    fn a_camera_heeds_what_the_top_level_says() {
        let of = |top: Value| {
            let cameras =
                json!([{"instance_id": "a", "models": {"person_detector": {"model_dir": "/m"}}}, {"instance_id": "b"}]);
            let completed = completed(json!({"models": {"person_detector": top}, "cameras": cameras}));
            completed["cameras"][0]["models"]["person_detector"]["size"].clone()
        };
        assert_eq!(of(json!({})), json!("n"));
        assert_eq!(of(json!({"size": "m"})), json!(null));
    }
}
