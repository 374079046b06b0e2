// SPDX-License-Identifier: MPL-2.0
//! Whose turn it is, where several members share the same workers: whoever was served longest ago comes first.
//!
//! A member waits with a frame in its hand, or for the chance to fetch one: then its queue can keep the newest frame until
//! the end. Who is told to fetch one may find none there; so nothing is kept for it but its turn, and soon the next one is
//! told too.

use std::time::Duration;

/// How long one that may fetch a frame has for that, before another one is told to.
pub const GRACE: Duration = Duration::from_millis(2);

/// What a member waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It has a frame.
    Frame,
    /// It may have one as soon as it may fetch it.
    Chance,
}

/// A worker was given to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Whose frame it gets.
    pub member: u64,
    /// Whose turn it would have been, had it had a frame: it may fetch one now, and its turn is the next one.
    pub passed_over: Option<u64>,
}

#[derive(Debug, Clone)]
struct Member {
    id: u64,
    /// Counts up over all members; the lowest one was served longest ago.
    served: u64,
    waits: Option<Wait>,
    /// When it was told to fetch a frame.
    invited: Option<Duration>,
}

/// The members, and what each of them waits for. Times are since any fixed moment.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    members: Vec<Member>,
    count: u64,
}

impl Turns {
    /// A member comes, behind all others. An id that is there already keeps its place.
    pub fn join(&mut self, id: u64) {
        if !self.members.iter().any(|member| member.id == id) {
            self.count += 1;
            self.members.push(Member { id, served: self.count, waits: None, invited: None });
        }
    }

    /// A member goes, and gives up its turn.
    pub fn leave(&mut self, id: u64) {
        self.members.retain(|member| member.id != id);
    }

    /// A member waits from now on; nothing happens for one that never joined.
    pub fn wait(&mut self, id: u64, wait: Wait) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.waits = Some(wait);
            if wait == Wait::Frame {
                member.invited = None;
            }
        }
    }

    /// A member waits no longer.
    pub fn withdraw(&mut self, id: u64) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.waits = None;
        }
    }

    /// A worker can take a frame of those that are `welcome`: whose; none = nobody has one.
    pub fn take(&mut self, now: Duration, welcome: impl Fn(u64) -> bool) -> Option<Turn> {
        let place = self.first(Wait::Frame, &welcome)?;
        self.count += 1;
        let count = self.count;
        let member = &mut self.members[place];
        let before = std::mem::replace(&mut member.served, count);
        (member.waits, member.invited) = (None, None);
        let id = member.id;
        let passed_over = self.first(Wait::Chance, &welcome).filter(|place| self.members[*place].served < before);
        Some(Turn { member: id, passed_over: passed_over.map(|place| self.tell(place, now)) })
    }

    /// So many frames can be taken, `free`, of those that are `welcome`, and nobody has one: who may fetch one. To be called
    /// until it says none.
    pub fn invite(&mut self, free: usize, now: Duration, welcome: impl Fn(u64) -> bool) -> Option<u64> {
        if self.expected(now).count() >= free {
            return None;
        }
        self.first(Wait::Chance, welcome).map(|place| self.tell(place, now))
    }

    /// When [`Self::invite`] is to be called again, though nothing else has happened.
    pub fn next_invitation(&self, free: usize, now: Duration, welcome: impl Fn(u64) -> bool) -> Option<Duration> {
        self.first(Wait::Chance, welcome).filter(|_| free > 0)?;
        self.expected(now).min()
    }

    /// Until when each one of those is waited for that may fetch a frame.
    fn expected(&self, now: Duration) -> impl Iterator<Item = Duration> {
        let ends = self.members.iter().filter_map(|member| Some(member.invited? + GRACE));
        ends.filter(move |end| now < *end)
    }

    fn first(&self, wait: Wait, welcome: impl Fn(u64) -> bool) -> Option<usize> {
        let waits = |member: &Member| member.waits == Some(wait) && welcome(member.id);
        let waiting = self.members.iter().enumerate().filter(|(_, member)| waits(member));
        waiting.min_by_key(|(_, member)| member.served).map(|(place, _)| place)
    }

    fn tell(&mut self, place: usize, now: Duration) -> u64 {
        let member = &mut self.members[place];
        (member.waits, member.invited) = (None, Some(now));
        member.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn of(members: u64) -> Turns {
        let mut turns = Turns::default();
        (0..members).for_each(|id| turns.join(id));
        turns
    }

    fn anyone(_: u64) -> bool {
        true
    }

    fn taken(turns: &mut Turns) -> Option<u64> {
        turns.take(ms(0), anyone).map(|turn| turn.member)
    }

    #[test]
    fn those_with_a_frame_take_turns() {
        let mut turns = of(3);
        assert_eq!(turns.take(ms(0), anyone), None);
        let mut order = vec![];
        for _ in 0..6 {
            (0..3).for_each(|id| turns.wait(id, Wait::Frame));
            order.extend(taken(&mut turns));
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        turns.withdraw(0);
        turns.leave(1);
        turns.wait(2, Wait::Frame);
        assert_eq!((taken(&mut turns), taken(&mut turns)), (Some(2), None));
        turns.wait(9, Wait::Frame);
        assert_eq!(taken(&mut turns), None, "a stranger gets nothing");
    }

    #[test]
    fn one_that_comes_back_does_not_jump_the_queue() {
        let mut turns = of(2);
        turns.wait(1, Wait::Frame);
        turns.leave(0);
        turns.join(0);
        turns.join(1);
        turns.wait(0, Wait::Frame);
        assert_eq!((taken(&mut turns), taken(&mut turns)), (Some(1), Some(0)));
    }

    #[test]
    fn one_at_a_time_may_fetch_a_frame_and_soon_the_next_one() {
        let mut turns = of(3);
        (0..3).for_each(|id| turns.wait(id, Wait::Chance));
        assert_eq!(turns.invite(0, ms(0), anyone), None, "no worker is free");
        assert_eq!((turns.invite(1, ms(0), anyone), turns.invite(1, ms(1), anyone)), (Some(0), None));
        assert_eq!(turns.next_invitation(1, ms(1), anyone), Some(GRACE));
        assert_eq!(turns.next_invitation(0, ms(1), anyone), None);
        assert_eq!(turns.invite(1, GRACE, anyone), Some(1), "it had none");
        turns.wait(1, Wait::Frame);
        assert_eq!(taken(&mut turns), Some(1));
        assert_eq!(turns.invite(2, GRACE, anyone), Some(2));
        assert_eq!(turns.next_invitation(2, GRACE, anyone), None, "nobody is left");
    }

    #[test]
    fn whoever_was_passed_over_is_next() {
        let mut turns = of(2);
        turns.wait(0, Wait::Chance);
        turns.wait(1, Wait::Frame);
        assert_eq!(turns.take(ms(0), anyone), Some(Turn { member: 1, passed_over: Some(0) }));
        turns.wait(1, Wait::Frame);
        turns.wait(0, Wait::Frame);
        assert_eq!(turns.take(ms(0), anyone), Some(Turn { member: 0, passed_over: None }));
        turns.wait(0, Wait::Chance);
        assert_eq!(turns.take(ms(0), anyone), Some(Turn { member: 1, passed_over: None }), "it was its turn");
    }

    #[test]
    fn who_is_not_welcome_keeps_its_turn() {
        let mut turns = of(3);
        turns.wait(0, Wait::Frame);
        turns.wait(1, Wait::Chance);
        turns.wait(2, Wait::Frame);
        let others = |id| id > 1;
        assert_eq!(turns.take(ms(0), others), Some(Turn { member: 2, passed_over: None }));
        assert_eq!(turns.take(ms(0), others), None);
        assert_eq!((turns.invite(1, ms(0), others), turns.next_invitation(1, ms(0), others)), (None, None));
        assert_eq!(taken(&mut turns), Some(0));
        assert_eq!(turns.invite(1, ms(0), anyone), Some(1));
    }

    proptest! {
        #[test]
        fn nobody_waits_for_more_than_one_frame_of_each_other_member(
            steps in proptest::collection::vec((0u64..6, 0u8..8), 0..200),
        ) {
            let mut turns = of(6);
            // For each one that waits with a frame: how many frames of each other were taken since.
            let mut waiting: BTreeMap<u64, BTreeMap<u64, u32>> = BTreeMap::new();
            for (now, (id, action)) in steps.into_iter().enumerate() {
                match action {
                    0..3 => {
                        turns.wait(id, Wait::Frame);
                        waiting.entry(id).or_default();
                    }
                    3 => {
                        turns.wait(id, Wait::Chance);
                        waiting.remove(&id);
                    }
                    4 => {
                        turns.leave(id);
                        turns.join(id);
                        waiting.remove(&id);
                    }
                    5 => {
                        turns.invite(1, ms(now as u64), anyone);
                    }
                    _ => {
                        let turn = turns.take(ms(now as u64), anyone);
                        prop_assert_eq!(turn.is_some(), !waiting.is_empty(), "no frame waits beside a free worker");
                        let Some(Turn { member, .. }) = turn else { continue };
                        prop_assert!(waiting.remove(&member).is_some());
                        for others in waiting.values_mut() {
                            let frames = others.entry(member).or_default();
                            *frames += 1;
                            prop_assert!(*frames <= 1);
                        }
                    }
                }
            }
        }

        #[test]
        fn one_that_waits_for_its_chance_is_not_starved_by_those_with_frames(floods in 1u64..6) {
            let mut turns = of(floods + 1);
            turns.wait(floods, Wait::Chance);
            let mut before = 0;
            loop {
                (0..floods).for_each(|id| turns.wait(id, Wait::Frame));
                let turn = turns.take(ms(0), anyone).unwrap();
                if turn.member == floods {
                    break;
                }
                before += 1;
                prop_assert!(before <= 2 * floods);
                if turn.passed_over == Some(floods) {
                    turns.wait(floods, Wait::Frame);
                }
            }
        }
    }
}
