// SPDX-License-Identifier: MPL-2.0
//! What workers found on recent frames, and the region that follows from it.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    geometry::NormRect,
    strategy::{StrategySettings, Suggestion},
    wire::{BBox, RoiSource},
};

/// A worker's answer, as far as the choice of regions goes by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// The result's type; each kind of worker is followed by itself.
    pub kind: String,
    /// The frame's number.
    pub seq: u64,
    /// The frame's time, ns on the clock of frames.
    pub time: u64,
    /// The whole frame was looked at.
    pub full_frame: bool,
    /// Where to look next; none = nothing was found.
    pub suggested: Option<NormRect>,
    /// Something reaches beyond the region that was looked at (see [`is_cut`]).
    pub cut: bool,
}

/// Boxes are rounded to hundredths of a pixel on their way.
const ROUNDING: f64 = 0.02;

/// Whether a box touches an edge of the region that is no edge of the frame: then only a part of it was seen.
///
/// `frame`: width and height in pixels.
pub fn is_cut(bbox: &BBox, region: &NormRect, frame: (u32, u32)) -> bool {
    let look = region.to_pixels(frame.0, frame.1);
    let (right, bottom) = (look.x + look.width, look.y + look.height);
    (look.x > 0 && bbox.x <= f64::from(look.x) + ROUNDING)
        || (look.y > 0 && bbox.y <= f64::from(look.y) + ROUNDING)
        || (right < frame.0 && bbox.x + bbox.width >= f64::from(right) - ROUNDING)
        || (bottom < frame.1 && bbox.y + bbox.height >= f64::from(bottom) - ROUNDING)
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    seq: u64,
    found: bool,
}

/// The history of suggestions.
#[derive(Debug, Clone, Default)]
pub struct Focus {
    /// By frame number, each with the kind of worker that made it.
    history: VecDeque<(String, Suggestion)>,
    latest: BTreeMap<String, Latest>,
    hits: u64,
    misses: u64,
    late: u64,
}

impl Focus {
    /// Takes an answer in; false = it is older than one that came before, or than `history_frames` frames, and ignored.
    ///
    /// `next`: the number of the next frame.
    pub fn answered(&mut self, feedback: &Feedback, next: u64, history_frames: u64) -> bool {
        let seen = self.latest.get(&feedback.kind);
        // A number that was not given out yet comes from before a restart.
        let late = seen.is_some_and(|latest| feedback.seq <= latest.seq)
            || feedback.seq >= next
            || feedback.seq + history_frames < next;
        if late {
            self.late += 1;
            return false;
        }
        let missed_before = seen.is_some_and(|latest| !latest.found);
        let found = feedback.suggested.is_some() && !feedback.cut;
        self.latest.insert(feedback.kind.clone(), Latest { seq: feedback.seq, found });
        match feedback.suggested {
            // Part of it is elsewhere: the next look has to be a full one, or the region trails behind for ever.
            Some(_) if feedback.cut => {
                self.hits += 1;
                self.forget_kind(&feedback.kind);
            }
            Some(region) => {
                self.hits += 1;
                let at = self.history.partition_point(|(_, s)| s.seq <= feedback.seq);
                let suggestion = Suggestion { seq: feedback.seq, region };
                self.history.insert(at, (feedback.kind.clone(), suggestion));
            }
            // One empty look may be a blink of the detector; a full one, or a second one, means that it is gone.
            None => {
                self.misses += 1;
                if feedback.full_frame || missed_before {
                    self.forget_kind(&feedback.kind);
                }
            }
        }
        self.forget(next, history_frames);
        true
    }

    /// The region for frame `next`, and whether it is a fresh suggestion or history; none without a recent suggestion.
    ///
    /// It is fresh while the last answer of any kind of worker made a suggestion.
    pub fn region(
        &mut self,
        next: u64,
        history_frames: u64,
        strategy: &StrategySettings,
    ) -> Option<(RoiSource, NormRect)> {
        self.forget(next, history_frames);
        let region = strategy.region(self.history.iter().map(|(_, suggestion)| *suggestion))?;
        let fresh = self.latest.values().any(|latest| latest.found);
        Some((if fresh { RoiSource::PythonSuggested } else { RoiSource::AutoHistory }, region))
    }

    /// Forgets all suggestions; counters stay.
    pub fn clear(&mut self) {
        self.history.clear();
        for latest in self.latest.values_mut() {
            latest.found = false;
        }
    }

    /// Suggestions remembered.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether no suggestion is remembered.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Answers with a suggestion, answers without one, and answers that came too late.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.hits, self.misses, self.late)
    }

    fn forget(&mut self, next: u64, history_frames: u64) {
        while self.history.front().is_some_and(|(_, s)| s.seq + history_frames < next) {
            self.history.pop_front();
        }
    }

    fn forget_kind(&mut self, kind: &str) {
        self.history.retain(|(other, _)| other != kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Strategy;

    const SIMPLE: StrategySettings = StrategySettings {
        strategy: Strategy::Simple,
        alpha: 0.3,
        velocity_threshold: 0.05,
        velocity_factor: 1.5,
        max_expansion: 0.3,
        expansion: 0.15,
    };

    fn at(x: f64) -> NormRect {
        NormRect::new(x, 0.1, 0.2, 0.2).unwrap()
    }

    fn told(kind: &str, seq: u64, x: Option<f64>) -> Feedback {
        Feedback { kind: kind.into(), seq, time: seq, full_frame: false, suggested: x.map(at), cut: false }
    }

    #[test]
    fn fresh_suggestions_turn_into_history_and_are_forgotten() {
        let mut focus = Focus::default();
        assert_eq!(focus.region(0, 30, &SIMPLE), None);
        assert!(focus.answered(&told("person", 3, Some(0.1)), 5, 30));
        assert_eq!(focus.region(5, 30, &SIMPLE), Some((RoiSource::PythonSuggested, at(0.1))));
        assert!(focus.answered(&told("person", 4, None), 6, 30));
        assert_eq!(focus.region(6, 30, &SIMPLE), Some((RoiSource::AutoHistory, at(0.1))));
        assert_eq!(focus.region(33, 30, &SIMPLE), Some((RoiSource::AutoHistory, at(0.1))));
        assert_eq!(focus.region(34, 30, &SIMPLE), None);
        assert_eq!(focus.counts(), (1, 1, 0));
    }

    #[test]
    fn late_and_unordered_answers_are_ignored() {
        let mut focus = Focus::default();
        assert!(focus.answered(&told("person", 50, Some(0.5)), 52, 30));
        for seq in [50, 49, 10] {
            assert!(!focus.answered(&told("person", seq, Some(0.0)), 52, 30), "{seq}");
        }
        assert!(!focus.answered(&told("motion", 10, Some(0.0)), 52, 30), "over 30 frames old");
        assert!(!focus.answered(&told("motion", 52, Some(0.0)), 52, 30), "not sent yet");
        assert!(focus.answered(&told("motion", 40, Some(0.2)), 52, 30), "another kind is followed by itself");
        assert_eq!(
            focus.region(52, 30, &SIMPLE),
            Some((RoiSource::PythonSuggested, at(0.5))),
            "by number, not by arrival"
        );
        assert_eq!(focus.counts(), (2, 0, 5));
    }

    #[test]
    fn what_is_gone_or_cut_is_looked_for_in_the_full_frame() {
        let region = |focus: &mut Focus, next| focus.region(next, 30, &SIMPLE).map(|(source, _)| source);
        let mut focus = Focus::default();
        focus.answered(&told("person", 1, Some(0.5)), 2, 30);
        focus.answered(&told("person", 2, None), 3, 30);
        assert_eq!(region(&mut focus, 3), Some(RoiSource::AutoHistory), "a blink");
        focus.answered(&told("motion", 2, Some(0.1)), 3, 30);
        focus.answered(&told("person", 3, None), 4, 30);
        assert_eq!(region(&mut focus, 4), Some(RoiSource::PythonSuggested), "the other kind still sees something");
        focus.answered(&Feedback { full_frame: true, ..told("motion", 3, None) }, 5, 30);
        assert_eq!(region(&mut focus, 5), None);
        focus.answered(&told("person", 5, Some(0.5)), 6, 30);
        assert_eq!(region(&mut focus, 6), Some(RoiSource::PythonSuggested));
        focus.answered(&Feedback { cut: true, ..told("person", 6, Some(0.5)) }, 7, 30);
        assert_eq!(region(&mut focus, 7), None);
    }

    #[test]
    fn only_edges_inside_the_frame_cut() {
        let region = NormRect::new(0.5, 0.0, 0.25, 0.5).unwrap();
        let cut =
            |x: f64, y: f64, width: f64, height: f64| is_cut(&BBox { x, y, width, height }, &region, (1000, 1000));
        assert!(!cut(600.0, 0.0, 100.0, 400.0), "the frame's own edge is none");
        assert!(cut(500.01, 10.0, 100.0, 100.0) && cut(600.0, 10.0, 149.99, 100.0) && cut(600.0, 10.0, 10.0, 490.0));
        assert!(!is_cut(&BBox { x: 0.0, y: 0.0, width: 1000.0, height: 1000.0 }, &NormRect::FULL, (1000, 1000)));
    }

    #[test]
    fn clearing_leaves_no_region() {
        let mut focus = Focus::default();
        focus.answered(&told("person", 1, Some(0.5)), 2, 30);
        focus.clear();
        assert!(focus.is_empty() && focus.region(2, 30, &SIMPLE).is_none());
        focus.answered(&told("person", 2, None), 3, 30);
        assert_eq!(focus.region(3, 30, &SIMPLE), None);
    }
}
