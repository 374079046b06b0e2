// SPDX-License-Identifier: MPL-2.0
//! What waits for the broker survives on the disk: a crash, a stop, a file that is damaged, a disk that is full.
//! `ORION_BUFFER_MESSAGES=200000` for a long backlog, `ORION_HEALTHY_SECONDS=10` for a long look at a good link.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it tells what it measures")]

mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;
use orion_core::{gap::Gap, ledger::Cause};
use serde_json::Value;
use support::{
    broker::{Broker, DeadPort, PATIENCE, Subscriber, signal_process},
    sink::{Sink, text},
};

const NO_DRAIN: u64 = 1_000_000;

/// A sink with this folder.
fn buffered(port: u16, folder: &Path, more: &[(&str, &dyn ToValue)]) -> Sink {
    let folder = folder.to_str().unwrap();
    let mut properties: Vec<(&str, &dyn ToValue)> = vec![("buffer-directory", &folder)];
    properties.extend_from_slice(more);
    Sink::at(port, &properties)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// A camera, a worker and a sink with this folder, the way users have it.
fn pipeline(port: u16, folder: &Path, source: &str, more: &str) -> gst::Pipeline {
    gst::init().unwrap();
    gstorion::plugin_register_static().unwrap();
    support::leaks::watch();
    let text = format!(
        "videotestsrc pattern=ball {source} ! video/x-raw,width=64,height=48,framerate=30/1 ! jpegenc \
         ! orionroi instance-id=ward-3 ! orionpyinfer worker-command=\"'{}'\" \
         ! orionmqttsink name=sink port={port} topic={{type}} max-reconnect-interval=200000000 \
         buffer-directory=\"{}\" {more}",
        env!("CARGO_BIN_EXE_orion-stub-worker"),
        folder.display()
    );
    gst::parse::launch(&text).unwrap().downcast().unwrap()
}

fn count(pipeline: &gst::Pipeline, field: &str) -> u64 {
    pipeline.by_name("sink").unwrap().property::<gst::Structure>("stats").get(field).unwrap()
}

fn wait_for_eos(pipeline: &gst::Pipeline) {
    let patience = gst::ClockTime::from_nseconds(PATIENCE.as_nanos() as u64);
    let ended = pipeline.bus().unwrap().timed_pop_filtered(patience, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert!(matches!(ended.unwrap().view(), gst::MessageView::Eos(_)));
}

const FOLDER: &str = "ORION_TEST_FOLDER";

/// Another test of this file, which is ignored otherwise, in a process of its own.
fn child(name: &str, folder: &Path, wrapper: &[&str]) -> Command {
    let this = env::current_exe().unwrap();
    let mut command = Command::new(wrapper.first().map_or(this.as_os_str(), |first| first.as_ref()));
    command.args(wrapper.iter().skip(1));
    if !wrapper.is_empty() {
        command.arg(&this);
    }
    command.args(["--ignored", "--exact", "--nocapture", name]).env(FOLDER, folder);
    command
}

fn folder() -> Option<std::path::PathBuf> {
    env::var_os(FOLDER).map(Into::into)
}

/// Runs it to its end.
fn run(mut command: Command) -> (ExitStatus, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "started by another test"]
fn a_process_to_be_killed() {
    let Some(folder) = folder() else { return };
    let port = DeadPort::new();
    let pipeline = pipeline(port.number, &folder, "is-live=true", "");
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = Instant::now() + 3 * PATIENCE;
    // Until it is killed, or a test that failed to do so is long over.
    while Instant::now() < end {
        println!("stored {}", count(&pipeline, "stored"));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let mut child =
        child("a_process_to_be_killed", dir.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let stored = lines
        .by_ref()
        .filter_map(|line| line.rsplit_once("stored ")?.1.parse::<u64>().ok())
        .find(|stored| *stored >= 40)
        .expect("the other process stores");
    signal_process(child.id().cast_signed(), "-KILL");
    child.wait().unwrap();

    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "#");
    let drain = format!("drain-timeout={}", PATIENCE.as_nanos());
    let pipeline = pipeline(broker.port(), dir.path(), "num-buffers=20", &drain);
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for_eos(&pipeline);
    let received = count(&pipeline, "received");
    assert!(received >= stored + 20, "{received} with {stored} of the former run");
    assert_eq!((count(&pipeline, "forwarded"), count(&pipeline, "in-flight")), (received, 0));
    assert_eq!(count(&pipeline, "replayed"), received - 20);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(count(&pipeline, "stored"), 0);
    let heard: Vec<_> = (0..received)
        .map(|_| {
            let json: Value = serde_json::from_slice(&subscriber.next().payload).unwrap();
            assert!(json["latency_ms"].as_f64().unwrap() > 0.0 && json["stages"]["publish_ms"].as_f64().unwrap() > 0.0);
            (json["frame_seq"].as_u64().unwrap(), json["replayed"] == true)
        })
        .collect();
    let former = (0..received - 20).map(|seq| (seq, true));
    let expected: Vec<_> = former.chain((0..20).map(|seq| (seq, false))).collect();
    assert_eq!(heard, expected, "first all of the former run, then the new");
}

#[test]
fn a_stop_without_a_broker_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let dead = DeadPort::new();
    let port = dead.number;
    let mut first = buffered(port, dir.path(), &[("drain-timeout", &NO_DRAIN)]);
    first.push_all(0..50);
    first.stop();
    first.adds_up();
    assert_eq!((first.dropped("shutdown"), first.count("in-flight"), first.count("stored")), (0, 50, 50));
    assert!((90 + 50 * 1024..90 + 50 * 1100).contains(&first.count("stored-bytes")), "{}", first.stats());
    // Again without one, and with more.
    let mut second = buffered(port, dir.path(), &[("drain-timeout", &NO_DRAIN)]);
    assert_eq!((second.count("received"), second.count("in-flight"), second.count("stored")), (50, 50, 50));
    second.push_all(50..70);
    second.stop();
    second.adds_up();
    assert_eq!((second.count("received"), second.count("stored")), (70, 70));

    let broker = Broker::start_with(port, "allow_anonymous true");
    let subscriber = Subscriber::new(broker.port(), "t");
    let mut third = buffered(port, dir.path(), &[]);
    third.push_all(70..80);
    third.eos();
    assert_eq!(subscriber.texts(80), numbers(0..80));
    assert_eq!((third.count("received"), third.count("forwarded"), third.count("replayed")), (80, 80, 70));
    third.stop();
    third.adds_up();
    let fourth = buffered(port, dir.path(), &[]);
    assert_eq!((fourth.count("received"), fourth.count("stored"), fourth.count("storage-errors")), (0, 0, 0));
}

/// Of this process, MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_long_backlog_is_on_the_disk_and_comes_in_order() {
    backlog(false);
}

#[test]
fn a_long_backlog_of_a_former_run_comes_in_order() {
    backlog(true);
}

fn backlog(restart: bool) {
    let messages: usize = env::var("ORION_BUFFER_MESSAGES").map_or(20_000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let port = DeadPort::new();
    let mut broker = Broker::start_with(port.number, "allow_anonymous true\nautosave_on_changes false");
    let subscriber = Subscriber::new(broker.port(), "t");
    broker.stop();
    let bounds: [(&str, &dyn ToValue); 2] =
        [("max-buffered-messages", &1_000_000_u32), ("max-buffered-bytes", &4_000_000_000_u64)];
    let mut sink = buffered(broker.port(), dir.path(), &bounds);
    sink.message(gst::MessageType::Warning);
    let before = resident();
    let began = Instant::now();
    let text = |n: usize| format!("{n:<1000}");
    for chunk in 0..messages / 1000 {
        (chunk * 1000..(chunk + 1) * 1000).for_each(|n| sink.push(&text(n)));
        // So that what is in memory does not grow beyond what is kept there.
        sink.wait_for("stored", (chunk as u64 + 1) * 1000);
    }
    let stored = began.elapsed();
    let grown = resident().saturating_sub(before);
    sink.adds_up();
    assert_eq!((sink.count("in-flight"), sink.count("stored-bytes")), (messages as u64, sink.count("buffered-bytes")));
    assert!(sink.count("stored-bytes") > messages as u64 * 2000, "{}", sink.stats());
    if restart {
        sink.stop();
        drop(sink);
        let began = Instant::now();
        sink = buffered(broker.port(), dir.path(), &bounds);
        println!("started in {:?}, {} MiB", began.elapsed(), resident());
        assert_eq!((sink.count("received"), sink.count("in-flight")), (messages as u64, messages as u64));
    }
    let began = Instant::now();
    broker.resume();
    for n in 0..messages {
        let message = subscriber.next();
        assert_eq!(message.text(), text(n));
    }
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    println!("{messages} messages of 1 kB: stored in {stored:?}, {grown} MiB more; delivered at {rate:.0} a second");
    sink.wait_for("forwarded", messages as u64);
    assert_eq!((sink.count("storage-errors"), sink.count("replayed")), (0, messages as u64));
    if messages >= 200_000 {
        assert!(grown < 32 + messages as u64 / 4000, "{grown} MiB for {messages} messages");
    }
}

#[test]
fn what_the_bounds_cost_is_said_also_by_the_next_run() {
    for bound in ["max-buffered-messages=7", "max-buffered-bytes=10000"] {
        let dir = tempfile::tempdir().unwrap();
        let dead = DeadPort::new();
        let port = dead.number;
        let first = pipeline(port, dir.path(), "num-buffers=40", &format!("drain-timeout={NO_DRAIN} {bound}"));
        first.set_state(gst::State::Playing).unwrap();
        wait_for_eos(&first);
        first.set_state(gst::State::Null).unwrap();
        let kept = count(&first, "stored");
        assert!((1..40).contains(&kept), "{bound}: {kept}");
        assert_eq!((count(&first, "received"), count(&first, "in-flight")), (40, kept));

        let broker = Broker::start_with(port, "allow_anonymous true");
        let subscriber = Subscriber::new(broker.port(), "#");
        let drain = format!("drain-timeout={} {bound}", PATIENCE.as_nanos());
        let second = pipeline(port, dir.path(), "num-buffers=0", &drain);
        second.set_state(gst::State::Playing).unwrap();
        wait_for_eos(&second);
        let gap: Gap = serde_json::from_slice(&subscriber.next().payload).unwrap();
        assert_eq!((gap.cause, gap.frames, gap.instance_id.as_str()), (Cause::QueueFull, 40 - kept, "ward-3"));
        let ranges: Vec<_> = gap.ranges.as_slice().iter().map(|range| (range.first, range.last)).collect();
        assert_eq!(ranges, [(0, 39 - kept)], "{bound}");
        let results: Vec<Value> =
            (0..kept).map(|_| serde_json::from_slice(&subscriber.next().payload).unwrap()).collect();
        let seqs: Vec<_> = results.iter().map(|json| json["frame_seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (40 - kept..40).collect::<Vec<_>>());
        assert_eq!(results[0]["lost_since_last"]["queue_full"], 40 - kept, "the next report says it too");
        assert_eq!((count(&second, "received"), count(&second, "forwarded")), (kept, kept));
        second.set_state(gst::State::Null).unwrap();
        assert_eq!(count(&second, "stored"), 0);
    }
}

#[test]
fn a_good_link_writes_nothing() {
    let seconds: u64 = env::var("ORION_HEALTHY_SECONDS").map_or(2, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let mut sink = buffered(broker.port(), dir.path(), &[]);
    sink.push("first");
    sink.wait_for("acknowledged", 1);
    let file = dir.path().join("messages.redb");
    let mut pushed = 1;
    // A busy machine may make it a slow link, which is another matter.
    for _ in 0..20 {
        sink.wait_for("acknowledged", pushed);
        // What was written in a slow moment is removed half a second later.
        thread::sleep(Duration::from_secs(1));
        let before = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(seconds) {
            let push = Instant::now();
            sink.push("x");
            pushed += 1;
            sink.wait_for("acknowledged", pushed);
            slowest = slowest.max(push.elapsed());
            thread::sleep(Duration::from_millis(10));
        }
        println!("{pushed} messages, acknowledged within {slowest:?}");
        if slowest < Duration::from_millis(400) {
            let after = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
            assert!(before == after, "the file was written to");
            return assert_eq!(sink.count("stored"), 0);
        }
    }
    panic!("this machine is too slow");
}

#[test]
fn a_damaged_file_is_moved_aside_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("messages.redb");
    fs::write(&file, "something else altogether").unwrap();
    let port = DeadPort::new();
    let mut sink = buffered(port.number, dir.path(), &[("drain-timeout", &NO_DRAIN)]);
    let warning = sink.message(gst::MessageType::Warning);
    assert!(warning.starts_with("buffer-directory: ") && warning.contains(file.to_str().unwrap()), "{warning}");
    let aside = warning.rsplit_once("it is now ").unwrap().1;
    assert_eq!(fs::read_to_string(aside).unwrap(), "something else altogether");
    sink.push("a");
    sink.stop();
    assert_eq!(sink.count("stored"), 1);
}

/// Why a sink with this folder does not start.
fn refused(folder: &Path) -> String {
    let (element, bus) = Sink::element(&[("buffer-directory", &folder.to_str().unwrap())]);
    assert_eq!(element.set_state(gst::State::Paused), Err(gst::StateChangeError));
    element.set_state(gst::State::Null).unwrap();
    let error = text(&bus.pop_filtered(&[gst::MessageType::Error]).unwrap());
    assert!(error.starts_with(&format!("buffer-directory {folder:?}: ")), "{error}");
    error
}

#[test]
fn a_folder_is_for_one_sink() {
    let dir = tempfile::tempdir().unwrap();
    let port = DeadPort::new();
    let mut sink = buffered(port.number, dir.path(), &[("drain-timeout", &NO_DRAIN)]);
    let error = refused(dir.path());
    assert!(error.ends_with("another sink uses this folder"), "{error}");
    sink.push("a");
    sink.stop();
    assert_eq!(sink.count("stored"), 1, "the first is not disturbed");
    let file = dir.path().join("messages.redb");
    assert!(refused(&file).contains("cannot be made"), "a file is no folder");
}

/// Not a test: run without the rights of root.
#[test]
#[ignore = "started by another test"]
fn a_process_that_must_not_write() {
    let Some(folder) = folder() else { return };
    let error = refused(&folder);
    assert!(error.contains("cannot be written to: Permission denied"), "{error}");
    let error = refused(&folder.join("new"));
    assert!(error.contains("cannot be made: Permission denied"), "{error}");
    println!("refused");
}

#[test]
fn a_folder_that_is_read_only_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    // Root may write everywhere, without this capability it may not.
    let as_user = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
    let wrapper: &[&str] = if rustix::process::geteuid().is_root() { &as_user } else { &[] };
    let (status, output) = run(child("a_process_that_must_not_write", &locked, wrapper));
    assert!(status.success() && output.contains("refused"), "{output}");
}

/// So many messages fit in any case.
const FITS: usize = 20;

/// Not a test: run where files cannot become large.
#[test]
#[ignore = "started by another test"]
fn a_process_without_space() {
    let Some(folder) = folder() else { return };
    let port = DeadPort::new();
    let mut sink = buffered(port.number, &folder, &[("drain-timeout", &NO_DRAIN)]);
    let deadline = Instant::now() + PATIENCE;
    let mut pushed = FITS;
    (0..FITS).for_each(|n| sink.push(&format!("{n:<1000}")));
    sink.wait_for("stored", FITS as u64);
    while sink.count("storage-errors") == 0 {
        assert!(Instant::now() < deadline, "{}", sink.stats());
        sink.push(&format!("{pushed:<1000}"));
        pushed += 1;
        if pushed.is_multiple_of(100) {
            let last = sink.count("stored");
            let moment = Instant::now() + Duration::from_secs(1);
            while sink.count("stored") == last && sink.count("storage-errors") == 0 && Instant::now() < moment {
                thread::yield_now();
            }
        }
    }
    // The buffer goes on in memory.
    for n in pushed..pushed + 20 {
        sink.push(&format!("{n:<1000}"));
    }
    sink.adds_up();
    let warnings = std::iter::repeat_with(|| sink.message(gst::MessageType::Warning));
    let warning = warnings.take(10).find(|text| text.starts_with("buffer-directory")).unwrap();
    assert!(warning.contains(folder.to_str().unwrap()) && warning.ends_with("in memory only"), "{warning}");
    let (before, in_flight) = (sink.count("stored"), sink.count("in-flight"));
    sink.stop();
    sink.adds_up();
    // The last try may find some room.
    let stored = sink.count("stored");
    assert!(before <= stored && stored < in_flight, "{}", sink.stats());
    assert_eq!((sink.count("in-flight"), sink.dropped("shutdown")), (stored, in_flight - stored));
    println!("kept {stored} of {in_flight}: {warning}");
}

fn limited(name: &str, folder: &Path, blocks: u32) -> (ExitStatus, String) {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    run(child(name, folder, &["sh", "-c", &script]))
}

#[test]
fn a_full_disk_costs_nothing_that_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (status, output) = limited("a_process_without_space", dir.path(), 800);
    assert!(status.success(), "{output}");
    let line = output.lines().find_map(|line| line.split_once("kept ")).unwrap_or_else(|| panic!("{output}")).1;
    println!("{line}");
    let stored: usize = line.split(' ').next().unwrap().parse().unwrap();
    assert!(stored >= FITS, "{line}");

    let broker = Broker::start();
    let subscriber = Subscriber::new(broker.port(), "t");
    let mut sink = buffered(broker.port(), dir.path(), &[]);
    assert_eq!(sink.count("received"), stored as u64);
    sink.eos();
    let texts: Vec<_> = subscriber.texts(stored).iter().map(|text| text.trim_end().to_owned()).collect();
    assert_eq!(texts, numbers(0..stored));
}

/// Not a test: run where not even an empty file has room.
#[test]
#[ignore = "started by another test"]
fn a_process_with_no_space_at_all() {
    let Some(folder) = folder() else { return };
    println!("{}", refused(&folder));
}

#[test]
fn a_disk_that_is_full_at_the_start_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (status, output) = limited("a_process_with_no_space_at_all", dir.path(), 8);
    assert!(status.success(), "{output}");
    assert!(output.contains("its file cannot be used: File too large"), "{output}");
}
