// SPDX-License-Identifier: MPL-2.0
//! The sink's way to a broker for others in the same program that speak with it.

use rumqttc::{ConnectionError, MqttOptions, NetworkOptions};

use super::{
    address::{Address, AddressError},
    cause::{self, Stage},
    session::{Version, v4},
    settings::{ConfigError, Settings},
    tls::TlsSettings,
};

/// Where a broker is and how to log in there; every field means what the sink's property of that name does.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// `mqtt://[user@]host[:port]` or `mqtts://…`
    pub uri: String,
    /// Empty = by `uri` or the environment.
    pub username: String,
    /// Empty = by the environment.
    pub password_file: String,
    /// Empty = the system's authorities.
    pub tls_ca_file: String,
    /// Empty = none.
    pub tls_cert_file: String,
    /// Empty = none.
    pub tls_key_file: String,
    /// Whether the broker may be anybody.
    pub tls_insecure: bool,
    /// s; 0 = the sink's default.
    pub keep_alive: u16,
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(String);

impl From<AddressError> for EndpointError {
    fn from(error: AddressError) -> Self {
        Self(error.to_string())
    }
}

impl From<ConfigError> for EndpointError {
    fn from(error: ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl Endpoint {
    /// What the client library needs for a clean session with MQTT 3.1.1; reads the files that are named. `largest`: packet that is
    /// taken, bytes.
    ///
    /// # Errors
    /// [`EndpointError`] names what cannot be used.
    pub fn options(&self, client_id: &str, largest: usize) -> Result<(MqttOptions, NetworkOptions), EndpointError> {
        let mut settings = Settings::default();
        settings.address = Some(Address::parse(&self.uri)?);
        client_id.clone_into(&mut settings.client_id);
        settings.username.clone_from(&self.username);
        settings.password_file.clone_from(&self.password_file);
        settings.tls = TlsSettings {
            ca_file: self.tls_ca_file.clone(),
            cert_file: self.tls_cert_file.clone(),
            key_file: self.tls_key_file.clone(),
            insecure: self.tls_insecure,
        };
        if self.keep_alive > 0 {
            settings.keep_alive = self.keep_alive;
        }
        let options = settings.options(client_id, |name| std::env::var(name).ok())?;
        let mut mqtt = v4::mqtt_options(&options);
        mqtt.set_max_packet_size(largest, largest).set_clean_session(true);
        Ok((mqtt, v4::network()))
    }

    /// Why a connection ended or could not be made, and what to do about it, in one line. `connected`: it had been accepted.
    pub fn explain(&self, error: ConnectionError, connected: bool) -> String {
        let stage = if connected { Stage::Connected } else { Stage::Connecting };
        let user = Some(self.username.as_str()).filter(|user| !user.is_empty());
        match Address::parse(&self.uri) {
            Ok(address) => cause::describe(&error.into(), stage, &address, user, Version::V3_1_1),
            Err(error) => error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sink_would_refuse_is_refused() {
        let refused = |endpoint: &Endpoint| endpoint.options("c", 1000).err().map(|error| error.to_string()).unwrap();
        let mut endpoint = Endpoint { uri: "http://x".into(), ..Endpoint::default() };
        assert!(refused(&endpoint).contains("must begin with mqtt://"));
        endpoint.uri = "mqtt://me@x:99".into();
        let (options, _) = endpoint.options("c", 1000).unwrap();
        assert_eq!(options.client_id(), "c");
        endpoint.password_file = "/nowhere/password".into();
        assert!(refused(&endpoint).contains("/nowhere/password"));
        let refused_connection = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let text = endpoint.explain(ConnectionError::Io(refused_connection), false);
        assert!(text.contains("x:99"), "{text}");
    }
}
