// SPDX-License-Identifier: MPL-2.0
//! How a process is brought to its end: politely, by SIGTERM, by SIGKILL.

use std::time::Duration;

use nix::sys::signal::Signal;

/// From SIGTERM to SIGKILL, and from there until the process is left to the system.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may end by itself.
    Polite,
    /// SIGTERM was sent.
    Terminated,
    /// SIGKILL was sent.
    Killed,
}

/// The end of a process that has begun; times are since any fixed moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Farewell {
    stage: Stage,
    deadline: Duration,
}

impl Farewell {
    /// It may end by itself until then.
    pub(super) fn polite(deadline: Duration) -> Self {
        Self { stage: Stage::Polite, deadline }
    }

    /// SIGKILL is sent now.
    pub(super) fn killed(now: Duration) -> Self {
        Self { stage: Stage::Killed, deadline: now + GRACE }
    }

    /// When something is due again.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether it has not been made to end so far.
    pub(super) fn is_polite(&self) -> bool {
        self.stage == Stage::Polite
    }

    /// Gives it another time to end by itself, if it is not being made to already.
    pub(super) fn wait_until(&mut self, deadline: Duration) {
        if self.is_polite() {
            self.deadline = deadline;
        }
    }

    /// The signal that is due.
    pub(super) fn due(&mut self, now: Duration) -> Option<Signal> {
        if now < self.deadline {
            return None;
        }
        let (stage, signal) = match self.stage {
            Stage::Polite => (Stage::Terminated, Signal::SIGTERM),
            Stage::Terminated | Stage::Killed => (Stage::Killed, Signal::SIGKILL),
        };
        *self = Self { stage, deadline: now + GRACE };
        Some(signal)
    }

    /// Whether even SIGKILL has not ended it: it hangs in the system.
    pub(super) fn is_hopeless(&self, now: Duration) -> bool {
        self.stage == Stage::Killed && now >= self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_step_is_harder_and_comes_in_its_time() {
        let mut farewell = Farewell::polite(s(2));
        assert_eq!((farewell.due(s(1)), farewell.is_polite()), (None, true));
        farewell.wait_until(s(3));
        assert_eq!(farewell.due(s(2)), None);
        assert_eq!(farewell.due(s(3)), Some(Signal::SIGTERM));
        farewell.wait_until(s(99));
        assert_eq!((farewell.deadline(), farewell.is_polite()), (s(4), false), "no more patience after that");
        assert_eq!(farewell.due(s(4)), Some(Signal::SIGKILL));
        assert!(!farewell.is_hopeless(s(4)) && farewell.is_hopeless(s(5)));
        assert!(Farewell::killed(s(7)).is_hopeless(s(8)));
    }
}
