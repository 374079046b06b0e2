// SPDX-License-Identifier: MPL-2.0
//! Counters and gauges, read from the same books as everything else when somebody asks.

use std::{
    fmt::Error,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Unit};

use orion_core::presence::State;

use super::monotonic::Monotonic;
use crate::{
    book::Book,
    inlet::StreamState,
    overview::Overview,
    status::{Broker, Snapshot},
};

/// Of the examples that no counter here has.
type NoLabels = [(String, String); 0];

/// Labels of one value.
type Labels = Vec<(&'static str, String)>;

/// One metric with a value for each camera, element or cause.
struct Figure {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    values: Vec<(Labels, Value)>,
}

enum Value {
    Count(u64),
    Level(f64),
}

/// Reads the state of all cameras at each scrape.
#[derive(Debug)]
pub(super) struct Figures {
    overview: Overview,
    counters: Mutex<Monotonic>,
}

impl Figures {
    pub(super) fn new(overview: Overview) -> Self {
        Self { overview, counters: Mutex::default() }
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        // Plain numbers: a panic elsewhere leaves them usable. Before anything is read: another scrape at the same time would find
        // counters that are behind those of this one, and take them for ones that have begun anew.
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let cameras: Vec<_> = self.overview.cameras().iter().map(|camera| camera.snapshot()).collect();
        for figure in figures(&cameras) {
            let kind = match figure.values.first() {
                Some((_, Value::Count(_))) => MetricType::Counter,
                Some((_, Value::Level(_))) => MetricType::Gauge,
                None => continue,
            };
            let mut metric = encoder.encode_descriptor(figure.name, figure.help, figure.unit.as_ref(), kind)?;
            for (labels, value) in &figure.values {
                let labels = labels.as_slice();
                match value {
                    Value::Count(count) => {
                        let count = counters.count(&format!("{} {labels:?}", figure.name), *count);
                        metric.encode_family(&labels)?.encode_counter::<NoLabels, _, u64>(&count, None)?;
                    }
                    Value::Level(level) => metric.encode_family(&labels)?.encode_gauge(level)?,
                }
            }
        }
        Ok(())
    }
}

fn figures(cameras: &[Snapshot]) -> Vec<Figure> {
    let mut all = Vec::new();
    let mut figure = |name, help, unit, values: Vec<(Labels, Value)>| all.push(Figure { name, help, unit, values });
    let books = |value: &dyn Fn(&Book) -> Vec<(Labels, Value)>| -> Vec<(Labels, Value)> {
        let of = |camera: &Snapshot| {
            let id = camera.instance_id.clone();
            let value = |book: &Book| {
                let (id, element) = (id.clone(), book.element.clone());
                let labelled = move |(more, value): (Labels, Value)| {
                    let mut labels = vec![("instance_id", id.clone()), ("element", element.clone())];
                    labels.extend(more);
                    (labels, value)
                };
                value(book).into_iter().map(labelled).collect::<Vec<_>>()
            };
            camera.ledger.iter().flat_map(value).collect::<Vec<_>>()
        };
        cameras.iter().flat_map(of).collect()
    };
    let each = |value: &dyn Fn(&Snapshot) -> Option<Value>| -> Vec<(Labels, Value)> {
        let labelled = |camera: &Snapshot| Some((vec![("instance_id", camera.instance_id.clone())], value(camera)?));
        cameras.iter().filter_map(labelled).collect()
    };
    let workers = |value: &dyn Fn(&crate::status::Worker) -> Value| -> Vec<(Labels, Value)> {
        let of = |camera: &Snapshot| {
            let labels = |worker: &crate::status::Worker| {
                vec![("instance_id", camera.instance_id.clone()), ("worker", worker.name.clone())]
            };
            camera.workers.iter().map(|worker| (labels(worker), value(worker))).collect::<Vec<_>>()
        };
        cameras.iter().flat_map(of).collect()
    };
    let up = |is: bool| Value::Level(f64::from(u8::from(is)));

    figure(
        "orion_frames_received",
        "Frames that came to an element.",
        None,
        books(&|b| vec![(vec![], Value::Count(b.received))]),
    );
    figure(
        "orion_frames_forwarded",
        "Frames that an element has passed on or published.",
        None,
        books(&|b| vec![(vec![], Value::Count(b.forwarded))]),
    );
    let dropped = |book: &Book| {
        let cause = |(cause, frames): (&String, &u64)| (vec![("cause", cause.clone())], Value::Count(*frames));
        book.dropped.iter().map(cause).collect()
    };
    figure(
        "orion_frames_dropped",
        "Frames that an element has dropped, by cause; rate_limit is no loss.",
        None,
        books(&dropped),
    );
    figure(
        "orion_frames_in_flight",
        "Frames that an element has in hand.",
        None,
        books(&|b| vec![(vec![], Value::Level(b.in_flight as f64))]),
    );

    figure(
        "orion_stream_up",
        "1 while frames come from the camera.",
        None,
        each(&|c| Some(up(c.stream.state == StreamState::Streaming))),
    );
    figure(
        "orion_stream_reconnects",
        "Connections to the camera after the first.",
        None,
        each(&|c| Some(Value::Count(c.stream.reconnects))),
    );
    figure(
        "orion_stream_frame_age",
        "Since the last frame of the camera.",
        Some(Unit::Seconds),
        each(&|c| c.stream.last_frame_age_s.map(Value::Level)),
    );
    figure(
        "orion_stream_frame_rate",
        "Frames a second that the camera gives.",
        Some(Unit::Other("hertz".into())),
        each(&|c| c.stream.fps.map(Value::Level)),
    );
    figure(
        "orion_inference_rate_limit",
        "Frames a second that are looked at, at most.",
        Some(Unit::Other("hertz".into())),
        each(&|c| Some(c.stream.rate_hz).filter(|rate| *rate > 0.0).map(Value::Level)),
    );

    figure("orion_inferences", "Results of the workers.", None, workers(&|w| Value::Count(w.inferences_emitted)));
    figure(
        "orion_worker_restarts",
        "Worker processes that had to be replaced.",
        None,
        workers(&|w| Value::Count(w.processes.iter().map(|p| p.restarts).sum())),
    );
    figure("orion_workers", "Worker processes.", None, workers(&|w| Value::Level(w.processes.len() as f64)));
    figure(
        "orion_workers_ready",
        "Worker processes that take frames.",
        None,
        workers(&|w| Value::Level(w.processes.iter().filter(|p| p.is_ready()).count() as f64)),
    );
    figure(
        "orion_worker_memory",
        "Resident memory of the worker processes.",
        Some(Unit::Bytes),
        workers(&|w| Value::Level(w.processes.iter().map(|p| p.memory_bytes as f64).sum())),
    );

    // A camera for which nothing could be made has no connection that could be up or down.
    let broker = |value: &dyn Fn(&Broker) -> Value| {
        each(&|camera| (!camera.broker.uri.is_empty()).then(|| value(&camera.broker)))
    };
    figure("orion_broker_up", "1 while there is a connection to the broker.", None, broker(&|b| up(b.connected)));
    figure(
        "orion_broker_reconnects",
        "Connections to the broker after the first.",
        None,
        broker(&|b| Value::Count(b.reconnects)),
    );
    figure("orion_messages_published", "Messages sent to the broker.", None, broker(&|b| Value::Count(b.published)));
    figure(
        "orion_messages_acknowledged",
        "Messages that the broker has.",
        None,
        broker(&|b| Value::Count(b.acknowledged)),
    );
    figure(
        "orion_messages_buffered",
        "Messages that wait or are not acknowledged yet.",
        None,
        broker(&|b| Value::Level(b.buffered as f64)),
    );
    figure(
        "orion_watchdog_restarts",
        "Times that the watchdog has had all workers of an element started anew.",
        None,
        workers(&|w| Value::Count(w.watchdog_restarts)),
    );
    let state = |camera: &Snapshot| {
        let id = camera.instance_id.clone();
        let level = |state: State, is: State| Value::Level(f64::from(u8::from(state == is)));
        let all = [(State::Present, "present"), (State::Absent, "absent"), (State::Unknown, "unknown")];
        camera
            .presence
            .iter()
            .flat_map(move |presence| {
                let (id, now) = (id.clone(), presence.state);
                all.map(|(state, name)| {
                    (vec![("instance_id", id.clone()), ("state", name.to_owned())], level(now, state))
                })
            })
            .collect::<Vec<_>>()
    };
    let states = cameras.iter().flat_map(state).collect();
    figure("orion_presence", "1 for what is said of persons, 0 for what is not.", None, states);
    figure(
        "orion_evidence_age",
        "Since the newest look that tells something of persons.",
        Some(Unit::Seconds),
        each(&|c| Some(Value::Level(c.presence.as_ref()?.evidence_age_ms? as f64 / 1e3))),
    );
    figure(
        "orion_uptime",
        "Since the camera is watched.",
        Some(Unit::Seconds),
        each(&|c| Some(Value::Level(c.uptime_s))),
    );
    all
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::super::{Metrics, Stages};
    use crate::{overview::Overview, status::Status};

    #[test]
    fn scrapes_at_the_same_time_count_nothing_twice() {
        let (overview, camera) = (Overview::default(), Status::of_nothing("a"));
        overview.set(vec![camera.clone()]);
        let metrics = Metrics::new(overview, &Stages::default());
        let counted = || {
            let (_, text) = metrics.scrape("").unwrap();
            let line = text.lines().find(|line| line.starts_with("orion_stream_reconnects_total")).unwrap();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let over = AtomicBool::new(false);
        let mut count = 0;
        thread::scope(|scope| {
            let scrapers: [_; 3] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        counted();
                    }
                })
            });
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    camera.inlet.restored();
                    thread::yield_now();
                }
            });
            scrapers.into_iter().for_each(|scraper| scraper.join().unwrap());
            over.store(true, Ordering::Relaxed);
            count = camera.inlet.connection().reconnects;
        });
        assert!(counted() >= count && counted() <= camera.inlet.connection().reconnects, "{} of {count}", counted());
    }
}
