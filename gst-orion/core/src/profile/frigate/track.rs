// SPDX-License-Identifier: MPL-2.0
//! One object that is followed: what is known about it, and when that is worth a message.

use std::collections::{BTreeMap, VecDeque};

use super::{
    BestView, Event, EventKind, ObjectState, PixelBox,
    matching::{self, Sighting},
    path,
    position::Position,
};

/// One second, ns.
pub(super) const SECOND: u64 = 1_000_000_000;
/// Scores of which the median is taken. Frigate, `tracked_object.py`, `update`.
const SCORES: usize = 10;
/// With fewer scores than these, zeros stand for the missing ones. Frigate, `docs/configuration/object_filters.md`.
const MIN_SCORES: usize = 3;
/// A better view is published at most this often, ns. Frigate, `camera/state.py`, `update`: 5 s.
const VIEW_INTERVAL: u64 = 5 * SECOND;
/// Longest time without a message about an object that is seen, ns. Frigate, `tracked_object.py`, `update`: 60 s.
const SILENCE: u64 = 60 * SECOND;
/// How long an object must keep its place to be stationary, ns. Frigate, `config.py`: ten times the frames of a
/// second.
const REST: u64 = 10 * SECOND;
/// What makes a view better: that much more score, or that many times the area. Frigate, `util/image.py`,
/// `is_better_thumbnail`.
const BETTER: (f64, f64) = (0.05, 1.1);

/// A frame as a track sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Capture time, ns since 1970.
    pub time: u64,
    /// Size of the frame, pixels; none = not known.
    pub size: Option<(u32, u32)>,
    /// The part of it that was looked at, see [`matching::searched`].
    pub region: PixelBox,
}

/// Seconds since 1970, with microseconds, of nanoseconds since 1970.
pub(super) fn seconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1e6
}

/// An object, from its first sighting to its end.
#[derive(Debug)]
pub(super) struct Track {
    state: ObjectState,
    /// As in the last message, or at the first sighting.
    previous: ObjectState,
    scores: VecDeque<f64>,
    position: Position,
    /// When it was last seen, ns.
    seen: u64,
    /// When it was last seen before the last message, ns.
    previous_seen: u64,
    /// Since when it has kept its place, ns.
    resting_since: u64,
    /// When the last message was due, ns.
    published: Option<u64>,
    /// The best view is newer than the last message.
    better_view: bool,
    /// The path is longer than in the last message.
    moved_on: bool,
}

impl Track {
    pub fn new(id: String, camera: &str, sighting: &Sighting, look: &Look, threshold: f64) -> Self {
        let time = seconds(look.time);
        let mut state = ObjectState {
            id,
            camera: camera.to_owned(),
            frame_time: time,
            snapshot: BestView::default(),
            label: sighting.label.clone(),
            sub_label: None,
            top_score: 0.0,
            false_positive: true,
            start_time: time,
            end_time: None,
            score: 0.0,
            bbox: [0; 4],
            area: 0,
            ratio: 0.0,
            region: matching::NOWHERE,
            active: true,
            stationary: false,
            motionless_count: 0,
            position_changes: 0,
            current_zones: Vec::new(),
            entered_zones: Vec::new(),
            has_clip: false,
            has_snapshot: false,
            attributes: BTreeMap::new(),
            current_attributes: Vec::new(),
            pending_loitering: false,
            max_severity: None,
            current_estimated_speed: 0.0,
            average_estimated_speed: 0.0,
            velocity_angle: 0.0,
            path_data: Vec::new(),
            recognized_license_plate: None,
        };
        locate(&mut state, sighting, look);
        state.snapshot = view(&state);
        let mut track = Self {
            previous: state.clone(),
            state,
            scores: VecDeque::new(),
            position: Position::new(sighting.bbox),
            seen: look.time,
            previous_seen: look.time,
            resting_since: look.time,
            published: None,
            better_view: false,
            moved_on: false,
        };
        track.judge(sighting, look, threshold);
        track
    }

    /// It was seen again.
    pub fn see(&mut self, sighting: &Sighting, look: &Look, threshold: f64) {
        self.seen = look.time;
        if self.position.moved_to(sighting.bbox, self.state.stationary) {
            if self.state.position_changes == 0 || self.state.stationary {
                self.state.position_changes += 1;
            }
            self.state.motionless_count = 0;
            self.resting_since = look.time;
        } else {
            self.state.motionless_count += 1;
        }
        self.state.stationary = look.time.saturating_sub(self.resting_since) > REST;
        self.state.active = !self.state.stationary;
        locate(&mut self.state, sighting, look);
        self.judge(sighting, look, threshold);
    }

    /// It was looked for and not seen.
    pub fn miss(&mut self) {
        self.score(0.0);
    }

    fn judge(&mut self, sighting: &Sighting, look: &Look, threshold: f64) {
        let median = self.score(sighting.score);
        self.state.false_positive &= median < threshold;
        if self.state.false_positive {
            return;
        }
        if self.is_better_view(look.size) {
            self.better_view = true;
            self.state.snapshot = view(&self.state);
        }
        self.moved_on |= path::note(&mut self.state.path_data, sighting.bbox, self.state.frame_time, look.size);
    }

    /// Takes a score; the median of the latest ones.
    fn score(&mut self, score: f64) -> f64 {
        self.scores.push_back(score);
        if self.scores.len() > SCORES {
            self.scores.pop_front();
        }
        let mut sorted = self.scores.iter().copied().collect::<Vec<_>>();
        sorted.resize(sorted.len().max(MIN_SCORES), 0.0);
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        self.state.top_score = self.state.top_score.max(median);
        median
    }

    fn is_better_view(&self, size: Option<(u32, u32)>) -> bool {
        let best = &self.state.snapshot;
        let at_edge = |[left, top, right, bottom]: PixelBox| {
            left == 0 || top == 0 || size.is_some_and(|(width, height)| right + 1 == width || bottom + 1 == height)
        };
        if at_edge(self.state.bbox) && !at_edge(best.bbox) {
            return false;
        }
        self.state.score > best.score + BETTER.0 || self.state.area as f64 > best.area as f64 * BETTER.1
    }

    /// The message that is due at that time (ns), if any.
    pub fn publish(&mut self, now: u64) -> Option<Event> {
        let since = |earlier: u64| now.saturating_sub(earlier);
        // Confirmed just now; without a size there is no path that would say so.
        let changed = self.previous.false_positive
            || self.moved_on
            || self.state.position_changes != self.previous.position_changes
            || self.state.active != self.previous.active
            || self.seen.saturating_sub(self.previous_seen) > SILENCE;
        let view_due = self.better_view && self.published.is_none_or(|last| since(last) > VIEW_INTERVAL);
        if self.state.false_positive || !(changed || view_due) {
            return None;
        }
        let kind = if self.previous.false_positive { EventKind::New } else { EventKind::Update };
        let before = std::mem::replace(&mut self.previous, self.state.clone());
        self.previous_seen = self.seen;
        self.published = Some(now);
        self.better_view = false;
        self.moved_on = false;
        Some(Event { kind, before, after: self.state.clone() })
    }

    /// Its last message, unless nothing was ever said about it; `end`: ns since 1970.
    pub fn end(mut self, end: u64) -> Option<Event> {
        self.state.end_time = Some(seconds(end));
        let announced = !self.previous.false_positive;
        announced.then_some(Event { kind: EventKind::End, before: self.previous, after: self.state })
    }

    pub fn id(&self) -> &str {
        &self.state.id
    }

    pub fn label(&self) -> &str {
        &self.state.label
    }

    pub fn bbox(&self) -> PixelBox {
        self.state.bbox
    }

    /// When it was last seen, ns.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

fn locate(state: &mut ObjectState, sighting: &Sighting, look: &Look) {
    let [left, top, right, bottom] = sighting.bbox;
    let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
    state.frame_time = seconds(look.time);
    state.score = sighting.score;
    state.bbox = sighting.bbox;
    state.area = u64::from(width) * u64::from(height);
    state.ratio = f64::from(width) / f64::from(height.max(1));
    state.region = if look.size.is_some() { look.region } else { matching::NOWHERE };
}

/// The view of the frame in which it is now.
fn view(state: &ObjectState) -> BestView {
    BestView {
        frame_time: state.frame_time,
        bbox: state.bbox,
        area: state.area,
        region: state.region,
        score: state.score,
        path_data: state.path_data.clone(),
        ..BestView::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u32, u32) = (640, 480);

    fn look(ms: u64) -> Look {
        Look { time: ms * 1_000_000, size: Some(SIZE), region: [0, 0, SIZE.0, SIZE.1] }
    }

    fn seen(x: u32, score: f64) -> Sighting {
        Sighting { label: "person".into(), score, bbox: [x, 100, x + 50, 200] }
    }

    fn track(score: f64) -> Track {
        Track::new("id".into(), "cam", &seen(100, score), &look(0), 0.7)
    }

    #[test]
    fn confirmed_by_the_median_of_at_least_three_scores() {
        let mut person = track(0.9);
        assert_eq!(person.publish(0), None, "median of 0.9, 0, 0");
        person.see(&seen(100, 0.6), &look(200), 0.7);
        assert_eq!(person.publish(200), None, "median of 0.9, 0.6, 0");
        person.see(&seen(100, 0.8), &look(400), 0.7);
        let event = person.publish(400).unwrap();
        assert_eq!(event.kind, EventKind::New);
        assert_eq!((event.before.false_positive, event.before.top_score, event.before.score), (true, 0.0, 0.9));
        assert_eq!((event.after.false_positive, event.after.top_score, event.after.score), (false, 0.8, 0.8));
        for n in 3..20 {
            person.miss();
            assert_eq!(person.publish(n * 200), None, "not seen is no news");
        }
        assert_eq!(person.state.top_score, 0.8, "keeps the highest median");
    }

    /// Announced at 1 s; the second place of its path was published at 2 s.
    fn settled(score: f64) -> Track {
        let mut person = track(score);
        let kinds = [1, 2].map(|second| {
            person.see(&seen(100, score), &look(second * 1000), 0.7);
            person.publish(second * SECOND).map(|event| event.kind)
        });
        assert_eq!(kinds, [Some(EventKind::New), Some(EventKind::Update)]);
        person
    }

    #[test]
    fn a_better_view_is_published_after_a_while() {
        let mut person = settled(0.75);
        person.see(&seen(100, 0.79), &look(2400), 0.7);
        assert!(!person.better_view, "not by enough");
        person.see(&seen(100, 0.85), &look(2600), 0.7);
        assert_eq!(person.publish(look(7000).time), None, "too soon after the last message");
        person.miss();
        let update = person.publish(look(7001).time).unwrap();
        assert_eq!(
            (update.kind, update.before.snapshot.score, update.after.snapshot.score),
            (EventKind::Update, 0.75, 0.85)
        );
        assert_eq!(update.after.snapshot.frame_time, 2.6);
        person.see(&Sighting { bbox: [0, 100, 300, 400], ..seen(0, 0.99) }, &look(7600), 0.7);
        assert_eq!(person.state.snapshot.score, 0.85, "cut off at the edge");
        person.see(&Sighting { bbox: [1, 100, 61, 200], ..seen(0, 0.7) }, &look(7800), 0.7);
        assert_eq!(person.state.snapshot.score, 0.7, "larger");
    }

    #[test]
    fn rest_and_departure_are_news_at_once() {
        let mut person = settled(0.9);
        let mut news = Vec::new();
        for second in 3..=12 {
            person.see(&seen(100, 0.9), &look(second * 1000), 0.7);
            news.extend(person.publish(second * SECOND).map(|event| (second, event.after.stationary)));
        }
        assert_eq!(news, [(11, true)]);
        assert_eq!((person.state.motionless_count, person.state.position_changes), (12, 0));
        person.see(&seen(400, 0.9), &look(13_000), 0.7);
        let event = person.publish(13 * SECOND).unwrap();
        assert_eq!((event.after.active, event.after.position_changes, event.after.motionless_count), (true, 1, 0));
    }

    #[test]
    fn something_is_said_every_minute() {
        let mut person = settled(0.9);
        let mut times = Vec::new();
        for second in 3..=150 {
            person.see(&seen(100, 0.9), &look(second * 1000), 0.7);
            times.extend(person.publish(second * SECOND).map(|_| second));
        }
        assert_eq!(times, [11, 72, 133], "at rest, and then after more than 60 s each");
    }

    #[test]
    fn ends_with_its_last_state_or_in_silence() {
        assert_eq!(track(0.9).end(5), None, "nothing was said about it");
        let mut person = track(0.9);
        person.see(&seen(100, 0.9), &look(1000), 0.7);
        person.publish(SECOND).unwrap();
        let end = person.end(6 * SECOND).unwrap();
        assert_eq!((end.kind, end.after.end_time, end.after.frame_time), (EventKind::End, Some(6.0), 1.0));
        assert_eq!(end.before.end_time, None);
    }
}
