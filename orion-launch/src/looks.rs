// SPDX-License-Identifier: MPL-2.0
//! What the worker that looks for persons has found, frame by frame: a few numbers, noted where its results come out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gst::prelude::*;
use gstorion::meta::{self, Look};

/// Looks that wait to be judged, at most. They are judged five times a second, and no worker gives so many meanwhile.
const MOST: usize = 256;

/// The looks at one camera.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// Which element looks for persons.
    chosen: usize,
    /// It has said so itself.
    sure: bool,
    looks: VecDeque<Look>,
}

impl Taken {
    /// The first element that gives persons is the one; until one does, the first of all is.
    fn add(&mut self, element: usize, look: Look) {
        if look.person && !self.sure {
            if self.chosen != element {
                self.looks.clear();
            }
            (self.chosen, self.sure) = (element, true);
        }
        if element == self.chosen {
            if self.looks.len() >= MOST {
                self.looks.pop_front();
            }
            self.looks.push_back(look);
        }
    }
}

impl Looks {
    /// Takes note of what these elements answer from now on; `orionpyinfer`, the likeliest to look for persons first.
    pub(crate) fn at(elements: &[gst::Element]) -> Self {
        let looks = Self::default();
        for (number, pad) in elements.iter().enumerate().filter_map(|(n, e)| Some((n, e.static_pad("src")?))) {
            let looks = looks.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(look) = info.buffer().and_then(|buffer| meta::look(buffer)) {
                    looks.lock().add(number, look);
                }
                gst::PadProbeReturn::Ok
            });
        }
        looks
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Plain numbers: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the elements looks for persons.
    pub(crate) fn chosen(&self) -> usize {
        self.lock().chosen
    }

    /// The looks since this was asked last, in their order.
    pub(crate) fn take(&self) -> VecDeque<Look> {
        std::mem::take(&mut self.lock().looks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(arrived: u64, person: bool) -> Look {
        Look { arrived, count: 1, full: true, person }
    }

    fn taken(looks: &[(usize, u64, bool)]) -> (usize, Vec<u64>) {
        let mut taken = Taken::default();
        looks.iter().for_each(|(element, arrived, person)| taken.add(*element, look(*arrived, *person)));
        (taken.chosen, taken.looks.iter().map(|look| look.arrived).collect())
    }

    #[test]
    fn who_looks_for_persons_counts_and_nobody_else() {
        assert_eq!(taken(&[(0, 1, false), (1, 2, false), (0, 3, false)]), (0, vec![1, 3]), "until somebody is sure");
        assert_eq!(taken(&[(0, 1, false), (1, 2, true), (0, 3, false), (1, 4, true)]), (1, vec![2, 4]));
        assert_eq!(taken(&[(0, 1, true), (1, 2, true), (0, 3, false)]), (0, vec![1, 3]), "whatever model it has later");
    }

    #[test]
    fn of_too_many_the_oldest_go() {
        let mut taken = Taken::default();
        (0..2 * MOST as u64).for_each(|n| taken.add(0, look(n, false)));
        assert_eq!((taken.looks.len(), taken.looks[0].arrived), (MOST, MOST as u64));
    }
}
