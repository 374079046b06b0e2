// SPDX-License-Identifier: MPL-2.0
//! How many threads a worker gets that was not told: its share of the cores, among all workers of this program.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::properties::lock;

/// The elements of this program, by number.
static ELEMENTS: Mutex<BTreeMap<u64, Demand>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The workers that one element wants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Demand {
    /// Those of a group are counted once; empty for an element alone.
    group: String,
    workers: u32,
}

/// An element's entry, as long as that lives.
#[derive(Debug)]
pub(super) struct Claim(u64);

impl Claim {
    pub(super) fn new() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// What the element wants from now on. It holds for workers that are started afterwards, its own and others.
    pub(super) fn set(&self, group: &str, workers: u32) {
        lock(&ELEMENTS).insert(self.0, Demand { group: group.to_owned(), workers });
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&ELEMENTS).remove(&self.0);
    }
}

/// Threads for each worker that is started now.
///
/// Cores are those on which this process may run, at most as many as the quota of its control group pays for.
pub(super) fn threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
    share(cores, lock(&ELEMENTS).values())
}

fn share<'a>(cores: u32, demands: impl Iterator<Item = &'a Demand>) -> u32 {
    let mut groups = BTreeMap::<&str, u32>::new();
    let mut alone = 0_u32;
    for demand in demands {
        if demand.group.is_empty() {
            alone = alone.saturating_add(demand.workers);
        } else {
            let workers = groups.entry(&demand.group).or_default();
            *workers = demand.workers.max(*workers);
        }
    }
    let workers = groups.into_values().fold(alone, u32::saturating_add);
    (cores / workers.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads_of(cores: u32, demands: &[(&str, u32)]) -> u32 {
        let demands: Vec<_> =
            demands.iter().map(|&(group, workers)| Demand { group: group.to_owned(), workers }).collect();
        share(cores, demands.iter())
    }

    #[test]
    fn all_workers_share_the_cores() {
        assert_eq!(threads_of(8, &[]), 8);
        assert_eq!(threads_of(8, &[("", 1)]), 8);
        assert_eq!(threads_of(8, &[("", 2)]), 4);
        assert_eq!(threads_of(8, &[("", 1), ("", 2)]), 2);
        assert_eq!(threads_of(2, &[("", 1); 16]), 1);
        assert_eq!(threads_of(0, &[("", 1)]), 1);
        assert_eq!(threads_of(8, &[("", u32::MAX), ("", 1)]), 1);
    }

    #[test]
    fn workers_of_a_group_count_once() {
        assert_eq!(threads_of(8, &[("door", 2), ("door", 2), ("door", 2)]), 4);
        assert_eq!(threads_of(8, &[("door", 2), ("yard", 1), ("", 1)]), 2);
    }

    #[test]
    fn who_is_gone_has_no_share() {
        let claim = Claim::new();
        claim.set("", 7);
        claim.set("", 9);
        assert_eq!(lock(&ELEMENTS).get(&claim.0).unwrap().workers, 9);
        let number = claim.0;
        drop(claim);
        assert!(!lock(&ELEMENTS).contains_key(&number));
    }
}
