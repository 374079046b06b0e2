// SPDX-License-Identifier: MPL-2.0
//! Frames that were dropped, for those who watch the pipeline.

use orion_core::ledger::Cause;

use crate::qos::Place;

/// So many are told one by one each time. Each becomes a message on the bus, which the streaming thread may have to post.
const MOST: usize = 100;

/// A frame that was dropped here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Fallen {
    pub(in super::super) cause: Cause,
    pub(in super::super) place: Place,
}

/// Those that are not yet told. Beyond the first ones the last of each cause stands for all of its cause; the ledger, which
/// goes with them, has counted every one.
#[derive(Debug, Default)]
pub(super) struct FallenFrames(Vec<Fallen>);

impl FallenFrames {
    pub(super) fn add(&mut self, fallen: Fallen) {
        let rest = self.0.get_mut(MOST..).unwrap_or_default();
        match rest.iter_mut().find(|last| last.cause == fallen.cause) {
            Some(last) => *last = fallen,
            None => self.0.push(fallen),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Fallen> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_told_by_the_last_of_each_cause() {
        let mut fallen = FallenFrames::default();
        let place = Place::default();
        for n in 0..1000 {
            let cause = if n % 2 == 0 { Cause::QueueFull } else { Cause::TooOld };
            fallen.add(Fallen { cause, place });
        }
        let told = fallen.take();
        assert_eq!(told.len(), MOST + 2);
        assert_ne!(told[MOST].cause, told[MOST + 1].cause);
        assert_eq!(fallen.take(), []);
    }
}
