// SPDX-License-Identifier: MPL-2.0

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use gst::{glib, prelude::*, subclass::prelude::*};
use gst_base::{prelude::*, subclass::prelude::*};
use orion_core::ledger::{Cause, Ledger};

use super::{
    client::{Client, Notice},
    link::{Drained, Link},
    outbox::Fallen,
    payload::{self, Draft, Now, PayloadError, RawBuffer},
    properties,
    settings::{ConfigError, Settings},
};
use crate::{
    identity, meta,
    properties::lock,
    qos::{self, Place},
    stats,
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("orionmqttsink", gst::DebugColorFlags::empty(), Some("Orion MQTT publisher"))
});

/// How long a stop may drain at most, whatever `drain-timeout` says: a state change must not hang.
const STOP_DRAIN: Duration = Duration::from_secs(2);

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

#[glib::object_subclass]
impl ObjectSubclass for OrionMqttSink {
    const NAME: &'static str = "GstOrionMqttSink";
    type Type = super::OrionMqttSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for OrionMqttSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::specs);
        PROPERTIES.as_ref()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let sink = self.obj();
        sink.set_sync(false);
        sink.set_async(false);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let (changed, keeping) = {
            let mut settings = lock(&self.settings);
            (properties::set(&mut settings, pspec.name(), value), settings.keeping())
        };
        if let Some(link) = self.link() {
            link.set_keeping(keeping);
        }
        if let Err(why) = changed {
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
        properties::get(&lock(&self.settings), pspec)
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
        let link = Arc::new(Link::new(settings.keeping(), options.status_topic.is_some()));
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
        let place = self.place(buffer);
        match messages {
            Some(messages) => link.push(messages, place, now()),
            None => link.refuse(Cause::WorkerError, place),
        }
        let (fallen, ledger) = link.take_fallen();
        self.post_qos(&fallen, &ledger);
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
    fn link(&self) -> Option<Arc<Link>> {
        lock(&self.state).as_ref().map(|state| Arc::clone(&state.link))
    }

    fn stats(&self) -> gst::Structure {
        let snapshot = self.link().map(|link| link.snapshot()).unwrap_or_default();
        let mut stats = stats::from_ledger("orionmqttsink-stats", &snapshot.ledger);
        stats.set("published", snapshot.published);
        stats.set("acknowledged", snapshot.acknowledged);
        stats.set("replayed", snapshot.replayed);
        stats.set("gap-records", snapshot.gap_records);
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
        let delivery = lock(&self.settings).delivery();
        let inferences = meta::inferences(buffer);
        let frame = meta::frame(buffer);
        if inferences.is_empty() {
            if frame.is_some() {
                return Ok(Some(Vec::new()));
            }
            let (id, room_id) = {
                let settings = lock(&self.settings);
                (settings.instance_id.clone(), settings.room_id.clone())
            };
            let name = self.obj().name();
            let map = buffer.map_readable().map_err(|error| PayloadError::Unreadable(error.to_string()))?;
            let caps = self.obj().sink_pad().current_caps();
            let raw = RawBuffer {
                instance_id: if id.is_empty() { &name } else { &id },
                room_id: &room_id,
                content_type: caps.as_ref().and_then(|caps| caps.structure(0)).map(|s| s.name().as_str()),
                payload: &map,
            };
            return Ok(Some(vec![payload::raw(&delivery, raw)?]));
        }
        let mut drafts = Vec::with_capacity(inferences.len());
        for inference in &inferences {
            match payload::report(&delivery, inference, frame.as_ref()) {
                Ok(draft) => drafts.push(draft),
                Err(error @ PayloadError::Result { .. }) => gst::warning!(CAT, imp = self, "{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok((!drafts.is_empty()).then_some(drafts))
    }

    /// Where a buffer stands in the stream.
    fn place(&self, buffer: &gst::BufferRef) -> Place {
        let segment = self.obj().segment().downcast::<gst::ClockTime>().ok();
        Place::of(buffer, segment.as_ref())
    }

    /// Tells the application what will not be published.
    fn post_qos(&self, fallen: &[Fallen], ledger: &Ledger) {
        let sink = self.obj();
        for frame in fallen {
            let dropped = ledger.dropped().total();
            qos::post(sink.upcast_ref(), frame.place, sink.is_sync(), frame.cause, ledger.forwarded(), dropped);
        }
    }

    /// Called from the client's thread.
    fn say(&self, notice: &Notice) {
        match notice {
            Notice::Trouble(text) => gst::element_imp_warning!(self, gst::ResourceError::OpenWrite, ("{text}")),
            Notice::Restored(text) => gst::element_imp_info!(self, gst::ResourceError::OpenWrite, ("{text}")),
            Notice::Refused(text) => gst::element_imp_warning!(self, gst::ResourceError::Write, ("{text}")),
            Notice::Dropped(fallen, ledger) => self.post_qos(fallen, ledger),
        }
    }
}
