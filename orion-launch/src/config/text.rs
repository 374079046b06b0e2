// SPDX-License-Identifier: MPL-2.0
//! Texts that must have a form. No message repeats them: they may hold a password.

use std::{borrow::Cow, net::SocketAddr};

use gst::glib;
use orion_core::{environment, topic::TopicTemplate};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::json;

/// Declares kinds of texts: `Name: check, what the JSON Schema says`. A field has one by `#[serde(with = "text::Name")]`.
macro_rules! kinds {
    ($($name:ident: $check:expr, $schema:tt;)*) => {$(
        pub(super) struct $name;

        impl $name {
            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
                let text = String::deserialize(deserializer)?;
                let check: fn(&str) -> Result<(), &'static str> = $check;
                clean(&text).and_then(|()| check(&text)).map_err(D::Error::custom)?;
                Ok(text)
            }

            pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
                text.serialize(serializer)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("type".into(), "string".into());
                schema
            }
        }
    )*};
}

kinds! {
    Free: |_| Ok(()), {};
    InstanceId: instance_id, {"pattern": "^[A-Za-z0-9_-]+$"};
    RtspUrl: rtsp_url, {"pattern": "^$|^rtsp[st]?://[^/?#]+"};
    MqttUri: mqtt_uri, {"pattern": "^mqtts?://([^@:/?#]+@)?[^@/?#]+/?$"};
    Prefix: prefix, {"pattern": "^[^#+{}]+$"};
    Bind: bind, {"pattern": "^$|^.+:[0-9]{1,5}$"};
    Command: command, {};
    Group: group, {"pattern": "^[a-z0-9_-]{0,32}$"};
}

/// GStreamer's properties end at a NUL.
fn clean(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') { Err("expected text without the character NUL") } else { Ok(()) }
}

fn instance_id(id: &str) -> Result<(), &'static str> {
    if id == "all" {
        return Err("expected another name: commands to `all` are for every daemon");
    }
    let valid = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    valid.then_some(()).ok_or("expected letters, digits, _ and -")
}

fn rtsp_url(url: &str) -> Result<(), &'static str> {
    const FORM: &str = "expected rtsp://[user:password@]host[:port]/path";
    if url.is_empty() {
        return Ok(());
    }
    let rest = ["rtsp://", "rtsps://", "rtspt://"].iter().find_map(|scheme| url.strip_prefix(scheme)).ok_or(FORM)?;
    if rest.contains(char::is_whitespace) {
        return Err("expected rtsp://[user:password@]host[:port]/path without spaces; write %20 for one");
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (user, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = server_parts(server).ok_or(FORM)?;
    if host.is_empty() {
        return Err(FORM);
    }
    if !port.is_empty() && !port.parse().is_ok_and(|port: u16| port > 0) {
        // Often a password with `/`, which then ends the host's part too early.
        return Err(
            "expected rtsp://[user:password@]host[:port]/path with a port 1..65535; in a password write %2F for /, \
                    %3F for ?, %23 for #",
        );
    }
    if user.contains('@') {
        return Err("expected rtsp://[user:password@]host[:port]/path with one @; in a password write %40 for it");
    }
    // What `print-config` shows is not the password.
    if user.ends_with(":***") {
        return Err("*** stands for a password that was not shown: put the password itself");
    }
    Ok(())
}

/// Host, without the brackets of an IPv6 address, and port, which may be empty.
fn server_parts(server: &str) -> Option<(&str, &str)> {
    let (host, port) = match server.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if port.is_empty() { Some((host, port)) } else { Some((host, port.strip_prefix(':').filter(|p| !p.is_empty())?)) }
}

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
    let (host, port) = server_parts(server)?;
    let port = if port.is_empty() { default } else { port.parse().ok()? };
    let valid = !host.is_empty() && !host.contains(['/', '?', '#', '%', ' ', '[', ']']);
    valid.then_some((host, port))
}

fn mqtt_uri(uri: &str) -> Result<(), &'static str> {
    const FORM: &str = "expected mqtt://[user@]host[:port] or mqtts://[user@]host[:port]";
    if let Some((user, _)) = uri.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')) {
        if user.contains(':') {
            return Err("a password does not belong here; set mqtt.username and mqtt.password_file");
        }
        if user.contains('%') {
            return Err("escapes (%) are not understood; set mqtt.username");
        }
        // What comes before the first of these is the host for other readers of addresses.
        if user.is_empty() || user.contains(['@', '/', '?', '#']) {
            return Err(FORM);
        }
    }
    broker(uri).map(|_| ()).ok_or(FORM)
}

fn prefix(prefix: &str) -> Result<(), &'static str> {
    match TopicTemplate::parse(prefix) {
        Ok(_) if !prefix.contains(['{', '}']) => Ok(()),
        _ => Err("expected a topic such as care or house/2, without #, +, { and }"),
    }
}

fn bind(bind: &str) -> Result<(), &'static str> {
    let short = bind.rsplit(':').next().is_some_and(|port| port.len() <= 5);
    let valid = bind.is_empty() || (short && bind.parse::<SocketAddr>().is_ok());
    valid.then_some(()).ok_or("expected ADDRESS:PORT such as 127.0.0.1:8080, or empty = off")
}

fn command(command: &str) -> Result<(), &'static str> {
    let valid = command.is_empty() || glib::shell_parse_argv(command).is_ok_and(|words| !words.is_empty());
    valid.then_some(()).ok_or("expected a program and its arguments, quoted as for a shell, or empty")
}

fn group(name: &str) -> Result<(), &'static str> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let valid = name.len() <= 32 && name.chars().all(known);
    valid.then_some(()).ok_or("expected a name, 32 of a-z, 0-9, _ and - at most, or empty")
}

/// What is looked for: the worker gets it as one text with commas.
pub(super) struct Labels;

impl Labels {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let labels = Vec::<String>::deserialize(deserializer)?;
        if labels.is_empty() {
            return Err(D::Error::custom("expected at least one label"));
        }
        if labels.iter().any(|label| label.trim().is_empty() || label.contains([',', '\0'])) {
            return Err(D::Error::custom("expected labels that are not empty and hold no comma"));
        }
        Ok(labels)
    }

    pub(super) fn serialize<S: Serializer>(labels: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        labels.serialize(serializer)
    }
}

impl JsonSchema for Labels {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let label = json!({"type": "string", "pattern": "^[^,]*[^, ][^,]*$"});
        json_schema!({"type": "array", "minItems": 1, "items": label})
    }
}

/// Names of variables, with `*` at the end for any others.
pub(super) struct Variables;

impl Variables {
    const PATTERN: &str = "^([A-Za-z0-9_]+[*]?|[*])$";

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        match names.iter().all(|name| environment::is_pattern(name)) {
            true => Ok(names),
            false => Err(D::Error::custom(
                "expected names of variables: letters, digits and _, and * at the end for any others",
            )),
        }
    }

    pub(super) fn serialize<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        names.serialize(serializer)
    }
}

impl JsonSchema for Variables {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Variables".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": {"type": "string", "pattern": Self::PATTERN}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_host_and_port() {
        assert_eq!(broker("mqtt://localhost"), Some(("localhost", 1883)));
        assert_eq!(broker("mqtts://me@[::1]/"), Some(("::1", 8883)));
        assert_eq!(broker("mqtt://a:0"), Some(("a", 0)));
        for wrong in
            ["", "localhost:1883", "http://a", "mqtt://", "mqtt://a:x", "mqtt://a:70000", "mqtt://a/b", "mqtt://a:"]
        {
            assert_eq!(broker(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_of_a_broker_is_the_same_for_all_who_read_it() {
        for good in ["mqtt://me@a", "mqtts://me@[::1]:1/"] {
            assert_eq!(mqtt_uri(good), Ok(()), "{good}");
        }
        for wrong in
            ["mqtt://a/b@c", "mqtt://a/@c", "mqtt://a?@c", "mqtt://a#@c", "mqtt://a@b@c", "mqtt://@a", "mqtt://me:x@a"]
        {
            assert!(mqtt_uri(wrong).is_err(), "{wrong}");
        }
        assert!(bind("127.0.0.1:80").is_ok() && bind("127.0.0.1:000080").is_err());
    }

    #[test]
    fn an_address_of_a_camera_has_its_form() {
        for good in ["", "rtsp://cam", "rtsp://me:p%40ss@cam:554/x?y=z", "rtsps://[::1]:322/a", "rtspt://u@c/"] {
            assert_eq!(rtsp_url(good), Ok(()), "{good}");
        }
        for wrong in [
            "cam",
            "http://cam/",
            "rtsp://",
            "rtsp:///x",
            "rtsp://me:p/w@cam/x",
            "rtsp://me:p@ss@cam/x",
            "rtsp://cam:0/",
            "rtsp://cam:/",
            "rtsp://a b/",
            "rtsp://u:***@cam/",
        ] {
            let error = rtsp_url(wrong).unwrap_err();
            assert!(!error.contains("p/w"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_command_is_read_as_a_shell_would() {
        assert_eq!(command("python3 'my worker.py' -v"), Ok(()));
        assert!(command("sh 'x").is_err() && command("  ").is_err());
    }
}
