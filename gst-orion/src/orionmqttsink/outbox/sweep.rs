// SPDX-License-Identifier: MPL-2.0
//! Where only the newest is wanted, it takes the place of what waits for the same topic and is about the same.

use std::collections::HashSet;

use orion_core::ledger::Cause;

use super::{OutagePolicy, Outbox, message::Message};

/// A walk from the newest frame to the oldest, over several calls when there are many.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Frames from this one on were looked at; none = no walk is under way.
    below: Option<u64>,
    /// Of those that stay.
    subjects: HashSet<(String, Option<String>)>,
    /// Something has changed that this walk does not see.
    again: bool,
}

impl Sweep {
    /// Another walk is needed.
    pub(super) fn again(&mut self) {
        self.again = true;
    }

    /// A frame is dropped for another reason; if it was the newest of a topic, an older one is now.
    pub(super) fn forget(&mut self, frame: u64) {
        if self.below.is_some_and(|below| frame >= below) {
            *self = Self { again: true, ..Self::default() };
        }
    }
}

impl Outbox {
    /// Looks at `budget` frames at most.
    pub(super) fn sweep(&mut self, budget: &mut usize) {
        if !self.outage || self.keeping.policy != OutagePolicy::Newest {
            self.sweep = Sweep { again: true, ..Sweep::default() };
            return;
        }
        let mut sweep = std::mem::take(&mut self.sweep);
        if sweep.below.is_none() && !std::mem::take(&mut sweep.again) {
            return;
        }
        let below = sweep.below.unwrap_or(u64::MAX);
        let mut at = self.waiting.partition_point(|message| message.frame < below);
        let mut stale: Vec<Vec<Message>> = Vec::new();
        while *budget > 0
            && let Some(last) = at.checked_sub(1)
        {
            *budget -= 1;
            let frame = self.waiting[last].frame;
            let first = (0..at).rev().take_while(|at| self.waiting[*at].frame == frame).last().unwrap_or(last);
            // All of them, so no short-cut.
            let newer = self.waiting.range(first..at).filter(|message| sweep.sees(message.subject())).count();
            if newer == 0 {
                stale.push(self.waiting.drain(first..at).collect());
            }
            at = first;
            sweep.below = Some(frame);
        }
        if at == 0 {
            sweep = Sweep { again: sweep.again, ..Sweep::default() };
        }
        for messages in stale.into_iter().rev() {
            self.drop_frame(messages[0].frame, Cause::NoConnection);
            messages.into_iter().for_each(|message| self.give_up(message, Cause::NoConnection));
        }
        self.sweep = sweep;
    }
}

impl Sweep {
    /// Whether nothing newer is there about this.
    fn sees(&mut self, (topic, key): (&str, Option<&str>)) -> bool {
        self.subjects.insert((topic.to_owned(), key.map(str::to_owned)))
    }
}
