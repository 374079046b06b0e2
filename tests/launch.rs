// SPDX-License-Identifier: MPL-2.0
//! The daemon as a program: a real RTSP camera, a real worker, its own broker, HTTP, signals and exit codes.
//!
//! Needs mosquitto and the worker's Python environment (`make setup`). `orion-camera` is built by the tests themselves.

// Helpers of tests are tests too: what they cannot do is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/contract.rs"]
mod contract;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use orion_core::report::Report;
use rumqttc::{Client, Connection, Event, Incoming, MqttOptions, QoS};
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const SHUTDOWN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

fn daemon_binary() -> PathBuf {
    env!("CARGO_BIN_EXE_orion-launch").into()
}

/// Cargo gives a test only the programs of its own package; the camera is another one.
fn camera_binary() -> PathBuf {
    let path = daemon_binary().with_file_name("orion-camera");
    let (profile, target) = (path.parent().unwrap(), path.parent().and_then(Path::parent).unwrap());
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, as `make test` builds it: with other features everything would be built twice.
    build.args(["build", "--quiet", "--workspace", "--target-dir"]).arg(target);
    // What cargo tells this test would make build scripts (ring's) think that everything has changed.
    for (name, _) in std::env::vars_os() {
        let cargo = name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME");
        if cargo || name == "LD_LIBRARY_PATH" {
            build.env_remove(name);
        }
    }
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success(), "orion-camera cannot be built");
    path
}

/// Ends with its value, however the test ends.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(command: &mut Command, of: fn(&mut Child) -> Box<dyn Read + Send>) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = of(&mut child);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, said: Vec::new() }
    }

    /// The first line that contains `text`.
    fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line.clone()),
                Err(error) => panic!("no line with {text:?} ({error}): {:#?}", self.said),
            }
            if let Some(line) = self.said.last().filter(|line| line.contains(text)) {
                return line.clone();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit status, and all that it said.
    fn end(mut self, within: Duration) -> (ExitStatus, String) {
        let deadline = Instant::now() + within;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("still running after {within:?}: {:#?}", self.said),
                None => thread::sleep(POLL),
            }
        };
        self.said.extend(self.lines.iter());
        (status, std::mem::take(&mut self.said).join("\n"))
    }
}

/// A camera on a free port, and its address.
fn camera(arguments: &[&str]) -> (Running, ChildStdin, String) {
    let mut command = Command::new(camera_binary());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut camera = Running::start(&mut command, |child| Box::new(child.stdout.take().unwrap()));
    let stdin = camera.child.stdin.take().unwrap();
    let url = camera.line("rtsp://127.0.0.1:");
    (camera, stdin, url)
}

/// The daemon with its own broker, watching for motion; `yaml` comes on top.
fn daemon(directory: &Path, yaml: &str) -> Running {
    let file = directory.join("orion.yaml");
    let text = format!(
        "instance_id: test\nshutdown_timeout_s: {}\nmqtt: {{embedded: true, uri: 'mqtt://127.0.0.1:0'}}\n{yaml}",
        SHUTDOWN.as_secs()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(daemon_binary());
    command.arg("--config").arg(&file).args(["--log-format", "text"]).stderr(Stdio::piped());
    command.env("ORION_WORKER", concat!(env!("CARGO_MANIFEST_DIR"), "/../models/run_worker.sh"));
    command.env("ORION_MODELS__PERSON_DETECTOR__DETECTOR", "motion").env("RUST_LOG", "info");
    Running::start(&mut command, |child| Box::new(child.stderr.take().unwrap()))
}

/// What stands between `before` and the next space or comma.
fn after<'a>(line: &'a str, before: &str) -> &'a str {
    let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in {line:?}"));
    rest.split([',', ' ']).next().unwrap()
}

fn get(address: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    (code, json)
}

/// A connection that gets what is published to `filter`.
fn subscribe(broker: &str, filter: &str) -> (Client, Connection) {
    let port: u16 = broker.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut options = MqttOptions::new("launch-test", ("127.0.0.1", port));
    options.set_keep_alive(5);
    let (client, connection) = Client::builder(options).capacity(10).build();
    client.subscribe(filter, QoS::AtLeastOnce).unwrap();
    (client, connection)
}

/// Topic and text of the next message, which must be as the contract says.
fn next_text(connection: &mut Connection) -> (String, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = connection.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        if let Event::Incoming(Incoming::Publish(message)) =
            event.expect("a message within the time").expect("a connection")
        {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let topic = text(&message.topic);
            contract::validate(&topic, &message.payload);
            return (topic, text(&message.payload));
        }
    }
}

/// The first `count` results.
fn results(broker: &str, count: usize) -> Vec<(String, Report)> {
    let (_client, mut connection) = subscribe(broker, "care/inferences/#");
    let mut results = Vec::new();
    while results.len() < count {
        let (topic, text) = next_text(&mut connection);
        results.push((topic, serde_json::from_str(&text).unwrap()));
    }
    results
}
/// Its children; each of its threads has its own.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()).collect()
}

fn is_alive(pid: u32) -> bool {
    // A zombie that its new parent has not reaped yet is dead all the same.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn watches(codec: &str) {
    let (_camera, _stdin, url) = camera(&["--codec", codec, "--width", "320", "--height", "240"]);
    let directory = tempfile::tempdir().unwrap();
    let mut daemon =
        daemon(directory.path(), &format!("camera: {{rtsp_url: '{url}'}}\nhttp: {{bind: '127.0.0.1:0'}}\n"));
    let line = daemon.line("is running");
    let (broker, http) = (after(&line, "results go to ").to_owned(), after(&line, "state: http://").to_owned());
    let http = http.trim_end_matches("/readiness");

    let results = results(&broker, 12);
    for (topic, report) in &results {
        assert_eq!(topic, "care/inferences/test/motion_detection");
        assert_eq!((report.result.kind.as_str(), report.result.instance_id.as_str()), ("motion_detection", "test"));
        for detection in &report.result.data.detections {
            let b = detection.bbox;
            assert!(b.x >= 0.0 && b.y >= 0.0 && b.x + b.width <= 320.0 && b.y + b.height <= 240.0, "{b:?}");
        }
    }
    assert!(results.iter().any(|(_, report)| report.result.data.count > 0), "the ball moves");
    assert!(results.is_sorted_by_key(|(_, report)| report.result.frame_seq));

    assert_eq!(get(http, "/health").0, 200);
    assert_eq!(get(http, "/nowhere").0, 404, "an unknown path");
    let (code, state) = get(http, "/readiness");
    assert_eq!((code, &state["status"]), (200, &Value::from("healthy")), "{state:#}");
    assert_eq!(state["broker"]["connected"], true);
    let worker = &state["workers"][0];
    assert!(worker["inferences_emitted"].as_u64() >= Some(12) && worker["last_seen_at"].is_string(), "{worker:#}");
    assert!(worker["rate_limit"].as_u64() > Some(0), "the camera gives 15 a second, 5 are wanted: {worker:#}");
    assert!(worker["drop_rate"].as_f64() < Some(0.5), "what is not wanted is no loss: {worker:#}");
    let process = worker["processes"][0]["pid"].as_u64().unwrap();

    let children = children(daemon.child.id());
    assert_eq!(children.len(), 2, "the broker and the worker");
    assert!(children.contains(&(process as u32)));
    let own = |text: &str| ("care/status/test".to_owned(), text.to_owned());
    let (_client, mut connection) = subscribe(&broker, "care/status/#");
    assert_eq!(next_text(&mut connection), own("online"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(next_text(&mut connection), own("stopped"), "before the daemon ends its broker");
    let (status, said) = daemon.end(SHUTDOWN);
    assert_eq!(status.code(), Some(0), "{said}");
    for element in ["source: ", "roi: ", "infer: ", "sink: "] {
        let line =
            said.lines().find(|line| line.contains(&format!("{element}received"))).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("in flight 0 (adds up)"), "{line}");
    }
    assert!(said.contains("stopped after "), "{said}");
    assert_eq!(children.into_iter().filter(|pid| is_alive(*pid)).count(), 0);
}

#[test]
fn watches_an_h264_camera_and_stops_cleanly() {
    watches("h264");
}

#[test]
fn watches_an_h265_camera_and_stops_cleanly() {
    gst::init().unwrap();
    if gst::ElementFactory::find("x265enc").is_none() {
        println!("skipped: no x265enc; it is in gstreamer1.0-plugins-bad");
        return;
    }
    watches("h265");
}

#[test]
fn a_camera_that_ends_is_told_with_exit_code_3() {
    let (camera, stdin, url) = camera(&[]);
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = daemon(directory.path(), &format!("camera: {{rtsp_url: '{url}'}}\nhttp: {{bind: ''}}\n"));
    let line = daemon.line("is running");
    results(after(&line, "results go to "), 1);
    drop(stdin);
    assert!(camera.end(PATIENCE).0.success(), "a camera ends with its standard input");
    let (status, said) = daemon.end(PATIENCE);
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("the stream of the camera is lost"), "{said}");
}

#[test]
fn every_frame_of_a_recording_is_answered() {
    gst::init().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("a clip.avi");
    let text = format!(
        "videotestsrc num-buffers=45 pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 ! jpegenc ! avimux \
         ! filesink location=\"{}\"",
        clip.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();

    let daemon = daemon(directory.path(), &format!("camera: {{file: '{}'}}\nhttp: {{bind: ''}}\n", clip.display()));
    let (status, said) = daemon.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{said}");
    for element in ["source", "roi", "infer", "sink"] {
        let line = format!("{element}: received 45 = forwarded 45 + dropped 0 + in flight 0 (adds up)");
        assert!(said.contains(&line), "{line}: {said}");
    }
}

#[test]
fn what_cannot_work_is_told_with_cause_and_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (yaml, code, expected) in [
        ("camera: {rtsp: x}", 2, "orion.yaml:4:10: camera.rtsp: unknown key"),
        (&format!("http: {{bind: '{address}'}}"), 1, "http.bind 127.0.0.1:"),
        ("camera: {file: /nowhere/clip.mp4}\nhttp: {bind: ''}", 1, "camera.file /nowhere/clip.mp4: No such file"),
        ("models: {person_detector: {worker_command: /nowhere/worker}}\nhttp: {bind: ''}", 1, "/nowhere/worker"),
        ("pipeline: videotestsrc ! nosuchelement\nhttp: {bind: ''}", 1, "nosuchelement"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (status, said) = daemon(directory.path(), yaml).end(PATIENCE);
        assert_eq!(status.code(), Some(code), "{yaml}: {said}");
        assert!(said.contains(expected), "{yaml}: {said}");
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // A worker that never gets ready: the first signal waits for it.
    let yaml = "models: {person_detector: {worker_command: sh -c 'exec sleep 60'}}\nhttp: {bind: ''}\nshutdown_timeout_s: 60\n";
    let file = directory.path().join("orion.yaml");
    std::fs::write(&file, format!("mqtt: {{embedded: true, uri: 'mqtt://127.0.0.1:0'}}\n{yaml}")).unwrap();
    let mut command = Command::new(daemon_binary());
    command.arg("--config").arg(&file).args(["--log-format", "text"]).stderr(Stdio::piped());
    let mut daemon = Running::start(&mut command, |child| Box::new(child.stderr.take().unwrap()));
    daemon.line("is running");
    daemon.signal(Signal::SIGINT);
    daemon.line("stopping");
    daemon.signal(Signal::SIGINT);
    let (status, said) = daemon.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{said}");
}
