// SPDX-License-Identifier: MPL-2.0
//! Cameras that go away and come back: the daemon says why, and results come again, while workers and broker go on.
//!
//! Needs mosquitto and the worker's Python environment (`make setup`). `ORION_LOSSES=50` loses the camera so often and
//! looks whether memory, threads and open files stay as they are.

// Helpers of tests are tests too: what they cannot do is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/launch.rs"]
mod support;

use std::{
    process::ChildStdin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;
use nix::sys::signal::Signal;
use orion_core::report::Report;
use rumqttc::{Client, Event, Incoming};
use serde_json::Value;
use support::{PATIENCE, Running, SHUTDOWN, after, camera, children, daemon, get, is_alive, subscribe};
use tempfile::TempDir;

/// A loss is to be told within 2.5 s, and results within 5 s of the camera's return; machines that are busy get twice that.
const TOLD: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(10);

/// Times are measured: one scenario at a time.
static ONE: Mutex<()> = Mutex::new(());

struct Camera {
    running: Running,
    stdin: ChildStdin,
    url: String,
}

impl Camera {
    fn start(arguments: &[&str]) -> Self {
        let (running, stdin, url) = camera(arguments);
        Self { running, stdin, url }
    }

    fn port(&self) -> String {
        self.url.trim_end_matches("/camera").rsplit_once(':').unwrap().1.to_owned()
    }

    fn kill(self) {
        drop(self);
    }

    fn end(self) {
        drop(self.stdin);
        assert!(self.running.end(PATIENCE).0.success());
    }
}

/// A daemon that is looked at.
struct Rig {
    daemon: Running,
    http: String,
    results: Receiver<(Instant, Report)>,
    _client: Client,
    _directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    fn start(yaml: &str) -> Self {
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let mut daemon = daemon(directory.path(), &format!("{yaml}\nhttp: {{bind: '127.0.0.1:0'}}\n"));
        let line = daemon.line("is running");
        let http = after(&line, "state: http://").trim_end_matches("/readiness").to_owned();
        let (client, mut connection) = subscribe(after(&line, "results go to "), "care/inferences/#");
        let (sender, results) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(event) = connection.recv() {
                if let Ok(Event::Incoming(Incoming::Publish(message))) = event {
                    let report = serde_json::from_slice(&message.payload).unwrap();
                    if sender.send((Instant::now(), report)).is_err() {
                        return;
                    }
                }
            }
        });
        Self { daemon, http, results, _client: client, _directory: directory, _turn: turn }
    }

    /// The first result that is published after this moment.
    fn result_after(&self, moment: Instant) -> Report {
        loop {
            let (at, report) = self.results.recv_timeout(PATIENCE).expect("a result within the time");
            if at > moment {
                return report;
            }
        }
    }

    fn state(&self) -> Value {
        get(&self.http, "/readiness").1
    }

    fn epoch(&self) -> u64 {
        self.state()["stream"]["epoch"].as_u64().unwrap()
    }

    fn pids(&self) -> Vec<u64> {
        let state = self.state();
        let processes = state["workers"][0]["processes"].as_array().unwrap();
        processes.iter().map(|process| process["pid"].as_u64().unwrap()).collect()
    }

    /// Waits until the loss is told, in time and everywhere.
    fn lost(&mut self, cause: &str, since: Instant) {
        self.told(cause);
        let took = since.elapsed();
        println!("{cause}: told after {:.2} s", took.as_secs_f64());
        assert!(took < TOLD, "{took:?}");
        let state = self.state();
        assert_eq!(state["status"], "unhealthy", "{state:#}");
        assert_eq!(state["stream"]["state"], "lost");
        assert!(state["reasons"][0].as_str().unwrap().starts_with("the stream is lost for "), "{state:#}");
    }

    fn told(&mut self, cause: &str) {
        self.daemon.line(&format!("the stream of the camera is lost: {cause}"));
    }

    /// Waits for the first result after the camera's return.
    fn back(&mut self, since: Instant) -> Report {
        self.daemon.line("the stream of the camera is back");
        let report = self.result_after(since);
        let took = since.elapsed();
        println!("results again after {:.2} s", took.as_secs_f64());
        assert!(took < BACK, "{took:?}");
        report
    }

    /// Stops it: all is counted, nobody is left.
    fn stop(self) -> String {
        let children = children(self.daemon.child.id());
        assert_eq!(children.len(), 2, "the broker and the worker");
        self.daemon.signal(Signal::SIGTERM);
        let (status, said) = self.daemon.end(SHUTDOWN);
        assert_eq!(status.code(), Some(0), "{said}");
        for element in ["source: ", "roi: ", "infer: ", "sink: "] {
            let book = said.lines().find(|line| line.contains(&format!("{element}received")));
            let book = book.unwrap_or_else(|| panic!("{said}"));
            assert!(book.contains("in flight 0 (adds up)"), "{book}");
        }
        assert!(!said.contains("CRITICAL"), "{said}");
        assert_eq!(children.into_iter().filter(|pid| is_alive(*pid)).count(), 0);
        said
    }
}

/// Is watched, goes away for `away`, and is there again with other arguments: told as `causes`, one after the other.
fn goes_and_comes(yaml: &str, before: &[&str], after: &[&str], away: Duration, causes: [&str; 2]) {
    let camera = Camera::start(before);
    let port = camera.port();
    let mut rig = Rig::start(&format!("camera: {{rtsp_url: '{}'{yaml}}}", camera.url));
    rig.result_after(Instant::now());
    let (pids, epoch) = (rig.pids(), rig.epoch());
    assert_eq!(epoch, 0);
    let gone = Instant::now();
    camera.kill();
    rig.lost(causes[0], gone);
    rig.told(causes[1]);
    thread::sleep(away.saturating_sub(gone.elapsed()));
    let camera = Camera::start(&[&["--port", &port], after].concat());
    rig.back(Instant::now());
    assert_eq!((rig.epoch(), rig.pids()), (1, pids));
    assert_eq!(rig.state()["stream"]["reconnects"], 1);
    rig.stop();
    camera.end();
}

const SMALL: [&str; 4] = ["--width", "320", "--height", "240"];
const WIDE: [&str; 4] = ["--width", "640", "--height", "352"];

#[test]
fn one_that_is_killed_comes_back_with_another_resolution() {
    // Long enough for pauses of several seconds: it is seen to be there all the same.
    goes_and_comes("", &SMALL, &WIDE, Duration::from_secs(9), ["lost", "refused"]);
}

#[test]
fn one_that_sends_by_udp_comes_back() {
    goes_and_comes(", transport: udp", &SMALL, &SMALL, Duration::from_secs(3), ["lost", "refused"]);
}

#[test]
fn one_that_freezes_is_noticed_and_comes_back() {
    let camera = Camera::start(&SMALL);
    let mut rig = Rig::start(&format!("camera: {{rtsp_url: '{}'}}", camera.url));
    rig.result_after(Instant::now());
    let pids = rig.pids();
    let gone = Instant::now();
    camera.running.signal(Signal::SIGSTOP);
    rig.lost("stalled", gone);
    thread::sleep(Duration::from_secs(8).saturating_sub(gone.elapsed()));
    camera.running.signal(Signal::SIGCONT);
    rig.back(Instant::now());
    assert_eq!((rig.epoch(), rig.pids()), (1, pids));
    rig.stop();
    camera.end();
}

/// Is replaced by one that does not fit, and comes back.
fn is_replaced(yaml: &str, good: &[&str], bad: &[&str], cause: &str) {
    let camera = Camera::start(good);
    let port = camera.port();
    let at_port = |arguments: &[&str]| Camera::start(&[&["--port", &port], arguments].concat());
    let mut rig = Rig::start(&format!("camera: {{rtsp_url: '{}', {yaml}}}", camera.url));
    rig.result_after(Instant::now());
    let pids = rig.pids();
    camera.kill();
    let other = at_port(bad);
    rig.lost(cause, Instant::now());
    other.kill();
    let camera = at_port(good);
    rig.back(Instant::now());
    assert_eq!((rig.epoch(), rig.pids()), (1, pids));
    let said = rig.stop();
    assert!(!said.contains("s3cret"), "{said}");
    camera.end();
}

#[test]
fn one_that_wants_another_password_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "s3cret\n").unwrap();
    let login = |password| ["--user", "me", "--password", password];
    let yaml = format!("username: me, password_file: '{}'", path.display());
    is_replaced(&yaml, &login("s3cret"), &login("other"), "unauthorised");
}

#[test]
fn one_with_another_codec_is_told_as_such() {
    is_replaced("codec: h264", &["--codec", "h264"], &["--codec", "mjpeg"], "wrong_codec");
}

#[test]
fn one_that_is_not_there_at_the_start_is_waited_for() {
    let camera = Camera::start(&[]);
    let (url, port) = (camera.url.clone(), camera.port());
    camera.kill();
    let mut rig = Rig::start(&format!("camera: {{rtsp_url: '{url}'}}"));
    rig.lost("refused", Instant::now());
    thread::sleep(Duration::from_secs(4));
    let camera = Camera::start(&["--port", &port]);
    rig.back(Instant::now());
    assert_eq!(rig.epoch(), 0, "its first connection");
    rig.stop();
    camera.end();
}

#[test]
fn mjpeg_is_measured_and_changes_its_size_in_mid_stream() {
    let camera = Camera::start(&["--codec", "mjpeg", "--fps", "10", "--resolution-change", "15"]);
    let models = "models: {person_detector: {detector: motion, max_inference_rate_hz: 20}}";
    let mut rig =
        Rig::start(&format!("camera: {{rtsp_url: '{}'}}\nstream: {{warmup_duration_s: 3}}\n{models}", camera.url));
    let line = rig.daemon.line("warmed up: ");
    assert!(line.contains("nine tenths of the camera's"), "{line}");
    let rate: f64 = after(&line, "rate ").parse().unwrap();
    assert!((8.5..9.5).contains(&rate), "{line}");
    let begin = Instant::now();
    rig.result_after(begin);
    let mut published = 0;
    while begin.elapsed() < Duration::from_secs(10) {
        rig.result_after(begin);
        published += 1;
    }
    let rate = f64::from(published) / begin.elapsed().as_secs_f64();
    println!("{rate:.2} results a second");
    assert!((8.0..9.6).contains(&rate), "nine tenths of 10 Hz: {rate}");
    let state = rig.state();
    assert_eq!((&state["stream"]["epoch"], &state["stream"]["reconnects"]), (&Value::from(0), &Value::from(0)));
    let fps = state["stream"]["fps"].as_f64().unwrap();
    assert!((9.0..11.0).contains(&fps), "{fps}");
    rig.stop();
    camera.end();
}

#[test]
fn a_recording_in_a_loop_is_a_camera() {
    gst::init().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("clip.avi");
    let text = format!(
        "videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=160,height=120,framerate=15/1 ! jpegenc ! avimux \
         ! filesink location=\"{}\"",
        clip.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();

    let models = "models: {person_detector: {detector: motion, max_inference_rate_hz: 30}}";
    let rig = Rig::start(&format!("camera: {{file: '{}', loop: true}}\n{models}", clip.display()));
    rig.result_after(Instant::now());
    let begin = Instant::now();
    let (mut last, mut longest, mut published) = (begin, Duration::ZERO, 0);
    while begin.elapsed() < Duration::from_secs(9) {
        let (at, _) = rig.results.recv_timeout(PATIENCE).unwrap();
        longest = longest.max(at.saturating_duration_since(last));
        (last, published) = (at, published + 1);
    }
    let epoch = rig.epoch();
    println!("{published} results in 9 s, longest gap {} ms, epoch {epoch}", longest.as_millis());
    assert!((4..=5).contains(&epoch), "rounds of two seconds: {epoch}");
    assert!((125..=140).contains(&published), "15 a second: {published}");
    assert!(longest < Duration::from_millis(400), "{longest:?}");
    rig.stop();
}

/// Memory in KiB, threads, open files.
fn usage(pid: u32) -> (u64, u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (field("VmRSS:"), field("Threads:"), std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count())
}

#[test]
fn many_losses_leave_nothing_behind() {
    let Ok(losses) = std::env::var("ORION_LOSSES").unwrap_or_default().parse::<usize>() else {
        println!("skipped: ORION_LOSSES says how many");
        return;
    };
    let mut camera = Camera::start(&SMALL);
    let port = camera.port();
    let mut rig = Rig::start(&format!("camera: {{rtsp_url: '{}'}}", camera.url));
    rig.result_after(Instant::now());
    let (pids, pid) = (rig.pids(), rig.daemon.child.id());
    let mut before = None;
    for loss in 1..=losses {
        camera.kill();
        rig.told("lost");
        camera = Camera::start(&[&["--port", &port], &SMALL[..]].concat());
        rig.back(Instant::now());
        let now = usage(pid);
        println!("loss {loss}: {} KiB, {} threads, {} files", now.0, now.1, now.2);
        if loss == 5.min(losses) {
            before = Some(now);
        }
    }
    assert_eq!((rig.epoch(), rig.pids()), (losses as u64, pids));
    let (before, after) = (before.unwrap(), usage(pid));
    assert!(after.0 < before.0 + 8 * 1024, "memory, KiB: {before:?}, then {after:?}");
    assert!(after.1 <= before.1 + 6, "threads: {before:?}, then {after:?}");
    assert!(after.2 <= before.2 + 6, "open files: {before:?}, then {after:?}");
    rig.stop();
    camera.end();
}
