// SPDX-License-Identifier: MPL-2.0
//! The instances that the broker knows of, from what it keeps, and whom a command is for.

use std::collections::{BTreeMap, BTreeSet};

use orion_core::status::Status;
use serde_json::Value;

use crate::{
    failure::Failure,
    words::{self, ALL},
};

/// What is known of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) status: Option<Status>,
    /// As in `state`; read leniently, so that other versions can be spoken with.
    pub(crate) state: Option<Value>,
    /// As in `presence`.
    pub(crate) presence: Option<Value>,
}

/// All that were seen, by instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sightings(BTreeMap<String, Sighting>);

/// Who can take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taker {
    /// Whoever watches a camera.
    Camera,
    /// A daemon as a whole, of one camera or of several.
    Daemon,
}

/// Whom a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    One(String),
    /// Everybody, and who of them has to answer.
    All(BTreeSet<String>),
}

impl Target {
    /// What stands in the topic.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::One(id) => id,
            Self::All(_) => ALL,
        }
    }

    /// Who has to answer.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        match self {
            Self::One(id) => BTreeSet::from([id.clone()]),
            Self::All(ids) => ids.clone(),
        }
    }
}

impl Sightings {
    /// A message on `topic`, without the prefix; whether it is one of those that the broker keeps.
    pub(crate) fn hear(&mut self, topic: &str, payload: &[u8]) -> bool {
        let Some((kind, id)) = topic.split_once('/') else { return false };
        if words::instance(id).is_err() || id.is_empty() || !["status", "state", "presence"].contains(&kind) {
            return false;
        }
        let one = self.0.entry(id.to_owned()).or_default();
        // Nothing at all: it is forgotten.
        let value = || serde_json::from_slice(payload).ok();
        match kind {
            "status" => one.status = status(payload),
            "state" => one.state = value(),
            _ => one.presence = value(),
        }
        if *one == Sighting::default() {
            self.0.remove(id);
        }
        true
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Sighting> {
        self.0.get(id)
    }

    /// All, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Sighting)> {
        self.0.iter()
    }

    /// Its configuration in force.
    pub(crate) fn config(&self, id: &str) -> Option<&Value> {
        self.get(id)?.state.as_ref()?.get("config")
    }

    /// The cameras of a daemon of several; empty for any other instance.
    pub(crate) fn cameras(&self, id: &str) -> Vec<&str> {
        let cameras = self.config(id).and_then(|config| config["cameras"].as_array());
        cameras.into_iter().flatten().filter_map(|camera| camera["instance_id"].as_str()).collect()
    }

    /// A daemon of several cameras has no status of its own: it is there when one of them is.
    pub(crate) fn status(&self, id: &str) -> Option<Status> {
        let of = |id: &str| self.get(id).and_then(|one| one.status);
        let cameras = self.cameras(id).into_iter().filter_map(of);
        of(id).or_else(|| cameras.min_by_key(|status| *status != Status::Online))
    }

    /// Whether all that is needed to speak with it is there.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.get(id).is_some_and(|one| one.status.is_some() && one.state.is_some())
    }

    /// Those that are online and take such commands.
    pub(crate) fn online(&self, taker: Taker) -> BTreeSet<String> {
        let of_others: BTreeSet<_> = self.0.keys().flat_map(|id| self.cameras(id)).collect();
        let takes = |id: &str| match taker {
            Taker::Camera => self.cameras(id).is_empty(),
            Taker::Daemon => !of_others.contains(id),
        };
        let online = self.0.keys().filter(|id| self.status(id) == Some(Status::Online) && takes(id));
        online.cloned().collect()
    }

    /// Whom a command is for, when `id` was said.
    ///
    /// # Errors
    /// [`Failure::NoAnswer`] when it is not there, [`Failure::Usage`] when there are several.
    pub(crate) fn choose(&self, id: Option<&str>, taker: Taker, broker: &str) -> Result<Target, Failure> {
        // To all of them it is the cameras that answer, each for itself.
        let taker = if id == Some(ALL) { Taker::Camera } else { taker };
        let online = self.online(taker);
        match id {
            Some(ALL) if online.is_empty() => Err(Failure::NoAnswer(self.nobody(broker))),
            Some(ALL) => Ok(Target::All(online)),
            Some(id) => match (self.get(id), self.status(id)) {
                (None, _) => Err(Failure::NoAnswer(format!(
                    "{broker} knows of no instance {id:?}; `orion-config list` shows those that it knows of"
                ))),
                (_, Some(status @ (Status::Offline | Status::Stopped))) => {
                    Err(Failure::NoAnswer(format!("{id} is {}", status.as_str())))
                }
                _ => Ok(Target::One(id.to_owned())),
            },
            None => {
                let mut ids = online.into_iter();
                match (ids.next(), ids.next()) {
                    (None, _) => Err(Failure::NoAnswer(self.nobody(broker))),
                    (Some(id), None) => Ok(Target::One(id)),
                    (Some(first), Some(second)) => {
                        let all: Vec<_> = [first, second].into_iter().chain(ids).collect();
                        Err(Failure::Usage(format!("several are online, say --id with one of: {}", all.join(", "))))
                    }
                }
            }
        }
    }

    fn nobody(&self, broker: &str) -> String {
        let known: Vec<_> = self
            .0
            .keys()
            .filter_map(|id| self.status(id).map(|status| format!("{id} ({})", status.as_str())))
            .collect();
        match known.is_empty() {
            true => format!("no instance is online at {broker}"),
            false => format!("no instance is online at {broker}; known are {}", known.join(", ")),
        }
    }
}

fn status(payload: &[u8]) -> Option<Status> {
    [Status::Online, Status::Offline, Status::Stopped].into_iter().find(|status| status.as_str().as_bytes() == payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(messages: &[(&str, &str)]) -> Sightings {
        let mut seen = Sightings::default();
        for (topic, payload) in messages {
            seen.hear(topic, payload.as_bytes());
        }
        seen
    }

    fn two() -> Sightings {
        seen(&[("status/a", "online"), ("status/b", "online"), ("status/c", "offline"), ("status/d", "stopped")])
    }

    #[test]
    fn the_only_one_online_needs_no_name() {
        let one = seen(&[("status/a", "online"), ("status/c", "offline")]);
        assert_eq!(one.choose(None, Taker::Camera, "B"), Ok(Target::One("a".into())));
        let told = two().choose(None, Taker::Camera, "B").unwrap_err();
        assert_eq!((told.code(), told.to_string().ends_with("one of: a, b")), (2, true), "{told}");
        let nobody = seen(&[("status/c", "offline")]).choose(None, Taker::Camera, "B").unwrap_err();
        assert_eq!(
            (nobody.code(), nobody.to_string().as_str()),
            (3, "no instance is online at B; known are c (offline)")
        );
    }

    #[test]
    fn who_is_named_must_be_there() {
        assert_eq!(two().choose(Some("b"), Taker::Camera, "B"), Ok(Target::One("b".into())));
        for (id, expected) in [("c", "c is offline"), ("d", "d is stopped"), ("x", "B knows of no instance \"x\"")] {
            let told = two().choose(Some(id), Taker::Camera, "B").unwrap_err();
            assert_eq!(told.code(), 3);
            assert!(told.to_string().starts_with(expected), "{told}");
        }
        let both = two().choose(Some("all"), Taker::Camera, "B").unwrap();
        assert_eq!((both.address(), both.ids()), ("all", BTreeSet::from(["a".into(), "b".into()])));
    }

    #[test]
    fn a_daemon_of_several_cameras_is_there_when_one_of_them_is() {
        let state = r#"{"config": {"cameras": [{"instance_id": "w1"}, {"instance_id": "w2"}]}}"#;
        let mut fleet =
            seen(&[("state/ward", state), ("status/w1", "offline"), ("status/w2", "online"), ("status/z", "online")]);
        assert_eq!(fleet.status("ward"), Some(Status::Online));
        assert_eq!(fleet.online(Taker::Camera), BTreeSet::from(["w2".into(), "z".into()]));
        assert_eq!(fleet.online(Taker::Daemon), BTreeSet::from(["ward".into(), "z".into()]));
        let all = fleet.choose(Some("all"), Taker::Daemon, "B").unwrap();
        assert_eq!(all.ids(), BTreeSet::from(["w2".into(), "z".into()]), "those who answer what is for all");
        fleet.hear("status/w2", b"stopped");
        let told = fleet.choose(Some("ward"), Taker::Daemon, "B").unwrap_err().to_string();
        assert!(told.starts_with("ward is "), "{told}");
    }

    #[test]
    fn what_is_no_message_of_ours_is_passed_over() {
        let mut seen = Sightings::default();
        for topic in ["status", "status/a/b", "status/", "weather/a", "status/a b"] {
            assert!(!seen.hear(topic, b"online"), "{topic}");
        }
        seen.hear("status/a", b"\xff");
        seen.hear("state/b", b"{}");
        seen.hear("state/b", b"");
        assert_eq!(seen.iter().count(), 0);
    }
}
