// SPDX-License-Identifier: MPL-2.0
//! The running pipeline: source bin, gate, and what comes behind.

use std::{
    cell::Cell,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use gst::prelude::*;
use gstorion::message::{SettingEvent, SwapEvent, WorkerEvent};
use orion_core::{camera::LossCause, warmup::WarmupReport};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    camera::{self, Fault, Feeder, Told},
    config::{Config, SourceKind},
    inlet::Inlet,
    launch,
    source::{self, SourceError},
};

/// Why there is no pipeline.
#[derive(Debug, Error)]
pub(crate) enum PipelineError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the pipeline cannot be built: {0}")]
    Build(gst::glib::Error),
    #[error("pipeline: {0}")]
    Text(gst::glib::Error),
    #[error("the pipeline cannot be put together: {0}")]
    Link(#[from] gst::glib::BoolError),
    #[error("the pipeline does not start")]
    Start,
}

/// What a pipeline says.
#[derive(Debug)]
pub(crate) enum Note {
    /// All is done.
    End,
    /// It cannot go on.
    Error { element: String, text: String, details: String },
    /// The recording cannot be read (any more).
    SourceError(String),
    /// It goes on.
    Warning { element: String, text: String },
    /// Worth knowing.
    Info { element: String, text: String },
    /// The stream of the camera is lost, or for another cause now; it is connected again and again.
    StreamLost { cause: LossCause, detail: String, epoch: u64 },
    /// It is there again, so long after it was lost.
    StreamRestored { after: Duration, epoch: u64 },
    /// The camera was measured; frames pass from now on.
    WarmedUp(WarmupReport),
    /// About a worker process of an element.
    Worker { element: String, event: WorkerEvent },
    /// About the replacement of an element's workers by others.
    Swap { element: String, event: SwapEvent },
    /// About a setting that an element's workers were told of.
    Setting { element: String, event: SettingEvent },
}

/// A pipeline that stops with this value.
pub(crate) struct Pipeline {
    pipeline: gst::Pipeline,
    entry: Option<gst::Pad>,
    feeder: Option<Feeder>,
    inlet: Arc<Inlet>,
    notes: mpsc::UnboundedReceiver<Note>,
    /// It is being stopped, or was.
    stopping: Cell<bool>,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // A stop that hangs is left to its thread, which holds the elements: nobody waits for it again.
        if !self.stopping.get() {
            let _ = self.pipeline.set_state(gst::State::Null);
        }
    }
}

impl Pipeline {
    /// Builds it; `broker` is the address results go to.
    ///
    /// # Errors
    /// [`PipelineError`] names what is missing or wrong.
    pub(crate) fn build(config: &Config, broker: &str) -> Result<Self, PipelineError> {
        let (sender, notes) = mpsc::unbounded_channel();
        let rate = config.rate().filter(|_| config.own_pipeline().is_none());
        let warmup = Duration::from_secs_f64(config.stream.warmup_duration_s);
        let inlet = Arc::new(Inlet::new(rate, warmup, sender.clone()));
        if let Some(text) = config.own_pipeline() {
            let element = gst::parse::launch(text).map_err(PipelineError::Text)?;
            let pipeline = element.downcast::<gst::Pipeline>().or_else(|single| {
                let pipeline = gst::Pipeline::new();
                pipeline.add(&single).map(|()| pipeline)
            })?;
            if let Some(pad) = first_of_ours(&pipeline).and_then(|element| element.static_pad("sink")) {
                inlet.clone().watch(&pad);
            }
            listen(&pipeline, sender, None);
            return Ok(Self { pipeline, entry: None, feeder: None, inlet, notes, stopping: Cell::new(false) });
        }
        let tail = gst::parse::bin_from_description_with_name(&launch::tail(config, broker), true, "orion");
        let tail = tail.map_err(PipelineError::Build)?;
        let pipeline = gst::Pipeline::new();
        pipeline.add(&tail)?;
        let entry = tail.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("nothing takes frames"))?;
        inlet.clone().watch(&entry);
        let feeder = match config.source() {
            SourceKind::Rtsp | SourceKind::Loop => {
                Some(Feeder::new(config, &pipeline, entry.clone(), inlet.clone(), sender.clone())?)
            }
            SourceKind::File | SourceKind::Test => {
                let source = source::build(config)?;
                pipeline.add(&source)?;
                source.link_pads(Some("src"), &tail, Some("sink"))?;
                None
            }
        };
        listen(&pipeline, sender, feeder.as_ref().map(Feeder::told));
        Ok(Self { pipeline, entry: Some(entry), feeder, inlet, notes, stopping: Cell::new(false) })
    }

    /// Lets it run.
    ///
    /// # Errors
    /// An element refuses; the reason comes with [`Pipeline::next`].
    pub(crate) fn play(&self) -> Result<(), PipelineError> {
        self.pipeline.set_state(gst::State::Playing).map_err(|_| PipelineError::Start)?;
        if let Some(feeder) = &self.feeder {
            feeder.begin();
        }
        Ok(())
    }

    /// Connects to the camera with these settings from now on; false if that needs another start of the daemon, because a
    /// source that is no RTSP camera would have to become one, or the other way round.
    pub(crate) fn set_camera(&mut self, config: &Config) -> bool {
        self.feeder.as_ref().is_some_and(|feeder| feeder.renew(config))
    }

    /// What it says next.
    pub(crate) async fn next(&mut self) -> Note {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// What it says next, if it says something now.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Note> {
        // The sender lives in the bus, which lives as long as the pipeline.
        self.notes.poll_recv(context).map(|note| note.unwrap_or(Note::End))
    }

    /// The frames of its source.
    pub(crate) fn inlet(&self) -> &Arc<Inlet> {
        &self.inlet
    }

    /// What sets the size of frames; none in a pipeline of somebody's own.
    pub(crate) fn size(&self) -> Option<gst::Element> {
        self.entry.as_ref().and_then(|_| self.pipeline.by_name(launch::SIZE))
    }

    /// Its Orion elements, in the order of the stream.
    pub(crate) fn ours(&self) -> Vec<gst::Element> {
        ours(&self.pipeline)
    }

    /// Takes no more frames and lets those in hand come to their end, which is told by [`Note::End`]. Does not wait.
    pub(crate) fn finish(&self) {
        if let Some(feeder) = &self.feeder {
            feeder.stop();
        }
        let (pipeline, entry) = (self.pipeline.clone(), self.entry.clone());
        // It may wait for a frame that is on its way through the elements.
        tokio::task::spawn_blocking(move || match entry {
            Some(entry) => entry.send_event(gst::event::Eos::new()),
            None => pipeline.send_event(gst::event::Eos::new()),
        });
    }

    /// Stops all elements, within `limit`, beginning at once; says whether they did.
    pub(crate) fn stop(&self, limit: Duration) -> impl Future<Output = bool> + use<> {
        if let Some(feeder) = &self.feeder {
            feeder.stop();
        }
        self.stopping.set(true);
        let pipeline = self.pipeline.clone();
        let stopped = tokio::task::spawn_blocking(move || pipeline.set_state(gst::State::Null).is_ok());
        async move { matches!(tokio::time::timeout(limit, stopped).await, Ok(Ok(true))) }
    }
}

fn ours(pipeline: &gst::Pipeline) -> Vec<gst::Element> {
    let mut elements: Vec<_> = pipeline
        .iterate_recurse()
        .into_iter()
        .flatten()
        .filter(|e| e.factory().is_some_and(|f| f.name().starts_with("orion")))
        .collect();
    let rank =
        |e: &gst::Element| ["orionroi", "orionpyinfer", "orionmqttsink"].iter().position(|name| source::is(e, name));
    elements.sort_by_key(rank);
    elements
}

fn first_of_ours(pipeline: &gst::Pipeline) -> Option<gst::Element> {
    ours(pipeline).into_iter().next()
}

fn is_in_source(element: &gst::Object) -> bool {
    std::iter::successors(Some(element.clone()), |object| object.parent()).any(|object| object.name() == source::NAME)
}

/// What the pipeline says becomes notes; what its sources say goes to who keeps them alive, if anybody does.
fn listen(pipeline: &gst::Pipeline, notes: mpsc::UnboundedSender<Note>, told: Option<mpsc::UnboundedSender<Told>>) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        let number = message.src().and_then(camera::number);
        match (&told, number) {
            (Some(told), Some(number)) => {
                if let Some(said) = said(number, message) {
                    // Nobody listens once the daemon stops.
                    let _ = told.send(said);
                }
            }
            _ => {
                if let Some(note) = note(message) {
                    // Nobody listens any more once the daemon has left its loop.
                    let _ = notes.send(note);
                }
            }
        }
        gst::BusSyncReply::Drop
    });
}

/// What a source of this number says.
fn said(number: u64, message: &gst::Message) -> Option<Told> {
    match message.view() {
        gst::MessageView::Error(error) => {
            let details = error.debug().map_or_else(String::new, |debug| debug.to_string());
            let text = camera::words(&error.error(), &details);
            Some(match camera::fault(&error.error(), &details) {
                Fault::Camera(cause) => Told::Failed(number, cause, text),
                Fault::Installation => Told::Broken(number, text),
            })
        }
        gst::MessageView::Warning(warning) => {
            // What it leads to is told by an end or an error.
            tracing::debug!("connection {number}: {}", warning.error());
            None
        }
        _ => None,
    }
}

fn note(message: &gst::Message) -> Option<Note> {
    let element = || message.src().map_or_else(|| "pipeline".to_owned(), |src| src.name().to_string());
    Some(match message.view() {
        gst::MessageView::Eos(_) => Note::End,
        gst::MessageView::Error(error)
            if error.error().is::<gst::ResourceError>() && message.src().is_some_and(is_in_source) =>
        {
            Note::SourceError(camera::words(&error.error(), &error.debug().unwrap_or_default()))
        }
        gst::MessageView::Error(error) => Note::Error {
            element: element(),
            text: error.error().to_string(),
            details: error.debug().map_or_else(String::new, |debug| debug.to_string()),
        },
        gst::MessageView::Warning(warning) => Note::Warning { element: element(), text: warning.error().to_string() },
        gst::MessageView::Info(info) => Note::Info { element: element(), text: info.error().to_string() },
        gst::MessageView::Element(_) => {
            let element = element();
            if let Some(event) = SwapEvent::parse(message) {
                Note::Swap { element, event }
            } else if let Some(event) = SettingEvent::parse(message) {
                Note::Setting { element, event }
            } else {
                Note::Worker { element, event: WorkerEvent::parse(message)? }
            }
        }
        _ => return None,
    })
}
