// SPDX-License-Identifier: MPL-2.0
//! The elements that share one pool of workers: those of the same `worker-group`, or one element alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use gst::{glib, prelude::*, subclass::prelude::*};
use orion_core::turns::Wait;

use super::{
    OrionPyInfer,
    crew::Crews,
    desk::Desk,
    job::{Entry, Job},
    pool::Pool,
    report::Listener,
    router::Router,
    settings::{SHARED, Settings},
    state::{State, WorkerInfo},
    stream::Stream,
    terms::Terms,
};
use crate::properties::lock;

/// The groups that have a name.
static GROUPS: Mutex<BTreeMap<String, Arc<Group>>> = Mutex::new(BTreeMap::new());

/// An element of a group.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) element: glib::WeakRef<OrionPyInfer>,
    pub(super) stream: Arc<Stream>,
}

#[derive(Default)]
pub(super) struct Roster {
    pub(super) peers: Vec<Peer>,
    /// A successor is to be checked on the latest frame.
    pub(super) keep_latest: bool,
    /// Successors are being started.
    pub(super) swapping: bool,
    /// A worker cannot be started; who comes now begins anew, with others.
    pub(super) failed: bool,
}

// Lock order: GROUPS, terms, roster, then the desk's or the settings of one element or one stream. The pool's and the
// router's are taken alone, and nothing is posted, joined or waited for under any of them. An element that is let go of may
// be the last reference to it, so this comes after the locks.
pub(super) struct Group {
    /// Empty for an element alone.
    pub(super) name: String,
    pub(super) terms: Mutex<Terms>,
    roster: Mutex<Roster>,
    pub(super) desk: Arc<Desk>,
    pub(super) router: Arc<Router>,
    pub(super) pool: Mutex<Option<Pool>>,
    ids: AtomicU64,
    frames: AtomicU64,
}

/// An element's place in its group.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) group: Arc<Group>,
    pub(super) id: u64,
}

impl Seat {
    /// Waits for a worker from now on; the stream is told.
    pub(super) fn ask(&self, wait: Wait) {
        self.group.desk.ask(self.id, wait);
    }

    /// Waits no longer; a worker that was given meanwhile goes to the next one.
    pub(super) fn withdraw(&self) {
        self.group.desk.withdraw(self.id);
    }

    /// There is no frame for the worker that was given.
    pub(super) fn put_back(&self, worker: u64) {
        self.group.desk.put_back(worker);
    }

    /// Enters the frame that has this sequence number.
    pub(super) fn enter(&self, seq: u64) -> Entry {
        let place = self.group.frames.fetch_add(1, Ordering::Relaxed);
        // Elements count for themselves, so that a worker could take the frame of one for that of another.
        let number = if self.group.name.is_empty() { seq } else { place };
        Entry { owner: self.id, place, number }
    }
}

/// Holds the place until it is let go of; that does not wait for anything.
pub(super) struct Membership(Seat);

impl Membership {
    /// What may be kept.
    pub(super) fn seat(&self) -> &Seat {
        &self.0
    }

    /// Leaves the group; the last one ends all processes and waits for that, at most the shutdown time-out and two seconds.
    pub(super) fn end(self) {
        if let Some(pool) = self.0.group.leave(self.0.id) {
            pool.stop();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        drop(self.0.group.leave(self.0.id));
    }
}

impl Group {
    /// The group that the element's settings name, which begins with its first element.
    ///
    /// # Errors
    /// A text that names the property and the remedy: no workers can be made of the settings, or the group's are others.
    pub(super) fn join(element: &OrionPyInfer) -> Result<Membership, String> {
        let settings = lock(&element.imp().settings).clone();
        let name = settings.worker_group.clone();
        if name.is_empty() {
            return Self::begin(element, settings);
        }
        let mut groups = lock(&GROUPS);
        let present = groups.get(&name).map(|group| group.admit(element, &settings)).transpose()?;
        if let Some(membership) = present.flatten() {
            return Ok(membership);
        }
        let membership = Self::begin(element, settings)?;
        groups.insert(name, Arc::clone(&membership.0.group));
        Ok(membership)
    }

    fn begin(element: &OrionPyInfer, settings: Settings) -> Result<Membership, String> {
        let spec = settings.spec()?;
        let group = Arc::new(Self {
            name: settings.worker_group.clone(),
            terms: Mutex::new(Terms { wanted: settings.clone(), in_force: settings.clone() }),
            roster: Mutex::default(),
            desk: Arc::default(),
            router: Arc::default(),
            pool: Mutex::default(),
            ids: AtomicU64::new(0),
            frames: AtomicU64::new(0),
        });
        *lock(&element.imp().in_force) = settings;
        let workers = Crews::first(spec.settings.workers as usize).map(WorkerInfo::new).collect();
        let seat = group.seat(element, &mut lock(&group.roster), workers);
        let listener: Arc<dyn Listener> = Arc::clone(&group) as _;
        let pool = Pool::start(spec, listener, Arc::clone(&group.router), Arc::clone(&group.desk))
            .map_err(|error| format!("cannot start the workers' thread: {error}"))?;
        *lock(&group.pool) = Some(pool);
        Ok(Membership(seat))
    }

    /// Takes one more element in; none = this group has failed.
    fn admit(self: &Arc<Self>, element: &OrionPyInfer, settings: &Settings) -> Result<Option<Membership>, String> {
        let terms = lock(&self.terms);
        let mut roster = lock(&self.roster);
        if roster.failed {
            return Ok(None);
        }
        for name in SHARED {
            if !settings.has_same(&terms.wanted, name) {
                let text = |settings: &Settings| settings.text(name);
                return Err(format!(
                    "{name} is {:?}, but the workers of worker-group {:?} have {:?}; elements of one group are set alike",
                    text(settings),
                    self.name,
                    text(&terms.wanted),
                ));
            }
        }
        *lock(&element.imp().in_force) = terms.in_force.clone();
        // All of them know the same.
        let workers = roster.peers.first().map(|peer| peer.stream.lock().workers.clone()).unwrap_or_default();
        Ok(Some(Membership(self.seat(element, &mut roster, workers))))
    }

    fn seat(self: &Arc<Self>, element: &OrionPyInfer, roster: &mut Roster, workers: Vec<WorkerInfo>) -> Seat {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::clone(&element.imp().stream);
        stream.update(|state| {
            *state = State::default();
            state.workers = workers;
            state.swaps.under_way = roster.swapping;
            state.keep_latest = roster.keep_latest;
        });
        self.desk.join(id, Arc::clone(&stream));
        roster.peers.push(Peer { id, element: element.downgrade(), stream });
        self.router.set_elements(roster.peers.len());
        Seat { group: Arc::clone(self), id }
    }

    /// An element goes; the pool, if it was the last one.
    fn leave(&self, id: u64) -> Option<Pool> {
        // So that nobody comes meanwhile.
        let mut groups = lock(&GROUPS);
        let mut roster = lock(&self.roster);
        let gone = roster.peers.extract_if(.., |peer| peer.id == id).collect::<Vec<_>>();
        if gone.is_empty() {
            return None;
        }
        self.desk.leave(id);
        self.router.set_elements(roster.peers.len());
        let last = roster.peers.is_empty();
        drop(roster);
        if last {
            groups.retain(|_, group| !std::ptr::eq(Arc::as_ptr(group), self));
        }
        drop(groups);
        // Buffers are let go of outside the locks: they may be the last ones of their pool.
        drop(self.router.take_all_of(id));
        if last { lock(&self.pool).take() } else { None }
    }

    /// Whoever comes from now on begins anew.
    pub(super) fn close(&self) {
        lock(&GROUPS).retain(|_, group| !std::ptr::eq(Arc::as_ptr(group), self));
    }

    /// Reads or changes the roster.
    pub(super) fn roster<T>(&self, read: impl FnOnce(&mut Roster) -> T) -> T {
        read(&mut lock(&self.roster))
    }

    /// Changes what all streams know.
    pub(super) fn all_streams(&self, mut change: impl FnMut(&mut State)) {
        self.roster(|roster| roster.peers.iter().for_each(|peer| peer.stream.update(&mut change)));
    }

    /// The elements that are still there.
    pub(super) fn elements(&self) -> Vec<OrionPyInfer> {
        self.roster(|roster| roster.peers.iter().filter_map(|peer| peer.element.upgrade()).collect())
    }

    /// Whose frame it is; none = the element has left.
    pub(super) fn owner(&self, job: &Job) -> Option<Peer> {
        self.roster(|roster| roster.peers.iter().find(|peer| peer.id == job.entry.owner).cloned())
    }

    /// Hands a frame to a worker; if it has just ended, to the next one.
    pub(super) fn send(&self, worker: u64, job: Box<Job>) {
        if let Err(job) = self.router.send(worker, job) {
            self.router.give_back(job);
            self.serve_returned();
        }
    }

    /// Gives frames that came back to workers that are idle.
    pub(super) fn serve_returned(&self) {
        while let Some(job) = self.router.take_back() {
            match self.desk.claim() {
                Some(worker) => {
                    if let Some(owner) = self.owner(&job) {
                        owner.stream.lock().given(&job);
                    }
                    if let Err(job) = self.router.send(worker, job) {
                        self.router.give_back(job);
                    }
                }
                None => {
                    self.router.give_back(job);
                    // One that has become idle in between did not see it.
                    if !self.desk.is_any_idle() {
                        return;
                    }
                }
            }
        }
    }
}
