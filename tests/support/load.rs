// SPDX-License-Identifier: MPL-2.0
//! A full load on `orionpyinfer`: a thread pushes frames as fast as they are taken. Needs `support/rig.rs` beside it.

#![allow(dead_code)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use gst::prelude::*;
use gst_check::Harness;
use gstorion::meta;

use crate::rig::{alive, until};

pub struct Load {
    pub harness: Harness,
    pusher: Option<thread::JoinHandle<u64>>,
    stop: Arc<AtomicBool>,
    /// Sequence number of the next result.
    pub next: u64,
}

impl Load {
    /// Pushes the pictures over and over into a harness that plays.
    pub fn new(harness: Harness, pictures: Vec<gst::Buffer>) -> Self {
        let pad = harness.element().unwrap().static_pad("sink").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let pusher = thread::spawn(move || {
            let mut pushed = 0;
            for picture in pictures.iter().cycle() {
                if ended.load(Ordering::Relaxed) || pad.chain(picture.copy()).is_err() {
                    break;
                }
                pushed += 1;
            }
            pushed
        });
        Self { harness, pusher: Some(pusher), stop, next: 0 }
    }

    pub fn element(&self) -> gst::Element {
        self.harness.element().unwrap()
    }

    pub fn stats(&self) -> gst::Structure {
        self.element().property("stats")
    }

    pub fn count(&self, field: &str) -> u64 {
        self.stats().get(field).unwrap()
    }

    pub fn pids(&self) -> Vec<u32> {
        let workers: gst::Array = self.stats().get("workers").unwrap();
        workers.iter().map(|worker| worker.get::<gst::Structure>().unwrap().get("pid").unwrap()).collect()
    }

    /// Waits for the next result, which has to be that of the next frame; the size of the model that it comes from.
    pub fn result(&mut self) -> String {
        let buffer = self.harness.pull().expect("a result comes");
        assert_eq!(meta::frame(&buffer).unwrap().seq, self.next, "no frame is missing and none comes twice");
        self.next += 1;
        let result: serde_json::Value = serde_json::from_str(&meta::inferences(&buffer)[0].result).unwrap();
        result["data"]["metadata"]["model_size"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for the first result of that model.
    pub fn until_size(&mut self, wanted: &str) {
        while self.result() != wanted {}
    }

    /// Stops pushing, once: every frame that went in has to come out.
    pub fn finish(&mut self) {
        let Some(pusher) = self.pusher.take() else { return };
        self.stop.store(true, Ordering::Relaxed);
        while !pusher.is_finished() {
            // Whoever pushes may wait for room.
            if self.harness.try_pull().is_some() {
                self.next += 1;
            }
        }
        let pushed = pusher.join().unwrap();
        while self.next < pushed {
            self.result();
        }
        until("the book is settled", || self.count("in-flight") == 0);
        assert_eq!((self.count("received"), self.count("forwarded")), (pushed, pushed), "{}", self.stats());
    }

    /// Ends it: every frame that went in has to come out, and no process may be left.
    pub fn end(mut self) {
        self.finish();
        let pids = self.pids();
        self.element().set_state(gst::State::Null).unwrap();
        assert!(!pids.iter().any(|pid| alive(*pid)), "no process is left");
    }
}
