// SPDX-License-Identifier: MPL-2.0
//! Whether somebody is there, as far as can be said: present, absent, or unknown.
//!
//! The rules, in their order:
//! 1. A [`Reason`] (no stream, a frozen or black picture, paused, no worker) means unknown at once.
//! 2. Evidence older than [`Rules::evidence_timeout`] means unknown. Evidence is the newest look; for `absent` it is the newest look
//!    at the whole frame as well, since somebody may stand outside the region that was looked at.
//! 3. Persons seen for [`Rules::present_after`] mean present; nobody seen for [`Rules::absent_after`] means absent.
//! 4. Until one of these holds, what was said before goes on; in the beginning, and after unknown, that is unknown.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody is there.
    Present,
    /// Nobody is there, and the whole frame was looked at recently.
    Absent,
    /// It cannot be told.
    #[default]
    Unknown,
}

/// Why nothing can be seen, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The daemon has stopped or is about to, and this is its last word; or this camera of several cannot be watched.
    Stopped,
    /// No frames come; `cause` says why.
    StreamLost,
    /// The camera repeats the same picture, for as long as `presence.frozen_after_s` says.
    Frozen,
    /// Nothing but black, for as long as `presence.black_after_s` says.
    Black,
    /// `pause_inference` is in force.
    Paused,
    /// No process that looks for persons is ready.
    NoWorker,
    /// The last look, or the last one at the whole frame, is longer ago than `presence.evidence_timeout_s`: a worker hangs, or is too slow.
    EvidenceTooOld,
    /// Nothing was looked at yet, or not long enough, since the start, since one of the others has ended, or since the camera was changed.
    Starting,
}

/// The times of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Older evidence counts for nothing.
    pub evidence_timeout: Duration,
    /// Persons must be seen for so long before they are present.
    pub present_after: Duration,
    /// Nobody must be seen for so long before somebody is absent.
    pub absent_after: Duration,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// The answer.
    pub state: State,
    /// Persons seen by the newest look; 0 unless present.
    pub count: u64,
    /// When the state began, on the clock that is handed in.
    pub since: Duration,
    /// Of the newest look: its age; none = there was none.
    pub evidence_age: Option<Duration>,
    /// Why it cannot be told; none unless unknown.
    pub reason: Option<Reason>,
}

/// One look at a frame.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Duration,
    count: u64,
}

/// Follows the looks and what is in their way. All times are on one clock, which never goes back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watcher {
    blind: Option<Reason>,
    /// When nothing was in the way any more.
    clear_since: Duration,
    last: Option<Look>,
    /// The newest look at the whole frame in this run of looks, counted from when the frame was taken.
    last_full: Option<Duration>,
    /// Since when each look has seen persons, or each has seen nobody.
    run_since: Duration,
    /// When the evidence was too old last.
    lapsed: Duration,
    state: State,
    since: Duration,
    reason: Option<Reason>,
}

impl Watcher {
    /// What is in the way from `now` on; none = nothing. The worst of several is to be handed in.
    pub fn blind(&mut self, now: Duration, blind: Option<Reason>) {
        // What was seen before says nothing of what happened meanwhile.
        if self.blind.is_some() && blind.is_none() {
            self.last = None;
            self.last_full = None;
            self.clear_since = now;
        }
        self.blind = blind;
    }

    /// A frame taken at `at` was looked at: persons on it, and how long before it the whole frame was looked at (zero = it was this one;
    /// none = never).
    pub fn looked(&mut self, at: Duration, count: u64, since_full: Option<Duration>, rules: &Rules) {
        // A frame that was taken while something was in the way shows nothing, however late its answer comes.
        if self.blind.is_some() || at < self.clear_since || self.last.is_some_and(|last| at < last.at) {
            return;
        }
        // Between two looks that far apart anything may have happened.
        let apart = |last: Look| at.saturating_sub(last.at) > rules.evidence_timeout;
        if self.last.is_none_or(|last| (last.count > 0) != (count > 0) || apart(last)) {
            self.run_since = at;
            self.last_full = None;
        }
        self.last = Some(Look { at, count });
        // One at which somebody was seen does not tell that nobody is there.
        let full = since_full.and_then(|since| at.checked_sub(since)).filter(|full| *full >= self.run_since);
        self.last_full = self.last_full.max(full);
    }

    /// What can be said now.
    pub fn presence(&mut self, now: Duration, rules: &Rules) -> Presence {
        if self.last.is_some_and(|last| now.saturating_sub(last.at) > rules.evidence_timeout) {
            self.lapsed = now;
        }
        let (state, reason) = self.judge(now, rules);
        if state != self.state {
            self.since = now;
        }
        (self.state, self.reason) = (state, reason);
        Presence {
            state,
            count: self.last.filter(|_| state == State::Present).map_or(0, |last| last.count),
            since: self.since,
            evidence_age: self.last.map(|last| now.saturating_sub(last.at)),
            reason,
        }
    }

    fn judge(&self, now: Duration, rules: &Rules) -> (State, Option<Reason>) {
        let unknown = |reason| (State::Unknown, Some(reason));
        if let Some(reason) = self.blind {
            return unknown(reason);
        }
        let Some(last) = self.last else {
            return unknown(Reason::Starting);
        };
        let recent = |at: Duration| now.saturating_sub(at) <= rules.evidence_timeout;
        if !recent(last.at) {
            return unknown(Reason::EvidenceTooOld);
        }
        // An answer that came late bridges no time of which nothing could be told.
        let (seen, run) = (last.count > 0, last.at.saturating_sub(self.run_since.max(self.lapsed)));
        if seen && (run >= rules.present_after || self.state == State::Present) {
            return (State::Present, None);
        }
        let whole = self.last_full.is_some_and(recent);
        if !seen && whole && (run >= rules.absent_after || self.state == State::Absent) {
            return (State::Absent, None);
        }
        match self.state {
            // Nobody is seen where it was looked, for long, and the rest was not looked at.
            State::Present if !whole && run >= rules.absent_after => unknown(Reason::EvidenceTooOld),
            // Nobody is seen any more, not long enough to say so.
            State::Present => (State::Present, None),
            // Somebody is seen, not long enough to say so.
            State::Absent if whole => (State::Absent, None),
            State::Absent => unknown(Reason::EvidenceTooOld),
            // Nobody is seen where it was looked, and the rest was not looked at.
            State::Unknown if !seen && !whole => unknown(Reason::EvidenceTooOld),
            State::Unknown => unknown(Reason::Starting),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        evidence_timeout: Duration::from_secs(10),
        present_after: Duration::from_secs(1),
        absent_after: Duration::from_secs(5),
    };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn full() -> Option<Duration> {
        Some(Duration::ZERO)
    }

    #[test]
    fn nothing_is_said_before_anything_was_seen() {
        let mut watcher = Watcher::default();
        let presence = watcher.presence(s(1), &RULES);
        assert_eq!((presence.state, presence.reason), (State::Unknown, Some(Reason::Starting)));
        assert_eq!(presence.evidence_age, None);
    }

    #[test]
    fn both_directions_are_debounced() {
        let mut watcher = Watcher::default();
        let mut said = Vec::new();
        for (at, count) in [(1, 1), (2, 1), (3, 0), (4, 2), (5, 0), (6, 0), (9, 0), (10, 0), (11, 1), (12, 1)] {
            watcher.looked(s(at), count, full(), &RULES);
            let presence = watcher.presence(s(at), &RULES);
            said.push((at, presence.state, presence.count, presence.since.as_secs()));
        }
        use State::{Absent, Present, Unknown};
        assert_eq!(
            said,
            [
                (1, Unknown, 0, 0),
                (2, Present, 1, 2),
                (3, Present, 0, 2),
                (4, Present, 2, 2),
                (5, Present, 0, 2),
                (6, Present, 0, 2),
                (9, Present, 0, 2),
                (10, Absent, 0, 10),
                (11, Absent, 0, 10),
                (12, Present, 1, 12),
            ]
        );
    }

    #[test]
    fn nobody_is_absent_without_a_look_at_the_whole_frame() {
        let mut watcher = Watcher::default();
        for at in 0..60 {
            watcher.looked(s(at), 0, None, &RULES);
            let presence = watcher.presence(s(at), &RULES);
            assert_eq!((presence.state, presence.reason), (State::Unknown, Some(Reason::EvidenceTooOld)));
        }
        watcher.looked(s(60), 0, full(), &RULES);
        assert_eq!(watcher.presence(s(60), &RULES).state, State::Absent);
        for at in 61..80 {
            watcher.looked(s(at), 0, Some(s(at - 60)), &RULES);
            let expected = if at <= 70 { State::Absent } else { State::Unknown };
            assert_eq!(watcher.presence(s(at), &RULES).state, expected, "{at}");
        }
    }

    #[test]
    fn who_has_left_the_region_looked_at_may_be_elsewhere() {
        for with_person in [full(), None] {
            let mut watcher = Watcher::default();
            for at in 0..4 {
                watcher.looked(s(at), 1, with_person, &RULES);
                watcher.presence(s(at), &RULES);
            }
            for at in 4..30 {
                // The whole frame was looked at when somebody was still seen.
                watcher.looked(s(at), 0, with_person.map(|_| s(at - 3)), &RULES);
                let expected = if at < 9 { State::Present } else { State::Unknown };
                assert_eq!(watcher.presence(s(at), &RULES).state, expected, "{at}");
            }
        }
    }

    #[test]
    fn what_is_in_the_way_is_said_at_once_and_begins_anew_afterwards() {
        let mut watcher = Watcher::default();
        for at in 0..10 {
            watcher.looked(s(at), 0, full(), &RULES);
        }
        assert_eq!(watcher.presence(s(9), &RULES).state, State::Absent);
        for reason in [Reason::StreamLost, Reason::Frozen, Reason::Black, Reason::Paused, Reason::NoWorker] {
            watcher.blind(s(10), Some(reason));
            let presence = watcher.presence(s(10), &RULES);
            assert_eq!((presence.state, presence.reason), (State::Unknown, Some(reason)));
        }
        watcher.looked(s(11), 0, full(), &RULES);
        watcher.blind(s(12), None);
        watcher.looked(s(11), 0, full(), &RULES);
        let presence = watcher.presence(s(12), &RULES);
        assert_eq!(
            (presence.state, presence.reason),
            (State::Unknown, Some(Reason::Starting)),
            "a late answer counts not"
        );
        for at in 12..20 {
            watcher.looked(s(at), 0, full(), &RULES);
            let expected = if at < 17 { State::Unknown } else { State::Absent };
            assert_eq!(watcher.presence(s(at), &RULES).state, expected, "{at}");
        }
    }

    #[test]
    fn old_evidence_counts_for_nothing() {
        for count in [0, 1] {
            let mut watcher = Watcher::default();
            for at in 0..10 {
                watcher.looked(s(at), count, full(), &RULES);
            }
            assert_ne!(watcher.presence(s(19), &RULES).state, State::Unknown);
            let presence = watcher.presence(s(20), &RULES);
            assert_eq!((presence.state, presence.reason), (State::Unknown, Some(Reason::EvidenceTooOld)));
            assert_eq!(presence.evidence_age, Some(s(11)));
        }
    }

    #[test]
    fn two_looks_with_a_long_time_between_them_are_no_run() {
        let mut watcher = Watcher::default();
        for at in [0, 11, 12, 15, 16] {
            watcher.looked(s(at), 0, full(), &RULES);
            let expected = if at < 16 { State::Unknown } else { State::Absent };
            assert_eq!(watcher.presence(s(at), &RULES).state, expected, "{at}");
        }
        // At 27 s nothing can be told any more; then comes an answer to a frame of 18 s.
        for (now, at) in [(27, 16), (28, 18), (28, 27), (30, 30), (31, 31), (32, 32)] {
            watcher.looked(s(at), 0, full(), &RULES);
            let expected = if now < 32 { State::Unknown } else { State::Absent };
            assert_eq!(watcher.presence(s(now), &RULES).state, expected, "{now}");
        }
    }

    proptest! {
        #[test]
        fn absent_is_never_said_without_a_recent_full_look(
            steps in proptest::collection::vec((0u64..3000, 0u64..3, proptest::option::of(0u64..20_000), 0u8..12), 1..200)
        ) {
            let mut watcher = Watcher::default();
            let (mut now, mut full_look, mut blind) = (Duration::ZERO, None, false);
            for (pause, count, since_full, what) in steps {
                now += Duration::from_millis(pause);
                match what {
                    0 => {
                        watcher.blind(now, Some(Reason::StreamLost));
                        blind = true;
                    }
                    1 => {
                        watcher.blind(now, None);
                        blind = false;
                    }
                    2 => {}
                    _ => {
                        let since = since_full.map(Duration::from_millis);
                        watcher.looked(now, count, since, &RULES);
                        if !blind && let Some(at) = since.and_then(|since| now.checked_sub(since)) {
                            full_look = full_look.max(Some(at));
                        }
                    }
                }
                let presence = watcher.presence(now, &RULES);
                if presence.state == State::Absent {
                    prop_assert!(!blind);
                    prop_assert!(full_look.is_some_and(|at| now - at <= RULES.evidence_timeout));
                    prop_assert!(presence.evidence_age.is_some_and(|age| age <= RULES.evidence_timeout));
                }
                prop_assert_eq!(presence.reason.is_some(), presence.state == State::Unknown);
                prop_assert!(presence.count == 0 || presence.state == State::Present);
            }
        }
    }
}
