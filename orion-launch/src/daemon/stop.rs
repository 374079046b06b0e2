// SPDX-License-Identifier: MPL-2.0
//! The end of the daemon, within its time.

use std::time::{Duration, Instant};

use orion_core::health::Event;

use super::{Daemon, next};
use crate::{
    book::Book,
    control::Heard,
    sensor::{LEAST, Sensor},
};

impl Daemon {
    /// Stops all parts within the shutdown timeout, or at once when `hurry` is done: frames in hand are finished and
    /// published, then the elements stop, then the control plane, the broker last. Gives the ledger of each element.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) -> Vec<Book> {
        let limit = self.sensors.values().map(|sensor| sensor.config().shutdown_timeout_s).fold(0.0, f64::max);
        let limit = Duration::from_secs_f64(if limit > 0.0 { limit } else { self.config.shutdown_timeout_s });
        tracing::info!("stopping ({}), within {limit:.1?}", self.reason);
        self.notifier.stopping();
        for sensor in self.sensors.values_mut() {
            sensor.voice().event(Event::Stopping { reason: self.reason.clone() });
            sensor.take_leave();
        }
        if let Some(http) = &self.http {
            http.take_leave();
        }
        let start = Instant::now();
        let least = LEAST.min(limit / 10);
        // The rest is for the ends of the sinks and the workers, and for the last words.
        let drain = limit.mul_f64(0.45);
        tokio::pin!(hurry);
        let mut hurried = false;
        tokio::select! {
            () = self.drain() => {}
            () = tokio::time::sleep(drain) => tracing::warn!("frames in hand were not finished within {drain:.1?}"),
            () = &mut hurry => hurried = true,
        }
        // Workers that do not end by themselves are made to, in time for the rest.
        let left = (start + limit).saturating_duration_since(Instant::now()).saturating_sub(3 * least);
        let patience = if hurried { Duration::ZERO } else { left };
        let stops: Vec<_> = self.sensors.values().map(|sensor| sensor.stop(limit)).collect();
        let stopped = async {
            let mut books = Vec::new();
            // All have begun.
            for stop in stops {
                books.push(stop.await);
            }
            books
        };
        tokio::pin!(stopped);
        let in_time = tokio::select! {
            books = &mut stopped => Some(books),
            () = tokio::time::sleep(patience) => None,
            () = &mut hurry, if !hurried => {
                hurried = true;
                None
            }
        };
        let books = match in_time {
            Some(books) => books,
            None => {
                self.sensors.values().for_each(Sensor::kill_workers);
                tokio::time::timeout(least, stopped).await.unwrap_or_else(|_| {
                    tracing::warn!("not everything has stopped; it ends with the daemon");
                    self.sensors.values().map(|sensor| sensor.status().snapshot().ledger).collect()
                })
            }
        };
        let soon = Instant::now() + least;
        let until = if hurried { soon } else { soon.max(start + limit.saturating_sub(2 * least)) };
        self.await_leaving(until, async { if hurried { std::future::pending().await } else { hurry.await } }).await;
        self.refuse_rest();
        self.link.close(least).await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
        // Elements have the same names in each pipeline.
        let several = books.len() > 1;
        let named = |(id, books): (&String, Vec<Book>)| {
            let name = |book: Book| match several {
                true => Book { element: format!("{id} {}", book.element), ..book },
                false => book,
            };
            books.into_iter().map(name).collect::<Vec<_>>()
        };
        self.sensors.keys().zip(books).flat_map(named).collect()
    }

    /// Cameras that are being removed have what is left of the time; of none of them anything stays at the broker.
    async fn await_leaving(&mut self, until: Instant, hurry: impl Future<Output = ()>) {
        let late = tokio::time::sleep_until(until.into());
        tokio::pin!(late, hurry);
        loop {
            tokio::select! {
                left = self.leaving.next() => match left {
                    Some(left) => self.left(left, None),
                    None => return,
                },
                () = &mut late => break,
                () = &mut hurry => break,
            }
        }
        for left in self.leaving.rest() {
            self.left(left, Some("the daemon stops"));
        }
    }

    /// Every command has an answer, late as it is.
    pub(super) fn refuse_rest(&mut self) {
        while let Some(heard) = self.link.try_next() {
            self.refuse_late(&heard);
        }
        self.sensors.values_mut().for_each(Sensor::leave);
    }

    pub(super) fn refuse_late(&mut self, heard: &Heard) {
        let concerned = |id: &String| heard.to.as_ref().is_none_or(|to| to == id);
        let sensors = self.sensors.iter_mut().filter(|(id, _)| concerned(id));
        sensors.for_each(|(_, sensor)| sensor.refuse_late(&heard.request));
    }

    /// Until all pipelines are at their end; commands are refused meanwhile.
    pub(super) async fn drain(&mut self) {
        self.sensors.values_mut().for_each(Sensor::finish);
        while !self.sensors.values().all(Sensor::is_over) {
            tokio::select! {
                (id, note) = next(&mut self.sensors) => {
                    if let Some(sensor) = self.sensors.get_mut(&id) {
                        // What breaks now is at its end, too.
                        let _ = sensor.heard(note);
                    }
                }
                heard = self.link.next() => self.refuse_late(&heard),
            }
        }
    }
}
