// SPDX-License-Identifier: MPL-2.0
//! When a worker process is to be started, killed or given up: verdicts from plain times and events.
//!
//! ```text
//!            ready            sent
//! Starting --------> Ready <--------> Busy
//!    |  ^              |    answered    |
//!    |  | until passed | exited         | exited, or killed after its time-out
//!    |  BackingOff <---+----------------+
//!    +--> Failed   (never was ready and ended by itself, or must not be restarted)
//! ```
//! Times are durations since any fixed moment.

use std::time::Duration;

/// The first pause between two restarts.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A worker that was ready for this long starts over without a pause.
const STABLE: Duration = Duration::from_secs(60);

/// The limits that a worker has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From its start until `ready`.
    pub startup_timeout: Duration,
    /// From a frame until its answer.
    pub frame_timeout: Duration,
    /// Whether it is started again at all.
    pub restart: bool,
}

/// What the worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Loading; no frame may be sent.
    Starting,
    /// Waiting for a frame.
    Ready,
    /// Working on a frame.
    Busy,
    /// Dead, to be started again later.
    BackingOff,
    /// Given up.
    Failed,
}

impl State {
    /// The name in `stats`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::BackingOff => "backing-off",
            Self::Failed => "failed",
        }
    }
}

/// Which limit was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// No `ready` in time.
    Startup,
    /// No answer in time.
    Frame,
}

/// What to do when a deadline may have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// Start the process.
    Spawn,
    /// Kill the process.
    Kill(Overdue),
}

/// What to do after the process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterExit {
    /// Start it again after this pause.
    Restart(Duration),
    /// Report an error; it will not be started again.
    GiveUp,
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself, or could not be started.
    Own,
    /// A signal ended it: ours, the out-of-memory killer's, a crash.
    Signal,
}

/// The state of one worker.
#[derive(Debug, Clone)]
pub struct Supervisor {
    policy: Policy,
    state: State,
    deadline: Option<Duration>,
    ready_since: Option<Duration>,
    was_ready: bool,
    pause: Duration,
    restarts: u64,
}

impl Supervisor {
    /// A worker whose process is being started now.
    pub fn new(policy: Policy, now: Duration) -> Self {
        Self {
            policy,
            state: State::Starting,
            deadline: Some(now + policy.startup_timeout),
            ready_since: None,
            was_ready: false,
            pause: Duration::ZERO,
            restarts: 0,
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// How often the process was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// When [`Self::check`] is to be called next; none = nothing is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// It announced `ready`.
    pub fn ready(&mut self, now: Duration) {
        self.state = State::Ready;
        self.was_ready = true;
        self.ready_since = Some(now);
        self.deadline = None;
    }

    /// A frame was given to it.
    pub fn sent(&mut self, now: Duration) {
        self.state = State::Busy;
        self.deadline = Some(now + self.policy.frame_timeout);
    }

    /// It answered the frame.
    pub fn answered(&mut self) {
        self.state = State::Ready;
        self.deadline = None;
    }

    /// Its process was ended because a new one was asked for, which is started now.
    pub fn restarted(&mut self, now: Duration) {
        let restarts = self.restarts + 1;
        *self = Self { was_ready: self.was_ready, restarts, ..Self::new(self.policy, now) };
    }

    /// What is due.
    pub fn check(&mut self, now: Duration) -> Verdict {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Verdict::Wait;
        }
        match self.state {
            State::Starting => {
                self.deadline = None;
                Verdict::Kill(Overdue::Startup)
            }
            State::Busy => {
                self.deadline = None;
                Verdict::Kill(Overdue::Frame)
            }
            State::BackingOff => {
                self.state = State::Starting;
                self.deadline = Some(now + self.policy.startup_timeout);
                self.restarts += 1;
                Verdict::Spawn
            }
            State::Ready | State::Failed => Verdict::Wait,
        }
    }

    /// The process has ended.
    ///
    /// One that was never ready and ended by itself has a wrong configuration: starting it again would not help, so the
    /// first such end is reported at once. A start-up time-out counts as such an end too.
    pub fn exited(&mut self, now: Duration, exit: Exit) -> AfterExit {
        let stable = self.ready_since.take().is_some_and(|since| now.saturating_sub(since) >= STABLE);
        if !self.policy.restart || (!self.was_ready && exit == Exit::Own) {
            self.state = State::Failed;
            self.deadline = None;
            return AfterExit::GiveUp;
        }
        // The first restart comes at once; a worker that keeps dying has to wait.
        let pause = if stable { Duration::ZERO } else { self.pause };
        self.pause = if pause.is_zero() { BACKOFF_MIN } else { (pause * 2).min(BACKOFF_MAX) };
        self.state = State::BackingOff;
        self.deadline = Some(now + pause);
        AfterExit::Restart(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { startup_timeout: Duration::from_secs(30), frame_timeout: Duration::from_secs(10), restart: true };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_slow_start_and_a_slow_answer_are_killed_at_their_own_deadline() {
        let mut worker = Supervisor::new(POLICY, s(0));
        assert_eq!(worker.check(s(29)), Verdict::Wait);
        assert_eq!(worker.check(s(30)), Verdict::Kill(Overdue::Startup));
        assert_eq!(worker.check(s(31)), Verdict::Wait, "it is killed once");

        let mut worker = Supervisor::new(POLICY, s(0));
        worker.ready(s(5));
        assert_eq!(worker.deadline(), None);
        worker.sent(s(6));
        assert_eq!(worker.deadline(), Some(s(16)));
        worker.answered();
        assert_eq!((worker.check(s(100)), worker.state()), (Verdict::Wait, State::Ready));
        worker.sent(s(100));
        assert_eq!(worker.check(s(110)), Verdict::Kill(Overdue::Frame));
    }

    #[test]
    fn restarts_at_once_then_ever_later_and_at_once_again_after_a_stable_minute() {
        let mut worker = Supervisor::new(POLICY, s(0));
        let mut now = s(0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            worker.ready(now);
            now += s(1);
            let AfterExit::Restart(pause) = worker.exited(now, Exit::Signal) else { panic!("given up") };
            pauses.push(pause.as_secs());
            if !pause.is_zero() {
                assert_eq!(worker.check(now), Verdict::Wait);
            }
            now += pause;
            assert_eq!(worker.check(now), Verdict::Spawn);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(worker.restarts(), 8);
        worker.ready(now);
        assert_eq!(worker.exited(now + s(60), Exit::Own), AfterExit::Restart(s(0)));
    }

    #[test]
    fn a_worker_that_never_was_ready_is_given_up_unless_a_signal_ended_it() {
        let mut worker = Supervisor::new(POLICY, s(0));
        assert_eq!(worker.exited(s(1), Exit::Signal), AfterExit::Restart(s(0)));
        assert_eq!(worker.check(s(1)), Verdict::Spawn);
        assert_eq!(worker.exited(s(2), Exit::Own), AfterExit::GiveUp);
        assert_eq!((worker.state(), worker.check(s(999))), (State::Failed, Verdict::Wait));
    }

    #[test]
    fn a_restart_that_was_asked_for_is_no_failure() {
        let mut worker = Supervisor::new(POLICY, s(0));
        worker.ready(s(1));
        worker.restarted(s(2));
        assert_eq!((worker.state(), worker.deadline(), worker.restarts()), (State::Starting, Some(s(32)), 1));
        assert_eq!(worker.exited(s(3), Exit::Own), AfterExit::Restart(s(0)), "it was ready before");
    }

    #[test]
    fn restart_never_is_kept() {
        let mut worker = Supervisor::new(Policy { restart: false, ..POLICY }, s(0));
        worker.ready(s(1));
        assert_eq!(worker.exited(s(2), Exit::Own), AfterExit::GiveUp);
    }
}
