// SPDX-License-Identifier: MPL-2.0
//! `status`, `list` and `cameras` as text.

use std::fmt::Write;

use orion_core::status::Status;
use serde_json::{Value, json};

use crate::{
    sightings::{Sighting, Sightings},
    text::{focus, regions, table, word},
};

/// What `get_status` answers, of one camera or of a daemon of several.
pub(crate) fn page(id: &str, data: &Value) -> String {
    if data["health"]["cameras"].is_array() {
        return format!("{id}: {}\n{}", health(&data["health"]), cameras(data));
    }
    let (state, config) = (&data["state"], &data["config"]);
    let mut text = format!("{id}: {}", health(&data["health"]));
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(text, "\n  {name:<9} {value}");
        }
    };
    row("room", word(&config["room_id"]));
    row("stream", stream(&state["stream"]));
    row("rate", looks(data));
    row("model", model(data));
    row("regions", regions(&config["rois"]["attention"]));
    row("focus", focus(&config["rois"]["auto_focus"]));
    for worker in state["workers"].as_array().into_iter().flatten() {
        row("worker", one_worker(worker));
    }
    row("presence", presence(&state["presence"]));
    let broker = &state["broker"];
    let link = if broker["connected"] == true { "connected" } else { "not connected" };
    row(
        "broker",
        format!("{} ({link}), {} published, {} waiting", word(&broker["uri"]), broker["published"], broker["buffered"]),
    );
    let pending = data["pending"].as_array().into_iter().flatten().map(|one| word(&one["command"]));
    row("pending", pending.collect::<Vec<_>>().join(", "));
    row("up for", state["uptime_s"].as_f64().map(|up| format!("{up:.0} s")).unwrap_or_default());
    text
}

fn health(health: &Value) -> String {
    let reasons: Vec<_> = health["reasons"].as_array().into_iter().flatten().map(word).collect();
    match reasons.is_empty() {
        true => word(&health["status"]),
        false => format!("{}: {}", word(&health["status"]), reasons.join("; ")),
    }
}

fn stream(stream: &Value) -> String {
    let mut text = word(&stream["state"]);
    if let Some(fps) = stream["fps"].as_f64() {
        let _ = write!(text, ", {fps:.1} frames/s");
    }
    for (name, unit) in [("reconnects", "times connected again"), ("detail", "")] {
        let value = word(&stream[name]);
        if !value.is_empty() && value != "0" {
            let _ = write!(text, ", {value}{}{unit}", if unit.is_empty() { "" } else { " " });
        }
    }
    text
}

/// How often frames are looked at.
pub(crate) fn looks(data: &Value) -> String {
    match (data["paused"] == true, data["inference_rate_hz"].as_f64()) {
        (true, _) => "paused".into(),
        (false, Some(rate)) => format!("{rate} Hz"),
        (false, None) => "every frame".into(),
    }
}

/// The model, or that there is none.
pub(crate) fn model(data: &Value) -> String {
    let person = &data["config"]["models"]["person_detector"];
    match person["detector"] == "motion" {
        true => "none (motion)".into(),
        false => word(&person["size"]),
    }
}

fn one_worker(worker: &Value) -> String {
    let processes = worker["processes"].as_array().into_iter().flatten();
    let one = |process: &Value| {
        let threads = match process["threads"].as_u64() {
            None | Some(0) => String::new(),
            Some(1) => " with 1 thread".to_owned(),
            Some(many) => format!(" with {many} threads"),
        };
        format!("pid {} {}{threads}", word(&process["pid"]), word(&process["state"]))
    };
    let processes: Vec<_> = processes.map(one).collect();
    let latency = worker["avg_latency_ms"].as_f64().unwrap_or_default();
    format!(
        "{}: {}; {latency:.1} ms a look, {} results, {} frames dropped, {} restarts",
        word(&worker["name"]),
        processes.join(", "),
        word(&worker["inferences_emitted"]),
        word(&worker["frames_dropped"]),
        word(&worker["restarts"]),
    )
}

/// Whether somebody is there.
pub(crate) fn presence(presence: &Value) -> String {
    match (presence["state"].as_str(), presence["reason"].as_str()) {
        (Some("present"), _) => format!("present ({})", word(&presence["count"])),
        (Some(state), Some(reason)) => format!("{} ({})", word(&state.into()), word(&reason.into())),
        (Some(state), None) => word(&state.into()),
        (None, _) => String::new(),
    }
}

/// The cameras of a daemon, or its only one.
pub(crate) fn cameras(data: &Value) -> String {
    let one = [json!({"status": data["health"]["status"], "reasons": data["health"]["reasons"],
        "instance_id": data["state"]["instance_id"], "stream": data["state"]["stream"], "presence": data["state"]["presence"]})];
    let several = data["health"]["cameras"].as_array().map_or(&one[..], Vec::as_slice);
    let mut rows = vec![["CAMERA", "STREAM", "FPS", "RATE", "PRESENCE", "HEALTH"].map(str::to_owned).to_vec()];
    rows.extend(several.iter().map(|camera| {
        let stream = &camera["stream"];
        vec![
            word(&camera["instance_id"]),
            word(&stream["state"]),
            stream["fps"].as_f64().map(|fps| format!("{fps:.1}")).unwrap_or_default(),
            word(&stream["rate_hz"]),
            presence(&camera["presence"]),
            health(camera),
        ]
    }));
    table(&rows)
}

/// All instances that are wanted.
pub(crate) fn list(seen: &Sightings, wanted: impl Fn(&str) -> bool) -> String {
    let mut rows = vec![["ID", "STATUS", "PRESENCE", "RATE", "MODEL", "REGIONS", "ROOM"].map(str::to_owned).to_vec()];
    rows.extend(seen.iter().filter(|(id, _)| wanted(id)).map(|(id, one)| {
        let status = seen.status(id).map_or("?", |status| status.as_str()).to_owned();
        let none = Value::Null;
        let state = one.state.as_ref().unwrap_or(&none);
        let cameras = seen.cameras(id);
        // What was said before it went holds no longer.
        let said = one.presence.as_ref().filter(|_| status == Status::Online.as_str());
        let mut row = vec![id.clone(), status.clone(), presence(said.unwrap_or(&none))];
        match (state.is_null(), cameras.is_empty()) {
            (true, _) => {}
            (false, false) => row.push(format!("cameras: {}", cameras.join(", "))),
            (false, true) => {
                let config = &state["config"];
                row.extend([
                    looks(state),
                    model(state),
                    regions(&config["rois"]["attention"]),
                    word(&config["room_id"]),
                ]);
            }
        }
        row
    }));
    table(&rows)
}

/// One of `list` as JSON.
pub(crate) fn entry(seen: &Sightings, id: &str, one: &Sighting) -> Value {
    json!({
        "instance_id": id, "status": seen.status(id).map(|status| status.as_str()), "presence": one.presence, "state": one.state})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Value {
        json!({
            "health": {"status": "degraded", "reasons": ["x", "y\u{1b}"]},
            "paused": false, "inference_rate_hz": 2.5, "pending": [{"command": "set_model_size"}],
            "config": {"room_id": "7", "models": {"person_detector": {"size": "n", "detector": "auto"}},
                "rois": {"attention": [], "auto_focus": {"enabled": true, "strategy": "simple"}}},
            "state": {"instance_id": "a", "uptime_s": 12.3, "presence": {"state": "present", "count": 2},
                "stream": {"state": "streaming", "fps": 14.99, "rate_hz": 2.5, "reconnects": 2, "detail": ""},
                "broker": {"uri": "mqtt://b", "connected": true, "published": 9, "buffered": 0},
                "workers": [{"name": "infer", "avg_latency_ms": 41.26, "inferences_emitted": 9, "frames_dropped": 1, "restarts": 0,
                    "processes": [{"pid": 7, "state": "ready", "threads": 2}, {"pid": 8, "state": "starting", "threads": 0}]}]},
        })
    }

    #[test]
    fn a_page_tells_what_an_operator_asks_for() {
        let text = page("a", &data());
        for expected in [
            "a: degraded: x; y?",
            "  room      7",
            "  stream    streaming, 15.0 frames/s, 2 times connected again",
            "  rate      2.5 Hz",
            "  model     n",
            "  regions   whole frame",
            "  focus     auto focus simple",
            "  worker    infer: pid 7 ready with 2 threads, pid 8 starting; 41.3 ms a look, 9 results, 1 frames dropped, 0 restarts",
            "  presence  present (2)",
            "  broker    mqtt://b (connected), 9 published, 0 waiting",
            "  pending   set_model_size",
            "  up for    12 s",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected:?} in\n{text}");
        }
    }

    #[test]
    fn cameras_are_rows_whether_one_or_several() {
        assert!(
            cameras(&data()).contains("a       streaming  15.0  2.5   present (2)  degraded: x; y?"),
            "{}",
            cameras(&data())
        );
        let several = json!({"health": {"status": "healthy", "reasons": [], "cameras": [
            {"instance_id": "w1", "status": "healthy", "reasons": [], "stream": {"state": "lost"}, "presence": null}]}});
        assert!(page("ward", &several).starts_with("ward: healthy\nCAMERA"));
        assert!(cameras(&several).contains("w1      lost"), "{}", cameras(&several));
    }

    #[test]
    fn a_list_shows_those_that_are_gone_too() {
        let mut seen = Sightings::default();
        seen.hear("status/a", b"online");
        seen.hear("state/a", data().to_string().as_bytes());
        seen.hear("presence/a", br#"{"state": "unknown", "reason": "paused"}"#);
        seen.hear("status/old", b"stopped");
        let text = list(&seen, |_| true);
        assert!(text.contains("a    online   unknown (paused)  2.5 Hz  n      whole frame  7"), "{text}");
        assert!(text.lines().any(|line| line == "old  stopped"), "{text}");
        assert_eq!(entry(&seen, "a", seen.get("a").unwrap())["status"], "online");
    }
}
