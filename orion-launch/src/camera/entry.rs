// SPDX-License-Identifier: MPL-2.0
//! The place where sources are plugged in, one at a time.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use gst::prelude::*;

/// Old sources that may still be on their way out when the next one is built.
const LINGERING: usize = 3;

/// The pipeline, and the pad of it that takes frames.
#[derive(Clone)]
pub(super) struct Entry {
    pipeline: gst::Pipeline,
    pad: gst::Pad,
    /// The number of the source that may come in. Held while it is linked, so that none comes in once it may not any more.
    expected: Arc<Mutex<Option<u64>>>,
    lingering: Arc<AtomicUsize>,
}

impl Entry {
    pub(super) fn new(pipeline: gst::Pipeline, pad: gst::Pad) -> Self {
        Self { pipeline, pad, expected: Arc::default(), lingering: Arc::default() }
    }

    /// From now on only the source of this number may come in.
    pub(super) fn expect(&self, number: Option<u64>) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = number;
    }

    /// Lets the source of this number in; false if another is expected or it does not fit. Called from its own thread.
    pub(super) fn link(&self, number: u64, source: &gst::Pad) -> bool {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        *expected == Some(number) && source.link(&self.pad).is_ok()
    }

    /// Adds a source and lets it run.
    ///
    /// # Errors
    /// The pipeline refuses it.
    pub(super) fn add(&self, source: &gst::Bin) -> Result<(), gst::glib::BoolError> {
        self.pipeline.add(source)?;
        source.sync_state_with_parent()
    }

    /// Whether so many old sources do not end that no more shall be added.
    pub(super) fn is_crowded(&self) -> bool {
        self.lingering.load(Ordering::Relaxed) > LINGERING
    }

    /// Takes a source out at once. It is stopped by a thread that may wait for it: a frozen camera holds nobody else up.
    pub(super) fn remove(&self, source: gst::Bin) {
        if let Some(pad) = source.static_pad("src")
            && pad.peer().as_ref() == Some(&self.pad)
        {
            // An error says that they are apart already.
            let _ = pad.unlink(&self.pad);
        }
        // What it says from now on nobody hears.
        let _ = self.pipeline.remove(&source);
        let lingering = self.lingering.clone();
        lingering.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || {
            let _ = source.set_state(gst::State::Null);
            drop(source);
            lingering.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// How long frames have been flowing.
    pub(super) fn running_time(&self) -> gst::ClockTime {
        self.pipeline.current_running_time().unwrap_or_default()
    }
}
