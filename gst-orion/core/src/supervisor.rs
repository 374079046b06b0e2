// SPDX-License-Identifier: MPL-2.0
//! When a worker process is to be started, killed or given up: verdicts from plain times and events.
//!
//! ```text
//!            ready                sent
//! Starting --------> Ready <------------------> Busy
//!  |  |  ^ |           ^       all answered      | time-out
//!  |  |  | +-> Swapping (a successor: ready,     v
//!  |  |  |     and not yet at work)            Stalled (being killed; from Starting too)
//!  |  |  | until passed                          | exited, from any state
//!  |  |  BackingOff <----------------------------+
//!  |  +--> Failed   (never was ready and ended by itself, or must not be restarted)
//!  +-----> Stopped  (its end was asked for, from any state)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// From its start until `ready`.
    pub startup_timeout: Duration,
    /// From the moment that a frame is the oldest in hand until its answer.
    pub frame_timeout: Duration,
    /// Whether it is started again at all.
    pub restart: bool,
}

/// What the worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Loading; no frame may be sent.
    Starting,
    /// Waiting for a frame.
    Ready,
    /// Working on a frame.
    Busy,
    /// It broke a limit and is being killed.
    Stalled,
    /// A successor that is ready, but not at work yet.
    Swapping,
    /// Dead, to be started again later.
    BackingOff,
    /// Given up.
    Failed,
    /// Its end was asked for.
    Stopped,
}

impl State {
    /// The name in `stats`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Stalled => "stalled",
            Self::Swapping => "swapping",
            Self::BackingOff => "backing-off",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Supervisor {
    policy: Policy,
    state: State,
    /// Starts as a successor that has to prove itself first.
    successor: bool,
    /// Frames in hand.
    frames: usize,
    deadline: Option<Duration>,
    ready_since: Option<Duration>,
    was_ready: bool,
    pause: Duration,
    restarts: u64,
}

impl Supervisor {
    /// The limit for answers from the next frame on.
    pub fn set_frame_timeout(&mut self, frame_timeout: Duration) {
        self.policy.frame_timeout = frame_timeout;
    }

    /// A worker whose process is being started now. A `successor` comes to work with [`Self::take_over`] only, and until
    /// then it is not started again.
    pub fn new(policy: Policy, successor: bool, now: Duration) -> Self {
        Self {
            policy,
            state: State::Starting,
            successor,
            frames: 0,
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
        self.state = self.resting();
        self.was_ready = true;
        self.ready_since = Some(now);
        self.deadline = None;
    }

    /// The successor is at work from now on.
    pub fn take_over(&mut self) {
        self.successor = false;
        if self.state == State::Swapping {
            // It may have answered the frame of its check before it read that.
            self.state = if self.frames > 0 { State::Busy } else { State::Ready };
        }
    }

    /// A frame was given to it.
    pub fn sent(&mut self, now: Duration) {
        self.frames += 1;
        if self.frames == 1 {
            self.deadline = Some(now + self.policy.frame_timeout);
        }
        if self.state == State::Ready {
            self.state = State::Busy;
        }
    }

    /// It is done with so many frames.
    pub fn answered(&mut self, frames: usize, now: Duration) {
        if frames == 0 || self.state == State::Stalled {
            return;
        }
        self.frames = self.frames.saturating_sub(frames);
        if self.frames > 0 {
            self.deadline = Some(now + self.policy.frame_timeout);
        } else {
            self.deadline = None;
            self.state = self.resting();
        }
    }

    /// Its end is asked for; it may finish what it has in hand.
    pub fn stopping(&mut self) {
        self.state = State::Stopped;
    }

    fn resting(&self) -> State {
        match self.state {
            State::Stopped => State::Stopped,
            _ if self.successor => State::Swapping,
            _ => State::Ready,
        }
    }

    /// What is due.
    pub fn check(&mut self, now: Duration) -> Verdict {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Verdict::Wait;
        }
        match self.state {
            State::Starting => self.stall(Overdue::Startup),
            State::Busy | State::Swapping => self.stall(Overdue::Frame),
            State::BackingOff => {
                self.state = State::Starting;
                self.deadline = Some(now + self.policy.startup_timeout);
                self.restarts += 1;
                Verdict::Spawn
            }
            State::Ready | State::Stalled | State::Failed | State::Stopped => Verdict::Wait,
        }
    }

    fn stall(&mut self, overdue: Overdue) -> Verdict {
        self.state = State::Stalled;
        self.deadline = None;
        Verdict::Kill(overdue)
    }

    /// The process has ended.
    ///
    /// One that was never ready and ended by itself has a wrong configuration: starting it again would not help, so the
    /// first such end is reported at once. A start-up time-out counts as such an end too.
    pub fn exited(&mut self, now: Duration, exit: Exit) -> AfterExit {
        self.frames = 0;
        let stable = self.ready_since.take().is_some_and(|since| now.saturating_sub(since) >= STABLE);
        if !self.policy.restart || self.successor || (!self.was_ready && exit == Exit::Own) {
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
        let mut worker = Supervisor::new(POLICY, false, s(0));
        assert_eq!(worker.check(s(29)), Verdict::Wait);
        assert_eq!(worker.check(s(30)), Verdict::Kill(Overdue::Startup));
        assert_eq!(worker.state(), State::Stalled);
        assert_eq!(worker.check(s(31)), Verdict::Wait, "it is killed once");

        let mut worker = Supervisor::new(POLICY, false, s(0));
        worker.ready(s(5));
        assert_eq!(worker.deadline(), None);
        worker.sent(s(6));
        assert_eq!(worker.deadline(), Some(s(16)));
        worker.answered(1, s(7));
        assert_eq!((worker.check(s(100)), worker.state()), (Verdict::Wait, State::Ready));
        worker.sent(s(100));
        assert_eq!(worker.check(s(110)), Verdict::Kill(Overdue::Frame));
    }

    #[test]
    fn restarts_at_once_then_ever_later_and_at_once_again_after_a_stable_minute() {
        let mut worker = Supervisor::new(POLICY, false, s(0));
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
        let mut worker = Supervisor::new(POLICY, false, s(0));
        assert_eq!(worker.exited(s(1), Exit::Signal), AfterExit::Restart(s(0)));
        assert_eq!(worker.check(s(1)), Verdict::Spawn);
        assert_eq!(worker.exited(s(2), Exit::Own), AfterExit::GiveUp);
        assert_eq!((worker.state(), worker.check(s(999))), (State::Failed, Verdict::Wait));
    }

    #[test]
    fn the_time_of_a_frame_counts_from_when_it_is_the_oldest_in_hand() {
        let mut worker = Supervisor::new(POLICY, false, s(0));
        worker.ready(s(1));
        worker.sent(s(2));
        worker.sent(s(3));
        assert_eq!(worker.deadline(), Some(s(12)));
        worker.answered(0, s(8));
        assert_eq!(worker.deadline(), Some(s(12)));
        worker.answered(1, s(9));
        assert_eq!((worker.deadline(), worker.state()), (Some(s(19)), State::Busy));
        worker.answered(1, s(10));
        assert_eq!((worker.deadline(), worker.state()), (None, State::Ready));
    }

    #[test]
    fn a_successor_waits_for_its_turn_and_is_not_started_again_before_it() {
        let mut worker = Supervisor::new(POLICY, true, s(0));
        worker.ready(s(1));
        assert_eq!(worker.state(), State::Swapping);
        worker.sent(s(2));
        assert_eq!(worker.clone().check(s(12)), Verdict::Kill(Overdue::Frame), "it is checked on a frame");
        worker.answered(1, s(3));
        assert_eq!(worker.state(), State::Swapping);
        assert_eq!(worker.clone().exited(s(4), Exit::Signal), AfterExit::GiveUp);
        let mut eager = worker.clone();
        eager.sent(s(4));
        eager.take_over();
        assert_eq!(eager.check(s(14)), Verdict::Kill(Overdue::Frame), "its frame-timeout goes on");
        worker.take_over();
        assert_eq!(worker.state(), State::Ready);
        assert_eq!(worker.exited(s(5), Exit::Own), AfterExit::Restart(s(0)));
    }

    #[test]
    fn one_that_is_to_stop_may_finish_its_frames() {
        let mut worker = Supervisor::new(POLICY, false, s(0));
        worker.ready(s(1));
        worker.sent(s(2));
        worker.stopping();
        worker.answered(1, s(3));
        assert_eq!((worker.state(), worker.check(s(99))), (State::Stopped, Verdict::Wait));
    }

    #[test]
    fn restart_never_is_kept() {
        let mut worker = Supervisor::new(Policy { restart: false, ..POLICY }, false, s(0));
        worker.ready(s(1));
        assert_eq!(worker.exited(s(2), Exit::Own), AfterExit::GiveUp);
    }
}
