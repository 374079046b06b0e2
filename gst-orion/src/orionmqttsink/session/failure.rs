// SPDX-License-Identifier: MPL-2.0
//! Why a connection ended or could not be made, in one language for both versions of MQTT.

use std::io;

use rumqttc::{TlsError, tokio_rustls::rustls};

use super::reason::Reason;

#[derive(Debug)]
pub(in super::super) enum Failure {
    /// The broker does not want the connection.
    Refused(Reason),
    /// The broker has ended it, and says why.
    Ended(Reason, Option<String>),
    /// The broker has closed it without a word.
    Closed,
    /// No sign of life.
    Silent,
    /// Connecting took too long, or a write did.
    TimedOut,
    Io(io::Error),
    /// TLS has failed.
    Secured(rustls::Error),
    /// TLS has failed before anything was checked.
    Tls(String),
    /// The library's event loop is over, which nobody asked for.
    Over,
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match secured(&error) {
            Some(error) => Self::Secured(error),
            // The codec's words for an end within a packet.
            None if error.kind() == io::ErrorKind::Other && error.to_string() == "bytes remaining on stream" => {
                Self::Closed
            }
            None => Self::Io(error),
        }
    }
}

// Both versions share this type.
impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::TLS(error) => Self::Secured(error),
            TlsError::Io(error) => secured(&error).map_or_else(|| Self::Tls(error.to_string()), Self::Secured),
            other => Self::Tls(other.to_string()),
        }
    }
}

/// What TLS has to say within an error of the network.
fn secured(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref().cloned()
}
