// SPDX-License-Identifier: MPL-2.0
//! Texts that must have a form, and keys that must fit each other.

use std::net::SocketAddr;

use orion_core::topic::TopicTemplate;
use serde::{Deserialize, Deserializer, de::Error};

use super::Config;

/// The broker of this configuration, without the user: host and port.
pub(crate) fn broker(uri: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = uri.split_once("://")?;
    let default = match scheme {
        "mqtt" => 1883,
        "mqtts" => 8883,
        _ => return None,
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    let (host, port) = match server.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    let port = if port.is_empty() { default } else { port.strip_prefix(':')?.parse().ok()? };
    (!host.is_empty()).then_some((host, port))
}

pub(super) fn instance_id<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, |id| {
        let valid = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        valid.then_some(()).ok_or_else(|| "expected letters, digits, _ and -".into())
    })
}

pub(super) fn rtsp_url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, |url| match url.split_once("://") {
        None if url.is_empty() => Ok(()),
        Some(("rtsp" | "rtsps" | "rtspt", rest)) if !rest.is_empty() && !rest.starts_with('/') => Ok(()),
        // The text may hold a password: it is not repeated.
        _ => Err("expected rtsp://host[:port]/path".into()),
    })
}

pub(super) fn mqtt_uri<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, |uri| {
        let user = uri.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            return Err("a password does not belong here; set mqtt.username and mqtt.password_file".into());
        }
        broker(uri).map(|_| ()).ok_or_else(|| "expected mqtt://host[:port] or mqtts://host[:port]".into())
    })
}

pub(super) fn prefix<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, |prefix| match TopicTemplate::parse(prefix) {
        Ok(_) if !prefix.contains(['{', '}']) => Ok(()),
        Ok(_) => Err("expected a plain topic without place holders".into()),
        Err(error) => Err(error.to_string()),
    })
}

pub(super) fn bind<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    text(d, |bind| match bind.parse::<SocketAddr>() {
        Err(_) if !bind.is_empty() => Err("expected ADDRESS:PORT such as 127.0.0.1:8080, or empty = off".into()),
        _ => Ok(()),
    })
}

fn text<'de, D: Deserializer<'de>>(d: D, check: impl Fn(&str) -> Result<(), String>) -> Result<String, D::Error> {
    let value = String::deserialize(d)?;
    check(&value).map_err(D::Error::custom)?;
    Ok(value)
}

/// Rules over several keys: the key to blame and what is wrong.
pub(super) fn together(config: &Config) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let mut rule = |broken: bool, key, text: &str| {
        if broken {
            problems.push((key, text.to_owned()));
        }
    };
    let (camera, mqtt, detector) = (&config.camera, &config.mqtt, &config.models.person_detector);
    rule(!camera.rtsp_url.is_empty() && !camera.file.is_empty(), "camera.file", "set either this or camera.rtsp_url");
    rule(!mqtt.password_file.is_empty() && mqtt.username.is_empty(), "mqtt.password_file", "needs mqtt.username");
    let host = broker(&mqtt.uri).map(|(host, _)| host);
    // Those that mosquitto listens on by itself.
    let loopback = host.is_some_and(|host| ["localhost", "127.0.0.1", "::1"].contains(&host));
    rule(
        mqtt.embedded && (!loopback || !mqtt.uri.starts_with("mqtt://")),
        "mqtt.uri",
        "mqtt.embedded runs a broker on loopback only: expected mqtt://127.0.0.1:PORT (0 = any free port)",
    );
    rule(
        !mqtt.embedded && broker(&mqtt.uri).is_some_and(|(_, port)| port == 0),
        "mqtt.uri",
        "port 0 needs mqtt.embedded: true",
    );
    rule(
        mqtt.embedded && !mqtt.username.is_empty(),
        "mqtt.username",
        "the broker of mqtt.embedded knows no users: leave this empty",
    );
    rule(detector.labels.is_empty(), "models.person_detector.labels", "expected at least one label");
    rule(
        detector.model_path.is_empty() && !detector.model_path_320.is_empty(),
        "models.person_detector.model_path_320",
        "needs models.person_detector.model_path",
    );
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_host_and_port() {
        assert_eq!(broker("mqtt://localhost"), Some(("localhost", 1883)));
        assert_eq!(broker("mqtts://me@[::1]/"), Some(("::1", 8883)));
        assert_eq!(broker("mqtt://a:0"), Some(("a", 0)));
        for wrong in ["", "localhost:1883", "http://a", "mqtt://", "mqtt://a:x", "mqtt://a:70000"] {
            assert_eq!(broker(wrong), None, "{wrong}");
        }
    }
}
