// SPDX-License-Identifier: MPL-2.0
//! Whether the daemon does its work: a rule over the state.

use serde::Serialize;

use crate::{inlet::StreamState, status::Snapshot};

/// How well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// All is as it should be.
    Healthy,
    /// Persons are still seen, but something is amiss.
    Degraded,
    /// A person would not be seen.
    Unhealthy,
}

/// The rule's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) status: Health,
    pub(crate) reasons: Vec<String>,
}

/// Unhealthy without frames or without any worker that takes them; degraded while some workers are away, or while results
/// wait for the broker. Dropped frames are no illness: a camera gives more than is wanted.
pub(crate) fn judge(state: &Snapshot) -> Verdict {
    let mut verdict = Verdict { status: Health::Healthy, reasons: Vec::new() };
    let mut find = |status: Health, reason: String| {
        verdict.status = verdict.status.max(status);
        verdict.reasons.push(reason);
    };
    match state.stream.last_frame_age_s {
        _ if state.stream.state == StreamState::Lost => {
            let cause = state.stream.cause.map_or("lost", |cause| cause.as_str());
            let (since, detail) = (state.stream.state_for_s, &state.stream.detail);
            let detail = if detail.is_empty() { String::new() } else { format!(", {detail}") };
            find(Health::Unhealthy, format!("the stream is lost for {since:.1} s: {cause}{detail}"));
        }
        None => find(Health::Unhealthy, "no frame has come yet".into()),
        Some(age) if state.stream.live && age > state.stream.stall_timeout_s => {
            find(Health::Unhealthy, format!("no frame for {age:.1} s"));
        }
        Some(_) => {}
    }
    for worker in &state.workers {
        let away: Vec<_> = worker.processes.iter().filter(|process| !process.is_ready()).collect();
        for process in &away {
            let status = if away.len() == worker.processes.len() { Health::Unhealthy } else { Health::Degraded };
            let error = if process.last_error.is_empty() { String::new() } else { format!(": {}", process.last_error) };
            find(status, format!("{} worker {} is {}{error}", worker.name, process.index, process.state));
        }
        if worker.processes.is_empty() {
            find(Health::Unhealthy, format!("{} has no worker", worker.name));
        }
    }
    if let Some(age) = state.unseen_s {
        find(Health::Unhealthy, format!("no frame was looked at for {age:.1} s: workers give no results"));
    }
    if !state.broker.connected && !state.broker.uri.is_empty() {
        let error = match state.broker.last_error.as_str() {
            "" => String::new(),
            error => format!(": {error}"),
        };
        find(Health::Degraded, format!("no connection to the broker {}{error}", state.broker.uri));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use orion_core::camera::LossCause;

    use super::*;
    use crate::status::{Broker, Process, Stream, Worker};

    fn state(age: Option<f64>, live: bool, workers: &[&str], connected: bool) -> Snapshot {
        let process = |(index, state): (usize, &&str)| Process {
            index: index as u32,
            state: (*state).into(),
            ..Process::default()
        };
        Snapshot {
            instance_id: "a".into(),
            uptime_s: 1.0,
            stream: Stream {
                live,
                stall_timeout_s: 2.0,
                frames: 1,
                last_frame_age_s: age,
                state: StreamState::Streaming,
                state_for_s: 7.0,
                cause: None,
                detail: String::new(),
                epoch: 0,
                reconnects: 0,
                fps: None,
                rate_hz: 5.0,
            },
            broker: Broker { uri: "mqtt://b".into(), connected, ..Broker::default() },
            workers: vec![Worker {
                name: "infer".into(),
                drop_rate: 0.99,
                processes: workers.iter().enumerate().map(process).collect(),
                ..Worker::default()
            }],
            presence: None,
            unseen_s: None,
            ledger: Vec::new(),
        }
    }

    #[test]
    fn a_slow_camera_is_lost_when_its_own_time_is_over() {
        let mut slow = state(Some(9.0), true, &["ready"], true);
        assert_eq!(judge(&slow).status, Health::Unhealthy);
        slow.stream.stall_timeout_s = 15.0;
        assert_eq!(judge(&slow).status, Health::Healthy);
    }

    #[test]
    fn workers_that_are_ready_and_give_no_results_see_nobody() {
        let mut state = state(Some(0.1), true, &["ready"], true);
        state.unseen_s = Some(12.34);
        let verdict = judge(&state);
        assert_eq!(verdict.status, Health::Unhealthy);
        assert_eq!(verdict.reasons, ["no frame was looked at for 12.3 s: workers give no results"]);
    }

    #[test]
    fn a_camera_for_which_nothing_could_be_made_has_no_broker_to_blame() {
        let nothing = crate::status::Status::of_nothing("a");
        nothing.inlet.lose(LossCause::Lost, "no such program");
        let verdict = judge(&nothing.snapshot());
        assert_eq!((verdict.status, verdict.reasons.len()), (Health::Unhealthy, 1), "{:?}", verdict.reasons);
        assert!(verdict.reasons[0].ends_with("no such program"), "{:?}", verdict.reasons);
    }

    #[test]
    fn a_lost_stream_is_named_with_its_cause_and_time() {
        let mut state = state(Some(9.0), true, &["ready"], true);
        (state.stream.state, state.stream.cause) = (StreamState::Lost, Some(LossCause::Refused));
        state.stream.detail = "Connection refused".into();
        let verdict = judge(&state);
        assert_eq!(verdict.status, Health::Unhealthy);
        assert_eq!(verdict.reasons, ["the stream is lost for 7.0 s: refused, Connection refused"]);
    }

    #[test]
    fn health_follows_from_stream_workers_and_broker() {
        use Health::{Degraded, Healthy, Unhealthy};
        for (age, live, workers, connected, status, reason) in [
            (Some(0.1), true, &["ready", "busy"][..], true, Healthy, ""),
            (Some(9.0), false, &["busy"], true, Healthy, ""),
            (Some(2.5), true, &["ready"], true, Unhealthy, "no frame for 2.5 s"),
            (None, false, &["ready"], true, Unhealthy, "no frame has come yet"),
            (Some(0.1), true, &["ready", "backing-off"], true, Degraded, "infer worker 1 is backing-off"),
            (Some(0.1), true, &["starting"], true, Unhealthy, "infer worker 0 is starting"),
            (Some(0.1), true, &["failed", "stopped"], true, Unhealthy, "infer worker 1 is stopped"),
            (Some(0.1), true, &[], true, Unhealthy, "infer has no worker"),
            (Some(0.1), true, &["ready"], false, Degraded, "no connection to the broker mqtt://b"),
            (Some(3.0), true, &["ready"], false, Unhealthy, "no connection to the broker"),
        ] {
            let verdict = judge(&state(age, live, workers, connected));
            assert_eq!(verdict.status, status, "{age:?} {live} {workers:?} {connected}");
            assert_eq!(verdict.reasons.is_empty(), reason.is_empty());
            assert!(verdict.reasons.join("; ").contains(reason), "{:?}", verdict.reasons);
        }
    }
}
