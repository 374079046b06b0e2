// SPDX-License-Identifier: MPL-2.0
//! One camera with all that works for it: its pipeline, its configuration in force, its state.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use orion_core::{command::Request, health::Event};
use thiserror::Error;

use crate::{
    book::{self, Book},
    config::{Config, ConfigError, SourceKind},
    control::{Action, Desk, News, Parts, Voice},
    memory,
    metrics::Stages,
    pipeline::{Note, Pipeline, PipelineError},
    record::Record,
    source,
    status::Status,
    vigil::Vigil,
};

/// The least time for what comes last, however late it is.
pub(crate) const LEAST: Duration = Duration::from_millis(300);

/// `orionpyinfer` has ended its workers so long after its `shutdown-timeout` at the latest, and something over.
const WORKERS_END: Duration = Duration::from_secs(3);

/// Why a camera is not watched, or no longer.
#[derive(Debug, Error)]
pub(crate) enum SensorError {
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error("{element}: {text}")]
    Element { element: String, text: String },
    #[error("camera: {0}")]
    Source(String),
}

/// A camera that is watched. It stops with this value.
pub(crate) struct Sensor {
    pipeline: Pipeline,
    desk: Desk,
    news: News,
    status: Status,
    vigil: Vigil,
    /// Nothing more comes out of the pipeline.
    over: bool,
}

impl Sensor {
    /// Builds the pipeline of this configuration; `broker_uri` is where results go.
    ///
    /// # Errors
    /// [`SensorError`] names what is missing or wrong.
    pub(crate) fn build(
        config: &Config,
        broker_uri: &str,
        voice: Voice,
        stages: Option<&Stages>,
    ) -> Result<Self, SensorError> {
        let pipeline = Pipeline::build(config, broker_uri)?;
        // A pipeline of somebody's own may be anything: it is not expected to be live.
        let built = config.own_pipeline().is_none();
        let elements = pipeline.ours();
        for sink in elements.iter().filter(|element| source::is(element, "orionmqttsink")) {
            if let Some(stages) = stages {
                stages.watch(&config.instance_id, sink);
            }
        }
        let status = Status {
            instance_id: config.instance_id.clone(),
            broker_uri: broker_uri.to_owned(),
            source: if built { config.source() } else { SourceKind::File },
            inlet: pipeline.inlet().clone(),
            elements,
            started: Instant::now(),
            record: Record::default(),
        };
        let parts = Parts::new(&status.elements, pipeline.size(), pipeline.inlet().clone(), built);
        parts.hasten(config.shutdown_timeout_s);
        for line in parts.unserved() {
            tracing::warn!("commands that this pipeline cannot serve: {line}");
        }
        let vigil = Vigil::new(config, &status.elements, built, &status);
        let desk = Desk::new(config, parts, status.clone(), voice);
        Ok(Self { pipeline, desk, news: News::default(), status, vigil, over: false })
    }

    /// Lets it run.
    ///
    /// # Errors
    /// An element refuses, in its own words.
    pub(crate) async fn play(&mut self) -> Result<(), SensorError> {
        let Err(refused) = self.pipeline.play() else {
            return Ok(());
        };
        // The element's own words say more; they are on the bus already.
        let told = tokio::time::timeout(LEAST, async {
            loop {
                let note = self.pipeline.next().await;
                if let Err(error) = self.take(note) {
                    return error;
                }
            }
        });
        Err(told.await.unwrap_or(refused.into()))
    }

    /// The state of everything.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> &Config {
        self.desk.config()
    }

    /// Where events are told.
    pub(crate) fn voice(&self) -> &Voice {
        self.desk.voice()
    }

    /// Carries a command out, or begins to; says what the daemon has to do then.
    pub(crate) fn hear(&mut self, request: &Request) -> Option<Action> {
        self.desk.hear(request);
        self.act()
    }

    /// Refuses what is under way because the daemon stops.
    pub(crate) fn leave(&mut self) {
        self.desk.leave();
    }

    /// Refuses a command because the daemon stops.
    pub(crate) fn refuse_late(&mut self, request: &Request) {
        self.desk.refuse_late(request);
    }

    /// Whether this configuration, which was read again, could be in force without another start; changes nothing.
    ///
    /// # Errors
    /// A text that names the keys.
    pub(crate) fn check(&self, read: &Config) -> Result<(), String> {
        self.desk.check(read)
    }

    /// The configuration was read again.
    pub(crate) fn reload(&mut self, read: Result<Config, ConfigError>) {
        self.desk.reload(read);
        self.act();
    }

    /// What its pipeline says next.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Note> {
        self.pipeline.poll(context)
    }

    /// Looks at what is under way.
    pub(crate) fn look(&mut self) {
        self.desk.advance();
        self.act();
        self.vigil.look(&self.desk, &self.status);
    }

    /// Says that nobody looks any more.
    pub(crate) fn take_leave(&mut self) {
        self.vigil.end(self.desk.config(), self.desk.voice(), &self.status);
    }

    /// Whether its frames are to be looked at.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.over && !self.desk.is_paused()
    }

    /// Whether nothing more comes out of the pipeline.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes note of what the pipeline says; whether it is at its end, which only a recording has.
    ///
    /// # Errors
    /// Something broke that cannot be mended from here.
    pub(crate) fn heard(&mut self, note: Note) -> Result<bool, SensorError> {
        let ended = self.take(note);
        self.over |= matches!(ended, Ok(true) | Err(SensorError::Element { .. }));
        self.act();
        ended
    }

    /// What the desk cannot do itself.
    fn act(&mut self) -> Option<Action> {
        let mut left = None;
        for action in self.desk.take_actions() {
            match action {
                Action::Camera => {
                    // Which cameras can be changed was checked before.
                    self.pipeline.set_camera(self.desk.config());
                    self.vigil.await_camera();
                }
                Action::Shutdown => left = Some(action),
            }
        }
        left
    }

    fn take(&mut self, note: Note) -> Result<bool, SensorError> {
        let (desk, news) = (&mut self.desk, &mut self.news);
        match note {
            Note::End => return Ok(true),
            Note::Error { element, text, details } => {
                tracing::debug!(element, "{details}");
                return Err(SensorError::Element { element, text });
            }
            Note::SourceError(text) => return Err(SensorError::Source(text)),
            Note::Warning { element, text } => tracing::warn!("{element}: {text}"),
            Note::Info { element, text } => tracing::info!("{element}: {text}"),
            Note::StreamLost { cause, detail, epoch } => {
                tracing::warn!("the stream of the camera is lost: {}: {detail} (epoch {epoch})", cause.as_str());
                desk.voice().event(Event::StreamLost { cause, detail, epoch });
            }
            Note::StreamRestored { after, epoch } => {
                let after_s = after.as_secs_f64();
                tracing::info!("the stream of the camera is back after {after_s:.1} s (epoch {epoch})");
                desk.voice().event(Event::StreamRestored { after_s, epoch });
                tokio::task::spawn_blocking(memory::give_back);
            }
            Note::WarmedUp(camera) => {
                tracing::info!("warmed up: {} frames, rate {:.2} Hz: {}", camera.frames, camera.rate_hz, camera.reason);
                desk.voice().event(Event::WarmedUp { camera });
                desk.tell_state();
            }
            Note::Worker { element, event } => news.worker(desk, &element, &event),
            Note::Swap { element, event } => news.swap(desk, &element, &event),
            Note::Setting { element, event } => news.setting(desk, &element, &event),
        }
        Ok(false)
    }

    /// Takes no more frames, and finishes those in hand; then it is over.
    pub(crate) fn finish(&mut self) {
        if !self.over {
            self.pipeline.finish();
        }
    }

    /// Ends its worker processes by force, for a stop that cannot wait for them.
    pub(crate) fn kill_workers(&self) {
        let workers = self.status.snapshot().workers;
        for process in workers.iter().flat_map(|worker| &worker.processes) {
            if let Some(pid) = i32::try_from(process.pid).ok().filter(|pid| *pid > 1) {
                // Each leads a group of its own; an error says that it is gone already.
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    /// Finishes what is in hand and stops, within `limit`; with workers that hang it takes up to [`WORKERS_END`] longer.
    pub(crate) async fn end(mut self, limit: Duration) -> Self {
        self.leave();
        self.finish();
        let finished = async {
            while !self.over {
                let note = self.pipeline.next().await;
                // What breaks now is at its end, too.
                let _ = self.heard(note);
            }
        };
        let _ = tokio::time::timeout(limit / 2, finished).await;
        // Whoever takes its place waits for it: it has to be gone, however short the limit is.
        self.stop(limit / 2 + WORKERS_END).await;
        self
    }

    /// Stops all elements, within `limit`, beginning at once. Gives the ledger of each, closed.
    pub(crate) fn stop(&self, limit: Duration) -> impl Future<Output = Vec<Book>> + use<> {
        let (stopped, status) = (self.pipeline.stop(limit), self.status.clone());
        async move {
            if !stopped.await {
                tracing::warn!("{}: the pipeline did not stop within {limit:.1?}", status.instance_id);
            }
            let mut books = status.snapshot().ledger;
            let only = |kind| {
                let mut at = status.elements.iter().enumerate().filter(|(_, element)| source::is(element, kind));
                at.next().filter(|_| at.next().is_none()).map(|(at, _)| at + 1)
            };
            // The book of the source comes before those of the elements. Branches share frames, so there nothing is said.
            if let (Some(from), Some(to)) = (only("orionroi"), only("orionpyinfer"))
                && from < to
            {
                let (before, after) = books.split_at_mut(to);
                book::close(&before[from], &mut after[0]);
            }
            books
        }
    }
}
