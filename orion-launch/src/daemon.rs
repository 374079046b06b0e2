// SPDX-License-Identifier: MPL-2.0
//! The daemon: starts the parts, watches them, and stops them within a time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use gst::prelude::*;
use gstorion::orionmqttsink::{Endpoint, EndpointError};
use orion_core::health::Event;
use thiserror::Error;

use crate::{
    broker::{Broker, BrokerError},
    config::{Config, ConfigError, SourceKind},
    control::{Action, Desk, Link, News, Parts, Topics},
    http::{BindError, Http},
    pipeline::{Note, Pipeline, PipelineError},
    source,
    status::{Book, Status},
};

/// How often is looked at what is under way.
const LOOK: Duration = Duration::from_millis(200);
/// The least time for what comes last, however late it is.
const LEAST: Duration = Duration::from_millis(300);
/// Why the daemon does not run, or no longer.
#[derive(Debug, Error)]
pub(crate) enum DaemonError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("mqtt: {0}")]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Http(#[from] BindError),
    #[error("{element}: {text}")]
    Element { element: String, text: String },
    #[error("camera: {0}")]
    Source(String),
}

/// Why it ended, where nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody at this machine wants it.
    Asked,
    /// The command `shutdown`.
    Command,
    /// The recording is at its end.
    End,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "signal",
            Self::Command => "shutdown command",
            Self::End => "end of the recording",
        }
    }
}

/// Everything that runs. The order of the fields is the order in which they end.
pub(crate) struct Daemon {
    http: Option<Http>,
    pipeline: Pipeline,
    desk: Desk,
    news: News,
    link: Link,
    status: Status,
    broker: Option<Broker>,
    broker_uri: String,
    /// Nothing more comes out of the pipeline.
    over: bool,
    /// Told to those who listen when it stops.
    reason: String,
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
        // A pipeline of somebody's own may be anything: it is not expected to be live.
        let built = config.own_pipeline().is_none();
        let elements = pipeline.ours();
        hasten(&elements, config.shutdown_timeout_s);
        let status = Status {
            instance_id: config.instance_id.clone(),
            broker_uri: broker_uri.clone(),
            source: if built { config.source() } else { SourceKind::File },
            inlet: pipeline.inlet().clone(),
            elements,
            started: Instant::now(),
        };
        let http = match config.http.bind.as_str() {
            "" => None,
            bind => Some(Http::start(bind, status.clone()).await?),
        };
        let topics = Topics::new(&config.mqtt.prefix, &config.instance_id);
        let longest_wait = Duration::from_secs_f64(config.mqtt.max_reconnect_interval_s);
        let link = Link::start(endpoint(config, &broker_uri), topics, longest_wait)?;
        let parts = Parts::new(&status.elements, pipeline.size(), pipeline.inlet().clone(), built);
        for line in parts.unserved() {
            tracing::warn!("commands that this pipeline cannot serve: {line}");
        }
        let desk = Desk::new(config, parts, status.clone(), link.voice().clone());
        let (news, reason) = (News::default(), String::new());
        let mut daemon =
            Self { http, pipeline, desk, news, link, status, broker: None, broker_uri, over: false, reason };
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
                let note = self.pipeline.next().await;
                if let Err(error) = self.heard(note) {
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

    /// Runs until `stop` is done, until it is asked to stop, or until a recording is at its end. `reload` gives the configuration
    /// whenever it is to be read again.
    ///
    /// # Errors
    /// Something broke that cannot be mended from here.
    pub(crate) async fn run(
        &mut self,
        stop: impl Future<Output = ()>,
        reload: impl AsyncFnMut() -> Result<Config, ConfigError>,
    ) -> Result<(), DaemonError> {
        let ended = self.watch(stop, reload).await;
        self.over |= matches!(ended, Err(DaemonError::Element { .. }) | Ok(Why::End));
        self.reason = match &ended {
            Ok(why) => why.as_str().to_owned(),
            Err(error) => error.to_string(),
        };
        ended.map(|_| ())
    }

    async fn watch(
        &mut self,
        stop: impl Future<Output = ()>,
        mut reload: impl AsyncFnMut() -> Result<Config, ConfigError>,
    ) -> Result<Why, DaemonError> {
        let mut look = tokio::time::interval(LOOK);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(Why::Asked),
                note = self.pipeline.next() => {
                    if self.heard(note)? {
                        return Ok(Why::End);
                    }
                }
                request = self.link.next() => self.desk.hear(&request),
                config = reload() => self.desk.reload(config),
                error = failed(&mut self.broker) => return Err(error.into()),
                _ = look.tick() => self.desk.advance(),
            }
            for action in self.desk.take_actions() {
                match action {
                    Action::Shutdown => return Ok(Why::Command),
                    Action::Camera => {
                        // Which cameras can be changed was checked before.
                        self.pipeline.set_camera(self.desk.config());
                    }
                }
            }
        }
    }

    /// Passes on what the pipeline says; whether it is at its end.
    fn heard(&mut self, note: Note) -> Result<bool, DaemonError> {
        let (desk, news) = (&mut self.desk, &mut self.news);
        match note {
            Note::End => return Ok(true),
            Note::Error { element, text, details } => {
                tracing::debug!(element, "{details}");
                return Err(DaemonError::Element { element, text });
            }
            Note::SourceError(text) => return Err(DaemonError::Source(text)),
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

    /// Stops all parts within the shutdown timeout, or at once when `hurry` is done: frames in hand are finished and
    /// published, then the elements stop, then the control plane, the broker last. Gives the ledger of each element.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) -> Vec<Book> {
        let limit = Duration::from_secs_f64(self.desk.config().shutdown_timeout_s);
        tracing::info!("stopping ({}), within {limit:.1?}", self.reason);
        self.desk.voice().event(Event::Stopping { reason: self.reason.clone() });
        let start = Instant::now();
        // The rest is for the ends of the sink and the workers, and for the last words.
        let drain = limit.mul_f64(0.45);
        let mut hurried = false;
        if !self.over {
            self.pipeline.finish();
            tokio::select! {
                () = self.drain() => {}
                () = tokio::time::sleep(drain) => tracing::warn!("frames in hand were not finished within {drain:.1?}"),
                () = hurry => hurried = true,
            }
        }
        let left = |until: Duration| (start + until).saturating_duration_since(Instant::now()).max(LEAST);
        let patience = if hurried { LEAST } else { left(limit.saturating_sub(2 * LEAST)) };
        if !self.pipeline.stop(patience).await {
            tracing::warn!("the pipeline did not stop within {patience:.1?}");
        }
        let books = self.status.snapshot().ledger;
        self.link.close(LEAST).await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
        books
    }

    /// Until the pipeline is at its end; commands are refused meanwhile.
    async fn drain(&mut self) {
        loop {
            tokio::select! {
                note = self.pipeline.next() => {
                    if self.heard(note).unwrap_or(true) {
                        return;
                    }
                }
                request = self.link.next() => self.desk.refuse_late(&request),
            }
        }
    }
}

/// Elements have to end within the daemon's own time.
fn hasten(elements: &[gst::Element], shutdown_timeout_s: f64) {
    let part = |share: f64| (shutdown_timeout_s * share * 1e9) as u64;
    for element in elements {
        if source::is(element, "orionpyinfer") {
            element.set_property("shutdown-timeout", part(0.1));
        } else if source::is(element, "orionmqttsink") {
            element.set_property("drain-timeout", part(0.2));
        }
    }
}

/// The broker as the control plane reaches it.
fn endpoint(config: &Config, broker_uri: &str) -> Endpoint {
    Endpoint {
        uri: broker_uri.to_owned(),
        username: config.mqtt.username.clone(),
        password_file: config.mqtt.password_file.clone(),
        tls_ca_file: config.mqtt.tls.ca_file.clone(),
        tls_cert_file: config.mqtt.tls.cert_file.clone(),
        tls_key_file: config.mqtt.tls.key_file.clone(),
        tls_insecure: config.mqtt.tls.insecure,
        keep_alive: u16::try_from(config.mqtt.keep_alive_s).unwrap_or(u16::MAX),
    }
}

/// Only a broker of our own can fail here.
async fn failed(broker: &mut Option<Broker>) -> BrokerError {
    match broker {
        Some(broker) => broker.failed().await,
        None => std::future::pending().await,
    }
}
