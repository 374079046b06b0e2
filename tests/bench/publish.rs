// SPDX-License-Identifier: MPL-2.0
//! What publishing costs: reports at a steady rate to a broker on loopback, at QoS 1.
//! `cargo bench --bench publish -- [MESSAGES A SECOND] [SECONDS]`; 1000 for 60 s by default.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use support::{
    broker::{Broker, Subscriber},
    result::inferred,
    sink::Sink,
};

/// Clock ticks a second in /proc (sysconf(_SC_CLK_TCK); 100 on every Linux).
const TICKS: f64 = 100.0;

fn statistic(path: &str) -> (String, f64) {
    let text = fs::read_to_string(path).unwrap();
    let (head, rest) = text.rsplit_once(')').unwrap();
    let name = head.split_once('(').unwrap().1.to_owned();
    // utime and stime, the 14th and 15th field of proc(5).
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    (name, ticks / TICKS)
}

/// CPU seconds so far of this thread, which pushes.
fn cpu() -> f64 {
    statistic(&format!("/proc/self/task/{}/stat", std::process::id())).1
}

/// CPU seconds so far of the threads with this name.
fn cpu_of(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    tasks
        .map(|task| statistic(task.path().join("stat").to_str().unwrap()))
        .filter(|(own, _)| own == name)
        .map(|(_, seconds)| seconds)
        .sum()
}

fn resident_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Pushes so many messages a second; returns when each went in.
fn push(sink: &mut Sink, rate: u64, seconds: u64) -> Vec<Instant> {
    let start = Instant::now();
    (0..rate * seconds)
        .map(|n| {
            let due = start + Duration::from_secs(n) / rate as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            sink.harness.push(inferred(n, &["person_detection"])).unwrap();
            now
        })
        .collect()
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100) - 1].as_secs_f64() * 1e3
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let rate = numbers.next().unwrap_or(1000);
    let seconds = numbers.next().unwrap_or(60);
    let broker = Broker::start_with(support::broker::free_port(), "allow_anonymous true\nautosave_interval 1000000");
    let watched = rate * 10;
    let sent = rate + rate * seconds + watched;
    let subscriber = Subscriber::new(broker.port(), "#");
    // What is received is not kept, since this process's memory is measured.
    let receiver = thread::spawn(move || {
        let (mut got, mut last) = (0, None);
        while got < sent {
            let message = subscriber.next();
            let json: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            let seq = json["frame_seq"].as_u64();
            got += u64::from(seq != last);
            last = seq;
        }
        got
    });
    // The name is that of the client's thread as well; the kernel keeps 15 letters of it.
    let mut sink = Sink::at(broker.port(), &[("name", &"publisher")]);
    push(&mut sink, rate, 1);
    sink.wait_for("acknowledged", rate);

    let memory = resident_mib();
    let (streaming, client) = (cpu(), cpu_of("publisher"));
    let total = rate * seconds;
    push(&mut sink, rate, seconds);
    sink.wait_for("acknowledged", rate + total);
    let streaming = (cpu() - streaming) / total as f64 * 1e6;
    let client = (cpu_of("publisher") - client) / total as f64 * 1e6;
    println!("{total} messages at {rate}/s, QoS 1, loopback:");
    println!("  CPU a message: {streaming:.0} us to make and push, {client:.0} us to send and to see it acknowledged");
    println!("  memory: {memory:.1} MiB before, {:.1} MiB after", resident_mib());

    // The same again for ten seconds with an eye on the clock, which costs CPU of its own.
    let stats = sink.element.clone();
    let before = sink.count("acknowledged");
    let watcher = thread::spawn(move || {
        use gst::prelude::*;
        let mut seen = Vec::with_capacity(watched as usize);
        while (seen.len() as u64) < watched {
            let count: u64 = stats.property::<gst::Structure>("stats").get("acknowledged").unwrap();
            let now = Instant::now();
            seen.resize((count - before) as usize, now);
            thread::sleep(Duration::from_micros(50));
        }
        seen
    });
    let pushed = push(&mut sink, rate, 10);
    let seen = watcher.join().unwrap();
    let mut delays: Vec<Duration> = pushed.iter().zip(&seen).map(|(from, to)| *to - *from).collect();
    delays.sort_unstable();
    println!("  push to acknowledged: p50 {:.2} ms, p99 {:.2} ms", percentile(&delays, 50), percentile(&delays, 99));
    sink.eos();
    let got = receiver.join().unwrap();
    println!("  received by the subscriber: {got} of {sent}");
    assert_eq!((got, sink.count("forwarded")), (sent, sent), "none is lost");
}
