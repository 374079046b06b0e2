// SPDX-License-Identifier: MPL-2.0
//! Changes of the configuration: checked as a whole, begun, waited for, in force or taken back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use gst::prelude::*;
use orion_core::health::Event;
use serde_json::{Value, json};

use super::{Action, Desk};
use crate::{
    config::{Config, ConfigError, SourceKind, leaves},
    control::{
        effect::{Effect, is_local},
        parts,
        waiting::{Origin, Progress, Taking, Waiting},
    },
};

/// Changes that wait for workers at the same time, at most.
const MOST_WAITING: usize = 16;

/// What a command changes, checked.
#[derive(Default)]
struct Plan {
    wanted: Option<Config>,
    changes: BTreeMap<String, Value>,
    /// Properties that workers must take.
    taking: Vec<(gst::Element, &'static str, Value)>,
}

impl Desk {
    /// Changes keys of the configuration, all or none.
    pub(super) fn change(&mut self, origin: &Origin, patch: &Value, dry: bool) -> Result<(), String> {
        // Before anything is read or opened that such a key names.
        self.refuse_local(leaves(patch).iter().map(|(key, _)| key.as_str()))?;
        let wanted = self.wanted.patched(patch).map_err(|error| told_of(origin, &error))?;
        self.adopt(origin, wanted, Some(patch), dry)
    }

    /// Refuses keys that no message may set.
    fn refuse_local<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let password = !self.config.camera.password_file.is_empty();
        let local: Vec<_> = keys.filter(|key| is_local(key, password)).collect();
        if !local.is_empty() {
            return Err(format!("{}: can only be set in the configuration's file, not by a message", local.join(", ")));
        }
        Ok(())
    }

    /// Whether a configuration that was read again could be in force without another start; changes nothing.
    ///
    /// # Errors
    /// A text that names the keys.
    pub(crate) fn check(&self, read: &Config) -> Result<(), String> {
        self.plan(self.reloaded(read)).map(drop)
    }

    /// The configuration was read again.
    pub(crate) fn reload(&mut self, read: Result<Config, ConfigError>) {
        let problems = match read {
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
            Ok(read) => {
                let wanted = self.reloaded(&read);
                self.reading = Some(read);
                match self.adopt(&Origin::Reload, wanted, None, false) {
                    Ok(()) => return,
                    Err(error) => vec![error],
                }
            }
        };
        self.rejected(problems);
    }

    /// What is wanted by a configuration that was read again.
    fn reloaded(&self, read: &Config) -> Config {
        if self.parts.is_built() {
            return read.clone();
        }
        // In a pipeline of somebody's own its text says what the file leaves out: only what has changed in the file counts.
        let new = serde_json::to_value(read).unwrap_or_default();
        let mut tree = serde_json::to_value(&self.wanted).unwrap_or_default();
        for change in self.read.changes(read) {
            let pointer = format!("/{}", change.key.replace('.', "/"));
            if let (Some(value), Some(place)) = (new.pointer(&pointer), tree.pointer_mut(&pointer)) {
                place.clone_from(value);
            }
        }
        // With the text that was read, so that another one is noticed.
        read.rebuilt(tree).unwrap_or_else(|_| read.clone())
    }

    pub(super) fn rejected(&self, problems: Vec<String>) {
        tracing::error!("the configuration stays as it was: {}", problems.join("; "));
        self.voice.event(Event::ConfigRejected { problems });
    }

    /// `patch`: the keys that are asked for, whether they change or not; none = all.
    fn adopt(&mut self, origin: &Origin, wanted: Config, patch: Option<&Value>, dry: bool) -> Result<(), String> {
        let plan = self.plan(wanted)?;
        if let Some(patch) = patch {
            // A section that goes back to its defaults names none of its keys.
            self.refuse_local(plan.changes.keys().map(String::as_str))?;
            self.check_rate(patch)?;
        }
        if dry {
            let keys: Vec<_> = plan.changes.keys().collect();
            self.done(origin, json!({"dry_run": true, "changes": keys}), None);
            return Ok(());
        }
        if !plan.taking.is_empty() {
            self.room()?;
        }
        let Plan { wanted, changes, taking: wishes, .. } = plan;
        // What is asked for and on its way already is waited for as well.
        let mut taking = patch.map_or_else(Vec::new, |patch| self.under_way(patch, &changes));
        let mut begun = Vec::new();
        for (element, property, value) in wishes {
            let before = parts::get(&element, property, &value);
            match Taking::begin(&element, property, &value) {
                Some(one) => {
                    begun.push((element, property, before));
                    taking.push(one);
                }
                None => {
                    // As it was, which may be what another command waits for.
                    begun.push((element.clone(), property, before));
                    for (element, property, before) in begun {
                        before.map(|before| parts::set(&element, property, &before));
                    }
                    return Err(format!("{property}: {} does not take {value}; its warning says why", element.name()));
                }
            }
        }
        if let Some(wanted) = wanted {
            self.wanted = wanted;
        }
        self.overtake(&changes, origin);
        self.wait(origin, changes, taking);
        Ok(())
    }

    /// What others wait for of the keys that are asked for and that do not change any more.
    fn under_way(&self, patch: &Value, changes: &BTreeMap<String, Value>) -> Vec<Taking> {
        let keys: Vec<_> =
            leaves(patch).into_iter().map(|(key, _)| key).filter(|key| !changes.contains_key(key)).collect();
        let concerned = self.waiting.iter().filter(|waiting| keys.iter().any(|key| waiting.changes.contains_key(key)));
        concerned.flat_map(|waiting| waiting.taking.iter().cloned()).collect()
    }

    /// Where nothing is held back no rate can be set.
    fn check_rate(&self, patch: &Value) -> Result<(), String> {
        let rate = leaves(patch).into_iter().map(|(key, _)| key).find(|key| Effect::of(key) == Effect::Rate);
        match rate {
            Some(key) if self.parts.is_built() && self.config.rate().is_none() => {
                Err(format!("{key}: every frame of a recording is looked at"))
            }
            Some(key) => self.parts.rois().map(drop).map_err(|error| format!("{key}: {error}")),
            None => Ok(()),
        }
    }

    /// What has to be done for another configuration; changes nothing.
    fn plan(&self, wanted: Config) -> Result<Plan, String> {
        let tree = serde_json::to_value(&wanted).unwrap_or_default();
        let mut plan = Plan::default();
        let mut fixed = Vec::new();
        for change in self.wanted.changes(&wanted) {
            let key = change.key;
            let value = tree.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default();
            let named = |error: String| format!("{key}: {error}");
            match Effect::of(&key) {
                // A worker more or less is another pipeline.
                Effect::Worker { .. } if change.from.is_null() || change.to.is_null() => fixed.push(key.clone()),
                Effect::Restart => fixed.push(key.clone()),
                Effect::Roi(_) | Effect::Room => drop(self.parts.rois().map_err(named)?),
                Effect::Rate if !self.parts.is_built() => drop(self.parts.rois().map_err(named)?),
                Effect::Resolution => drop(self.parts.size().map_err(named)?),
                Effect::Camera if !self.parts.is_built() => {
                    return Err(format!("{key}: the pipeline is not the one that the configuration builds"));
                }
                Effect::Camera if [&wanted, &self.wanted].iter().any(|config| config.source() != SourceKind::Rtsp) => {
                    fixed.push(key.clone());
                }
                Effect::Worker { name, property } => {
                    plan.taking.push((self.parts.worker(&name).map_err(named)?.clone(), property, value.clone()));
                }
                _ => {}
            }
            plan.changes.insert(key, value);
        }
        if !fixed.is_empty() {
            return Err(format!("{}: can only be changed by a restart of the daemon", fixed.join(", ")));
        }
        plan.wanted = Some(wanted);
        Ok(plan)
    }

    pub(super) fn room(&self) -> Result<(), String> {
        match self.waiting.len() < MOST_WAITING {
            true => Ok(()),
            false => {
                Err(format!("{MOST_WAITING} changes wait for workers already: nothing was changed, try again later"))
            }
        }
    }

    /// Earlier changes of the same keys that are not in force yet will never be.
    pub(super) fn overtake(&mut self, changes: &BTreeMap<String, Value>, by: &Origin) {
        let overtaken: Vec<_> = self
            .waiting
            .extract_if(.., |waiting| waiting.changes.keys().any(|key| changes.contains_key(key)))
            .collect();
        for waiting in overtaken {
            let rest = waiting.changes.into_iter().filter(|(key, _)| !changes.contains_key(key)).collect();
            self.take_back(&rest);
            self.refuse(&waiting.origin, format!("overtaken by a newer command ({})", by.name()));
        }
    }

    /// These keys are not wanted any more: back to what is in force.
    pub(super) fn take_back(&mut self, changes: &BTreeMap<String, Value>) {
        let in_force = serde_json::to_value(&self.config).unwrap_or_default();
        let mut wanted = serde_json::to_value(&self.wanted).unwrap_or_default();
        for key in changes.keys() {
            let pointer = format!("/{}", key.replace('.', "/"));
            let (Some(value), Some(place)) = (in_force.pointer(&pointer), wanted.pointer_mut(&pointer)) else {
                continue;
            };
            place.clone_from(value);
            if let Effect::Worker { name, property } = Effect::of(key)
                && let Ok(element) = self.parts.worker(&name)
                && parts::get(element, property, value).as_ref() != Some(value)
            {
                parts::set(element, property, value);
            }
        }
        if let Ok(wanted) = self.wanted.rebuilt(wanted) {
            self.wanted = wanted;
        }
    }

    pub(super) fn wait(&mut self, origin: &Origin, changes: BTreeMap<String, Value>, taking: Vec<Taking>) {
        for taking in &taking {
            self.reasons.remove(taking.element.name().as_str());
        }
        let (origin, since) = (origin.clone(), Instant::now());
        self.waiting.push(Waiting { origin, changes, taking, since, applied_at_seq: None });
        self.advance();
    }

    /// The first result of new workers has come.
    pub(crate) fn first_result(&mut self, element: &str, seq: Option<u64>) {
        for waiting in &mut self.waiting {
            for taking in &mut waiting.taking {
                if taking.first_result(element) {
                    waiting.applied_at_seq = waiting.applied_at_seq.max(seq);
                }
            }
        }
        self.advance();
    }

    /// An element did not do what it was asked for.
    pub(crate) fn refused(&mut self, element: &str, reason: &str) {
        self.reasons.insert(element.to_owned(), reason.to_owned());
        self.advance();
    }

    /// Looks how far everything has come.
    pub(crate) fn advance(&mut self) {
        let now = Instant::now();
        let patience = self.patience();
        let mut ended = Vec::new();
        let reasons = &self.reasons;
        self.waiting.retain_mut(|waiting| match waiting.progress(now, reasons, patience) {
            Progress::Waits => true,
            progress => {
                let nothing = Waiting {
                    origin: Origin::Reload,
                    changes: BTreeMap::new(),
                    taking: Vec::new(),
                    since: now,
                    applied_at_seq: None,
                };
                ended.push((std::mem::replace(waiting, nothing), progress));
                false
            }
        });
        for (waiting, progress) in ended {
            if matches!((&waiting.origin, &progress), (Origin::Reload, Progress::Failed(_))) {
                self.reading = None;
            }
            match progress {
                Progress::Failed(reason) => {
                    self.take_back(&waiting.changes);
                    self.refuse(&waiting.origin, reason);
                }
                _ => self.in_force(waiting),
            }
        }
    }

    /// How long a first result may take; none = no frames are looked at.
    pub(super) fn patience(&self) -> Option<Duration> {
        let flows = !self.paused && self.status.inlet.age().is_some_and(|age| age < Duration::from_secs(2));
        let period = self.parts.rate().map_or(0.0, |rate| 1.0 / rate);
        flows.then(|| Duration::from_secs_f64(3.0 * period))
    }

    /// Workers have taken what they had to: the rest follows at once.
    pub(super) fn in_force(&mut self, waiting: Waiting) {
        let Waiting { origin, changes, applied_at_seq, .. } = waiting;
        let mut tree = serde_json::to_value(&self.config).unwrap_or_default();
        for (key, value) in &changes {
            if let Some(place) = tree.pointer_mut(&format!("/{}", key.replace('.', "/"))) {
                place.clone_from(value);
            }
        }
        match self.config.rebuilt(tree) {
            Ok(config) => self.config = config,
            Err(error) => tracing::error!("{}: {error}", origin.name()),
        }
        let effects: Vec<_> = changes.iter().map(|(key, value)| (Effect::of(key), value)).collect();
        for (effect, value) in &effects {
            match effect {
                Effect::Roi(property) => {
                    for roi in self.parts.rois().unwrap_or_default() {
                        if !parts::set(roi, property, value) {
                            tracing::error!("{} does not take {property}={value}", roi.name());
                        }
                    }
                }
                Effect::Room => {
                    for roi in self.parts.rois().unwrap_or_default() {
                        roi.set_property("room-id", &self.config.room_id);
                    }
                }
                Effect::Resolution => self.parts.resize(self.config.stream.resolution),
                _ => {}
            }
        }
        // Asked for by name it holds even if the key is the same: the start may have chosen less.
        let rate = origin.name() == "set_inference_rate" || effects.iter().any(|(effect, _)| *effect == Effect::Rate);
        if rate {
            let built = self.parts.is_built();
            let own = self.config.models.person_detector.max_inference_rate_hz;
            self.parts.set_rate(if built { self.config.rate() } else { Some(own) });
        }
        if changes.contains_key("shutdown_timeout_s") {
            self.parts.hasten(self.config.shutdown_timeout_s);
        }
        if effects.iter().any(|(effect, _)| *effect == Effect::Camera) {
            self.actions.push(Action::Camera);
        }
        if !changes.is_empty() {
            let text = changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            tracing::info!("{}: {text} changed", origin.name());
            self.changed();
        } else if rate {
            self.tell_state();
        }
        match &origin {
            Origin::Reload => {
                if let Some(read) = self.reading.take() {
                    self.read = read;
                }
                let keys = changes.into_keys().collect();
                self.voice.event(Event::ConfigReloaded { keys, revision: self.revision });
            }
            Origin::Command(name, _) => {
                let mut data = self.answer(name, &changes);
                if rate && let Some(data) = data.as_object_mut() {
                    data.extend(self.expected_rate());
                }
                // What takes effect on the next frame has done so only now.
                let instant = |effect: &Effect| !matches!(effect, Effect::Worker { .. } | Effect::Later);
                let now = effects.iter().any(|(effect, _)| instant(effect)).then(|| self.parts.next_seq()).flatten();
                self.done(&origin, data, applied_at_seq.max(now.filter(|_| applied_at_seq.is_some())));
            }
        }
    }
}

/// Mistakes that are told of one command, at most.
const MOST_TOLD: usize = 10;

/// What is wrong, in the words of the command.
fn told_of(origin: &Origin, error: &ConfigError) -> String {
    let text = error.to_string();
    let mut lines: Vec<_> = text.lines().take(MOST_TOLD).map(str::to_owned).collect();
    let more = text.lines().count().saturating_sub(MOST_TOLD);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let section = match origin.name() {
        "update_config" => "params.config.",
        "set_auto_focus_strategy" => "params.config.rois.auto_focus.",
        "set_attention_rois" => "params.config.rois.attention",
        _ => "params.config.models.person_detector.",
    };
    let short = match origin.name() {
        "update_config" => "params.config.",
        "set_attention_rois" => "params.rois",
        _ => "params.",
    };
    lines.join("; ").replace(section, short)
}
