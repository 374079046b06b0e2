// SPDX-License-Identifier: MPL-2.0
//! Anything may happen in any order, without a disk: what goes in is delivered, still inside, or told as missing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::{
    tests::{adds_up, report},
    *,
};
use crate::orionmqttsink::payload::Body;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Messages of a frame; they share its number and have types of their own.
    Push(usize),
    Send(usize),
    Acknowledge(usize),
    Reject(usize),
    Lose(Loss, bool),
    Connect(bool),
    Keep(Keeping),
    Pass(u64),
    Restart,
}

fn keeping() -> impl Strategy<Value = Keeping> {
    let policy =
        prop_oneof![3 => Just(OutagePolicy::Keep), 1 => Just(OutagePolicy::Newest), 1 => Just(OutagePolicy::Drop)];
    let bytes = prop_oneof![3 => Just(1 << 30), 1 => 1_usize..20_000];
    (1_usize..30, bytes, policy, prop_oneof![4 => Just(0), 1 => 1_u32..9])
        .prop_map(|(messages, bytes, policy, expiry_s)| Keeping { messages, bytes, policy, expiry_s })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_usize..4).prop_map(Step::Push),
        8 => (1_usize..6).prop_map(Step::Send),
        8 => (0_usize..8).prop_map(Step::Acknowledge),
        1 => (0_usize..8).prop_map(Step::Reject),
        2 => (prop_oneof![Just(Loss::Closed), Just(Loss::Other)], any::<bool>()).prop_map(|(loss, yes)| Step::Lose(loss, yes)),
        4 => any::<bool>().prop_map(Step::Connect),
        1 => keeping().prop_map(Step::Keep),
        2 => (1_u64..3).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

/// A type and a number: one message.
type Key = (String, u64);

#[derive(Default)]
struct World {
    /// Frames so far, and what each message says.
    frames: u64,
    pushed: BTreeSet<Key>,
    on_wire: Vec<(u64, Value)>,
    arrived: BTreeSet<Key>,
    /// What was on the wire at a loss may have arrived.
    doubtful: BTreeSet<Key>,
    /// How often a gap record says it, of those that were acknowledged or given up.
    told: BTreeMap<Key, u32>,
    resumable: bool,
    connected: bool,
    seconds: u64,
}

fn keys(json: &Value) -> Vec<Key> {
    let kind = |field: &str| json[field].as_str().unwrap().to_owned();
    if json["type"] != "gap" {
        return vec![(kind("type"), json["frame_seq"].as_u64().unwrap())];
    }
    let ranges = json["ranges"].as_array().unwrap().iter();
    let numbers = ranges.flat_map(|range| range["first"].as_u64().unwrap()..=range["last"].as_u64().unwrap());
    numbers.map(|seq| (kind("missing_type"), seq)).collect()
}

impl World {
    fn now(&self) -> Now {
        Now { wall: 0, running: self.seconds * 1_000_000_000 }
    }

    fn act(&mut self, outbox: &mut Outbox, step: Step) {
        match step {
            Step::Push(messages) => {
                let drafts = ["x", "y", "z"].into_iter().take(messages).map(|kind| self.draft(kind)).collect();
                self.frames += 1;
                outbox.push(drafts, Place::default(), self.now());
            }
            Step::Send(count) if self.connected => {
                for _ in 0..count {
                    let Some(sending) = outbox.send(16, self.now()) else { break };
                    let json: Value = serde_json::from_slice(&sending.payload).unwrap();
                    assert!(json["type"] != "gap" || sending.qos > 0);
                    assert!(self.on_wire.iter().all(|(ticket, _)| *ticket != sending.ticket), "tickets are unique");
                    self.on_wire.push((sending.ticket, json));
                }
            }
            Step::Acknowledge(at) if self.connected && at < self.on_wire.len() => {
                let (ticket, json) = self.on_wire.remove(at);
                outbox.acknowledge(ticket, self.now());
                if json["type"] == "gap" {
                    self.tell(&json);
                } else {
                    self.arrived.extend(keys(&json));
                }
            }
            Step::Reject(at) if self.connected && at < self.on_wire.len() => {
                let (ticket, json) = self.on_wire.remove(at);
                assert!(outbox.reject(ticket).is_some(), "it is told");
                if json["type"] == "gap" {
                    self.tell(&json);
                }
            }
            Step::Lose(loss, resumable) => self.lose(outbox, loss, resumable),
            Step::Connect(resumed) if !self.connected => {
                if !resumed || !self.resumable {
                    outbox.session_lost();
                    self.forget_wire();
                }
                outbox.connected();
                self.connected = true;
            }
            Step::Keep(keeping) => outbox.set_keeping(keeping),
            Step::Pass(seconds) => self.seconds += seconds,
            Step::Restart => {
                self.forget_wire();
                outbox.close();
                assert_eq!((outbox.ledger().in_flight(), outbox.buffered(), outbox.buffered_bytes()), (0, 0, 0));
                let unsaid = outbox.unsaid();
                *outbox = Outbox::new(outbox.keeping);
                outbox.inherit(&unsaid);
                self.connected = false;
            }
            _ => {}
        }
    }

    fn draft(&mut self, kind: &str) -> Draft {
        let seq = self.frames;
        self.pushed.insert((kind.to_owned(), seq));
        let mut draft = report(seq, 0);
        draft.topic = kind.to_owned();
        let Body::Report(timed) = &mut draft.body else { panic!("it is a report") };
        timed.result = timed.result.replace(r#""type":"x""#, &format!(r#""type":"{kind}""#)).into();
        if let Some(origin) = &mut draft.origin {
            origin.kind = kind.to_owned();
        }
        draft
    }

    fn tell(&mut self, json: &Value) {
        keys(json).into_iter().for_each(|key| *self.told.entry(key).or_default() += 1);
    }

    fn lose(&mut self, outbox: &mut Outbox, loss: Loss, resumable: bool) {
        let aftermath = outbox.connection_lost(loss, resumable);
        self.connected = false;
        if let Some(given_up) = aftermath.given_up
            && given_up.topic == "gap"
        {
            let (_, json) = self.on_wire.iter().find(|(_, json)| json["type"] == "gap").unwrap().clone();
            self.tell(&json);
        }
        for (_, json) in self.on_wire.iter().filter(|(_, json)| json["type"] != "gap") {
            self.doubtful.extend(keys(json));
        }
        self.resumable = aftermath.resume;
        if !aftermath.resume {
            self.forget_wire();
        }
    }

    fn forget_wire(&mut self) {
        for (_, json) in std::mem::take(&mut self.on_wire) {
            if json["type"] != "gap" {
                self.doubtful.extend(keys(&json));
            }
        }
    }

    fn check(&self, outbox: &Outbox) {
        adds_up(outbox);
        let inside: Vec<_> = outbox.waiting.iter().chain(outbox.messages_on_wire()).collect();
        assert_eq!(outbox.bytes, inside.iter().map(|message| message.size).sum::<usize>());
        assert!(outbox.waiting.iter().is_sorted_by_key(|message| message.ticket));
        let open: BTreeSet<_> = inside.iter().filter(|message| message.fallen.is_none()).map(|m| m.frame).collect();
        assert_eq!(open, outbox.open.keys().copied().collect(), "a frame is open while it has a message");

        let mut told = self.told.clone();
        let gaps = outbox.on_wire.iter().filter_map(|item| match item {
            Item::Gap { gap, .. } => Some(gap),
            Item::Message(_) => None,
        });
        for gap in outbox.gaps.unsaid(gaps).open {
            let json = serde_json::to_value(gap.record(String::new())).unwrap();
            keys(&json).into_iter().for_each(|key| *told.entry(key).or_default() += 1);
        }
        let key = |message: &&Message| {
            let origin = message.missing().origin.unwrap();
            (origin.kind, origin.seq)
        };
        let inside: BTreeSet<_> = inside.iter().map(key).collect();
        for pushed in &self.pushed {
            let times = told.get(pushed).copied().unwrap_or(0);
            let (arrived, inside) = (self.arrived.contains(pushed), inside.contains(pushed));
            assert!(times <= 1, "{pushed:?} is told {times} times");
            assert!(arrived || inside || times == 1, "{pushed:?} has vanished");
            assert!(!inside || times == 0, "{pushed:?} is still here, and told as missing");
            assert!(!arrived || times == 0 || self.doubtful.contains(pushed), "{pushed:?} has arrived for certain");
        }
    }
}

/// After everything is done that bounds and policies ask for.
fn check_bounds(outbox: &Outbox) {
    let Keeping { messages, bytes, policy, .. } = outbox.keeping;
    let over = outbox.buffered() > messages || outbox.bytes > bytes;
    let frames: BTreeSet<_> = outbox.waiting.iter().map(|message| message.frame).collect();
    assert!(!over || frames.len() <= 1, "what is on the wire, and the newest on top of it");
    assert!(!outbox.outage || policy != OutagePolicy::Drop || outbox.waiting.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_is_delivered_still_inside_or_told(first in keeping(), steps in vec(step(), 0..150)) {
        let mut world = World::default();
        let mut outbox = Outbox::new(first);
        for step in steps {
            world.act(&mut outbox, step);
            world.check(&outbox);
            if !matches!(step, Step::Push(_) | Step::Keep(_)) {
                while outbox.tidy(world.now()) {}
                world.check(&outbox);
            }
            if !matches!(step, Step::Keep(_)) {
                check_bounds(&outbox);
            }
        }
        // Nothing is in the way of the rest.
        world.act(&mut outbox, Step::Connect(true));
        for _ in 0..1000 {
            world.act(&mut outbox, Step::Send(16));
            world.act(&mut outbox, Step::Acknowledge(0));
        }
        world.check(&outbox);
        prop_assert_eq!((outbox.pending(), outbox.ledger().in_flight(), outbox.bytes), (0, 0, 0));
    }
}
