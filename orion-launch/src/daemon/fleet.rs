// SPDX-License-Identifier: MPL-2.0
//! Cameras that come and go while the daemon runs, and commands to those they are for.

use std::time::{Duration, Instant};

use orion_core::{
    command::{Command, Request},
    health::Event,
};
use serde_json::Value;

use super::{Broken, Daemon, DaemonError};
use crate::{
    config::{Config, ConfigError, masked},
    control::{Action, Errand, Heard},
    sensor::{Sensor, SensorError},
};

/// After so long a camera of several that cannot be watched is tried again.
const AGAIN: Duration = Duration::from_secs(30);

impl Daemon {
    pub(super) async fn look(&mut self) {
        self.sensors.values_mut().for_each(Sensor::look);
        self.tell();
        let now = Instant::now();
        let due: Vec<_> = self.broken.extract_if(.., |_, broken| broken.again <= now).map(|(id, _)| id).collect();
        for config in self.config.sensors().into_iter().filter(|config| due.contains(&config.instance_id)) {
            let id = config.instance_id.clone();
            tracing::info!("{id}: the camera is tried again");
            if let Err(error) = self.watch_camera(&config).await {
                self.give_up_for_now(&id, &error);
            }
        }
    }

    /// A camera cannot be watched any more. With several that ends the daemon for none of the others.
    pub(super) fn failed(&mut self, id: &str, error: SensorError) -> Result<(), DaemonError> {
        if self.reception.is_none() {
            return Err(error.into());
        }
        if let Some(mut sensor) = self.sensors.remove(id) {
            // Whatever it has seen counts no longer.
            sensor.take_leave();
            self.leaving.spawn(sensor.end(None, self.limit()));
        }
        self.give_up_for_now(id, &error);
        Ok(())
    }

    pub(super) fn give_up_for_now(&mut self, id: &str, error: &SensorError) {
        let reason = masked(&error.to_string());
        tracing::error!("{id}: {reason}; tried again in {} s", AGAIN.as_secs());
        let retry_s = AGAIN.as_secs_f64();
        self.link.voice(id).event(Event::CameraFailed { reason: reason.clone(), retry_s });
        self.broken.insert(id.to_owned(), Broken { reason, again: Instant::now() + AGAIN });
    }

    pub(super) async fn watch_camera(&mut self, config: &Config) -> Result<(), SensorError> {
        let id = &config.instance_id;
        let mut sensor = Sensor::build(config, &self.broker_uri, self.link.voice(id), self.stages.as_ref())?;
        sensor.play().await?;
        self.overview.set_one(sensor.status());
        self.sensors.insert(id.clone(), sensor);
        Ok(())
    }

    /// Hands a command to whom it is for; whether the daemon is to stop.
    pub(super) async fn hear(&mut self, heard: &Heard) -> bool {
        let (to, request) = (heard.to.as_deref(), &heard.request);
        let mut stop = false;
        // Each is to answer, even if the first one wants to stop.
        for (_, sensor) in self.sensors.iter_mut().filter(|(id, _)| to.is_none_or(|to| to == *id)) {
            let fleet =
                self.reception.is_some() && matches!(request.command, Command::AddCamera(_) | Command::RemoveCamera(_));
            stop |= !fleet && sensor.hear(request) == Some(Action::Shutdown);
        }
        let list = matches!(request.command, Command::AddCamera(_) | Command::RemoveCamera(_));
        if !list {
            self.refuse_for_the_broken(heard);
        }
        let own = list || to.is_none_or(|to| to == self.config.instance_id);
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
            // It is answered when the camera is gone.
            Some(Errand::Remove(id)) if self.remove(&id, Some(request.clone())) => return stop,
            Some(Errand::Remove(id)) => Ok(serde_json::json!({"instance_id": id})),
        };
        if let Some(reception) = &mut self.reception {
            reception.answer(request, outcome);
        }
        stop
    }

    /// Answers for cameras that cannot.
    fn refuse_for_the_broken(&self, heard: &Heard) {
        let unknown = |to: &&String| {
            self.reception.is_some() && !self.sensors.contains_key(*to) && **to != self.config.instance_id
        };
        let leaving = heard.to.iter().filter(unknown).filter(|to| !self.broken.contains_key(*to));
        for id in leaving {
            self.link.refuse(id, &heard.request, "the camera is being removed".to_owned());
        }
        let broken = self.broken.iter().filter(|(id, _)| heard.to.as_ref().is_none_or(|to| to == *id));
        for (id, Broken { reason, again }) in broken {
            let seconds = again.saturating_duration_since(Instant::now()).as_secs();
            let error = format!("the camera cannot be watched: {reason}; it is tried again in {seconds} s");
            self.link.refuse(id, &heard.request, error);
        }
    }

    /// Watches one camera more.
    pub(super) async fn add(&mut self, entry: &Value) -> Result<Value, String> {
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
    pub(super) fn remove(&mut self, id: &str, request: Option<Request>) -> bool {
        let Some(config) = self.config.without_camera(id) else { return false };
        self.config = config;
        self.broken.remove(id);
        tracing::info!("camera {id} is watched no longer");
        let sensor = self.sensors.remove(id);
        let ends = sensor.is_some();
        if let Some(sensor) = sensor {
            sensor.voice().event(Event::Stopping { reason: "removed".to_owned() });
            self.leaving.spawn(sensor.end(request, self.limit()));
        } else {
            // It was broken: nothing of it is to be waited for.
            self.link.voice(id).leave();
        }
        self.overview.forget(id);
        if let Some(reception) = &mut self.reception {
            reception.changed(&self.config);
        }
        ends
    }

    /// A camera has come to its end.
    pub(super) fn left(&mut self, request: Option<Request>, sensor: &Sensor) {
        let id = &sensor.config().instance_id;
        if !self.sensors.contains_key(id) && !self.broken.contains_key(id) {
            sensor.voice().leave();
        }
        if let (Some(request), Some(reception)) = (request, &mut self.reception) {
            reception.answer(&request, Ok(serde_json::json!({"instance_id": id})));
        }
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.config.shutdown_timeout_s)
    }

    pub(super) async fn reload(&mut self, read: Result<Config, ConfigError>) {
        let new = match read {
            Ok(new) if new.is_fleet() && self.reception.is_some() => new,
            // One camera, or something is wrong: it is told in the same way.
            read => return self.sensors.values_mut().for_each(|sensor| sensor.reload(read.clone())),
        };
        let wanted = new.sensors();
        let gone: Vec<_> = self.config.sensors().into_iter().map(|config| config.instance_id).collect();
        for id in gone.iter().filter(|id| !wanted.iter().any(|config| config.instance_id == **id)) {
            self.remove(id, None);
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
}
