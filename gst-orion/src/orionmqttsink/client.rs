// SPDX-License-Identifier: MPL-2.0
//! The MQTT client: one thread, one connection at a time, an endless will to reconnect.
//!
//! Every connection begins with a fresh session and a fresh event loop; what the broker has not acknowledged is kept in the
//! [`Outbox`] and sent again. So order is kept, nothing depends on what the last connection left behind, and after a loss a
//! message may arrive twice, at QoS 2 too.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    io,
    pin::pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions, NetworkOptions, Outgoing, PublishOptions, QoS,
    TlsConfiguration, Transport, default_socket_connect,
};
use tokio::{sync::Notify, task::JoinSet, time};

use super::{
    address::Address,
    cause::{self, Stage},
    outbox::Outbox,
    payload::{Draft, MAX_PAYLOAD, Now},
    retry::{Backoff, Gate},
};

/// Messages on the wire at most. Few, since they are what is repeated after a loss, and since mosquitto (seen: 2.0.11) acknowledges
/// and forgets QoS 2 messages beyond its `max_inflight_messages`, 20 by default.
const WINDOW: usize = 16;

/// Time for name, TCP, TLS and the broker's answer, and for a write that is stuck, s.
const CONNECT_TIMEOUT_S: u64 = 5;

/// Time for the last words of a connection that is closed on purpose.
const GOODBYE: Duration = Duration::from_millis(200);

/// A connection that held this long was a good one: the next loss is answered at once again.
const SETTLED: Duration = Duration::from_secs(5);

/// The largest packet that is accepted; brokers send acknowledgements only.
const MAX_INCOMING: usize = 64 * 1024;

/// What the client needs to know; fixed while it runs. It holds the password, hence no `Debug`.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) broker: Address,
    pub(super) client_id: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: Option<TlsConfiguration>,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Connected,
    /// The last attempt failed.
    Waiting,
}

#[derive(Debug)]
struct Book {
    outbox: Outbox,
    phase: Phase,
    connections: u64,
    last_error: String,
    /// When to end at the latest, once it is asked for.
    stop: Option<Instant>,
    flushing: bool,
    /// A drain ended without success and nothing came since.
    gave_up: bool,
}

/// The state of a client for `stats`.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) ledger: orion_core::ledger::Ledger,
    pub(super) connected: bool,
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    pub(super) reconnects: u64,
    pub(super) buffered: u64,
    pub(super) last_error: String,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    Empty,
    /// So many messages are left.
    TimedOut(usize),
    Flushed,
}

/// What the streaming thread and the client share. Its lock is never held across I/O.
#[derive(Debug)]
pub(super) struct Link {
    book: Mutex<Book>,
    changed: Condvar,
    wake: Notify,
}

impl Link {
    /// `bound`: messages kept.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            book: Mutex::new(Book {
                outbox: Outbox::new(bound),
                phase: Phase::Connecting,
                connections: 0,
                last_error: String::new(),
                stop: None,
                flushing: false,
                gave_up: false,
            }),
            changed: Condvar::new(),
            wake: Notify::new(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame's messages; never waits for the broker.
    pub(super) fn push(&self, drafts: Vec<Draft>) {
        let mut book = self.book();
        book.outbox.push(drafts);
        book.gave_up = false;
        drop(book);
        self.wake.notify_one();
    }

    /// See [`Outbox::refuse`].
    pub(super) fn refuse(&self, cause: orion_core::ledger::Cause) {
        self.book().outbox.refuse(cause);
    }

    /// See [`Outbox::set_bound`].
    pub(super) fn set_bound(&self, bound: usize) {
        self.book().outbox.set_bound(bound);
    }

    /// Makes a drain end, and lets none begin, until it is called with `false`.
    pub(super) fn set_flushing(&self, flushing: bool) {
        self.book().flushing = flushing;
        self.changed.notify_all();
    }

    /// Waits until the broker has everything.
    pub(super) fn drain(&self, timeout: Duration) -> Drained {
        let waiting = |book: &mut Book| book.outbox.buffered() > 0 && !book.flushing;
        let (mut book, _) =
            self.changed.wait_timeout_while(self.book(), timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        match book.outbox.buffered() {
            0 => Drained::Empty,
            _ if book.flushing => Drained::Flushed,
            left => {
                book.gave_up = true;
                Drained::TimedOut(left)
            }
        }
    }

    /// The state of now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let book = self.book();
        Snapshot {
            ledger: *book.outbox.ledger(),
            connected: book.phase == Phase::Connected,
            published: book.outbox.published(),
            acknowledged: book.outbox.acknowledged(),
            reconnects: book.connections.saturating_sub(1),
            buffered: book.outbox.buffered() as u64,
            last_error: book.last_error.clone(),
        }
    }

    /// When to end: now, later, or not yet asked for.
    fn ending(&self) -> Option<Instant> {
        let book = self.book();
        let hopeless = book.outbox.buffered() == 0 || book.gave_up || book.phase == Phase::Waiting;
        book.stop.map(|deadline| if hopeless { Instant::now() } else { deadline })
    }
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
        self.link.book().stop = Some(Instant::now() + drain);
        self.link.wake.notify_one();
        // An error would mean that the thread panicked; it is gone either way.
        let _ = self.thread.join();
        let mut book = self.link.book();
        book.outbox.close();
        book.phase = Phase::Waiting;
        drop(book);
        self.link.changed.notify_all();
    }
}

/// How a session ended.
enum End {
    Stopped,
    Lost(String),
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
            self.link.book().phase = Phase::Connecting;
            let began = Instant::now();
            let End::Lost(text) = self.session(&mut complained).await else {
                return;
            };
            {
                let mut book = self.link.book();
                book.phase = Phase::Waiting;
                book.outbox.connection_lost();
                book.last_error.clone_from(&text);
            }
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
                let _ = time::timeout_at(until.into(), self.link.wake.notified()).await;
            }
        }
    }

    async fn session(&self, complained: &mut bool) -> End {
        let options = &self.options;
        let (client, mut events) = AsyncClient::builder(mqtt_options(options)).capacity(WINDOW).build();
        events.set_network_options(network_options());
        let mut acks = JoinSet::new();
        let mut stage = Stage::Connecting;
        let mut progress = Instant::now();
        let silence = Duration::from_secs(2 * u64::from(options.keep_alive));
        loop {
            let step = {
                let mut poll = pin!(events.poll());
                loop {
                    if stage == Stage::Connected {
                        let idle = acks.is_empty();
                        self.send(&client, &mut acks);
                        if idle {
                            progress = Instant::now();
                        }
                    }
                    let ending = self.link.ending();
                    if ending.is_some_and(|at| at <= Instant::now()) {
                        break Step::Stop;
                    }
                    let watched = !acks.is_empty() && !silence.is_zero();
                    if watched && progress.elapsed() >= silence {
                        break Step::Unanswered;
                    }
                    let unanswered = watched.then(|| progress + silence);
                    let deadline = [ending, unanswered].into_iter().flatten().min();
                    tokio::select! {
                        event = &mut poll => break Step::Event(event),
                        Some(ack) = acks.join_next() => {
                            if let Ok(Some(ticket)) = ack {
                                progress = Instant::now();
                                self.acknowledged(ticket);
                            }
                        }
                        () = self.link.wake.notified() => {}
                        () = sleep_until(deadline) => {}
                    }
                }
            };
            match step {
                Step::Event(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {
                    stage = Stage::Connected;
                    self.connected(complained);
                }
                Step::Event(Ok(_)) => {}
                Step::Event(Err(error)) => {
                    // Acknowledgements that came with the end need not be repeated.
                    tokio::task::yield_now().await;
                    while let Some(ack) = acks.try_join_next() {
                        if let Ok(Some(ticket)) = ack {
                            self.acknowledged(ticket);
                        }
                    }
                    return End::Lost(cause::describe(&error, stage, &options.broker, options.user.as_deref()));
                }
                Step::Unanswered => return End::Lost(cause::unanswered(silence, &options.broker)),
                Step::Stop => {
                    if stage == Stage::Connected {
                        goodbye(&client, &mut events).await;
                    }
                    return End::Stopped;
                }
            }
        }
    }

    /// Fills the window; the request channel is as long as the window, so it cannot be full.
    fn send(&self, client: &AsyncClient, acks: &mut JoinSet<Option<u64>>) {
        loop {
            // A statement of its own, so that the lock is free again before anything else happens.
            let sending = self.link.book().outbox.send(WINDOW, (self.now)());
            let Some(sending) = sending else { return };
            let options = PublishOptions::new(match sending.qos {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            });
            let ticket = sending.ticket;
            let notice = client.try_publish_tracked(sending.topic, sending.payload, options.retain(sending.retain));
            acks.spawn(async move {
                let notice = notice.ok()?;
                notice.wait_completion_async().await.ok().map(|()| ticket)
            });
        }
    }

    fn acknowledged(&self, ticket: u64) {
        self.link.book().outbox.acknowledge(ticket);
        self.link.changed.notify_all();
    }

    fn connected(&self, complained: &mut bool) {
        let mut book = self.link.book();
        book.phase = Phase::Connected;
        book.connections += 1;
        let waiting = book.outbox.buffered();
        drop(book);
        if std::mem::take(complained) {
            let broker = &self.options.broker;
            let text = format!("MQTT broker {broker}: connected, {waiting} messages are waiting");
            (self.say)(Notice::Restored(text));
        }
    }
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

fn network_options() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    network.set_tcp_nodelay(true);
    network
}

fn mqtt_options(options: &Options) -> MqttOptions {
    let broker = &options.broker;
    let mut mqtt = MqttOptions::new(options.client_id.clone(), (broker.host.clone(), broker.port));
    mqtt.set_keep_alive(options.keep_alive)
        // Payloads were checked before; the client's default of 10 KiB would end the connection.
        .set_max_packet_size(MAX_INCOMING, 2 * MAX_PAYLOAD)
        .set_inflight(WINDOW as u16)
        .set_max_request_batch(WINDOW);
    if let Some(tls) = &options.tls {
        mqtt.set_transport(Transport::tls_with_config(tls.clone()));
    }
    match (&options.user, &options.password) {
        (Some(user), Some(password)) => {
            mqtt.set_credentials(user.clone(), password.clone());
        }
        (Some(user), None) => {
            mqtt.set_username(user.clone());
        }
        (None, _) => {}
    }
    // Our own, since the client's does not put brackets around IPv6 addresses and leaves it to the kernel's quarter of an
    // hour to notice that written data is never received.
    let address = broker.to_string();
    let user_timeout = 2000 * u32::from(options.keep_alive);
    mqtt.set_socket_connector(move |_, network| {
        let address = address.clone();
        async move {
            let stream = default_socket_connect(address, network).await?;
            if user_timeout > 0 {
                setsockopt(&stream, TcpUserTimeout, &user_timeout)?;
            }
            Ok(stream)
        }
    });
    mqtt
}

/// A number in 0..1; the standard library's hash keys are random enough to spread reconnects.
fn chance() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}

/// 64 random bits.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
