// SPDX-License-Identifier: MPL-2.0
//! Frames of several elements in one worker's batch: that they are there together, and that each is accounted for alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/group.rs"]
mod group;
#[path = "support/load.rs"]
mod load;
#[path = "support/rig.rs"]
mod rig;

use group::{Group, adds_up, one, stop};
use gst::prelude::*;
use rig::{Rig, alive, until};

/// A frame of each; how many were answered together.
fn round(rigs: &mut [Rig]) -> Vec<u64> {
    rigs.iter_mut().for_each(|rig| assert!(rig.push().is_ok()));
    rigs.iter_mut().map(|rig| rig.pull()["timing"]["batch"].as_u64().unwrap()).collect()
}

fn rigs(group: &Group, count: usize) -> Vec<Rig> {
    (0..count).map(|_| group.rig()).collect()
}

/// Waits until nothing is inside any of them.
fn settle(rigs: &[Rig]) {
    until("all is settled", || rigs.iter().all(|rig| adds_up(&rig.stats())));
}

#[test]
fn frames_of_different_elements_are_in_one_workers_hand_together() {
    let group = Group::new("--batch 4", 1);
    let mut rigs = rigs(&group, 4);
    for _ in 0..5 {
        assert_eq!(round(&mut rigs), [4; 4], "more than the two that a worker has in hand otherwise");
    }
    settle(&rigs);
    rigs.iter().for_each(|rig| rig.assert_settled(5, 5));
}

#[test]
fn an_element_alone_gets_no_more_into_a_workers_hand_than_ever() {
    let group = Group::new("--batch 4 --at 0=hang", 1);
    let mut rig = group.rig();
    rig.push().unwrap();
    rig.push().unwrap();
    // A third one would be taken at once if there were room.
    let pad = rig.element().static_pad("sink").unwrap();
    let third = std::thread::spawn(move || pad.chain(gst::Buffer::from_slice([1, 2, 3])));
    until("it waits", || rig.count("received") == 3);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!third.is_finished());
    stop(&rig);
    assert!(third.join().unwrap().is_err());
    assert!(adds_up(&rig.stats()), "{}", rig.stats());
}

#[test]
fn one_element_does_not_fill_a_batch_of_its_own_where_there_are_others() {
    let group = Group::new("--batch 4 --at 0=hang", 1);
    let (mut busy, other) = (group.rig(), group.rig());
    busy.push().unwrap();
    busy.push().unwrap();
    let pad = busy.element().static_pad("sink").unwrap();
    let third = std::thread::spawn(move || pad.chain(gst::Buffer::from_slice([1, 2, 3])));
    until("it waits", || busy.count("received") == 3);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!third.is_finished(), "two of one element are the most");
    stop(&busy);
    assert!(third.join().unwrap().is_err());
    drop(other);
}

#[test]
fn a_bad_frame_costs_itself_only() {
    let group = Group::new("--batch 3 --at 4=bad-frame", 1);
    let mut rigs = rigs(&group, 3);
    assert_eq!(round(&mut rigs), [3; 3]);
    rigs.iter_mut().for_each(|rig| assert!(rig.push().is_ok()));
    assert_eq!(rigs[0].pull()["frame_seq"], 1);
    assert_eq!(rigs[2].pull()["frame_seq"], 1);
    settle(&rigs);
    assert_eq!(rigs[1].dropped("decode_error"), 1, "{}", rigs[1].stats());
    assert_eq!(round(&mut rigs), [3; 3]);
    settle(&rigs);
    rigs[0].assert_settled(3, 3);
    rigs[1].assert_settled(3, 2);
}

#[test]
fn a_worker_that_dies_or_hangs_with_a_batch_loses_no_frame_unseen() {
    for (action, timeout) in [("die", "10000000000"), ("hang", "500000000")] {
        let group = Group::new(&format!("--batch 3 --at 4={action} --shm"), 1);
        let mut rigs: Vec<_> =
            (0..3).map(|_| group.rig_with(&[("frame-timeout", timeout), ("transport", "shm")])).collect();
        assert_eq!(round(&mut rigs), [3; 3]);
        let pid = rigs[0].pid();
        rigs.iter_mut().for_each(|rig| assert!(rig.push().is_ok()));
        settle(&rigs);
        let lost: Vec<_> = rigs.iter().map(|rig| rig.dropped("worker_restart")).collect();
        assert_eq!(lost[1], 1, "{action}: {lost:?}");
        assert!(!alive(pid), "{action}");
        let forwarded: u64 = rigs.iter().map(|rig| rig.count("forwarded")).sum();
        assert_eq!(forwarded + lost.iter().sum::<u64>(), 6, "{action}: {lost:?}");
        // What came through after all.
        for (rig, lost) in rigs.iter_mut().zip(&lost) {
            (*lost..1).for_each(|_| drop(rig.pull()));
        }
        for _ in 0..4 {
            assert_eq!(round(&mut rigs), [3; 3], "all slots are there again");
        }
        settle(&rigs);
    }
}

#[test]
fn models_are_swapped_under_batches_without_losing_a_frame() {
    let group = Group::new("--batch 4 --load-ms 50", 1);
    let mut loads: Vec<_> = (0..4).map(|_| group.load()).collect();
    (0..20).for_each(|_| loads.iter_mut().for_each(|load| drop(load.result())));
    loads[0].element().set_property_from_str("model-size", "s");
    let mut rounds = 0;
    while loads.iter_mut().map(|load| load.result()).filter(|size| size == "s").count() < 4 {
        rounds += 1;
        assert!(rounds < 5000, "nothing was swapped");
    }
    loads.iter_mut().for_each(|load| load.finish());
    for load in &loads {
        assert!(adds_up(&load.stats()), "{}", load.stats());
        assert_eq!(load.count("received"), load.count("forwarded"));
    }
}

#[test]
fn a_group_that_becomes_smaller_goes_on_with_smaller_batches() {
    let group = Group::new("--batch 4", 1);
    let mut rigs = rigs(&group, 4);
    assert_eq!(round(&mut rigs), [4; 4]);
    let rest = rigs.split_off(1);
    rest.iter().for_each(stop);
    drop(rest);
    assert_eq!(one(&mut rigs[0])["timing"]["batch"], 1);
    rigs.push(group.rig());
    for _ in 0..3 {
        let together = round(&mut rigs);
        assert!(together.iter().all(|count| (1..=2).contains(count)), "{together:?}");
    }
    settle(&rigs);
}
