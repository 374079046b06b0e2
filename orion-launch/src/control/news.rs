// SPDX-License-Identifier: MPL-2.0
//! From what elements say to events, log lines and progress of what was asked for.

use std::collections::BTreeMap;

use gstorion::message::{SettingEvent, SwapEvent, WorkerEvent};
use orion_core::health::Event;

use super::Desk;

/// What is remembered of it.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Why a worker was lost, by element and index.
    lost: BTreeMap<(String, u32), String>,
}

impl News {
    /// Something happened to a worker process.
    pub(crate) fn worker(&mut self, desk: &Desk, element: &str, event: &WorkerEvent) {
        if let Some(event) = self.worker_event(element, event) {
            desk.voice().event(event);
        }
        tracing::info!("{element} worker {} (pid {}) {}: {}", event.index, event.pid, event.event, event.reason);
    }

    fn worker_event(&mut self, element: &str, event: &WorkerEvent) -> Option<Event> {
        let WorkerEvent { index, pid, ref reason, .. } = *event;
        let (worker, key) = (element.to_owned(), (element.to_owned(), index));
        match event.event.as_str() {
            "exited" => {
                self.lost.insert(key, reason.clone());
                Some(Event::WorkerLost { worker, index, pid, reason: reason.clone() })
            }
            "ready" => self.lost.remove(&key).map(|reason| Event::WorkerRestarted { worker, index, pid, reason }),
            _ => None,
        }
    }

    /// Something happened to a replacement of an element's workers.
    pub(crate) fn swap(&mut self, desk: &mut Desk, element: &str, event: &SwapEvent) {
        match event.event.as_str() {
            "done" => {
                // Their predecessors are not missed any more.
                self.lost.retain(|(of, _), _| of != element);
                let (seq, model) = (event.applied_at_seq.unwrap_or_default(), &event.model_file);
                tracing::info!("{element}: new workers since frame {seq}, model {:?}", model);
                desk.voice().event(Event::ModelReloaded {
                    worker: element.to_owned(),
                    model_size: event.model_size.clone(),
                    model_file: model.clone(),
                    applied_at_seq: seq,
                });
                desk.first_result(element, event.applied_at_seq);
            }
            "failed" => {
                // The element's warning says so in the log.
                let reason = event.reason.clone();
                desk.refused(element, &reason);
                desk.voice().event(Event::ModelReloadFailed { worker: element.to_owned(), reason });
            }
            other => {
                tracing::debug!("{element}: swap {other}: {}", event.reason);
                desk.advance();
            }
        }
    }

    /// Workers have taken a setting, or have not.
    pub(crate) fn setting(&mut self, desk: &mut Desk, element: &str, event: &SettingEvent) {
        match &event.refused {
            Some(reason) => desk.refused(element, reason),
            None => desk.advance(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: &str, index: u32, reason: &str) -> WorkerEvent {
        WorkerEvent { event: event.into(), index, pid: 7, reason: reason.into() }
    }

    #[test]
    fn a_worker_that_comes_back_says_why_it_was_away() {
        let mut news = News::default();
        assert_eq!(news.worker_event("infer", &event("ready", 0, "motion 1")), None, "the first start");
        let lost = news.worker_event("infer", &event("exited", 0, "killed")).unwrap();
        assert!(matches!(lost, Event::WorkerLost { pid: 7, .. }));
        assert_eq!(news.worker_event("infer", &event("restarting", 0, "killed")), None);
        assert_eq!(news.worker_event("infer", &event("ready", 1, "motion 1")), None, "another one");
        let back = news.worker_event("infer", &event("ready", 0, "motion 1")).unwrap();
        let expected = Event::WorkerRestarted { worker: "infer".into(), index: 0, pid: 7, reason: "killed".into() };
        assert_eq!(back, expected);
        assert_eq!(news.worker_event("infer", &event("ready", 0, "motion 1")), None);
    }
}
