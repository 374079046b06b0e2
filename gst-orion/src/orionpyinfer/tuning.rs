// SPDX-License-Identifier: MPL-2.0
//! Settings that a running worker takes as commands: the newest value of each, one after the other.

use std::{collections::VecDeque, time::Duration};

use orion_core::wire::{self, Ack, AckStatus, Command};
use serde_json::{Map, Value};

/// What a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Confidence,
    IouThreshold,
    Labels,
}

impl Setting {
    pub(super) const ALL: [Self; 3] = [Self::Confidence, Self::IouThreshold, Self::Labels];

    /// The element's property.
    pub(super) fn property(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::IouThreshold => "iou-threshold",
            Self::Labels => "labels",
        }
    }

    /// The setting that a property stands for.
    pub(super) fn of_property(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.property() == name)
    }

    fn parameter(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::IouThreshold => "iou_threshold",
            Self::Labels => "labels",
        }
    }
}

/// Settings with their values, in the order in which they were made.
pub(super) type Tuning = Vec<(Setting, Value)>;

/// Keeps the newest value of each setting.
pub(super) fn keep(tuning: &mut Tuning, setting: Setting, value: Value) {
    tuning.retain(|(other, _)| *other != setting);
    tuning.push((setting, value));
}

/// How a command ended.
type Outcome = (Setting, Value, Result<(), String>);

struct Asked {
    id: String,
    setting: Setting,
    value: Value,
    deadline: Duration,
}

/// The commands to one process; at most one a setting is under way.
pub(super) struct Conversation {
    to_ask: VecDeque<(Setting, Value)>,
    asked: VecDeque<Asked>,
    outcomes: VecDeque<Outcome>,
    count: u64,
}

impl Conversation {
    /// Begins with what was changed before the process was started.
    pub(super) fn new(tuning: Tuning) -> Self {
        Self { to_ask: tuning.into(), asked: VecDeque::new(), outcomes: VecDeque::new(), count: 0 }
    }

    /// Another value; one that was not sent yet is forgotten.
    pub(super) fn tune(&mut self, setting: Setting, value: Value) {
        self.to_ask.retain(|(other, _)| *other != setting);
        self.to_ask.push_back((setting, value));
    }

    /// The next command as a framed message; none when there is nothing to ask now.
    pub(super) fn next(&mut self, deadline: Duration) -> Option<Result<Vec<u8>, wire::WireError>> {
        let free = |setting: Setting| !self.asked.iter().any(|asked| asked.setting == setting);
        let place = self.to_ask.iter().position(|(setting, _)| free(*setting))?;
        let (setting, value) = self.to_ask.remove(place)?;
        let id = format!("tune-{}", self.count);
        self.count += 1;
        let params = Map::from_iter([(setting.parameter().to_owned(), value.clone())]);
        let command = Command { id: id.clone(), command: format!("set_{}", setting.parameter()), params };
        self.asked.push_back(Asked { id, setting, value, deadline });
        Some(wire::command_message(&command))
    }

    /// When the oldest command under way is overdue.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.asked.front().map(|asked| asked.deadline)
    }

    /// Whether this is the answer to a command under way.
    pub(super) fn acknowledged(&mut self, ack: &Ack) -> bool {
        let outcome = match ack.status {
            AckStatus::Success => Ok(()),
            AckStatus::Error => Err(ack.error.clone().unwrap_or_else(|| "refused without a reason".into())),
        };
        let place = self.asked.iter().position(|asked| asked.id == ack.id);
        place.is_some_and(|place| self.end(place, outcome))
    }

    /// Whether a message that was not understood was a command: the oldest one under way.
    pub(super) fn refused(&mut self, text: &str) -> bool {
        self.end(0, Err(text.to_owned()))
    }

    /// Whether the oldest command under way had its time.
    pub(super) fn overdue(&mut self, now: Duration) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline) && self.end(0, Err("was not acknowledged".to_owned()))
    }

    /// How a command ended, once.
    pub(super) fn take_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    fn end(&mut self, place: usize, outcome: Result<(), String>) -> bool {
        let Some(asked) = self.asked.remove(place) else { return false };
        self.outcomes.push_back((asked.setting, asked.value, outcome));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    fn ack(id: &str, status: AckStatus, error: Option<&str>) -> Ack {
        Ack { id: id.into(), command: "set_labels".into(), status, data: None, error: error.map(str::to_owned) }
    }

    #[test]
    fn each_setting_goes_with_its_newest_value_and_one_at_a_time() {
        let mut conversation = Conversation::new(vec![(Setting::Labels, "dog".into())]);
        assert!(conversation.next(LATER).unwrap().is_ok());
        conversation.tune(Setting::Labels, "cat".into());
        assert!(conversation.next(LATER).is_none(), "one is under way");
        assert!(!conversation.acknowledged(&ack("tune-9", AckStatus::Success, None)));
        assert!(conversation.acknowledged(&ack("tune-0", AckStatus::Success, None)));
        assert_eq!(conversation.take_outcome(), Some((Setting::Labels, "dog".into(), Ok(()))));
        assert!(conversation.next(LATER).is_some());
        conversation.tune(Setting::Confidence, 0.1.into());
        conversation.tune(Setting::Confidence, 0.2.into());
        let message = conversation.next(LATER).unwrap().unwrap();
        assert!(message.windows(14).any(|bytes| bytes == b"set_confidence"));
        assert!(conversation.acknowledged(&ack("tune-2", AckStatus::Error, Some("too high"))));
        assert_eq!(conversation.take_outcome(), Some((Setting::Confidence, 0.2.into(), Err("too high".into()))));
        assert!(conversation.next(LATER).is_none());
    }

    #[test]
    fn a_worker_that_knows_no_commands_is_not_waited_for_for_ever() {
        let mut conversation = Conversation::new(Vec::new());
        assert!(!conversation.refused("bad_message"), "it was about something else");
        conversation.tune(Setting::IouThreshold, 0.5.into());
        assert!(conversation.next(LATER).is_some());
        assert!(!conversation.overdue(Duration::ZERO));
        assert!(conversation.overdue(LATER));
        let (_, _, outcome) = conversation.take_outcome().unwrap();
        assert!(outcome.unwrap_err().contains("not acknowledged"));
        conversation.tune(Setting::IouThreshold, 0.6.into());
        assert!(conversation.next(LATER).is_some());
        assert!(conversation.refused("bad_message: no type `command` here"));
    }

    #[test]
    fn settings_are_properties() {
        assert_eq!(Setting::of_property("iou-threshold"), Some(Setting::IouThreshold));
        assert_eq!(Setting::of_property("model-size"), None);
        let mut tuning = Tuning::new();
        keep(&mut tuning, Setting::Labels, "a".into());
        keep(&mut tuning, Setting::Labels, "b".into());
        assert_eq!(tuning, [(Setting::Labels, "b".into())]);
    }
}
