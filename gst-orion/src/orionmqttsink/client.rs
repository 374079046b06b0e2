// SPDX-License-Identifier: MPL-2.0
//! The MQTT client: one thread, one connection at a time, an endless will to reconnect.
//!
//! Every connection begins with a fresh session and a fresh event loop; what the broker has not acknowledged is kept in the
//! [`Outbox`](super::outbox::Outbox) and sent again. So order is kept, nothing depends on what the last connection left behind, and after a loss a
//! message may arrive twice, at QoS 2 too.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    io,
    pin::pin,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use orion_core::ledger::Ledger;
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, Outgoing, PublishNotice, PublishOptions, QoS, TlsConfiguration,
};
use tokio::{task::JoinSet, time};

use super::{
    address::Address,
    cause::{self, Stage},
    link::Link,
    network::{mqtt_options, network_options},
    outbox::{Fallen, GivenUp, Loss},
    payload::Now,
    retry::{Backoff, Gate},
};

/// Messages on the wire at most. Few, since they are what is repeated after a loss, and since mosquitto (seen: 2.0.11) acknowledges
/// and forgets QoS 2 messages beyond its `max_inflight_messages`, 20 by default.
const WINDOW: usize = 16;

/// With `online`, `stopped`, another `online` and the subscription to them, which are few but must never have to wait.
pub(super) const IN_FLIGHT: usize = WINDOW + 4;

/// Time for the last words of a connection that is closed on purpose.
const GOODBYE: Duration = Duration::from_millis(200);

/// A connection that held this long was a good one: the next loss is answered at once again.
const SETTLED: Duration = Duration::from_secs(5);

/// So long must a connection hold until the one message that is suspected of ending it is sent.
const CAREFUL: Duration = Duration::from_millis(500);

/// What the client needs to know; fixed while it runs. It holds the password, hence no `Debug`.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) broker: Address,
    pub(super) client_id: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: Option<TlsConfiguration>,
    /// Where the sink says whether it is there; none = nowhere.
    pub(super) status_topic: Option<String>,
    /// s, 0 = off.
    pub(super) keep_alive: u16,
    pub(super) max_reconnect_interval: Duration,
    pub(super) thread_name: String,
}

/// What the client has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// There is no connection, and why.
    Trouble(String),
    /// There is one again after [`Notice::Trouble`].
    Restored(String),
    /// A message was given up, and why.
    Refused(String),
    /// Frames were dropped, and the book with them.
    Dropped(Vec<Fallen>, Ledger),
}

/// A running client.
#[derive(Debug)]
pub(super) struct Client {
    link: Arc<Link>,
    thread: JoinHandle<()>,
}

impl Client {
    /// Starts the thread; it connects on its own. `now` reads both clocks, `say` is called from the thread.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(super) fn start(
        link: Arc<Link>,
        options: Options,
        now: fn() -> Now,
        say: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let name = options.thread_name.clone();
        let runner = Runner { link: Arc::clone(&link), options, now, say };
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(runner.run());
            // A name look-up cannot be cancelled, and must not be waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { link, thread })
    }

    /// Sends what is left within `drain`, says goodbye and ends the thread. What is still left is dropped as `shutdown`.
    pub(super) fn stop(self, drain: Duration) {
        self.link.stop(drain);
        // An error would mean that the thread panicked; it is gone either way.
        let _ = self.thread.join();
        self.link.close();
    }
}

/// What the broker has acknowledged.
enum Ack {
    Status,
    /// The message with this ticket.
    Message(u64),
}

type Acks = JoinSet<Option<Ack>>;

/// How a session ended.
enum End {
    Stopped,
    Lost(String, Loss),
}

/// Why the inner loop of a session was left.
enum Step {
    Event(Result<Event, rumqttc::ConnectionError>),
    Stop,
    Unanswered,
}

struct Runner<F> {
    link: Arc<Link>,
    options: Options,
    now: fn() -> Now,
    say: F,
}

impl<F: Fn(Notice)> Runner<F> {
    async fn run(self) {
        let mut backoff = Backoff::new(self.options.max_reconnect_interval);
        let mut gate = Gate::default();
        let mut complained = false;
        loop {
            self.link.connecting();
            let began = Instant::now();
            let End::Lost(text, loss) = self.session(&mut complained).await else {
                return;
            };
            let aftermath = self.link.lost(&text, loss, false);
            if let Some(GivenUp { topic, bytes }) = aftermath.given_up
                && gate.admits(&topic, Instant::now())
            {
                let broker = &self.options.broker;
                let text = format!(
                    "MQTT broker {broker}: closed the connection again and again on the message of {bytes} bytes for topic {topic:?}, \
                     which is given up; is it larger than the broker allows, or is that topic forbidden?"
                );
                (self.say)(Notice::Refused(text));
            }
            self.tell_dropped();
            if gate.admits(&text, Instant::now()) {
                complained = true;
                (self.say)(Notice::Trouble(text));
            }
            if began.elapsed() >= SETTLED {
                backoff.reset();
            }
            let until = Instant::now() + backoff.wait(chance());
            while Instant::now() < until {
                if self.link.ending().is_some() {
                    return;
                }
                let _ = time::timeout_at(until.into(), self.link.woken()).await;
            }
        }
    }

    async fn session(&self, complained: &mut bool) -> End {
        let options = &self.options;
        let (client, mut events) = AsyncClient::builder(mqtt_options(options)).capacity(IN_FLIGHT).build();
        events.set_network_options(network_options());
        let mut acks = JoinSet::new();
        let mut stage = Stage::Connecting;
        let mut connected_at = Instant::now();
        let mut listening = false;
        let mut progress = Instant::now();
        let silence = Duration::from_secs(2 * u64::from(options.keep_alive));
        loop {
            let step = {
                let mut poll = pin!(events.poll());
                loop {
                    // First, since it decides on what is to be said.
                    let ending = self.link.ending();
                    let mut patience = None;
                    if stage == Stage::Connected {
                        let idle = acks.is_empty();
                        patience = self.link.careful().then(|| connected_at + CAREFUL);
                        self.send(&client, &mut acks, patience.is_none_or(|until| until <= Instant::now()));
                        self.tell_dropped();
                        if idle {
                            progress = Instant::now();
                        }
                    }
                    if ending.is_some_and(|at| at <= Instant::now()) {
                        break Step::Stop;
                    }
                    let watched = !acks.is_empty() && !silence.is_zero();
                    if watched && progress.elapsed() >= silence {
                        break Step::Unanswered;
                    }
                    let unanswered = watched.then(|| progress + silence);
                    let patience = patience.filter(|until| *until > Instant::now());
                    let deadline = [ending, unanswered, patience].into_iter().flatten().min();
                    tokio::select! {
                        event = &mut poll => break Step::Event(event),
                        Some(ack) = acks.join_next() => {
                            if let Ok(Some(ack)) = ack {
                                progress = Instant::now();
                                // Behind our own words, which thus replace what the topic retained.
                                if matches!(ack, Ack::Status) && !listening {
                                    listening = self.listen(&client);
                                }
                                self.acknowledged(ack);
                            }
                        }
                        () = self.link.woken() => {}
                        () = sleep_until(deadline) => {}
                    }
                }
            };
            match step {
                Step::Event(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {
                    stage = Stage::Connected;
                    connected_at = Instant::now();
                    self.connected(complained);
                }
                Step::Event(Ok(Event::Incoming(Incoming::Publish(publish)))) => self.link.overheard(&publish.payload),
                Step::Event(Ok(_)) => {}
                Step::Event(Err(error)) => {
                    // Acknowledgements that came with the end need not be repeated.
                    tokio::task::yield_now().await;
                    while let Some(ack) = acks.try_join_next() {
                        if let Ok(Some(ack)) = ack {
                            self.acknowledged(ack);
                        }
                    }
                    let text = cause::describe(&error, stage, &options.broker, options.user.as_deref());
                    return End::Lost(text, cause::loss(&error, stage));
                }
                Step::Unanswered => return End::Lost(cause::unanswered(silence, &options.broker), Loss::Other),
                Step::Stop => {
                    // Without `stopped` it was no good end, which the will then says.
                    if stage == Stage::Connected && self.link.settled() {
                        goodbye(&client, &mut events).await;
                    }
                    return End::Stopped;
                }
            }
        }
    }

    /// Says how things are, then fills the window if messages may go; the request channel takes both, so it cannot be full.
    fn send(&self, client: &AsyncClient, acks: &mut Acks, messages: bool) {
        if let Some(topic) = &self.options.status_topic
            && let Some(status) = self.link.next_status()
        {
            let options = PublishOptions::new(QoS::AtLeastOnce).retain(true);
            let notice = client.try_publish_tracked(topic.as_str(), status.as_str(), options);
            track(acks, notice.ok(), Ack::Status);
        }
        // The lock is free again before anything else happens.
        while messages && let Some(sending) = self.link.next_message(WINDOW, (self.now)()) {
            let options = PublishOptions::new(match sending.qos {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            });
            let notice = client.try_publish_tracked(sending.topic, sending.payload, options.retain(sending.retain));
            track(acks, notice.ok(), Ack::Message(sending.ticket));
        }
    }

    /// Asks for what others say on the status topic; says whether that was possible.
    fn listen(&self, client: &AsyncClient) -> bool {
        let topic = self.options.status_topic.as_deref();
        topic.is_some_and(|topic| client.try_subscribe(topic, QoS::AtMostOnce).is_ok())
    }

    fn acknowledged(&self, ack: Ack) {
        match ack {
            Ack::Status => self.link.status_acknowledged(),
            Ack::Message(ticket) => self.link.message_acknowledged(ticket, (self.now)()),
        }
    }

    fn tell_dropped(&self) {
        let (fallen, ledger) = self.link.take_fallen();
        if !fallen.is_empty() {
            (self.say)(Notice::Dropped(fallen, ledger));
        }
    }

    fn connected(&self, complained: &mut bool) {
        let waiting = self.link.connected();
        if std::mem::take(complained) {
            let broker = &self.options.broker;
            let text = format!("MQTT broker {broker}: connected, {waiting} messages are waiting");
            (self.say)(Notice::Restored(text));
        }
    }
}

fn track(acks: &mut Acks, notice: Option<PublishNotice>, ack: Ack) {
    acks.spawn(async move {
        notice?.wait_completion_async().await.ok()?;
        Some(ack)
    });
}

/// Sends DISCONNECT, so that the broker does not take the end for an accident.
async fn goodbye(client: &AsyncClient, events: &mut EventLoop) {
    if client.try_disconnect_now().is_err() {
        return;
    }
    let sent = async {
        while let Ok(event) = events.poll().await {
            if event == Event::Outgoing(Outgoing::Disconnect) {
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

/// A number in 0..1; the standard library's hash keys are random enough to spread reconnects.
fn chance() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}

/// 64 random bits.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
