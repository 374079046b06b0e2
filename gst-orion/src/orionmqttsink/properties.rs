// SPDX-License-Identifier: MPL-2.0
//! The element's properties: names, ranges and texts, and their way to and from [`Settings`].

use std::time::Duration;

use gst::{glib, prelude::*};
use orion_core::topic::DEFAULT_TEMPLATE;

use super::settings::Settings;
use crate::properties::{keep, stats};

/// The shortest `max-reconnect-interval`: anything less is a busy loop.
const MIN_RECONNECT: Duration = Duration::from_millis(10);

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// All of them.
pub(super) fn specs() -> Vec<glib::ParamSpec> {
    let d = Settings::default();
    vec![
        glib::ParamSpecString::builder("uri")
            .nick("URI")
            .blurb("Broker as mqtt://[user@]host[:port] or mqtts://[user@]host[:port] (TLS); replaces host and port; empty = those (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("host")
            .nick("Host")
            .blurb("Name or address of the broker, without TLS (default: 127.0.0.1)")
            .default_value(Some(d.host.as_str()))
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("port")
            .nick("Port")
            .blurb("TCP port of the broker (default: 1883)")
            .minimum(1)
            .maximum(u16::MAX.into())
            .default_value(d.port.into())
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("client-id")
            .nick("Client id")
            .blurb("MQTT client identifier, unique at the broker; empty = a random one at each start (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("mqtt-version", d.mqtt_version)
            .nick("MQTT version")
            .blurb("Version of MQTT; 5 tells why the broker refuses something, heeds its limits and adds expiry and content type to messages (default: 3.1.1)")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("clean-start")
            .nick("Clean start")
            .blurb("Begin a new session with each connection; false = go on with it after a lost connection, so that mqtt-qos=2 means exactly once; needs client-id (default: true)")
            .default_value(d.clean_start)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("session-expiry-interval")
            .nick("Session expiry interval")
            .blurb("Seconds that the broker keeps the session after a lost connection, with clean-start=false and MQTT 5; with 3.1.1 the broker decides (default: 3600)")
            .minimum(1)
            .default_value(d.session_expiry)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("username")
            .nick("User name")
            .blurb("Name to log in with; empty = the one in uri, else the environment variable ORION_MQTT_USERNAME (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("password")
            .nick("Password")
            .blurb("Password to log in with; cannot be read back; empty = the environment variable ORION_MQTT_PASSWORD (default: empty)")
            .write_only()
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("password-file")
            .nick("Password file")
            .blurb("File with the password, read at each start, used instead of password; empty = none (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("tls-ca-file")
            .nick("CA file")
            .blurb("PEM file with the certificates of the authorities to trust, for mqtts; empty = those of the system (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("tls-cert-file")
            .nick("Client certificate")
            .blurb("PEM file with the certificate to show to the broker, and what leads to its authority, for mqtts; with tls-key-file; empty = none (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("tls-key-file")
            .nick("Client key")
            .blurb("PEM file with the private key of tls-cert-file, not encrypted; empty = none (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("tls-insecure")
            .nick("No check of the broker")
            .blurb("Take any certificate of the broker for good: whoever is in between can read and change everything; for tests only (default: false)")
            .default_value(d.tls.insecure)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("topic")
            .nick("Topic")
            .blurb("Topic, may contain {instance_id}, {room_id}, {type} and {label}, that of the most confident detection; empty = that of the profile (default: care/inferences/{instance_id}/{type})")
            .default_value(Some(DEFAULT_TEMPLATE))
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("profile", d.profile)
            .nick("Profile")
            .blurb("Whose messages are published; topics: care/inferences/{instance_id}/{type}, dlstreamer/{instance_id}/{type}, frigate/events (default: orion)")
            .mutable_ready()
            .build(),
        glib::ParamSpecDouble::builder("event-threshold")
            .nick("Event threshold")
            .blurb("Median confidence from which profile=frigate announces an object, 0..1 (default: 0.7 as in Frigate)")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(d.event_threshold)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("mqtt-qos")
            .nick("MQTT QoS")
            .blurb("Quality of service of the messages: 0 at most once, 1 at least once, 2 exactly once while connected, with clean-start=false always (default: 1)")
            .maximum(2)
            .default_value(d.qos.into())
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("retain")
            .nick("Retain")
            .blurb("Let the broker keep the last message of each topic for new subscribers (default: false)")
            .default_value(d.retain)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("keep-alive-interval")
            .nick("Keep-alive interval")
            .blurb("Seconds of silence until the broker is asked for a sign of life; twice that without an answer is a lost connection; 0 = never (default: 10)")
            .maximum(u16::MAX.into())
            .default_value(d.keep_alive.into())
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-buffered-messages")
            .nick("Most buffered messages")
            .blurb("Messages kept until the broker has acknowledged them; beyond that the oldest frames are dropped (default: 1000)")
            .minimum(1)
            .default_value(d.max_buffered)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("max-buffered-bytes")
            .nick("Most buffered bytes")
            .blurb("Bytes kept until the broker has acknowledged them: payloads, topics and names, and 1 KiB more for each message, which is about what it takes in memory; beyond that the oldest frames are dropped (default: 67108864 = 64 MiB)")
            .minimum(1)
            .default_value(d.max_buffered_bytes)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("outage-policy", d.outage_policy)
            .nick("Outage policy")
            .blurb("What becomes of messages while there is no connection (default: keep)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("buffer-directory")
            .nick("Buffer directory")
            .blurb("Folder of this sink alone, made if it is not there, in which messages survive a crash, a power cut and a restart until they are acknowledged; with it max-buffered-messages and -bytes may be large; empty = memory only (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("message-expiry-interval")
            .nick("Message expiry interval")
            .blurb("Seconds after which a message is worthless: it is dropped here and, with MQTT 5, by the broker; 0 = never (default: 0)")
            .default_value(d.message_expiry)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("max-reconnect-interval")
            .nick("Longest reconnect interval")
            .blurb("Nanoseconds between two attempts to connect at most; they begin at 100 ms and double (default: 30000000000 = 30 s)")
            .minimum(nanoseconds(MIN_RECONNECT))
            .default_value(nanoseconds(d.max_reconnect_interval))
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("drain-timeout")
            .nick("Drain timeout")
            .blurb("Nanoseconds that EOS waits for the last acknowledgements; a stop waits as long, but 2 s at most (default: 2000000000 = 2 s)")
            .default_value(nanoseconds(d.drain_timeout))
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("status-topic")
            .nick("Status topic")
            .blurb("Topic, may contain {instance_id}, for a retained `online`, last will `offline`, `stopped` after EOS or a stop; empty = none (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("instance-id")
            .nick("Instance id")
            .blurb("{instance_id} in status-topic and for buffers without Orion metas: letters, digits, _ and -; results carry their own; empty = orion, for buffers the element's name (default: empty)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("room-id")
            .nick("Room id")
            .blurb("{room_id} for buffers without Orion metas; results carry their own (default: empty)")
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("snapshot-topic")
            .nick("Snapshot topic")
            .blurb("Topic, may contain {instance_id}, {room_id} and {label}, for JPEG pictures of frames with a detection; empty = none (default: empty)")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt64::builder("snapshot-interval")
            .nick("Snapshot interval")
            .blurb("Nanoseconds between two pictures of a topic at least (default: 5000000000 = 5 s)")
            .default_value(nanoseconds(d.snapshot_interval))
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("privacy")
            .nick("Privacy")
            .blurb("Publish no snapshot, whatever snapshot-topic says (default: false)")
            .default_value(d.privacy)
            .mutable_playing()
            .build(),
        stats("Frames by fate (received, forwarded, dropped, in-flight), messages (published, acknowledged, replayed, gap-records, gap-records-dropped, buffered, buffered-bytes, stored, stored-bytes, storage-errors, acknowledge-mean-ms, acknowledge-p99-ms, snapshots, snapshots-dropped) and connection (connected, reconnects, connection-failures, last-error)"),
    ]
}

/// A property's value; `stats` is not among them.
pub(super) fn get(settings: &Settings, pspec: &glib::ParamSpec) -> glib::Value {
    match pspec.name() {
        "uri" => settings.uri.to_value(),
        "host" => settings.host.to_value(),
        "port" => u32::from(settings.port).to_value(),
        "client-id" => settings.client_id.to_value(),
        "mqtt-version" => settings.mqtt_version.to_value(),
        "clean-start" => settings.clean_start.to_value(),
        "session-expiry-interval" => settings.session_expiry.to_value(),
        "username" => settings.username.to_value(),
        "password-file" => settings.password_file.to_value(),
        "tls-ca-file" => settings.tls.ca_file.to_value(),
        "tls-cert-file" => settings.tls.cert_file.to_value(),
        "tls-key-file" => settings.tls.key_file.to_value(),
        "tls-insecure" => settings.tls.insecure.to_value(),
        "topic" => settings.topic().as_str().to_value(),
        "profile" => settings.profile.to_value(),
        "event-threshold" => settings.event_threshold.to_value(),
        "status-topic" => settings.status_topic.to_value(),
        "instance-id" => settings.instance_id.to_value(),
        "mqtt-qos" => u32::from(settings.qos).to_value(),
        "retain" => settings.retain.to_value(),
        "keep-alive-interval" => u32::from(settings.keep_alive).to_value(),
        "max-buffered-messages" => settings.max_buffered.to_value(),
        "max-buffered-bytes" => settings.max_buffered_bytes.to_value(),
        "outage-policy" => settings.outage_policy.to_value(),
        "buffer-directory" => settings.buffer_directory.to_value(),
        "message-expiry-interval" => settings.message_expiry.to_value(),
        "room-id" => settings.room_id.to_value(),
        "snapshot-topic" => settings.snapshot_topic.as_ref().map_or("", |topic| topic.as_str()).to_value(),
        "snapshot-interval" => nanoseconds(settings.snapshot_interval).to_value(),
        "privacy" => settings.privacy.to_value(),
        "max-reconnect-interval" => nanoseconds(settings.max_reconnect_interval).to_value(),
        "drain-timeout" => nanoseconds(settings.drain_timeout).to_value(),
        _ => pspec.default_value().clone(), // `password` is write-only, so there is no other
    }
}

/// Takes a property's value; whoever reads back sees what is in force.
///
/// # Errors
/// A text that says why it was refused; the old value is kept.
pub(super) fn set(settings: &mut Settings, property: &str, value: &glib::Value) -> Result<(), String> {
    // GObject has checked type and range, so the defaults never come to pass.
    let text = || value.get::<Option<String>>().ok().flatten().unwrap_or_default();
    let number = || value.get::<u32>().unwrap_or_default();
    let small = || u16::try_from(number()).unwrap_or_default();
    let time = || Duration::from_nanos(value.get().unwrap_or_default());
    match property {
        "uri" => return settings.set_uri(text()),
        "host" => settings.host = text(),
        "port" => settings.port = small(),
        "client-id" => settings.client_id = text(),
        "mqtt-version" => keep(value, &mut settings.mqtt_version),
        "clean-start" => settings.clean_start = value.get().unwrap_or_default(),
        "session-expiry-interval" => settings.session_expiry = number(),
        "username" => settings.username = text(),
        "password" => settings.password = text(),
        "password-file" => settings.password_file = text(),
        "tls-ca-file" => settings.tls.ca_file = text(),
        "tls-cert-file" => settings.tls.cert_file = text(),
        "tls-key-file" => settings.tls.key_file = text(),
        "tls-insecure" => settings.tls.insecure = value.get().unwrap_or_default(),
        "topic" => return settings.set_topic(&text()),
        "profile" => settings.set_profile(value.get().unwrap_or_default()),
        "event-threshold" => keep(value, &mut settings.event_threshold),
        "status-topic" => return settings.set_status_topic(text()),
        "instance-id" => return settings.set_instance_id(text()),
        "mqtt-qos" => settings.qos = number() as u8,
        "retain" => settings.retain = value.get().unwrap_or_default(),
        "keep-alive-interval" => settings.keep_alive = small(),
        "max-buffered-messages" => settings.max_buffered = number(),
        "max-buffered-bytes" => keep(value, &mut settings.max_buffered_bytes),
        "outage-policy" => keep(value, &mut settings.outage_policy),
        "buffer-directory" => settings.buffer_directory = text(),
        "message-expiry-interval" => settings.message_expiry = number(),
        "room-id" => settings.room_id = text(),
        "snapshot-topic" => return settings.set_snapshot_topic(&text()),
        "snapshot-interval" => settings.snapshot_interval = time(),
        "privacy" => settings.set_privacy(value.get().unwrap_or_default()),
        "max-reconnect-interval" => settings.max_reconnect_interval = time(),
        "drain-timeout" => settings.drain_timeout = time(),
        _ => {}
    }
    Ok(())
}
