// SPDX-License-Identifier: MPL-2.0
//! Why there is no connection, in words that say what to do.

use std::{io, time::Duration};

use rumqttc::{ConnectReturnCode, ConnectionError, StateError, TlsError};

use super::address::Address;

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
        ConnectionError::MqttState(StateError::Io(error)) => network(error),
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
    let cause = match error {
        TlsError::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let remedy = if cause.contains("certificate") {
        "tls-ca-file must name the CA that signed the broker's certificate, and the certificate must name this host"
    } else {
        "is that port a TLS listener?"
    };
    (format!("TLS failed: {cause}"), remedy.into())
}

fn network(error: &io::Error) -> (String, String) {
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
                    "invalid peer certificate: UnknownIssuer",
                ))),
                None,
                "UnknownIssuer; tls-ca-file must name",
            ),
        ] {
            let text = describe(&error, Stage::Connecting, &broker, user);
            assert!(text.starts_with("MQTT broker broker.example:8883: "), "{text}");
            assert!(text.contains(expected), "{text}");
        }
        let closed = ConnectionError::MqttState(StateError::ConnectionAborted);
        let text = describe(&closed, Stage::Connected, &broker, None);
        assert!(text.contains("same client-id"), "{text}");
        let text = unanswered(Duration::from_secs(20), &broker);
        assert!(text.contains("nothing for 20 s"), "{text}");
    }
}
