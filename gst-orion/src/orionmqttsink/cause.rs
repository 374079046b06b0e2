// SPDX-License-Identifier: MPL-2.0
//! Why there is no connection, in words that say what to do.

use std::{io, time::Duration};

use rumqttc::tokio_rustls::rustls::{self, AlertDescription, CertificateError};

use super::{
    address::Address,
    outbox::Loss,
    session::{Version, failure::Failure, reason::Reason},
};

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The broker had not accepted it yet.
    Connecting,
    /// It was in use.
    Connected,
}

/// One line: address, cause, remedy.
pub(super) fn describe(
    failure: &Failure,
    stage: Stage,
    broker: &Address,
    user: Option<&str>,
    version: Version,
) -> String {
    let (cause, remedy) = match failure {
        Failure::Refused(reason) => refused(*reason, user, version),
        Failure::Ended(reason, text) => {
            let text = text.as_deref().map(|text| format!(": {text:?}")).unwrap_or_default();
            (format!("ended the connection ({}{text})", reason.words()), reason.remedy().into())
        }
        Failure::Secured(error) => secured(error),
        Failure::Tls(error) => (format!("TLS failed: {error}"), NO_TLS.into()),
        Failure::Io(error) => network(error),
        Failure::Closed if stage == Stage::Connecting => {
            let remedy = match version {
                Version::V3_1_1 => "is that port plain MQTT, or does it want TLS (mqtts://)?",
                Version::V5 => "does it speak MQTT 5 (else set mqtt-version=3.1.1), or does it want TLS (mqtts://)?",
            };
            ("closed the connection before it answered".into(), remedy.into())
        }
        Failure::Closed => {
            ("closed the connection".into(), "was it stopped, or does another client use the same client-id?".into())
        }
        Failure::Silent => silent(),
        Failure::TimedOut => {
            ("does not answer in time".into(), "is it overloaded, or is something else listening there?".into())
        }
        Failure::Over => ("the connection ended in here".into(), "it is tried again".into()),
        Failure::Other(error) => {
            let remedy = match version {
                Version::V3_1_1 => "does an MQTT 3.1.1 broker listen there?",
                Version::V5 => "does an MQTT 5 broker listen there (else set mqtt-version=3.1.1)?",
            };
            (error.clone(), remedy.into())
        }
    };
    line(broker, &cause, &remedy)
}

/// Whether the broker has ended an accepted connection in a way that may mean a message. MQTT 3.1.1 has no other way to refuse
/// one; with MQTT 5 most reasons rule it out.
pub(super) fn loss(failure: &Failure, stage: Stage) -> Loss {
    let closed = match failure {
        Failure::Closed => true,
        Failure::Ended(reason, _) => reason.may_mean_a_message(),
        Failure::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
        ),
        _ => false,
    };
    if closed && stage == Stage::Connected { Loss::Closed } else { Loss::Other }
}

/// One line for a broker that came back with other limits.
pub(super) fn changed(broker: &Address) -> String {
    line(broker, "has other limits than before", "the session begins anew")
}

/// One line for a broker that does not take a message now.
pub(super) fn later(reason: Reason, broker: &Address) -> String {
    line(broker, &format!("does not take a message now ({})", reason.words()), reason.remedy())
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

fn refused(reason: Reason, user: Option<&str>, version: Version) -> (String, String) {
    match (reason, user) {
        (Reason::NOT_AUTHORIZED | Reason::CREDENTIALS, Some(user)) => {
            (format!("refused the credentials of user {user:?}"), "check username and password or password-file".into())
        }
        (Reason::NOT_AUTHORIZED | Reason::CREDENTIALS, None) => {
            ("refused a client without credentials".into(), "set username and password or password-file".into())
        }
        (Reason::CLIENT_ID, _) => ("refused the client-id".into(), "set another client-id".into()),
        (Reason::VERSION, _) => match version {
            Version::V3_1_1 => ("does not speak MQTT 3.1.1".into(), "use another broker or listener".into()),
            Version::V5 => ("does not speak MQTT 5".into(), "set mqtt-version=3.1.1".into()),
        },
        (reason, _) => (format!("refused the connection ({})", reason.words()), reason.remedy().into()),
    }
}

const NO_TLS: &str = "is that port a TLS listener?";

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

    fn connecting(failure: &Failure, user: Option<&str>, version: Version) -> String {
        let broker = Address::parse("mqtts://me@broker.example").unwrap();
        let text = describe(failure, Stage::Connecting, &broker, user, version);
        assert!(text.starts_with("MQTT broker broker.example:8883: "), "{text}");
        text
    }

    #[test]
    fn names_address_cause_and_remedy() {
        let io = |kind: io::ErrorKind| Failure::from(io::Error::from(kind));
        let invalid = |error| Failure::from(io::Error::other(rustls::Error::InvalidCertificate(error)));
        let alert = |alert| Failure::from(io::Error::other(rustls::Error::AlertReceived(alert)));
        for (failure, user, expected) in [
            (io(io::ErrorKind::ConnectionRefused), None, "is mosquitto"),
            (io(io::ErrorKind::HostUnreachable), None, "is the network up"),
            (Failure::Refused(Reason::NOT_AUTHORIZED), Some("me"), "credentials of user \"me\"; check"),
            (Failure::Refused(Reason::CREDENTIALS), None, "without credentials; set username"),
            (Failure::Refused(Reason::CLIENT_ID), None, "client-id"),
            (Failure::Refused(Reason::BANNED), None, "(banned); ask the broker's administrator"),
            (Failure::Refused(Reason(0x89)), None, "(server busy); it is tried again"),
            (Failure::TimedOut, None, "does not answer in time"),
            (Failure::Silent, None, "is the broker alive?"),
            (invalid(CertificateError::UnknownIssuer), None, "UnknownIssuer; tls-ca-file must name"),
            (alert(AlertDescription::CertificateRequired), None, "wants a client certificate; set tls-cert-file"),
        ] {
            for version in [Version::V3_1_1, Version::V5] {
                let text = connecting(&failure, user, version);
                assert!(text.contains(expected), "{text}");
            }
        }
        for (failure, old, new) in [
            (Failure::Closed, "is that port plain MQTT", "set mqtt-version=3.1.1"),
            (Failure::Refused(Reason::VERSION), "does not speak MQTT 3.1.1", "MQTT 5; set mqtt-version=3.1.1"),
            (Failure::Other("x".into()), "MQTT 3.1.1 broker", "MQTT 5 broker"),
        ] {
            assert!(connecting(&failure, None, Version::V3_1_1).contains(old), "{old}");
            assert!(connecting(&failure, None, Version::V5).contains(new), "{new}");
        }
        let expired = |time| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
            let error = CertificateError::ExpiredContext { time, not_after: time };
            secured(&rustls::Error::InvalidCertificate(error))
        };
        assert_eq!(expired(1), expired(2), "the same cause is one text, at any time");
        assert!(expired(1).0.contains("expired"));
        let broker = Address::plain("b", 1);
        let text = describe(&Failure::Closed, Stage::Connected, &broker, None, Version::V5);
        assert!(text.contains("same client-id"), "{text}");
        let ended = Failure::Ended(Reason(0x8E), Some("bye".into()));
        let text = describe(&ended, Stage::Connected, &broker, None, Version::V5);
        assert!(text.contains("(session taken over: \"bye\"); does another client"), "{text}");
        let text = unanswered(Duration::from_secs(20), &broker);
        assert!(text.contains("nothing for 20 s"), "{text}");
    }

    #[test]
    fn only_an_accepted_connection_that_the_broker_ends_may_mean_a_message() {
        let reset = Failure::Io(io::ErrorKind::ConnectionReset.into());
        let unreachable = Failure::Io(io::ErrorKind::HostUnreachable.into());
        for (failure, expected) in [
            (Failure::Closed, Loss::Closed),
            (reset, Loss::Closed),
            (Failure::Ended(Reason(0x95), None), Loss::Closed),
            (Failure::Ended(Reason(0x8E), None), Loss::Other),
            (unreachable, Loss::Other),
            (Failure::Silent, Loss::Other),
        ] {
            assert_eq!(loss(&failure, Stage::Connected), expected, "{failure:?}");
            assert_eq!(loss(&failure, Stage::Connecting), Loss::Other);
        }
    }
}
