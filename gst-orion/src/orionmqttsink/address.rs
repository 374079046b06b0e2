// SPDX-License-Identifier: MPL-2.0
//! Where the broker is: `mqtt://[user@]host[:port]` and `mqtts://...`.

use std::fmt;

use thiserror::Error;

/// Port of `mqtt://` (IANA).
pub(super) const PORT: u16 = 1883;
/// Port of `mqtts://` (IANA).
pub(super) const TLS_PORT: u16 = 8883;

/// A broker's address. Prints as `host:port`, without the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Name or IP address, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
}

/// Why a URI is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum AddressError {
    #[error("uri {0:?} must begin with mqtt:// or mqtts://")]
    Scheme(String),
    #[error("uri must not hold a password, since others can read it; set the property password or password-file")]
    Password,
    #[error("uri {0:?} names no host")]
    Host(String),
    #[error("uri {uri:?}: {port:?} is not a port, 1..65535")]
    Port { uri: String, port: String },
    #[error("uri {uri:?}: {rest:?} after the port is not understood")]
    Rest { uri: String, rest: String },
    #[error("uri {0:?}: escapes (%) are not understood; set the property username")]
    Escape(String),
}

impl Address {
    /// An address without TLS.
    pub(super) fn plain(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, tls: false, user: None }
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// [`AddressError`] names the part that is wrong; it never repeats a password.
    pub(super) fn parse(uri: &str) -> Result<Self, AddressError> {
        let own = || uri.to_owned();
        let (scheme, whole) = uri.split_once("://").unwrap_or((uri, ""));
        let authority_end = whole.find(['/', '?', '#']).unwrap_or(whole.len());
        let (authority, rest) = whole.split_at(authority_end);
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        // Before anything that repeats the text. A password may hold what ends an authority.
        if whole.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return Err(AddressError::Password);
        }
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(AddressError::Scheme(own())),
        };
        if authority.contains('%') {
            return Err(AddressError::Escape(own()));
        }
        if !matches!(rest, "" | "/") {
            return Err(AddressError::Rest { uri: own(), rest: rest.to_owned() });
        }
        let (host, port) = match server.strip_prefix('[').and_then(|s| s.split_once(']')) {
            Some((host, port)) => (host, port),
            None => server.split_at(server.find(':').unwrap_or(server.len())),
        };
        if host.is_empty() || host.contains(['[', ']', ' ']) {
            return Err(AddressError::Host(own()));
        }
        let port = match port {
            "" if tls => TLS_PORT,
            "" => PORT,
            _ => port
                .strip_prefix(':')
                .and_then(|p| p.parse().ok())
                .filter(|p| *p > 0)
                .ok_or_else(|| AddressError::Port { uri: own(), port: port.trim_start_matches(':').to_owned() })?,
        };
        Ok(Self { host: host.to_owned(), port, tls, user: user.filter(|user| !user.is_empty()).map(str::to_owned) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_part_and_its_default() {
        for (uri, host, port, tls, user, shown) in [
            ("mqtt://broker", "broker", 1883, false, None, "broker:1883"),
            ("mqtts://broker/", "broker", 8883, true, None, "broker:8883"),
            ("MQTT://10.0.0.1:99", "10.0.0.1", 99, false, None, "10.0.0.1:99"),
            ("mqtt://ann@broker:1", "broker", 1, false, Some("ann"), "broker:1"),
            ("mqtts://[::1]:8884", "::1", 8884, true, None, "[::1]:8884"),
            ("mqtt://@[fe80::2]", "fe80::2", 1883, false, None, "[fe80::2]:1883"),
        ] {
            let address = Address::parse(uri).unwrap();
            assert_eq!(address.to_string(), shown);
            let user = user.map(str::to_owned);
            let host = host.to_owned();
            assert_eq!(address, Address { host, port, tls, user });
        }
    }

    #[test]
    fn names_the_part_that_is_wrong() {
        for (uri, expected) in [
            ("", "must begin with mqtt://"),
            ("broker:1883", "must begin with mqtt://"),
            ("http://broker", "must begin with mqtt://"),
            ("mqtt://", "names no host"),
            ("mqtt://:1883", "names no host"),
            ("mqtt://[::1", "names no host"),
            ("mqtt://broker:0", "\"0\" is not a port"),
            ("mqtt://broker:x", "\"x\" is not a port"),
            ("mqtt://broker:70000", "\"70000\" is not a port"),
            ("mqtt://[::1]1883", "\"1883\" is not a port"),
            ("mqtt://broker/topic", "\"/topic\" after the port"),
            ("mqtt://a%40b@broker", "set the property username"),
        ] {
            let error = Address::parse(uri).unwrap_err().to_string();
            assert!(error.contains(expected), "{uri:?}: {error}");
        }
        for uri in [
            "mqtt://ann:secret@broker",
            "x://ann:secret@broker",
            "mqtt://ann:secret@",
            "mqtt://ann:#secret@broker",
            "mqtt://ann:a/secret@broker",
            "mqtt://ann:1?secret@broker",
        ] {
            let error = Address::parse(uri).unwrap_err();
            assert_eq!(error, AddressError::Password);
            assert!(!error.to_string().contains("secret"));
        }
    }
}
