// SPDX-License-Identifier: MPL-2.0
//! The words in which the page is told how things are.

use serde_json::{Value, json};

use crate::{
    control::{Said, Window},
    health,
    status::Status,
};

/// How all cameras are; may take its time.
pub(super) fn state(cameras: &[Status], window: &Window) -> Value {
    let one = |status: &Status| {
        let state = status.snapshot();
        let verdict = health::judge(&state);
        let in_force = window.state(&status.instance_id).map(|state| in_force(&state));
        json!({"health": verdict, "state": state, "in_force": in_force})
    };
    json!({"cameras": cameras.iter().map(one).collect::<Vec<_>>()})
}

/// Of what is in force, that which the page shows.
fn in_force(state: &Value) -> Value {
    let config = &state["config"];
    let person = &config["models"]["person_detector"];
    json!({
        "revision": state["revision"],
        "paused": state["paused"],
        "rate_hz": state["inference_rate_hz"],
        "room_id": config["room_id"],
        "model_size": person["size"],
        "detector": person["detector"],
        "confidence": person["confidence"],
        "attention": config["rois"]["attention"],
        "auto_focus": config["rois"]["auto_focus"],
    })
}

/// What can be said of persons at this camera; quickly read.
pub(super) fn presence(status: &Status) -> Option<Value> {
    let presence = status.record.presence()?;
    Some(json!({"camera": status.instance_id, "said": presence}))
}

/// Something that a camera has said, with its name.
pub(super) fn said(said: &Said) -> String {
    // A name has no sign that JSON would have to escape.
    format!(r#"{{"camera":"{}","said":{}}}"#, said.instance_id, said.json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_page_gets_what_it_shows_of_the_configuration_and_nothing_else() {
        let config = serde_json::to_value(Config::default()).unwrap();
        let told = in_force(&json!({"revision": 3, "paused": true, "inference_rate_hz": 5.0, "config": config}));
        let known = |value: &Value| value.as_object().unwrap().values().all(|value| !value.is_null());
        assert!(known(&told), "{told}");
        assert_eq!((&told["model_size"], &told["auto_focus"]["strategy"]), (&json!("orion"), &json!("simple")));
        assert!(!told.to_string().contains("uri"));
    }

    #[test]
    fn what_is_said_is_passed_on_as_it_is() {
        let what = Said { instance_id: "a".into(), json: r#"{"event":"x"}"#.into() };
        assert_eq!(said(&what), r#"{"camera":"a","said":{"event":"x"}}"#);
    }
}
