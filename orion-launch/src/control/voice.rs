// SPDX-License-Identifier: MPL-2.0
//! What is said to the broker, without waiting for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orion_core::health::{Ack, Event, Happened, State};
use serde::Serialize;
use tokio::sync::Notify;

use super::{now, outbox::Outbox};

/// Topics of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    prefix: String,
    pub(super) instance_id: String,
}

impl Topics {
    pub(crate) fn new(prefix: &str, instance_id: &str) -> Self {
        Self { prefix: prefix.to_owned(), instance_id: instance_id.to_owned() }
    }

    /// The topic of an instance for this purpose.
    pub(super) fn of(&self, what: &str, instance_id: &str) -> String {
        format!("{}/{what}/{instance_id}", self.prefix)
    }
}

/// Where answers, events and the state are handed in; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(super) topics: Topics,
    pub(super) shared: Arc<Shared>,
}

/// What it shares with the connection.
#[derive(Debug, Default)]
pub(super) struct Shared {
    outbox: Mutex<Outbox>,
    /// There is something to say.
    pub(super) news: Notify,
    /// The connection is to end.
    pub(super) closing: Notify,
}

impl Shared {
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Plain lists: a panic elsewhere leaves them usable.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Voice {
    pub(super) fn new(topics: Topics) -> Self {
        Self { topics, shared: Arc::default() }
    }

    /// Answers a command.
    pub(crate) fn ack(&self, ack: &Ack) {
        self.say(ack);
    }

    /// Tells what happened.
    pub(crate) fn event(&self, event: Event) {
        self.say(&Happened { event, timestamp: now() });
    }

    /// Tells what is in force.
    pub(crate) fn state(&self, state: &State) {
        let topic = self.topics.of("state", &self.topics.instance_id);
        if let Some(payload) = json(state) {
            self.shared.outbox().keep(topic, payload);
            self.shared.news.notify_one();
        }
    }

    fn say(&self, what: &impl Serialize) {
        let topic = self.topics.of("health", &self.topics.instance_id);
        if let Some(payload) = json(what) {
            self.shared.outbox().say(topic, payload);
            self.shared.news.notify_one();
        }
    }
}

fn json(what: &impl Serialize) -> Option<Vec<u8>> {
    match serde_json::to_vec(what) {
        Ok(payload) => Some(payload),
        Err(error) => {
            tracing::error!("a message cannot be written: {error}");
            None
        }
    }
}
