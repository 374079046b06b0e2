// SPDX-License-Identifier: MPL-2.0
//! When the presence is to be said again: at each change, and now and then without one, but never in a storm.

use std::time::Duration;

use crate::presence::{Presence, Reason, State};

/// The longest time without a word, so that readers see how old the evidence is.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// The shortest time between two, as somebody who walks in and out of sight may change it with each frame.
pub const SHORTEST: Duration = Duration::from_millis(200);

/// What was said last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bulletin(Option<(Duration, State, u64, Option<Reason>)>);

impl Bulletin {
    /// Whether this is to be said now; if so, it is taken as said. A change that comes too soon is to be handed in again: it is due
    /// [`SHORTEST`] after the last one.
    pub fn is_due(&mut self, now: Duration, presence: &Presence) -> bool {
        let Presence { state, count, reason, .. } = *presence;
        let due = self.0.is_none_or(|(at, last_state, last_count, last_reason)| {
            let changed = (last_state, last_count, last_reason) != (state, count, reason);
            now.saturating_sub(at) >= if changed { SHORTEST } else { HEARTBEAT }
        });
        if due {
            self.0 = Some((now, state, count, reason));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(state: State, count: u64, reason: Option<Reason>) -> Presence {
        Presence { state, count, since: Duration::ZERO, evidence_age: None, reason }
    }

    #[test]
    fn changes_are_said_at_once_and_all_else_every_half_minute() {
        let unknown = |reason| presence(State::Unknown, 0, Some(reason));
        let present = |count| presence(State::Present, count, None);
        let mut bulletin = Bulletin::default();
        for (ms, presence, due) in [
            (0, unknown(Reason::Starting), true),
            (1000, unknown(Reason::Starting), false),
            (2000, present(1), true),
            (3000, present(2), true),
            (4000, Presence { evidence_age: Some(Duration::ZERO), ..present(2) }, false),
            (33_000, present(2), true),
            (33_100, unknown(Reason::Paused), false),
            (33_200, unknown(Reason::Paused), true),
            (33_500, unknown(Reason::StreamLost), true),
            (63_400, unknown(Reason::StreamLost), false),
            (63_500, unknown(Reason::StreamLost), true),
        ] {
            assert_eq!(bulletin.is_due(Duration::from_millis(ms), &presence), due, "{ms}");
        }
    }

    #[test]
    fn a_storm_of_changes_becomes_five_a_second_and_ends_with_the_last_one() {
        let mut bulletin = Bulletin::default();
        let mut said = Vec::new();
        for n in 0..400 {
            // Something else each 10 ms for two seconds, then nothing new.
            let count = u64::min(n, 200);
            if bulletin.is_due(Duration::from_millis(10 * n), &presence(State::Present, count, None)) {
                said.push(count);
            }
        }
        assert_eq!((said.len(), said.last()), (11, Some(&200)));
    }
}
