// SPDX-License-Identifier: MPL-2.0
//! How Home Assistant reads our messages, in its template language. `None` is what it takes for unknown.

/// Whether somebody is there, of a presence.
pub(super) const PERSON: &str =
    "{{ {'present': 'ON', 'absent': 'OFF'}[value_json.state] if value_json.state != 'unknown' else None }}";

/// What else is told of it.
pub(super) const PERSON_ATTRIBUTES: &str = "{{ {'reason': value_json.reason | default(none), \
     'evidence_age_ms': value_json.evidence_age_ms, 'since': value_json.since} | tojson }}";

/// How many, of a presence.
pub(super) const COUNT: &str = "{{ value_json.count if value_json.state != 'unknown' else None }}";

/// Whether something is wrong with the camera, of a presence. Before the first look nothing is known of it.
pub(super) const CAMERA: &str = "{% set reason = value_json.reason | default('') %}\
     {{ 'ON' if reason in ['stream_lost', 'frozen', 'black'] \
     else None if reason == 'stopped' or value_json.evidence_age_ms is none else 'OFF' }}";

/// What is wrong with it.
pub(super) const CAMERA_STATE: &str = "{% set reason = value_json.reason | default('') %}\
     {{ value_json.cause | default('lost') if reason == 'stream_lost' else reason if reason in ['frozen', 'black'] \
     else None if reason == 'stopped' or value_json.evidence_age_ms is none else 'ok' }}";

/// What [`CAMERA_STATE`] may say.
pub(super) const CAMERA_STATES: [&str; 9] =
    ["ok", "frozen", "black", "lost", "stalled", "refused", "unauthorised", "not_found", "wrong_codec"];

/// The rate that was asked for, of a state.
pub(super) const RATE: &str = "{{ value_json.config.models.person_detector.max_inference_rate_hz }}";
/// The rate in force.
pub(super) const RATE_IN_FORCE: &str = "{{ value_json.inference_rate_hz }}";
/// The command that sets it.
pub(super) const SET_RATE: &str = r#"{"command": "set_inference_rate", "params": {"rate_hz": {{ value }} } }"#;

/// The size of the model, of a state.
pub(super) const MODEL: &str = "{{ value_json.config.models.person_detector.size }}";
/// The command that sets it.
pub(super) const SET_MODEL: &str = r#"{"command": "set_model_size", "params": {"size": "{{ value }}"} }"#;

/// Whether frames are looked at, of a state.
pub(super) const INFERENCE: &str = "{{ 'OFF' if value_json.paused else 'ON' }}";
/// The commands that change it.
pub(super) const RESUME: &str = r#"{"command": "resume_inference"}"#;
pub(super) const PAUSE: &str = r#"{"command": "pause_inference"}"#;

/// Whether the daemon is there, of a status: the text is ours, and knows more than two states.
pub(super) const AVAILABLE: &str = "{{ 'online' if value == 'online' else 'offline' }}";

#[cfg(test)]
mod tests {
    use orion_core::{
        camera::LossCause,
        command::{Command, Request},
    };

    use super::*;

    #[test]
    fn every_cause_is_an_option() {
        use LossCause::{Lost, NotFound, Refused, Stalled, Unauthorised, WrongCodec};
        for cause in [Lost, Stalled, Refused, Unauthorised, NotFound, WrongCodec] {
            assert!(CAMERA_STATES.contains(&cause.as_str()), "{cause:?}");
        }
    }

    #[test]
    fn commands_are_commands() {
        let command = |text: &str| Request::read(text.as_bytes()).unwrap().command;
        assert!(matches!(command(PAUSE), Command::PauseInference));
        assert!(matches!(command(RESUME), Command::ResumeInference));
        let filled = |text: &str, value: &str| command(&text.replace("{{ value }}", value));
        assert!(matches!(filled(SET_RATE, "2.5"), Command::SetInferenceRate(rate) if rate.rate_hz == 2.5));
        assert!(matches!(filled(SET_MODEL, "m"), Command::SetModelSize(_)));
    }
}
