// SPDX-License-Identifier: MPL-2.0
//! The daemon: starts the parts, watches them, and stops them within a time.

mod fleet;
mod leaving;
mod stop;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    task::Poll,
    time::{Duration, Instant},
};

use gstorion::orionmqttsink::{Endpoint, EndpointError};
use thiserror::Error;

use self::leaving::Leaving;
use crate::{
    broker::{Broker, BrokerError},
    config::{Config, ConfigError, masked},
    control::{Link, Reception},
    home_assistant,
    http::{BindError, Http},
    logging,
    metrics::{Metrics, Stages},
    notify::{Notifier, Sight},
    overview::Overview,
    page::{Hub, Page, PageError},
    pipeline::Note,
    sensor::{Sensor, SensorError},
    stats_line::StatsLines,
};

/// How often is looked at what is under way.
const LOOK: Duration = Duration::from_millis(200);

/// Why the daemon does not run, or no longer.
#[derive(Debug, Error)]
pub(crate) enum DaemonError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("mqtt: {0}")]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Sensor(#[from] SensorError),
    #[error(transparent)]
    Http(#[from] BindError),
    #[error(transparent)]
    Page(#[from] PageError),
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

/// A camera that cannot be watched.
struct Broken {
    reason: String,
    /// When it is tried again.
    again: Instant,
}

/// Everything that runs. The order of the fields is the order in which they end.
pub(crate) struct Daemon {
    http: Option<Http>,
    /// By instance id.
    sensors: BTreeMap<String, Sensor>,
    /// Cameras that cannot be watched now.
    broken: BTreeMap<String, Broken>,
    /// Cameras that are being removed, or cannot be watched any more.
    leaving: Leaving,
    overview: Overview,
    /// None = nobody asks for the times of the frames, so they are not noted.
    stages: Option<Stages>,
    notifier: Notifier,
    lines: StatsLines,
    /// Of a daemon with a list of cameras.
    reception: Option<Reception>,
    link: Link,
    broker: Option<Broker>,
    broker_uri: String,
    config: Config,
    started: Instant,
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
        let longest_wait = Duration::from_secs_f64(config.mqtt.max_reconnect_interval_s);
        let (mqtt, id) = (&config.mqtt, &config.instance_id);
        let link = Link::start(
            endpoint(config, &broker_uri),
            &mqtt.prefix,
            id,
            longest_wait,
            home_assistant::Hub::of(config),
        )?;
        let scraped = config.http.metrics && !config.http.bind.is_empty();
        let stages = scraped.then(Stages::default);
        let mut sensors = BTreeMap::new();
        for config in config.sensors() {
            let sensor = Sensor::build(&config, &broker_uri, link.voice(&config.instance_id), stages.as_ref())?;
            sensors.insert(config.instance_id, sensor);
        }
        let reception = config.is_fleet().then(|| Reception::new(link.voice(id)));
        let overview = Overview::default();
        overview.set(sensors.values().map(Sensor::status).cloned().collect());
        let http = match config.http.bind.as_str() {
            "" => None,
            bind => {
                let metrics = stages.as_ref().map(|stages| Metrics::new(overview.clone(), stages));
                let hub = || Hub::new(overview.clone(), link.window(), Page::shows_pictures(config));
                let page = Page::new(&config.http.page, hub)?;
                let overview = overview.clone();
                Some(Http::start(bind, move || overview.readiness(), metrics, page).await?)
            }
        };
        let mut daemon = Self {
            http,
            sensors,
            broken: BTreeMap::new(),
            leaving: Leaving::default(),
            overview,
            stages,
            notifier: Notifier::new(),
            lines: StatsLines::default(),
            reception,
            link,
            broker: None,
            broker_uri,
            config: config.clone(),
            started: Instant::now(),
            reason: String::new(),
        };
        for id in daemon.sensors.keys().cloned().collect::<Vec<_>>() {
            if let Some(sensor) = daemon.sensors.get_mut(&id)
                && let Err(error) = sensor.play().await
            {
                daemon.failed(&id, error)?;
            }
        }
        if let Some(reception) = &mut daemon.reception {
            reception.changed(&daemon.config);
        }
        Ok(daemon)
    }

    /// Where results go.
    pub(crate) fn broker_uri(&self) -> &str {
        &self.broker_uri
    }

    /// The state of everything.
    pub(crate) fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Where the state can be read.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Http::address)
    }

    /// Where the live page is, if it is served.
    pub(crate) fn page_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().filter(|http| http.has_page()).map(Http::address)
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
        self.reason = match &ended {
            Ok(why) => why.as_str().to_owned(),
            Err(error) => masked(&error.to_string()),
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
                (id, note) = next(&mut self.sensors) => {
                    match self.sensors.get_mut(&id).map(|sensor| sensor.heard(note)) {
                        Some(Err(error)) => self.failed(&id, error)?,
                        // The others may be at work still.
                        Some(Ok(true)) if self.sensors.values().all(Sensor::is_over) => return Ok(Why::End),
                        _ => {}
                    }
                }
                heard = self.link.next() => {
                    if self.hear(&heard).await {
                        return Ok(Why::Command);
                    }
                }
                config = reload() => {
                    self.notifier.reloading();
                    self.reload(config).await;
                    self.notifier.reloaded();
                }
                error = failed(&mut self.broker) => return Err(error.into()),
                Some(left) = self.leaving.next() => self.left(left, None),
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Tells systemd and the log how it goes.
    fn tell(&mut self) {
        let now = Instant::now();
        let interval = Duration::from_secs_f64(self.config.log.stats_interval_s);
        let since = self.lines.told().unwrap_or(self.started);
        let lines = !interval.is_zero() && now.saturating_duration_since(since) >= interval;
        if !lines && !self.notifier.is_due() {
            return;
        }
        let cameras: Vec<_> = self.sensors.values().map(|sensor| sensor.status().snapshot()).collect();
        if lines {
            self.lines.lines(now, &cameras).iter().for_each(|line| tracing::info!("{line}"));
            if let Some(lost) = logging::lost() {
                tracing::warn!("{lost} lines of the log were lost so far: nobody read them in time");
            }
        }
        if self.notifier.is_due() {
            let sights = self.sensors.values().zip(&cameras);
            let sights =
                sights.map(|(sensor, camera)| (camera.instance_id.clone(), Sight::of(camera, sensor.is_wanted())));
            self.notifier.look(self.overview.readiness().verdict(), &sights.collect());
        }
    }
}

/// What any of the pipelines says next.
async fn next(sensors: &mut BTreeMap<String, Sensor>) -> (String, Note) {
    std::future::poll_fn(|context| {
        let ready = sensors.iter_mut().find_map(|(id, sensor)| match sensor.poll(context) {
            Poll::Ready(note) => Some((id.clone(), note)),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
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
