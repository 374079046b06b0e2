// SPDX-License-Identifier: MPL-2.0
//! Answers as text for people and as JSON for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{asking::Answer, out::line};

/// The JSON of an answer: what the daemon has answered, and who it is.
pub(crate) fn json(answer: &Answer) -> String {
    let mut value = match &answer.outcome {
        Ok(ack) => json!(ack),
        Err(why) => no_answer(why),
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("instance_id".into(), answer.id.as_str().into());
    }
    value.to_string()
}

/// The JSON where nobody has answered.
pub(crate) fn no_answer(why: &str) -> Value {
    json!({"status": "no_answer", "error": line(why)})
}

/// What has changed, in one line.
pub(crate) fn done(answer: &Answer) -> String {
    let Ok(ack) = &answer.outcome else { return String::new() };
    let none = Value::Null;
    let data = ack.data.as_ref().unwrap_or(&none);
    let what = match ack.command_ack.as_str() {
        _ if data["dry_run"] == true => format!("{} would be carried out; nothing has changed", ack.command_ack),
        "set_inference_rate" => rate(data),
        "set_model_size" => format!("model {}", word(&data["size"])),
        "set_attention_rois" | "clear_attention_rois" => regions(&data["rois"]),
        "enable_auto_focus" | "disable_auto_focus" | "set_auto_focus_strategy" => focus(data),
        "pause_inference" => "paused".into(),
        "resume_inference" => "resumed".into(),
        "restart_worker" => "new worker processes".into(),
        "update_config" => match data["changes"].as_array().map(Vec::as_slice) {
            Some([]) => "nothing to change: it is so already".into(),
            Some(keys) => format!("changed: {}", keys.iter().map(word).collect::<Vec<_>>().join(", ")),
            None => "changed".into(),
        },
        "add_camera" => format!("camera {} is watched", word(&data["instance_id"])),
        "remove_camera" => format!("camera {} is watched no longer", word(&data["instance_id"])),
        "shutdown" => "stops".into(),
        other => match data {
            Value::Null => format!("{other}: done"),
            data => format!("{other}: {data}"),
        },
    };
    let mut text = format!("{}: {what}", answer.id);
    if let Some(seq) = ack.applied_at_seq {
        let _ = write!(text, ", in force from frame {seq} on");
    }
    if ack.duplicate {
        text.push_str(", as answered before: a command of this id was carried out already");
    }
    let _ = write!(text, " ({:.2} s)", answer.took.as_secs_f64());
    line(&text)
}

fn rate(data: &Value) -> String {
    let mut text = format!("{} Hz", word(&data["rate_hz"]));
    if let (Some(by), Some(expected)) = (data["limited_by"].as_str(), data["expected_rate_hz"].as_f64()) {
        let _ = write!(text, " asked for, {expected:.1} Hz to be expected (limited by {by})");
    }
    text
}

/// Regions, as they can be typed.
pub(crate) fn regions(rois: &Value) -> String {
    let sides = |roi: &Value| ["x", "y", "width", "height"].map(|side| word(&roi[side])).join(",");
    match rois.as_array().map(Vec::as_slice) {
        None | Some([]) => "whole frame".into(),
        Some(rois) => format!("region {}", rois.iter().map(sides).collect::<Vec<_>>().join(" ")),
    }
}

/// Auto focus in a few words.
pub(crate) fn focus(data: &Value) -> String {
    match data["enabled"].as_bool() {
        Some(true) => format!("auto focus {}", word(&data["strategy"])),
        _ => "auto focus off".into(),
    }
}

/// A value without quotes; nothing for null.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => line(text),
        // As it was typed: 2, not 2.0.
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |float| float.to_string()),
        other => other.to_string(),
    }
}

/// Columns with a head, as wide as they need to be.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| wide(column).unwrap_or(0)).collect();
    let row = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orion_core::health::Ack;

    use super::*;

    fn answered(command: &str, data: Value, seq: Option<u64>) -> Answer {
        let ack = Ack { data: Some(data), applied_at_seq: seq, ..Ack::success(command, None, "t".into()) };
        Answer { id: "a".into(), outcome: Ok(ack), took: Duration::from_millis(40) }
    }

    #[test]
    fn a_change_is_told_in_one_line() {
        for (command, data, expected) in [
            (
                "set_inference_rate",
                json!({"rate_hz": 2.0, "limited_by": null}),
                "a: 2 Hz, in force from frame 7 on (0.04 s)",
            ),
            (
                "set_inference_rate",
                json!({"rate_hz": 20.0, "limited_by": "camera", "expected_rate_hz": 14.99}),
                "a: 20 Hz asked for, 15.0 Hz to be expected (limited by camera), in force from frame 7 on (0.04 s)",
            ),
            ("set_model_size", json!({"size": "m"}), "a: model m, in force"),
            (
                "set_attention_rois",
                json!({"rois": [{"x": 0.1, "y": 0, "width": 0.5, "height": 1.0}]}),
                "a: region 0.1,0,0.5,1, in",
            ),
            ("clear_attention_rois", json!({"rois": []}), "a: whole frame, in"),
            ("enable_auto_focus", json!({"enabled": true, "strategy": "simple"}), "a: auto focus simple, in"),
            ("disable_auto_focus", json!({"enabled": false, "strategy": "simple"}), "a: auto focus off, in"),
            ("update_config", json!({"changes": ["stream.fps", "room_id"]}), "a: changed: stream.fps, room_id, in"),
            ("update_config", json!({"changes": []}), "a: nothing to change"),
            ("pause_inference", json!({"dry_run": true}), "a: pause_inference would be carried out; nothing"),
            ("get_auto_focus_stats", json!({"hits": 3}), "a: get_auto_focus_stats: {\"hits\":3}, in"),
        ] {
            let text = done(&answered(command, data, Some(7)));
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn json_says_who_has_answered_and_who_has_not() {
        let good: Value = serde_json::from_str(&json(&answered("shutdown", json!({}), None))).unwrap();
        assert_eq!((&good["instance_id"], &good["status"]), (&json!("a"), &json!("success")));
        let late = Answer { id: "b".into(), outcome: Err("no\nanswer".into()), took: Duration::ZERO };
        let late: Value = serde_json::from_str(&json(&late)).unwrap();
        assert_eq!(late, json!({"instance_id": "b", "status": "no_answer", "error": "no; answer"}));
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows = [vec!["ID".to_owned(), "X".into()], vec!["ward-1".into(), "y".into()]];
        assert_eq!(table(&rows), "ID      X\nward-1  y");
        assert_eq!(table(&[]), "");
    }
}
