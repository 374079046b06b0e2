// SPDX-License-Identifier: MPL-2.0
//! What a daemon says about itself: answers to commands, and what happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{camera::LossCause, command::Id, presence, timestamp, warmup::WarmupReport};

/// Characters of an answer's error, at most.
const MAX_ERROR: usize = 2000;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AckStatus {
    /// What was asked for is in force.
    Success,
    /// Nothing has changed.
    Error,
}

/// The answer to a command, sent when what it asks for is in force or cannot be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// The command's name; empty if it could not be read.
    pub command_ack: String,
    /// How it ended.
    pub status: AckStatus,
    /// What the sender called the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// What was asked for, or what has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Why nothing has changed; names the field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// From the frame of this number on it is in force for sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at_seq: Option<u64>,
    /// Revision of the state after the command; left out where the command did not get so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// True when this answers a command that was answered before: it was not carried out again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// When it was answered: RFC 3339, UTC, nanoseconds.
    #[schemars(regex(pattern = timestamp::PATTERN))]
    pub timestamp: String,
}

impl Ack {
    /// It is in force.
    pub fn success(command: &str, id: Option<Id>, timestamp: String) -> Self {
        Self {
            command_ack: command.to_owned(),
            status: AckStatus::Success,
            id,
            data: None,
            error: None,
            applied_at_seq: None,
            revision: None,
            duplicate: false,
            timestamp,
        }
    }

    /// Nothing has changed, and why; a very long text is cut.
    pub fn error(command: &str, id: Option<Id>, timestamp: String, error: String) -> Self {
        let error = match error.char_indices().nth(MAX_ERROR) {
            Some((end, _)) => format!("{}…", &error[..end]),
            None => error,
        };
        Self { status: AckStatus::Error, error: Some(error), ..Self::success(command, id, timestamp) }
    }
}

/// Something happened that an operator may want to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// No more frames come. Said again when the cause is another one, not at each attempt to connect.
    StreamLost {
        /// The kind of trouble.
        cause: LossCause,
        /// In words.
        detail: String,
        /// Of the last connection: how many there were before it.
        epoch: u64,
    },
    /// Frames come again.
    StreamRestored {
        /// How long none had come, s.
        #[schemars(range(min = 0))]
        after_s: f64,
        /// Of this connection: how many there were before it.
        epoch: u64,
    },
    /// The camera was measured, and the rate was chosen.
    WarmedUp {
        /// What was found.
        camera: WarmupReport,
    },
    /// A worker process has ended, or hangs.
    WorkerLost {
        /// Its element.
        worker: String,
        /// Which of its processes.
        index: u32,
        /// Its process id; 0 = none.
        pid: u32,
        /// In words.
        reason: String,
    },
    /// Another worker process has taken the place of one that was lost.
    WorkerRestarted {
        /// Its element.
        worker: String,
        /// Which of its processes.
        index: u32,
        /// The new process id.
        pid: u32,
        /// Why it was needed.
        reason: String,
    },
    /// Workers took a frame and gave no answer for too long: they are replaced.
    WatchdogRestart {
        /// Their element.
        worker: String,
        /// How long nothing had come, s.
        #[schemars(range(min = 0))]
        waited_s: f64,
        /// How often that was done to this element since the daemon's start, this time included.
        #[schemars(range(min = 1))]
        restarts: u64,
    },
    /// Frames were taken for twice the watchdog's time, and for as long as new workers may take to start, and there was no result.
    WatchdogFailed {
        /// Their element.
        worker: String,
        /// What a person has to do.
        text: String,
    },
    /// Other workers have taken over, and the first result of theirs is there.
    ModelReloaded {
        /// Their element.
        worker: String,
        /// Size of their model; empty for workers without models.
        model_size: String,
        /// File of their large model; likewise.
        model_file: String,
        /// The first frame that they got.
        applied_at_seq: u64,
    },
    /// New workers did not come to work; the old ones carry on.
    ModelReloadFailed {
        /// Their element.
        worker: String,
        /// In words.
        reason: String,
    },
    /// The configuration was read again, and what it changes is in force.
    ConfigReloaded {
        /// The keys that have changed.
        keys: Vec<String>,
        /// Of the state.
        revision: u64,
    },
    /// The configuration was read again and is wrong; the one before stays in force.
    ConfigRejected {
        /// One text a mistake.
        problems: Vec<String>,
    },
    /// A camera of several cannot be watched; the others are.
    CameraFailed {
        /// In words.
        reason: String,
        /// After so many seconds it is tried again.
        #[schemars(range(min = 0))]
        retry_s: f64,
    },
    /// The daemon stops, or this camera of it.
    Stopping {
        /// Who wants it.
        reason: String,
    },
}

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Happened {
    /// What.
    #[serde(flatten)]
    pub event: Event,
    /// When: RFC 3339, UTC, nanoseconds.
    #[schemars(regex(pattern = timestamp::PATTERN))]
    pub timestamp: String,
}

/// The configuration in force; the broker keeps the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// Whose.
    #[schemars(regex(pattern = crate::contract::INSTANCE_ID))]
    pub instance_id: String,
    /// Counts the changes since the daemon's start, which is 1.
    #[schemars(range(min = 1))]
    pub revision: u64,
    /// When it came into force: RFC 3339, UTC, nanoseconds.
    #[schemars(regex(pattern = timestamp::PATTERN))]
    pub timestamp: String,
    /// Whether no frames are looked at because of `pause_inference`.
    pub paused: bool,
    /// Frames a second that are looked at, at most, Hz; null = all.
    pub inference_rate_hz: Option<f64>,
    /// As `orion-launch print-config` prints it; without passwords.
    pub config: Value,
}

/// Whether somebody is there; the broker keeps the last one. It holds only while `status` says `online`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// Whose.
    #[schemars(regex(pattern = crate::contract::INSTANCE_ID))]
    pub instance_id: String,
    /// What can be said.
    pub state: presence::State,
    /// Persons seen by the newest look; 0 unless present.
    pub count: u64,
    /// Since when it is so: RFC 3339, UTC, nanoseconds.
    #[schemars(regex(pattern = timestamp::PATTERN))]
    pub since: String,
    /// Age of the newest look, ms; null = there was none.
    pub evidence_age_ms: Option<u64>,
    /// Why it cannot be told; left out unless unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<presence::Reason>,
    /// Why no frames come; left out unless `reason` is `stream_lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<LossCause>,
    /// When it was said: RFC 3339, UTC, nanoseconds.
    #[schemars(regex(pattern = timestamp::PATTERN))]
    pub timestamp: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_only_what_there_is_to_say() {
        let ack = Ack::error("shutdown", Some(Id::Number(4)), "t".into(), "no".into());
        let json = r#"{"command_ack":"shutdown","status":"error","id":4,"error":"no","timestamp":"t"}"#;
        assert_eq!(serde_json::to_string(&ack).unwrap(), json);
        assert_eq!(serde_json::from_str::<Ack>(json).unwrap(), ack);
        let long = Ack::error("x", None, "t".into(), "é".repeat(5000)).error.unwrap();
        assert_eq!(long.chars().count(), MAX_ERROR + 1);
    }

    #[test]
    fn an_event_names_itself() {
        let event = Event::StreamLost { cause: LossCause::Stalled, detail: "x".into(), epoch: 2 };
        let said = Happened { event, timestamp: "t".into() };
        let json = serde_json::to_value(&said).unwrap();
        let expected = serde_json::json!(
            {"event": "stream_lost", "cause": "stalled", "detail": "x", "epoch": 2, "timestamp": "t"});
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Happened>(json).unwrap(), said);
    }

    #[test]
    fn a_presence_has_a_reason_only_where_it_is_unknown() {
        let presence = Presence {
            instance_id: "a".into(),
            state: presence::State::Unknown,
            count: 0,
            since: "s".into(),
            evidence_age_ms: None,
            reason: Some(presence::Reason::StreamLost),
            cause: Some(LossCause::Refused),
            timestamp: "t".into(),
        };
        let expected = serde_json::json!({"instance_id": "a", "state": "unknown", "count": 0, "since": "s",
            "evidence_age_ms": null, "reason": "stream_lost", "cause": "refused", "timestamp": "t"});
        assert_eq!(serde_json::to_value(&presence).unwrap(), expected);
        let present = Presence {
            state: presence::State::Present,
            count: 2,
            evidence_age_ms: Some(80),
            reason: None,
            cause: None,
            ..presence
        };
        let json = serde_json::to_value(&present).unwrap();
        assert_eq!((&json["state"], &json["count"], json.get("reason")), (&"present".into(), &2.into(), None));
        assert_eq!(serde_json::from_value::<Presence>(json).unwrap(), present);
    }
}
