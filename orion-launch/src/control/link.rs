// SPDX-License-Identifier: MPL-2.0
//! The daemon's own connection to the broker: commands come in, answers, events and the state go out.
//!
//! It never ends by itself, and whoever says something never waits for it.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use gstorion::orionmqttsink::{Endpoint, EndpointError};
use orion_core::{
    command::{Refusal, Request},
    health::Ack,
};
use rumqttc::{
    AsyncClient, ConnectionError, Event as Packet, Incoming, MqttOptions, NetworkOptions, Outgoing, PublishOptions,
    QoS, SubscribeFilter, SubscribeReasonCode,
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    greeting::Greeting,
    now,
    sent::Sent,
    voice::{Shared, Voice},
    window::Window,
};
use crate::home_assistant::Hub;

/// The instance id in the topic that all daemons listen on.
const ALL: &str = "all";
/// Commands that wait to be looked at, at most.
const QUEUE: usize = 32;
/// Messages on the wire, at most: mosquitto takes 20 by default.
const IN_FLIGHT: usize = 16;
/// The largest packet that is read, bytes. A longer one ends the connection, so there is room to refuse a command in words.
const LARGEST: usize = 16 * 1024 * 1024;
/// A connection that has held for so long was a good one.
const GOOD: Duration = Duration::from_secs(5);
/// So many connections in a row that were accepted and were not good are told.
const SHORT: u32 = 3;
/// Wait before the first new attempt; it doubles up to the limit that is configured.
const RETRY: Duration = Duration::from_millis(200);
/// Part of a wait that chance may take away, so that the daemons of a fleet do not all come back at once.
const JITTER: f64 = 0.25;

/// A connection that ends with this value.
pub(crate) struct Link {
    shared: Arc<Shared>,
    heard: mpsc::Receiver<Heard>,
    /// For those in this process who want something.
    commands: mpsc::Sender<Heard>,
    task: JoinHandle<()>,
}

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    /// Whom it is for; none = everybody.
    pub(crate) to: Option<String>,
    pub(crate) request: Request,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Connects in the background, for ever; the wait between two attempts grows up to `longest`. Topics begin with `prefix`; the
    /// instance `main` answers to what is for nobody in particular. Devices are announced at `hub`.
    ///
    /// # Errors
    /// [`EndpointError`] names what of the broker's settings cannot be used.
    pub(crate) fn start(
        endpoint: Endpoint,
        prefix: &str,
        main: &str,
        longest: Duration,
        hub: Option<Hub>,
    ) -> Result<Self, EndpointError> {
        // Of its own, so that a second daemon of the same name does not push this one out and is pushed out in turn.
        let client_id = format!("orion-launch-{:016x}", RandomState::new().build_hasher().finish());
        let (options, network) = endpoint.options(&client_id, LARGEST)?;
        let shared = Arc::new(Shared::new(prefix, hub));
        let main = Voice::new(&shared, main);
        let (commands, heard) = mpsc::channel(QUEUE);
        let others = commands.clone();
        let worker = Worker { endpoint, options, network, shared: Arc::clone(&shared), main, commands, longest };
        Ok(Self { shared, heard, commands: others, task: tokio::spawn(worker.run()) })
    }

    /// Where somebody in this process gives commands and hears what is said, broker or not.
    pub(crate) fn window(&self) -> Window {
        Window::new(&self.shared, self.commands.clone())
    }

    /// Where answers of an instance are handed in; its commands are listened for from now on.
    pub(crate) fn voice(&self, instance_id: &str) -> Voice {
        Voice::new(&self.shared, instance_id)
    }

    /// Refuses a command to an instance that has nobody to do so.
    pub(crate) fn refuse(&self, instance_id: &str, request: &Request, error: String) {
        let ack = Ack::error(request.command.name(), request.id.clone(), super::now(), error);
        Voice::of(&self.shared, instance_id).ack(&ack);
    }

    /// The next command that can be read; the others are refused already.
    pub(crate) async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            // The task ended, which only happens when this value does.
            None => std::future::pending().await,
        }
    }

    /// A command that has come already.
    pub(crate) fn try_next(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }

    /// Says what is left to say, within `limit`, and takes leave.
    pub(crate) async fn close(mut self, limit: Duration) {
        self.shared.closing.notify_one();
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            tracing::debug!("the control connection was not closed within {limit:.1?}");
        }
    }
}

/// A wait of which chance, 0..1, has taken its part.
fn shortened(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER * chance)
}

/// A number by chance, 0..1.
fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// How a connection ended.
enum End {
    Lost(ConnectionError),
    Closed,
}

/// What woke the loop.
enum Step {
    Packet(Result<Packet, ConnectionError>),
    Close,
    Go,
}

struct Worker {
    endpoint: Endpoint,
    options: MqttOptions,
    network: NetworkOptions,
    shared: Arc<Shared>,
    main: Voice,
    commands: mpsc::Sender<Heard>,
    longest: Duration,
}

impl Worker {
    async fn run(self) {
        let mut wait = RETRY;
        let mut told = None;
        let mut closing = false;
        let mut short = 0;
        loop {
            let mut connected = false;
            let begun = Instant::now();
            match self.connection(&mut connected, &mut closing).await {
                End::Closed => return,
                End::Lost(error) => {
                    let text = self.endpoint.explain(error, connected);
                    // The sink, which is connected to the same broker, tells people.
                    if told.as_ref() != Some(&text) {
                        tracing::debug!("control connection: {text}");
                    }
                    short = if connected && begun.elapsed() < GOOD { short + 1 } else { 0 };
                    if short == SHORT {
                        let topic = self.shared.topic("control", "...");
                        tracing::warn!(
                            "the control connection is lost again and again ({text}); is there a very large or retained message on {topic}?"
                        );
                    }
                    told = Some(text);
                }
            }
            if closing {
                return;
            }
            wait = if connected && begun.elapsed() >= GOOD { RETRY } else { (2 * wait).min(self.longest) };
            tokio::select! {
                () = tokio::time::sleep(shortened(wait, chance())) => {}
                () = self.shared.closing.notified() => return,
            }
        }
    }

    /// One connection, from the attempt to its end.
    async fn connection(&self, connected: &mut bool, closing: &mut bool) -> End {
        // A new client each time: nothing of the old connection is repeated behind our back.
        let (client, mut packets) = AsyncClient::builder(self.options.clone()).capacity(2 * IN_FLIGHT).build();
        packets.set_network_options(self.network.clone());
        let mut sent = Sent::default();
        let mut leaving = false;
        let mut subscribed = BTreeSet::new();
        let mut greeting = Greeting::new(&self.shared);
        let end = loop {
            let step = {
                let mut poll = pin!(packets.poll());
                loop {
                    if *connected {
                        self.subscribe(&client, &mut subscribed);
                        self.send(&client, &mut sent);
                    }
                    let done =
                        *closing && !leaving && (!*connected || (sent.is_empty() && self.shared.outbox().is_empty()));
                    let step = tokio::select! {
                        packet = &mut poll => Step::Packet(packet),
                        arrived = sent.next(), if !sent.is_empty() => {
                            // A publish that is lost is told by the connection's end.
                            if let Some(message) = sent.arrived(arrived) {
                                self.shared.outbox().arrived(&message);
                            }
                            Step::Go
                        }
                        () = self.shared.news.notified() => Step::Go,
                        () = greeting.due() => {
                            greeting.go_on(&client);
                            Step::Go
                        }
                        () = self.shared.closing.notified(), if !*closing => {
                            *closing = true;
                            Step::Go
                        }
                        () = std::future::ready(()), if done => Step::Close,
                    };
                    if !matches!(step, Step::Go) {
                        break step;
                    }
                }
            };
            match step {
                Step::Packet(Ok(Packet::Incoming(Incoming::ConnAck(_)))) => {
                    *connected = true;
                    self.begin();
                    greeting.begin(&client);
                }
                Step::Packet(Ok(Packet::Incoming(Incoming::Publish(publish)))) => {
                    if !greeting.hears(&publish.topic, &publish.payload, publish.retain) {
                        self.hear(&publish.topic, &publish.payload, publish.retain);
                    }
                    // Whoever carries commands out is on the same thread, and many may come at once.
                    tokio::task::yield_now().await;
                }
                Step::Packet(Ok(Packet::Incoming(Incoming::SubAck(ack)))) => {
                    if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                        let mut topics = self.shared.topic("control", "...");
                        if let Some(hub) = &self.shared.hub {
                            topics = format!("one of {topics}, {}, {}", hub.birth(), hub.everyone());
                        }
                        tracing::warn!("the broker does not let us subscribe to {topics}: no command can be received");
                    }
                }
                Step::Packet(Ok(Packet::Outgoing(Outgoing::Disconnect))) => break End::Closed,
                Step::Packet(Ok(_)) | Step::Go => {}
                Step::Packet(Err(_)) if *closing => break End::Closed,
                Step::Packet(Err(error)) => break End::Lost(error),
                Step::Close => {
                    leaving = true;
                    if client.try_disconnect_now().is_err() || !*connected {
                        break End::Closed;
                    }
                }
            }
        };
        drop(packets);
        sent.settle().await;
        self.shared.outbox().give_back(sent.left());
        end
    }

    fn begin(&self) {
        tracing::debug!("control connection to the broker is there");
        let mut outbox = self.shared.outbox();
        outbox.connected();
        let dropped = outbox.take_dropped();
        if dropped > 0 {
            tracing::warn!("{dropped} answers and events were given up while there was no broker");
        }
    }

    /// Listens for commands to all instances that there are now, and to no others.
    fn subscribe(&self, client: &AsyncClient, subscribed: &mut BTreeSet<String>) {
        let mut wanted = self.shared.instances();
        wanted.insert(ALL.to_owned());
        if wanted == *subscribed {
            return;
        }
        let topic = |instance: &String| self.shared.topic("control", instance);
        let new = wanted.difference(subscribed).map(|one| SubscribeFilter::new(topic(one), QoS::AtLeastOnce));
        let new: Vec<_> = new.collect();
        if !new.is_empty()
            && let Err(error) = client.try_subscribe_many(new)
        {
            tracing::warn!("subscriptions to commands cannot be changed: {error}");
        }
        for one in subscribed.difference(&wanted) {
            if let Err(error) = client.try_unsubscribe(topic(one)) {
                tracing::warn!("the subscription to {} cannot be ended: {error}", topic(one));
            }
        }
        *subscribed = wanted;
    }

    /// Hands out what may go on the wire.
    fn send(&self, client: &AsyncClient, sent: &mut Sent) {
        while sent.len() < IN_FLIGHT {
            let Some(message) = self.shared.outbox().take() else { return };
            let options = PublishOptions::new(QoS::AtLeastOnce).retain(message.retain);
            match client.try_publish_tracked(message.topic.clone(), message.payload.clone(), options) {
                Ok(notice) => {
                    sent.add(message, async move { notice.wait_completion_async().await.is_ok() });
                }
                Err(error) => {
                    tracing::debug!("{} cannot be published now: {error}", message.topic);
                    self.shared.outbox().give_back(vec![message]);
                    return;
                }
            }
        }
    }

    fn hear(&self, topic: &[u8], payload: &[u8], retained: bool) {
        let topic = String::from_utf8_lossy(topic);
        let to = self.shared.instances().into_iter().find(|instance| self.shared.topic("control", instance) == topic);
        let read = Request::read(payload).and_then(|request| {
            let refused = |error: &str| {
                let command = request.command.name().to_owned();
                Box::new(Refusal { command, id: request.id.clone(), error: error.to_owned() })
            };
            if retained {
                // It would be carried out again on each connection.
                return Err(refused("is a retained message, and an old one perhaps: publish it without retain"));
            }
            let full = refused("too many commands wait already: nothing was changed, try again later");
            self.commands.try_send(Heard { to: to.clone(), request }).map_err(|_| full)
        });
        if let Err(refusal) = read {
            tracing::info!("command {:?} on {topic} is refused: {}", refusal.command, refusal.error);
            let ack = refusal.ack(now());
            match to {
                Some(instance) => Voice::new(&self.shared, &instance).ack(&ack),
                None => self.main.ack(&ack),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_that_lose_a_broker_together_come_back_one_after_another() {
        let second = Duration::from_secs(1);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| shortened(second, chance).as_millis()), [1000, 875, 750]);
        let waits: std::collections::BTreeSet<_> = (0..100).map(|_| shortened(second, chance())).collect();
        assert!(waits.len() > 90, "{} of 100 are different", waits.len());
        assert!(waits.iter().all(|wait| (750..=1000).contains(&wait.as_millis())));
    }
}
