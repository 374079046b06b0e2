// SPDX-License-Identifier: MPL-2.0
//! A change that is watched: from the results before it to those after it.

use std::time::Duration;

use orion_core::command::Command as Wire;
use serde_json::Value;
use tokio::time::Instant;

use super::gauge::Gauge;
use crate::{
    asking::{Answer, Room},
    cli::How,
    failure::Failure,
    requests,
    sightings::Target,
    text::done,
};

/// Results that are waited for before the change, and after it.
const BEFORE: u64 = 2;
const AFTER: u64 = 3;
/// No longer than that, whatever the rate is, s.
const LONGEST: f64 = 12.0;

/// Carries it out, and tells what came of it.
pub(super) async fn carry_out(room: &mut Room, id: &str, command: Wire, limit: Duration) -> Result<String, Failure> {
    let mut gauge = Gauge::new(id);
    let before = interval(room, id);
    if before.is_some() {
        listen(room, &mut gauge, BEFORE, before).await;
    }
    let answer = ask(room, id, command, limit, &mut gauge).await?;
    let mut text = match (&answer.outcome, answer.is_good()) {
        (_, true) => format!("Done. {}", done(&answer)),
        (Ok(ack), false) => return Ok(format!("Refused: {}", ack.error.as_deref().unwrap_or_default())),
        (Err(why), false) => return Ok(format!("{id}: {why}")),
    };
    let now = interval(room, id);
    // Where nothing is looked at any more there is nothing to measure.
    if let Some(now) = now {
        let slower = before.map_or(now, |before| before.max(now));
        listen(room, &mut gauge, AFTER, Some(slower)).await;
        text = format!("{text}\nMeasured: {}.", gauge.told(before, Some(now)));
    }
    Ok(text)
}

/// Asks one instance.
pub(super) async fn ask(
    room: &mut Room,
    id: &str,
    command: Wire,
    limit: Duration,
    gauge: &mut Gauge,
) -> Result<Answer, Failure> {
    room.restart(limit);
    let request = requests::request(command, How::default())?;
    let mut hear = |topic: &str, payload: &[u8]| gauge.hear(topic, payload, std::time::Instant::now());
    let answers = room.ask(&Target::One(id.to_owned()), &request, &mut hear).await;
    answers.into_iter().next().ok_or_else(|| Failure::NoAnswer(format!("{id}: no answer")))
}

/// Seconds between two results, by the state; none while paused.
fn interval(room: &Room, id: &str) -> Option<f64> {
    let state = room.seen.get(id)?.state.as_ref()?;
    // Without a limit the camera's rate counts, which is some frames a second.
    let rate = state["inference_rate_hz"].as_f64().unwrap_or(10.0);
    (state["paused"] != Value::Bool(true)).then(|| 1.0 / rate.max(0.1))
}

/// So many results more, for as long as it takes at this interval.
async fn listen(room: &mut Room, gauge: &mut Gauge, count: u64, interval: Option<f64>) {
    let wanted = gauge.results() + count;
    let seconds = (1.0 + (count as f64 + 0.5) * interval.unwrap_or(1.0)).min(LONGEST);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while gauge.results() < wanted {
        let Some(news) = room.broker.next(end).await else { return };
        if let Some((topic, payload)) = room.note(news) {
            gauge.hear(&topic, &payload, std::time::Instant::now());
        }
    }
}
