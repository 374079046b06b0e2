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
    size: Option<(u32, u32)>,
}

impl Feed {
    fn new(config: Config) -> Self {
        Self { events: Events::new(config), random: 0, size: Some(SIZE) }
    }

    fn frame(&mut self, ms: u64, seen: &[Seen<'_>]) -> Vec<Event> {
        self.result(ms, &result("ward", "person_detection", seen))
    }

    fn result(&mut self, ms: u64, result: &InferenceResult) -> Vec<Event> {
        self.result_at(ms, ms, result)
    }

    /// A result captured at `ms` by the camera's clock, which came at `came` by the host's.
    fn result_at(&mut self, ms: u64, came: u64, result: &InferenceResult) -> Vec<Event> {
        let random = &mut self.random;
        self.events.observe(result, ms * 1_000_000, came * 1_000_000, self.size, &mut || {
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
fn a_camera_whose_clock_is_wrong_begins_and_ends_as_others_do() {
    const HOST: u64 = 1_000_000_000;
    let day = 86_400_000;
    for (clock, start) in [("120 s behind", HOST - 120_000), ("right", HOST), ("a day ahead", HOST + day), ("none", 0)]
    {
        let mut feed = Feed::new(Config::default());
        let mut seen = Vec::new();
        for ms in (0..10_000).step_by(100) {
            let person = result("ward", "person_detection", &[PERSON]);
            seen.extend(feed.result_at(start + ms, HOST + ms, &person));
            if ms % 1000 == 0 {
                seen.extend(feed.events.end_stale((HOST + ms) * 1_000_000));
            }
        }
        let ids = seen.iter().map(|event| event.after.id.as_str()).collect::<BTreeSet<_>>();
        assert_eq!((ids.len(), seen[0].kind), (1, New), "clock {clock}: one visit");
        assert!(seen.iter().all(|event| event.kind != End), "clock {clock}: seen in every frame");
        let last = HOST + 9900;
        assert_eq!(feed.events.end_stale((last + 60_000) * 1_000_000), [], "clock {clock}");
        let end = feed.events.end_stale((last + 60_001) * 1_000_000);
        assert_eq!(kinds(&end), [(End, "person")], "clock {clock}");
        let left = (start + 9900 + 60_000) as f64 / 1000.0;
        assert_eq!(end[0].after.end_time, Some(left), "by the camera's clock, {clock}");
    }
}

#[test]
fn each_camera_is_stale_for_itself() {
    let mut feed = Feed::new(Config { threshold: 0.0, ..Config::default() });
    feed.result_at(500_000, 1000, &result("gone", "person_detection", &[PERSON]));
    feed.result_at(100, 40_000, &result("there", "person_detection", &[PERSON]));
    let end = feed.events.end_stale(61_001 * 1_000_000);
    assert_eq!((kinds(&end), end[0].after.camera.as_str()), (vec![(End, "person")], "gone"));
    assert_eq!(feed.events.end_stale(0), [], "a clock that steps all the same");
    assert_eq!(feed.events.live(), 1);
}

#[test]
fn without_a_size_there_are_events_all_the_same() {
    let mut feed = Feed { size: None, ..Feed::new(Config::default()) };
    feed.frame(1000, &[PERSON]);
    let new = feed.frame(1200, &[PERSON]);
    assert_eq!(kinds(&new), [(New, "person")]);
    let after = &new[0].after;
    assert_eq!((after.bbox, after.region, after.snapshot.region), ([100, 100, 150, 200], [0; 4], [0; 4]));
    assert_eq!((after.path_data.as_slice(), after.snapshot.path_data.as_slice()), ([].as_slice(), [].as_slice()));
    let moved = feed.frame(1400, &[(170.0, 0.9, "person")]);
    assert_eq!((kinds(&moved), moved[0].after.position_changes), (vec![(Update, "person")], 1));
    assert_eq!(feed.frame(1600, &[(5000.0, 1.0, "cat")]), [], "where the frame ends is not known");
    assert_eq!(kinds(&feed.frame(1800, &[(5000.0, 1.0, "cat"), (170.0, 0.9, "person")])), [(New, "cat")]);
    assert_eq!(kinds(&feed.frame(7000, &[])), [(End, "person"), (End, "cat")], "looked for all over the frame");
    feed.frame(8000, &[(0.0, 0.9, "person")]);
    let huge = Detection {
        bbox: BBox { x: 1.0, y: 1.0, width: 1e300, height: 1e300 },
        confidence: 1.0,
        label: "person".into(),
        label_id: None,
    };
    let mut crowd = result("ward", "person_detection", &[]);
    crowd.data.detections = vec![huge; 2];
    feed.result(8200, &crowd);
    assert_eq!(feed.result(8400, &crowd)[0].after.bbox, [1, 1, u32::MAX - 1, u32::MAX - 1]);
}

#[test]
fn names_are_kept_short() {
    let mut feed = Feed::new(Config { threshold: 0.0, ..Config::default() });
    let long = "ü".repeat(70_000);
    let new = feed.result(u64::MAX / 1_000_000, &result(&long, &long, &[(100.0, 0.9, &long)]));
    let after = &new[0].after;
    assert_eq!([&after.camera, &after.label].map(|name| name.chars().count()), [256, 256]);
    assert_eq!(after.id.len(), "18446744073.709000-aaaaaa".len(), "{}", after.id);
    let key = feed.events.cameras.keys().next().unwrap();
    assert_eq!([&key.0, &key.1].map(|name| name.chars().count()), [256, 256]);
    assert_eq!(kinds(&feed.events.finish()).len(), 1);
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
    let new = events.observe(&crowd, 1_000_000, 0, Some(SIZE), &mut || u64::MAX);
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
            let seen = events.observe(&result, now as u64 * 1_000_000, 0, Some(SIZE), &mut || { random += 1; random });
            check(seen, &mut open)?;
            prop_assert!(events.live() <= config.max_objects * config.max_cameras);
            prop_assert!(open.len() <= events.live());
        }
        check(events.finish(), &mut open)?;
        prop_assert!(open.is_empty(), "left open: {open:?}");
        prop_assert_eq!(events.live(), 0);
    }
}
