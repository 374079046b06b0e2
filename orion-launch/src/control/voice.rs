// SPDX-License-Identifier: MPL-2.0
//! What is said to the broker, without waiting for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use orion_core::health::{Ack, Event, Happened, Presence, State};
use serde::Serialize;
use tokio::sync::Notify;

use super::{now, outbox::Outbox, window::Ledge};
use crate::{
    config::Config,
    home_assistant::{Hub, Offers},
};

/// Where answers, events and the state of one instance are handed in; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    instance_id: String,
    shared: Arc<Shared>,
}

/// What all voices share with the connection.
#[derive(Debug)]
pub(super) struct Shared {
    prefix: String,
    /// Where devices are announced; none = nowhere.
    pub(super) hub: Option<Hub>,
    /// Those whose commands are listened for.
    instances: Mutex<BTreeSet<String>>,
    outbox: Mutex<Outbox>,
    /// For those who listen in this process.
    pub(super) ledge: Ledge,
    /// There is something to say, or another instance.
    pub(super) news: Notify,
    /// The connection is to end.
    pub(super) closing: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain lists: a panic elsewhere leaves them usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(prefix: &str, hub: Option<Hub>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            hub,
            instances: Mutex::default(),
            outbox: Mutex::default(),
            ledge: Ledge::default(),
            news: Notify::new(),
            closing: Notify::new(),
        }
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    /// Those whose commands are listened for.
    pub(super) fn instances(&self) -> BTreeSet<String> {
        lock(&self.instances).clone()
    }

    /// The topic of an instance for this purpose.
    pub(super) fn topic(&self, what: &str, instance_id: &str) -> String {
        format!("{}/{what}/{instance_id}", self.prefix)
    }
}

impl Voice {
    /// One more instance, whose commands are listened for from now on.
    pub(super) fn new(shared: &Arc<Shared>, instance_id: &str) -> Self {
        lock(&shared.instances).insert(instance_id.to_owned());
        shared.news.notify_one();
        Self::of(shared, instance_id)
    }

    /// Of an instance that is there already, or just leaves.
    pub(super) fn of(shared: &Arc<Shared>, instance_id: &str) -> Self {
        Self { instance_id: instance_id.to_owned(), shared: Arc::clone(shared) }
    }

    /// Nobody listens for commands to this instance any more, and the broker forgets its state.
    pub(crate) fn leave(&self) {
        lock(&self.shared.instances).remove(&self.instance_id);
        // First, so that nobody reads the ends of the others.
        if let Some(hub) = &self.shared.hub {
            self.shared.outbox().forget(hub.topic(&self.instance_id));
        }
        for what in ["state", "presence"] {
            self.shared.outbox().forget(self.shared.topic(what, &self.instance_id));
        }
        self.shared.news.notify_one();
    }

    /// Answers a command.
    pub(crate) fn ack(&self, ack: &Ack) {
        self.shared.ledge.answered(ack);
        self.say(ack);
    }

    /// Tells what happened.
    pub(crate) fn event(&self, event: Event) {
        self.say(&Happened { event, timestamp: now() });
    }

    /// Tells what is in force.
    pub(crate) fn state(&self, state: &State) {
        let topic = self.shared.topic("state", &self.instance_id);
        if let Some(payload) = json(state) {
            self.shared.outbox().keep(topic, payload);
            self.shared.news.notify_one();
        }
    }

    /// Tells Home Assistant what there is to see and to set, if it is not told already.
    pub(crate) fn announce(&self, config: &Config, offers: &Offers) {
        let Some(hub) = &self.shared.hub else { return };
        let topic = hub.topic(&self.instance_id);
        if let Some(payload) = json(&hub.discovery(config, offers))
            && self.shared.outbox().kept(&topic) != Some(payload.as_slice())
        {
            self.shared.outbox().keep(topic, payload);
            self.shared.news.notify_one();
        }
    }

    /// Tells whether somebody is there; none = nothing is said of that, and the broker forgets what was.
    pub(crate) fn presence(&self, presence: Option<&Presence>) {
        let topic = self.shared.topic("presence", &self.instance_id);
        match presence.map(json) {
            Some(Some(payload)) => self.shared.outbox().keep(topic, payload),
            Some(None) => return,
            None => self.shared.outbox().forget(topic),
        }
        self.shared.news.notify_one();
    }

    fn say(&self, what: &impl Serialize) {
        let topic = self.shared.topic("health", &self.instance_id);
        if let Some(payload) = json(what) {
            self.shared.ledge.said(&self.instance_id, &payload);
            self.shared.outbox().say(topic, payload);
            self.shared.news.notify_one();
        }
    }
}

/// Longer messages are not published, bytes: a broker might end the connection because of one.
const LONGEST: usize = 256 * 1024;

fn json(what: &impl Serialize) -> Option<Vec<u8>> {
    match serde_json::to_vec(what) {
        Ok(payload) if payload.len() > LONGEST => {
            tracing::error!("a message of {} bytes is too long to be published", payload.len());
            None
        }
        Ok(payload) => Some(payload),
        Err(error) => {
            tracing::error!("a message cannot be written: {error}");
            None
        }
    }
}
