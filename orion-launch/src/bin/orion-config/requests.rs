// SPDX-License-Identifier: MPL-2.0
//! What is sent for a command of the command line.

use std::{io::Read, path::Path};

use orion_core::command::{
    Command as Wire, Id, MAX_ID, MAX_LENGTH, Model, NewCamera, OldCamera, Rate, Request, Rois, Update, WorkerName,
};
use serde_json::{Map, Value, json};

use crate::{
    broker::unique,
    cli::{Cameras, Command, Focus, How, Tuning},
    failure::Failure,
    sightings::Taker,
    words,
};

/// Seconds that a command has by default: more where workers may have to be started.
pub(crate) fn patience(command: &Command) -> f64 {
    match command {
        Command::SetModel { .. } | Command::RestartWorker { .. } | Command::UpdateConfig { .. } => 60.0,
        _ => 10.0,
    }
}

/// Who can take it.
pub(crate) fn taker(command: &Command) -> Taker {
    match command {
        Command::Cameras { .. } | Command::Shutdown { .. } => Taker::Daemon,
        _ => Taker::Camera,
    }
}

/// What is sent; `now` is the configuration in force, if it is known. None: nothing is sent for it.
pub(crate) fn of(command: &Command, now: Option<&Value>) -> Result<Option<Map<String, Value>>, Failure> {
    let none = How::default();
    let usage = Failure::Usage;
    let (wire, how) = match command {
        Command::Status => (Wire::GetStatus, &none),
        Command::Cameras { action: None } => (Wire::GetStatus, &none),
        Command::SetModel { size, how } => (Wire::SetModelSize(Model { size: *size }), how),
        Command::SetRate { hz, how } => (Wire::SetInferenceRate(Rate { rate_hz: *hz }), how),
        Command::SetRoi { regions, how } => (Wire::SetAttentionRois(Rois { rois: regions.clone() }), how),
        Command::ClearRoi { how } => (Wire::ClearAttentionRois, how),
        Command::AutoFocus { mode, tuning, how } => (focus(*mode, tuning), how),
        Command::Pause { how } => (Wire::PauseInference, how),
        Command::Resume { how } => (Wire::ResumeInference, how),
        Command::RestartWorker { name, how } => (Wire::RestartWorker(WorkerName { worker: name.clone() }), how),
        Command::UpdateConfig { settings, how } => {
            (Wire::UpdateConfig(Update { config: words::tree(settings, now).map_err(usage)? }), how)
        }
        Command::Cameras { action: Some(Cameras::Add { camera, settings, from, how }) } => {
            let mut entry = from.as_deref().map(read_object).transpose()?.unwrap_or_default();
            entry.extend(words::tree(settings, Some(&json!({"room_id": ""}))).map_err(usage)?);
            entry.insert("instance_id".into(), camera.as_str().into());
            (Wire::AddCamera(NewCamera { camera: entry }), how)
        }
        Command::Cameras { action: Some(Cameras::Remove { camera, how }) } => {
            (Wire::RemoveCamera(OldCamera { instance_id: camera.clone() }), how)
        }
        Command::Shutdown { how } => (Wire::Shutdown, how),
        Command::Raw { request } => return raw(request).map(Some),
        Command::List | Command::Watch { .. } | Command::Completions { .. } | Command::Man { .. } => return Ok(None),
    };
    request(wire, *how).map(Some)
}

/// A command with an id of its own.
pub(crate) fn request(command: Wire, how: How) -> Result<Map<String, Value>, Failure> {
    let id = Some(Id::Text(unique("orion-config")));
    let request = Request { command, id, if_revision: how.if_revision, dry_run: how.dry_run };
    let Ok(Value::Object(request)) = serde_json::to_value(request) else {
        return Err(Failure::Usage("the command cannot be written as JSON".into()));
    };
    fits(request)
}

/// What switches focus on or off, with the figures that were said.
pub(crate) fn focus(mode: Focus, tuning: &Tuning) -> Wire {
    let mut keys = Map::new();
    let figures = [
        ("alpha", tuning.alpha.map(Value::from)),
        ("velocity_threshold", tuning.velocity_threshold.map(Value::from)),
        ("velocity_factor", tuning.velocity_factor.map(Value::from)),
        ("max_expansion", tuning.max_expansion.map(Value::from)),
        ("history_frames", tuning.history_frames.map(Value::from)),
    ];
    keys.extend(figures.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let strategy = match mode {
        Focus::On if keys.is_empty() => return Wire::EnableAutoFocus,
        Focus::Off if keys.is_empty() => return Wire::DisableAutoFocus,
        Focus::On | Focus::Off => None,
        Focus::Simple => Some("simple"),
        Focus::Smoothing => Some("smoothing"),
        Focus::Velocity => Some("velocity"),
    };
    keys.extend(strategy.map(|name| ("strategy".to_owned(), name.into())));
    keys.insert("enabled".into(), (mode != Focus::Off).into());
    // As one change: all of it or nothing.
    Wire::UpdateConfig(Update { config: Map::from_iter([("rois".into(), json!({"auto_focus": keys}))]) })
}

fn raw(text: &str) -> Result<Map<String, Value>, Failure> {
    let text = match text {
        "-" => read(Path::new("-"))?,
        text if words::has_password(text) => {
            return Err(Failure::Usage(
                "a password does not belong on a command line, where others can read it: use `raw -`".into(),
            ));
        }
        text => text.to_owned(),
    };
    let mut request = object(&text, "raw")?;
    // What the daemon could not repeat in its answer could not be waited for.
    let id = request.entry("id").or_insert_with(|| unique("orion-config").into());
    match serde_json::from_value(id.clone()) {
        Ok(Id::Number(_)) => {}
        Ok(Id::Text(text)) if text.len() <= MAX_ID => {}
        _ => return Err(Failure::Usage(format!("raw: id: expected text of at most {MAX_ID} bytes or a whole number"))),
    }
    fits(request)
}

fn fits(request: Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    let length = Value::Object(request.clone()).to_string().len();
    match length <= MAX_LENGTH {
        true => Ok(request),
        false => Err(Failure::Usage(format!("a command of {length} bytes is too long, at most {MAX_LENGTH} are read"))),
    }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, Failure> {
    object(&read(path)?, &path.display().to_string())
}

fn object(text: &str, what: &str) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => {
            Err(Failure::Usage(format!("{what}: expected a JSON object, such as {{\"command\": \"get_status\"}}")))
        }
        Err(error) => Err(Failure::Usage(format!("{what}: not JSON: {error}"))),
    }
}

/// A whole file, `-` = standard input; no more than can be sent.
fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let most = MAX_LENGTH as u64 + 1;
    let done = match path.as_os_str() == "-" {
        true => std::io::stdin().take(most).read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text)),
    };
    match done {
        Ok(length) if length > MAX_LENGTH => {
            Err(Failure::Usage(format!("{}: more than {MAX_LENGTH} bytes are too long for a command", path.display())))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Usage(format!("{}: cannot be read: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Arguments;

    fn sent(line: &str) -> Value {
        let words = ["orion-config"].into_iter().chain(line.split(' '));
        let command = Arguments::try_parse_from(words).unwrap().command.unwrap();
        let mut request = of(&command, Some(&json!({"room_id": "x"}))).unwrap().unwrap();
        let id = request.remove("id").unwrap();
        assert!(id.as_str().is_some_and(|id| id.starts_with("orion-config-")), "{id}");
        let whole = json!({"id": id, "command": request["command"], "params": request.get("params"), "dry_run": request.get("dry_run")});
        Request::read(whole.to_string().as_bytes()).unwrap_or_else(|refusal| panic!("{line}: {}", refusal.error));
        Value::Object(request)
    }

    #[test]
    fn what_is_sent_is_what_the_daemon_reads() {
        let auto =
            |keys: Value| json!({"command": "update_config", "params": {"config": {"rois": {"auto_focus": keys}}}});
        for (line, expected) in [
            ("status", json!({"command": "get_status"})),
            ("cameras", json!({"command": "get_status"})),
            ("pause --dry-run", json!({"command": "pause_inference", "dry_run": true})),
            ("resume --if-revision 3", json!({"command": "resume_inference", "if_revision": 3})),
            ("set-model M", json!({"command": "set_model_size", "params": {"size": "m"}})),
            ("set-rate 2.5", json!({"command": "set_inference_rate", "params": {"rate_hz": 2.5}})),
            (
                "set-roi 0,0,0.5,1 0.5,0.5,0.25,0.25",
                json!({"command": "set_attention_rois", "params": {"rois": [
                    {"x": 0.0, "y": 0.0, "width": 0.5, "height": 1.0}, {"x": 0.5, "y": 0.5, "width": 0.25, "height": 0.25}]}}),
            ),
            ("clear-roi", json!({"command": "clear_attention_rois"})),
            ("auto-focus on", json!({"command": "enable_auto_focus"})),
            ("auto-focus off", json!({"command": "disable_auto_focus"})),
            ("auto-focus smoothing --alpha 0.5", auto(json!({"enabled": true, "strategy": "smoothing", "alpha": 0.5}))),
            ("auto-focus off --history-frames 9", auto(json!({"enabled": false, "history_frames": 9}))),
            ("restart-worker", json!({"command": "restart_worker", "params": {}})),
            ("restart-worker infer", json!({"command": "restart_worker", "params": {"worker": "infer"}})),
            ("update-config room_id=7", json!({"command": "update_config", "params": {"config": {"room_id": "7"}}})),
            (
                "cameras add w3 room_id=3 camera.rtsp_url=rtsp://h/s",
                json!({"command": "add_camera", "params": {"camera":
                    {"instance_id": "w3", "room_id": "3", "camera": {"rtsp_url": "rtsp://h/s"}}}}),
            ),
            ("cameras remove w3", json!({"command": "remove_camera", "params": {"instance_id": "w3"}})),
            ("shutdown", json!({"command": "shutdown"})),
            (r#"raw {"command":"get_status"}"#, json!({"command": "get_status"})),
        ] {
            assert_eq!(sent(line), expected, "{line}");
        }
    }

    #[test]
    fn a_raw_command_keeps_its_own_id_if_it_can_be_answered() {
        assert_eq!(raw(r#"{"command": "x", "id": 7}"#).unwrap()["id"], 7);
        let long = format!(r#"{{"id": "{}"}}"#, "x".repeat(129));
        for (wrong, expected) in [
            ("[]", "expected a JSON object"),
            ("{", "not JSON"),
            (r#"{"id": 1.5}"#, "id: expected"),
            (r#"{"id": null}"#, "id: expected"),
            (&long, "id: expected"),
            (r#"{"u": "rtsp://a:secret@h"}"#, "use `raw -`"),
        ] {
            let error = raw(wrong).unwrap_err();
            assert_eq!(error.code(), 2);
            assert!(error.to_string().contains(expected) && !error.to_string().contains("secret"), "{error}");
        }
        let long = format!(r#"{{"x": "{}"}}"#, "x".repeat(MAX_LENGTH));
        assert!(raw(&long).unwrap_err().to_string().contains("too long"));
    }
}
