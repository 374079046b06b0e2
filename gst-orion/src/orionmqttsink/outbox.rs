// SPDX-License-Identifier: MPL-2.0
//! Messages on their way to the broker, and the book of the frames they belong to.
//!
//! A frame is forwarded when the broker has acknowledged all of its messages. It is dropped as a whole, also when some of
//! its messages were sent already.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use orion_core::ledger::{Cause, Ledger};

use super::payload::{Body, Draft, Now};

/// A message that was handed to the connection.
#[derive(Debug)]
pub(super) struct Sending {
    /// For [`Outbox::acknowledge`].
    pub(super) ticket: u64,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
}

#[derive(Debug)]
struct Message {
    ticket: u64,
    frame: u64,
    draft: Draft,
    sent_before: bool,
}

#[derive(Debug)]
pub(super) struct Outbox {
    bound: usize,
    waiting: VecDeque<Message>,
    on_wire: VecDeque<Message>,
    /// Frames that are neither forwarded nor dropped → messages not yet acknowledged.
    open: BTreeMap<u64, usize>,
    /// By topic: what the next report must add to `lost_since_last`, because the reports that would have said so are gone.
    unreported: BTreeMap<String, BTreeMap<String, u64>>,
    next_frame: u64,
    next_ticket: u64,
    ledger: Ledger,
    published: u64,
    acknowledged: u64,
}

impl Outbox {
    /// `bound`: messages kept, at least 1.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(1),
            waiting: VecDeque::new(),
            on_wire: VecDeque::new(),
            open: BTreeMap::new(),
            unreported: BTreeMap::new(),
            next_frame: 0,
            next_ticket: 0,
            ledger: Ledger::default(),
            published: 0,
            acknowledged: 0,
        }
    }

    /// Changes the bound; what is too much goes with the next message.
    pub(super) fn set_bound(&mut self, bound: usize) {
        self.bound = bound.max(1);
    }

    /// Takes a frame with its messages. The oldest frames make room; the newest is taken in any case.
    pub(super) fn push(&mut self, drafts: Vec<Draft>) {
        self.ledger.receive();
        if drafts.is_empty() {
            self.ledger.forward();
            return;
        }
        self.make_room(drafts.len());
        let frame = self.next_frame;
        self.next_frame += 1;
        self.open.insert(frame, drafts.len());
        for draft in drafts {
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.waiting.push_back(Message { ticket, frame, draft, sent_before: false });
        }
    }

    /// Counts a frame that could not be turned into messages.
    pub(super) fn refuse(&mut self, cause: Cause) {
        self.ledger.receive();
        self.ledger.drop_frame(cause);
    }

    /// Hands out the oldest waiting message unless `window` of them are on the wire.
    pub(super) fn send(&mut self, window: usize, now: Now) -> Option<Sending> {
        while self.on_wire.len() < window.min(self.bound) {
            let mut message = self.waiting.pop_front()?;
            if let Body::Report(timed) = &mut message.draft.body
                && let Some(lost) = self.unreported.remove(&message.draft.topic)
            {
                add(&mut timed.report.lost_since_last, &lost);
            }
            let Ok(payload) = message.draft.body.bytes(now) else {
                // Does not happen with plain numbers and texts; if it did, it would stand in the way of all others.
                self.discard(message.frame, Cause::WorkerError);
                continue;
            };
            self.published += u64::from(!message.sent_before);
            message.sent_before = true;
            let sending = Sending {
                ticket: message.ticket,
                topic: message.draft.topic.clone(),
                payload,
                qos: message.draft.qos,
                retain: message.draft.retain,
            };
            self.on_wire.push_back(message);
            return Some(sending);
        }
        None
    }

    /// The broker has a message. A ticket that is not on the wire is ignored.
    pub(super) fn acknowledge(&mut self, ticket: u64) {
        let Some(at) = self.on_wire.iter().position(|m| m.ticket == ticket) else {
            return;
        };
        let Some(message) = self.on_wire.remove(at) else {
            return;
        };
        self.acknowledged += 1;
        if let Some(left) = self.open.get_mut(&message.frame) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(&message.frame);
                self.ledger.forward();
            }
        }
    }

    /// The connection is gone: what was not acknowledged waits again, in its old place.
    pub(super) fn connection_lost(&mut self) {
        while let Some(message) = self.on_wire.pop_back() {
            if self.open.contains_key(&message.frame) {
                self.waiting.push_front(message);
            }
        }
        self.make_room(0);
    }

    /// Gives up everything that is left.
    pub(super) fn close(&mut self) {
        for _ in 0..self.open.len() {
            self.ledger.drop_frame(Cause::Shutdown);
        }
        self.open.clear();
        self.waiting.clear();
        self.on_wire.clear();
        self.unreported.clear();
    }

    /// Messages that wait or are not yet acknowledged.
    pub(super) fn buffered(&self) -> usize {
        self.waiting.len() + self.on_wire.len()
    }

    /// The book of frames.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Messages sent, each counted once.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Messages that the broker has.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn make_room(&mut self, needed: usize) {
        while self.buffered() + needed > self.bound {
            let Some(frame) = self.waiting.front().map(|m| m.frame) else {
                return; // the rest is on the wire: it is the broker's turn
            };
            self.discard(frame, Cause::QueueFull);
        }
    }

    /// Drops a frame with those of its messages that wait; they are at the front. Those on the wire may still arrive.
    fn discard(&mut self, frame: u64, cause: Cause) {
        if self.open.remove(&frame).is_some() {
            self.ledger.drop_frame(cause);
        }
        while self.waiting.front().is_some_and(|m| m.frame == frame)
            && let Some(message) = self.waiting.pop_front()
        {
            if let Body::Report(timed) = message.draft.body {
                let lost = self.unreported.entry(message.draft.topic).or_default();
                add(lost, &timed.report.lost_since_last);
                *lost.entry(cause.as_str().to_owned()).or_default() += 1;
            }
        }
    }
}

fn add(sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (cause, frames) in more {
        *sum.entry(cause.clone()).or_default() += frames;
    }
}

#[cfg(test)]
mod tests {
    use orion_core::topic::TopicTemplate;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        meta::{FrameInfo, Inference},
        orionmqttsink::payload,
    };

    const NOW: Now = Now { wall: 0, running: 0 };

    fn raw(text: &str) -> Draft {
        Draft { topic: "t".into(), body: Body::Raw(Bytes::copy_from_slice(text.as_bytes())), qos: 1, retain: false }
    }

    fn report(seq: u64, lost: u64) -> Draft {
        let result = json!({
            "type": "x", "instance_id": "a", "room_id": "", "timestamp": "t", "frame_seq": seq,
            "data": {"detections": [], "count": 0}, "timing": {"total_ms": 1.0},
        });
        let inference = Inference {
            kind: "x".into(),
            result: result.to_string(),
            sent: 0,
            answered: 0,
            lost: BTreeMap::from([("too_old".to_owned(), lost)]),
        };
        let frame = FrameInfo {
            seq,
            epoch: 0,
            captured: 0,
            clock_source: Default::default(),
            arrived: 0,
            instance_id: "a".into(),
            room_id: String::new(),
            planned: None,
        };
        let template = TopicTemplate::parse("t").unwrap();
        let (topic, body) = payload::report(&template, &inference, Some(&frame)).unwrap();
        Draft { topic, body, qos: 1, retain: false }
    }

    fn send(outbox: &mut Outbox) -> Option<(u64, String)> {
        let sending = outbox.send(64, NOW)?;
        Some((sending.ticket, String::from_utf8(sending.payload.to_vec()).unwrap()))
    }

    fn adds_up(outbox: &Outbox) {
        let ledger = outbox.ledger();
        let closed = ledger.forwarded() + ledger.dropped().total();
        assert_eq!(ledger.received(), closed + outbox.open.len() as u64);
    }

    #[test]
    fn a_frame_is_forwarded_with_its_last_acknowledgement() {
        let mut outbox = Outbox::new(10);
        outbox.push(vec![raw("a"), raw("b")]);
        outbox.push(Vec::new());
        assert_eq!(outbox.ledger().forwarded(), 1, "a frame with nothing to say is done at once");
        let (a, _) = send(&mut outbox).unwrap();
        let (b, text) = send(&mut outbox).unwrap();
        assert_eq!(text, "b");
        assert_eq!(send(&mut outbox), None);
        outbox.acknowledge(b);
        assert_eq!((outbox.ledger().forwarded(), outbox.buffered()), (1, 1));
        outbox.acknowledge(b);
        outbox.acknowledge(99);
        outbox.acknowledge(a);
        assert_eq!((outbox.ledger().forwarded(), outbox.buffered()), (2, 0));
        assert_eq!((outbox.published(), outbox.acknowledged()), (2, 2));
        adds_up(&outbox);
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let mut outbox = Outbox::new(10);
        for text in ["a", "b", "c", "d"] {
            outbox.push(vec![raw(text)]);
        }
        let tickets: Vec<_> = (0..3).map(|_| send(&mut outbox).unwrap().0).collect();
        outbox.acknowledge(tickets[1]);
        outbox.connection_lost();
        assert_eq!(outbox.on_wire.len(), 0);
        let texts: Vec<_> = std::iter::from_fn(|| send(&mut outbox)).map(|(_, text)| text).collect();
        assert_eq!(texts, ["a", "c", "d"]);
        assert_eq!(outbox.published(), 4, "each message counts once");
        adds_up(&outbox);
    }

    #[test]
    fn the_oldest_frames_make_room() {
        let mut outbox = Outbox::new(3);
        outbox.push(vec![raw("a"), raw("b")]);
        outbox.push(vec![raw("c")]);
        outbox.push(vec![raw("d")]);
        assert_eq!((outbox.buffered(), outbox.ledger().dropped().get(Cause::QueueFull)), (2, 1));
        outbox.push(vec![raw("e"), raw("f"), raw("g"), raw("h")]);
        assert_eq!(outbox.buffered(), 4, "one frame is never cut");
        assert_eq!(outbox.ledger().dropped().get(Cause::QueueFull), 3);
        assert_eq!(send(&mut outbox).unwrap().1, "e");
        adds_up(&outbox);
        outbox.refuse(Cause::WorkerError);
        outbox.close();
        adds_up(&outbox);
        assert_eq!(outbox.ledger().dropped().get(Cause::Shutdown), 1);
        assert_eq!((outbox.buffered(), outbox.ledger().in_flight()), (0, 0));
    }

    #[test]
    fn what_is_on_the_wire_is_kept_and_the_window_is_within_the_bound() {
        let mut outbox = Outbox::new(2);
        outbox.push(vec![raw("a")]);
        outbox.push(vec![raw("b")]);
        let (a, _) = send(&mut outbox).unwrap();
        send(&mut outbox).unwrap();
        outbox.push(vec![raw("c")]);
        outbox.push(vec![raw("d")]);
        assert_eq!(send(&mut outbox), None, "no more than the bound at once");
        assert_eq!((outbox.on_wire.len(), outbox.buffered()), (2, 3));
        outbox.acknowledge(a);
        assert_eq!(send(&mut outbox).unwrap().1, "d", "c gave way to d");
        outbox.connection_lost();
        assert_eq!(outbox.buffered(), 2);
        adds_up(&outbox);
    }

    #[test]
    fn a_dropped_frame_stays_dropped_when_the_rest_of_it_arrives() {
        let mut outbox = Outbox::new(2);
        outbox.push(vec![raw("a"), raw("b")]);
        let (a, _) = outbox.send(1, NOW).map(|s| (s.ticket, s.topic)).unwrap();
        outbox.push(vec![raw("c")]);
        assert_eq!(outbox.ledger().dropped().get(Cause::QueueFull), 1);
        outbox.acknowledge(a);
        assert_eq!((outbox.ledger().forwarded(), outbox.acknowledged()), (0, 1));
        adds_up(&outbox);
    }

    #[test]
    fn the_next_report_says_what_was_lost_here() {
        let mut outbox = Outbox::new(2);
        for seq in 0..5 {
            outbox.push(vec![report(seq, 10)]);
        }
        let next = |outbox: &mut Outbox| -> Value { serde_json::from_str(&send(outbox).unwrap().1).unwrap() };
        let first = next(&mut outbox);
        assert_eq!(first["frame_seq"], 3);
        assert_eq!(first["lost_since_last"], json!({"queue_full": 3, "too_old": 40}));
        assert_eq!(next(&mut outbox)["lost_since_last"], json!({"too_old": 10}));
        outbox.connection_lost();
        let again = next(&mut outbox);
        assert_eq!(again["lost_since_last"], first["lost_since_last"], "a repeat says the same");
    }
}
