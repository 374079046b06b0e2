// SPDX-License-Identifier: MPL-2.0
//! For tests: an outbox with a disk that is a map, which survives a crash as a file does.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::{
    tests::{adds_up, report},
    *,
};
use crate::orionmqttsink::record;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

type Bytes2 = (Vec<u8>, Vec<u8>);

/// A sink with its disk, its broker and both clocks.
pub(super) struct World {
    pub(super) keeping: Keeping,
    pub(super) outbox: Outbox,
    pub(super) messages: BTreeMap<u64, Bytes2>,
    pub(super) unsaid: Unsaid,
    pub(super) now: Now,
    pub(super) connected: bool,
    pub(super) under_way: Option<Work>,
    pub(super) on_wire: VecDeque<(u64, Value)>,
    /// The number of the next frame.
    pub(super) next: u64,
    /// What the broker got, repeats left out, and what gap records said that it acknowledged.
    pub(super) arrived: Vec<u64>,
    /// The same of this run alone.
    pub(super) arrived_now: Vec<u64>,
    pub(super) missing: BTreeSet<u64>,
    /// Every number that was ever on the disk.
    pub(super) ever_stored: BTreeSet<u64>,
    pub(super) commits: u32,
}

impl World {
    pub(super) fn new(keeping: Keeping) -> Self {
        let now = Now { wall: 1_000 * SECOND, running: 500 * SECOND };
        let mut world = Self {
            keeping,
            outbox: Outbox::new(keeping),
            messages: BTreeMap::new(),
            unsaid: Unsaid::default(),
            now,
            connected: false,
            under_way: None,
            on_wire: VecDeque::new(),
            next: 0,
            arrived: Vec::new(),
            arrived_now: Vec::new(),
            missing: BTreeSet::new(),
            ever_stored: BTreeSet::new(),
            commits: 0,
        };
        world.outbox.restore(Vec::new(), Unsaid::default(), now);
        world
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now = Now { wall: self.now.wall + ms * MS, running: self.now.running + ms * MS };
    }

    /// A frame of `messages` results. They share its number.
    pub(super) fn push(&mut self, messages: usize) {
        let drafts = (0..messages).map(|_| report(self.next, 0)).collect();
        self.next += 1;
        self.outbox.push(drafts, Place::default(), self.now);
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
        self.outbox.connected();
    }

    pub(super) fn lose(&mut self) {
        self.connected = false;
        self.on_wire.clear();
        self.outbox.connection_lost(Loss::Other, false);
        while self.outbox.trim() {}
    }

    pub(super) fn send(&mut self) {
        while self.connected
            && let Some(sending) = self.outbox.send(16, self.now)
        {
            let json: Value = serde_json::from_slice(&sending.payload).unwrap();
            for list in [&mut self.arrived, &mut self.arrived_now] {
                list.extend(json["frame_seq"].as_u64().filter(|seq| !list.contains(seq)));
            }
            self.on_wire.push_back((sending.ticket, json));
        }
    }

    pub(super) fn acknowledge(&mut self, at: usize) {
        let Some((ticket, json)) = self.on_wire.remove(at) else { return };
        self.outbox.acknowledge(ticket, self.now);
        for range in json["ranges"].as_array().into_iter().flatten() {
            self.missing.extend(range["first"].as_u64().unwrap()..=range["last"].as_u64().unwrap());
        }
    }

    /// The storage thread takes its work.
    pub(super) fn begin_work(&mut self, closing: bool) -> bool {
        if self.under_way.is_none() {
            self.under_way = self.outbox.storage_work(self.now, closing);
        }
        self.under_way.is_some()
    }

    pub(super) fn commit(&mut self, work: &Work) {
        self.commits += u32::from(work.commits());
        for record in &work.write {
            let header = record::header(record).unwrap();
            let content = record::content(&record.draft.body, work.now).unwrap();
            self.messages.insert(record.key, (header, content));
            self.ever_stored.extend(record.draft.origin.as_ref().map(|origin| origin.seq));
        }
        for key in &work.remove {
            self.messages.remove(key);
        }
        if let Some(unsaid) = &work.unsaid {
            self.unsaid = rmp_serde::from_slice(&rmp_serde::to_vec_named(unsaid).unwrap()).unwrap();
        }
    }

    pub(super) fn end_work(&mut self, fails: bool) {
        let Some(work) = self.under_way.take() else { return };
        if fails {
            self.outbox.storage_failed(&work, self.now);
            return;
        }
        self.commit(&work);
        let body = |key: &u64| {
            let content = self.messages.get(key).map(|(_, content)| content);
            (*key, content.map(|content| record::body(content, work.now).unwrap()))
        };
        let bodies = work.read.iter().map(body).collect();
        self.outbox.storage_done(&work, bodies);
    }

    /// The process is gone, and a new one begins with what is on the disk. A commit that was under way was done or not.
    pub(super) fn crash(&mut self, committed: bool) {
        if let Some(work) = self.under_way.take()
            && committed
        {
            self.commit(&work);
        }
        self.connected = false;
        self.on_wire.clear();
        self.arrived_now.clear();
        self.now = Now { wall: self.now.wall + 3 * SECOND, running: SECOND };
        let mut labels = HashSet::new();
        let leftovers = self.messages.iter().map(|(key, (header, _))| record::leftover(*key, header, &mut labels));
        let leftovers: Vec<_> = leftovers.map(Result::unwrap).collect();
        let count = leftovers.len();
        self.outbox = Outbox::new(self.keeping);
        self.outbox.restore(leftovers, self.unsaid.clone(), self.now);
        let fallen = self.outbox.ledger().dropped().total();
        assert_eq!(self.outbox.ledger().received(), self.outbox.ledger().in_flight() + fallen);
        assert!(self.outbox.buffered() <= count);
        self.check();
    }

    /// A stop in good order, and a new start.
    pub(super) fn restart(&mut self) {
        self.end_work(false);
        self.lose();
        while self.begin_work(true) {
            self.end_work(false);
        }
        assert_eq!(self.outbox.stored(), self.messages.len());
        self.outbox.close();
        assert_eq!(self.outbox.ledger().dropped().get(Cause::Shutdown), 0);
        assert!(self.outbox.ledger().in_flight() as usize <= self.messages.len());
        let in_flight = self.outbox.ledger().in_flight();
        self.crash(false);
        assert_eq!(self.outbox.ledger().received(), in_flight);
    }

    pub(super) fn check(&self) {
        adds_up(&self.outbox);
        assert!(self.arrived_now.is_sorted(), "order is kept: {:?}", self.arrived_now);
        let all: Vec<_> = self.outbox.waiting.iter().chain(self.outbox.messages_on_wire()).collect();
        assert_eq!(self.outbox.buffered_bytes(), all.iter().map(|message| message.size).sum::<usize>());
        assert_eq!(self.outbox.stored(), all.iter().filter(|message| message.on_disk).count());
        let stored: usize = all.iter().filter(|message| message.on_disk).map(|message| message.size).sum();
        assert_eq!(self.outbox.stored_bytes(), stored);
        assert!(self.outbox.waiting.iter().is_sorted_by_key(|message| message.ticket));
        for message in all {
            assert!(!message.on_disk || self.messages.contains_key(&message.ticket), "it is where it is said to be");
        }
    }

    /// The broker is there and everything goes well from now on.
    pub(super) fn finish(&mut self) {
        self.end_work(false);
        self.connect();
        for _ in 0..10_000 {
            self.send();
            while !self.on_wire.is_empty() {
                self.acknowledge(0);
            }
            self.pass(200);
            while self.begin_work(false) {
                self.end_work(false);
            }
            if self.outbox.pending() == 0 {
                break;
            }
        }
        assert_eq!(self.outbox.pending(), 0);
        self.pass(1000);
        while self.begin_work(true) {
            self.end_work(false);
        }
        self.check();
        assert_eq!((self.messages.len(), self.outbox.stored(), self.outbox.ledger().in_flight()), (0, 0, 0));
        assert_eq!(self.unsaid, Unsaid { unreported: self.unsaid.unreported.clone(), ..Unsaid::default() });
        let told: BTreeSet<u64> = self.arrived.iter().copied().chain(self.missing.iter().copied()).collect();
        let lost: Vec<_> = self.ever_stored.difference(&told).collect();
        assert!(lost.is_empty(), "nothing that was stored is lost: {lost:?}");
    }
}
