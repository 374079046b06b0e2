// SPDX-License-Identifier: MPL-2.0
//! The running pipeline: source bin, gate, and what comes behind.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gst::prelude::*;
use gstorion::message::{SwapEvent, WorkerEvent};
use orion_core::{
    ledger::{Cause, Ledger},
    rate::RateGate,
};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    config::Config,
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
    /// The source cannot be reached or read (any more).
    SourceError(String),
    /// It goes on.
    Warning { element: String, text: String },
    /// Worth knowing.
    Info { element: String, text: String },
    /// About a worker process.
    Worker(WorkerEvent),
    /// About the replacement of the workers by others.
    Swap(SwapEvent),
}

/// The frames of the source: when they came, and which the gate let pass.
#[derive(Debug)]
pub(crate) struct Inlet {
    state: Mutex<InletState>,
    created: Instant,
}

#[derive(Debug, Default)]
struct InletState {
    gate: RateGate,
    ledger: Ledger,
    last: Option<Instant>,
}

impl Inlet {
    fn new(rate: Option<f64>) -> Self {
        let mut state = InletState::default();
        state.gate.set_rate(rate.unwrap_or(0.0));
        Self { state: Mutex::new(state), created: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, InletState> {
        // Plain numbers: a panic elsewhere leaves them usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this frame passes.
    fn admit(&self, pts: Option<gst::ClockTime>) -> bool {
        let mut state = self.lock();
        state.last = Some(Instant::now());
        state.ledger.receive();
        let pass = state.gate.admit(pts.map(gst::ClockTime::nseconds));
        if pass {
            state.ledger.forward();
        } else {
            state.ledger.drop_frame(Cause::RateLimit);
        }
        pass
    }

    /// What became of the frames.
    pub(crate) fn ledger(&self) -> Ledger {
        self.lock().ledger
    }

    /// How long ago the last frame came; none before the first.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.lock().last.map(|last| last.elapsed())
    }

    /// How long no frame has come, the time before the first included.
    pub(crate) fn silence(&self) -> Duration {
        self.age().unwrap_or_else(|| self.created.elapsed())
    }
}

/// A pipeline that stops with this value.
pub(crate) struct Pipeline {
    pipeline: gst::Pipeline,
    entry: Option<gst::Pad>,
    inlet: Arc<Inlet>,
    notes: mpsc::UnboundedReceiver<Note>,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Pipeline {
    /// Builds it; `broker` is the address results go to.
    ///
    /// # Errors
    /// [`PipelineError`] names what is missing or wrong.
    pub(crate) fn build(config: &Config, broker: &str) -> Result<Self, PipelineError> {
        let inlet = Arc::new(Inlet::new(config.rate().filter(|_| config.pipeline.is_empty())));
        let (pipeline, entry, watched) = if config.pipeline.is_empty() {
            let source = source::build(config)?;
            let tail = gst::parse::bin_from_description_with_name(&launch::tail(config, broker), true, "orion");
            let tail = tail.map_err(PipelineError::Build)?;
            let pipeline = gst::Pipeline::new();
            pipeline.add_many([source.upcast_ref::<gst::Element>(), tail.upcast_ref()])?;
            source.link_pads(Some("src"), &tail, Some("sink"))?;
            (pipeline, tail.static_pad("sink"), source.static_pad("src"))
        } else {
            let element = gst::parse::launch(&config.pipeline).map_err(PipelineError::Text)?;
            let pipeline = element.downcast::<gst::Pipeline>().or_else(|single| {
                let pipeline = gst::Pipeline::new();
                pipeline.add(&single).map(|()| pipeline)
            })?;
            let first = first_of_ours(&pipeline).and_then(|element| element.static_pad("sink"));
            (pipeline, None, first)
        };
        if let Some(pad) = watched {
            let inlet = inlet.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                let pts = info.buffer().and_then(|buffer| buffer.pts());
                if inlet.admit(pts) { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
            });
        }
        let (sender, notes) = mpsc::unbounded_channel();
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                if let Some(note) = note(message) {
                    // Nobody listens any more once the daemon has left its loop.
                    let _ = sender.send(note);
                }
                gst::BusSyncReply::Drop
            });
        }
        Ok(Self { pipeline, entry, inlet, notes })
    }

    /// Lets it run.
    ///
    /// # Errors
    /// An element refuses; the reason comes with [`Pipeline::next`].
    pub(crate) fn play(&self) -> Result<(), PipelineError> {
        self.pipeline.set_state(gst::State::Playing).map(|_| ()).map_err(|_| PipelineError::Start)
    }

    /// What it says next.
    pub(crate) async fn next(&mut self) -> Note {
        // The sender lives in the bus, which lives as long as the pipeline.
        self.notes.recv().await.unwrap_or(Note::End)
    }

    /// The frames of its source.
    pub(crate) fn inlet(&self) -> &Arc<Inlet> {
        &self.inlet
    }

    /// Its Orion elements, in the order of the stream.
    pub(crate) fn ours(&self) -> Vec<gst::Element> {
        ours(&self.pipeline)
    }

    /// Takes no more frames and lets those in hand come to their end, which is told by [`Note::End`]. Does not wait.
    pub(crate) fn finish(&self) {
        let (pipeline, entry) = (self.pipeline.clone(), self.entry.clone());
        // It may wait for a frame that is on its way through the elements.
        tokio::task::spawn_blocking(move || match entry {
            Some(entry) => entry.send_event(gst::event::Eos::new()),
            None => pipeline.send_event(gst::event::Eos::new()),
        });
    }

    /// Stops all elements, within `limit`; says whether they did.
    pub(crate) async fn stop(&self, limit: Duration) -> bool {
        let pipeline = self.pipeline.clone();
        let stopped = tokio::task::spawn_blocking(move || pipeline.set_state(gst::State::Null).is_ok());
        matches!(tokio::time::timeout(limit, stopped).await, Ok(Ok(true)))
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

fn note(message: &gst::Message) -> Option<Note> {
    let element = || message.src().map_or_else(|| "pipeline".to_owned(), |src| src.name().to_string());
    Some(match message.view() {
        gst::MessageView::Eos(_) => Note::End,
        gst::MessageView::Error(error)
            if error.error().is::<gst::ResourceError>() && message.src().is_some_and(is_in_source) =>
        {
            // The last line of the details says more, such as why connecting failed.
            let details = error.debug().and_then(|debug| debug.lines().last().map(str::to_owned));
            Note::SourceError(format!("{} {}", error.error(), details.unwrap_or_default()))
        }
        gst::MessageView::Error(error) => Note::Error {
            element: element(),
            text: error.error().to_string(),
            details: error.debug().map_or_else(String::new, |debug| debug.to_string()),
        },
        gst::MessageView::Warning(warning) => Note::Warning { element: element(), text: warning.error().to_string() },
        gst::MessageView::Info(info) => Note::Info { element: element(), text: info.error().to_string() },
        gst::MessageView::Element(_) => match SwapEvent::parse(message) {
            Some(swap) => Note::Swap(swap),
            None => Note::Worker(WorkerEvent::parse(message)?),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_counts_what_it_drops_as_rate_limit() {
        let inlet = Inlet::new(Some(10.0));
        assert_eq!(inlet.age(), None);
        let passed = (0..60).filter(|n| inlet.admit(Some(gst::ClockTime::from_mseconds(n * 1000 / 30)))).count() as u64;
        let ledger = inlet.ledger();
        assert_eq!((ledger.received(), ledger.forwarded(), ledger.in_flight()), (60, passed, 0));
        assert_eq!(ledger.dropped().get(Cause::RateLimit), 60 - passed);
        assert!((19..=21).contains(&passed) && inlet.age().is_some());
    }
}
