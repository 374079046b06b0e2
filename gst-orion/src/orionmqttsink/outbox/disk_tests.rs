// SPDX-License-Identifier: MPL-2.0

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::{
    tests::{KEEPING, adds_up, raw},
    world::World,
    *,
};
use crate::orionmqttsink::record;

#[derive(Debug, Clone, Copy)]
enum Step {
    Push(usize),
    Connect,
    Lose,
    Send,
    Acknowledge(usize),
    Pass(u64),
    BeginWork,
    EndWork(bool),
    Crash(bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_usize..4).prop_map(Step::Push),
        2 => Just(Step::Connect),
        2 => Just(Step::Lose),
        4 => Just(Step::Send),
        6 => (0_usize..20).prop_map(Step::Acknowledge),
        4 => (1_u64..700).prop_map(Step::Pass),
        5 => Just(Step::BeginWork),
        5 => prop::bool::weighted(0.15).prop_map(Step::EndWork),
        1 => any::<bool>().prop_map(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_stored_is_lost_or_out_of_order(
        steps in vec(step(), 0..120),
        messages in prop_oneof![Just(4_usize), Just(30), Just(1_000_000)],
    ) {
        let mut world = World::new(Keeping { messages, ..KEEPING });
        for step in steps {
            match step {
                Step::Push(messages) => world.push(messages),
                Step::Connect if !world.connected => world.connect(),
                Step::Lose => world.lose(),
                Step::Send => world.send(),
                Step::Acknowledge(at) => world.acknowledge(at),
                Step::Pass(ms) => world.pass(ms),
                Step::BeginWork => { world.begin_work(false); }
                Step::EndWork(fails) => world.end_work(fails),
                Step::Crash(committed) => world.crash(committed),
                Step::Restart => world.restart(),
                Step::Connect => {}
            }
            world.check();
        }
        world.finish();
        if messages == 1_000_000 {
            // Else a crash may bring back what was dropped just before.
            prop_assert!(world.arrived.is_sorted(), "order is kept over restarts: {:?}", world.arrived);
            prop_assert!(world.missing.is_empty(), "without a bound nothing is missing");
        }
    }
}

/// As many messages as ever wait near their turn, twice, in an outage.
fn backlog() -> World {
    let mut world = World::new(Keeping { messages: 1_000_000, ..KEEPING });
    world.lose();
    for _ in 0..3000 {
        world.push(1);
    }
    while world.begin_work(false) {
        world.end_work(false);
        world.pass(150);
    }
    world
}

#[test]
fn a_fast_link_writes_nothing() {
    let mut world = World::new(KEEPING);
    world.connect();
    for _ in 0..1000 {
        world.push(2);
        world.send();
        world.pass(10);
        while !world.on_wire.is_empty() {
            world.acknowledge(0);
        }
        world.pass(20);
        assert!(!world.begin_work(false));
    }
    assert_eq!((world.commits, world.outbox.ledger().forwarded()), (0, 1000));
}

#[test]
fn what_a_slow_link_has_not_taken_for_half_a_second_is_written_and_removed_with_others() {
    let mut world = World::new(KEEPING);
    world.connect();
    world.push(1);
    world.send();
    world.pass(499);
    assert!(!world.begin_work(false));
    assert_eq!(world.outbox.storage_pause(world.now).unwrap().as_millis(), 1);
    world.pass(1);
    assert!(world.begin_work(false));
    world.end_work(false);
    assert_eq!((world.outbox.stored(), world.messages.len()), (1, 1));
    assert_eq!(world.outbox.storage_pause(world.now), None);
    world.acknowledge(0);
    assert!(!world.begin_work(false), "not at once");
    assert_eq!((world.outbox.stored(), world.messages.len()), (0, 1));
    world.pass(500);
    assert!(world.begin_work(false));
    world.end_work(false);
    assert_eq!((world.messages.len(), world.commits), (0, 2));
}

#[test]
fn without_a_connection_it_is_written_at_once_in_few_commits() {
    let mut world = World::new(KEEPING);
    world.lose();
    for _ in 0..100 {
        world.push(1);
        world.pass(10);
        while world.begin_work(false) {
            world.end_work(false);
        }
    }
    assert!((9..=11).contains(&world.commits), "{} commits in a second", world.commits);
}

#[test]
fn only_what_is_near_its_turn_is_in_memory() {
    let mut world = backlog();
    assert_eq!((world.outbox.stored(), world.messages.len()), (3000, 3000));
    let held = |world: &World| world.outbox.waiting.iter().filter(|message| !message.is_away()).count();
    assert_eq!(held(&world), 1024);
    world.crash(false);
    assert_eq!((held(&world), world.outbox.ledger().received(), world.outbox.ledger().in_flight()), (0, 3000, 3000));
    world.connect();
    world.send();
    assert!(world.on_wire.is_empty() && world.begin_work(false));
    world.end_work(false);
    assert_eq!(held(&world), 1024);
    let sending = world.outbox.send(16, world.now).unwrap();
    assert!(sending.replayed);
    world.lose();
    world.finish();
    assert_eq!(world.arrived, (0..3000).collect::<Vec<_>>());
    assert_eq!(world.outbox.ledger().forwarded(), 3000);
}

#[test]
fn bounds_hold_for_what_a_former_run_left_and_its_gaps_are_said() {
    let mut world = World::new(Keeping { messages: 10, ..KEEPING });
    world.lose();
    for _ in 0..15 {
        world.push(1);
    }
    while world.begin_work(false) {
        world.end_work(false);
        world.pass(150);
    }
    assert_eq!(world.messages.len(), 10);
    world.keeping.messages = 4;
    world.crash(false);
    assert_eq!(world.outbox.ledger().dropped().get(Cause::QueueFull), 6);
    world.finish();
    assert_eq!((world.arrived.clone(), world.missing.clone()), ((11..15).collect(), (0..11).collect()));
}

#[test]
fn the_age_of_a_message_goes_on_over_a_restart() {
    let mut world = World::new(Keeping { expiry_s: 10, ..KEEPING });
    world.lose();
    world.push(1);
    world.pass(4000);
    world.push(1);
    world.restart();
    assert_eq!(world.outbox.buffered(), 2);
    // 7 s are over for the first, the machine was started a second ago.
    world.pass(3000);
    world.finish();
    assert_eq!((world.arrived.clone(), world.missing.clone()), (vec![1], BTreeSet::from([0])));
}

#[test]
fn a_policy_of_now_rules_what_a_former_run_left() {
    for (policy, kept) in [(OutagePolicy::Newest, 1), (OutagePolicy::Drop, 0)] {
        let mut world = backlog();
        world.keeping.policy = policy;
        world.crash(false);
        assert_eq!(world.outbox.buffered(), 3000, "until there is an outage");
        world.lose();
        assert_eq!(world.outbox.buffered(), kept);
        world.push(1);
        while world.begin_work(false) {
            world.end_work(false);
            world.pass(600);
        }
        assert_eq!(world.messages.len(), kept, "the disk follows");
        world.finish();
        assert_eq!(world.arrived.len(), kept);
        assert_eq!(world.arrived.len() + world.missing.len(), 3001);
    }
}

#[test]
fn what_cannot_be_read_does_not_stand_in_the_way() {
    let mut world = backlog();
    world.messages.get_mut(&5).unwrap().1 = vec![9];
    world.crash(false);
    world.connect();
    world.send();
    world.begin_work(false);
    let work = world.under_way.take().unwrap();
    let body = |key: &u64| (*key, record::body(&world.messages[key].1, work.now).ok());
    let bodies = work.read.iter().map(body).collect();
    world.outbox.storage_done(&work, bodies);
    assert_eq!(world.outbox.ledger().dropped().get(Cause::StorageError), 1);
    world.finish();
    assert_eq!((world.missing.clone(), world.outbox.storage_errors()), (BTreeSet::from([5]), 1));
}

#[test]
fn a_dead_disk_is_left_behind_after_a_minute() {
    let mut world = backlog();
    world.crash(false);
    world.connect();
    world.push(1);
    for _ in 0..13 {
        assert_eq!(world.outbox.buffered(), 3001);
        world.send();
        assert!(world.begin_work(false));
        world.end_work(true);
        assert!(!world.begin_work(false), "not at once");
        world.pass(5000);
    }
    world.send();
    assert_eq!(world.arrived.last(), Some(&3000));
    assert_eq!(world.outbox.ledger().dropped().get(Cause::StorageError), 3000);
    assert_eq!(world.messages.len(), 3000, "the next run may have more luck");
}

#[test]
fn a_disk_that_is_full_is_still_read() {
    let mut world = backlog();
    world.crash(false);
    world.push(1);
    world.pass(600);
    world.lose();
    assert!(world.begin_work(false));
    world.end_work(true);
    world.connect();
    world.send();
    assert!(world.begin_work(false));
    assert!(!world.under_way.as_ref().unwrap().commits());
    world.end_work(false);
    world.send();
    assert_eq!(world.on_wire.len(), 16);
}

#[test]
fn a_disk_that_does_not_keep_up_does_not_fill_the_memory() {
    let mut world = World::new(Keeping { messages: 1_000_000, bytes: 1 << 40, ..KEEPING });
    world.lose();
    let big = "x".repeat(1 << 20);
    for _ in 0..200 {
        world.outbox.push(vec![raw(&big)], Place::default(), world.now);
    }
    assert_eq!(world.outbox.buffered(), 63);
    assert_eq!(world.outbox.ledger().dropped().get(Cause::QueueFull), 137);
    while world.begin_work(false) {
        world.end_work(false);
        world.pass(150);
    }
    for _ in 0..10 {
        world.outbox.push(vec![raw(&big)], Place::default(), world.now);
    }
    assert_eq!(world.outbox.buffered(), 73, "what is on the disk makes room");
    adds_up(&world.outbox);
}
