// SPDX-License-Identifier: MPL-2.0
//! Commands as they come over MQTT: what can be asked for, and what is wrong with a text that asks for nothing of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{geometry::NormRect, health::Ack};

/// The longest text that is read as a command, bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// The longest `id`, bytes.
pub const MAX_ID: usize = 128;

/// The longest error of a refusal, characters; of a longer one the end is left out. It may repeat what was sent.
pub const MAX_ERROR: usize = 1000;

/// Rates that can be asked for, Hz.
pub const RATE_HZ: std::ops::RangeInclusive<f64> = 0.1..=30.0;

/// What the sender calls a command; the acknowledgement repeats it. A command whose id was heard before is not carried out again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    /// Any text of at most 128 bytes.
    Text(#[schemars(length(max = 128))] String),
    /// A number.
    Number(i64),
}

/// The size of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "nano, small, medium, large, extra large: the letters are the names")]
pub enum Size {
    /// The model that comes with Orion.
    Orion,
    N,
    S,
    M,
    L,
    X,
}

/// How suggestions of the worker become a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FocusStrategy {
    /// The last suggestion as it is.
    Simple,
    /// Their moving average.
    Smoothing,
    /// The last suggestion, grown with the target's speed.
    Velocity,
}

/// Parameters of `set_inference_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Frames a second that are looked at, at most.
    #[schemars(range(min = 0.1, max = 30.0))]
    pub rate_hz: f64,
}

/// Parameters of `set_model_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Of the model that looks from then on.
    pub size: Size,
}

/// Parameters of `set_attention_rois`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rois {
    /// Regions to look at, fractions of the frame; none = the whole frame.
    pub rois: Vec<NormRect>,
}

/// Parameters of `set_auto_focus_strategy`; what is left out stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Focus {
    /// Which one.
    pub strategy: FocusStrategy,
    /// Weight of the newest suggestion (smoothing), 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Speed from which on a target is fast (velocity), fractions of the frame per frame, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub velocity_threshold: Option<f64>,
    /// By how many frames' ways the region of a fast target grows on each side (velocity), 0..100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub velocity_factor: Option<f64>,
    /// The most that it grows on each side (velocity), fractions of the frame, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_expansion: Option<f64>,
    /// For how many frames a suggestion is remembered, 1..10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_frames: Option<u32>,
}

/// Parameters of `update_config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Keys of the configuration that change, as in its file; null = back to the default.
    pub config: Map<String, Value>,
}

/// Parameters of `restart_worker`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerName {
    /// Which one, as `get_status` names it; none = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// Parameters of `add_camera`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCamera {
    /// What an entry of the list `cameras` in the configuration holds; its `instance_id` at least.
    pub camera: Map<String, Value>,
}

/// Parameters of `remove_camera`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OldCamera {
    /// Which one.
    pub instance_id: String,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "command", content = "params", rename_all = "snake_case")]
pub enum Command {
    /// Tells health, state of stream, broker and workers, ledger, the configuration that is wanted, and in `pending` what of it is still under
    /// way; at once.
    GetStatus,
    /// Looks at no more frames, from the next one on; refused with `already paused`.
    PauseInference,
    /// Looks at frames again, from the next one on; refused with `not paused`.
    ResumeInference,
    /// Changes the rate, from the next frame on; the answer says what rate is to be expected, and whether the camera gives less.
    SetInferenceRate(Rate),
    /// Takes another model, without losing a frame: in force with its first result, until which the old one works.
    SetModelSize(Model),
    /// Looks at these regions, from the next frame on.
    SetAttentionRois(Rois),
    /// Looks at the whole frame, from the next one on.
    ClearAttentionRois,
    /// Tells the regions.
    GetAttentionRois,
    /// Changes how the worker's suggestions are followed, from the next frame on.
    SetAutoFocusStrategy(Focus),
    /// Tells the strategy and its parameters.
    GetAutoFocusStrategy,
    /// Follows what the worker suggests, from the next frame on.
    EnableAutoFocus,
    /// Does not follow it any more, from the next frame on.
    DisableAutoFocus,
    /// Forgets what the worker has suggested, from the next frame on.
    ClearAutoFocusHistory,
    /// Tells how often suggestions came, were missing or came too late.
    GetAutoFocusStats,
    /// Changes any keys of the configuration, all or none of them; in force when all of them are.
    UpdateConfig(Update),
    /// Starts new worker processes, without losing a frame: in force with the first result of a new one.
    RestartWorker(WorkerName),
    /// Finishes the frames in hand, publishes them, and ends the daemon.
    Shutdown,
    /// Adds a camera to a daemon with a list of them; in force when it is being connected.
    AddCamera(NewCamera),
    /// Removes a camera; in force when its frames in hand are published and its workers have ended.
    RemoveCamera(OldCamera),
}

impl Command {
    /// The names of all commands.
    pub const NAMES: [&str; 19] = [
        "get_status",
        "pause_inference",
        "resume_inference",
        "set_inference_rate",
        "set_model_size",
        "set_attention_rois",
        "clear_attention_rois",
        "get_attention_rois",
        "set_auto_focus_strategy",
        "get_auto_focus_strategy",
        "enable_auto_focus",
        "disable_auto_focus",
        "clear_auto_focus_history",
        "get_auto_focus_stats",
        "update_config",
        "restart_worker",
        "shutdown",
        "add_camera",
        "remove_camera",
    ];

    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        let place = match self {
            Self::GetStatus => 0,
            Self::PauseInference => 1,
            Self::ResumeInference => 2,
            Self::SetInferenceRate(_) => 3,
            Self::SetModelSize(_) => 4,
            Self::SetAttentionRois(_) => 5,
            Self::ClearAttentionRois => 6,
            Self::GetAttentionRois => 7,
            Self::SetAutoFocusStrategy(_) => 8,
            Self::GetAutoFocusStrategy => 9,
            Self::EnableAutoFocus => 10,
            Self::DisableAutoFocus => 11,
            Self::ClearAutoFocusHistory => 12,
            Self::GetAutoFocusStats => 13,
            Self::UpdateConfig(_) => 14,
            Self::RestartWorker(_) => 15,
            Self::Shutdown => 16,
            Self::AddCamera(_) => 17,
            Self::RemoveCamera(_) => 18,
        };
        Self::NAMES[place]
    }

    fn read(name: &str, params: Value) -> Result<Self, String> {
        Ok(match name {
            "get_status" => none(params, Self::GetStatus)?,
            "pause_inference" => none(params, Self::PauseInference)?,
            "resume_inference" => none(params, Self::ResumeInference)?,
            "set_inference_rate" => {
                let rate: Rate = typed(params)?;
                if !RATE_HZ.contains(&rate.rate_hz) {
                    let (least, most) = (RATE_HZ.start(), RATE_HZ.end());
                    return Err(format!("params.rate_hz: expected {least}..{most} Hz, got {}", rate.rate_hz));
                }
                Self::SetInferenceRate(rate)
            }
            "set_model_size" => Self::SetModelSize(typed(params)?),
            "set_attention_rois" => {
                known_sides(&params)?;
                Self::SetAttentionRois(typed(params)?)
            }
            "clear_attention_rois" => none(params, Self::ClearAttentionRois)?,
            "get_attention_rois" => none(params, Self::GetAttentionRois)?,
            "set_auto_focus_strategy" => Self::SetAutoFocusStrategy(typed(params)?),
            "get_auto_focus_strategy" => none(params, Self::GetAutoFocusStrategy)?,
            "enable_auto_focus" => none(params, Self::EnableAutoFocus)?,
            "disable_auto_focus" => none(params, Self::DisableAutoFocus)?,
            "clear_auto_focus_history" => none(params, Self::ClearAutoFocusHistory)?,
            "get_auto_focus_stats" => none(params, Self::GetAutoFocusStats)?,
            "update_config" => Self::UpdateConfig(typed(params)?),
            "restart_worker" => Self::RestartWorker(typed(params)?),
            "shutdown" => none(params, Self::Shutdown)?,
            "add_camera" => Self::AddCamera(typed(params)?),
            "remove_camera" => Self::RemoveCamera(typed(params)?),
            _ => return Err(format!("command: {name:?} is unknown; known are {}", Self::NAMES.join(", "))),
        })
    }
}

/// A command with what it carries along.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Request {
    /// What is asked for.
    #[serde(flatten)]
    pub command: Command,
    /// Repeated by the acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Only carried out if this is the revision of the state in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<u64>,
    /// Only checked, not carried out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// A text that asks for nothing that can be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What it seems to ask for; empty if even that cannot be told.
    pub command: String,
    /// What it calls itself.
    pub id: Option<Id>,
    /// Names the field and what was expected.
    pub error: String,
}

impl Refusal {
    /// What is answered.
    pub fn ack(&self, timestamp: String) -> Ack {
        Ack::error(&self.command, self.id.clone(), timestamp, self.error.clone())
    }
}

impl Request {
    /// Reads the payload of a message.
    ///
    /// # Errors
    /// [`Refusal`], with as much of name and id as can be read.
    pub fn read(payload: &[u8]) -> Result<Self, Box<Refusal>> {
        let refused = |command: &str, id: Option<Id>, error: String| {
            Box::new(Refusal { command: excerpt(command), id, error: short(error) })
        };
        if payload.len() > MAX_LENGTH {
            let error = format!("{} bytes are too long for a command, at most {MAX_LENGTH} are read", payload.len());
            return Err(refused("", None, error));
        }
        let value: Value =
            serde_json::from_slice(payload).map_err(|error| refused("", None, format!("not JSON: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(refused("", None, "expected an object such as {\"command\": \"get_status\"}".to_owned()));
        };
        let id = match fields.remove("id").filter(|id| !id.is_null()).map(identified).transpose() {
            Ok(id) => id,
            Err(error) => {
                let name = fields.get("command").and_then(Value::as_str).unwrap_or_default();
                return Err(refused(name, None, error));
            }
        };
        let name = match fields.remove("command") {
            Some(Value::String(name)) => name,
            Some(other) => return Err(refused("", id, format!("command: expected text, got {other}"))),
            None => return Err(refused("", id, "command: is missing".to_owned())),
        };
        Self::rest(&name, id.clone(), fields).map_err(|error| refused(&name, id, error))
    }

    fn rest(name: &str, id: Option<Id>, mut fields: Map<String, Value>) -> Result<Self, String> {
        let params = fields.remove("params").filter(|params| !params.is_null());
        let if_revision = match fields.remove("if_revision").filter(|revision| !revision.is_null()) {
            Some(revision) => {
                let number = revision.as_u64();
                Some(number.ok_or_else(|| format!("if_revision: expected a whole number, got {revision}"))?)
            }
            None => None,
        };
        let dry_run = match fields.remove("dry_run").filter(|dry| !dry.is_null()) {
            Some(dry) => dry.as_bool().ok_or_else(|| format!("dry_run: expected true or false, got {dry}"))?,
            None => false,
        };
        // A mistyped dry_run would be carried out.
        if let Some(unknown) = fields.keys().next() {
            return Err(format!("{unknown:?} is unknown; known are command, params, id, if_revision, dry_run"));
        }
        let params = params.unwrap_or_else(|| Value::Object(Map::new()));
        if !params.is_object() {
            return Err(format!("params: expected an object, got {params}"));
        }
        Ok(Self { command: Command::read(name, params)?, id, if_revision, dry_run })
    }
}

fn identified(id: Value) -> Result<Id, String> {
    let expected = || format!("id: expected text of at most {MAX_ID} bytes or a whole number");
    match serde_json::from_value(id).map_err(|_| expected())? {
        Id::Text(text) if text.len() > MAX_ID => Err(expected()),
        id => Ok(id),
    }
}

/// Refuses a mistyped side of a region, which would be passed over elsewhere on the wire.
fn known_sides(params: &Value) -> Result<(), String> {
    let rois = params["rois"].as_array().into_iter().flatten().enumerate();
    let keys = rois
        .flat_map(|(at, roi)| roi.as_object().into_iter().flat_map(move |roi| roi.keys().map(move |key| (at, key))));
    match keys.into_iter().find(|(_, key)| !["x", "y", "width", "height"].contains(&key.as_str())) {
        Some((at, key)) => Err(format!("params.rois[{at}].{key}: unknown field, known are x, y, width, height")),
        None => Ok(()),
    }
}

/// A command without parameters.
fn none(params: Value, command: Command) -> Result<Command, String> {
    match params.as_object().and_then(|params| params.keys().next()) {
        Some(unknown) => Err(format!("params.{unknown}: {} takes no parameters", command.name())),
        None => Ok(command),
    }
}

fn typed<T: DeserializeOwned>(params: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(params).map_err(|error| {
        let (path, text) = (error.path().to_string(), error.inner().to_string());
        let text = text.replace("`", "\"").replace("expected f64", "expected a number").replace("a string", "text");
        // The path ends where the object does that lacks or has too much of something.
        if path == "." { format!("params: {text}") } else { format!("params.{path}: {text}") }
    })
}

/// What is refused may be as long as a command, and longer still with its escapes: the answer is not.
fn short(mut error: String) -> String {
    if let Some((end, _)) = error.char_indices().nth(MAX_ERROR) {
        error.truncate(end);
        error.push_str("...");
    }
    error
}

/// Enough of a name to find the mistake.
fn excerpt(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Request, Box<Refusal>> {
        Request::read(value.to_string().as_bytes())
    }

    #[test]
    fn every_command_is_read_as_it_is_written() {
        let commands = [
            Command::GetStatus,
            Command::PauseInference,
            Command::ResumeInference,
            Command::SetInferenceRate(Rate { rate_hz: 0.1 }),
            Command::SetModelSize(Model { size: Size::M }),
            Command::SetAttentionRois(Rois { rois: vec![NormRect::FULL] }),
            Command::ClearAttentionRois,
            Command::GetAttentionRois,
            Command::SetAutoFocusStrategy(Focus {
                strategy: FocusStrategy::Velocity,
                alpha: None,
                velocity_threshold: Some(0.1),
                velocity_factor: None,
                max_expansion: None,
                history_frames: Some(9),
            }),
            Command::GetAutoFocusStrategy,
            Command::EnableAutoFocus,
            Command::DisableAutoFocus,
            Command::ClearAutoFocusHistory,
            Command::GetAutoFocusStats,
            Command::UpdateConfig(Update { config: Map::from_iter([("room_id".to_owned(), "x".into())]) }),
            Command::RestartWorker(WorkerName { worker: Some("infer".into()) }),
            Command::Shutdown,
            Command::AddCamera(NewCamera { camera: Map::from_iter([("instance_id".to_owned(), "b".into())]) }),
            Command::RemoveCamera(OldCamera { instance_id: "b".into() }),
        ];
        assert_eq!(commands.each_ref().map(Command::name), Command::NAMES);
        for command in commands {
            let id = Some(Id::Text("a".into()));
            let request = Request { command, id, if_revision: Some(3), dry_run: true };
            let value = serde_json::to_value(&request).unwrap();
            assert_eq!(value["command"], request.command.name());
            assert_eq!(read(&value), Ok(request));
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let request = read(&json!({"command": "restart_worker", "params": null, "id": 7})).unwrap();
        assert_eq!(request.command, Command::RestartWorker(WorkerName::default()));
        assert_eq!((request.id, request.if_revision, request.dry_run), (Some(Id::Number(7)), None, false));
        assert!(read(&json!({"command": "get_status", "params": {}})).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (value, error) in [
            (json!([]), "expected an object"),
            (json!({}), "command: is missing"),
            (json!({"command": 1}), "command: expected text, got 1"),
            (json!({"command": "stop"}), "command: \"stop\" is unknown; known are get_status, pause"),
            (json!({"command": "set_inference_rate"}), "params: missing field \"rate_hz\""),
            (json!({"command": "set_inference_rate", "params": []}), "params: expected an object, got []"),
            (json!({"command": "set_inference_rate", "params": {"rate_hz": "5"}}), "params.rate_hz: invalid type"),
            (
                json!({"command": "set_inference_rate", "params": {"rate_hz": 0.09}}),
                "params.rate_hz: expected 0.1..30 Hz",
            ),
            (json!({"command": "set_inference_rate", "params": {"rate_hz": 31}}), "got 31"),
            (
                json!({"command": "set_inference_rate", "params": {"hz": 3}}),
                "params.hz: unknown field \"hz\", expected \"rate_hz\"",
            ),
            (json!({"command": "set_model_size", "params": {"size": "z"}}), "params.size: unknown variant \"z\""),
            (json!({"command": "set_attention_rois", "params": {"rois": [{"x": 0}]}}), "params.rois[0]: missing field"),
            (
                json!({"command": "set_attention_rois", "params": {"rois": [{"x": 0.5, "y": 0, "width": 0.6, "height": 1}]}}),
                "params.rois[0]: x + width must be at most 1",
            ),
            (
                json!({"command": "set_attention_rois",
                    "params": {"rois": [{"x": 0.5, "y": 0, "width": 0.5, "height": 1, "heigth": 1}]}}),
                "params.rois[0].heigth: unknown field",
            ),
            (
                json!({"command": "set_auto_focus_strategy", "params": {"strategy": "fast"}}),
                "params.strategy: unknown variant",
            ),
            (
                json!({"command": "pause_inference", "params": {"now": true}}),
                "params.now: pause_inference takes no parameters",
            ),
            (json!({"command": "update_config", "params": {"config": 1}}), "params.config: invalid type"),
            (json!({"command": "shutdown", "dryrun": true}), "\"dryrun\" is unknown; known are command, params, id"),
            (json!({"command": "shutdown", "dry_run": 1}), "dry_run: expected true or false, got 1"),
            (json!({"command": "shutdown", "if_revision": -1}), "if_revision: expected a whole number, got -1"),
            (json!({"command": "shutdown", "id": {}}), "id: expected text of at most 128 bytes"),
            (json!({"command": "shutdown", "id": "x".repeat(129)}), "id: expected text"),
        ] {
            let refusal = read(&value).unwrap_err();
            assert!(refusal.error.contains(error), "{value}: {}", refusal.error);
            let name = value["command"].as_str().unwrap_or_default();
            assert_eq!(refusal.command, name);
        }
        assert!(Request::read(b"{").unwrap_err().error.starts_with("not JSON: EOF"));
        assert!(Request::read(&[b' '; MAX_LENGTH + 1]).unwrap_err().error.contains("too long"));
        let refusal = read(&json!({"command": "x".repeat(100), "id": 5})).unwrap_err();
        assert_eq!((refusal.command.len(), refusal.id), (64, Some(Id::Number(5))));
        for long in [json!({"command": "\u{1}".repeat(9000)}), json!({"command": ["\u{10ffff}".repeat(9000)]})] {
            let refusal = read(&long).unwrap_err();
            assert_eq!(refusal.error.chars().count(), MAX_ERROR + 3, "{refusal:?}");
            assert!(refusal.error.starts_with("command: ") && refusal.error.ends_with("..."));
        }
    }
}
