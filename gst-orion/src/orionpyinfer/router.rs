// SPDX-License-Identifier: MPL-2.0
//! The way to each worker, and the frames that came back from one that ended before it had begun with them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use super::{job::Job, report::Request};
use crate::properties::lock;

// The two locks are never held together.
#[derive(Default)]
pub(super) struct Router {
    ways: Mutex<HashMap<u64, UnboundedSender<Request>>>,
    returned: Mutex<VecDeque<Box<Job>>>,
    elements: AtomicUsize,
}

impl Router {
    /// So many elements share the workers.
    pub(super) fn set_elements(&self, count: usize) {
        self.elements.store(count, Ordering::Relaxed);
    }

    /// How many elements share the workers.
    pub(super) fn elements(&self) -> usize {
        self.elements.load(Ordering::Relaxed)
    }

    /// Opens the way to a worker.
    pub(super) fn open(&self, id: u64, way: UnboundedSender<Request>) {
        lock(&self.ways).insert(id, way);
    }

    /// Closes it: who sends from now on gets the frame back.
    pub(super) fn close(&self, id: u64) {
        lock(&self.ways).remove(&id);
    }

    /// Closes all of them.
    pub(super) fn close_all(&self) {
        lock(&self.ways).clear();
    }

    /// Hands a frame to a worker that is idle.
    pub(super) fn send(&self, id: u64, job: Box<Job>) -> Result<(), Box<Job>> {
        match lock(&self.ways).get(&id) {
            None => Err(job),
            Some(way) => way.send(Request::Frame(job)).map_err(|unsent| match unsent.0 {
                Request::Frame(job) => job,
                _ => unreachable!("a frame was sent"),
            }),
        }
    }

    /// A frame that waits for another worker; it goes before all that come later.
    pub(super) fn give_back(&self, mut job: Box<Job>) {
        job.returned.get_or_insert_with(Instant::now);
        let mut returned = lock(&self.returned);
        let place = returned.partition_point(|other| other.entry.place < job.entry.place);
        returned.insert(place, job);
    }

    /// The first frame that came back.
    pub(super) fn take_back(&self) -> Option<Box<Job>> {
        lock(&self.returned).pop_front()
    }

    /// The frames of one element that came back.
    pub(super) fn take_all_of(&self, owner: u64) -> VecDeque<Box<Job>> {
        let mut returned = lock(&self.returned);
        let (theirs, others) = returned.drain(..).partition(|job| job.entry.owner == owner);
        *returned = others;
        theirs
    }

    /// The frames that came back and have waited for longer than `limit`.
    pub(super) fn take_overdue(&self, limit: Duration) -> VecDeque<Box<Job>> {
        let late = |job: &Job| job.returned.is_none_or(|since| since.elapsed() >= limit);
        let mut returned = lock(&self.returned);
        let (overdue, waiting) = returned.drain(..).partition(|job| late(job));
        *returned = waiting;
        overdue
    }
}
