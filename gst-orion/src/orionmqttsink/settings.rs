// SPDX-License-Identifier: MPL-2.0
//! The values of the properties, and what the client makes of them.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc, time::Duration};

use orion_core::{
    profile::frigate::Config,
    topic::{TopicError, TopicTemplate, TopicValues},
};
use thiserror::Error;

use super::{
    ENVIRONMENT,
    address::{self, Address},
    client::{self, Options},
    keeping::{Keeping, OutagePolicy},
    payload::Delivery,
    photographer::Order,
    session::Version,
    store::{Former, Store, StoreError},
    tls::{TlsFileError, TlsSettings},
    translator::{self, Profile},
};
use crate::identity;

const USERNAME: &str = ENVIRONMENT[0];
const PASSWORD: &str = ENVIRONMENT[1];

/// Why the element cannot start.
#[derive(Debug, Error)]
pub(super) enum ConfigError {
    #[error("{0}")]
    Rejected(String),
    #[error("password-file {file:?} cannot be read: {source}")]
    PasswordFile { file: String, source: io::Error },
    #[error("status-topic: {0}")]
    StatusTopic(#[from] TopicError),
    #[error("a password needs a username; set username or the environment variable {USERNAME}")]
    PasswordAlone,
    #[error("clean-start=false needs a client-id, by which the broker knows the session again; set client-id")]
    SessionWithoutId,
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    #[error("buffer-directory {folder:?}: {source}")]
    Buffer { folder: String, source: StoreError },
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) uri: String,
    pub(super) address: Option<Address>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) mqtt_version: Version,
    pub(super) client_id: String,
    pub(super) clean_start: bool,
    /// s.
    pub(super) session_expiry: u32,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) password_file: String,
    pub(super) tls: TlsSettings,
    pub(super) profile: Profile,
    /// 0..1, for events.
    pub(super) event_threshold: f64,
    /// None = that of the profile.
    pub(super) topic: Option<Arc<TopicTemplate>>,
    /// Empty = none, else a valid template.
    pub(super) status_topic: String,
    /// Empty = the default, else a valid id.
    pub(super) instance_id: String,
    pub(super) room_id: String,
    /// Where pictures go; none = nowhere.
    pub(super) snapshot_topic: Option<Arc<TopicTemplate>>,
    pub(super) snapshot_interval: Duration,
    /// No picture leaves, whatever `snapshot_topic` says.
    pub(super) privacy: bool,
    /// Counts the changes after which earlier pictures are not wanted any more.
    snapshot_order: u64,
    /// Where results go unless `topic` says so; that of the profile which the element was started with while it runs.
    profile_topic: Arc<TopicTemplate>,
    running: bool,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// s, 0 = off.
    pub(super) keep_alive: u16,
    pub(super) max_buffered: u32,
    /// Of payload.
    pub(super) max_buffered_bytes: u64,
    pub(super) outage_policy: OutagePolicy,
    /// Empty = memory only.
    pub(super) buffer_directory: String,
    /// s, 0 = never.
    pub(super) message_expiry: u32,
    pub(super) max_reconnect_interval: Duration,
    pub(super) drain_timeout: Duration,
    /// Property → why its last value was refused.
    rejected: BTreeMap<&'static str, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: String::new(),
            address: None,
            host: "127.0.0.1".into(),
            port: address::PORT,
            mqtt_version: Version::default(),
            client_id: String::new(),
            clean_start: true,
            session_expiry: 3600,
            username: String::new(),
            password: String::new(),
            password_file: String::new(),
            tls: TlsSettings::default(),
            profile: Profile::default(),
            event_threshold: Config::default().threshold,
            topic: None,
            status_topic: String::new(),
            instance_id: String::new(),
            room_id: String::new(),
            snapshot_topic: None,
            snapshot_interval: Duration::from_secs(5),
            privacy: false,
            snapshot_order: 0,
            profile_topic: Arc::default(),
            running: false,
            qos: 1,
            retain: false,
            keep_alive: 10,
            max_buffered: 1000,
            max_buffered_bytes: 64 * 1024 * 1024,
            outage_policy: OutagePolicy::default(),
            buffer_directory: String::new(),
            message_expiry: 0,
            max_reconnect_interval: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(2),
            rejected: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Takes a URI, or keeps the old one.
    ///
    /// # Errors
    /// A text that says why it was refused.
    pub(super) fn set_uri(&mut self, uri: String) -> Result<(), String> {
        let address = match uri.as_str() {
            "" => Ok(None),
            uri => Address::parse(uri).map(Some).map_err(|e| e.to_string()),
        };
        self.address = self.judge("uri", address)?;
        self.uri = uri;
        Ok(())
    }

    /// Takes a topic template (empty = that of the profile), or keeps the old one.
    ///
    /// # Errors
    /// A text that says why it was refused.
    pub(super) fn set_topic(&mut self, topic: &str) -> Result<(), String> {
        let valid = match topic {
            "" => Ok(None),
            topic => TopicTemplate::parse(topic).map(|template| Some(Arc::new(template))),
        };
        self.topic = self.judge("topic", valid.map_err(|e| e.to_string()))?;
        Ok(())
    }

    /// Takes the topic of pictures, or keeps the old one.
    ///
    /// # Errors
    /// A text that says why it was refused.
    pub(super) fn set_snapshot_topic(&mut self, topic: &str) -> Result<(), String> {
        let valid = match topic {
            "" => Ok(None),
            topic => TopicTemplate::parse_for_snapshot(topic).map(|template| Some(Arc::new(template))),
        };
        self.snapshot_topic = self.judge("snapshot-topic", valid.map_err(|e| format!("snapshot-topic: {e}")))?;
        self.snapshot_order += 1;
        Ok(())
    }

    /// Takes a profile; a running element goes on with the one that it was started with.
    pub(super) fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
        self.set_running(self.running);
    }

    /// Whether the element runs.
    pub(super) fn set_running(&mut self, running: bool) {
        if !(self.running && running) {
            self.profile_topic = translator::default_template(self.profile).into();
        }
        self.running = running;
    }

    /// Lets no picture out, or does so again.
    pub(super) fn set_privacy(&mut self, privacy: bool) {
        self.privacy = privacy;
        self.snapshot_order += 1;
    }

    /// Takes the topic of the own status, or keeps the old one.
    ///
    /// # Errors
    /// A text that says why it was refused.
    pub(super) fn set_status_topic(&mut self, topic: String) -> Result<(), String> {
        // Rendered at once: nothing but the id is filled in, and that cannot make it too long later.
        let valid = status_topic(&topic, identity::DEFAULT_INSTANCE).map_err(|e| format!("status-topic: {e}"));
        self.judge("status-topic", valid)?;
        self.status_topic = topic;
        Ok(())
    }

    /// Takes the id in the status topic, or keeps the old one.
    ///
    /// # Errors
    /// A text that says why it was refused.
    pub(super) fn set_instance_id(&mut self, id: String) -> Result<(), String> {
        let valid = if id.is_empty() { Ok(()) } else { identity::check_instance(&id) };
        self.judge("instance-id", valid)?;
        self.instance_id = id;
        Ok(())
    }

    fn judge<T>(&mut self, property: &'static str, outcome: Result<T, String>) -> Result<T, String> {
        match &outcome {
            Ok(_) => self.rejected.remove(property),
            Err(why) => self.rejected.insert(property, why.clone()),
        };
        outcome
    }

    /// Whether all properties hold what was asked for.
    ///
    /// # Errors
    /// [`ConfigError::Rejected`] with all the reasons.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.rejected.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = self.rejected.values().map(String::as_str).collect();
        Err(ConfigError::Rejected(reasons.join("; ")))
    }

    /// How messages are published.
    pub(super) fn delivery(&self) -> Delivery {
        Delivery { topic: self.topic(), qos: self.qos, retain: self.retain }
    }

    /// Where results go.
    pub(super) fn topic(&self) -> Arc<TopicTemplate> {
        Arc::clone(self.topic.as_ref().unwrap_or(&self.profile_topic))
    }

    /// Which pictures are wanted now, if any.
    pub(super) fn snapshots(&self) -> Option<Order> {
        let topic = self.snapshot_topic.as_ref().filter(|_| !self.privacy)?;
        let delivery = Delivery { topic: Arc::clone(topic), qos: self.qos, retain: self.retain };
        Some(Order { number: self.snapshot_order, delivery, interval: self.snapshot_interval })
    }

    /// What is kept for the broker.
    pub(super) fn keeping(&self) -> Keeping {
        Keeping {
            messages: self.max_buffered as usize,
            bytes: usize::try_from(self.max_buffered_bytes).unwrap_or(usize::MAX),
            policy: self.outage_policy,
            expiry_s: self.message_expiry,
        }
    }

    /// Opens the folder for what waits; none = it waits in memory only.
    ///
    /// # Errors
    /// [`ConfigError::Buffer`] says why the folder cannot be used.
    pub(super) fn store(&self) -> Result<Option<(Store, Former)>, ConfigError> {
        let folder = &self.buffer_directory;
        if folder.is_empty() {
            return Ok(None);
        }
        let opened = Store::open(Path::new(folder));
        opened.map(Some).map_err(|source| ConfigError::Buffer { folder: folder.clone(), source })
    }

    /// Where to connect to.
    pub(super) fn broker(&self) -> Address {
        self.address.clone().unwrap_or_else(|| Address::plain(&self.host, self.port))
    }

    /// What the client needs; reads the files that are named and the `environment`.
    ///
    /// # Errors
    /// [`ConfigError`] names the property that cannot be used.
    pub(super) fn options(
        &self,
        element: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Options, ConfigError> {
        self.check()?;
        let broker = self.broker();
        let said = |name| environment(name).filter(|text| !text.is_empty());
        let user = Some(self.username.clone()).filter(|user| !user.is_empty());
        let user = user.or_else(|| broker.user.clone()).or_else(|| said(USERNAME));
        let password = self.read_password()?.or_else(|| said(PASSWORD));
        if user.is_none() && password.is_some() {
            return Err(ConfigError::PasswordAlone);
        }
        if !self.clean_start && self.client_id.is_empty() {
            return Err(ConfigError::SessionWithoutId);
        }
        // 21 letters and digits: every broker must accept up to 23 of these.
        let client_id = match self.client_id.as_str() {
            "" => format!("orion{:016x}", client::random()),
            id => id.to_owned(),
        };
        let id = Some(self.instance_id.as_str()).filter(|id| !id.is_empty()).unwrap_or(identity::DEFAULT_INSTANCE);
        Ok(Options {
            status_topic: status_topic(&self.status_topic, id)?,
            tls: self.tls.configuration(broker.tls)?,
            broker,
            version: self.mqtt_version,
            client_id,
            session_expiry: (!self.clean_start).then_some(self.session_expiry),
            user,
            password,
            keep_alive: self.keep_alive,
            max_reconnect_interval: self.max_reconnect_interval,
            thread_name: element.to_owned(),
        })
    }

    fn read_password(&self) -> Result<Option<String>, ConfigError> {
        let file = &self.password_file;
        if file.is_empty() {
            return Ok(Some(self.password.clone()).filter(|password| !password.is_empty()));
        }
        let text =
            fs::read_to_string(file).map_err(|source| ConfigError::PasswordFile { file: file.clone(), source })?;
        // Editors end a file with a line end, which is not part of the password.
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// Where the status of instance `id` goes; none = nowhere.
fn status_topic(template: &str, id: &str) -> Result<Option<String>, TopicError> {
    if template.is_empty() {
        return Ok(None);
    }
    let values = TopicValues { instance_id: id, ..TopicValues::default() };
    TopicTemplate::parse_for_instance(template)?.render(&values).map(Some)
}

#[cfg(test)]
mod tests {
    use orion_core::topic::DEFAULT_TEMPLATE;

    use super::*;

    fn options(settings: &Settings) -> Result<Options, ConfigError> {
        settings.options("sink", |_| None)
    }

    fn refused(settings: &Settings) -> String {
        options(settings).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn defaults_are_usable() {
        let settings = Settings::default();
        assert_eq!(settings.topic().as_str(), DEFAULT_TEMPLATE);
        let first = options(&settings).ok().unwrap();
        assert_eq!(first.broker.to_string(), "127.0.0.1:1883");
        assert_eq!(first.client_id.len(), 21);
        assert_ne!(options(&settings).ok().unwrap().client_id, first.client_id);
        assert!(first.tls.is_none() && first.user.is_none() && first.password.is_none());
    }

    #[test]
    fn a_refused_value_changes_nothing_and_stops_the_start() {
        let mut settings = Settings::default();
        settings.set_topic("a/{type}").unwrap();
        settings.set_uri("mqtt://ann@b:1".into()).unwrap();
        assert!(settings.set_topic("a/#").unwrap_err().contains("'#'"));
        assert!(settings.set_uri("b:1".into()).unwrap_err().contains("mqtt://"));
        assert_eq!((settings.topic().as_str(), settings.uri.as_str()), ("a/{type}", "mqtt://ann@b:1"));
        let why = refused(&settings);
        assert!(why.contains("'#'") && why.contains("mqtt://"), "{why}");
        settings.set_topic("b").unwrap();
        settings.set_uri("mqtt://ann@b:1".into()).unwrap();
        assert_eq!(options(&settings).ok().unwrap().user.as_deref(), Some("ann"));
        settings.username = "bob".into();
        assert_eq!(options(&settings).ok().unwrap().user.as_deref(), Some("bob"));
        settings.set_uri(String::new()).unwrap();
        assert_eq!(settings.broker().to_string(), "127.0.0.1:1883");
    }

    #[test]
    fn the_topic_is_that_of_the_profile_in_force() {
        let mut settings = Settings::default();
        assert_eq!(settings.topic().as_str(), Profile::Orion.default_topic());
        settings.set_profile(Profile::Dlstreamer);
        assert_eq!(settings.topic().as_str(), Profile::Dlstreamer.default_topic());
        settings.set_running(true);
        settings.set_profile(Profile::Frigate);
        assert_eq!(settings.topic().as_str(), Profile::Dlstreamer.default_topic());
        settings.set_running(false);
        assert_eq!(settings.topic().as_str(), Profile::Frigate.default_topic());
        settings.set_topic("own").unwrap();
        assert_eq!(settings.topic().as_str(), "own");
    }

    #[test]
    fn privacy_keeps_all_pictures_back() {
        let mut settings = Settings::default();
        assert!(settings.snapshots().is_none());
        settings.set_snapshot_topic("care/snapshots/{instance_id}/{label}").unwrap();
        assert!(settings.snapshots().is_some());
        let first = settings.snapshots().map(|order| order.number);
        settings.set_privacy(true);
        assert!(settings.snapshots().is_none());
        settings.set_privacy(false);
        assert_ne!(settings.snapshots().map(|order| order.number), first, "what was taken before is not wanted now");
        let error = settings.set_snapshot_topic("care/{type}").unwrap_err();
        assert!(error.starts_with("snapshot-topic: ") && error.contains("{label}"), "{error}");
        assert!(settings.snapshots().is_some() && refused(&settings).contains("snapshot-topic"));
        settings.set_snapshot_topic("").unwrap();
        assert!(settings.snapshots().is_none() && refused(&settings).is_empty());
    }

    #[test]
    fn the_status_goes_to_the_instance() {
        let topic = |settings: &Settings| options(settings).ok().unwrap().status_topic;
        let mut settings = Settings::default();
        assert_eq!(topic(&settings), None);
        settings.set_status_topic("care/status/{instance_id}".into()).unwrap();
        assert_eq!(topic(&settings).as_deref(), Some("care/status/orion"));
        settings.set_instance_id("ward-3".into()).unwrap();
        assert_eq!(topic(&settings).as_deref(), Some("care/status/ward-3"));
        let long = "x".repeat(70_000);
        for (bad, why) in [("a/#", "'#'"), ("a/+", "'+'"), ("a/{room_id}", "known are {instance_id}"), (&long, "70000")]
        {
            let error = settings.set_status_topic(bad.into()).unwrap_err();
            assert!(error.starts_with("status-topic: ") && error.contains(why), "{error}");
        }
        assert!(settings.set_instance_id("a/b".into()).unwrap_err().contains("not an instance id"));
        let why = refused(&settings);
        assert!(why.contains("70000") && why.contains("a/b"), "{why}");
        assert_eq!(
            (settings.status_topic.as_str(), settings.instance_id.as_str()),
            ("care/status/{instance_id}", "ward-3")
        );
        settings.set_status_topic(String::new()).unwrap();
        settings.set_instance_id(String::new()).unwrap();
        assert_eq!(topic(&settings), None);
    }

    #[test]
    fn a_session_that_is_kept_needs_a_name() {
        let mut settings = Settings { clean_start: false, ..Settings::default() };
        assert!(refused(&settings).contains("set client-id"));
        settings.client_id = "ward-3".into();
        assert_eq!(options(&settings).ok().unwrap().session_expiry, Some(3600));
        settings.clean_start = true;
        assert_eq!(options(&settings).ok().unwrap().session_expiry, None);
    }

    #[test]
    fn the_environment_says_what_no_property_says() {
        let environment = |name: &str| match name {
            "ORION_MQTT_USERNAME" => Some("env".to_owned()),
            "ORION_MQTT_PASSWORD" => Some("secret".to_owned()),
            _ => None,
        };
        let login = |settings: &Settings| {
            let options = settings.options("s", environment).ok().unwrap();
            (options.user.unwrap(), options.password.unwrap())
        };
        let mut settings = Settings::default();
        assert_eq!(login(&settings), ("env".into(), "secret".into()));
        settings.set_uri("mqtt://ann@b".into()).unwrap();
        settings.password = "own".into();
        assert_eq!(login(&settings), ("ann".into(), "own".into()));
        let only_password = |name: &str| environment(name).filter(|_| name.ends_with("PASSWORD"));
        let why = Settings::default().options("s", only_password).err().map(|e| e.to_string()).unwrap();
        assert!(why.contains("ORION_MQTT_USERNAME") && !why.contains("secret"), "{why}");
    }

    #[test]
    fn passwords_come_from_the_file_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "from file\r\n").unwrap();
        let mut settings = Settings { password: "direct".into(), ..Settings::default() };
        assert!(refused(&settings).starts_with("a password needs a username"));
        settings.username = "ann".into();
        assert_eq!(options(&settings).ok().unwrap().password.as_deref(), Some("direct"));
        settings.password_file = file.path().to_str().unwrap().into();
        assert_eq!(options(&settings).ok().unwrap().password.as_deref(), Some("from file"));
        settings.password_file = "/nowhere/secret".into();
        let why = refused(&settings);
        assert!(why.contains("password-file") && why.contains("/nowhere/secret"), "{why}");
    }
}
