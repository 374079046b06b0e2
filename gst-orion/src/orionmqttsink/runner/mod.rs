// SPDX-License-Identifier: MPL-2.0
//! What the client's thread does: connect, send, wait, and connect again.
//!
//! By default every connection begins with a fresh session and a fresh event loop; what the broker has not acknowledged is kept in
//! the [`Outbox`](super::outbox::Outbox) and sent again. So order is kept, nothing depends on what the last connection left behind,
//! and after a loss a message may arrive twice, at QoS 2 too. A session that outlives its connections is gone on with instead, as
//! long as the broker knows it and has the same limits; then QoS 2 means exactly once.

mod connection;
mod lap;
mod way;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time;

use self::{lap::Lap, way::Way};
use super::{
    album::Verdict,
    client::{Notice, Options, chance},
    link::Link,
    outbox::{GivenUp, Loss},
    payload::Now,
    retry::{Backoff, Gate},
    session::{Limits, Protocol, Will},
};

/// Messages on the wire at most. Few, since they are what is repeated after a loss, and since mosquitto (seen: 2.0.11) acknowledges
/// and forgets QoS 2 messages beyond its `max_inflight_messages`, 20 by default.
const WINDOW: usize = 16;

/// With `online`, `stopped`, another `online` and the subscription to them, which are few but must never have to wait, and with a
/// picture.
pub(super) const IN_FLIGHT: usize = WINDOW + 5;

/// In the place of a topic: all of them have the same trouble.
const SNAPSHOTS: &str = "snapshot-topic";

/// A connection that held this long was a good one: the next loss is answered at once again.
const SETTLED: Duration = Duration::from_secs(5);

/// How a connection ended.
enum End {
    Stopped,
    Lost(String, Loss),
}

/// A session with the broker.
struct Session<P: Protocol> {
    sender: P::Sender,
    events: P::Events,
    way: Way,
}

pub(super) struct Runner<F> {
    link: Arc<Link>,
    options: Options,
    now: fn() -> Now,
    say: F,
    gate: Gate,
    backoff: Backoff,
    /// When the next attempt may begin.
    not_before: Option<Instant>,
    complained: bool,
    connections: u64,
    will: Will,
    /// The next attempt asks for less than the one that has failed.
    adapted: bool,
    /// What was said about the broker's limits.
    reduced: Vec<&'static str>,
}

impl<F: Fn(Notice)> Runner<F> {
    pub(super) fn new(link: Arc<Link>, options: Options, now: fn() -> Now, say: F) -> Self {
        let backoff = Backoff::new(options.max_reconnect_interval);
        Self {
            link,
            options,
            now,
            say,
            gate: Gate::default(),
            backoff,
            not_before: None,
            complained: false,
            connections: 0,
            will: Will { qos: 1, retain: true },
            adapted: false,
            reduced: Vec::new(),
        }
    }

    /// Until a stop is asked for.
    pub(super) async fn run<P: Protocol>(&mut self) {
        let mut kept: Option<Session<P>> = None;
        while self.pause().await {
            self.link.connecting();
            let began = Instant::now();
            let mut session = kept.take().unwrap_or_else(|| self.open());
            let End::Lost(text, loss) = self.connection(&mut session).await else {
                return;
            };
            let aftermath = self.link.lost(&text, loss, session.way.resumable());
            kept = aftermath.resume.then_some(session);
            if let Some(GivenUp { topic, bytes }) = aftermath.given_up {
                let broker = &self.options.broker;
                let text = format!(
                    "MQTT broker {broker}: closed the connection again and again on the message of {bytes} bytes for topic {topic:?}, \
                     which is given up; is it larger than the broker allows, or is that topic forbidden?"
                );
                self.refused(&topic, text);
            }
            if let Verdict::TooLarge(bytes) = self.link.judge_snapshot((self.now)()) {
                let broker = &self.options.broker;
                let text = format!(
                    "MQTT broker {broker}: the connection ended again on a snapshot; those of {bytes} bytes and more are left out for \
                     ten minutes; is that more than the broker allows, or than the network carries?"
                );
                self.refused(SNAPSHOTS, text);
            }
            self.tell_dropped();
            if !std::mem::take(&mut self.adapted) {
                self.complain(text);
            }
            if began.elapsed() >= SETTLED {
                self.backoff.reset();
            }
            self.not_before = Some(Instant::now() + self.backoff.wait(chance()));
        }
    }

    /// A fault ended [`Runner::run`]; everything begins anew.
    pub(super) fn failed(&mut self, fault: &str) {
        let broker = &self.options.broker;
        let text = format!("MQTT broker {broker}: the client has failed ({fault}); it begins anew, please report this");
        self.link.lost(&text, Loss::Other, false);
        self.tell_dropped();
        self.complain(text);
        self.not_before = Some(Instant::now() + self.backoff.wait(chance()));
    }

    fn open<P: Protocol>(&self) -> Session<P> {
        let (sender, events) = P::open(&self.options);
        // How many ids it will be is known with the broker's limits.
        let lap = if self.options.session_expiry.is_some() { Lap::of(1) } else { Lap::endless() };
        Session { sender, events, way: Way::new(lap) }
    }

    /// Waits for the next attempt; false = the client is to end.
    async fn pause(&mut self) -> bool {
        let Some(until) = self.not_before.take() else { return true };
        while Instant::now() < until {
            if self.link.ending().is_some() {
                return false;
            }
            let _ = time::timeout_at(until.into(), self.link.woken()).await;
            self.link.tidy((self.now)());
        }
        true
    }

    fn complain(&mut self, text: String) {
        if self.gate.admits(&text, Instant::now()) {
            self.complained = true;
            (self.say)(Notice::Trouble(text));
        }
    }

    /// Says that a message for `topic` was given up, each topic once a minute.
    fn refused(&mut self, topic: &str, text: String) {
        if self.gate.admits(topic, Instant::now()) {
            (self.say)(Notice::Refused(text));
        }
    }

    /// Says once what the broker does not offer.
    fn reduced(&mut self, what: &'static str) {
        if !self.reduced.contains(&what) {
            self.reduced.push(what);
            (self.say)(Notice::Refused(format!("MQTT broker {}: {what}", self.options.broker)));
        }
    }

    fn tell_dropped(&self) {
        let (fallen, ledger) = self.link.take_fallen();
        if !fallen.is_empty() {
            (self.say)(Notice::Dropped(fallen, ledger));
        }
    }

    /// The broker has accepted.
    fn connected(&mut self, limits: Limits) {
        self.will = Will { qos: limits.qos.min(1), retain: limits.retain };
        let waiting = self.link.connected();
        if std::mem::take(&mut self.complained) {
            let broker = &self.options.broker;
            let text = format!("MQTT broker {broker}: connected, {waiting} messages are waiting");
            (self.say)(Notice::Restored(text));
        }
    }
}
