// SPDX-License-Identifier: MPL-2.0
//! A change that was begun and is not yet in force, because workers have to take it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use gst::prelude::*;
use orion_core::command::Id;
use serde_json::Value;

use super::parts;

/// How long a change may take; loading a model and looking at a first frame are the longest of it.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// How long an element may take to say why it has gone back.
const REASON: Duration = Duration::from_millis(500);
/// How long new workers' first result is waited for, at least.
const FIRST_RESULT: Duration = Duration::from_secs(5);

/// Who wants a change.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A command, by its name and what it calls itself.
    Command(&'static str, Option<Id>),
    /// The file of the configuration, read again.
    Reload,
}

impl Origin {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Command(name, _) => name,
            Self::Reload => "reload",
        }
    }
}

/// How far something has come.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    Waits,
    InForce,
    Failed(String),
}

/// A property that workers must take.
#[derive(Debug, Clone)]
pub(super) struct Taking {
    pub(super) element: gst::Element,
    /// None = no property is changed, new workers are wanted all the same.
    pub(super) property: Option<&'static str>,
    /// As GStreamer writes it.
    pub(super) value: String,
    /// Replacements of the workers so far that came to work, and those that did not.
    swaps: (u64, u64),
    /// The first result of new workers is waited for until then; none = no new workers were needed, or they are not there yet.
    grace: Option<Instant>,
    /// The first result of new workers has come.
    result: bool,
    /// New workers are needed for it.
    pub(super) swapped: bool,
    /// Since when the element has gone back to another value.
    given_up: Option<Instant>,
}

fn swaps(stats: &gst::StructureRef) -> (u64, u64) {
    (stats.get("swaps").unwrap_or_default(), stats.get("swaps-failed").unwrap_or_default())
}

fn stats(element: &gst::Element) -> gst::Structure {
    element.property("stats")
}

impl Taking {
    /// Sets a property; none = the element does not take this value.
    pub(super) fn begin(element: &gst::Element, property: &'static str, value: &Value) -> Option<Self> {
        let before = swaps(&stats(element));
        let taken = parts::set(element, property, value);
        let text = parts::written(element, property)?;
        let swapped = !["confidence", "iou-threshold", "labels"].contains(&property);
        let taking = Self {
            element: element.clone(),
            property: Some(property),
            value: text,
            swaps: before,
            grace: None,
            result: false,
            swapped,
            given_up: None,
        };
        taken.then_some(taking)
    }

    /// Asks for new workers of the same kind.
    pub(super) fn restart(element: &gst::Element) -> Self {
        let before = swaps(&stats(element));
        element.emit_by_name::<()>("restart-worker", &[]);
        Self {
            element: element.clone(),
            property: None,
            value: String::new(),
            swaps: before,
            grace: None,
            result: false,
            swapped: true,
            given_up: None,
        }
    }

    /// Whether the workers at work have it.
    fn is_taken(&self) -> bool {
        let stats = stats(&self.element);
        match self.property {
            None => swaps(&stats).0 > self.swaps.0,
            Some(property) => {
                let in_force = stats.get::<gst::Structure>("in-force").ok();
                in_force.and_then(|all| all.get::<String>(property).ok()).as_ref() == Some(&self.value)
            }
        }
    }

    /// Whether the element has gone back to another value, or has given up.
    fn is_given_up(&self) -> bool {
        match self.property {
            None => swaps(&stats(&self.element)).1 > self.swaps.1,
            Some(property) => parts::written(&self.element, property).as_ref() != Some(&self.value),
        }
    }

    /// `reason`: why the element did not do what it was asked for last. `patience`: how long the first result may take; none = no
    /// frames are looked at.
    pub(super) fn progress(&mut self, now: Instant, reason: &str, patience: Option<Duration>) -> Progress {
        if self.is_given_up() {
            // The element says why right after it has gone back.
            let since = *self.given_up.get_or_insert(now);
            return match reason {
                "" if now.saturating_duration_since(since) < REASON => Progress::Waits,
                "" => Progress::Failed("something else was asked for meanwhile".to_owned()),
                reason => Progress::Failed(reason.to_owned()),
            };
        }
        if !self.is_taken() {
            return Progress::Waits;
        }
        // Those at work had it all along, or have taken it as a setting.
        if !self.swapped || self.result || swaps(&stats(&self.element)) == self.swaps {
            return Progress::InForce;
        }
        let patience = patience.map_or(Duration::ZERO, |patience| patience.max(FIRST_RESULT));
        let until = *self.grace.get_or_insert(now + patience);
        if now >= until { Progress::InForce } else { Progress::Waits }
    }

    /// The first result of new workers of an element has come; whether it is theirs that have this.
    pub(super) fn first_result(&mut self, element: &str) -> bool {
        let theirs = self.swapped && !self.result && self.element.name() == element && self.is_taken();
        self.result |= theirs;
        theirs
    }
}

/// A change under way.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) origin: Origin,
    /// The keys that change, with their new values.
    pub(super) changes: BTreeMap<String, Value>,
    pub(super) taking: Vec<Taking>,
    pub(super) since: Instant,
    /// The first frame that the new workers got.
    pub(super) applied_at_seq: Option<u64>,
}

impl Waiting {
    /// How far it has come as a whole. `reason`: by the element's name.
    pub(super) fn progress(
        &mut self,
        now: Instant,
        reasons: &BTreeMap<String, String>,
        patience: Option<Duration>,
    ) -> Progress {
        let mut whole = Progress::InForce;
        for taking in &mut self.taking {
            let reason = reasons.get(taking.element.name().as_str()).map_or("", String::as_str);
            match taking.progress(now, reason, patience) {
                Progress::Failed(reason) => return Progress::Failed(reason),
                Progress::Waits => whole = Progress::Waits,
                Progress::InForce => {}
            }
        }
        if whole == Progress::Waits && now.saturating_duration_since(self.since) > LIMIT {
            // What a property asks for is taken back then; workers that are being started may still come to work.
            let still = self.taking.iter().any(|taking| taking.property.is_none());
            let still = if still { ", and may still come" } else { "" };
            return Progress::Failed(format!("was not in force within {} s{still}", LIMIT.as_secs()));
        }
        whole
    }
}
