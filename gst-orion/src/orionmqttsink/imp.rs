// SPDX-License-Identifier: MPL-2.0

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use gst::{glib, prelude::*, subclass::prelude::*};
use gst_base::{prelude::*, subclass::prelude::*};
use orion_core::{
    ledger::Cause,
    topic::{DEFAULT_TEMPLATE, TopicTemplate},
};

use super::{
    client::{Client, Notice},
    link::{Drained, Link},
    payload::{self, Body, Draft, Now, PayloadError},
    settings::{ConfigError, Settings},
};
use crate::{
    identity, meta,
    properties::{self, lock},
    stats,
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("orionmqttsink", gst::DebugColorFlags::empty(), Some("Orion MQTT publisher"))
});

/// How long a stop may drain at most, whatever `drain-timeout` says: a state change must not hang.
const STOP_DRAIN: Duration = Duration::from_secs(2);

/// The shortest `max-reconnect-interval`: anything less is a busy loop.
const MIN_RECONNECT: Duration = Duration::from_millis(10);

struct State {
    /// Outlives the client, so that `stats` stay readable.
    link: Arc<Link>,
    client: Option<Client>,
}

// Neither lock is held while the other is taken, nor during I/O.
#[derive(Default)]
pub struct OrionMqttSink {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
}

fn now() -> Now {
    Now { wall: identity::wall_clock(), running: gst::get_timestamp().nseconds() }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[glib::object_subclass]
impl ObjectSubclass for OrionMqttSink {
    const NAME: &'static str = "GstOrionMqttSink";
    type Type = super::OrionMqttSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for OrionMqttSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
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
                glib::ParamSpecString::builder("username")
                    .nick("User name")
                    .blurb("Name to log in with; empty = the one in uri, if any (default: empty)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("password")
                    .nick("Password")
                    .blurb("Password to log in with; cannot be read back; empty = none (default: empty)")
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
                    .blurb("Topic, may contain {instance_id}, {room_id} and {type} (default: care/inferences/{instance_id}/{type})")
                    .default_value(Some(DEFAULT_TEMPLATE))
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("mqtt-qos")
                    .nick("MQTT QoS")
                    .blurb("Quality of service of the messages: 0 at most once, 1 at least once, 2 exactly once while connected (default: 1)")
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
                glib::ParamSpecUInt64::builder("max-reconnect-interval")
                    .nick("Longest reconnect interval")
                    .blurb("Nanoseconds between two attempts to connect at most; they begin at 100 ms and double (default: 30 s)")
                    .minimum(nanoseconds(MIN_RECONNECT))
                    .default_value(nanoseconds(d.max_reconnect_interval))
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("drain-timeout")
                    .nick("Drain timeout")
                    .blurb("Nanoseconds that EOS waits for the last acknowledgements; a stop waits as long, but 2 s at most (default: 2 s)")
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
                    .blurb("{instance_id} in status-topic: letters, digits, _ and -; results carry their own; empty = orion (default: empty)")
                    .mutable_ready()
                    .build(),
                properties::stats("Frames by fate (received, forwarded, dropped, in-flight), messages (published, acknowledged, buffered, buffered-bytes, acknowledge-mean-ms, acknowledge-p99-ms) and connection (connected, reconnects, connection-failures, last-error)"),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let sink = self.obj();
        sink.set_sync(false);
        sink.set_async(false);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if let Err(why) = self.change(value, pspec.name()) {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("{why}; the old value is kept"),
                ["property {}", pspec.name()]
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        let settings = lock(&self.settings);
        match pspec.name() {
            "uri" => settings.uri.to_value(),
            "host" => settings.host.to_value(),
            "port" => u32::from(settings.port).to_value(),
            "client-id" => settings.client_id.to_value(),
            "username" => settings.username.to_value(),
            "password-file" => settings.password_file.to_value(),
            "tls-ca-file" => settings.tls.ca_file.to_value(),
            "tls-cert-file" => settings.tls.cert_file.to_value(),
            "tls-key-file" => settings.tls.key_file.to_value(),
            "tls-insecure" => settings.tls.insecure.to_value(),
            "topic" => settings.topic.to_value(),
            "status-topic" => settings.status_topic.to_value(),
            "instance-id" => settings.instance_id.to_value(),
            "mqtt-qos" => u32::from(settings.qos).to_value(),
            "retain" => settings.retain.to_value(),
            "keep-alive-interval" => u32::from(settings.keep_alive).to_value(),
            "max-buffered-messages" => settings.max_buffered.to_value(),
            "max-reconnect-interval" => nanoseconds(settings.max_reconnect_interval).to_value(),
            "drain-timeout" => nanoseconds(settings.drain_timeout).to_value(),
            _ => pspec.default_value().clone(), // `password` is write-only, so there is no other
        }
    }
}

impl GstObjectImpl for OrionMqttSink {}

impl ElementImpl for OrionMqttSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Orion MQTT sink",
                "Sink/Network",
                "Publishes inference results, or any buffer, over MQTT",
                "The Orion developers",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            gst::PadTemplate::new("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &gst::Caps::new_any())
                .into_iter()
                .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady {
            let checked = lock(&self.settings).check();
            if let Err(error) = checked {
                self.post_error_message(config_error(&error));
                return Err(gst::StateChangeError);
            }
        }
        self.parent_change_state(transition)
    }
}

impl BaseSinkImpl for OrionMqttSink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let options = settings.options(self.obj().name().as_str()).map_err(|error| config_error(&error))?;
        gst::debug!(CAT, imp = self, "publishing to {} as {}", options.broker, options.client_id);
        if settings.tls.insecure {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "tls-insecure: the certificate of MQTT broker {} is NOT checked; whoever is in between can read and change everything",
                    options.broker
                )
            );
        }
        let link = Arc::new(Link::new(settings.max_buffered as usize, options.status_topic.is_some()));
        let element = self.obj().downgrade();
        let say = move |notice| {
            if let Some(element) = element.upgrade() {
                element.imp().say(&notice);
            }
        };
        let client = Client::start(Arc::clone(&link), options, now, say)
            .map_err(|error| gst::error_msg!(gst::ResourceError::Failed, ("no thread for the MQTT client: {error}")))?;
        *lock(&self.state) = Some(State { link, client: Some(client) });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let drain = lock(&self.settings).drain_timeout.min(STOP_DRAIN);
        let client = lock(&self.state).as_mut().and_then(|state| state.client.take());
        if let Some(client) = client {
            client.stop(drain);
        }
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let link = self.link().ok_or(gst::FlowError::Flushing)?;
        let messages = self.messages(buffer).map_err(|error| {
            gst::element_imp_error!(self, gst::ResourceError::Write, ("{error}"));
            gst::FlowError::Error
        })?;
        match messages {
            Some(messages) => link.push(messages),
            None => link.refuse(Cause::WorkerError),
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos
            && let Some(link) = self.link()
        {
            let timeout = lock(&self.settings).drain_timeout;
            if let Drained::TimedOut(left) = link.drain(timeout) {
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Write,
                    ("{left} messages were not acknowledged within {timeout:?} after EOS")
                );
            }
            link.say_stopped();
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(link) = self.link() {
            link.set_flushing(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(link) = self.link() {
            link.set_flushing(false);
        }
        Ok(())
    }
}

fn config_error(error: &ConfigError) -> gst::ErrorMessage {
    gst::error_msg!(gst::ResourceError::Settings, ("{error}"))
}

impl OrionMqttSink {
    fn change(&self, value: &glib::Value, property: &str) -> Result<(), String> {
        // GObject has checked type and range, so the defaults never come to pass.
        let text = || value.get::<Option<String>>().ok().flatten().unwrap_or_default();
        let number = || value.get::<u32>().unwrap_or_default();
        let small = || u16::try_from(number()).unwrap_or_default();
        let time = || Duration::from_nanos(value.get().unwrap_or_default());
        let mut settings = lock(&self.settings);
        match property {
            "uri" => return settings.set_uri(text()),
            "host" => settings.host = text(),
            "port" => settings.port = small(),
            "client-id" => settings.client_id = text(),
            "username" => settings.username = text(),
            "password" => settings.password = text(),
            "password-file" => settings.password_file = text(),
            "tls-ca-file" => settings.tls.ca_file = text(),
            "tls-cert-file" => settings.tls.cert_file = text(),
            "tls-key-file" => settings.tls.key_file = text(),
            "tls-insecure" => settings.tls.insecure = value.get().unwrap_or_default(),
            "topic" => return settings.set_topic(text()),
            "status-topic" => return settings.set_status_topic(text()),
            "instance-id" => return settings.set_instance_id(text()),
            "mqtt-qos" => settings.qos = number() as u8,
            "retain" => settings.retain = value.get().unwrap_or_default(),
            "keep-alive-interval" => settings.keep_alive = small(),
            "max-buffered-messages" => {
                settings.max_buffered = number();
                drop(settings);
                if let Some(link) = self.link() {
                    link.set_bound(number() as usize);
                }
            }
            "max-reconnect-interval" => settings.max_reconnect_interval = time(),
            "drain-timeout" => settings.drain_timeout = time(),
            _ => {}
        }
        Ok(())
    }

    fn link(&self) -> Option<Arc<Link>> {
        lock(&self.state).as_ref().map(|state| Arc::clone(&state.link))
    }

    fn stats(&self) -> gst::Structure {
        let snapshot = self.link().map(|link| link.snapshot()).unwrap_or_default();
        let mut stats = stats::from_ledger("orionmqttsink-stats", &snapshot.ledger);
        stats.set("published", snapshot.published);
        stats.set("acknowledged", snapshot.acknowledged);
        stats.set("buffered", snapshot.buffered);
        stats.set("buffered-bytes", snapshot.buffered_bytes);
        stats.set("acknowledge-mean-ms", snapshot.delays.mean);
        stats.set("acknowledge-p99-ms", snapshot.delays.p99);
        stats.set("connected", snapshot.connected);
        stats.set("reconnects", snapshot.reconnects);
        stats.set("connection-failures", snapshot.failures);
        stats.set("last-error", snapshot.last_error);
        stats
    }

    /// The messages of a buffer; none = it carries results, but not one that is valid.
    fn messages(&self, buffer: &gst::BufferRef) -> Result<Option<Vec<Draft>>, PayloadError> {
        let (topic, qos, retain) = {
            let settings = lock(&self.settings);
            (settings.topic.clone(), settings.qos, settings.retain)
        };
        let template = TopicTemplate::parse(&topic)?;
        let draft = |(topic, body): (String, Body)| Draft { topic, body, qos, retain };
        let inferences = meta::inferences(buffer);
        let frame = meta::frame(buffer);
        if inferences.is_empty() {
            if frame.is_some() {
                return Ok(Some(Vec::new()));
            }
            let name = self.obj().name();
            let map = buffer.map_readable().map_err(|error| PayloadError::Unreadable(error.to_string()))?;
            return Ok(Some(vec![draft(payload::raw(&template, &name, &map)?)]));
        }
        let mut drafts = Vec::with_capacity(inferences.len());
        for inference in &inferences {
            match payload::report(&template, inference, frame.as_ref()) {
                Ok(message) => drafts.push(draft(message)),
                Err(error @ PayloadError::Result { .. }) => gst::warning!(CAT, imp = self, "{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok((!drafts.is_empty()).then_some(drafts))
    }

    /// Called from the client's thread.
    fn say(&self, notice: &Notice) {
        match notice {
            Notice::Trouble(text) => gst::element_imp_warning!(self, gst::ResourceError::OpenWrite, ("{text}")),
            Notice::Restored(text) => gst::element_imp_info!(self, gst::ResourceError::OpenWrite, ("{text}")),
        }
    }
}
