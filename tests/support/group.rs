// SPDX-License-Identifier: MPL-2.0
//! Elements that share a pool of stub workers. Needs `support/rig.rs` and `support/load.rs` beside it.

#![allow(dead_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use crate::{load::Load, rig::Rig};

/// A name that no other test uses, for the group and for its processes.
pub struct Group {
    pub name: String,
    stub: String,
    workers: String,
}

impl Group {
    pub fn new(stub: &str, workers: usize) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("group-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { stub: format!("{stub} {name}"), name, workers: workers.to_string() }
    }

    /// One more element.
    pub fn rig(&self) -> Rig {
        self.rig_with(&[])
    }

    pub fn rig_with(&self, properties: &[(&str, &str)]) -> Rig {
        let shared = [("worker-group", self.name.as_str()), ("workers", self.workers.as_str())];
        Rig::new(&self.stub, &shared.into_iter().chain(properties.to_vec()).collect::<Vec<_>>())
    }

    /// One more element, under full load.
    pub fn load(&self) -> Load {
        Load::new(self.rig().harness, vec![gst::Buffer::from_slice([1, 2, 3])])
    }

    /// What a worker is started with.
    pub fn command(&self) -> String {
        format!("'{}' {}", env!("CARGO_BIN_EXE_orion-stub-worker"), self.stub)
    }

    /// The group's processes.
    pub fn processes(&self) -> Vec<u32> {
        let found = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let ours = line.split(|byte| *byte == 0).any(|arg| arg == self.name.as_bytes());
            entry.file_name().to_str()?.parse().ok().filter(|_| ours)
        });
        found.collect()
    }
}

pub fn stop(rig: &Rig) {
    rig.element().set_state(gst::State::Null).unwrap();
}

/// One frame through the element; its result.
pub fn one(rig: &mut Rig) -> serde_json::Value {
    rig.push().unwrap();
    rig.pull()
}

/// What was received, and whether the book adds up with nothing inside.
pub fn adds_up(stats: &gst::Structure) -> bool {
    let count = |field: &str| stats.get::<u64>(field).unwrap();
    let dropped: gst::Structure = stats.get("dropped").unwrap();
    let dropped: u64 = dropped.iter().map(|(_, n)| n.get::<u64>().unwrap()).sum();
    count("in-flight") == 0 && count("received") == count("forwarded") + dropped
}
