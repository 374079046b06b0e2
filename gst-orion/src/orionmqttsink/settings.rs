// SPDX-License-Identifier: MPL-2.0
//! The values of the properties, and what the client makes of them.

use std::{collections::BTreeMap, fs, io, time::Duration};

use orion_core::topic::{DEFAULT_TEMPLATE, TopicTemplate};
use rumqttc::{TlsConfiguration, TlsError};
use thiserror::Error;

use super::{
    address::{self, Address},
    client::{self, Options},
};

/// Why the element cannot start.
#[derive(Debug, Error)]
pub(super) enum ConfigError {
    #[error("{0}")]
    Rejected(String),
    #[error("password-file {file:?} cannot be read: {source}")]
    PasswordFile { file: String, source: io::Error },
    #[error("a password needs a username")]
    PasswordAlone,
    #[error("tls-ca-file {file:?} cannot be read: {source}")]
    CaFile { file: String, source: io::Error },
    #[error("tls-ca-file {0:?} holds no certificate in PEM format")]
    NoCertificate(String),
    #[error("tls-ca-file is set, but the connection would not be encrypted; set uri to mqtts://host")]
    CaWithoutTls,
    #[error("the system's root certificates cannot be used: {0}; set tls-ca-file")]
    SystemRoots(TlsError),
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) uri: String,
    pub(super) address: Option<Address>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) client_id: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) password_file: String,
    pub(super) tls_ca_file: String,
    /// A valid template.
    pub(super) topic: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// s, 0 = off.
    pub(super) keep_alive: u16,
    pub(super) max_buffered: u32,
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
            client_id: String::new(),
            username: String::new(),
            password: String::new(),
            password_file: String::new(),
            tls_ca_file: String::new(),
            topic: DEFAULT_TEMPLATE.into(),
            qos: 1,
            retain: false,
            keep_alive: 10,
            max_buffered: 1000,
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

    /// Takes a topic template, or keeps the old one.
    ///
    /// # Errors
    /// A text that says why it was refused.
    pub(super) fn set_topic(&mut self, topic: String) -> Result<(), String> {
        let valid = TopicTemplate::parse(&topic).map_err(|e| e.to_string());
        self.judge("topic", valid)?;
        self.topic = topic;
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

    /// Where to connect to.
    pub(super) fn broker(&self) -> Address {
        self.address.clone().unwrap_or_else(|| Address::plain(&self.host, self.port))
    }

    /// What the client needs; reads the files that are named.
    ///
    /// # Errors
    /// [`ConfigError`] names the property that cannot be used.
    pub(super) fn options(&self, element: &str) -> Result<Options, ConfigError> {
        self.check()?;
        let broker = self.broker();
        let user = Some(self.username.clone()).filter(|user| !user.is_empty()).or_else(|| broker.user.clone());
        let password = self.read_password()?;
        if user.is_none() && password.is_some() {
            return Err(ConfigError::PasswordAlone);
        }
        // 21 letters and digits: every broker must accept up to 23 of these.
        let client_id = match self.client_id.as_str() {
            "" => format!("orion{:016x}", client::random()),
            id => id.to_owned(),
        };
        Ok(Options {
            tls: self.tls(&broker)?,
            broker,
            client_id,
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

    fn tls(&self, broker: &Address) -> Result<Option<TlsConfiguration>, ConfigError> {
        let file = &self.tls_ca_file;
        if !broker.tls {
            return if file.is_empty() { Ok(None) } else { Err(ConfigError::CaWithoutTls) };
        }
        if file.is_empty() {
            let system = TlsConfiguration::try_default_rustls().map_err(ConfigError::SystemRoots)?;
            return Ok(Some(system));
        }
        let ca = fs::read(file).map_err(|source| ConfigError::CaFile { file: file.clone(), source })?;
        if !ca.windows(27).any(|w| w == b"-----BEGIN CERTIFICATE-----") {
            return Err(ConfigError::NoCertificate(file.clone()));
        }
        Ok(Some(TlsConfiguration::Simple { ca, alpn: None, client_auth: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &Settings) -> String {
        settings.options("sink").err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn defaults_are_usable() {
        let settings = Settings::default();
        assert!(TopicTemplate::parse(&settings.topic).is_ok());
        let options = settings.options("sink").ok().unwrap();
        assert_eq!(options.broker.to_string(), "127.0.0.1:1883");
        assert_eq!(options.client_id.len(), 21);
        assert_ne!(settings.options("sink").ok().unwrap().client_id, options.client_id);
        assert!(options.tls.is_none() && options.user.is_none() && options.password.is_none());
    }

    #[test]
    fn a_refused_value_changes_nothing_and_stops_the_start() {
        let mut settings = Settings::default();
        settings.set_topic("a/{type}".into()).unwrap();
        settings.set_uri("mqtt://ann@b:1".into()).unwrap();
        assert!(settings.set_topic("a/#".into()).unwrap_err().contains("'#'"));
        assert!(settings.set_uri("b:1".into()).unwrap_err().contains("mqtt://"));
        assert_eq!((settings.topic.as_str(), settings.uri.as_str()), ("a/{type}", "mqtt://ann@b:1"));
        let why = refused(&settings);
        assert!(why.contains("'#'") && why.contains("mqtt://"), "{why}");
        settings.set_topic("b".into()).unwrap();
        settings.set_uri("mqtt://ann@b:1".into()).unwrap();
        assert_eq!(settings.options("s").ok().unwrap().user.as_deref(), Some("ann"));
        settings.username = "bob".into();
        assert_eq!(settings.options("s").ok().unwrap().user.as_deref(), Some("bob"));
        settings.set_uri(String::new()).unwrap();
        assert_eq!(settings.broker().to_string(), "127.0.0.1:1883");
    }

    #[test]
    fn passwords_come_from_the_file_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "from file\r\n").unwrap();
        let mut settings = Settings { password: "direct".into(), ..Settings::default() };
        assert_eq!(refused(&settings), "a password needs a username");
        settings.username = "ann".into();
        assert_eq!(settings.options("s").ok().unwrap().password.as_deref(), Some("direct"));
        settings.password_file = file.path().to_str().unwrap().into();
        assert_eq!(settings.options("s").ok().unwrap().password.as_deref(), Some("from file"));
        settings.password_file = "/nowhere/secret".into();
        let why = refused(&settings);
        assert!(why.contains("password-file") && why.contains("/nowhere/secret"), "{why}");
    }

    #[test]
    fn certificates_are_checked_before_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut settings = Settings { tls_ca_file: file.path().to_str().unwrap().into(), ..Settings::default() };
        assert!(refused(&settings).contains("not be encrypted"));
        settings.set_uri("mqtts://b".into()).unwrap();
        assert!(refused(&settings).contains("holds no certificate"));
        settings.tls_ca_file = "/nowhere/ca.pem".into();
        assert!(refused(&settings).contains("/nowhere/ca.pem"));
    }
}
