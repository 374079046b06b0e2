// SPDX-License-Identifier: MPL-2.0
//! Whether somebody is there, from looks and what is in their way to what is said.

use std::time::Duration;

use orion_core::{
    bulletin::Bulletin,
    health,
    picture::Flaw,
    presence::{Reason, Watcher},
    timestamp,
};

use crate::rules;

/// What may be in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hindrances {
    pub(crate) stream_lost: bool,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) paused: bool,
    pub(crate) no_worker: bool,
    /// Another camera is being connected, and has shown nothing yet.
    pub(crate) other_camera: bool,
}

impl Hindrances {
    /// The worst of them.
    pub(crate) fn worst(&self) -> Option<Reason> {
        let flaw = self.flaw.map(|flaw| match flaw {
            Flaw::Frozen => Reason::Frozen,
            Flaw::Black => Reason::Black,
        });
        let lost = self.stream_lost.then_some(Reason::StreamLost);
        let paused = self.paused.then_some(Reason::Paused);
        let no_worker = self.no_worker.then_some(Reason::NoWorker);
        let starting = self.other_camera.then_some(Reason::Starting);
        [lost, flaw, paused, no_worker, starting].into_iter().flatten().min()
    }
}

/// One look; times as in [`crate::eye::now`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When there was to be seen what it has found.
    pub(crate) at: Duration,
    pub(crate) count: u64,
    /// Whether it was at the whole frame.
    pub(crate) full: bool,
}

/// Follows the presence of one camera.
#[derive(Debug, Clone)]
pub(crate) struct Presenter {
    instance_id: String,
    watcher: Watcher,
    bulletin: Bulletin,
    /// When the present state began, on both clocks.
    since: (Duration, String),
}

impl Presenter {
    /// `wall`: the time now, ns since 1970.
    pub(crate) fn new(instance_id: &str, now: Duration, wall: u64) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            watcher: Watcher::default(),
            bulletin: Bulletin::default(),
            since: (now, timestamp::rfc3339(wall)),
        }
    }

    /// What can be said now, and whether it is to be said.
    pub(crate) fn judge(
        &mut self,
        (now, wall): (Duration, u64),
        rules: &rules::Presence,
        blind: Option<Reason>,
        looks: impl IntoIterator<Item = Seen>,
    ) -> (health::Presence, bool) {
        self.watcher.blind(now, blind);
        for look in looks {
            // Only looks that have come here count as looks at the whole frame: what was planned may have been lost.
            self.watcher.looked(look.at, look.count, look.full.then_some(Duration::ZERO), &rules.looks);
        }
        let presence = self.watcher.presence(now, &rules.looks);
        if presence.since > self.since.0 {
            let ago = u64::try_from(now.saturating_sub(presence.since).as_nanos()).unwrap_or(u64::MAX);
            self.since = (presence.since, timestamp::rfc3339(wall.saturating_sub(ago)));
        }
        let due = self.bulletin.is_due(now, &presence);
        let age = presence.evidence_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let told = health::Presence {
            instance_id: self.instance_id.clone(),
            state: presence.state,
            count: presence.count,
            since: self.since.1.clone(),
            evidence_age_ms: age,
            reason: presence.reason,
            cause: None,
            timestamp: timestamp::rfc3339(wall),
        };
        (told, due)
    }
}

#[cfg(test)]
mod tests {
    use orion_core::{
        picture::{Luma, News},
        presence::State,
    };

    use super::*;
    use crate::config::Config;

    const WALL: u64 = 1_795_334_400_000_000_000;

    fn at(ms: u64) -> (Duration, u64) {
        (Duration::from_millis(ms), WALL + ms * 1_000_000)
    }

    fn seen(ms: u64, count: u64) -> Option<Seen> {
        Some(Seen { at: Duration::from_millis(ms), count, full: true })
    }

    #[test]
    fn the_worst_hindrance_is_told() {
        let all = Hindrances {
            stream_lost: true,
            flaw: Some(Flaw::Black),
            paused: true,
            no_worker: true,
            other_camera: true,
        };
        assert_eq!(all.worst(), Some(Reason::StreamLost));
        let frozen = Hindrances { stream_lost: false, flaw: Some(Flaw::Frozen), ..all };
        assert_eq!(frozen.worst(), Some(Reason::Frozen));
        assert_eq!(Hindrances { flaw: Some(Flaw::Black), ..frozen }.worst(), Some(Reason::Black));
        assert_eq!(Hindrances { flaw: None, ..frozen }.worst(), Some(Reason::Paused));
        assert_eq!(Hindrances { no_worker: true, ..Hindrances::default() }.worst(), Some(Reason::NoWorker));
        assert_eq!(Hindrances { other_camera: true, ..Hindrances::default() }.worst(), Some(Reason::Starting));
        assert_eq!(Hindrances::default().worst(), None);
    }

    #[test]
    fn since_is_told_once_and_stays() {
        let rules = rules::presence(&Config::default());
        let mut presenter = Presenter::new("a", at(500).0, at(500).1);
        let (first, due) = presenter.judge(at(1000), &rules, None, None);
        assert_eq!((first.state, first.reason, due), (State::Unknown, Some(Reason::Starting), true));
        assert_eq!((first.since.as_str(), first.evidence_age_ms), ("2026-11-22T08:00:00.500000000Z", None));
        let (present, due) = presenter.judge(at(1200), &rules, None, seen(1150, 2));
        assert_eq!((present.state, present.count, present.evidence_age_ms, due), (State::Present, 2, Some(50), true));
        // A clock that is set meanwhile changes nothing of it.
        let (again, due) = presenter.judge((at(1400).0, WALL + 9_000_000_000), &rules, None, seen(1350, 2));
        assert_eq!((again.since.as_str(), due), ("2026-11-22T08:00:01.200000000Z", false));
        let (blind, due) = presenter.judge(at(1600), &rules, Some(Reason::Stopped), None);
        assert_eq!((blind.state, blind.count, blind.reason, due), (State::Unknown, 0, Some(Reason::Stopped), true));
    }

    /// A worker that sees what moves finds nobody on a picture that stands still; the picture is known to be frozen only later.
    #[test]
    fn a_picture_that_freezes_never_makes_a_room_look_empty() {
        let rules = rules::presence(&Config::default());
        let mut presenter = Presenter::new("a", Duration::ZERO, WALL);
        let (mut watcher, mut news) = (orion_core::picture::Watcher::default(), News::default());
        let (mut told, frozen_from) = (Vec::new(), 5000);
        for ms in (0..40_000u64).step_by(200) {
            let now = Duration::from_millis(ms);
            let moves = ms < frozen_from;
            let picture = [if moves { (ms / 200) as u8 } else { 99 }, 200];
            watcher.frame(now, &Luma::of([picture.as_slice()]));
            if watcher.is_news(rules.frozen_after, rules.black_after) {
                news.at(now);
            }
            let blind = watcher.flaw(rules.frozen_after, rules.black_after).map(|_| Reason::Frozen);
            let look = news.of(now).map(|at| Seen { at, count: u64::from(moves), full: true });
            let (presence, _) = presenter.judge(at(ms), &rules, blind, look);
            let state = (presence.state, presence.reason);
            if told.last().is_none_or(|(_, last)| *last != state) {
                told.push((ms, state));
            }
        }
        let frozen = (15_000, (State::Unknown, Some(Reason::Frozen)));
        assert_eq!(told, [(0, (State::Present, None)), frozen]);
    }
}
