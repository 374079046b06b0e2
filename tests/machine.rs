// SPDX-License-Identifier: MPL-2.0
//! Every order of events that a swap, a death, a hang, a flush and a stop can come in, up to a bound: the model checker walks
//! them all over the same supervisor, swap, hand, order and ledger that the element uses. What is modelled here is only what
//! lies around them: the workers' processes, the ways to them, and the streaming thread.
//!
//! `ORION_DEEP=1` takes a wider bound, minutes instead of seconds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/world.rs"]
mod world;

use std::{env, time::Instant};

use orion_core::supervisor::State;
use stateright::{Checker, Model, Property};
use world::{Action, World};

/// How much may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bound {
    /// Workers of a crew.
    pub workers: usize,
    /// Buffers that come.
    pub frames: u8,
    /// Wishes for other workers.
    pub swaps: u8,
    /// Deaths, hangs, answers that are no results, and answers to nothing.
    pub faults: u8,
    /// Flushes.
    pub flushes: u8,
    /// Whether the element is stopped at some moment.
    pub stop: bool,
}

impl Model for Bound {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(*self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken on the way", |_, world: &World| world.broken.is_none()),
            Property::always("the book adds up", |_, world: &World| world.adds_up()),
            Property::always("the crew at work is whole", |bound: &Self, world: &World| {
                world.stopped || world.at_work().count() == bound.workers
            }),
            Property::always("in the end every frame has its fate", |_, world: &World| {
                !world.is_over() || world.inside() == 0
            }),
            Property::always("a swap ends", |_, world: &World| !world.is_over() || world.incoming.is_none()),
            Property::always("in the end only the crew at work is left, idle or given up", |_, world: &World| {
                let rests = |state| matches!(state, State::Ready | State::Failed);
                !world.is_over()
                    || world.workers.iter().all(|worker| {
                        !world.stopped && worker.crew == world.crew && !worker.held && rests(worker.supervisor.state())
                    })
            }),
            // Or all of the above would be true of a model in which nothing happens.
            Property::sometimes("a swap is done", |_, world: &World| world.crew > 0),
            Property::sometimes("the first frame of a new crew is told", |_, world: &World| !world.applied.is_empty()),
            Property::sometimes("a worker is started again", |_, world: &World| {
                world.workers.iter().any(|worker| worker.supervisor.restarts() > 0)
            }),
            Property::sometimes("a frame comes back and waits", |_, world: &World| !world.returned.is_empty()),
        ]
    }
}

/// All states there are; panics with the way to one that is wrong.
fn explore(name: &str, bound: Bound) {
    let start = Instant::now();
    let checker = bound.checker().threads(2).spawn_bfs().join();
    println!(
        "races: {name}: {} states, {} different, depth {}, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
    for (property, path) in checker.discoveries() {
        let ended = path.last_state().clone();
        let wrong = checker.discovery_classification(property).to_string() == "counterexample";
        assert!(!wrong, "{property}: {:?}\n{:#?}\n{ended:#?}", ended.broken, path.into_actions());
    }
    checker.assert_properties();
}

fn deep() -> bool {
    env::var_os("ORION_DEEP").is_some()
}

#[test]
fn one_worker_and_its_successors_keep_the_rules_in_any_order_of_events() {
    let bound = Bound { workers: 1, frames: 2, swaps: 1, faults: 1, flushes: 0, stop: false };
    explore("one worker", if deep() { Bound { frames: 4, swaps: 2, faults: 2, ..bound } } else { bound });
}

#[test]
fn a_stop_or_a_flush_at_any_moment_keeps_the_rules() {
    let bound = Bound { workers: 1, frames: 1, swaps: 1, faults: 1, flushes: 1, stop: true };
    explore("stops and flushes", if deep() { Bound { frames: 3, swaps: 2, faults: 2, ..bound } } else { bound });
}

#[test]
#[ignore = "11 s; `make races` runs it"]
fn two_workers_keep_the_rules_in_any_order_of_events() {
    let bound = Bound { workers: 2, frames: 1, swaps: 1, faults: 1, flushes: 0, stop: false };
    explore("two workers", bound);
}
