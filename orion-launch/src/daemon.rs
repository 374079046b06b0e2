// SPDX-License-Identifier: MPL-2.0
//! The daemon: starts the parts, watches them, and stops them within a time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    broker::{Broker, BrokerError},
    config::{Config, SourceKind, masked},
    http::{BindError, Http},
    pipeline::{Note, Pipeline, PipelineError},
    status::{Book, Status},
};

/// A live source without frames for longer is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The least time for what comes last, however late it is.
const LEAST: Duration = Duration::from_millis(300);

/// Why the daemon does not run, or no longer.
#[derive(Debug, Error)]
pub(crate) enum DaemonError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Http(#[from] BindError),
    #[error("{element}: {text}")]
    Element { element: String, text: String },
    #[error("camera: {0}")]
    Source(String),
    #[error("the stream of the camera is lost: {0}")]
    StreamLost(String),
}

impl DaemonError {
    /// The exit code that `--help` documents.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::StreamLost(_) => 3,
            _ => 1,
        }
    }
}

/// Everything that runs. The order of the fields is the order in which they end.
pub(crate) struct Daemon {
    http: Option<Http>,
    pipeline: Pipeline,
    status: Status,
    broker: Option<Broker>,
    broker_uri: String,
    source: SourceKind,
    /// The camera's name in messages, without a password.
    camera: String,
    shutdown_timeout: Duration,
    /// Nothing more comes out of the pipeline.
    over: bool,
}

impl Daemon {
    /// Starts all parts: the broker first, the camera last.
    ///
    /// # Errors
    /// [`DaemonError`] of the part that cannot start; the others are stopped again.
    pub(crate) async fn start(config: &Config) -> Result<Self, DaemonError> {
        let broker = match config.mqtt.broker() {
            Some((host, port)) if config.mqtt.embedded => Some(Broker::start(host, port).await?),
            _ => None,
        };
        let broker_uri = match &broker {
            Some(broker) => format!("mqtt://{}", broker.address()),
            None => config.mqtt.uri.clone(),
        };
        match Self::assemble(config, broker_uri).await {
            Ok(daemon) => Ok(Self { broker, ..daemon }),
            Err(error) => {
                if let Some(broker) = broker {
                    broker.stop().await;
                }
                Err(error)
            }
        }
    }

    /// Everything but the broker.
    async fn assemble(config: &Config, broker_uri: String) -> Result<Self, DaemonError> {
        let pipeline = Pipeline::build(config, &broker_uri)?;
        // A pipeline of the user's own may be anything: it is not expected to be live.
        let source = if config.pipeline.is_empty() { config.source() } else { SourceKind::File };
        let status = Status {
            instance_id: config.instance_id.clone(),
            broker_uri: broker_uri.clone(),
            source,
            inlet: pipeline.inlet().clone(),
            elements: pipeline.ours(),
            started: Instant::now(),
        };
        let http = match config.http.bind.as_str() {
            "" => None,
            bind => Some(Http::start(bind, status.clone()).await?),
        };
        let camera = match config.source() {
            SourceKind::Rtsp => masked(&config.camera.rtsp_url),
            SourceKind::File => config.camera.file.clone(),
            SourceKind::Test => "test picture".into(),
        };
        let shutdown_timeout = Duration::from_secs_f64(config.shutdown_timeout_s);
        let mut daemon =
            Self { http, pipeline, status, broker: None, broker_uri, source, camera, shutdown_timeout, over: false };
        daemon.play().await?;
        Ok(daemon)
    }

    async fn play(&mut self) -> Result<(), DaemonError> {
        let Err(refused) = self.pipeline.play() else {
            return Ok(());
        };
        // The element's own words say more; they are on the bus already.
        let told = tokio::time::timeout(LEAST, async {
            loop {
                if let Err(error) = heard(self.pipeline.next().await) {
                    return error;
                }
            }
        });
        Err(told.await.unwrap_or(refused.into()))
    }

    /// Where results go.
    pub(crate) fn broker_uri(&self) -> &str {
        &self.broker_uri
    }

    /// The state of everything.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// Where the state can be read.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Http::address)
    }

    /// Runs until `stop` is done or a recording is at its end.
    ///
    /// # Errors
    /// Something broke that cannot be mended from here.
    pub(crate) async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
        let ended = self.watch(stop).await;
        // Where the source broke, what is behind it still finishes what it has.
        self.over |= matches!(ended, Err(DaemonError::Element { .. }));
        match ended {
            Err(DaemonError::Source(text)) if self.source.is_live() => {
                Err(DaemonError::StreamLost(format!("{}: {text}", self.camera)))
            }
            ended => ended,
        }
    }

    async fn watch(&mut self, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
        let mut look = tokio::time::interval(LOOK);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                note = self.pipeline.next() => {
                    if heard(note)? {
                        self.over = true;
                        return match self.source.is_live() {
                            true => Err(DaemonError::StreamLost(format!("{}: it ended", self.camera))),
                            false => Ok(()),
                        };
                    }
                }
                error = failed(&mut self.broker) => return Err(error.into()),
                _ = look.tick(), if self.source.is_live() => {
                    if self.status.inlet.silence() > SILENCE_LIMIT {
                        let text = format!("{}: no frame for {} s", self.camera, SILENCE_LIMIT.as_secs());
                        return Err(DaemonError::StreamLost(text));
                    }
                }
            }
        }
    }

    /// Stops all parts within the shutdown timeout, or at once when `hurry` is done: frames in hand are finished and
    /// published, then the elements stop, the broker last. Gives the ledger of each element.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) -> Vec<Book> {
        tracing::info!("stopping, within {:.1?}", self.shutdown_timeout);
        let deadline = Instant::now() + self.shutdown_timeout;
        // A third is kept for the workers' end; the rest is for the frames in hand.
        let drain = self.shutdown_timeout.mul_f64(2.0 / 3.0);
        let mut hurried = false;
        if !self.over {
            self.pipeline.finish();
            let pipeline = &mut self.pipeline;
            let ended = async { while !heard(pipeline.next().await).unwrap_or(true) {} };
            tokio::select! {
                () = ended => {}
                () = tokio::time::sleep(drain) => tracing::warn!("frames in hand were not finished within {drain:.1?}"),
                () = hurry => hurried = true,
            }
        }
        let left = if hurried { LEAST } else { deadline.saturating_duration_since(Instant::now()).max(LEAST) };
        if !self.pipeline.stop(left).await {
            tracing::warn!("the pipeline did not stop within {left:.1?}");
        }
        let books = self.status.snapshot().ledger;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
        books
    }
}

/// Only a broker of our own can fail here.
async fn failed(broker: &mut Option<Broker>) -> BrokerError {
    match broker {
        Some(broker) => broker.failed().await,
        None => std::future::pending().await,
    }
}

/// Logs what the pipeline says; whether it is at its end.
fn heard(note: Note) -> Result<bool, DaemonError> {
    match note {
        Note::End => return Ok(true),
        Note::Error { element, text, details } => {
            tracing::debug!(element, "{details}");
            return Err(DaemonError::Element { element, text });
        }
        Note::SourceError(text) => return Err(DaemonError::Source(text)),
        Note::Warning { element, text } => tracing::warn!("{element}: {text}"),
        Note::Info { element, text } => tracing::info!("{element}: {text}"),
        Note::Worker(worker) => {
            tracing::info!("worker {} (pid {}) {}: {}", worker.index, worker.pid, worker.event, worker.reason);
        }
        Note::Swap(swap) => match swap.applied_at_seq {
            Some(seq) => tracing::info!("workers swapped at frame {seq}, model {}", swap.model_file),
            None => tracing::info!("workers: swap {}: {}", swap.event, swap.reason),
        },
    }
    Ok(false)
}
