// SPDX-License-Identifier: MPL-2.0
//! Blue/green replacement of a crew of workers: the new ones start beside the old ones, one after the other, each
//! proves itself on a frame, and only when all have does the work pass to them. Whatever goes wrong before that leaves
//! the old crew at work.
//!
//! ```text
//! Start(0) -> ready -> Check(0) -> checked -> Start(1) ... -> TakeOver
//!    any failure of any of them, or a newer wish -> Abort
//! ```

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Start this member.
    Start(usize),
    /// Have this member look at the latest frame.
    Check(usize),
    /// All are good: the work passes to them.
    TakeOver,
    /// End the new members; the old ones carry on.
    Abort(String),
    /// Nothing: what was reported belongs to no step of this replacement.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Starting,
    Checking,
    Over,
}

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Swap {
    members: usize,
    current: usize,
    phase: Phase,
}

impl Swap {
    /// A replacement by `members` workers; the first step is [`Step::Start`] of member 0.
    pub fn new(members: usize) -> Self {
        Self { members, current: 0, phase: Phase::Starting }
    }

    /// A member is loaded and warm.
    pub fn ready(&mut self, member: usize) -> Step {
        if (member, Phase::Starting) != (self.current, self.phase) {
            return Step::Nothing;
        }
        self.phase = Phase::Checking;
        Step::Check(member)
    }

    /// A member has answered the frame it was checked on, or there was none.
    pub fn checked(&mut self, member: usize, outcome: Result<(), String>) -> Step {
        if (member, Phase::Checking) != (self.current, self.phase) {
            return Step::Nothing;
        }
        if let Err(reason) = outcome {
            self.phase = Phase::Over;
            return Step::Abort(format!("its answer to a frame was no result: {reason}"));
        }
        self.current += 1;
        if self.current < self.members {
            self.phase = Phase::Starting;
            return Step::Start(self.current);
        }
        self.phase = Phase::Over;
        Step::TakeOver
    }

    /// A member has ended or cannot be started.
    pub fn failed(&mut self, member: usize, reason: String) -> Step {
        if self.phase == Phase::Over || member > self.current {
            return Step::Nothing;
        }
        self.phase = Phase::Over;
        Step::Abort(reason)
    }
}

/// Where the work of a crew that has taken over begins: frames before that may come from either crew, as a worker that retires
/// gives back what it has not begun, while another one of its crew answers a later frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Newcomers {
    /// The crew, whose first result is still to come.
    pub crew: u64,
    /// The last frame that had been given to workers before.
    after: Option<u64>,
    /// The first frame behind that which was meant for it.
    first: Option<u64>,
}

impl Newcomers {
    /// A crew that takes over `after` that frame was given to another one; none = there was no such frame.
    pub fn new(crew: u64, after: Option<u64>) -> Self {
        Self { crew, after, first: None }
    }

    /// A frame goes to a worker.
    pub fn given(&mut self, seq: u64) {
        if self.after.is_none_or(|after| seq > after) {
            self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
        }
    }

    /// The frame from which on all are theirs, now that the first one, `seq`, is answered.
    pub fn begin(&self, seq: u64) -> u64 {
        self.first.unwrap_or_else(|| self.after.map_or(seq, |after| seq.max(after + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_crew_begins_behind_the_last_frame_that_the_old_one_may_answer() {
        let begin = |after, given: &[u64], answered| {
            let mut newcomers = Newcomers::new(1, after);
            given.iter().for_each(|seq| newcomers.given(*seq));
            newcomers.begin(answered)
        };
        assert_eq!(begin(None, &[3, 4], 3), 3, "the first crew of all");
        assert_eq!(begin(Some(7), &[9, 10], 9), 9);
        assert_eq!(begin(Some(7), &[6, 9], 6), 9, "6 was given back, 7 may still come from before");
        assert_eq!(begin(Some(7), &[6], 6), 8, "the next one is not here yet");
    }

    #[test]
    fn the_work_passes_when_all_have_proved_themselves() {
        let mut swap = Swap::new(2);
        assert_eq!(swap.ready(1), Step::Nothing, "not started yet");
        assert_eq!(swap.ready(0), Step::Check(0));
        assert_eq!(swap.ready(0), Step::Nothing);
        assert_eq!(swap.checked(0, Ok(())), Step::Start(1));
        assert_eq!(swap.checked(1, Ok(())), Step::Nothing, "not ready yet");
        assert_eq!(swap.ready(1), Step::Check(1));
        assert_eq!(swap.checked(1, Ok(())), Step::TakeOver);
        assert_eq!(swap.failed(0, "too late".into()), Step::Nothing, "from here on it is supervised");
    }

    #[test]
    fn any_failure_before_that_ends_it() {
        let mut swap = Swap::new(1);
        assert_eq!(swap.failed(0, "no model".into()), Step::Abort("no model".into()));
        assert_eq!(swap.ready(0), Step::Nothing);

        let mut swap = Swap::new(1);
        swap.ready(0);
        let Step::Abort(reason) = swap.checked(0, Err("inference_failed".into())) else { panic!("goes on") };
        assert!(reason.contains("inference_failed"));

        let mut swap = Swap::new(2);
        swap.ready(0);
        swap.checked(0, Ok(()));
        assert_eq!(swap.failed(0, "died while it waited".into()), Step::Abort("died while it waited".into()));
    }
}
