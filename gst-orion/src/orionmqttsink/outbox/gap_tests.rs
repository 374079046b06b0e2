// SPDX-License-Identifier: MPL-2.0
//! What is said of what is lost, and of which messages the broker is to blame.

use serde_json::Value;

use super::{
    gaps::{MOST, SILENCE},
    room::SLICE,
    tests::{KEEPING, NOW, adds_up, at_s, lose, outbox, push, raw, report, send, sent_numbers},
    *,
};

/// A report of another camera, kind or topic.
fn of(instance: &str, kind: &str, topic: &str, seq: u64) -> Draft {
    let mut draft = report(seq, 0);
    draft.topic = topic.into();
    if let Some(origin) = &mut draft.origin {
        (origin.instance_id, origin.kind) = (instance.into(), kind.into());
    }
    draft
}

/// All that can be sent, acknowledged at once.
fn delivered(outbox: &mut Outbox) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some((ticket, text)) = send(outbox) {
        outbox.acknowledge(ticket, NOW);
        all.push(serde_json::from_str(&text).unwrap());
    }
    all
}

#[test]
fn a_gap_record_on_which_the_broker_closes_keeps_back_nothing() {
    let mut outbox = outbox(1);
    push(&mut outbox, vec![report(0, 0)]);
    push(&mut outbox, vec![report(1, 0)]);
    let (mut results, mut given_up) = (0, Vec::new());
    for n in 2..100 {
        outbox.connected();
        let mut closed = false;
        while let Some((ticket, text)) = send(&mut outbox) {
            let json: Value = serde_json::from_str(&text).unwrap();
            closed |= json["type"] == "gap";
            if !closed {
                results += 1;
                outbox.acknowledge(ticket, NOW);
            }
        }
        if closed {
            given_up.extend(outbox.connection_lost(Loss::Closed, false).given_up);
        }
        push(&mut outbox, vec![report(n, 0)]);
        adds_up(&outbox);
    }
    assert!(results > 90, "{results}");
    assert_eq!((given_up.len(), given_up[0].topic.as_str(), outbox.gaps_dropped()), (1, "gap", 1));
    assert!(given_up[0].bytes > 100);

    // What is lost from now on waits until the broker may have learned.
    push(&mut outbox, vec![report(100, 0)]);
    assert_eq!((outbox.gaps.len(), outbox.pending()), (0, 1), "an end of the stream does not wait for it");
    let later = Now { wall: 0, running: SILENCE + 1 };
    assert_eq!(outbox.send(16, later).unwrap().topic, "gap");
}

#[test]
fn a_gap_record_that_is_refused_by_name_is_told_and_counted() {
    let mut outbox = outbox(1);
    push(&mut outbox, vec![report(0, 0)]);
    push(&mut outbox, vec![report(1, 0)]);
    let gap = outbox.send(16, NOW).unwrap();
    let bytes = gap.payload.len();
    assert_eq!(outbox.reject(gap.ticket), Some(GivenUp { topic: "gap".into(), bytes }));
    assert_eq!((outbox.gaps_dropped(), outbox.ledger().dropped().get(Cause::Refused)), (1, 0), "it is no frame");
    assert_eq!(delivered(&mut outbox)[0]["lost_since_last"]["queue_full"], 1, "the next report still says it");
}

#[test]
fn a_gap_record_keeps_its_ticket_and_of_two_the_older() {
    let mut outbox = outbox(1);
    push(&mut outbox, vec![report(0, 0)]);
    push(&mut outbox, vec![report(1, 0)]);
    let first = outbox.send(1, NOW).unwrap().ticket;
    push(&mut outbox, vec![report(2, 0)]);
    let second = outbox.send(2, NOW).unwrap().ticket;
    assert!(first < second);
    push(&mut outbox, vec![report(3, 0)]);
    lose(&mut outbox);
    let gap = outbox.send(1, NOW).unwrap();
    assert_eq!(gap.ticket, first);
    let json: Value = serde_json::from_slice(&gap.payload).unwrap();
    assert_eq!(json["ranges"], serde_json::json!([{"first": 0, "last": 2, "frames": 3}]));
    assert_eq!(sent_numbers(&mut outbox), (vec![3], vec![]), "there is no other");
}

#[test]
fn what_was_on_the_wire_when_its_frame_was_dropped_is_told_with_the_frames_cause() {
    let mut outbox = outbox(2);
    push(&mut outbox, vec![report(1, 10), of("a", "y", "y", 1)]);
    assert_eq!(outbox.send(1, NOW).unwrap().topic, "x");
    push(&mut outbox, vec![report(2, 0)]);
    lose(&mut outbox);
    adds_up(&outbox);
    let all = delivered(&mut outbox);
    let gaps: Vec<_> = all.iter().filter(|json| json["type"] == "gap").collect();
    let mut kinds: Vec<_> = gaps.iter().map(|json| json["missing_type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["x", "y"]);
    assert!(gaps.iter().all(|gap| gap["cause"] == "queue_full" && gap["frames"] == 1), "{gaps:?}");
    let losses = &all.iter().find(|json| json["type"] == "x").unwrap()["lost_since_last"];
    assert_eq!((&losses["too_old"], &losses["queue_full"]), (&10.into(), &1.into()));
    assert_eq!((outbox.buffered(), outbox.buffered_bytes()), (0, 0));
}

#[test]
fn what_arrives_although_its_frame_was_dropped_is_not_told() {
    let mut outbox = outbox(2);
    push(&mut outbox, vec![report(1, 0), of("a", "y", "y", 1)]);
    let (x, _) = send(&mut outbox).unwrap();
    push(&mut outbox, vec![report(2, 0), report(3, 0)]);
    outbox.acknowledge(x, NOW);
    lose(&mut outbox);
    let gaps: Vec<_> = delivered(&mut outbox).into_iter().filter(|json| json["type"] == "gap").collect();
    assert_eq!((gaps.len(), &gaps[0]["missing_type"]), (1, &"y".into()));
    adds_up(&outbox);
}

#[test]
fn the_window_is_within_the_bound_of_bytes() {
    let one = raw("0123456789abcdef").size();
    let mut outbox = Outbox::new(Keeping { bytes: 5 * one / 2, messages: 1000, ..KEEPING });
    for _ in 0..40 {
        push(&mut outbox, vec![raw("0123456789abcdef")]);
        outbox.send(16, NOW);
        assert!(outbox.buffered_bytes() <= 3 * one, "two on the wire, and the newest");
    }
    assert_eq!(outbox.messages_on_wire().count(), 2);
    // One may always go, even when less is to be kept by now.
    lose(&mut outbox);
    assert_eq!(outbox.buffered(), 2);
    outbox.set_keeping(Keeping { bytes: one, ..KEEPING });
    assert!(send(&mut outbox).is_some() && send(&mut outbox).is_none());
}

#[test]
fn losses_are_told_by_camera_and_kind_not_by_topic() {
    let mut outbox = outbox(1);
    push(&mut outbox, vec![of("a", "x", "all", 1)]);
    push(&mut outbox, vec![of("b", "x", "all", 77)]);
    let told = |all: &[Value]| all.iter().find(|json| json["type"] == "x").unwrap()["lost_since_last"].clone();
    assert_eq!(told(&delivered(&mut outbox)), serde_json::json!({"too_old": 0}), "b has lost nothing");
    push(&mut outbox, vec![of("a", "x", "a topic of its label", 2)]);
    assert_eq!(told(&delivered(&mut outbox)), serde_json::json!({"queue_full": 1, "too_old": 0}));
}

#[test]
fn any_number_of_topics_makes_one_record() {
    let mut outbox = outbox(1);
    for n in 0..5000 {
        push(&mut outbox, vec![of("a", "x", &format!("label{n}"), n)]);
    }
    assert_eq!((outbox.gaps.len(), outbox.gaps.unsaid(std::iter::empty()).unreported.len()), (1, 1));
    assert_eq!(sent_numbers(&mut outbox).1, (0..4999).collect::<Vec<_>>());
}

#[test]
fn records_are_bounded_and_the_oldest_goes_first() {
    let mut outbox = outbox(1);
    for n in 0..20_000 {
        push(&mut outbox, vec![of(&format!("camera{n}"), "x", "x", n)]);
    }
    let unsaid = outbox.gaps.unsaid(std::iter::empty());
    assert_eq!((unsaid.open.len(), unsaid.unreported.len()), (MOST, MOST));
    // Each of the others would have been one record and one addition to a report.
    assert_eq!(outbox.gaps_dropped(), 2 * (19_999 - MOST as u64));
    assert_eq!(sent_numbers(&mut outbox).1[0], 19_999 - MOST as u64);
}

#[test]
fn a_gap_record_is_sent_at_the_highest_quality_of_service_that_it_covers() {
    for (lost, expected) in [([0, 0], 1), ([0, 2], 2), ([2, 1], 2)] {
        let mut outbox = outbox(1);
        for (seq, qos) in lost.into_iter().chain([0]).enumerate() {
            push(&mut outbox, vec![Draft { qos, ..report(seq as u64, 0) }]);
        }
        assert_eq!(outbox.send(1, NOW).unwrap().qos, expected);
    }
}

#[test]
fn a_broker_that_closes_late_gets_the_others_all_the_same() {
    // It acknowledges what is behind number 0, and then closes.
    let mut outbox = outbox(1000);
    push(&mut outbox, vec![report(0, 0)]);
    let mut given_up = Vec::new();
    for n in 1..20_u64 {
        outbox.connected();
        push(&mut outbox, vec![report(n, 0)]);
        let mut closed = false;
        while let Some((ticket, text)) = send(&mut outbox) {
            let json: Value = serde_json::from_str(&text).unwrap();
            let poison = json["type"] == "x" && json["frame_seq"] == 0;
            closed |= poison;
            if !poison {
                outbox.acknowledge(ticket, NOW);
            }
        }
        if closed {
            given_up.extend(outbox.connection_lost(Loss::Closed, false).given_up.map(|_| n));
        }
    }
    assert_eq!(given_up, [6], "three connections until it is suspected, and three more");
    assert_eq!((outbox.pending(), outbox.ledger().forwarded()), (0, 19));
    adds_up(&outbox);
}

#[test]
fn a_session_that_is_resumed_obeys_the_policy_and_counts_what_it_repeats() {
    let mut outbox = Outbox::new(Keeping { policy: OutagePolicy::Drop, ..KEEPING });
    for seq in 0..4 {
        push(&mut outbox, vec![report(seq, 0)]);
    }
    let on_wire = outbox.send(1, NOW).unwrap();
    assert!(outbox.connection_lost(Loss::Other, true).resume);
    assert_eq!(outbox.buffered(), 1, "what was sent");
    push(&mut outbox, vec![report(4, 0)]);
    assert_eq!((outbox.buffered(), outbox.ledger().dropped().get(Cause::NoConnection)), (1, 4));
    outbox.connected();
    assert_eq!((outbox.published(), outbox.replayed()), (1, 1));
    outbox.acknowledge(on_wire.ticket, NOW);
    assert_eq!(sent_numbers(&mut outbox), (vec![], vec![1, 2, 3, 4]));
    adds_up(&outbox);
}

#[test]
fn a_policy_of_now_rules_what_waits_since_before() {
    for (policy, expected) in
        [(OutagePolicy::Drop, (vec![], vec![0, 1, 2, 3])), (OutagePolicy::Newest, (vec![3], vec![0, 1, 2]))]
    {
        let mut outbox = outbox(10);
        lose(&mut outbox);
        for seq in 0..3 {
            push(&mut outbox, vec![report(seq, 0)]);
        }
        outbox.set_keeping(Keeping { policy, ..KEEPING });
        push(&mut outbox, vec![report(3, 0)]);
        outbox.connected();
        let (reports, mut missing) = sent_numbers(&mut outbox);
        missing.sort_unstable();
        assert_eq!((reports, missing), expected);
        adds_up(&outbox);
    }
}

#[test]
fn what_is_much_is_dropped_in_slices() {
    let many = 3 * SLICE as u64 + 1;
    let base = Keeping { messages: 1_000_000, ..KEEPING };
    for keeping in [
        Keeping { expiry_s: 1, ..base },
        Keeping { messages: 1, ..base },
        Keeping { policy: OutagePolicy::Drop, ..base },
        Keeping { policy: OutagePolicy::Newest, ..base },
    ] {
        let mut outbox = Outbox::new(base);
        (0..many).for_each(|seq| push(&mut outbox, vec![report(seq, 0)]));
        outbox.set_keeping(keeping);
        outbox.connection_lost(Loss::Other, false);
        if keeping.policy == OutagePolicy::Newest {
            // Newer ones come while it goes on.
            push(&mut outbox, vec![of("a", "x", "other", many)]);
            push(&mut outbox, vec![of("a", "x", "other", many + 1)]);
        }
        let mut before = outbox.buffered();
        assert!(before + 4 * SLICE > many as usize, "{keeping:?}");
        while outbox.tidy(at_s(2)) {
            assert!(before - outbox.buffered() <= SLICE);
            before = outbox.buffered();
        }
        let left = match (keeping.policy, keeping.expiry_s) {
            (OutagePolicy::Newest, _) => 2,
            (OutagePolicy::Keep, 0) => 1,
            _ => 0,
        };
        assert_eq!(outbox.buffered(), left, "{keeping:?}");
        assert!(outbox.take_fallen().len() <= 101);
        adds_up(&outbox);
    }
}

#[test]
fn nothing_worthless_is_sent_while_there_is_more_to_drop() {
    let mut outbox = Outbox::new(Keeping { messages: 1_000_000, expiry_s: 1, ..KEEPING });
    (0..2 * SLICE as u64).for_each(|seq| push(&mut outbox, vec![report(seq, 0)]));
    assert!(outbox.send(16, at_s(2)).is_none() && outbox.buffered() == SLICE);
    while outbox.tidy(at_s(2)) {}
    assert_eq!(outbox.send(16, at_s(2)).unwrap().topic, "gap");
}

#[test]
fn what_a_stop_costs_is_told_by_the_next_run() {
    let mut former = outbox(3);
    for seq in 0..4 {
        push(&mut former, vec![report(seq, 0)]);
    }
    // The gap record and number 1 are under way, 2 and 3 wait.
    (0..2).for_each(|_| drop(send(&mut former).unwrap()));
    former.close();
    assert_eq!((former.buffered(), former.buffered_bytes(), former.ledger().in_flight()), (0, 0, 0));
    assert_eq!(former.ledger().dropped().get(Cause::Shutdown), 3);

    let mut next = outbox(3);
    next.inherit(&former.unsaid());
    push(&mut next, vec![report(4, 0)]);
    let all = delivered(&mut next);
    let told = |at: usize| (all[at]["cause"].clone(), all[at]["ranges"][0]["first"].clone(), all[at]["frames"].clone());
    assert_eq!(told(0), ("queue_full".into(), 0.into(), 1.into()));
    assert_eq!(told(1), ("shutdown".into(), 1.into(), 3.into()));
    let losses = &all[2]["lost_since_last"];
    assert_eq!((&losses["shutdown"], &losses["queue_full"]), (&3.into(), &1.into()), "number 1 would have said it");
    next.close();
    assert_eq!(next.unsaid(), Unsaid::default());
}
