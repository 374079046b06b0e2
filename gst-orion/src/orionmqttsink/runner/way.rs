// SPDX-License-Identifier: MPL-2.0
//! What was handed to a session and is not yet acknowledged.

use std::future::Future;

use tokio::task::JoinSet;

use super::{
    super::{
        outbox::Sending,
        session::{Limits, NotTaken},
    },
    lap::Lap,
};

/// What the broker has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// A status that was said on the connection with this number.
    Status(u64),
    /// The subscription.
    Listening,
    /// The message with this ticket.
    Message(u64),
    /// A picture that was sent on the connection with this number.
    Snapshot(u64),
}

/// Its answer.
pub(super) type Answer = (Answered, Result<(), NotTaken>);

#[derive(Debug)]
pub(super) struct Way {
    pub(super) answers: JoinSet<Answer>,
    pub(super) lap: Lap,
    /// Of the broker; none = it has not yet accepted.
    pub(super) limits: Option<Limits>,
    /// Waits for a pause; nothing may overtake it.
    pub(super) held: Option<Sending>,
    /// Counts the connections of all sessions.
    pub(super) connection: u64,
    /// Whether the own status topic is to be subscribed to, and was.
    pub(super) listen: bool,
    pub(super) listening: bool,
    /// Something is lost that the session will not repeat.
    pub(super) broken: bool,
    /// Something was refused while others were on their way.
    pub(super) disordered: bool,
}

impl Way {
    /// Nothing is on its way.
    pub(super) fn new(lap: Lap) -> Self {
        Self {
            answers: JoinSet::new(),
            lap,
            limits: None,
            held: None,
            connection: 0,
            listen: false,
            listening: false,
            broken: false,
            disordered: false,
        }
    }

    /// Waits for an answer from now on.
    pub(super) fn track(
        &mut self,
        what: Answered,
        answer: impl Future<Output = Result<(), NotTaken>> + Send + 'static,
    ) {
        self.answers.spawn(async move { (what, answer.await) });
    }

    /// Whether everything is answered.
    pub(super) fn idle(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether the session can be gone on with after a lost connection: the broker knows it, and what it will repeat is what
    /// is missing, in its order.
    pub(super) fn resumable(&self) -> bool {
        let orderly = !self.disordered || self.idle();
        self.lap.counts() && self.limits.is_some() && !self.broken && orderly
    }
}
