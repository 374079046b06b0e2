// SPDX-License-Identifier: MPL-2.0
//! The daemon and cameras as child processes, and what is read from them.
#![allow(dead_code, reason = "no test file uses all of it")]

#[path = "contract.rs"]
pub mod contract;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use orion_core::report::Report;
use rumqttc::{Client, Connection, Event, Incoming, MqttOptions, QoS};
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);
pub const SHUTDOWN: Duration = Duration::from_secs(5);
pub const POLL: Duration = Duration::from_millis(20);

pub fn daemon_binary() -> PathBuf {
    env!("CARGO_BIN_EXE_orion-launch").into()
}

/// Cargo gives a test only the programs of its own package; the camera is another one, and built once.
pub fn camera_binary() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(build_camera)
}

fn build_camera() -> PathBuf {
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
pub struct Running {
    pub child: Child,
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
    pub fn start(command: &mut Command, of: fn(&mut Child) -> Box<dyn Read + Send>) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = of(&mut child);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, said: Vec::new() }
    }

    /// The first line that contains `text`.
    pub fn line(&mut self, text: &str) -> String {
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

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit status, and all that it said.
    pub fn end(mut self, within: Duration) -> (ExitStatus, String) {
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
pub fn camera(arguments: &[&str]) -> (Running, ChildStdin, String) {
    let mut command = Command::new(camera_binary());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut camera = Running::start(&mut command, |child| Box::new(child.stdout.take().unwrap()));
    let stdin = camera.child.stdin.take().unwrap();
    let url = camera.line("rtsp://127.0.0.1:");
    (camera, stdin, url)
}

/// The daemon with its own broker, watching for motion, without a warm-up; `yaml` comes on top.
pub fn daemon(directory: &Path, yaml: &str) -> Running {
    let file = directory.join("orion.yaml");
    let warmup = if yaml.contains("stream:") { "" } else { "stream: {warmup_duration_s: 0}\n" };
    let text = format!(
        "instance_id: test\nshutdown_timeout_s: {}\nmqtt: {{embedded: true, uri: 'mqtt://127.0.0.1:0'}}\n{warmup}{yaml}",
        SHUTDOWN.as_secs()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(daemon_binary());
    command.arg("--config").arg(&file).args(["--log-format", "text"]).stderr(Stdio::piped());
    if std::env::var_os("ORION_WORKER").is_none() {
        command.env("ORION_WORKER", concat!(env!("CARGO_MANIFEST_DIR"), "/../models/run_worker.sh"));
    }
    command.env("ORION_MODELS__PERSON_DETECTOR__DETECTOR", "motion").env("RUST_LOG", "info");
    Running::start(&mut command, |child| Box::new(child.stderr.take().unwrap()))
}

/// What stands between `before` and the next space or comma.
pub fn after<'a>(line: &'a str, before: &str) -> &'a str {
    let (_, rest) = line.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in {line:?}"));
    rest.split([',', ' ']).next().unwrap()
}

pub fn get(address: &str, path: &str) -> (u16, Value) {
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
pub fn subscribe(broker: &str, filter: &str) -> (Client, Connection) {
    let port: u16 = broker.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut options = MqttOptions::new("launch-test", ("127.0.0.1", port));
    options.set_keep_alive(5);
    let (client, connection) = Client::builder(options).capacity(10).build();
    client.subscribe(filter, QoS::AtLeastOnce).unwrap();
    (client, connection)
}

/// Topic and text of the next message, which must be as the contract says.
pub fn next_text(connection: &mut Connection) -> (String, String) {
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
pub fn results(broker: &str, count: usize) -> Vec<(String, Report)> {
    let (_client, mut connection) = subscribe(broker, "care/inferences/#");
    let mut results = Vec::new();
    while results.len() < count {
        let (topic, text) = next_text(&mut connection);
        results.push((topic, serde_json::from_str(&text).unwrap()));
    }
    results
}
/// Its children; each of its threads has its own.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()).collect()
}

pub fn is_alive(pid: u32) -> bool {
    // A zombie that its new parent has not reaped yet is dead all the same.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
