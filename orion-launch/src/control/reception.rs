// SPDX-License-Identifier: MPL-2.0
//! Commands to a daemon of several cameras that are for none of them.

use orion_core::{
    command::{Command, Request},
    health::{Ack, State},
};
use serde_json::{Value, json};

use super::{
    Voice, effect,
    ids::{Ids, Seen},
    now,
};
use crate::config::{Config, leaves};

/// What the daemon has to do; it answers when that is done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Errand {
    /// Watch one more camera: its entry of the list.
    Add(Value),
    /// Watch a camera no longer.
    Remove(String),
    /// Say how all of them are.
    Tell,
    /// Stop.
    Shutdown,
}

/// Hears commands, and answers them.
pub(crate) struct Reception {
    voice: Voice,
    ids: Ids,
    revision: u64,
}

impl Reception {
    pub(crate) fn new(voice: Voice) -> Self {
        Self { voice, ids: Ids::default(), revision: 0 }
    }

    /// What is to be done; none = it was answered. `to_all`: the cameras hear it as well.
    pub(crate) fn hear(&mut self, request: &Request, config: &Config, to_all: bool) -> Option<Errand> {
        // The cameras answer what is for each of them.
        let own = matches!(request.command, Command::AddCamera(_) | Command::RemoveCamera(_));
        if to_all && !own {
            return None;
        }
        match self.ids.heard(request) {
            Seen::New => {}
            Seen::Running => return None,
            Seen::Answered(ack) => {
                self.voice.ack(&Ack { timestamp: now(), ..*ack });
                return None;
            }
            Seen::Taken => {
                self.voice.ack(&Ack::error(request.command.name(), request.id.clone(), now(), super::TAKEN.to_owned()));
                return None;
            }
        }
        match self.errand(request, config) {
            Ok(_) if request.dry_run => {
                self.answer(request, Ok(json!({"dry_run": true})));
                None
            }
            Ok(errand) => Some(errand),
            Err(error) => {
                self.answer(request, Err(error));
                None
            }
        }
    }

    fn errand(&self, request: &Request, config: &Config) -> Result<Errand, String> {
        if let Some(wanted) = request.if_revision.filter(|wanted| *wanted != self.revision) {
            return Err(format!("if_revision: the revision is {}, not {wanted}", self.revision));
        }
        match &request.command {
            Command::GetStatus => Ok(Errand::Tell),
            Command::Shutdown => Ok(Errand::Shutdown),
            Command::AddCamera(new) => {
                let entry = Value::Object(new.camera.clone());
                let keys = leaves(&entry).into_iter().map(|(key, _)| key);
                let local: Vec<_> = keys.filter(|key| effect::is_local(key, false)).collect();
                // The password of the top level is not for whatever camera a message names.
                let login = !config.camera.password_file.is_empty();
                match local.as_slice() {
                    [] if login => {
                        Err("camera.password_file stands for all cameras: give each its own in the file".into())
                    }
                    [] => config.with_camera(&entry).map(|_| Errand::Add(entry)).map_err(|error| error.to_string()),
                    _ => Err(format!(
                        "{}: can only be set in the configuration's file, not by a message",
                        local.join(", ")
                    )),
                }
            }
            Command::RemoveCamera(old) if config.without_camera(&old.instance_id).is_none() => {
                let known: Vec<_> = config.sensors().into_iter().map(|config| config.instance_id).collect();
                let (id, known) = (&old.instance_id, known.join(", "));
                Err(format!("params.instance_id: there is no camera {id:?}, known are {known}"))
            }
            Command::RemoveCamera(_) if config.sensors().len() == 1 => {
                Err("params.instance_id: is the last camera; publish shutdown instead".to_owned())
            }
            Command::RemoveCamera(old) => Ok(Errand::Remove(old.instance_id.clone())),
            other => {
                Err(format!("{} is for a camera: publish it to the control topic of one, or of all", other.name()))
            }
        }
    }

    /// Answers a command.
    pub(crate) fn answer(&mut self, request: &Request, outcome: Result<Value, String>) {
        let (name, id) = (request.command.name(), request.id.clone());
        let ack = match outcome {
            Ok(data) => Ack { data: Some(data), ..Ack::success(name, id, now()) },
            Err(error) => {
                tracing::info!("{name} is refused: {error}");
                Ack::error(name, id, now(), error)
            }
        };
        let ack = Ack { revision: Some(self.revision), ..ack };
        self.ids.answered(&ack);
        self.voice.ack(&ack);
    }

    /// The list of cameras is another one.
    pub(crate) fn changed(&mut self, config: &Config) {
        self.revision += 1;
        self.voice.state(&State {
            instance_id: config.instance_id.clone(),
            revision: self.revision,
            timestamp: now(),
            paused: false,
            inference_rate_hz: None,
            config: config.masked_json(),
        });
    }
}
