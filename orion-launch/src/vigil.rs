// SPDX-License-Identifier: MPL-2.0
//! Keeps watch over one camera: what is said of persons, and whether workers are alive.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orion_core::{camera::LossCause, health::Presence, presence::Reason};

use crate::{
    config::Config,
    control::{Desk, Voice},
    eye,
    inlet::StreamState,
    launch,
    looks::Looks,
    presence::{Hindrances, Presenter, Seen},
    rules,
    sights::Sights,
    source,
    status::Status,
    watchdog::Watchdog,
};

/// Presence and watchdog of one camera.
#[derive(Debug)]
pub(crate) struct Vigil {
    presenter: Presenter,
    looks: Looks,
    /// The elements of `looks`, by their places among those of `sights`.
    lookers: Vec<usize>,
    sights: Sights,
    watchdog: Watchdog,
    /// Nothing is said of persons; the broker was told to keep nothing.
    silent: bool,
    /// Why no frames come, as it was said last.
    cause: Option<LossCause>,
    /// Since when another camera is waited for.
    awaits: Option<Instant>,
}

impl Vigil {
    /// Begins with the elements of a pipeline; `built`: whether it is the one that the configuration builds.
    pub(crate) fn new(config: &Config, elements: &[gst::Element], built: bool, status: &Status) -> Self {
        use gst::prelude::*;
        let workers: Vec<_> = elements.iter().filter(|element| source::is(element, "orionpyinfer")).cloned().collect();
        // In a pipeline of somebody's own any of them may look for persons.
        let looks_for_persons = |(_, element): &(usize, &gst::Element)| !built || element.name() == launch::INFER;
        let (lookers, pads): (Vec<_>, Vec<_>) =
            workers.iter().enumerate().filter(looks_for_persons).map(|(n, element)| (n, element.clone())).unzip();
        let mut watchdog = Watchdog::new(&workers, built);
        watchdog.limit(&rules::watchdog(config), Some(status.inlet.rate()));
        let rules = rules::presence(config);
        status.inlet.eye().look_for(rules.frozen_after, rules.black_after);
        Self {
            presenter: Presenter::new(&config.instance_id, eye::now(), wall()),
            looks: Looks::at(&pads),
            lookers,
            sights: Sights::new(workers),
            watchdog,
            silent: false,
            cause: None,
            awaits: None,
        }
    }

    /// Another camera is connected from now on: what this one has shown says nothing of what that one will see.
    pub(crate) fn await_camera(&mut self) {
        self.awaits = Some(Instant::now());
    }

    /// Looks at everything; to be called several times a second. Never waits.
    pub(crate) fn look(&mut self, desk: &Desk, status: &Status) {
        self.sights.refresh();
        let seen = self.sights.latest();
        let (config, paused, rate) = (desk.config(), desk.is_paused(), desk.rate());
        let stream_lost = is_lost(config, status);
        let watchdog = rules::watchdog(config);
        self.watchdog.limit(&watchdog, rate);
        status.record.set_stall_timeout_s(config.camera.stall_timeout_s);
        let told = (desk.voice(), &status.record);
        self.watchdog.look(eye::now(), &watchdog, (rate, !paused && !stream_lost), &seen, told);
        let person = self.lookers.get(self.looks.chosen()).and_then(|n| seen.get(*n));
        let flaw = status.inlet.eye().flaw();
        let no_worker = person.is_some_and(|person| person.ready == 0);
        let hindrances = Hindrances { stream_lost, flaw, paused, no_worker, other_camera: self.awaits.is_some() };
        // Once it is in the way for sure, however quickly the other one is there.
        let connection = status.inlet.connection();
        self.awaits =
            self.awaits.filter(|asked| connection.state != StreamState::Streaming || connection.since < *asked);
        self.tell(config, hindrances.worst(), desk.voice(), status);
    }

    /// The last word: the daemon stops, and nobody looks any more.
    pub(crate) fn end(&mut self, config: &Config, voice: &Voice, status: &Status) {
        self.tell(config, Some(Reason::Stopped), voice, status);
    }

    fn tell(&mut self, config: &Config, blind: Option<Reason>, voice: &Voice, status: &Status) {
        let rules = rules::presence(config);
        let eye = status.inlet.eye();
        eye.look_for(rules.frozen_after, rules.black_after);
        let looks = self.looks.take();
        if !rules.enabled {
            if !std::mem::replace(&mut self.silent, true) {
                voice.presence(None);
                status.record.set_presence(None);
                status.record.set_unseen_s(None);
                // Nobody listens to what is seen meanwhile.
                self.presenter = Presenter::new(&config.instance_id, eye::now(), wall());
            }
            return;
        }
        let looks = looks.into_iter().filter_map(|look| {
            let at = eye.new_at(Duration::from_nanos(look.arrived))?;
            Some(Seen { at, count: look.count, full: look.full })
        });
        let (presence, due) = self.presenter.judge((eye::now(), wall()), &rules, blind, looks);
        let lost = presence.reason == Some(Reason::StreamLost);
        // Without a word of the source's own nothing new came for too long.
        let cause = lost.then(|| status.inlet.connection().cause.unwrap_or(LossCause::Stalled));
        let presence = Presence { cause, ..presence };
        let other = cause.is_some() && self.cause.is_some() && cause != self.cause;
        let again = std::mem::take(&mut self.silent);
        if due || again || other || blind == Some(Reason::Stopped) {
            self.cause = cause;
            voice.presence(Some(&presence));
        }
        // A look that is recent but not at the whole frame is no fault of the workers'.
        let timeout = rules.looks.evidence_timeout;
        let age = presence.evidence_age_ms.map(Duration::from_millis).filter(|age| *age > timeout);
        let unseen = age.filter(|_| presence.reason == Some(Reason::EvidenceTooOld));
        status.record.set_unseen_s(unseen.map(|age| age.as_secs_f64()));
        status.record.set_presence(Some(presence));
    }
}

/// Whether the stream is away, or shows nothing new for as long as that takes.
fn is_lost(config: &Config, status: &Status) -> bool {
    let silent = || status.inlet.age().is_some_and(|age| age.as_secs_f64() > config.camera.stall_timeout_s);
    status.inlet.connection().state == StreamState::Lost || (status.source.is_live() && silent())
}

/// The time, ns since 1970.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
