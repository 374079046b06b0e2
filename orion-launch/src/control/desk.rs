// SPDX-License-Identifier: MPL-2.0
//! Where commands are carried out, one after the other: each is checked as a whole before anything changes, and answered when
//! it is in force. What workers need time for is waited for while other commands go on.

mod answer;
mod change;

use std::collections::BTreeMap;

use gst::prelude::*;
use orion_core::{
    command::{Command, Id, Request},
    health::{Ack, State},
};
use serde_json::{Value, json};

use super::{
    TAKEN, Voice,
    ids::{Ids, Seen},
    now,
    parts::{self, Parts},
    waiting::{Origin, Taking, Waiting},
};
use crate::{config::Config, status::Status};
use answer::focus_stats;

const STOPS: &str = "the daemon stops";

/// What only the daemon can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The camera's keys have changed.
    Camera,
    /// Stop.
    Shutdown,
}

/// The configuration in force, what is on its way, and who asked for it.
pub(crate) struct Desk {
    voice: Voice,
    parts: Parts,
    status: Status,
    /// In force.
    config: Config,
    /// As it was read last.
    read: Config,
    /// As it is being read again.
    reading: Option<Config>,
    /// In force when all that is under way will be.
    wanted: Config,
    revision: u64,
    since: String,
    paused: bool,
    ids: Ids,
    waiting: Vec<Waiting>,
    /// Why an element did not do what it was asked for last, by its name.
    reasons: BTreeMap<String, String>,
    actions: Vec<Action>,
}

impl Desk {
    /// Begins with revision 1 and says so.
    pub(crate) fn new(config: &Config, parts: Parts, status: Status, voice: Voice) -> Self {
        let read = config.clone();
        let config = if parts.is_built() { config.clone() } else { parts::adopted(config, &parts) };
        let paused = parts.is_paused();
        let desk = Self {
            voice,
            parts,
            status,
            read,
            reading: None,
            wanted: config.clone(),
            config,
            revision: 1,
            since: now(),
            paused,
            ids: Ids::default(),
            waiting: Vec::new(),
            reasons: BTreeMap::new(),
            actions: Vec::new(),
        };
        desk.tell_state();
        desk
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether frames are not looked at because of a command.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Frames a second that are looked at, at most, Hz; none = all.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.parts.rate()
    }

    /// Where events are told.
    pub(crate) fn voice(&self) -> &Voice {
        &self.voice
    }

    /// What is to be done by the daemon since the last time that this was asked.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The state has changed in a way that it did not cause: the rate was chosen, for one.
    pub(crate) fn tell_state(&self) {
        self.voice.state(&State {
            instance_id: self.config.instance_id.clone(),
            revision: self.revision,
            timestamp: self.since.clone(),
            paused: self.paused,
            inference_rate_hz: self.parts.rate(),
            config: self.config.masked_json(),
        });
        self.voice.announce(&self.config, &self.parts.offers(&self.config));
    }

    /// Carries a command out, or begins to.
    pub(crate) fn hear(&mut self, request: &Request) {
        let name = request.command.name();
        let origin = Origin::Command(name, request.id.clone());
        match self.ids.heard(request) {
            Seen::New => {}
            Seen::Running => return,
            Seen::Answered(ack) => return self.voice.ack(&Ack { timestamp: now(), ..*ack }),
            Seen::Taken => {
                return self.voice.ack(&Ack::error(name, request.id.clone(), now(), TAKEN.to_owned()));
            }
        }
        if let Err(error) = self.carry_out(request, &origin) {
            self.refuse(&origin, error);
        }
    }

    /// Refuses a command because the daemon stops.
    pub(crate) fn refuse_late(&mut self, request: &Request) {
        match self.ids.heard(request) {
            Seen::Running => {}
            Seen::Answered(ack) => self.voice.ack(&Ack { timestamp: now(), ..*ack }),
            Seen::New | Seen::Taken => {
                let origin = Origin::Command(request.command.name(), request.id.clone());
                self.refuse(&origin, STOPS.to_owned());
            }
        }
    }

    /// Refuses what is under way because the daemon stops.
    pub(crate) fn leave(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.refuse(&waiting.origin, STOPS.to_owned());
        }
    }

    fn carry_out(&mut self, request: &Request, origin: &Origin) -> Result<(), String> {
        if let Some(wanted) = request.if_revision.filter(|wanted| *wanted != self.revision) {
            return Err(format!("if_revision: the revision is {}, not {wanted}", self.revision));
        }
        let dry = request.dry_run;
        match &request.command {
            Command::GetStatus => self.told(origin, self.everything()),
            Command::GetAttentionRois => {
                self.parts.rois()?;
                self.told(origin, json!({"rois": self.config.rois.attention}));
            }
            Command::GetAutoFocusStrategy => {
                self.parts.rois()?;
                self.told(origin, json!(self.config.rois.auto_focus));
            }
            Command::GetAutoFocusStats => {
                let roi = self.parts.rois()?.first();
                let data = roi.map_or(Value::Null, |roi| focus_stats(&roi.property::<gst::Structure>("stats")));
                self.told(origin, data);
            }
            Command::PauseInference => self.pause(origin, true, dry)?,
            Command::ResumeInference => self.pause(origin, false, dry)?,
            Command::SetInferenceRate(rate) => {
                self.change(origin, &patch("models.person_detector.max_inference_rate_hz", json!(rate.rate_hz)), dry)?;
            }
            Command::SetModelSize(model) => {
                self.change(origin, &patch("models.person_detector.size", json!(model.size)), dry)?;
            }
            Command::SetAttentionRois(rois) => self.change(origin, &patch("rois.attention", json!(rois.rois)), dry)?,
            Command::ClearAttentionRois => self.change(origin, &patch("rois.attention", json!([])), dry)?,
            Command::SetAutoFocusStrategy(focus) => {
                self.change(origin, &patch("rois.auto_focus", json!(focus)), dry)?;
            }
            Command::EnableAutoFocus => self.change(origin, &patch("rois.auto_focus.enabled", json!(true)), dry)?,
            Command::DisableAutoFocus => self.change(origin, &patch("rois.auto_focus.enabled", json!(false)), dry)?,
            Command::ClearAutoFocusHistory => {
                let rois = self.parts.rois()?;
                if !dry {
                    rois.iter().for_each(|roi| roi.emit_by_name::<()>("clear-history", &[]));
                }
                self.done(origin, dry_run(dry), None);
            }
            Command::UpdateConfig(update) => self.change(origin, &Value::Object(update.config.clone()), dry)?,
            Command::RestartWorker(worker) => self.restart(origin, worker.worker.as_deref(), dry)?,
            Command::AddCamera(_) | Command::RemoveCamera(_) => {
                return Err("this daemon has no list of cameras".to_owned());
            }
            Command::Shutdown => {
                self.told(origin, if dry { dry_run(true) } else { json!({"stopping": true}) });
                if !dry {
                    tracing::info!("shutdown is asked for over MQTT");
                    self.actions.push(Action::Shutdown);
                }
            }
        }
        Ok(())
    }

    fn pause(&mut self, origin: &Origin, pause: bool, dry: bool) -> Result<(), String> {
        let rois = self.parts.rois()?;
        if self.paused == pause {
            return Err(if pause { "already paused" } else { "not paused" }.to_owned());
        }
        if dry {
            self.done(origin, dry_run(true), None);
            return Ok(());
        }
        rois.iter().for_each(|roi| roi.set_property("paused", pause));
        self.paused = pause;
        tracing::info!("inference is {}", if pause { "paused" } else { "resumed" });
        self.changed();
        self.done(origin, json!({"paused": pause}), None);
        Ok(())
    }

    fn restart(&mut self, origin: &Origin, worker: Option<&str>, dry: bool) -> Result<(), String> {
        let elements = self.parts.workers(worker)?;
        if dry {
            self.done(origin, dry_run(true), None);
            return Ok(());
        }
        self.room()?;
        let taking = elements.into_iter().map(Taking::restart).collect();
        self.wait(origin, BTreeMap::new(), taking);
        Ok(())
    }

    fn changed(&mut self) {
        self.revision += 1;
        self.since = now();
        self.tell_state();
    }

    /// Answers a question.
    fn told(&mut self, origin: &Origin, data: Value) {
        self.answered(origin, Some(data), None);
    }

    /// Answers a command that is in force from the next frame on, or from `seq`.
    fn done(&mut self, origin: &Origin, data: Value, seq: Option<u64>) {
        let dry = data["dry_run"] == true;
        let seq = if dry { None } else { self.parts.next_seq().filter(|_| seq.is_none()).or(seq) };
        self.answered(origin, Some(data), seq);
    }

    fn answered(&mut self, origin: &Origin, data: Option<Value>, applied_at_seq: Option<u64>) {
        if let Origin::Command(name, id) = origin {
            let revision = Some(self.revision);
            let ack = Ack { data, applied_at_seq, revision, ..Ack::success(name, id.clone(), now()) };
            self.say(&ack);
        }
    }

    fn refuse(&mut self, origin: &Origin, error: String) {
        match origin {
            Origin::Command(name, id) => self.refuse_command(name, id.clone(), error),
            Origin::Reload => self.rejected(vec![error]),
        }
    }

    fn refuse_command(&mut self, name: &str, id: Option<Id>, error: String) {
        tracing::info!("{name} is refused: {error}");
        let ack = Ack { revision: Some(self.revision), ..Ack::error(name, id, now(), error) };
        self.say(&ack);
    }

    fn say(&mut self, ack: &Ack) {
        self.ids.answered(ack);
        self.voice.ack(ack);
    }
}

/// `{a: {b: value}}` for the key `a.b`.
fn patch(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |value, part| json!({part: value}))
}

fn dry_run(dry: bool) -> Value {
    if dry { json!({"dry_run": true}) } else { json!({}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_a_tree() {
        assert_eq!(patch("a.b", json!(1)), json!({"a": {"b": 1}}));
        assert_eq!(patch("a", json!([])), json!({"a": []}));
    }
}
