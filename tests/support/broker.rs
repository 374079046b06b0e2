// SPDX-License-Identifier: MPL-2.0
//! A real mosquitto on a free port of the loopback interface, and a subscriber.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::fd::{AsRawFd, OwnedFd},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt::ReuseAddr,
};
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};

use super::contract;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port that nobody listens at until a [`Broker`] does; as long as this lives, no other test gets it, not even of another
/// process.
pub struct DeadPort {
    pub number: u16,
    _bound: OwnedFd,
}

impl DeadPort {
    pub fn new() -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        // Bound without listening: a broker may still listen here, since it sets this too.
        setsockopt(&socket, ReuseAddr, &true).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let number = getsockname::<SockaddrIn>(socket.as_raw_fd()).unwrap().port();
        Self { number, _bound: socket }
    }
}

/// A broker; killed when dropped.
pub struct Broker {
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Broker {
    /// A running one that lets everybody in.
    pub fn start() -> Self {
        Self::start_with(free_port(), "allow_anonymous true")
    }

    /// A running one at `port` that keeps what is published to topic `t` until a [`Subscriber`] comes. So whoever waits for a
    /// broker at this port cannot be faster than the subscription.
    pub fn with_session_at(port: u16) -> Self {
        Self::with_session_on(port, "t")
    }

    /// The same for another topic.
    pub fn with_session_on(port: u16, topic: &str) -> Self {
        let mut broker = Self::start();
        drop(Subscriber::new(broker.port(), topic));
        broker.stop();
        let file = broker.dir.path().join("mosquitto.conf");
        let text = fs::read_to_string(&file).unwrap();
        let listener = |port: u16| format!("listener {port} ");
        fs::write(&file, text.replace(&listener(broker.port), &listener(port))).unwrap();
        broker.port = port;
        broker.resume();
        broker
    }

    /// A running one at `port` with these lines in its configuration.
    pub fn start_with(port: u16, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        // It writes its state after every change, so that a restart keeps subscriptions and what waits for them. As root it
        // would change to a user who must not write there.
        let text = format!(
            "user root\nper_listener_settings false\nlistener {port} 127.0.0.1\nlog_dest stderr\n\
             persistence true\npersistence_location {path}/\nautosave_on_changes true\nautosave_interval 1\n\
             max_queued_messages 0\n{config}\n"
        );
        fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { dir, port, child: None };
        broker.resume();
        broker
    }

    /// The port it listens at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id().cast_signed()
    }

    /// Starts it again with what it had saved; returns when it listens.
    pub fn resume(&mut self) {
        let mut child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto is needed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let listening = lines.by_ref().map_while(Result::ok).any(|line| {
            let done = line.ends_with(" running");
            log.push(line);
            done
        });
        // It would stop when nobody took its log.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        self.child = Some(child);
        assert!(listening, "mosquitto did not start: {log:#?}");
    }

    /// Loses what it had saved, while it is down.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.dir.path().join("mosquitto.db"));
    }

    /// Ends it in good order: it saves its state.
    pub fn stop(&mut self) {
        self.end("-TERM");
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.end("-KILL");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            signal_process(child.id().cast_signed(), signal);
            child.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal with kill(1).
pub fn signal_process(pid: i32, signal: &str) {
    let status = Command::new("kill").arg(signal).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// A message as a subscriber gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
}

impl Received {
    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.payload.clone()).unwrap()
    }
}

/// A client that collects messages and holds each against the contract. Its session survives restarts of client and broker.
pub struct Subscriber {
    client: Client,
    messages: Receiver<Received>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    /// Subscribes with QoS 1; returns when the broker has confirmed it.
    pub fn new(port: u16, filter: &str) -> Self {
        Self::with_credentials(port, filter, None)
    }

    /// The same with user and password.
    pub fn with_credentials(port: u16, filter: &str, credentials: Option<(&str, &str)>) -> Self {
        let mut options = MqttOptions::new("subscriber", ("127.0.0.1", port));
        options.set_clean_session(false).set_max_packet_size(1 << 24, 1 << 16);
        if let Some((user, password)) = credentials {
            options.set_credentials(user.to_owned(), password.to_owned());
        }
        let (client, mut connection) = Client::builder(options).capacity(8).build();
        client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (ready, confirmed) = mpsc::channel();
        let (sender, messages) = mpsc::channel();
        let stop = Arc::clone(&over);
        let thread = thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        let _ = ready.send(());
                    }
                    Ok(Event::Incoming(Incoming::Publish(publish))) => {
                        let received = Received {
                            topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                            payload: publish.payload.to_vec(),
                            retain: publish.retain,
                        };
                        let _ = sender.send(received);
                    }
                    Ok(_) => {}
                    Err(_) if stop.load(Ordering::SeqCst) => return,
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        confirmed.recv_timeout(PATIENCE).expect("no SUBACK");
        Self { client, messages, over, thread: Some(thread) }
    }

    /// The next message; panics when there is none, or one that the contract does not allow.
    pub fn next(&self) -> Received {
        allowed(self.messages.recv_timeout(PATIENCE).expect("no message"))
    }

    /// The payloads of the next `count` messages as text.
    pub fn texts(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().text()).collect()
    }

    /// What has come already and was not taken.
    pub fn rest(&self) -> Vec<Received> {
        self.messages.try_iter().map(allowed).collect()
    }
}

/// The message, if the contract allows it.
#[track_caller]
fn allowed(message: Received) -> Received {
    contract::validate(&message.topic, &message.payload);
    message
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.client.disconnect_now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Nobody took these, but they were sent. A second panic would hide the first.
        if !thread::panicking() {
            self.rest();
        }
    }
}
