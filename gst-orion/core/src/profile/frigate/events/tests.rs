// SPDX-License-Identifier: MPL-2.0

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::*;
use crate::{
    profile::frigate::EventKind::{self, End, New, Update},
    wire::{BBox, Detection},
};

const SIZE: (u32, u32) = (640, 480);

/// Edges of the left, confidence and label of a box of 50 × 100 pixels.
type Seen<'a> = (f64, f64, &'a str);

fn result(camera: &str, kind: &str, seen: &[Seen<'_>]) -> InferenceResult {
    let value = json!({
        "type": kind, "instance_id": camera, "room_id": "", "timestamp": "t", "frame_seq": 0,
        "data": {"detections": [], "count": 0}, "timing": {"total_ms": 0.0},
    });
    let mut result: InferenceResult = serde_json::from_value(value).unwrap();
    result.data.detections.extend(seen.iter().map(|(x, confidence, label)| Detection {
        bbox: BBox { x: *x, y: 100.0, width: 50.0, height: 100.0 },
        confidence: *confidence,
        label: (*label).to_owned(),
        label_id: None,
    }));
    result
}

/// Feeds one camera; times in ms.
struct Feed {
    events: Events,
    random: u64,
}

impl Feed {
    fn new(config: Config) -> Self {
        Self { events: Events::new(config), random: 0 }
    }

    fn frame(&mut self, ms: u64, seen: &[Seen<'_>]) -> Vec<Event> {
        self.result(ms, &result("ward", "person_detection", seen))
    }

    fn result(&mut self, ms: u64, result: &InferenceResult) -> Vec<Event> {
        let random = &mut self.random;
        self.events.observe(result, ms * 1_000_000, SIZE, &mut || {
            *random += 1;
            *random
        })
    }
}

fn kinds(events: &[Event]) -> Vec<(EventKind, &str)> {
    events.iter().map(|event| (event.kind, event.after.label.as_str())).collect()
}

const PERSON: Seen<'static> = (100.0, 0.9, "person");

#[test]
fn a_visit_is_new_and_then_ends() {
    let mut feed = Feed::new(Config::default());
    assert_eq!(feed.frame(1000, &[PERSON]), []);
    let new = feed.frame(1200, &[PERSON]);
    assert_eq!(kinds(&new), [(New, "person")]);
    assert!(new[0].after.id.starts_with("1.000000-"), "{}", new[0].after.id);
    assert_eq!(feed.frame(6200, &[]), [], "exactly as long as it may be away");
    let end = feed.frame(6201, &[]);
    assert_eq!(kinds(&end), [(End, "person")]);
    let after = &end[0].after;
    assert_eq!((&after.id, after.frame_time, after.end_time), (&new[0].after.id, 1.2, Some(6.201)));
    assert_eq!(feed.events.live(), 0);
}

#[test]
fn results_may_be_rarer_than_the_time_it_may_be_away() {
    let mut feed = Feed::new(Config::default());
    feed.frame(0, &[PERSON]);
    assert_eq!(kinds(&feed.frame(10_000, &[PERSON])), [(New, "person")]);
    assert_eq!(kinds(&feed.frame(20_000, &[])), [(End, "person")]);
}

#[test]
fn late_and_repeated_results_change_nothing() {
    let mut feed = Feed::new(Config::default());
    feed.frame(1000, &[PERSON]);
    feed.frame(1200, &[PERSON]);
    assert_eq!(feed.frame(1200, &[(400.0, 0.9, "cat")]), []);
    assert_eq!(feed.frame(0, &[(400.0, 0.9, "cat")]), []);
    assert_eq!(feed.events.live(), 1);
    let end = feed.events.finish();
    assert_eq!((kinds(&end), end[0].after.end_time), (vec![(End, "person")], Some(1.2)));
}

#[test]
fn a_clock_that_steps_far_back_begins_anew() {
    let mut feed = Feed::new(Config::default());
    feed.frame(100_000, &[PERSON]);
    feed.frame(100_200, &[PERSON]);
    let end = feed.frame(1000, &[PERSON]);
    assert_eq!((kinds(&end), end[0].after.end_time), (vec![(End, "person")], Some(100.2)));
    assert_eq!(kinds(&feed.frame(1200, &[PERSON])), [(New, "person")]);
}

#[test]
fn after_an_outage_it_is_someone_else() {
    let mut feed = Feed::new(Config::default());
    feed.frame(0, &[PERSON]);
    feed.frame(1000, &[PERSON]);
    let end = feed.frame(3_600_000, &[PERSON]);
    assert_eq!((kinds(&end), end[0].after.end_time), (vec![(End, "person")], Some(61.0)));
    feed.frame(3_600_200, &[PERSON]);
    assert_eq!(feed.events.end_stale(3_660_200 * 1_000_000), []);
    assert_eq!(kinds(&feed.events.end_stale(3_660_201 * 1_000_000)), [(End, "person")]);
    assert_eq!(feed.events.finish(), [], "all have ended");
}

#[test]
fn nobody_ends_because_attention_was_elsewhere() {
    let mut feed = Feed::new(Config::default());
    feed.frame(0, &[PERSON]);
    feed.frame(1000, &[PERSON]);
    let mut elsewhere = result("ward", "person_detection", &[]);
    let roi = json!({"target_size": 320, "crop_applied": true, "source": "external", "attention_rois": [],
        "merged_roi": {"x": 0.5, "y": 0.0, "width": 0.5, "height": 1.0}});
    elsewhere.data.metadata.insert("roi_processing".into(), roi);
    for second in 2..60 {
        assert_eq!(feed.result(second * 1000, &elsewhere), [], "{second} s");
    }
    assert_eq!(kinds(&feed.frame(60_000, &[])), [(End, "person")]);
}

#[test]
fn two_workers_on_one_camera_do_not_disturb_each_other() {
    let mut feed = Feed::new(Config::default());
    let mut seen = Vec::new();
    for ms in [0, 200] {
        seen.extend(feed.result(ms, &result("ward", "person_detection", &[PERSON])));
        seen.extend(feed.result(ms, &result("ward", "motion_detection", &[(100.0, 0.9, "motion")])));
    }
    assert_eq!(kinds(&seen), [(New, "person"), (New, "motion")]);
}

#[test]
fn the_oldest_make_room() {
    let mut feed = Feed::new(Config { max_objects: 2, max_cameras: 1, ..Config::default() });
    feed.frame(0, &[PERSON, (300.0, 0.8, "cat"), (500.0, 0.7, "dog")]);
    assert_eq!(feed.events.live(), 2);
    assert_eq!(kinds(&feed.frame(200, &[PERSON, (300.0, 0.8, "cat")])), [(New, "person"), (New, "cat")]);
    feed.frame(400, &[PERSON]);
    assert_eq!(kinds(&feed.frame(600, &[(500.0, 0.9, "dog")])), [(End, "cat")]);
    assert_eq!(kinds(&feed.result(0, &result("other", "person_detection", &[PERSON]))), [(End, "person")]);
    assert_eq!(feed.events.live(), 1);
}

#[test]
fn identifiers_differ_whatever_the_random_numbers() {
    let mut events = Events::new(Config { threshold: 0.0, ..Config::default() });
    let crowd = result("ward", "person_detection", &[(0.0, 0.9, "a"), (0.0, 0.9, "b"), (0.0, 0.9, "c")]);
    let new = events.observe(&crowd, 1_000_000, SIZE, &mut || u64::MAX);
    let ids = new.iter().map(|event| event.after.id.as_str()).collect::<BTreeSet<_>>();
    assert_eq!((new.len(), ids.len()), (3, 3));
    assert!(ids.iter().all(|id| id.len() == "0.001000-".len() + 6 && id.starts_with("0.001000-")), "{ids:?}");
}

/// Number of the camera, ms since the frame before, and what is seen: box, confidence, number of the label.
type AnyFrame = (usize, i64, Vec<(f64, f64, f64, f64, f64, usize)>);

fn any_frame() -> impl Strategy<Value = AnyFrame> {
    let step = prop_oneof![8 => 1i64..3000, 1 => -3000i64..=0, 1 => -200_000i64..200_000];
    let edge = -50.0..700.0f64;
    let side = 0.1..400.0f64;
    let detection = (edge.clone(), edge, side.clone(), side, 0.0..=1.0f64, 0..3usize);
    (0..4usize, step, vec(detection, 0..6))
}

proptest! {
    #[test]
    fn every_object_begins_once_and_ends_once(frames in vec(any_frame(), 1..80), threshold in 0.0..0.9f64) {
        let config = Config { threshold, max_objects: 4, max_cameras: 3, ..Config::default() };
        let mut events = Events::new(config.clone());
        let (mut random, mut now) = (0, 1_000_000i64);
        let mut open = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let mut check = |seen: Vec<Event>, open: &mut BTreeMap<String, f64>| -> Result<(), TestCaseError> {
            for Event { kind, before, after } in seen {
                prop_assert_eq!(&before.id, &after.id);
                prop_assert_eq!(before.false_positive, kind == New);
                prop_assert!(!after.false_positive && after.top_score >= threshold);
                prop_assert_eq!(after.end_time.is_some(), kind == End);
                prop_assert!(after.end_time.is_none_or(|end| end >= after.frame_time && after.frame_time >= after.start_time));
                let [left, top, right, bottom] = after.bbox;
                prop_assert!(left <= right && right < SIZE.0 && top <= bottom && bottom < SIZE.1);
                prop_assert!(!ended.contains(&after.id), "{kind:?} after the end of {}", after.id);
                let last = match kind {
                    New => open.insert(after.id.clone(), after.frame_time),
                    Update => open.insert(after.id.clone(), after.frame_time).filter(|last| *last <= after.frame_time),
                    End => open.remove(&after.id),
                };
                prop_assert_eq!(last.is_some(), kind != New, "{:?} of {}", kind, &after.id);
                if kind == End {
                    ended.insert(after.id);
                }
            }
            Ok(())
        };
        for (camera, step, seen) in frames {
            now = (now + step).max(0);
            let mut result = result(["a", "b", "c", "d"][camera], "person_detection", &[]);
            result.data.detections.extend(seen.into_iter().map(|(x, y, width, height, confidence, label)| Detection {
                bbox: BBox { x, y, width, height },
                confidence,
                label: ["person", "cat", ""][label].to_owned(),
                label_id: None,
            }));
            let seen = events.observe(&result, now as u64 * 1_000_000, SIZE, &mut || { random += 1; random });
            check(seen, &mut open)?;
            prop_assert!(events.live() <= config.max_objects * config.max_cameras);
            prop_assert!(open.len() <= events.live());
        }
        check(events.finish(), &mut open)?;
        prop_assert!(open.is_empty(), "left open: {open:?}");
        prop_assert_eq!(events.live(), 0);
    }
}
