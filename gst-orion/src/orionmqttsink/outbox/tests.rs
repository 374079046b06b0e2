// SPDX-License-Identifier: MPL-2.0

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
    let mut outbox = Outbox::new(10);
    outbox.push(vec![raw("abc"), report(1, 0)]);
    let answer = outbox.waiting[1].draft.body.size();
    assert!(answer > 50 && outbox.buffered_bytes() == answer + 3);
    let tickets = [0, 0].map(|_| outbox.send(64, at(10)).unwrap().ticket);
    outbox.acknowledge(tickets[0], at(14));
    assert_eq!(outbox.buffered_bytes(), answer, "also while it is on the wire");
    outbox.connection_lost();
    outbox.send(64, at(100)).unwrap();
    outbox.acknowledge(tickets[1], at(102));
    let summary = outbox.delays().summary();
    assert_eq!((summary.mean, summary.p99, outbox.buffered_bytes()), (3.0, 4.0, 0), "counted from the last try");
    outbox.push(vec![Draft { qos: 0, ..raw("x") }]);
    let ticket = outbox.send(64, at(200)).unwrap().ticket;
    outbox.acknowledge(ticket, at(900));
    assert_eq!(outbox.delays().summary(), summary, "QoS 0 knows no acknowledgement");
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order() {
    let mut outbox = Outbox::new(10);
    for text in ["a", "b", "c", "d"] {
        outbox.push(vec![raw(text)]);
    }
    let tickets: Vec<_> = (0..3).map(|_| send(&mut outbox).unwrap().0).collect();
    outbox.acknowledge(tickets[1], NOW);
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
    outbox.acknowledge(a, NOW);
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
    outbox.acknowledge(a, NOW);
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
