// SPDX-License-Identifier: MPL-2.0
//! What the daemon says of persons while everything goes wrong that can: it never says that nobody is there when it cannot know.
//!
//! Needs mosquitto and the worker's Python environment (`make setup`). Takes more than a minute: cameras have to freeze.

// Helpers of tests are tests too: what they cannot do is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/broker.rs"]
#[allow(dead_code, reason = "no test file uses all of it")]
mod broker;
#[path = "support/launch.rs"]
mod support;

use std::{
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use broker::Broker;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use orion_core::{
    health::Presence,
    presence::{Reason, State},
};
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};
use serde_json::Value;
use support::{PATIENCE, POLL, Running, SHUTDOWN, after, camera, contract, daemon_binary, get};

/// Older evidence counts for nothing; a camera that repeats its picture for so long is frozen. The defaults.
const EVIDENCE: Duration = Duration::from_secs(10);
/// Within this time, beside that, it is told.
const TOLD: Duration = Duration::from_secs(2);

/// What the daemon logs when pictures come again.
const RESTORED: &str = "the stream of the camera is back";

/// Hears everything that is said of persons, over all connections.
struct Ear {
    heard: Receiver<(Instant, Presence)>,
    /// Whether it may be said now that nobody is there.
    may_be_absent: bool,
    count: usize,
}

impl Ear {
    fn new(port: u16, id: &str) -> Self {
        let mut options = MqttOptions::new(id, ("127.0.0.1", port));
        options.set_keep_alive(5);
        let (client, mut connection) = Client::builder(options).capacity(10).build();
        let (sender, heard) = mpsc::channel();
        // It ends when nobody listens any more.
        thread::spawn(move || {
            loop {
                match connection.recv() {
                    Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))) => {
                        client.subscribe("care/presence/#", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Ok(Event::Incoming(Incoming::Publish(message)))) => {
                        contract::validate(std::str::from_utf8(&message.topic).unwrap(), &message.payload);
                        let presence = serde_json::from_slice(&message.payload).unwrap();
                        if sender.send((Instant::now(), presence)).is_err() {
                            return;
                        }
                    }
                    Ok(Ok(_)) => {}
                    // The broker is away; it comes back.
                    Ok(Err(_)) => thread::sleep(POLL),
                    Err(_) => return,
                }
            }
        });
        Self { heard, may_be_absent: false, count: 0 }
    }

    /// The first that is as wanted, which must be said within this time. Says how long that took since `since`.
    fn until(&mut self, what: &str, since: Instant, within: Duration, wanted: impl Fn(&Presence) -> bool) -> Presence {
        let mut said = Vec::new();
        // Busy machines get some more time than is asserted for a machine that is not.
        let deadline = since + within + PATIENCE / 4;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((at, presence)) = self.heard.recv_timeout(left) else { panic!("{what}: only {said:#?}") };
            self.count += 1;
            assert!(self.may_be_absent || presence.state != State::Absent, "{what}: {presence:?} after {said:#?}");
            assert!(presence.reason.is_some() == (presence.state == State::Unknown), "{presence:?}");
            if at >= since && wanted(&presence) {
                let (took, state) = (at - since, presence.state);
                let age = presence.evidence_age_ms;
                println!(
                    "{what}: {state:?} {:?} after {:.2} s, evidence {age:?} ms",
                    presence.reason,
                    took.as_secs_f64()
                );
                return presence;
            }
            said.push(presence);
        }
    }

    fn present(&mut self, what: &str, since: Instant) {
        self.until(what, since, PATIENCE, |presence| presence.state == State::Present);
    }

    fn unknown(&mut self, what: &str, since: Instant, within: Duration, reasons: &[Reason]) {
        let wanted = |presence: &Presence| presence.reason.is_some_and(|reason| reasons.contains(&reason));
        self.until(what, since, within, wanted);
    }

    /// All that is said for so long.
    fn rest(&mut self, time: Duration) -> Vec<Presence> {
        let deadline = Instant::now() + time;
        let next = || self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).map(|(_, presence)| presence).collect()
    }
}

struct Camera {
    running: Running,
    _stdin: ChildStdin,
    url: String,
}

impl Camera {
    fn start(pattern: &str, port: &str) -> Self {
        // A picture each, so that nothing is left of the frame before.
        let picture = ["--codec", "mjpeg", "--width", "320", "--height", "240"];
        let (running, stdin, url) = camera(&[&picture[..], &["--pattern", pattern, "--port", port]].concat());
        Self { running, _stdin: stdin, url }
    }

    fn port(&self) -> String {
        self.url.trim_end_matches("/camera").rsplit_once(':').unwrap().1.to_owned()
    }

    /// It is gone, and there is nobody at its port.
    fn kill(self) -> Instant {
        let gone = Instant::now();
        drop(self.running);
        gone
    }
}

fn daemon(directory: &Path, broker: u16, url: &str) -> Running {
    let file = directory.join("orion.yaml");
    let text = format!(
        "instance_id: test\nstream: {{warmup_duration_s: 0}}\nhttp: {{bind: '127.0.0.1:0'}}\ncamera: {{rtsp_url: '{url}'}}\n\
         mqtt: {{uri: 'mqtt://127.0.0.1:{broker}', max_reconnect_interval_s: 1}}\n\
         models: {{person_detector: {{detector: motion}}}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(daemon_binary());
    command.arg("--config").arg(&file).args(["--log-format", "text"]).stderr(Stdio::piped()).env("RUST_LOG", "info");
    if std::env::var_os("ORION_WORKER").is_none() {
        command.env("ORION_WORKER", concat!(env!("CARGO_MANIFEST_DIR"), "/../models/run_worker.sh"));
    }
    Running::start(&mut command, |child| Box::new(child.stderr.take().unwrap()))
}

fn command(port: u16, name: &str) {
    let message = format!(r#"{{"command": "{name}"}}"#);
    let arguments = ["-p", &port.to_string(), "-q", "1", "-t", "care/control/test", "-m", &message];
    assert!(Command::new("mosquitto_pub").args(arguments).status().unwrap().success());
}

/// The process of the only worker.
fn worker(state: &Value) -> Pid {
    Pid::from_raw(state["workers"][0]["processes"][0]["pid"].as_i64().unwrap() as i32)
}

#[test]
fn nobody_is_said_to_be_away_while_nothing_can_be_seen() {
    let mut broker = Broker::start();
    let mut ball = Camera::start("ball", "0");
    let port = ball.port();
    let directory = tempfile::tempdir().unwrap();
    let mut ear = Ear::new(broker.port(), "ear");
    let begin = Instant::now();
    let mut daemon = daemon(directory.path(), broker.port(), &ball.url);
    let line = daemon.line("is running");
    let http = after(&line, "state: http://").trim_end_matches("/readiness").to_owned();
    ear.present("a ball that moves", begin);
    let (code, state) = get(&http, "/readyz");
    assert_eq!((code, &state["presence"]["state"]), (200, &"present".into()), "{state:#}");
    assert_eq!(state["presence"]["instance_id"], "test");
    assert!(state["workers"][0]["restarts"].is_u64() && state["workers"][0]["watchdog_restarts"].is_u64(), "{state:#}");

    let at = Instant::now();
    command(broker.port(), "pause_inference");
    ear.unknown("paused", at, TOLD, &[Reason::Paused]);
    let at = Instant::now();
    command(broker.port(), "resume_inference");
    ear.present("resumed", at);

    let at = Instant::now();
    kill(worker(&state), Signal::SIGSTOP).unwrap();
    ear.unknown("worker stopped", at, EVIDENCE + TOLD, &[Reason::EvidenceTooOld, Reason::NoWorker]);
    let at = Instant::now();
    kill(worker(&state), Signal::SIGKILL).unwrap();
    ear.present("worker killed, another one at once", at);
    let state = get(&http, "/readyz").1;
    assert!(state["workers"][0]["restarts"].as_u64() >= Some(1), "{state:#}");
    let at = Instant::now();
    kill(worker(&state), Signal::SIGKILL).unwrap();
    ear.unknown("worker killed again", at, TOLD, &[Reason::NoWorker]);
    ear.present("another one after a pause", at);

    // Nothing is known any more where the broker has forgotten, and meanwhile the camera goes, too.
    broker.kill();
    broker.forget();
    let gone = ball.kill();
    daemon.line("the stream of the camera is lost");
    let back = Instant::now();
    broker.resume();
    ear.unknown("broker back, camera gone", back, TOLD, &[Reason::StreamLost]);
    let mut fresh = Ear::new(broker.port(), "fresh");
    fresh.unknown("for who comes later", gone, EVIDENCE + TOLD, &[Reason::StreamLost]);
    assert_eq!(get(&http, "/readyz").0, 503);
    assert_eq!(get(&http, "/livez").0, 200);
    let at = Instant::now();
    ball = Camera::start("ball", &port);
    daemon.line(RESTORED);
    ear.present("the camera is back", at);

    for (pattern, reason, within) in [("frozen", Reason::Frozen, EVIDENCE), ("black", Reason::Black, TOLD)] {
        let gone = ball.kill();
        ear.unknown("camera killed", gone, EVIDENCE + TOLD, &[Reason::StreamLost]);
        let camera = Camera::start(pattern, &port);
        // From when its pictures come, that is.
        daemon.line(RESTORED);
        let back = Instant::now();
        ear.unknown(pattern, back, within + TOLD, &[reason]);
        assert_eq!(get(&http, "/readyz").1["presence"]["state"], "unknown");
        let gone = camera.kill();
        ear.unknown("camera killed", gone, EVIDENCE + TOLD, &[Reason::StreamLost]);
        ball = Camera::start("ball", &port);
        daemon.line(RESTORED);
        ear.present("the camera is back", gone);
    }
    assert!(ear.rest(Duration::ZERO).iter().all(|presence| presence.state != State::Absent));

    // A room in which nobody is can be told from all that: its picture has noise.
    ball.kill();
    ear.may_be_absent = true;
    let at = Instant::now();
    let _night = Camera::start("night", &port);
    ear.until("a still room at night", at, PATIENCE, |presence| presence.state == State::Absent);
    let rest = ear.rest(EVIDENCE + TOLD);
    assert!(rest.iter().all(|presence| presence.state == State::Absent), "{rest:#?}");

    let at = Instant::now();
    daemon.signal(Signal::SIGTERM);
    ear.unknown("stopped", at, TOLD, &[Reason::Stopped]);
    let (status, said) = daemon.end(SHUTDOWN + TOLD);
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(ear.rest(Duration::from_millis(500)), [], "nothing more is said");
    let mut late = Ear::new(broker.port(), "late");
    late.unknown("for who comes later", at, PATIENCE, &[Reason::Stopped]);
    println!("{} messages in {:.0} s", ear.count, begin.elapsed().as_secs_f64());
}
