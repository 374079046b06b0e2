// SPDX-License-Identifier: MPL-2.0
//! What is to be seen of the elements with workers, read aside: whoever asks never waits for an element.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use orion_core::{ledger::Cause, watchdog::Sight};
use tokio::task::JoinHandle;

use crate::{
    book::Book,
    status::{self, Worker},
};

/// Causes of drops of frames that a worker had.
const GIVEN_UP: [Cause; 3] = [Cause::WorkerError, Cause::WorkerRestart, Cause::DecodeError];

/// One element, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// Processes that take frames.
    pub(crate) ready: usize,
    /// As the watchdog wants it; whether frames are wanted it does not know.
    pub(crate) sight: Sight,
}

impl Seen {
    fn of(worker: &Worker, book: &Book, swapping: bool) -> Self {
        let states = || worker.processes.iter().map(|process| process.state.as_str());
        // Frames may wait in the element for whoever comes behind it; the workers are not to blame for these.
        let idle = states().all(|state| state == "ready");
        // Others are dropped before any worker gets them, and most of all while one hangs.
        let given_up = GIVEN_UP.iter().filter_map(|cause| book.dropped.get(cause.as_str())).sum::<u64>();
        let ready = worker.processes.iter().filter(|process| process.is_ready()).count();
        Self {
            ready,
            sight: Sight {
                in_flight: if idle { 0 } else { book.in_flight },
                settled: worker.inferences_emitted + given_up,
                results: worker.inferences_emitted,
                wanted: false,
                starting: swapping || ready == 0,
            },
        }
    }

    fn read(element: &gst::Element) -> Self {
        let stats = element.property::<gst::Structure>("stats");
        let book = Book::of_stats(&element.name(), &stats);
        let swapping = stats.get::<&str>("swap").is_ok_and(|swap| swap == "under-way");
        Self::of(&status::worker(&element.name(), &book, &stats), &book, swapping)
    }
}

/// Reads the elements again and again, one time after the other.
#[derive(Debug)]
pub(crate) struct Sights {
    elements: Vec<gst::Element>,
    latest: Arc<Mutex<Vec<Seen>>>,
    reading: Option<JoinHandle<()>>,
}

impl Sights {
    /// Of these elements, all `orionpyinfer`.
    pub(crate) fn new(elements: Vec<gst::Element>) -> Self {
        Self { elements, latest: Arc::default(), reading: None }
    }

    /// Begins to read them again, unless that is under way.
    pub(crate) fn refresh(&mut self) {
        if self.reading.as_ref().is_some_and(|reading| !reading.is_finished()) {
            return;
        }
        let (elements, latest) = (self.elements.clone(), Arc::clone(&self.latest));
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let seen = elements.iter().map(Seen::read).collect();
            // A plain list: a panic elsewhere leaves it usable.
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        }));
    }

    /// What was read last, in the order of the elements; nothing before the first time.
    pub(crate) fn latest(&self) -> Vec<Seen> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Process;

    fn seen(states: &[&str], in_flight: u64) -> (usize, u64, bool) {
        let process = |state: &&str| Process { state: (*state).into(), ..Process::default() };
        let processes = states.iter().map(process).collect();
        let worker = Worker { processes, inferences_emitted: 7, ..Worker::default() };
        let book = Book {
            element: "infer".into(),
            received: in_flight,
            forwarded: 0,
            in_flight,
            dropped: [("queue_full", 30), ("worker_error", 3), ("worker_restart", 2)]
                .map(|(c, n)| (c.into(), n))
                .into(),
        };
        let seen = Seen::of(&worker, &book, false);
        assert_eq!((seen.sight.settled, seen.sight.results), (12, 7));
        (seen.ready, seen.sight.in_flight, seen.sight.starting)
    }

    #[test]
    fn only_workers_with_frames_in_hand_are_waited_for() {
        assert_eq!(seen(&["busy"], 1), (1, 1, false));
        assert_eq!(seen(&["busy", "starting"], 2), (1, 2, false), "one that hangs beside one that comes");
        assert_eq!(seen(&["ready", "ready"], 4), (2, 0, false), "who comes behind them does not take the results");
        assert_eq!(seen(&["starting"], 1), (0, 1, true));
        assert_eq!(seen(&["backing-off", "stalled"], 1), (0, 1, true));
        assert_eq!(seen(&[], 0), (0, 0, true));
    }
}
