// SPDX-License-Identifier: MPL-2.0
//! Why there is no connection, in words that say what to do.

use std::{io, time::Duration};

use rumqttc::{
    ConnectReturnCode, ConnectionError, Error as Packet, StateError, TlsError,
    tokio_rustls::rustls::{self, AlertDescription, CertificateError},
};

use super::{address::Address, outbox::Loss};

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The broker had not accepted it yet.
    Connecting,
    /// It was in use.
    Connected,
}

/// One line: address, cause, remedy.
pub(super) fn describe(error: &ConnectionError, stage: Stage, broker: &Address, user: Option<&str>) -> String {
    let (cause, remedy) = match error {
        ConnectionError::ConnectionRefused(code) => refused(*code, user),
        ConnectionError::Tls(error) => tls(error),
        ConnectionError::Io(error) => network(error),
        ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Packet::Io(error))) => {
            network(error)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) if stage == Stage::Connecting => (
            "closed the connection before it answered".into(),
            "is that port plain MQTT, or does it want TLS (mqtts://)?".into(),
        ),
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            ("closed the connection".into(), "was it stopped, or does another client use the same client-id?".into())
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => silent(),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            ("does not answer in time".into(), "is it overloaded, or is something else listening there?".into())
        }
        other => (other.to_string(), "does an MQTT 3.1.1 broker listen there?".into()),
    };
    line(broker, &cause, &remedy)
}

/// Whether the broker has ended an accepted connection, which in MQTT 3.1.1 may be its way to refuse a message.
pub(super) fn loss(error: &ConnectionError, stage: Stage) -> Loss {
    let closed = match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Packet::Io(error))) => {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            )
        }
        _ => false,
    };
    if closed && stage == Stage::Connected { Loss::Closed } else { Loss::Other }
}

/// One line for a broker that took messages and has not acknowledged any for `time`.
pub(super) fn unanswered(time: Duration, broker: &Address) -> String {
    let (_, remedy) = silent();
    line(broker, &format!("has acknowledged nothing for {} s", time.as_secs()), &remedy)
}

fn line(broker: &Address, cause: &str, remedy: &str) -> String {
    format!("MQTT broker {broker}: {cause}; {remedy}")
}

fn silent() -> (String, String) {
    ("no longer answers".into(), "is the network up, and is the broker alive?".into())
}

fn refused(code: ConnectReturnCode, user: Option<&str>) -> (String, String) {
    match (code, user) {
        (ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword, Some(user)) => {
            (format!("refused the credentials of user {user:?}"), "check username and password or password-file".into())
        }
        (ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword, None) => {
            ("refused a client without credentials".into(), "set username and password or password-file".into())
        }
        (ConnectReturnCode::BadClientId, _) => ("refused the client-id".into(), "set another client-id".into()),
        (ConnectReturnCode::RefusedProtocolVersion, _) => {
            ("does not speak MQTT 3.1.1".into(), "use another broker or listener".into())
        }
        (code, _) => (format!("refused the connection ({code:?})"), "see the broker's log".into()),
    }
}

fn tls(error: &TlsError) -> (String, String) {
    match error {
        TlsError::TLS(error) => secured(error),
        TlsError::Io(error) => match inner(error) {
            Some(error) => secured(error),
            None => (format!("TLS failed: {error}"), NO_TLS.into()),
        },
        other => (format!("TLS failed: {other}"), NO_TLS.into()),
    }
}

const NO_TLS: &str = "is that port a TLS listener?";

/// What TLS has to say within an error of the network.
fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The texts hold no time and no count, so that the same cause has the same text each time.
fn secured(error: &rustls::Error) -> (String, String) {
    let (cause, remedy) = match error {
        rustls::Error::InvalidCertificate(error) => {
            let (cause, remedy) = certificate(error);
            (format!("the broker's certificate is not accepted: {cause}"), remedy)
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            ("the broker wants a client certificate".into(), "set tls-cert-file and tls-key-file")
        }
        // What brokers answer to no certificate in TLS 1.2, and to one of an unknown authority in TLS 1.3.
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::HandshakeFailure
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::DecryptError),
        ) => (
            format!("the broker does not accept the client's certificate ({alert:?})"),
            "tls-cert-file must hold a valid certificate of an authority that the broker trusts",
        ),
        rustls::Error::InvalidMessage(_) => (error.to_string(), NO_TLS),
        other => (other.to_string(), "see the broker's log"),
    };
    (format!("TLS failed: {cause}"), remedy.into())
}

fn certificate(error: &CertificateError) -> (String, &'static str) {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => {
            ("it has expired".into(), "renew it, or set this machine's clock if it is wrong")
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            ("it is not valid yet".into(), "is this machine's clock right?")
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            (error.to_string(), "use one of the names in it as host, or have this one put into it")
        }
        E::UnknownIssuer | E::BadSignature => {
            (error.to_string(), "tls-ca-file must name the authority that signed the broker's certificate")
        }
        other => (other.to_string(), "have a new one made for the broker"),
    }
}

fn network(error: &io::Error) -> (String, String) {
    if let Some(error) = inner(error) {
        return secured(error);
    }
    let remedy = match error.kind() {
        io::ErrorKind::ConnectionRefused => "is mosquitto (or another broker) running there?",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "was the broker stopped?"
        }
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "is the network up, and does a firewall let this port through?"
        }
        _ => "are host and port right?",
    };
    (error.to_string(), remedy.into())
}

#[cfg(test)]
mod tests {
    use rumqttc::tokio_rustls::rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn names_address_cause_and_remedy() {
        let broker = Address::parse("mqtts://me@broker.example").unwrap();
        let io = |kind: io::ErrorKind| ConnectionError::Io(kind.into());
        let refused = |code| ConnectionError::ConnectionRefused(code);
        for (error, user, expected) in [
            (io(io::ErrorKind::ConnectionRefused), None, "is mosquitto"),
            (io(io::ErrorKind::HostUnreachable), None, "is the network up"),
            (refused(ConnectReturnCode::NotAuthorized), Some("me"), "credentials of user \"me\"; check"),
            (refused(ConnectReturnCode::BadUserNamePassword), None, "without credentials; set username"),
            (refused(ConnectReturnCode::BadClientId), None, "client-id"),
            (ConnectionError::NetworkTimeout, None, "does not answer in time"),
            (
                ConnectionError::MqttState(StateError::ConnectionAborted),
                None,
                "before it answered; is that port plain MQTT",
            ),
            (
                ConnectionError::Tls(TlsError::Io(io::Error::new(
                    io::ErrorKind::InvalidData,
                    rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                ))),
                None,
                "UnknownIssuer; tls-ca-file must name",
            ),
        ] {
            let text = describe(&error, Stage::Connecting, &broker, user);
            assert!(text.starts_with("MQTT broker broker.example:8883: "), "{text}");
            assert!(text.contains(expected), "{text}");
        }
        let late = io::Error::other(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        let text = describe(
            &ConnectionError::MqttState(StateError::Deserialization(Packet::Io(late))),
            Stage::Connecting,
            &broker,
            None,
        );
        assert!(text.contains("wants a client certificate; set tls-cert-file"), "{text}");
        let expired = |time| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
            let error = CertificateError::ExpiredContext { time, not_after: time };
            secured(&rustls::Error::InvalidCertificate(error))
        };
        assert_eq!(expired(1), expired(2), "the same cause is one text, at any time");
        assert!(expired(1).0.contains("expired"));
        let closed = ConnectionError::MqttState(StateError::ConnectionAborted);
        let text = describe(&closed, Stage::Connected, &broker, None);
        assert!(text.contains("same client-id"), "{text}");
        let text = unanswered(Duration::from_secs(20), &broker);
        assert!(text.contains("nothing for 20 s"), "{text}");
    }
}
