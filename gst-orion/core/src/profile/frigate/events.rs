// SPDX-License-Identifier: MPL-2.0
//! Follows the objects of all cameras from result to result.

use std::collections::BTreeMap;

use super::{
    Event,
    matching::{self, Sighting},
    track::{Look, SECOND, Track},
};
use crate::wire::InferenceResult;

/// Letters of the random part of an identifier. Frigate, `norfair_tracker.py`, `register`.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// How many of them.
const SUFFIX: u32 = 6;

/// The longest name of a camera or type of result that is kept, characters.
const MAX_NAME: usize = 256;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The median of its scores from which an object is taken for real, 0..1. Frigate:
    /// `objects.filters.<label>.threshold`, 0.7.
    pub threshold: f64,
    /// An object ends when it was looked for and has not been seen for longer than this, ns of capture time.
    ///
    /// Frigate: `detect.max_disappeared`, five times the frames of a second. With results less often than this, one
    /// that does not show the object ends it.
    pub end_after: u64,
    /// An object ends when it has not been seen for longer than this, even if nobody looked at its place, ns of capture
    /// time; when no result comes any more, the host counts on. Orion's attention may be elsewhere for `max-blind-time`, which should be well below this.
    ///
    /// A step back of the camera's clock by more than this ends all of its objects, too; smaller ones are results out
    /// of order.
    pub forget_after: u64,
    /// Objects followed per camera and type of result; of more, those not seen for longest end.
    pub max_objects: usize,
    /// Cameras followed (counted for each type of result); of more, the one without a result for longest ends.
    pub max_cameras: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold: 0.7, end_after: 5 * SECOND, forget_after: 60 * SECOND, max_objects: 100, max_cameras: 100 }
    }
}

/// The objects of one camera and type of result: two workers look for different things on the same frames.
#[derive(Debug, Default)]
struct Camera {
    tracks: Vec<Track>,
    /// Capture time of the last result, ns.
    last: u64,
    /// When that came, ns on the caller's clock.
    came: u64,
    /// Number of the call that brought it.
    turn: u64,
}

/// Makes events of results. All state is bounded by [`Config::max_objects`] and [`Config::max_cameras`].
#[derive(Debug, Default)]
pub struct Events {
    config: Config,
    cameras: BTreeMap<(String, String), Camera>,
    turn: u64,
}

impl Events {
    /// Follows nothing yet.
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }

    /// What is to be published because of a result, in that order.
    ///
    /// `frame_time`: capture time, ns since 1970; a result that is not newer than the last one of its camera and type
    /// is left out. `came`: when the result came, ns on a clock of the host that never steps, that of
    /// [`Self::end_stale`]. `size`: width and height of the frame, pixels; without it events have neither `region` nor
    /// `path_data`. `random` makes identifiers unguessable; any number will do.
    pub fn observe(
        &mut self,
        result: &InferenceResult,
        frame_time: u64,
        came: u64,
        size: Option<(u32, u32)>,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let key = (short(&result.instance_id), short(&result.kind));
        let mut camera = match self.cameras.remove(&key) {
            Some(known) if frame_time > known.last => known,
            Some(known) if known.last - frame_time <= self.forget_after() => {
                self.cameras.insert(key, known);
                return events;
            }
            Some(known) => {
                known.end_all(&mut events);
                Camera::default()
            }
            None => {
                self.make_room(&mut events);
                Camera::default()
            }
        };
        self.turn += 1;
        camera.turn = self.turn;
        camera.last = frame_time;
        camera.came = came;
        camera.forget(frame_time, self.forget_after(), &mut events);

        let look = Look { time: frame_time, size, region: matching::searched(result, size) };
        let mut seen = result.data.detections.iter().filter_map(|d| Sighting::new(d, size)).collect::<Vec<_>>();
        seen.sort_by(|a, b| b.score.total_cmp(&a.score));
        seen.truncate(self.config.max_objects);
        let fresh = camera.look(&look, &seen, &self.config, &mut events);
        camera.shrink_to(self.config.max_objects - fresh.len(), &mut events);
        for sighting in fresh {
            let id = self.identifier(&camera, frame_time, random);
            camera.tracks.push(Track::new(id, &key.0, sighting, &look, self.config.threshold));
        }
        events.extend(camera.tracks.iter_mut().filter_map(|track| track.publish(frame_time)));
        self.cameras.insert(key, camera);
        events
    }

    /// Ends the objects that were not seen for [`Config::forget_after`] because no result comes any more; `now`: as
    /// `came` of [`Self::observe`].
    ///
    /// A camera's clock may be wrong by any amount, so it is taken to go on from its last result, never compared.
    pub fn end_stale(&mut self, now: u64) -> Vec<Event> {
        let (limit, mut events) = (self.forget_after(), Vec::new());
        for camera in self.cameras.values_mut() {
            let there = camera.last.saturating_add(now.saturating_sub(camera.came));
            camera.forget(there, limit, &mut events);
        }
        events
    }

    /// Ends all objects: the stream is over, and nobody should be left with an open event. It can begin anew
    /// afterwards.
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        std::mem::take(&mut self.cameras).into_values().for_each(|camera| camera.end_all(&mut events));
        events
    }

    /// Objects that are followed, those not yet announced included.
    #[cfg(test)]
    fn live(&self) -> usize {
        self.cameras.values().map(|camera| camera.tracks.len()).sum()
    }

    fn forget_after(&self) -> u64 {
        self.config.forget_after.max(self.config.end_after)
    }

    fn make_room(&mut self, events: &mut Vec<Event>) {
        while self.cameras.len() >= self.config.max_cameras.max(1) {
            let oldest = self.cameras.iter().min_by_key(|(_, camera)| camera.turn).map(|(key, _)| key.clone());
            let Some(camera) = oldest.and_then(|key| self.cameras.remove(&key)) else { return };
            camera.end_all(events);
        }
    }

    /// `<frame time>-<random>`, different from that of every object that is followed.
    fn identifier(&self, camera: &Camera, frame_time: u64, random: &mut impl FnMut() -> u64) -> String {
        let letters = ALPHABET.len() as u64;
        let mut number = random() % letters.pow(SUFFIX);
        loop {
            let letter = |place: u32| char::from(ALPHABET[(number / letters.pow(place) % letters) as usize]);
            let suffix = (0..SUFFIX).rev().map(letter).collect::<String>();
            let (seconds, micros) = (frame_time / SECOND, frame_time % SECOND / 1000);
            let id = format!("{seconds}.{micros:06}-{suffix}");
            let others = self.cameras.values().chain([camera]);
            if !others.flat_map(|camera| &camera.tracks).any(|track| track.id() == id) {
                return id;
            }
            number = (number + 1) % letters.pow(SUFFIX);
        }
    }
}

/// So much of a name as is kept for as long as its camera is followed.
fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

impl Camera {
    /// Tells the tracks what was seen, and ends those that were looked for in vain for too long; returns what is new.
    fn look<'a>(
        &mut self,
        look: &Look,
        seen: &'a [Sighting],
        config: &Config,
        events: &mut Vec<Event>,
    ) -> Vec<&'a Sighting> {
        let known = self.tracks.iter().map(|track| (track.label(), track.bbox())).collect::<Vec<_>>();
        let pairs = matching::pair(&known, seen);
        let mut fresh = Vec::new();
        for (sighting, track) in seen.iter().zip(pairs) {
            match track {
                Some(track) => self.tracks[track].see(sighting, look, config.threshold),
                None => fresh.push(sighting),
            }
        }
        self.end_if(events, |track| {
            if track.seen() == look.time || !matching::covers(look.region, track.bbox()) {
                return None;
            }
            track.miss();
            (look.time - track.seen() > config.end_after).then_some(look.time)
        });
        fresh
    }

    /// Ends what was not seen for longer than `limit`, as of then: nothing is known about the time since.
    fn forget(&mut self, now: u64, limit: u64, events: &mut Vec<Event>) {
        self.end_if(events, |track| {
            (now.saturating_sub(track.seen()) > limit).then(|| track.seen().saturating_add(limit))
        });
    }

    fn shrink_to(&mut self, objects: usize, events: &mut Vec<Event>) {
        while self.tracks.len() > objects {
            let oldest = self.tracks.iter().enumerate().min_by_key(|(_, track)| track.seen()).map(|(at, _)| at);
            let Some(oldest) = oldest else { return };
            events.extend(self.tracks.remove(oldest).end(self.last));
        }
    }

    fn end_all(self, events: &mut Vec<Event>) {
        events.extend(self.tracks.into_iter().filter_map(|track| track.end(self.last)));
    }

    /// Ends the tracks for which `when` names a time, ns.
    fn end_if(&mut self, events: &mut Vec<Event>, mut when: impl FnMut(&mut Track) -> Option<u64>) {
        for mut track in std::mem::take(&mut self.tracks) {
            match when(&mut track) {
                Some(time) => events.extend(track.end(time)),
                None => self.tracks.push(track),
            }
        }
    }
}

#[cfg(test)]
mod tests;
