// SPDX-License-Identifier: MPL-2.0
//! Cameras that come and go while the daemon runs, and commands to those they are for.

use std::time::{Duration, Instant};

use orion_core::{
    command::{Command, Request},
    health::Event,
};
use serde_json::Value;

use super::{Broken, Daemon, DaemonError, leaving::Left};
use crate::{
    config::{Config, ConfigError, masked},
    control::{Action, Errand, Heard, is_fixed},
    sensor::{Sensor, SensorError},
};

/// After so long a camera of several that cannot be watched is tried again.
const AGAIN: Duration = Duration::from_secs(30);

impl Daemon {
    pub(super) async fn look(&mut self) {
        self.sensors.values_mut().for_each(Sensor::look);
        self.tell();
        let now = Instant::now();
        let leaving = &self.leaving;
        let is_due = |id: &String, broken: &mut Broken| broken.again <= now && !leaving.contains(id);
        let due: Vec<_> = self.broken.extract_if(.., is_due).map(|(id, _)| id).collect();
        if due.is_empty() {
            // Making the configuration of each camera costs a little, and this is done again and again.
            return;
        }
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
            self.leaving.add(id, None, sensor.end(self.limit()));
        }
        self.give_up_for_now(id, &error);
        Ok(())
    }

    pub(super) fn give_up_for_now(&mut self, id: &str, error: &SensorError) {
        let reason = masked(&error.to_string());
        tracing::error!("{id}: {reason}; tried again in {} s", AGAIN.as_secs());
        let retry_s = AGAIN.as_secs_f64();
        self.link.voice(id).event(Event::CameraFailed { reason: reason.clone(), retry_s });
        self.overview.set_failed(id, &reason);
        self.broken.insert(id.to_owned(), Broken { reason, again: Instant::now() + AGAIN });
    }

    pub(super) async fn watch_camera(&mut self, config: &Config) -> Result<(), SensorError> {
        let id = &config.instance_id;
        let mut sensor = Sensor::build(config, &self.broker_uri, self.link.voice(id), self.stages.as_ref())?;
        let played = sensor.play().await;
        if played.is_ok() {
            self.overview.set_one(sensor.status());
            self.sensors.insert(id.clone(), sensor);
        } else {
            // What has begun takes its time to end, and the other cameras do not wait for that.
            let stopped = sensor.stop(self.limit());
            self.leaving.add(id, None, async move {
                stopped.await;
                sensor
            });
        }
        played
    }

    /// Hands a command to whom it is for; whether the daemon is to stop.
    pub(super) async fn hear(&mut self, heard: &Heard) -> bool {
        let (to, request) = (heard.to.as_deref(), &heard.request);
        // Where no camera can be watched none of them could obey.
        let shutdown = matches!(request.command, Command::Shutdown) && !request.dry_run;
        let mut stop = shutdown && to.is_none() && self.sensors.is_empty();
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
        let id = &one.instance_id;
        if self.leaving.contains(id) {
            return Err(format!("params.camera.instance_id: {id} is being removed, try again when it is gone"));
        }
        if let Err(error) = self.watch_camera(&one).await {
            // It may have said something that the broker keeps.
            self.link.voice(id).leave();
            return Err(masked(&error.to_string()));
        }
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
            self.leaving.add(id, request, sensor.end(self.limit()));
        }
        if !ends {
            self.forget(id);
        }
        self.overview.forget(id);
        if let Some(reception) = &mut self.reception {
            reception.changed(&self.config);
        }
        ends
    }

    /// A camera has come to its end, or (`late`: why) has not although it should have.
    pub(super) fn left(&mut self, (id, request): Left, late: Option<&str>) {
        if !self.sensors.contains_key(&id) && !self.broken.contains_key(&id) {
            self.forget(&id);
        }
        if let (Some(request), Some(reception)) = (request, &mut self.reception) {
            let outcome = late.map_or_else(|| Ok(serde_json::json!({"instance_id": id})), |late| Err(late.to_owned()));
            reception.answer(&request, outcome);
        }
    }

    /// Nothing is left of a camera.
    fn forget(&self, id: &str) {
        self.link.voice(id).leave();
        if let Some(stages) = &self.stages {
            stages.forget(id);
        }
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs_f64(self.config.shutdown_timeout_s)
    }

    /// Refuses a configuration that was read again as a whole where a part of it can only be changed by a restart.
    fn check(&self, new: &Config, wanted: &[Config]) -> Result<(), ConfigError> {
        let own: Vec<_> = self.config.changes_for_all(new).into_iter().filter(|key| is_fixed(key)).collect();
        let mut problems = Vec::new();
        if !own.is_empty() {
            problems.push(format!("{}: can only be changed by a restart of the daemon", own.join(", ")));
        }
        let both = wanted.iter().filter_map(|config| Some((config, self.sensors.get(&config.instance_id)?)));
        // What holds for all of them is told once.
        let refused = both.filter_map(|(config, sensor)| Some((config, sensor.check(config).err()?)));
        problems
            .extend(refused.filter(|_| own.is_empty()).map(|(config, why)| format!("{}: {why}", config.instance_id)));
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
    }

    pub(super) async fn reload(&mut self, read: Result<Config, ConfigError>) {
        let new = match read {
            Ok(new) if new.is_fleet() && self.reception.is_some() => new,
            // One camera, or something is wrong: it is told in the same way.
            read => return self.sensors.values_mut().for_each(|sensor| sensor.reload(read.clone())),
        };
        let wanted = new.sensors();
        if let Err(error) = self.check(&new, &wanted) {
            self.link.voice(&self.config.instance_id).event(Event::ConfigRejected { problems: error.problems() });
            return self.sensors.values_mut().for_each(|sensor| sensor.reload(Err(error.clone())));
        }
        let gone: Vec<_> = self.config.sensors().into_iter().map(|config| config.instance_id).collect();
        for id in gone.iter().filter(|id| !wanted.iter().any(|config| config.instance_id == **id)) {
            self.remove(id, None);
        }
        self.config = new;
        for config in wanted {
            // It is tried now, and not once more later.
            self.broken.remove(&config.instance_id);
            match self.sensors.get_mut(&config.instance_id) {
                Some(sensor) => sensor.reload(Ok(config)),
                // It begins when the one of that name that was removed before is at its end.
                None if self.leaving.contains(&config.instance_id) => {
                    let reason = "a camera of that name is being removed".to_owned();
                    self.broken.insert(config.instance_id, Broken { reason, again: Instant::now() });
                }
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
