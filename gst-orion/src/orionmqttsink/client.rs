// SPDX-License-Identifier: MPL-2.0
//! The MQTT client: one thread, one connection at a time, an endless will to reconnect.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use orion_core::ledger::Ledger;
use rumqttc::TlsConfiguration;
use tokio::runtime::Runtime;

use super::{
    address::Address,
    link::Link,
    outbox::Fallen,
    payload::Now,
    runner::Runner,
    session::{Protocol, Version, v4::V4, v5::V5},
};

/// What the client needs to know; fixed while it runs. It holds the password, hence no `Debug`.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) broker: Address,
    pub(super) version: Version,
    pub(super) client_id: String,
    /// How long the broker keeps the session after a lost connection, s; none = every connection begins a new one.
    pub(super) session_expiry: Option<u32>,
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
    /// A message was given up, or could not be published as it was wanted, and why.
    Refused(String),
    /// The disk does not do what it should.
    Storage(String),
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
        match options.version {
            Version::V3_1_1 => Self::start_with::<V4>(link, options, now, say),
            Version::V5 => Self::start_with::<V5>(link, options, now, say),
        }
    }

    fn start_with<P: Protocol>(
        link: Arc<Link>,
        options: Options,
        now: fn() -> Now,
        say: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let name = options.thread_name.clone();
        let mut runner = Runner::new(Arc::clone(&link), options, now, say);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            run::<P, _>(&runtime, &mut runner);
            // A name look-up cannot be cancelled, and must not be waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { link, thread })
    }

    /// Sends what is left within `drain`, says goodbye and ends the thread.
    pub(super) fn stop(self, drain: Duration) {
        self.link.stop(drain);
        // An error would mean that the thread panicked; it is gone either way.
        let _ = self.thread.join();
    }
}

/// Runs until a stop is asked for. A fault in here or in the library costs the connection, not the client.
fn run<P: Protocol, F: Fn(Notice)>(runtime: &Runtime, runner: &mut Runner<F>) {
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| runtime.block_on(runner.run::<P>()))) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        runner.failed(&text);
    }
}

/// A number in 0..1; the standard library's hash keys are random enough to spread reconnects.
pub(super) fn chance() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}

/// 64 random bits.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, pending, ready},
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;
    use crate::orionmqttsink::{
        outbox::Sending,
        session::{self, Event, Limits, NotTaken, Will, failure::Failure},
        settings::Settings,
    };

    /// Its first connection panics, its second one ends by itself, its third one is good.
    struct Faulty;

    struct Sender;

    struct Events {
        told: bool,
    }

    static OPENED: AtomicUsize = AtomicUsize::new(0);

    impl Protocol for Faulty {
        type Sender = Sender;
        type Events = Events;

        fn open(_options: &Options) -> (Sender, Events) {
            OPENED.fetch_add(1, Ordering::SeqCst);
            (Sender, Events { told: false })
        }

        fn size(_sending: &Sending) -> usize {
            0
        }
    }

    impl session::Sender for Sender {
        fn publish(&self, _sending: Sending) -> impl Future<Output = Result<(), NotTaken>> + Send + 'static {
            ready(Ok(()))
        }

        fn subscribe(&self, _topic: &str) -> impl Future<Output = ()> + Send + 'static {
            ready(())
        }

        fn disconnect(&self) -> bool {
            false
        }
    }

    impl session::Events for Events {
        fn prepare(&mut self, _will: Option<Will>) {}

        async fn poll(&mut self) -> Result<Event, Failure> {
            match OPENED.load(Ordering::SeqCst) {
                1 => panic!("a fault"),
                2 => Err(Failure::Over),
                _ if std::mem::replace(&mut self.told, true) => pending().await,
                _ => Ok(Event::Connected { resumed: false, limits: Limits::NONE }),
            }
        }

        fn interrupt(&mut self) {}
    }

    #[test]
    fn a_fault_costs_the_connection_and_not_the_client() {
        let mut settings = Settings::default();
        settings.max_reconnect_interval = Duration::from_millis(1);
        let link = Arc::new(Link::new(settings.keeping(), false));
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let say = move |notice| heard.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        let options = settings.options("faulty", |_| None).ok().unwrap();
        let now = || Now { wall: 0, running: 0 };
        let client = Client::start_with::<Faulty>(Arc::clone(&link), options, now, say).unwrap();
        while !link.statistics().connected {
            std::thread::yield_now();
        }
        client.stop(Duration::ZERO);
        assert_eq!((OPENED.load(Ordering::SeqCst), link.statistics().failures), (3, 2));
        let said = said.lock().unwrap();
        let Notice::Trouble(text) = &said[0] else { panic!("{said:?}") };
        assert!(text.contains("has failed (a fault)"), "{text}");
        assert!(matches!(said[1..], [Notice::Trouble(_), Notice::Restored(_)]), "{said:?}");
    }
}
