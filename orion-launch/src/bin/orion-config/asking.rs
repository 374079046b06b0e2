// SPDX-License-Identifier: MPL-2.0
//! Finding out who is there, asking, and waiting for the answers: each for as long as there is time.

use std::{collections::BTreeMap, time::Duration};

use orion_core::{
    command::Id,
    health::{Ack, AckStatus},
    status::Status,
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    broker::{Broker, News},
    cli::Common,
    failure::Failure,
    sightings::{Sightings, Target},
};

/// So long after the last message that the broker keeps, it is taken to have told all.
const QUIET: Duration = Duration::from_millis(250);
/// But no longer than that.
const LOOK: Duration = Duration::from_secs(3);
/// For so long an instance may be offline before it is given up: its connection may just be made anew.
const AWAY: Duration = Duration::from_secs(1);

/// What became of a command at one instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) id: String,
    /// The answer, or why there is none.
    pub(crate) outcome: Result<Ack, String>,
    /// From the command to the answer, or to where nobody waits any more.
    pub(crate) took: Duration,
}

impl Answer {
    /// Whether it is in force.
    pub(crate) fn is_good(&self) -> bool {
        matches!(&self.outcome, Ok(ack) if ack.status == AckStatus::Success)
    }

    /// As an exit code.
    pub(crate) fn code(&self) -> u8 {
        match &self.outcome {
            Ok(_) if self.is_good() => 0,
            Ok(_) => 1,
            Err(_) => 3,
        }
    }
}

/// Where there is a connection and what has been seen of the instances.
pub(crate) struct Room {
    pub(crate) broker: Broker,
    pub(crate) seen: Sightings,
    /// As it was asked for, for texts.
    pub(crate) uri: String,
    pub(crate) deadline: Instant,
    limit: Duration,
    /// Why there is no connection now.
    pub(crate) trouble: Option<String>,
}

impl Room {
    /// Connects within `limit`, looks around, and subscribes to what `id` (or everybody) says; `also` to this.
    ///
    /// # Errors
    /// [`Failure`] when a setting cannot be used, or the broker is not there.
    pub(crate) async fn enter(common: &Common, limit: Duration, also: &[&str]) -> Result<Self, Failure> {
        let whom = named(common).unwrap_or("+");
        let kinds = ["status", "state", "health"].iter().chain(also);
        let one: Vec<_> = kinds.map(|kind| format!("{kind}/{whom}")).collect();
        let broker = Broker::open(common, &one)?;
        let uri = common.broker.clone();
        let mut room =
            Self { broker, seen: Sightings::default(), uri, deadline: Instant::now() + limit, limit, trouble: None };
        room.look(named(common)).await?;
        // A daemon of several cameras is there when one of them is.
        let cameras = named(common).map(|id| room.seen.cameras(id)).unwrap_or_default();
        let topics: Vec<_> = cameras.iter().map(|camera| format!("status/{camera}")).collect();
        if !topics.is_empty() {
            room.broker.listen(&topics);
            room.look(None).await?;
        }
        Ok(room)
    }

    /// There is so much time from now on.
    pub(crate) fn restart(&mut self, limit: Duration) {
        (self.deadline, self.limit) = (Instant::now() + limit, limit);
    }

    async fn look(&mut self, id: Option<&str>) -> Result<(), Failure> {
        let mut ready = false;
        let (mut quiet, mut end) = (self.deadline, self.deadline);
        loop {
            match self.broker.next(quiet.min(end)).await {
                None if ready => return Ok(()),
                None => return Err(Failure::NoAnswer(self.slow())),
                // The first attempt tells: a script need not wait for a broker that is not there.
                Some(News::Lost(why)) => return Err(Failure::NoAnswer(why)),
                Some(News::Denied) => return Err(Failure::NoAnswer(self.denied())),
                Some(News::Ready | News::Listening) => {
                    ready = true;
                    end = self.deadline.min(Instant::now() + LOOK);
                }
                Some(News::Message(topic, payload)) => {
                    // Results and answers to others are no reason to wait.
                    if !self.seen.hear(&topic, &payload) {
                        continue;
                    }
                }
            }
            if ready && id.is_some_and(|id| self.seen.knows(id)) {
                return Ok(());
            }
            quiet = if ready { Instant::now() + QUIET } else { self.deadline };
        }
    }

    /// Sends a command and waits for the answers until the deadline; `heard` gets every message meanwhile.
    pub(crate) async fn ask(
        &mut self,
        target: &Target,
        request: &Map<String, Value>,
        heard: &mut dyn FnMut(&str, &[u8]),
    ) -> Vec<Answer> {
        let asked = Instant::now();
        let (topic, text) = (format!("control/{}", target.address()), Value::Object(request.clone()).to_string());
        let mut round = Round::new(target, request.get("id"));
        self.broker.publish(&topic, &text);
        while !round.is_over() {
            let until = round.next_end().map_or(self.deadline, |end| end.min(self.deadline));
            let news = self.broker.next(until).await;
            match &news {
                None if Instant::now() >= self.deadline => break,
                // The same id: what was carried out already is only answered again.
                Some(News::Ready) => self.broker.publish(&topic, &text),
                _ => {}
            }
            if let Some((topic, payload)) = news.and_then(|news| self.note(news)) {
                heard(&topic, &payload);
                round.hear(&topic, &payload, &self.seen, Instant::now());
            }
            round.give_up(Instant::now());
        }
        let why = match &self.trouble {
            Some(trouble) => format!("no answer: {trouble}"),
            None => format!(
                "no answer within {} s; it may still come into force (is {topic} a topic that you may publish to?)",
                seconds(self.limit)
            ),
        };
        round.end(asked, &why)
    }

    /// Keeps what the news tell of the connection and of instances; gives the message, if it is one.
    pub(crate) fn note(&mut self, news: News) -> Option<(String, Vec<u8>)> {
        match news {
            News::Lost(why) => self.trouble = Some(why),
            News::Denied => self.trouble = Some(self.denied()),
            News::Ready => self.trouble = None,
            News::Listening => {}
            News::Message(topic, payload) => {
                self.seen.hear(&topic, &payload);
                return Some((topic, payload));
            }
        }
        None
    }

    fn slow(&self) -> String {
        format!("MQTT broker at {} does not answer within {} s", self.uri, seconds(self.limit))
    }

    fn denied(&self) -> String {
        format!("MQTT broker at {} does not let us read status, state and health", self.uri)
    }
}

/// Who was named, if it is one.
fn named(common: &Common) -> Option<&str> {
    common.id.as_deref().filter(|id| *id != crate::words::ALL)
}

fn seconds(limit: Duration) -> f64 {
    (limit.as_secs_f64() * 10.0).round() / 10.0
}

/// Who has answered, and who has not.
struct Round {
    id: Option<Id>,
    waiting: BTreeMap<String, Option<Instant>>,
    done: Vec<(String, Result<Ack, String>, Instant)>,
}

impl Round {
    fn new(target: &Target, id: Option<&Value>) -> Self {
        let id = id.and_then(|id| serde_json::from_value(id.clone()).ok());
        Self { id, waiting: target.ids().into_iter().map(|id| (id, None)).collect(), done: Vec::new() }
    }

    fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next one that is offline is given up.
    fn next_end(&self) -> Option<Instant> {
        self.waiting.values().flatten().min().copied()
    }

    fn hear(&mut self, topic: &str, payload: &[u8], seen: &Sightings, now: Instant) {
        let Some((kind, from)) = topic.split_once('/') else { return };
        if kind == "status" {
            for (id, end) in &mut self.waiting {
                *end = match seen.status(id) {
                    Some(Status::Offline) => end.or(Some(now + AWAY)),
                    // Its answers come on another connection than its status.
                    Some(Status::Stopped) => end.or(Some(now + QUIET)),
                    _ => None,
                };
            }
        }
        if kind != "health" || !self.waiting.contains_key(from) {
            return;
        }
        if let Ok(ack) = serde_json::from_slice::<Ack>(payload)
            && ack.id == self.id
        {
            self.waiting.remove(from);
            self.done.push((from.to_owned(), Ok(ack), now));
        }
    }

    fn give_up(&mut self, now: Instant) {
        let gone = self.waiting.extract_if(.., |_, end| end.is_some_and(|end| end <= now));
        let why = "no answer: it has gone offline meanwhile".to_owned();
        self.done.extend(gone.map(|(id, _)| (id, Err(why.clone()), now)));
    }

    fn end(self, asked: Instant, why: &str) -> Vec<Answer> {
        let now = Instant::now();
        let late = self.waiting.into_keys().map(|id| (id, Err(why.to_owned()), now));
        let mut answers: Vec<_> = self
            .done
            .into_iter()
            .chain(late)
            .map(|(id, outcome, at)| Answer { id, outcome, took: at.saturating_duration_since(asked) })
            .collect();
        answers.sort_by(|one, other| one.id.cmp(&other.id));
        answers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn round() -> (Round, Sightings, Instant) {
        let target = Target::All(BTreeSet::from(["a".into(), "b".into(), "c".into()]));
        (Round::new(&target, Some(&json!("x"))), Sightings::default(), Instant::now())
    }

    fn ack(id: &str, status: &str) -> Vec<u8> {
        json!({"command_ack": "c", "status": status, "id": id, "timestamp": "t"}).to_string().into_bytes()
    }

    #[test]
    fn only_the_answer_to_this_command_counts() {
        let (mut round, seen, now) = round();
        for (topic, payload) in [
            ("health/a", ack("y", "success")),
            ("health/z", ack("x", "success")),
            ("state/a", ack("x", "success")),
            ("health/a", b"{".to_vec()),
            ("health/a", br#"{"event": "stopping", "reason": "x", "timestamp": "t"}"#.to_vec()),
        ] {
            round.hear(topic, &payload, &seen, now);
        }
        assert_eq!(round.waiting.len(), 3);
        round.hear("health/a", &ack("x", "success"), &seen, now);
        round.hear("health/b", &ack("x", "error"), &seen, now);
        let answers = round.end(now, "late");
        let codes: Vec<_> = answers.iter().map(|answer| (answer.id.as_str(), answer.code())).collect();
        assert_eq!(codes, [("a", 0), ("b", 1), ("c", 3)]);
        assert_eq!(answers[2].outcome, Err("late".into()));
    }

    #[test]
    fn who_goes_offline_is_given_up_unless_it_comes_back() {
        let (mut round, mut seen, now) = round();
        let mut say = |round: &mut Round, topic: &str, payload: &[u8]| {
            seen.hear(topic, payload);
            round.hear(topic, payload, &seen, now);
        };
        say(&mut round, "status/a", b"offline");
        say(&mut round, "status/b", b"offline");
        say(&mut round, "status/b", b"online");
        assert_eq!(round.next_end(), Some(now + AWAY));
        round.give_up(now);
        assert_eq!(round.waiting.len(), 3);
        round.give_up(now + AWAY);
        assert_eq!(round.waiting.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert!(round.done[0].1.as_ref().is_err_and(|why| why.contains("gone offline")));
    }
}
