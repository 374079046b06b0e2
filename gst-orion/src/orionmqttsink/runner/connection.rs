// SPDX-License-Identifier: MPL-2.0
//! One connection, from the first attempt to its end.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tokio::time;

use super::{
    super::{
        cause::{self, Stage},
        client::Notice,
        outbox::{GivenUp, Loss, Sending},
        session::{Event, Events, Limits, NotTaken, Protocol, Sender, failure::Failure, packet_ids, reason::Reason},
        snapshot::{JPEG, Snapshot},
    },
    End, Runner, SNAPSHOTS, Session, WINDOW,
    lap::Lap,
    way::{Answer, Answered, Way},
};
/// Time for the last words of a connection that is closed on purpose.
const GOODBYE: Duration = Duration::from_millis(200);

/// So long must a connection hold until the one message that is suspected of ending it is sent.
const CAREFUL: Duration = Duration::from_millis(500);

const QOS_REDUCED: &str =
    "does not offer the quality of service that is asked for; its highest one is used (set a lower mqtt-qos)";
const RETAIN_REDUCED: &str =
    "keeps no messages for new subscribers; they are published without retain (set retain=false)";
const STATUS_REFUSED: &str = "does not take the message on status-topic, so nobody learns whether the sink is there";

/// Why the inner loop was left.
enum Step {
    Event(Result<Event, Failure>),
    Stop,
    Unanswered,
    /// The broker does not take a message now.
    Later(Reason),
}

impl<F: Fn(Notice)> Runner<F> {
    pub(super) async fn connection<P: Protocol>(&mut self, session: &mut Session<P>) -> End {
        let Session { sender, events, way } = session;
        events.prepare(self.options.status_topic.is_some().then_some(self.will));
        let mut stage = Stage::Connecting;
        let mut connected_at = Instant::now();
        let mut progress = Instant::now();
        let silence = Duration::from_secs(2 * u64::from(self.options.keep_alive));
        loop {
            let step = {
                let mut poll = pin!(events.poll());
                loop {
                    // Messages that come while a connection is in the making may be more than one call drops.
                    self.link.tidy((self.now)());
                    // First, since it decides on what is to be said.
                    let ending = self.link.ending();
                    let mut patience = None;
                    if stage == Stage::Connected {
                        let idle = way.idle();
                        patience = self.link.careful().then(|| connected_at + CAREFUL);
                        self.send::<P>(sender, way, patience.is_none_or(|until| until <= Instant::now()));
                        self.tell_dropped();
                        if idle {
                            progress = Instant::now();
                        }
                    }
                    if ending.is_some_and(|at| at <= Instant::now()) {
                        break Step::Stop;
                    }
                    let watched = stage == Stage::Connected && !way.idle() && !silence.is_zero();
                    if watched && progress.elapsed() >= silence {
                        break Step::Unanswered;
                    }
                    let unanswered = watched.then(|| progress + silence);
                    let patience = patience.filter(|until| *until > Instant::now());
                    let deadline = [ending, unanswered, patience].into_iter().flatten().min();
                    tokio::select! {
                        event = &mut poll => break Step::Event(event),
                        Some(answer) = way.answers.join_next() => {
                            if let Ok(answer) = answer {
                                progress = Instant::now();
                                if let Some(reason) = self.answered(way, answer) {
                                    break Step::Later(reason);
                                }
                            }
                        }
                        () = self.link.woken() => {}
                        () = sleep_until(deadline) => {}
                    }
                }
            };
            let (broker, version) = (&self.options.broker, self.options.version);
            match step {
                Step::Event(Ok(Event::Connected { resumed, limits })) => {
                    if resumed && way.limits.is_some_and(|before| before != limits) {
                        // What the session repeats may be more than the broker takes now.
                        way.broken = true;
                        return End::Lost(cause::changed(broker), Loss::Other);
                    }
                    stage = Stage::Connected;
                    connected_at = Instant::now();
                    progress = connected_at;
                    if !resumed {
                        self.begin::<P>(way, limits);
                    }
                    self.connections += 1;
                    way.connection = self.connections;
                    self.connected(limits);
                }
                Step::Event(Ok(Event::Said(payload))) => self.link.overheard(&payload),
                Step::Event(Ok(Event::Gone | Event::Other)) => {}
                Step::Event(Err(failure)) => {
                    way.broken |= matches!(failure, Failure::Over);
                    let text = cause::describe(&failure, stage, broker, self.options.user.as_deref(), version);
                    self.adapt(&failure);
                    // Acknowledgements that came with the end need not be repeated.
                    self.collect(way).await;
                    return End::Lost(text, cause::loss(&failure, stage));
                }
                Step::Unanswered => {
                    let text = cause::unanswered(silence, broker);
                    events.interrupt();
                    self.collect(way).await;
                    return End::Lost(text, Loss::Other);
                }
                Step::Later(reason) => {
                    let text = cause::later(reason, broker);
                    way.broken = true;
                    self.collect(way).await;
                    return End::Lost(text, Loss::Other);
                }
                Step::Stop => {
                    // Without `stopped` it was no good end, which the will then says.
                    if stage == Stage::Connected && self.link.settled() {
                        goodbye::<P>(sender, events).await;
                    }
                    return End::Stopped;
                }
            }
        }
    }

    /// The broker knows nothing of an earlier connection.
    fn begin<P: Protocol>(&self, way: &mut Way, limits: Limits) {
        let lap = match self.options.session_expiry {
            Some(_) => Lap::of(packet_ids(&self.options).min(limits.on_wire)),
            None => Lap::endless(),
        };
        // With it go the answers to what is sent anew now.
        *way = Way { limits: Some(limits), ..Way::new(lap) };
        self.link.session_lost();
    }

    /// Asks for less where the broker has refused the last will.
    fn adapt(&mut self, failure: &Failure) {
        match failure {
            Failure::Refused(Reason::RETAIN) if self.will.retain => {
                self.will.retain = false;
                self.adapted = true;
                self.reduced(RETAIN_REDUCED);
            }
            Failure::Refused(Reason::QOS) if self.will.qos > 0 => {
                self.will.qos = 0;
                self.adapted = true;
                self.reduced(QOS_REDUCED);
            }
            _ => {}
        }
    }

    /// Says how things are, then fills the window if messages may go; the request channel takes both, so it cannot be full.
    fn send<P: Protocol>(&mut self, sender: &P::Sender, way: &mut Way, messages: bool) {
        let Some(limits) = way.limits else { return };
        if way.listen && (way.idle() || !way.lap.counts()) {
            way.listen = false;
            self.listen::<P>(sender, way);
        }
        if way.lap.open(way.idle())
            && let Some(topic) = &self.options.status_topic
            && let Some(status) = self.link.next_status()
        {
            // The same as of those that it follows, so that the answers come in their order.
            let qos = if way.lap.counts() { way.lap.qos().max(1) } else { 1 };
            let sending = Sending {
                ticket: 0,
                topic: topic.clone(),
                payload: status.as_str().into(),
                qos: qos.min(limits.qos),
                retain: limits.retain,
                expiry: None,
                content_type: None,
                replayed: false,
                facts: Vec::new(),
            };
            if !limits.retain {
                self.reduced(RETAIN_REDUCED);
            }
            if limits.packet.is_some_and(|most| P::size(&sending) > most as usize) {
                self.link.status_acknowledged();
                self.reduced(STATUS_REFUSED);
            } else {
                way.lap.take(sending.qos);
                way.track(Answered::Status(way.connection), sender.publish(sending));
            }
        }
        if messages {
            self.send_messages::<P>(sender, way, limits);
            self.send_snapshot::<P>(sender, way, limits);
        }
    }

    fn send_messages<P: Protocol>(&mut self, sender: &P::Sender, way: &mut Way, limits: Limits) {
        // The lock is free again before anything else happens.
        while way.lap.open(way.idle()) {
            let window = WINDOW.min(limits.on_wire.into());
            let Some(mut sending) = way.held.take().or_else(|| self.link.next_message(window, (self.now)())) else {
                return;
            };
            if sending.qos > limits.qos {
                sending.qos = limits.qos;
                self.reduced(QOS_REDUCED);
            }
            if sending.retain && !limits.retain {
                sending.retain = false;
                self.reduced(RETAIN_REDUCED);
            }
            if let Some(most) = limits.packet
                && let size = P::size(&sending)
                && size > most as usize
            {
                self.reject(
                    sending.ticket,
                    &format!("takes packets of {most} bytes at most, so one of {size} bytes with"),
                );
                continue;
            }
            if !way.lap.admits(sending.qos, way.idle()) {
                way.held = Some(sending);
                return;
            }
            way.lap.take(sending.qos);
            way.track(Answered::Message(sending.ticket), sender.publish(sending));
        }
    }

    fn send_snapshot<P: Protocol>(&mut self, sender: &P::Sender, way: &mut Way, limits: Limits) {
        if way.held.is_some() || !way.lap.open(way.idle()) {
            return;
        }
        let Some(snapshot) = self.link.next_snapshot() else { return };
        let Snapshot { topic, payload, qos, retain, facts } = snapshot;
        // The same as of those that it follows, where their answers must come in their order.
        let qos = if way.lap.counts() && !way.idle() { way.lap.qos() } else { qos.min(limits.qos) };
        let retain = retain && limits.retain;
        let content_type = Some(JPEG.to_owned());
        let bytes = payload.len();
        let sending =
            Sending { ticket: 0, topic, payload, qos, retain, expiry: None, content_type, replayed: false, facts };
        if let Some(most) = limits.packet
            && P::size(&sending) > most as usize
        {
            self.link.snapshot_rejected();
            let broker = &self.options.broker;
            let text =
                format!("MQTT broker {broker}: takes packets of {most} bytes at most, so no snapshot of {bytes} bytes");
            self.refused(SNAPSHOTS, text);
            return;
        }
        way.lap.take(sending.qos);
        way.track(Answered::Snapshot(way.connection), sender.publish(sending));
    }

    /// Asks for what others say on the status topic.
    fn listen<P: Protocol>(&self, sender: &P::Sender, way: &mut Way) {
        let Some(topic) = &self.options.status_topic else { return };
        let answer = sender.subscribe(topic);
        way.lap.take(1);
        way.lap.pause();
        way.track(Answered::Listening, async move {
            answer.await;
            Ok(())
        });
    }

    /// Takes an answer; returns the reason if the message must be sent once more later.
    fn answered(&mut self, way: &mut Way, (what, answer): Answer) -> Option<Reason> {
        if answer == Err(NotTaken::Lost) {
            way.broken = true;
            return None;
        }
        match (what, answer) {
            (Answered::Status(connection), answer) if connection == way.connection => {
                if let Err(NotTaken::Refused(_)) = answer {
                    self.reduced(STATUS_REFUSED);
                }
                self.link.status_acknowledged();
                // Behind our own words, which thus replace what the topic retained.
                if !std::mem::replace(&mut way.listening, true) {
                    way.listen = true;
                    way.lap.pause();
                }
            }
            // It was said before the connection was lost, and then once more.
            (Answered::Status(_) | Answered::Listening, _) => {}
            (Answered::Message(ticket), Err(NotTaken::Refused(reason))) => {
                if reason.passes() {
                    return Some(reason);
                }
                way.disordered |= !way.idle();
                self.reject(ticket, &format!("refuses ({})", reason.words()));
            }
            (Answered::Snapshot(connection), answer) if connection == way.connection => match answer {
                Ok(()) => self.link.snapshot_acknowledged(),
                Err(NotTaken::Refused(reason)) => {
                    way.disordered |= !way.idle();
                    self.link.snapshot_rejected();
                    let broker = &self.options.broker;
                    self.refused(SNAPSHOTS, format!("MQTT broker {broker}: refuses ({}) a snapshot", reason.words()));
                }
                Err(NotTaken::Lost) => {}
            },
            // It was given up with its connection.
            (Answered::Snapshot(_), _) => {}
            (Answered::Message(ticket), _) => self.link.message_acknowledged(ticket, (self.now)()),
        }
        None
    }

    fn reject(&mut self, ticket: u64, what: &str) {
        if let Some(GivenUp { topic, bytes }) = self.link.message_rejected(ticket) {
            let broker = &self.options.broker;
            let text = format!(
                "MQTT broker {broker}: {what} the message of {bytes} bytes for topic {topic:?}, which is given up"
            );
            self.refused(&topic, text);
        }
    }

    /// Takes the answers that are there.
    async fn collect(&mut self, way: &mut Way) {
        tokio::task::yield_now().await;
        while let Some(answer) = way.answers.try_join_next() {
            if let Ok(answer) = answer {
                way.broken |= self.answered(way, answer).is_some();
            }
        }
    }
}

/// Sends DISCONNECT, so that the broker does not take the end for an accident.
async fn goodbye<P: Protocol>(sender: &P::Sender, events: &mut P::Events) {
    if !sender.disconnect() {
        return;
    }
    let sent = async {
        while let Ok(event) = events.poll().await {
            if event == Event::Gone {
                break;
            }
        }
    };
    // A broker that does not take it any more learns of the end from TCP.
    let _ = time::timeout(GOODBYE, sent).await;
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
