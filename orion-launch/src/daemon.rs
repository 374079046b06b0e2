// SPDX-License-Identifier: MPL-2.0
//! The daemon: starts the parts, watches them, and stops them within a time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    task::Poll,
    time::{Duration, Instant},
};

use gstorion::orionmqttsink::{Endpoint, EndpointError};
use orion_core::health::Event;
use thiserror::Error;

use crate::{
    broker::{Broker, BrokerError},
    config::{Config, ConfigError, masked},
    control::{Action, Heard, Link},
    http::{BindError, Http},
    overview::Overview,
    pipeline::Note,
    sensor::{LEAST, Sensor, SensorError},
    status::Book,
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
    /// By instance id.
    sensors: BTreeMap<String, Sensor>,
    overview: Overview,
    link: Link,
    broker: Option<Broker>,
    broker_uri: String,
    config: Config,
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
        let link = Link::start(endpoint(config, &broker_uri), &mqtt.prefix, id, longest_wait)?;
        let mut sensors = BTreeMap::new();
        for config in config.sensors() {
            let sensor = Sensor::build(&config, &broker_uri, link.voice(&config.instance_id))?;
            sensors.insert(config.instance_id, sensor);
        }
        let overview = Overview::default();
        overview.set(sensors.values().map(Sensor::status).cloned().collect());
        let http = match config.http.bind.as_str() {
            "" => None,
            bind => Some(Http::start(bind, overview.clone()).await?),
        };
        let mut daemon = Self {
            http,
            sensors,
            overview,
            link,
            broker: None,
            broker_uri,
            config: config.clone(),
            reason: String::new(),
        };
        for sensor in daemon.sensors.values_mut() {
            sensor.play().await?;
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
                    if self.sensors.get_mut(&id).map(|sensor| sensor.heard(note)).transpose()? == Some(true) {
                        // The others may be at work still.
                        if self.sensors.values().all(Sensor::is_over) {
                            return Ok(Why::End);
                        }
                    }
                }
                heard = self.link.next() => {
                    if self.hear(&heard) {
                        return Ok(Why::Command);
                    }
                }
                config = reload() => self.reload(config),
                error = failed(&mut self.broker) => return Err(error.into()),
                _ = look.tick() => self.sensors.values_mut().for_each(Sensor::look),
            }
        }
    }

    /// Hands a command to whom it is for; whether the daemon is to stop.
    fn hear(&mut self, heard: &Heard) -> bool {
        let concerned = |id: &String| heard.to.as_ref().is_none_or(|to| to == id);
        let sensors = self.sensors.iter_mut().filter(|(id, _)| concerned(id));
        // Each is to answer, even if the first one wants to stop.
        sensors.fold(false, |stop, (_, sensor)| (sensor.hear(&heard.request) == Some(Action::Shutdown)) | stop)
    }

    fn reload(&mut self, read: Result<Config, ConfigError>) {
        for sensor in self.sensors.values_mut() {
            sensor.reload(read.clone());
        }
    }

    /// Stops all parts within the shutdown timeout, or at once when `hurry` is done: frames in hand are finished and
    /// published, then the elements stop, then the control plane, the broker last. Gives the ledger of each element.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) -> Vec<Book> {
        let limit = self.sensors.values().map(|sensor| sensor.config().shutdown_timeout_s).fold(0.0, f64::max);
        let limit = Duration::from_secs_f64(if limit > 0.0 { limit } else { self.config.shutdown_timeout_s });
        tracing::info!("stopping ({}), within {limit:.1?}", self.reason);
        for sensor in self.sensors.values() {
            sensor.voice().event(Event::Stopping { reason: self.reason.clone() });
        }
        let start = Instant::now();
        let least = LEAST.min(limit / 10);
        // The rest is for the ends of the sinks and the workers, and for the last words.
        let drain = limit.mul_f64(0.45);
        tokio::pin!(hurry);
        let mut hurried = false;
        tokio::select! {
            () = self.drain() => {}
            () = tokio::time::sleep(drain) => tracing::warn!("frames in hand were not finished within {drain:.1?}"),
            () = &mut hurry => hurried = true,
        }
        let left = (start + limit).saturating_duration_since(Instant::now()).saturating_sub(2 * least);
        let patience = if hurried { least } else { left.max(least) };
        let stops: Vec<_> = self.sensors.values().map(|sensor| sensor.stop(patience)).collect();
        let stopped = async {
            let mut books = Vec::new();
            // All have begun; the limit is the same for each.
            for stop in stops {
                books.push(stop.await);
            }
            books
        };
        tokio::pin!(stopped);
        let books = tokio::select! {
            books = &mut stopped => books,
            () = &mut hurry, if !hurried => {
                tracing::warn!("stopping at once");
                // Nobody waits for them any more.
                self.sensors.values().map(|sensor| sensor.status().snapshot().ledger).collect()
            }
        };
        self.refuse_rest();
        self.link.close(least).await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
        // Elements have the same names in each pipeline.
        let several = books.len() > 1;
        let named = |(id, books): (&String, Vec<Book>)| {
            let name = |book: Book| match several {
                true => Book { element: format!("{id} {}", book.element), ..book },
                false => book,
            };
            books.into_iter().map(name).collect::<Vec<_>>()
        };
        self.sensors.keys().zip(books).flat_map(named).collect()
    }

    /// Every command has an answer, late as it is.
    fn refuse_rest(&mut self) {
        while let Some(heard) = self.link.try_next() {
            self.refuse_late(&heard);
        }
        self.sensors.values_mut().for_each(Sensor::leave);
    }

    fn refuse_late(&mut self, heard: &Heard) {
        let concerned = |id: &String| heard.to.as_ref().is_none_or(|to| to == id);
        let sensors = self.sensors.iter_mut().filter(|(id, _)| concerned(id));
        sensors.for_each(|(_, sensor)| sensor.refuse_late(&heard.request));
    }

    /// Until all pipelines are at their end; commands are refused meanwhile.
    async fn drain(&mut self) {
        self.sensors.values_mut().for_each(Sensor::finish);
        while !self.sensors.values().all(Sensor::is_over) {
            tokio::select! {
                (id, note) = next(&mut self.sensors) => {
                    if let Some(sensor) = self.sensors.get_mut(&id) {
                        // What breaks now is at its end, too.
                        let _ = sensor.heard(note);
                    }
                }
                heard = self.link.next() => self.refuse_late(&heard),
            }
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
