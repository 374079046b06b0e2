// SPDX-License-Identifier: MPL-2.0
//! Sources that are built anew again and again while what is behind them goes on: RTSP cameras and recordings in a loop.

mod chain;
mod entry;
mod fault;
mod keeper;
mod knock;
mod login;
mod reel;
mod rtsp;
mod steady;

use std::sync::Arc;

use gst::prelude::*;
use orion_core::camera::LossCause;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};

use self::{entry::Entry, keeper::Keeper, reel::Reel};
pub(crate) use self::{
    fault::{Fault, fault},
    rtsp::words,
};
use crate::{
    config::{Config, SourceKind},
    inlet::Inlet,
    pipeline::Note,
    source::{self, SourceError},
};

/// What happened at a source of this number.
#[derive(Debug)]
pub(crate) enum Told {
    /// The pipeline runs.
    Begin,
    /// Connect with these settings from now on.
    Renew(Box<Config>),
    /// The first packet came.
    Packets(u64),
    /// Nothing of what it offers can be decoded, unless more follows.
    Offers(u64, String),
    /// The first frame is there, and waits to be let in.
    Waits(u64),
    /// The first frame came in.
    Linked(u64),
    /// No more frames come.
    Ended(u64),
    /// It failed.
    Failed(u64, LossCause, String),
    /// It cannot work on this machine.
    Broken(u64, String),
}

/// What keeps a source alive; ends with this value.
pub(crate) struct Feeder {
    told: UnboundedSender<Told>,
    kind: SourceKind,
    entry: Entry,
    task: JoinHandle<()>,
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Feeder {
    /// Feeds `pad` of `pipeline` from [`Feeder::begin`] on; for [`SourceKind::Rtsp`] and [`SourceKind::Loop`].
    ///
    /// # Errors
    /// [`SourceError`] names what is missing.
    pub(crate) fn new(
        config: &Config,
        pipeline: &gst::Pipeline,
        pad: gst::Pad,
        inlet: Arc<Inlet>,
        notes: UnboundedSender<Note>,
    ) -> Result<Self, SourceError> {
        let (told, heard): (_, UnboundedReceiver<Told>) = unbounded_channel();
        let entry = Entry::new(pipeline.clone(), pad);
        let kind = config.source();
        let task = match kind {
            SourceKind::Loop => {
                source::check_file(&config.camera.file)?;
                tokio::spawn(Reel::new(config.clone(), entry.clone(), told.clone(), notes).run(heard))
            }
            _ => {
                drop(source::make("rtspsrc", "gstreamer1.0-plugins-good")?);
                tokio::spawn(Keeper::new(config, entry.clone(), told.clone(), inlet, notes).run(heard))
            }
        };
        Ok(Self { told, kind, entry, task })
    }

    /// Where to tell what happens.
    pub(crate) fn told(&self) -> UnboundedSender<Told> {
        self.told.clone()
    }

    /// The pipeline runs.
    pub(crate) fn begin(&self) {
        let _ = self.told.send(Told::Begin);
    }

    /// Connects with other settings from now on; false if the source is not of this kind.
    pub(crate) fn renew(&self, config: &Config) -> bool {
        let fits = self.kind == SourceKind::Rtsp && config.source() == SourceKind::Rtsp;
        fits && self.told.send(Told::Renew(Box::new(config.clone()))).is_ok()
    }

    /// Nothing more is built, and nothing comes in any more.
    pub(crate) fn stop(&self) {
        self.entry.expect(None);
        self.task.abort();
    }
}

/// The name of the source of this number.
fn name(number: u64) -> String {
    format!("{}-{number}", source::NAME)
}

/// The number of the source in which this object is.
pub(crate) fn number(object: &gst::Object) -> Option<u64> {
    std::iter::successors(Some(object.clone()), |object| object.parent())
        .find_map(|object| object.name().strip_prefix(source::NAME)?.strip_prefix('-')?.parse().ok())
}
