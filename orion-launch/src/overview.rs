// SPDX-License-Identifier: MPL-2.0
//! The state of all cameras of the daemon.

use std::sync::{Arc, Mutex, PoisonError};

use orion_core::camera::LossCause;
use serde::Serialize;

use crate::{
    health::{self, Health, Verdict},
    status::{Snapshot, Status},
};

/// Where the states of all cameras are read from; cheap to share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overview(Arc<Mutex<Vec<Status>>>);

/// One camera, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Judged {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    #[serde(flatten)]
    pub(crate) state: Snapshot,
}

/// All cameras.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Readiness {
    /// A daemon of one camera speaks of that alone.
    One(Box<Judged>),
    /// Several cameras.
    Several {
        #[serde(flatten)]
        verdict: Verdict,
        cameras: Vec<Judged>,
    },
}

impl Readiness {
    /// How well all of it is.
    pub(crate) fn verdict(&self) -> &Verdict {
        match self {
            Self::One(one) => &one.verdict,
            Self::Several { verdict, .. } => verdict,
        }
    }
}

impl Overview {
    /// These are the cameras from now on.
    pub(crate) fn set(&self, cameras: Vec<Status>) {
        // A plain list: a panic elsewhere leaves it usable.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cameras;
    }

    /// This camera is another one from now on, or one more.
    pub(crate) fn set_one(&self, camera: &Status) {
        let mut cameras = self.cameras();
        cameras.retain(|other| other.instance_id != camera.instance_id);
        cameras.push(camera.clone());
        cameras.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
        self.set(cameras);
    }

    /// This camera cannot be watched now, and why.
    pub(crate) fn set_failed(&self, instance_id: &str, reason: &str) {
        let known = self.cameras().into_iter().find(|camera| camera.instance_id == instance_id);
        let nothing = Status::of_nothing(instance_id);
        nothing.inlet.lose(LossCause::Lost, reason);
        // Frames may still be on their way into the elements that end now; they make it no camera that is watched.
        self.set_one(&known.map_or(nothing.clone(), |known| Status { inlet: nothing.inlet, ..known }));
    }

    /// This camera is none any more.
    pub(crate) fn forget(&self, instance_id: &str) {
        let mut cameras = self.cameras();
        cameras.retain(|camera| camera.instance_id != instance_id);
        self.set(cameras);
    }

    /// The cameras.
    pub(crate) fn cameras(&self) -> Vec<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state of each camera now, and what follows from them.
    pub(crate) fn readiness(&self) -> Readiness {
        let judged = |status: Status| {
            let state = status.snapshot();
            Judged { verdict: health::judge(&state), state }
        };
        let mut cameras: Vec<_> = self.cameras().into_iter().map(judged).collect();
        if cameras.len() == 1
            && let Some(one) = cameras.pop()
        {
            return Readiness::One(Box::new(one));
        }
        Readiness::Several { verdict: together(&cameras), cameras }
    }
}

/// Unhealthy when no camera is watched well enough, degraded when one of them is not healthy.
fn together(cameras: &[Judged]) -> Verdict {
    let amiss: Vec<_> = cameras.iter().filter(|camera| camera.verdict.status != Health::Healthy).collect();
    let blind = cameras.iter().filter(|camera| camera.verdict.status == Health::Unhealthy).count();
    let status = match amiss.len() {
        _ if cameras.is_empty() || blind == cameras.len() => Health::Unhealthy,
        0 => Health::Healthy,
        _ => Health::Degraded,
    };
    let reasons =
        amiss.iter().map(|camera| format!("{}: {}", camera.state.instance_id, camera.verdict.reasons.join("; ")));
    let mut reasons: Vec<_> = reasons.collect();
    if cameras.is_empty() {
        reasons.push("there is no camera".into());
    }
    Verdict { status, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(id: &str, status: Health) -> Judged {
        let reasons = if status == Health::Healthy { Vec::new() } else { vec!["why".into()] };
        let state = Snapshot { instance_id: id.into(), ..Snapshot::default() };
        Judged { verdict: Verdict { status, reasons }, state }
    }

    #[test]
    fn one_dead_camera_of_several_is_no_dead_daemon() {
        use Health::{Degraded, Healthy, Unhealthy};
        for (states, status, reasons) in [
            (&[Healthy, Healthy][..], Healthy, ""),
            (&[Healthy, Unhealthy], Degraded, "1: why"),
            (&[Degraded, Healthy], Degraded, "0: why"),
            (&[Degraded, Unhealthy], Degraded, "0: why, 1: why"),
            (&[Unhealthy, Unhealthy], Unhealthy, "0: why, 1: why"),
            (&[], Unhealthy, "there is no camera"),
        ] {
            let cameras: Vec<_> =
                states.iter().enumerate().map(|(n, status)| camera(&n.to_string(), *status)).collect();
            let verdict = together(&cameras);
            assert_eq!((verdict.status, verdict.reasons.join(", ").as_str()), (status, reasons), "{states:?}");
        }
    }
}
