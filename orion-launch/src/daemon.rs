// SPDX-License-Identifier: MPL-2.0
//! The daemon: starts the parts, watches them, and stops them within a time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    task::Poll,
    time::{Duration, Instant},
};

use gstorion::orionmqttsink::{Endpoint, EndpointError};
use orion_core::{
    command::{Command, Request},
    health::Event,
};
use serde_json::Value;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::{
    broker::{Broker, BrokerError},
    config::{Config, ConfigError, masked},
    control::{Action, Errand, Heard, Link, Reception},
    http::{BindError, Http},
    metrics::{Metrics, Stages},
    notify::{Notifier, Sight},
    overview::Overview,
    pipeline::Note,
    sensor::{LEAST, Sensor, SensorError},
    stats_line::StatsLines,
    status::Book,
};

/// After so long a camera of several that cannot be watched is tried again.
const AGAIN: Duration = Duration::from_secs(30);
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
    /// Cameras that cannot be watched now, and when they are tried again.
    broken: BTreeMap<String, Instant>,
    /// Cameras that are being removed: who wants it, and what they were.
    leaving: JoinSet<(Option<Request>, Sensor)>,
    overview: Overview,
    stages: Stages,
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
        let link = Link::start(endpoint(config, &broker_uri), &mqtt.prefix, id, longest_wait)?;
        let stages = Stages::default();
        let mut sensors = BTreeMap::new();
        for config in config.sensors() {
            let sensor = Sensor::build(&config, &broker_uri, link.voice(&config.instance_id), &stages)?;
            sensors.insert(config.instance_id, sensor);
        }
        let reception = config.is_fleet().then(|| Reception::new(link.voice(id)));
        let overview = Overview::default();
        overview.set(sensors.values().map(Sensor::status).cloned().collect());
        let http = match config.http.bind.as_str() {
            "" => None,
            bind => {
                let metrics = config.http.metrics.then(|| Metrics::new(overview.clone(), &stages));
                let overview = overview.clone();
                Some(Http::start(bind, move || overview.readiness(), metrics).await?)
            }
        };
        let mut daemon = Self {
            http,
            sensors,
            broken: BTreeMap::new(),
            leaving: JoinSet::new(),
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
        for sensor in daemon.sensors.values_mut() {
            sensor.play().await?;
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
                Some(Ok((request, sensor))) = self.leaving.join_next() => self.left(request, &sensor),
                _ = look.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        self.sensors.values_mut().for_each(Sensor::look);
        self.tell();
        let now = Instant::now();
        let due: Vec<_> = self.broken.extract_if(.., |_, at| *at <= now).map(|(id, _)| id).collect();
        for config in self.config.sensors().into_iter().filter(|config| due.contains(&config.instance_id)) {
            let id = config.instance_id.clone();
            tracing::info!("{id}: the camera is tried again");
            if let Err(error) = self.watch_camera(&config).await {
                self.give_up_for_now(&id, &error);
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
        }
        if self.notifier.is_due() {
            let sights = self.sensors.values().zip(&cameras);
            let sights =
                sights.map(|(sensor, camera)| (camera.instance_id.clone(), Sight::of(camera, sensor.is_wanted())));
            self.notifier.look(self.overview.readiness().verdict(), &sights.collect());
        }
    }

    /// A camera cannot be watched any more. With several that ends the daemon for none of the others.
    fn failed(&mut self, id: &str, error: SensorError) -> Result<(), DaemonError> {
        if self.reception.is_none() {
            return Err(error.into());
        }
        if let Some(sensor) = self.sensors.remove(id) {
            self.leaving.spawn(sensor.end(None, self.limit()));
        }
        self.give_up_for_now(id, &error);
        Ok(())
    }

    fn give_up_for_now(&mut self, id: &str, error: &SensorError) {
        let reason = masked(&error.to_string());
        tracing::error!("{id}: {reason}; tried again in {} s", AGAIN.as_secs());
        let retry_s = AGAIN.as_secs_f64();
        self.link.voice(id).event(Event::CameraFailed { reason, retry_s });
        self.broken.insert(id.to_owned(), Instant::now() + AGAIN);
    }

    async fn watch_camera(&mut self, config: &Config) -> Result<(), SensorError> {
        let id = &config.instance_id;
        let mut sensor = Sensor::build(config, &self.broker_uri, self.link.voice(id), &self.stages)?;
        sensor.play().await?;
        self.overview.set_one(sensor.status());
        self.sensors.insert(id.clone(), sensor);
        Ok(())
    }

    /// Hands a command to whom it is for; whether the daemon is to stop.
    async fn hear(&mut self, heard: &Heard) -> bool {
        let (to, request) = (heard.to.as_deref(), &heard.request);
        let mut stop = false;
        // Each is to answer, even if the first one wants to stop.
        for (_, sensor) in self.sensors.iter_mut().filter(|(id, _)| to.is_none_or(|to| to == *id)) {
            let fleet =
                self.reception.is_some() && matches!(request.command, Command::AddCamera(_) | Command::RemoveCamera(_));
            stop |= !fleet && sensor.hear(request) == Some(Action::Shutdown);
        }
        let own = to.is_none_or(|to| !self.sensors.contains_key(to) || to == self.config.instance_id)
            || matches!(request.command, Command::AddCamera(_) | Command::RemoveCamera(_));
        let errand = self.reception.as_mut().filter(|_| own).and_then(|r| r.hear(request, &self.config, to.is_none()));
        let outcome = match errand {
            None => return stop,
            Some(Errand::Tell) => {
                Ok(serde_json::json!({"health": self.overview.readiness(), "config": self.config.masked_json()}))
            }
            Some(Errand::Shutdown) => {
                stop = true;
                Ok(serde_json::json!({"stopping": true}))
            }
            Some(Errand::Add(entry)) => self.add(&entry).await,
            Some(Errand::Remove(id)) => match self.remove(&id, Some(request.clone())) {
                // It is answered when the camera is gone.
                Ok(true) => return stop,
                Ok(false) => Ok(serde_json::json!({})),
                Err(error) => Err(error),
            },
        };
        if let Some(reception) = &mut self.reception {
            reception.answer(request, outcome);
        }
        stop
    }

    /// Watches one camera more.
    async fn add(&mut self, entry: &Value) -> Result<Value, String> {
        let config = self.config.with_camera(entry).map_err(|error| error.to_string())?;
        let one = self.config.sensor_from(entry).map_err(|error| error.to_string())?;
        self.watch_camera(&one).await.map_err(|error| masked(&error.to_string()))?;
        self.config = config;
        tracing::info!("camera {} is watched from now on", one.instance_id);
        if let Some(reception) = &mut self.reception {
            reception.changed(&self.config);
        }
        Ok(serde_json::json!({"instance_id": one.instance_id}))
    }

    /// Watches a camera no longer; whether something has to end first.
    fn remove(&mut self, id: &str, request: Option<Request>) -> Result<bool, String> {
        let config = self.config.without_camera(id);
        self.config = config.ok_or_else(|| {
            let known: Vec<_> = self.config.sensors().into_iter().map(|config| config.instance_id).collect();
            format!("params.instance_id: there is no camera {id:?}, known are {}", known.join(", "))
        })?;
        self.broken.remove(id);
        tracing::info!("camera {id} is watched no longer");
        let sensor = self.sensors.remove(id);
        let ends = sensor.is_some();
        if let Some(sensor) = sensor {
            sensor.voice().event(Event::Stopping { reason: "removed".to_owned() });
            self.leaving.spawn(sensor.end(request, self.limit()));
        }
        self.overview.forget(id);
        if let Some(reception) = &mut self.reception {
            reception.changed(&self.config);
        }
        Ok(ends)
    }

    /// A camera has come to its end.
    fn left(&mut self, request: Option<Request>, sensor: &Sensor) {
        let id = &sensor.config().instance_id;
        if !self.sensors.contains_key(id) && !self.broken.contains_key(id) {
            sensor.voice().leave();
        }
        if let (Some(request), Some(reception)) = (request, &mut self.reception) {
            reception.answer(&request, Ok(serde_json::json!({"instance_id": id})));
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.config.shutdown_timeout_s)
    }

    async fn reload(&mut self, read: Result<Config, ConfigError>) {
        let new = match read {
            Ok(new) if new.is_fleet() && self.reception.is_some() => new,
            // One camera, or something is wrong: it is told in the same way.
            read => return self.sensors.values_mut().for_each(|sensor| sensor.reload(read.clone())),
        };
        let wanted = new.sensors();
        let gone: Vec<_> = self.config.sensors().into_iter().map(|config| config.instance_id).collect();
        for id in gone.iter().filter(|id| !wanted.iter().any(|config| config.instance_id == **id)) {
            // It was in the list just now.
            let _ = self.remove(id, None);
        }
        self.config = new;
        for config in wanted {
            match self.sensors.get_mut(&config.instance_id) {
                Some(sensor) => sensor.reload(Ok(config)),
                None => {
                    if let Err(error) = self.watch_camera(&config).await {
                        self.give_up_for_now(&config.instance_id, &error);
                    }
                }
            }
        }
        if let Some(reception) = &mut self.reception {
            reception.changed(&self.config);
        }
    }

    /// Stops all parts within the shutdown timeout, or at once when `hurry` is done: frames in hand are finished and
    /// published, then the elements stop, then the control plane, the broker last. Gives the ledger of each element.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) -> Vec<Book> {
        let limit = self.sensors.values().map(|sensor| sensor.config().shutdown_timeout_s).fold(0.0, f64::max);
        let limit = Duration::from_secs_f64(if limit > 0.0 { limit } else { self.config.shutdown_timeout_s });
        tracing::info!("stopping ({}), within {limit:.1?}", self.reason);
        self.notifier.stopping();
        for sensor in self.sensors.values_mut() {
            sensor.voice().event(Event::Stopping { reason: self.reason.clone() });
            sensor.take_leave();
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
        // Workers that do not end by themselves are made to, in time for the rest.
        let left = (start + limit).saturating_duration_since(Instant::now()).saturating_sub(3 * least);
        let patience = if hurried { Duration::ZERO } else { left };
        let stops: Vec<_> = self.sensors.values().map(|sensor| sensor.stop(limit)).collect();
        let stopped = async {
            let mut books = Vec::new();
            // All have begun.
            for stop in stops {
                books.push(stop.await);
            }
            books
        };
        tokio::pin!(stopped);
        let in_time = tokio::select! {
            books = &mut stopped => Some(books),
            () = tokio::time::sleep(patience) => None,
            () = &mut hurry, if !hurried => None,
        };
        let books = match in_time {
            Some(books) => books,
            None => {
                self.sensors.values().for_each(Sensor::kill_workers);
                tokio::time::timeout(least, stopped).await.unwrap_or_else(|_| {
                    tracing::warn!("not everything has stopped; it ends with the daemon");
                    self.sensors.values().map(|sensor| sensor.status().snapshot().ledger).collect()
                })
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
