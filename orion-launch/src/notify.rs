// SPDX-License-Identifier: MPL-2.0
//! What systemd is told, where it wants to know (sd_notify): ready, how it goes, and that there is progress.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

use crate::{health::Verdict, inlet::StreamState, status::Snapshot};

/// Without any result for so long the daemon is ready all the same: a camera may be away, and is waited for.
const READY_AFTER: Duration = Duration::from_secs(30);
/// How often is looked.
const STEP: Duration = Duration::from_secs(1);

/// A camera as it is seen for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Results so far.
    results: u64,
    /// Whether results are to be expected: frames come, they are wanted, and a worker takes them.
    expected: bool,
}

impl Sight {
    /// `wanted`: inference is not paused, and a recording is not at its end.
    pub(crate) fn of(camera: &Snapshot, wanted: bool) -> Self {
        let ready = camera.workers.iter().flat_map(|worker| &worker.processes).any(|process| process.is_ready());
        Self {
            results: camera.workers.iter().map(|worker| worker.inferences_emitted).sum(),
            expected: wanted && ready && camera.stream.state == StreamState::Streaming,
        }
    }
}

/// Whether each camera has had results since `before`, or has a good reason for none.
fn is_alive(before: &BTreeMap<String, u64>, now: &BTreeMap<String, Sight>) -> bool {
    now.iter().all(|(id, sight)| !sight.expected || before.get(id).is_none_or(|results| *results != sight.results))
}

/// Tells systemd.
pub(crate) struct Notifier {
    /// Nobody wants to know.
    silent: bool,
    started: Instant,
    looked: Option<Instant>,
    ready: bool,
    told: String,
    results: BTreeMap<String, u64>,
}

impl Notifier {
    pub(crate) fn new() -> Self {
        Self {
            silent: std::env::var_os("NOTIFY_SOCKET").is_none(),
            started: Instant::now(),
            looked: None,
            ready: false,
            told: String::new(),
            results: BTreeMap::new(),
        }
    }

    /// Whether [`Notifier::look`] has something to do now: reading the state of everything costs a little.
    pub(crate) fn is_due(&self) -> bool {
        !self.silent && self.looked.is_none_or(|at| at.elapsed() >= STEP)
    }

    /// Tells how it goes.
    pub(crate) fn look(&mut self, verdict: &Verdict, cameras: &BTreeMap<String, Sight>) {
        self.looked = Some(Instant::now());
        let results = cameras.values().any(|sight| sight.results > 0);
        if !self.ready && (results || self.started.elapsed() >= READY_AFTER) {
            self.ready = true;
            say(&[NotifyState::Ready]);
        }
        let status = match verdict.reasons.as_slice() {
            [] => format!("{:?}", verdict.status).to_lowercase(),
            reasons => format!("{}: {}", format!("{:?}", verdict.status).to_lowercase(), reasons.join("; ")),
        };
        if status != self.told {
            say(&[NotifyState::Status(&status)]);
            self.told = status;
        }
        if is_alive(&self.results, cameras) {
            say(&[NotifyState::Watchdog]);
            self.results = cameras.iter().map(|(id, sight)| (id.clone(), sight.results)).collect();
        }
    }

    /// The configuration is being read again.
    pub(crate) fn reloading(&self) {
        if !self.silent
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            say(&[NotifyState::Reloading, now]);
        }
    }

    /// It was read again.
    pub(crate) fn reloaded(&self) {
        if !self.silent {
            say(&[NotifyState::Ready]);
        }
    }

    /// The daemon stops.
    pub(crate) fn stopping(&self) {
        if !self.silent {
            say(&[NotifyState::Stopping]);
        }
    }
}

fn say(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!("systemd cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_progress_or_a_good_reason_for_none() {
        let sight = |results, expected| Sight { results, expected };
        let before = BTreeMap::from([("a".to_owned(), 5), ("b".to_owned(), 7)]);
        let now = |a, b| BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        assert!(is_alive(&before, &now(sight(6, true), sight(8, true))));
        assert!(!is_alive(&before, &now(sight(6, true), sight(7, true))), "one of them is stuck");
        assert!(is_alive(&before, &now(sight(6, true), sight(7, false))), "paused, or its camera is away");
        assert!(is_alive(&BTreeMap::new(), &now(sight(0, true), sight(0, true))), "the first look");
    }
}
