// SPDX-License-Identifier: MPL-2.0
//! What is known of a camera that no element tells, shared with who tells the state.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use orion_core::health::Presence;

/// Cheap to share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<State>>);

/// Without frames for longer a live stream is lost where nothing else is said (DESIGN.md §7), s.
const STALL_TIMEOUT_S: f64 = 2.0;

#[derive(Debug, Default)]
struct State {
    stall_timeout_s: Option<f64>,
    presence: Option<Presence>,
    unseen_s: Option<f64>,
    /// By element.
    restarts: BTreeMap<String, u64>,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without frames for so long (s) the stream is lost.
    pub(crate) fn set_stall_timeout_s(&self, seconds: f64) {
        self.lock().stall_timeout_s = Some(seconds);
    }

    /// See [`Record::set_stall_timeout_s`].
    pub(crate) fn stall_timeout_s(&self) -> f64 {
        self.lock().stall_timeout_s.unwrap_or(STALL_TIMEOUT_S)
    }

    /// This is what can be said of persons now; none = it is not looked for.
    pub(crate) fn set_presence(&self, presence: Option<Presence>) {
        self.lock().presence = presence;
    }

    /// See [`Record::set_presence`].
    pub(crate) fn presence(&self) -> Option<Presence> {
        self.lock().presence.clone()
    }

    /// The newest look is so old (s) that it counts for nothing; none = it is not.
    pub(crate) fn set_unseen_s(&self, seconds: Option<f64>) {
        self.lock().unseen_s = seconds;
    }

    /// See [`Record::set_unseen_s`].
    pub(crate) fn unseen_s(&self) -> Option<f64> {
        self.lock().unseen_s
    }

    /// The watchdog has had an element's workers started anew so often.
    pub(crate) fn set_restarts(&self, element: &str, restarts: u64) {
        self.lock().restarts.insert(element.to_owned(), restarts);
    }

    /// See [`Record::set_restarts`].
    pub(crate) fn restarts(&self, element: &str) -> u64 {
        self.lock().restarts.get(element).copied().unwrap_or_default()
    }
}
