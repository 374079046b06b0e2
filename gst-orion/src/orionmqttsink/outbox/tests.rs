// SPDX-License-Identifier: MPL-2.0

use orion_core::topic::TopicTemplate;
use serde_json::{Value, json};

use bytes::Bytes;

use super::*;
use crate::{
    meta::{FrameInfo, Inference},
    orionmqttsink::payload::{self, Body, Delivery},
};

pub(super) const NOW: Now = Now { wall: 0, running: 0 };

pub(super) const KEEPING: Keeping = Keeping { messages: 10, bytes: 1 << 30, policy: OutagePolicy::Keep, expiry_s: 0 };

pub(super) fn outbox(messages: usize) -> Outbox {
    Outbox::new(Keeping { messages, ..KEEPING })
}

pub(super) fn at_s(seconds: u64) -> Now {
    Now { wall: 0, running: seconds * 1_000_000_000 }
}

pub(super) fn raw(text: &str) -> Draft {
    Draft {
        topic: "t".into(),
        body: Body::Raw(Bytes::copy_from_slice(text.as_bytes())),
        qos: 1,
        retain: false,
        content_type: None,
        origin: None,
        key: None,
    }
}

pub(super) fn report(seq: u64, lost: u64) -> Draft {
    let result = json!({
        "type": "x", "instance_id": "a", "room_id": "", "timestamp": "t", "frame_seq": seq,
        "data": {"detections": [], "count": 0}, "timing": {"total_ms": 1.0},
    });
    of_worker(result, BTreeMap::from([("too_old".to_owned(), lost)]))
}

/// The report of this result.
pub(super) fn of_worker(result: Value, lost: BTreeMap<String, u64>) -> Draft {
    let text = |field: &str| result[field].as_str().unwrap().to_owned();
    let (kind, instance_id, room_id) = (text("type"), text("instance_id"), text("room_id"));
    let seq = result["frame_seq"].as_u64().unwrap();
    let inference = Inference { kind, result: result.to_string(), sent: 0, answered: 0, lost };
    let frame = FrameInfo {
        seq,
        epoch: 0,
        captured: 0,
        clock_source: Default::default(),
        arrived: 0,
        instance_id,
        room_id,
        planned: None,
    };
    let topic = TopicTemplate::parse("{type}").unwrap().into();
    let result = payload::parse(&inference).unwrap();
    payload::report(&Delivery { topic, qos: 1, retain: true }, &inference, result, Some(&frame)).unwrap()
}

pub(super) fn push(outbox: &mut Outbox, drafts: Vec<Draft>) {
    outbox.push(drafts, Place::default(), NOW);
}

pub(super) fn lose(outbox: &mut Outbox) {
    assert_eq!(outbox.connection_lost(Loss::Other, false), Aftermath { resume: false, given_up: None });
}

/// The sequence numbers of all reports and gap records that can be sent.
pub(super) fn sent_numbers(outbox: &mut Outbox) -> (Vec<u64>, Vec<u64>) {
    let (mut reports, mut missing) = (Vec::new(), Vec::new());
    while let Some((_, text)) = send(outbox) {
        let json: Value = serde_json::from_str(&text).unwrap();
        if json["type"] == "gap" {
            for range in json["ranges"].as_array().unwrap() {
                missing.extend(range["first"].as_u64().unwrap()..=range["last"].as_u64().unwrap());
            }
        } else {
            reports.push(json["frame_seq"].as_u64().unwrap());
        }
    }
    (reports, missing)
}

pub(super) fn send(outbox: &mut Outbox) -> Option<(u64, String)> {
    let sending = outbox.send(64, NOW)?;
    Some((sending.ticket, String::from_utf8(sending.payload.to_vec()).unwrap()))
}

pub(super) fn adds_up(outbox: &Outbox) {
    let ledger = outbox.ledger();
    let closed = ledger.forwarded() + ledger.dropped().total();
    assert_eq!(ledger.received(), closed + outbox.open.len() as u64);
}

#[test]
fn a_frame_is_forwarded_with_its_last_acknowledgement() {
    let mut outbox = outbox(10);
    push(&mut outbox, vec![raw("a"), raw("b")]);
    push(&mut outbox, Vec::new());
    assert_eq!(outbox.ledger().forwarded(), 1, "a frame with nothing to say is done at once");
    let (a, _) = send(&mut outbox).unwrap();
    let (b, text) = send(&mut outbox).unwrap();
    assert_eq!(text, "b");
    assert_eq!(send(&mut outbox), None);
    outbox.acknowledge(b, NOW);
    assert_eq!((outbox.ledger().forwarded(), outbox.buffered()), (1, 1));
    outbox.acknowledge(b, NOW);
    outbox.acknowledge(99, NOW);
    outbox.acknowledge(a, NOW);
    assert_eq!((outbox.ledger().forwarded(), outbox.buffered()), (2, 0));
    assert_eq!((outbox.published(), outbox.acknowledged()), (2, 2));
    adds_up(&outbox);
}

#[test]
fn delays_and_bytes_are_those_of_the_messages() {
    let at = |ms: u64| Now { wall: 0, running: ms * 1_000_000 };
    let mut outbox = outbox(10);
    push(&mut outbox, vec![raw("abc"), report(1, 0)]);
    let answer = outbox.waiting[1].size;
    let other = raw("abc").size();
    assert!(other > 1000 && answer > other + 100 && outbox.buffered_bytes() == answer + other);
    let tickets = [0, 0].map(|_| outbox.send(64, at(10)).unwrap().ticket);
    outbox.acknowledge(tickets[0], at(14));
    assert_eq!(outbox.buffered_bytes(), answer, "also while it is on the wire");
    lose(&mut outbox);
    outbox.send(64, at(100)).unwrap();
    outbox.acknowledge(tickets[1], at(102));
    let summary = outbox.delays().summary();
    assert_eq!((summary.mean, summary.p99, outbox.buffered_bytes()), (3.0, 4.0, 0), "counted from the last try");
    push(&mut outbox, vec![Draft { qos: 0, ..raw("x") }]);
    let ticket = outbox.send(64, at(200)).unwrap().ticket;
    outbox.acknowledge(ticket, at(900));
    assert_eq!(outbox.delays().summary(), summary, "QoS 0 knows no acknowledgement");
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order() {
    let mut outbox = outbox(10);
    for text in ["a", "b", "c", "d"] {
        push(&mut outbox, vec![raw(text)]);
    }
    let tickets: Vec<_> = (0..3).map(|_| send(&mut outbox).unwrap().0).collect();
    outbox.acknowledge(tickets[1], NOW);
    lose(&mut outbox);
    assert_eq!(outbox.on_wire.len(), 0);
    let texts: Vec<_> = std::iter::from_fn(|| send(&mut outbox)).map(|(_, text)| text).collect();
    assert_eq!(texts, ["a", "c", "d"]);
    assert_eq!(outbox.published(), 4, "each message counts once");
    adds_up(&outbox);
}

#[test]
fn the_oldest_frames_make_room() {
    let mut outbox = outbox(3);
    push(&mut outbox, vec![raw("a"), raw("b")]);
    push(&mut outbox, vec![raw("c")]);
    push(&mut outbox, vec![raw("d")]);
    assert_eq!((outbox.buffered(), outbox.ledger().dropped().get(Cause::QueueFull)), (2, 1));
    push(&mut outbox, vec![raw("e"), raw("f"), raw("g"), raw("h")]);
    assert_eq!(outbox.buffered(), 4, "one frame is never cut");
    assert_eq!(outbox.ledger().dropped().get(Cause::QueueFull), 3);
    assert_eq!(send(&mut outbox).unwrap().1, "e");
    adds_up(&outbox);
    outbox.refuse(Cause::WorkerError, Place::default());
    outbox.close();
    adds_up(&outbox);
    assert_eq!(outbox.ledger().dropped().get(Cause::Shutdown), 1);
    assert_eq!((outbox.buffered(), outbox.ledger().in_flight()), (0, 0));
}

#[test]
fn what_is_on_the_wire_is_kept_and_the_window_is_within_the_bound() {
    let mut outbox = outbox(2);
    push(&mut outbox, vec![raw("a")]);
    push(&mut outbox, vec![raw("b")]);
    let (a, _) = send(&mut outbox).unwrap();
    send(&mut outbox).unwrap();
    push(&mut outbox, vec![raw("c")]);
    push(&mut outbox, vec![raw("d")]);
    assert_eq!(send(&mut outbox), None, "no more than the bound at once");
    assert_eq!((outbox.on_wire.len(), outbox.buffered()), (2, 3));
    outbox.acknowledge(a, NOW);
    assert_eq!(send(&mut outbox).unwrap().1, "d", "c gave way to d");
    lose(&mut outbox);
    assert_eq!(outbox.buffered(), 2);
    adds_up(&outbox);
}

#[test]
fn a_dropped_frame_stays_dropped_when_the_rest_of_it_arrives() {
    let mut outbox = outbox(2);
    push(&mut outbox, vec![raw("a"), raw("b")]);
    let (a, _) = outbox.send(1, NOW).map(|s| (s.ticket, s.topic)).unwrap();
    push(&mut outbox, vec![raw("c")]);
    assert_eq!(outbox.ledger().dropped().get(Cause::QueueFull), 1);
    outbox.acknowledge(a, NOW);
    assert_eq!((outbox.ledger().forwarded(), outbox.acknowledged()), (0, 1));
    adds_up(&outbox);
}

#[test]
fn the_next_report_says_what_was_lost_here() {
    let mut outbox = outbox(3);
    outbox.set_keeping(Keeping { messages: 2, ..KEEPING });
    for seq in 0..5 {
        push(&mut outbox, vec![report(seq, 10)]);
    }
    let next = |outbox: &mut Outbox| -> Value { serde_json::from_str(&send(outbox).unwrap().1).unwrap() };
    let gap = next(&mut outbox);
    assert_eq!((&gap["type"], &gap["missing_type"], &gap["cause"]), (&json!("gap"), &json!("x"), &json!("queue_full")));
    assert_eq!(gap["ranges"], json!([{"first": 0, "last": 2, "frames": 3}]));
    let first = next(&mut outbox);
    assert_eq!(first["frame_seq"], 3);
    assert_eq!(first["lost_since_last"], json!({"queue_full": 3, "too_old": 40}));
    assert_eq!(next(&mut outbox)["lost_since_last"], json!({"too_old": 10}));
    lose(&mut outbox);
    assert_eq!(next(&mut outbox)["ranges"], gap["ranges"], "what was not acknowledged is said again, and first");
    let again = next(&mut outbox);
    assert_eq!(again["lost_since_last"], first["lost_since_last"], "a repeat says the same");
}

#[test]
fn a_gap_record_is_no_result_and_is_said_until_it_is_acknowledged() {
    let mut outbox = outbox(1);
    for seq in [4, 5, 9] {
        push(&mut outbox, vec![report(seq, 0)]);
    }
    assert_eq!((outbox.buffered(), outbox.pending(), outbox.gap_records()), (1, 2, 0));
    let gap = outbox.send(1, NOW).unwrap();
    assert_eq!((gap.topic.as_str(), gap.qos, gap.retain, gap.replayed), ("gap", 1, false, false));
    push(&mut outbox, vec![report(10, 0)]);
    lose(&mut outbox);
    push(&mut outbox, vec![report(11, 0)]);
    let (reports, missing) = sent_numbers(&mut outbox);
    assert_eq!((reports, missing), (vec![11], vec![4, 5, 9, 10]), "one record for all");
    assert_eq!((outbox.published(), outbox.gap_records()), (1, 2));
    adds_up(&outbox);
}

#[test]
fn bytes_are_bounded_like_messages() {
    let overhead = raw("").size();
    let mut outbox = Outbox::new(Keeping { bytes: 6 + 3 * overhead, ..KEEPING });
    for text in ["aaa", "bbb", "cc", "d"] {
        push(&mut outbox, vec![raw(text)]);
    }
    assert_eq!((outbox.buffered(), outbox.buffered_bytes()), (3, 6 + 3 * overhead));
    push(&mut outbox, vec![raw(&"x".repeat(7 + 2 * overhead))]);
    assert_eq!((outbox.buffered(), outbox.ledger().dropped().get(Cause::QueueFull)), (3, 2), "too much on its own");
    assert_eq!(send(&mut outbox).unwrap().1, "bbb");
    adds_up(&outbox);
    let fallen = outbox.take_fallen();
    assert_eq!(fallen.iter().map(|frame| frame.cause).collect::<Vec<_>>(), [Cause::QueueFull; 2]);
    assert_eq!(outbox.take_fallen(), []);
}

#[test]
fn what_had_to_wait_for_a_connection_is_marked() {
    let mut outbox = outbox(100);
    let replayed = |outbox: &mut Outbox| outbox.send(99, NOW).map(|sending| sending.replayed);
    push(&mut outbox, vec![report(0, 0)]);
    outbox.connected();
    assert_eq!(replayed(&mut outbox), Some(false), "the first connection is no outage");
    lose(&mut outbox);
    push(&mut outbox, vec![report(1, 0)]);
    outbox.connected();
    push(&mut outbox, vec![report(2, 0)]);
    assert_eq!([0; 4].map(|_| replayed(&mut outbox)), [Some(true), Some(true), Some(false), None]);
    lose(&mut outbox);
    outbox.connected();
    assert_eq!([0; 3].map(|_| replayed(&mut outbox)), [Some(true); 3]);
    assert_eq!((outbox.published(), outbox.replayed()), (3, 3), "each counts once");
}

#[test]
fn without_a_connection_only_the_newest_of_each_topic_is_kept_if_so_wished() {
    let mut outbox = Outbox::new(Keeping { policy: OutagePolicy::Newest, ..KEEPING });
    let other = |seq| Draft { topic: "other".into(), ..report(seq, 0) };
    push(&mut outbox, vec![report(0, 0)]);
    push(&mut outbox, vec![report(1, 0)]);
    assert_eq!(outbox.buffered(), 2, "before an outage all are kept");
    send(&mut outbox);
    lose(&mut outbox);
    push(&mut outbox, vec![report(2, 0), other(2)]);
    push(&mut outbox, vec![report(3, 0), report(3, 0)]);
    push(&mut outbox, vec![other(4)]);
    push(&mut outbox, vec![report(5, 0)]);
    push(&mut outbox, vec![other(6)]);
    let dropped = outbox.ledger().dropped().get(Cause::NoConnection);
    assert_eq!(dropped, 5);
    let (reports, mut missing) = sent_numbers(&mut outbox);
    missing.sort_unstable();
    assert_eq!((reports, missing), (vec![5, 6], vec![0, 1, 2, 2, 3, 3, 4]));
    adds_up(&outbox);
}

#[test]
fn the_end_of_one_object_is_not_replaced_by_news_of_another() {
    let mut outbox = Outbox::new(Keeping { policy: OutagePolicy::Newest, ..KEEPING });
    let event = |text: &str, key: &str| Draft { key: Some(key.into()), ..raw(text) };
    lose(&mut outbox);
    push(&mut outbox, vec![event("new A", "A")]);
    push(&mut outbox, vec![event("new B", "B"), event("update A", "A")]);
    outbox.push_aside(vec![event("end A", "A")], NOW);
    push(&mut outbox, vec![event("update B", "B")]);
    push(&mut outbox, vec![event("update B again", "B")]);
    push(&mut outbox, vec![raw("of all")]);
    assert_eq!(outbox.messages_dropped(), 4);
    outbox.connected();
    let texts: Vec<_> = std::iter::from_fn(|| send(&mut outbox)).map(|(_, text)| text).collect();
    assert_eq!(texts, ["end A", "update B again", "of all"]);
}

#[test]
fn every_message_that_is_given_up_is_counted() {
    let mut outbox = Outbox::new(Keeping { messages: 2, bytes: 10_000, ..KEEPING });
    outbox.push_aside(vec![raw("a"), raw("b")], NOW);
    outbox.push_aside(vec![raw(&"x".repeat(10_001))], NOW);
    assert_eq!(outbox.messages_dropped(), 1, "larger than all that may be kept");
    outbox.push_aside(vec![raw("c")], NOW);
    assert_eq!((outbox.messages_dropped(), outbox.buffered()), (3, 1), "a and b made room together");
    let ticket = send(&mut outbox).unwrap().0;
    assert!(outbox.reject(ticket).is_some());
    assert_eq!(outbox.messages_dropped(), 4);
    push(&mut outbox, vec![raw("d"), raw("e")]);
    let ticket = send(&mut outbox).unwrap().0;
    outbox.acknowledge(ticket, NOW);
    assert_eq!(outbox.messages_dropped(), 4);
    outbox.close();
    assert_eq!((outbox.messages_dropped(), outbox.acknowledged()), (5, 1), "e never went out");
}

#[test]
fn without_a_connection_nothing_is_kept_if_so_wished() {
    let mut outbox = Outbox::new(Keeping { policy: OutagePolicy::Drop, ..KEEPING });
    push(&mut outbox, vec![report(0, 0)]);
    push(&mut outbox, vec![report(1, 0)]);
    assert!(send(&mut outbox).is_some());
    lose(&mut outbox);
    push(&mut outbox, vec![report(2, 0)]);
    assert_eq!(outbox.ledger().dropped().get(Cause::NoConnection), 3);
    outbox.connected();
    push(&mut outbox, vec![report(3, 0)]);
    assert_eq!(sent_numbers(&mut outbox), (vec![3], vec![0, 1, 2]));
    adds_up(&outbox);
}

#[test]
fn what_is_worthless_by_now_is_dropped_and_the_rest_of_the_time_is_told() {
    let mut outbox = Outbox::new(Keeping { expiry_s: 10, ..KEEPING });
    outbox.push(vec![report(0, 0)], Place::default(), at_s(0));
    outbox.push(vec![report(1, 0)], Place::default(), at_s(4));
    let gap = outbox.send(99, at_s(11)).unwrap();
    assert_eq!((gap.topic.as_str(), gap.expiry), ("gap", None));
    assert_eq!(outbox.send(99, at_s(11)).unwrap().expiry, Some(3));
    assert_eq!(outbox.ledger().dropped().get(Cause::TooOld), 1);
    adds_up(&outbox);
}

#[test]
fn a_message_that_the_broker_does_not_take_is_given_up_alone() {
    let mut outbox = outbox(10);
    for seq in 0..3 {
        push(&mut outbox, vec![report(seq, 0)]);
    }
    let tickets = [0; 3].map(|_| send(&mut outbox).unwrap().0);
    let given_up = outbox.reject(tickets[1]).unwrap();
    assert_eq!(given_up.topic, "x");
    assert_eq!(outbox.reject(tickets[1]), None, "it is gone");
    outbox.acknowledge(tickets[0], NOW);
    outbox.acknowledge(tickets[2], NOW);
    assert_eq!(sent_numbers(&mut outbox), (vec![], vec![1]));
    assert_eq!((outbox.ledger().forwarded(), outbox.ledger().dropped().get(Cause::Refused)), (2, 1));
    adds_up(&outbox);
}

#[test]
fn a_broker_that_closes_on_a_message_gets_the_others() {
    let mut outbox = outbox(10);
    for seq in 0..5 {
        push(&mut outbox, vec![report(seq, 0)]);
    }
    // It acknowledges whatever comes before number 2 and then closes.
    let mut arrived = Vec::new();
    for _ in 0..20 {
        outbox.connected();
        let mut on_wire = Vec::new();
        while let Some((ticket, text)) = send(&mut outbox) {
            on_wire.push((ticket, serde_json::from_str::<Value>(&text).unwrap()));
        }
        let mut closed = false;
        for (ticket, json) in on_wire {
            closed |= json["frame_seq"] == 2;
            if !closed {
                arrived.push(json);
                outbox.acknowledge(ticket, NOW);
            }
        }
        if outbox.pending() == 0 {
            break;
        }
        if closed {
            outbox.connection_lost(Loss::Closed, false);
        }
    }
    let numbers: Vec<_> = arrived.iter().filter_map(|json| json["frame_seq"].as_u64()).collect();
    assert_eq!(numbers, [0, 1, 3, 4]);
    let gaps: Vec<_> = arrived.iter().filter(|json| json["type"] == "gap").collect();
    assert_eq!((gaps.len(), &gaps[0]["cause"], &gaps[0]["ranges"][0]["first"]), (1, &json!("refused"), &json!(2)));
    assert_eq!((outbox.ledger().forwarded(), outbox.ledger().dropped().get(Cause::Refused)), (4, 1));
    adds_up(&outbox);
}

#[test]
fn a_session_that_is_resumed_keeps_what_is_on_the_wire() {
    let mut outbox = outbox(10);
    push(&mut outbox, vec![raw("a")]);
    push(&mut outbox, vec![raw("b")]);
    let (a, _) = send(&mut outbox).unwrap();
    assert_eq!(outbox.connection_lost(Loss::Other, true), Aftermath { resume: true, given_up: None });
    outbox.connected();
    assert_eq!(send(&mut outbox).unwrap().1, "b", "a is repeated by the session");
    outbox.acknowledge(a, NOW);
    outbox.session_lost();
    assert_eq!(send(&mut outbox).unwrap().1, "b");
    for _ in 0..2 {
        outbox.connection_lost(Loss::Closed, true);
    }
    assert!(outbox.careful() && outbox.on_wire.is_empty(), "a culprit is looked for without a session");
    adds_up(&outbox);
}
