// SPDX-License-Identifier: MPL-2.0
//! What the workers say becomes known to all elements of the group; those may be gone by then.

use std::{sync::Arc, time::Duration};

use gst::{prelude::*, subclass::prelude::*};
use orion_core::{ledger::Cause, wire::InferenceResult};

use super::{
    crew::Wish,
    frame,
    group::Group,
    imp::CAT,
    job::{Job, Message},
    report::{Listener, News, Report, Who},
    state::State,
    stderr::Level,
    stream::Stream,
    tuning::Setting,
};
use crate::{
    message::{self, SettingEvent, SwapEvent, WorkerEvent},
    properties::lock,
};

impl Listener for Group {
    fn report(&self, who: Who, report: Report) {
        match report {
            Report::Idle { load, full } => {
                self.desk.set_idle(who, Some((load, full)));
                self.serve_returned();
            }
            Report::Unavailable => self.desk.set_idle(who, None),
            Report::Returned if self.roster(|roster| roster.failed) => self.lose_returned(),
            Report::Returned => self.serve_returned(),
            Report::Answer(answer) => {
                let (job, result) = *answer;
                self.answered(job, result);
            }
            // Twice a frame, and nobody waits for it.
            Report::Status(status) => self.roster(|roster| {
                for peer in &roster.peers {
                    if let Some(worker) = peer.stream.lock().worker(who) {
                        worker.status.clone_from(&status);
                    }
                }
            }),
            Report::Lost(job, cause, text) => self.lost(who, &job, cause, &text),
            Report::Ready(ready) => {
                let worker = format!("{} {}", ready.worker, ready.version);
                gst::info!(CAT, "worker {} is ready: {worker}, loaded in {:.0} ms", who.index, ready.load_ms);
                self.all_streams(|state| {
                    if let Some(info) = state.worker(who) {
                        info.ready = Some(ready.clone());
                    }
                });
                self.elements().iter().for_each(|element| element.imp().post(who, "ready", &worker));
            }
            Report::Tuned { setting, value, outcome: Ok(()) } => self.accepted(who, setting, &value),
            Report::Tuned { setting, value, outcome: Err(error) } => self.refused(who, setting, &value, &error),
            Report::Exited { text, tail, pause_ms } => {
                self.note(who, &text);
                let when = if pause_ms == 0 { "now".to_owned() } else { format!("in {} s", pause_ms / 1000) };
                for element in self.elements() {
                    let imp = element.imp();
                    imp.post(who, "exited", &text);
                    gst::element_imp_warning!(
                        imp,
                        gst::ResourceError::Failed,
                        ("worker {} {text}; it is started again {when}", who.index),
                        ["its last lines on stderr:\n{tail}"]
                    );
                    imp.post(who, "restarting", &text);
                }
            }
            // Others do its work already.
            Report::Failed { text, .. } if !self.desk.is_at_work(who) => {
                gst::info!(CAT, "worker {} that was replaced {text}", who.index);
            }
            Report::Failed { text, tail } => self.failed(who, &text, &tail),
            Report::Odd(text) => self.log(who, Level::Warning, &text),
            Report::Log(level, text) => self.log(who, level, &text),
        }
    }

    fn news(&self, news: News) {
        match news {
            News::Warning(text) => {
                for element in self.elements() {
                    gst::element_imp_warning!(element.imp(), gst::ResourceError::Settings, ("{text}"));
                }
            }
            News::Begun(why) => {
                gst::info!(CAT, "new workers are started beside the old ones: {why}");
                self.swapping(true, |_| ());
                self.post_swap("started", &why);
            }
            News::GivenUp { spec: _, reason, overtaken: true } => {
                self.swapping(false, |_| ());
                self.post_swap("overtaken", &reason);
            }
            News::GivenUp { spec, reason, overtaken: false } => {
                self.swapping(false, |state| state.swaps.failed += 1);
                let changed = self.take_back(&spec.settings);
                for (element, names) in changed {
                    let imp = element.imp();
                    gst::element_imp_warning!(
                        imp,
                        gst::ResourceError::Failed,
                        ("the new workers did not come to work, the old ones carry on: {reason}")
                    );
                    imp.post_swap("failed", &reason, None);
                    names.into_iter().for_each(|name| element.notify(name));
                }
            }
            News::TakenOver { spec, crew, members } => {
                let file = members.first().and_then(|(_, ready)| ready.models.file_640.as_deref());
                gst::info!(CAT, "new workers have taken over, model {:?}", file.unwrap_or("none"));
                let mut told = Vec::new();
                {
                    let mut terms = lock(&self.terms);
                    let mut settings = spec.settings;
                    // These come into force by their acknowledgement.
                    for setting in Setting::ALL {
                        settings.set_tuned(setting, &terms.in_force.tuned(setting));
                    }
                    terms.in_force = settings;
                    self.roster(|roster| {
                        roster.swapping = false;
                        for peer in &roster.peers {
                            let overtaken = peer.stream.taken_over(crew, members.clone());
                            if let Some(element) = peer.element.upgrade() {
                                *lock(&element.imp().in_force) = terms.in_force.clone();
                                told.push((element, overtaken));
                            }
                        }
                    });
                    self.desk.take_over(crew);
                }
                for (element, overtaken) in told {
                    if overtaken {
                        element.imp().post_swap("overtaken", "others took over before its first result", None);
                    }
                    element.imp().post_swap("taken-over", "", None);
                }
            }
        }
    }

    fn renewal(&self, why: String) -> Option<Wish> {
        let terms = lock(&self.terms);
        terms.wanted.wish(&terms.in_force, true, why).ok()
    }

    fn frame_interval(&self) -> Option<Duration> {
        let interval = |stream: &Stream| {
            let state = stream.lock();
            state.arrived.map(|_| state.interval.unwrap_or_default())
        };
        self.roster(|roster| roster.peers.iter().filter_map(|peer| interval(&peer.stream)).min())
    }

    fn pids(&self) -> Vec<u32> {
        let pids = |stream: &Stream| stream.lock().workers.iter().map(|worker| worker.status.pid).collect::<Vec<_>>();
        let all = self.roster(|roster| roster.peers.first().map(|peer| pids(&peer.stream)));
        all.unwrap_or_default().into_iter().filter(|pid| *pid > 0).collect()
    }

    fn keep_latest(&self, keep: bool) {
        let peers = self.roster(|roster| {
            roster.keep_latest = keep;
            roster.peers.clone()
        });
        peers.iter().for_each(|peer| peer.stream.keep_latest(keep));
    }

    fn latest(&self) -> Option<(u64, Arc<Message>)> {
        let all = self.roster(|roster| roster.peers.iter().filter_map(|peer| peer.stream.latest()).collect::<Vec<_>>());
        all.into_iter().max_by_key(|(arrived, _)| *arrived).map(|(_, latest)| latest)
    }
}

impl Group {
    fn answered(&self, job: Job, result: InferenceResult) {
        // An element that has left has counted its frames.
        let Some(owner) = self.owner(&job) else { return };
        let element = owner.element.upgrade();
        // Told before the frame goes on, so that whoever has seen it can count on the next plan.
        if let (Some((origin, feedback)), Some(element)) = (frame::feedback(&job, &result), &element) {
            // Nobody has to listen.
            element.imp().sinkpad.push_event(message::feedback(origin, &feedback));
        }
        let first = owner.stream.answered(job, result);
        if let (Some(seq), Some(element)) = (first, element) {
            element.imp().post_swap("done", "", Some(seq));
        }
    }

    fn lost(&self, who: Who, job: &Job, cause: Cause, text: &str) {
        let Some(owner) = self.owner(job) else { return };
        if owner.stream.lost(job, cause) && cause != Cause::Shutdown {
            self.note(who, text);
            if let Some(element) = owner.element.upgrade() {
                let imp = element.imp();
                imp.warn_lost(&format!("worker {}, frame {}: {text}", who.index, job.info.seq));
                imp.post_qos(&job.buffer, cause);
            }
        }
    }

    /// No worker is left to take what came back from another one.
    fn lose_returned(&self) {
        while let Some(job) = self.router.take_back() {
            if let Some(owner) = self.owner(&job) {
                owner.stream.lost(&job, Cause::WorkerRestart);
            }
        }
    }

    fn failed(&self, who: Who, text: &str, tail: &str) {
        self.note(who, text);
        self.roster(|roster| roster.failed = true);
        // Before frames are refused: whatever pushes them would be the first to complain, and know nothing of the cause.
        for element in self.elements() {
            let imp = element.imp();
            imp.post(who, "exited", text);
            gst::element_imp_error!(
                imp,
                gst::ResourceError::Failed,
                ("worker {} {text}", who.index),
                ["its last lines on stderr:\n{tail}"]
            );
        }
        self.roster(|roster| {
            roster.peers.iter().for_each(|peer| peer.stream.update(|state| state.failed = true));
        });
        self.close();
        self.lose_returned();
    }

    fn swapping(&self, swapping: bool, mut change: impl FnMut(&mut State)) {
        self.roster(|roster| {
            roster.swapping = swapping;
            for peer in &roster.peers {
                peer.stream.update(|state| {
                    state.swaps.under_way = swapping;
                    change(state);
                });
            }
        });
    }

    fn post_swap(&self, event: &str, reason: &str) {
        self.elements().iter().for_each(|element| element.imp().post_swap(event, reason, None));
    }

    fn note(&self, who: Who, text: &str) {
        self.all_streams(|state| {
            if let Some(worker) = state.worker(who) {
                text.clone_into(&mut worker.last_error);
            }
        });
    }

    /// Once, and not for each element.
    fn log(&self, who: Who, level: Level, text: &str) {
        let Some(element) = self.elements().into_iter().next() else { return };
        let (obj, index) = (&element, who.index);
        match level {
            Level::Error => gst::error!(CAT, obj = obj, "worker {index}: {text}"),
            Level::Warning => gst::warning!(CAT, obj = obj, "worker {index}: {text}"),
            Level::Info | Level::Plain => gst::info!(CAT, obj = obj, "worker {index}: {text}"),
            Level::Debug => gst::debug!(CAT, obj = obj, "worker {index}: {text}"),
        }
    }
}

impl super::imp::OrionPyInfer {
    pub(super) fn post(&self, who: Who, event: &str, reason: &str) {
        let pid = self.stream.lock().worker(who).map_or(0, |worker| worker.status.pid);
        let event = WorkerEvent { event: event.into(), index: who.index as u32, pid, reason: reason.into() };
        event.post(self.obj().upcast_ref());
    }

    pub(super) fn post_setting(&self, who: Who, setting: Setting, refused: Option<&str>) {
        let (property, refused) = (setting.property().to_owned(), refused.map(str::to_owned));
        SettingEvent { property, index: who.index as u32, refused }.post(self.obj().upcast_ref());
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
