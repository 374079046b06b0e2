// SPDX-License-Identifier: MPL-2.0
//! What Home Assistant is told over one connection: everything again when it has started, and that cameras are gone which this
//! daemon had in an earlier life.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use rumqttc::{AsyncClient, QoS, SubscribeFilter};
use tokio::time::Instant;

use super::voice::Shared;
use crate::home_assistant::Hub;

/// Within this time after its start Home Assistant is told everything again, at a moment of chance: others do so as well.
const SPREAD: Duration = Duration::from_secs(2);
/// How long is listened for devices that were announced before, ours among them.
const SWEEP: Duration = Duration::from_secs(10);

/// What is still to be done over a connection.
pub(super) struct Greeting<'a> {
    shared: &'a Shared,
    hub: Option<&'a Hub>,
    /// When everything is said again.
    again: Option<Instant>,
    /// Until when is listened for devices.
    sweep: Option<Instant>,
}

impl<'a> Greeting<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, hub: shared.hub.as_ref(), again: None, sweep: None }
    }

    /// The connection is there.
    pub(super) fn begin(&mut self, client: &AsyncClient) {
        let Some(hub) = self.hub else { return };
        let topics = [hub.birth(), hub.everyone()].map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce));
        match client.try_subscribe_many(topics) {
            Ok(()) => self.sweep = Some(Instant::now() + SWEEP),
            Err(error) => tracing::warn!("{} cannot be subscribed to: {error}", hub.birth()),
        }
    }

    /// Hears a message; whether it was for us.
    pub(super) fn hears(&mut self, topic: &[u8], payload: &[u8], retained: bool) -> bool {
        let topic = String::from_utf8_lossy(topic);
        let Some(hub) = self.hub.filter(|hub| hub.is_for(&topic)) else { return false };
        if hub.is_birth(&topic, payload, retained) {
            let chance = RandomState::new().build_hasher().finish() % 1000;
            self.again.get_or_insert(Instant::now() + SPREAD.mul_f64(chance as f64 / 1000.0));
        } else if retained
            && self.shared.outbox().kept(&topic).is_none()
            && let Some(camera) = hub.camera(&topic, payload)
        {
            tracing::info!("{camera} is no camera of this daemon any more: {topic} is emptied");
            self.shared.outbox().forget(topic.into_owned());
        }
        true
    }

    /// Until there is something to do.
    pub(super) async fn due(&self) {
        match self.again.into_iter().chain(self.sweep).min() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Does what is due.
    pub(super) fn go_on(&mut self, client: &AsyncClient) {
        let (Some(hub), now) = (self.hub, Instant::now()) else { return };
        if self.again.take_if(|at| *at <= now).is_some() {
            tracing::debug!("Home Assistant has started: it is told everything again");
            self.shared.outbox().again(|topic| hub.is_for(topic));
        }
        if self.sweep.take_if(|at| *at <= now).is_some()
            && let Err(error) = client.try_unsubscribe(hub.everyone())
        {
            tracing::debug!("the subscription to {} cannot be ended: {error}", hub.everyone());
        }
    }
}
