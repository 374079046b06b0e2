// SPDX-License-Identifier: MPL-2.0
//! Acts on what the workers say; the element may be gone by then.

use std::{sync::Arc, time::Duration};

use gst::{glib, prelude::*, subclass::prelude::*};
use orion_core::{ledger::Cause, wire::InferenceResult};
use serde_json::Value;

use super::{
    crew::Wish,
    frame,
    imp::CAT,
    job::{Job, Message},
    report::{Listener, News, Report, Who},
    router::Router,
    stderr::Level,
    stream::Stream,
    tuning::Setting,
};
use crate::{
    message::{self, SettingEvent, SwapEvent, WorkerEvent},
    properties::lock,
};

pub(super) struct Reporter {
    pub(super) element: glib::WeakRef<super::OrionPyInfer>,
    pub(super) stream: Arc<Stream>,
    pub(super) router: Arc<Router>,
}

impl Listener for Reporter {
    fn report(&self, who: Who, report: Report) {
        match report {
            Report::Idle { load } => {
                self.stream.set_idle(who, Some(load));
                self.serve_returned();
            }
            Report::Unavailable => self.stream.set_idle(who, None),
            Report::Returned if self.stream.lock().failed => {
                if let Some(element) = self.element.upgrade() {
                    element.imp().lose_returned();
                }
            }
            Report::Returned => self.serve_returned(),
            Report::Answer(answer) => {
                let (job, result) = *answer;
                self.answered(job, result);
            }
            // Twice a frame, and nobody waits for it.
            Report::Status(status) => {
                if let Some(worker) = self.stream.lock().worker(who) {
                    worker.status = status;
                }
            }
            Report::Lost(job, cause, text) => {
                if self.stream.lost(&job, cause)
                    && cause != Cause::Shutdown
                    && let Some(element) = self.element.upgrade()
                {
                    element.imp().lost(who, &job, cause, &text);
                }
            }
            report => {
                if let Some(element) = self.element.upgrade() {
                    element.imp().tell(who, report);
                }
            }
        }
    }

    fn news(&self, news: News) {
        let mut overtaken = false;
        if let News::TakenOver { crew, members, .. } = &news {
            overtaken = self.stream.taken_over(*crew, members.clone());
        }
        if let Some(element) = self.element.upgrade() {
            if overtaken {
                element.imp().post_swap("overtaken", "others took over before its first result", None);
            }
            element.imp().hear(news);
        }
    }

    fn renewal(&self, why: String) -> Option<Wish> {
        let element = self.element.upgrade()?;
        let settings = lock(&element.imp().settings).clone();
        let in_force = lock(&element.imp().in_force).clone();
        settings.wish(&in_force, true, why).ok()
    }

    fn frame_interval(&self) -> Option<Duration> {
        let state = self.stream.lock();
        state.arrived.map(|_| state.interval.unwrap_or_default())
    }

    fn pids(&self) -> Vec<u32> {
        self.stream.lock().workers.iter().map(|worker| worker.status.pid).filter(|pid| *pid > 0).collect()
    }

    fn keep_latest(&self, keep: bool) {
        self.stream.keep_latest(keep);
    }

    fn latest(&self) -> Option<(u64, Arc<Message>)> {
        self.stream.latest()
    }
}

impl Reporter {
    fn answered(&self, job: Job, result: InferenceResult) {
        let element = self.element.upgrade();
        // Told before the frame goes on, so that whoever has seen it can count on the next plan.
        if let (Some((origin, feedback)), Some(element)) = (frame::feedback(&job, &result), &element) {
            // Nobody has to listen.
            element.imp().sinkpad.push_event(message::feedback(origin, &feedback));
        }
        let first = self.stream.answered(job, result);
        if let (Some(seq), Some(element)) = (first, element) {
            element.imp().post_swap("done", "", Some(seq));
        }
    }

    fn serve_returned(&self) {
        serve_returned(&self.stream, &self.router);
    }
}

/// Gives frames that came back to workers that are idle.
pub(super) fn serve_returned(stream: &Stream, router: &Router) {
    while let Some(job) = router.take_back() {
        match stream.claim(&job) {
            Some(id) => {
                if let Err(job) = router.send(id, job) {
                    router.give_back(job);
                }
            }
            None => {
                router.give_back(job);
                // One that has become idle in between did not see it.
                if !stream.is_any_idle() {
                    return;
                }
            }
        }
    }
}

impl super::imp::OrionPyInfer {
    fn tell(&self, who: Who, report: Report) {
        let index = who.index;
        match report {
            Report::Ready(ready) => {
                let worker = format!("{} {}", ready.worker, ready.version);
                gst::info!(CAT, imp = self, "worker {index} is ready: {worker}, loaded in {:.0} ms", ready.load_ms);
                if let Some(info) = self.stream.lock().worker(who) {
                    info.ready = Some(ready);
                }
                self.post(who, "ready", &worker);
            }
            Report::Odd(text) => gst::warning!(CAT, imp = self, "worker {index} {text}"),
            Report::Tuned { setting, value, outcome: Ok(()) } => {
                lock(&self.in_force).set_tuned(setting, &value);
                self.post_setting(who, setting, None);
                gst::info!(CAT, imp = self, "worker {index}: {} is {value} now", setting.property());
            }
            Report::Tuned { setting, value, outcome: Err(error) } => self.refused(who, setting, &value, &error),
            Report::Exited { text, tail, pause_ms } => {
                self.note(who, &text);
                self.post(who, "exited", &text);
                let when = if pause_ms == 0 { "now".to_owned() } else { format!("in {} s", pause_ms / 1000) };
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Failed,
                    ("worker {index} {text}; it is started again {when}"),
                    ["its last lines on stderr:\n{tail}"]
                );
                self.post(who, "restarting", &text);
            }
            // Others do its work already.
            Report::Failed { text, .. } if self.stream.lock().worker(who).is_none() => {
                gst::info!(CAT, imp = self, "worker {index} that was replaced {text}");
            }
            Report::Failed { text, tail } => {
                self.note(who, &text);
                self.post(who, "exited", &text);
                self.stream.fail();
                self.lose_returned();
                gst::element_imp_error!(
                    self,
                    gst::ResourceError::Failed,
                    ("worker {index} {text}"),
                    ["its last lines on stderr:\n{tail}"]
                );
            }
            Report::Log(level, text) => match level {
                Level::Error => gst::error!(CAT, imp = self, "worker {index}: {text}"),
                Level::Warning => gst::warning!(CAT, imp = self, "worker {index}: {text}"),
                Level::Info | Level::Plain => gst::info!(CAT, imp = self, "worker {index}: {text}"),
                Level::Debug => gst::debug!(CAT, imp = self, "worker {index}: {text}"),
            },
            Report::Status(_)
            | Report::Idle { .. }
            | Report::Unavailable
            | Report::Returned
            | Report::Answer(_)
            | Report::Lost(..) => {}
        }
    }

    fn lost(&self, who: Who, job: &Job, cause: Cause, text: &str) {
        self.note(who, text);
        self.warn_lost(&format!("worker {}, frame {}: {text}", who.index, job.info.seq));
        self.post_qos(&job.buffer, cause);
    }

    fn refused(&self, who: Who, setting: Setting, value: &Value, error: &str) {
        let name = setting.property();
        let present = lock(&self.in_force).tuned(setting);
        let reverted = {
            let mut settings = lock(&self.settings);
            // Something newer may have been asked for meanwhile.
            let reverted = settings.tuned(setting) == *value;
            if reverted {
                settings.set_tuned(setting, &present);
            }
            reverted
        };
        gst::element_imp_warning!(
            self,
            gst::LibraryError::Settings,
            ("{name}: worker {} refused it: {error}; the value before stays in force", who.index)
        );
        self.post_setting(who, setting, Some(error));
        if reverted {
            self.obj().notify(name);
        }
    }

    fn post_setting(&self, who: Who, setting: Setting, refused: Option<&str>) {
        let (property, refused) = (setting.property().to_owned(), refused.map(str::to_owned));
        SettingEvent { property, index: who.index as u32, refused }.post(self.obj().upcast_ref());
    }

    /// News of the crew.
    fn hear(&self, news: News) {
        match news {
            News::Warning(text) => gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{text}")),
            News::Begun(why) => {
                gst::info!(CAT, imp = self, "new workers are started beside the old ones: {why}");
                self.stream.update(|state| state.swaps.under_way = true);
                self.post_swap("started", &why, None);
            }
            News::GivenUp { spec: _, reason, overtaken: true } => {
                self.stream.update(|state| state.swaps.under_way = false);
                self.post_swap("overtaken", &reason, None);
            }
            News::GivenUp { spec, reason, overtaken: false } => {
                self.stream.update(|state| {
                    state.swaps.under_way = false;
                    state.swaps.failed += 1;
                });
                let in_force = lock(&self.in_force).clone();
                let changed = lock(&self.settings).take_back(&spec.settings, &in_force);
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Failed,
                    ("the new workers did not come to work, the old ones carry on: {reason}")
                );
                self.post_swap("failed", &reason, None);
                for name in changed {
                    self.obj().notify(name);
                }
            }
            News::TakenOver { spec, crew: _, members } => {
                let file = members.first().and_then(|(_, ready)| ready.models.file_640.as_deref());
                gst::info!(CAT, imp = self, "new workers have taken over, model {:?}", file.unwrap_or("none"));
                let mut in_force = lock(&self.in_force);
                let mut settings = spec.settings;
                // These come into force by their acknowledgement.
                for setting in Setting::ALL {
                    settings.set_tuned(setting, &in_force.tuned(setting));
                }
                *in_force = settings;
                drop(in_force);
                self.post_swap("taken-over", "", None);
            }
        }
    }

    fn note(&self, who: Who, text: &str) {
        if let Some(worker) = self.stream.lock().worker(who) {
            text.clone_into(&mut worker.last_error);
        }
    }

    fn post(&self, who: Who, event: &str, reason: &str) {
        let pid = self.stream.lock().worker(who).map_or(0, |worker| worker.status.pid);
        let event = WorkerEvent { event: event.into(), index: who.index as u32, pid, reason: reason.into() };
        event.post(self.obj().upcast_ref());
    }

    /// `applied_at_seq`: where it is done, which the first result of the new crew tells.
    fn post_swap(&self, event: &str, reason: &str, applied_at_seq: Option<u64>) {
        let ready = self.stream.lock().workers.first().and_then(|worker| worker.ready.clone());
        let models = ready.map(|ready| ready.models).unwrap_or_default();
        let event = SwapEvent {
            event: event.into(),
            reason: reason.into(),
            model_size: models.size.unwrap_or_default(),
            model_file: models.file_640.unwrap_or_default(),
            applied_at_seq,
        };
        event.post(self.obj().upcast_ref());
    }
}
