// SPDX-License-Identifier: MPL-2.0
//! The true state of everything, read from the elements' `stats`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gst::prelude::*;
use orion_core::{camera::LossCause, health::Presence, timestamp};
use serde::Serialize;

use crate::{
    book::Book,
    config::SourceKind,
    inlet::{Inlet, StreamState},
    record::Record,
    source,
};

/// Causes that say that there was more to do than could be done.
const OVERLOAD: [&str; 2] = ["queue_full", "too_old"];

/// Everything, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) instance_id: String,
    pub(crate) uptime_s: f64,
    pub(crate) stream: Stream,
    pub(crate) broker: Broker,
    pub(crate) workers: Vec<Worker>,
    /// What can be said of persons; none = it is not looked for.
    pub(crate) presence: Option<Presence>,
    /// Workers take frames, and the last look is so old that it counts for nothing, s.
    #[serde(skip)]
    pub(crate) unseen_s: Option<f64>,
    pub(crate) ledger: Vec<Book>,
}

/// The camera.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Stream {
    pub(crate) live: bool,
    /// Without a frame for longer it is lost, if it is live.
    pub(crate) stall_timeout_s: f64,
    pub(crate) frames: u64,
    /// None before the first frame.
    pub(crate) last_frame_age_s: Option<f64>,
    pub(crate) state: StreamState,
    /// How long it has been in this state.
    pub(crate) state_for_s: f64,
    /// Why it is lost, and the same in words.
    pub(crate) cause: Option<LossCause>,
    pub(crate) detail: String,
    /// The number of the connection, as in the frames.
    pub(crate) epoch: u64,
    pub(crate) reconnects: u64,
    /// What the camera sends, over the last seconds.
    pub(crate) fps: Option<f64>,
    /// Frames a second that pass at most; 0 = all.
    pub(crate) rate_hz: f64,
}

/// The connection to the broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Broker {
    /// Empty where nothing is connected to it.
    pub(crate) uri: String,
    pub(crate) connected: bool,
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    pub(crate) buffered: u64,
    pub(crate) reconnects: u64,
    pub(crate) last_error: String,
}

/// One inference element with its processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) frames_processed: u64,
    /// For whatever cause but the rate that was asked for.
    pub(crate) frames_dropped: u64,
    /// Frames that were not wanted.
    pub(crate) rate_limit: u64,
    pub(crate) inferences_emitted: u64,
    /// Dropped / (processed + dropped), overload only.
    pub(crate) drop_rate: f64,
    pub(crate) avg_latency_ms: f64,
    pub(crate) last_seen_at: Option<String>,
    /// Processes that have taken the place of one that ended or hung.
    pub(crate) restarts: u64,
    /// How often the watchdog has had all of them started anew.
    pub(crate) watchdog_restarts: u64,
    pub(crate) processes: Vec<Process>,
}

/// One worker process.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Process {
    pub(crate) index: u32,
    pub(crate) state: String,
    pub(crate) pid: u32,
    pub(crate) restarts: u64,
    pub(crate) memory_bytes: u64,
    /// Empty for a worker without models.
    pub(crate) model_size: String,
    pub(crate) model_file: String,
    /// With which it computes, as it says; 0 = it does not, or not yet.
    pub(crate) threads: u32,
    pub(crate) last_error: String,
}

impl Process {
    /// Whether it takes frames.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == "ready" || self.state == "busy"
    }
}

/// Where the state is read from; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) instance_id: String,
    pub(crate) broker_uri: String,
    pub(crate) source: SourceKind,
    pub(crate) inlet: Arc<Inlet>,
    pub(crate) elements: Vec<gst::Element>,
    pub(crate) started: Instant,
    /// What the elements do not know.
    pub(crate) record: Record,
}

impl Status {
    /// Of a camera for which nothing could be made.
    pub(crate) fn of_nothing(instance_id: &str) -> Self {
        // Nothing comes in, so nothing is noted.
        let (notes, _) = tokio::sync::mpsc::unbounded_channel();
        Self {
            instance_id: instance_id.to_owned(),
            broker_uri: String::new(),
            source: SourceKind::Rtsp,
            inlet: Arc::new(Inlet::new(None, Duration::ZERO, notes)),
            elements: Vec::new(),
            started: Instant::now(),
            record: Record::default(),
        }
    }

    /// The state now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let gate = self.inlet.ledger();
        let connection = self.inlet.connection();
        let mut snapshot = Snapshot {
            instance_id: self.instance_id.clone(),
            uptime_s: seconds(self.started.elapsed()),
            stream: Stream {
                live: self.source.is_live(),
                stall_timeout_s: self.record.stall_timeout_s(),
                frames: gate.received(),
                last_frame_age_s: self.inlet.age().map(seconds),
                state: connection.state,
                state_for_s: seconds(connection.since.elapsed()),
                cause: connection.cause,
                detail: connection.detail,
                epoch: connection.epoch,
                reconnects: connection.reconnects,
                fps: self.inlet.fps().map(|fps| (fps * 1e3).round() / 1e3),
                rate_hz: self.inlet.rate(),
            },
            broker: Broker { uri: self.broker_uri.clone(), ..Broker::default() },
            workers: Vec::new(),
            presence: self.record.presence(),
            unseen_s: self.record.unseen_s(),
            ledger: vec![Book::of_ledger("source", &gate)],
        };
        for element in &self.elements {
            let stats = element.property::<gst::Structure>("stats");
            let book = Book::of_stats(&element.name(), &stats);
            if source::is(element, "orionmqttsink") {
                read_broker(&mut snapshot.broker, &stats);
            } else if source::is(element, "orionpyinfer") {
                snapshot.workers.push(worker(&element.name(), &book, &stats));
            }
            snapshot.ledger.push(book);
        }
        let limited = snapshot.ledger.iter().filter_map(|book| book.dropped.get("rate_limit")).sum();
        for worker in &mut snapshot.workers {
            worker.rate_limit = limited;
            worker.watchdog_restarts = self.record.restarts(&worker.name);
        }
        snapshot
    }
}

fn read_broker(broker: &mut Broker, stats: &gst::StructureRef) {
    broker.connected = stats.get("connected").unwrap_or(false);
    broker.published = number(stats, "published");
    broker.acknowledged = number(stats, "acknowledged");
    broker.buffered = number(stats, "buffered");
    broker.reconnects = number(stats, "reconnects");
    broker.last_error = text(stats, "last-error");
}

/// An inference element by its `stats`.
pub(crate) fn worker(name: &str, book: &Book, stats: &gst::StructureRef) -> Worker {
    let sum = |wanted: &dyn Fn(&str) -> bool| -> u64 {
        book.dropped.iter().filter(|(cause, _)| wanted(cause)).map(|(_, n)| n).sum()
    };
    let overload = sum(&|cause| OVERLOAD.contains(&cause));
    let processes = stats.get::<gst::Array>("workers").ok();
    let processes =
        processes.iter().flat_map(|list| list.iter()).filter_map(|value| value.get::<gst::Structure>().ok());
    let processes: Vec<_> = processes
        .map(|p| Process {
            index: p.get("index").unwrap_or(0),
            state: text(&p, "state"),
            pid: p.get("pid").unwrap_or(0),
            restarts: number(&p, "restarts"),
            memory_bytes: number(&p, "memory"),
            model_size: text(&p, "model-size"),
            model_file: text(&p, "model-file"),
            threads: p.get("threads").unwrap_or(0),
            last_error: text(&p, "last-error"),
        })
        .collect();
    Worker {
        name: name.to_owned(),
        frames_processed: book.forwarded,
        frames_dropped: sum(&|cause| cause != "rate_limit"),
        rate_limit: 0,
        inferences_emitted: number(stats, "results"),
        drop_rate: ratio(overload, book.forwarded + overload),
        avg_latency_ms: stats.get("average-latency-ms").unwrap_or(0.0),
        last_seen_at: Some(number(stats, "last-result")).filter(|ns| *ns > 0).map(timestamp::rfc3339),
        restarts: processes.iter().map(|process| process.restarts).sum(),
        watchdog_restarts: 0,
        processes,
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

fn number(stats: &gst::StructureRef, field: &str) -> u64 {
    stats.get(field).unwrap_or(0)
}

fn text(stats: &gst::StructureRef, field: &str) -> String {
    stats.get::<Option<String>>(field).ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_alone_makes_the_drop_rate() {
        gst::init().unwrap();
        let dropped =
            gst::Structure::builder("d").field("queue_full", 30u64).field("paused", 9u64).field("flush", 0u64).build();
        let process =
            gst::Structure::builder("worker").field("index", 1u32).field("state", "busy").field("pid", 7u32).build();
        let stats = gst::Structure::builder("s")
            .field("received", 50u64)
            .field("forwarded", 10u64)
            .field("in-flight", 1u64)
            .field("dropped", dropped)
            .field("results", 10u64)
            .field("last-result", 1_795_334_400_000_000_001u64)
            .field("workers", gst::Array::new([process]))
            .build();
        let book = Book::of_stats("infer", &stats);
        assert!(book.adds_up());
        let worker = worker("infer", &book, &stats);
        assert_eq!((worker.frames_processed, worker.frames_dropped, worker.drop_rate), (10, 39, 0.75));
        assert_eq!(worker.last_seen_at.as_deref(), Some("2026-11-22T08:00:00.000000001Z"));
        assert!(worker.processes[0].is_ready() && worker.processes[0].pid == 7);
    }
}
