// SPDX-License-Identifier: MPL-2.0

use std::{
    env,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};

use gst::{glib, prelude::*, subclass::prelude::*};
use gst_base::{prelude::*, subclass::prelude::*};
use orion_core::{
    ledger::{Cause, Ledger},
    wire::InferenceResult,
};

use super::{
    client::{Client, Notice},
    keeper::Keeper,
    link::{Drained, Link},
    outbox::Fallen,
    payload::{self, Delivery, Draft, Now, PayloadError, RawBuffer},
    photographer::{Photographer, PictureError, Scene},
    properties,
    retry::Gate,
    settings::{ConfigError, Settings},
    snapshot::Snapshot,
    translator::{Profile, Seen, Translator},
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

/// How often it is looked for what is to be said without a frame.
const TICK: gst::ClockTime = gst::ClockTime::from_seconds(1);

struct State {
    /// Outlives the client, so that `stats` stay readable.
    link: Arc<Link>,
    client: Option<Client>,
    /// For what happens when no frame comes.
    ticks: Option<gst::PeriodicClockId>,
    /// None = memory only.
    keeper: Option<Keeper>,
}

// Order: `photographer`, `translator`, `settings`, `state`, then the link's own; whoever holds one takes later ones only. What was
// translated first must be in line first, or a tick could end an object before an older update of it, so `translator` is held
// while messages are put in line. None is held during I/O.
#[derive(Default)]
pub struct OrionMqttSink {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
    photographer: Mutex<Photographer>,
    translator: Mutex<Translator>,
    /// For warnings about frames.
    gate: Mutex<Gate>,
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
        let changed = {
            let mut settings = lock(&self.settings);
            let changed = properties::set(&mut settings, pspec.name(), value);
            self.apply(&settings);
            changed
        };
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
                "Orion maintainers",
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
        let options = settings
            .options(self.obj().name().as_str(), |name| env::var(name).ok())
            .map_err(|error| config_error(&error))?;
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
        let no_thread = |error| gst::error_msg!(gst::ResourceError::Failed, ("no thread for the MQTT client: {error}"));
        let mut keeper = None;
        if let Some((store, former)) = settings.store().map_err(|error| config_error(&error))? {
            if let Some(moved) = &former.moved {
                gst::element_imp_warning!(self, gst::ResourceError::Read, ("buffer-directory: {moved}"));
            }
            link.restore(former, now());
            let (folder, name) = (&settings.buffer_directory, options.thread_name.as_str());
            let started = Keeper::start(Arc::clone(&link), store, folder, name, now, say.clone());
            keeper = Some(started.map_err(no_thread)?);
        }
        // What was lost at the last stop nobody has said yet, and upstream may go on with its numbers.
        if let Some(former) = self.link() {
            link.inherit(&former.unsaid());
        }
        let client = match Client::start(Arc::clone(&link), options, now, say) {
            Ok(client) => client,
            Err(error) => {
                if let Some(keeper) = keeper {
                    keeper.stop();
                }
                return Err(no_thread(error));
            }
        };
        let profile = {
            let mut settings = lock(&self.settings);
            settings.set_running(true);
            settings.profile
        };
        *lock(&self.translator) = Translator::new(profile, settings.event_threshold);
        let ticks = (profile == Profile::Frigate).then(|| self.start_ticks());
        *lock(&self.state) = Some(State { link, client: Some(client), ticks, keeper });
        // What was set in the meantime counts, too.
        self.apply(&lock(&self.settings));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let drain = lock(&self.settings).drain_timeout.min(STOP_DRAIN);
        let running =
            lock(&self.state).as_mut().map(|state| (state.client.take(), state.ticks.take(), state.keeper.take()));
        let Some((Some(client), ticks, keeper)) = running else { return Ok(()) };
        if let Some(ticks) = ticks {
            ticks.unschedule();
        }
        self.finish();
        // A picture in the making would come too late.
        let photographer = std::mem::take(&mut *lock(&self.photographer));
        drop(photographer);
        client.stop(drain);
        // What is left after the drain is written now.
        if let Some(keeper) = keeper {
            keeper.stop();
        }
        if let Some(link) = self.link() {
            link.close();
        }
        lock(&self.settings).set_running(false);
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let link = self.link().ok_or(gst::FlowError::Flushing)?;
        let place = self.place(buffer);
        match self.publish(buffer, place, &link) {
            Ok(()) => {}
            // What a worker says must not end the pipeline.
            Err(error @ (PayloadError::Topic(_) | PayloadError::Encoding(_))) => {
                self.warn(gst::ResourceError::Write, &error.to_string());
                link.refuse(Cause::WorkerError, place);
            }
            Err(error) => {
                link.refuse(Cause::Refused, place);
                gst::element_imp_error!(self, gst::ResourceError::Write, ("{error}"));
                return Err(gst::FlowError::Error);
            }
        }
        let (fallen, ledger) = link.take_fallen();
        self.post_qos(&fallen, &ledger);
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos
            && let Some(link) = self.link()
        {
            self.finish();
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
        let statistics = self.link().map(|link| link.statistics()).unwrap_or_default();
        let mut stats = stats::from_ledger("orionmqttsink-stats", &statistics.ledger);
        stats.set("published", statistics.published);
        stats.set("acknowledged", statistics.acknowledged);
        stats.set("replayed", statistics.replayed);
        stats.set("gap-records", statistics.gap_records);
        stats.set("messages-dropped", statistics.messages_dropped);
        stats.set("gap-records-dropped", statistics.gaps_dropped);
        stats.set("buffered", statistics.buffered);
        stats.set("buffered-bytes", statistics.buffered_bytes);
        stats.set("stored", statistics.stored);
        stats.set("stored-bytes", statistics.stored_bytes);
        stats.set("storage-errors", statistics.storage_errors);
        stats.set("acknowledge-mean-ms", statistics.delays.mean);
        stats.set("acknowledge-p99-ms", statistics.delays.p99);
        stats.set("snapshots", statistics.snapshots);
        stats.set("snapshots-dropped", statistics.snapshots_dropped);
        stats.set("connected", statistics.connected);
        stats.set("reconnects", statistics.reconnects);
        stats.set("connection-failures", statistics.failures);
        stats.set("last-error", statistics.last_error);
        stats
    }

    /// Hands over the messages of a buffer.
    fn publish(&self, buffer: &gst::Buffer, place: Place, link: &Link) -> Result<(), PayloadError> {
        let delivery = lock(&self.settings).delivery();
        let inferences = meta::inferences(buffer);
        let frame = meta::frame(buffer);
        if inferences.is_empty() {
            if frame.is_some() {
                link.push(Vec::new(), place, now());
                return Ok(());
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
            link.push(vec![payload::raw(&delivery, raw)?], place, now());
            return Ok(());
        }
        let mut results = Vec::with_capacity(inferences.len());
        for inference in &inferences {
            match payload::parse(inference) {
                Ok(result) => results.push((inference, result)),
                Err(error) => gst::warning!(CAT, imp = self, "{error}"),
            }
        }
        self.photograph(buffer, &results.iter().map(|(_, result)| result).collect::<Vec<_>>());
        if results.is_empty() {
            link.refuse(Cause::WorkerError, place);
            return Ok(());
        }
        let seen = Seen { results, frame: frame.as_ref(), size: self.frame_size(), stream_time: place.stream_time() };
        let mut translator = lock(&self.translator);
        link.push(translator.translate(&delivery, seen, now())?, place, now());
        let complaint = translator.take_complaint();
        drop(translator);
        if let Some(lacking) = complaint {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("the size of the frames is not known: {lacking}"),
                ["caps without width and height, and the worker says no frame_width and frame_height"]
            );
        }
        Ok(())
    }

    /// Width and height of the pictures, if their caps say so, pixels.
    fn frame_size(&self) -> Option<(u32, u32)> {
        let caps = self.obj().sink_pad().current_caps()?;
        let side = |name| u32::try_from(caps.structure(0)?.get::<i32>(name).ok()?).ok();
        Some((side("width")?, side("height")?))
    }

    /// Hands over what is said without a frame.
    fn push_aside(&self, say: impl FnOnce(&mut Translator, &Delivery) -> Result<Vec<Draft>, PayloadError>) {
        let Some(link) = self.link() else { return };
        let delivery = lock(&self.settings).delivery();
        let mut translator = lock(&self.translator);
        let said = say(&mut translator, &delivery).map(|messages| {
            if !messages.is_empty() {
                link.push_aside(messages, now());
            }
        });
        drop(translator);
        if let Err(error) = said {
            gst::warning!(CAT, imp = self, "{error}");
        }
    }

    /// Looks once a second for what is to be said without a frame.
    fn start_ticks(&self) -> gst::PeriodicClockId {
        let clock = gst::SystemClock::obtain();
        let ticks = clock.new_periodic_id(clock.time(), TICK);
        let element = self.obj().downgrade();
        let scheduled = ticks.wait_async(move |_, _, _| {
            if let Some(element) = element.upgrade() {
                element.imp().tick();
            }
        });
        if let Err(error) = scheduled {
            gst::warning!(CAT, imp = self, "no timer, so objects end with the next frame only: {error:?}");
        }
        ticks
    }

    /// Says that objects have gone which no frame shows any more.
    fn tick(&self) {
        self.push_aside(|translator, delivery| translator.tick(delivery, now()));
    }

    /// Ends what the profile has begun to tell.
    fn finish(&self) {
        self.push_aside(Translator::finish);
    }

    /// Takes a picture of a frame with a detection, if that is wished.
    fn photograph(&self, buffer: &gst::Buffer, results: &[&InferenceResult]) {
        let Some(order) = lock(&self.settings).snapshots() else { return };
        if !self.link().is_some_and(|link| link.wants_snapshots()) {
            return;
        }
        let scene = Scene { buffer, caps: self.obj().sink_pad().current_caps(), results };
        let element = self.obj().downgrade();
        let number = order.number;
        lock(&self.photographer).look(&scene, &order, now().running, move |outcome| {
            if let Some(element) = element.upgrade() {
                element.imp().photographed(outcome, number);
            }
        });
    }

    /// Called from any thread.
    fn photographed(&self, outcome: Result<Snapshot, PictureError>, order: u64) {
        match outcome {
            Ok(snapshot) => {
                if let Some(link) = self.link() {
                    link.offer_snapshot(snapshot, order, now());
                }
            }
            Err(error) => self.warn(gst::StreamError::Encode, &error.to_string()),
        }
    }

    /// Says something, the same once a minute at most.
    fn warn(&self, error: impl gst::MessageErrorDomain, text: &str) {
        let admitted = lock(&self.gate).admits(text, Instant::now());
        if admitted {
            gst::element_imp_warning!(self, error, ("{text}"));
        }
    }

    /// Tells the link what the properties say that may change while it runs.
    fn apply(&self, settings: &Settings) {
        if let Some(link) = self.link() {
            link.apply(settings.keeping(), settings.snapshots().map(|order| order.number));
        }
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
            Notice::Storage(text) => gst::element_imp_warning!(self, gst::ResourceError::Failed, ("{text}")),
            Notice::Dropped(fallen, ledger) => self.post_qos(fallen, ledger),
        }
    }
}

#[cfg(test)]
mod tests;
