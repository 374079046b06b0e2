// SPDX-License-Identifier: MPL-2.0
//! What is to be said to the broker: answers and events in their order, and what the broker is to keep.

use std::collections::{BTreeMap, VecDeque};

/// Answers and events that wait for a connection, at most; then the oldest goes.
const MOST: usize = 1000;

/// A message that was sent so often in vain is given up.
const MOST_TRIES: u32 = 5;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// Whether the broker keeps it.
    pub(super) retain: bool,
    /// How often it was sent without an acknowledgement.
    pub(super) tries: u32,
}

/// Messages in the order in which they are to be said.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Message>,
    /// The newest by topic, said again on each connection. Empty = to be forgotten, which the broker has not confirmed yet.
    kept: BTreeMap<String, Vec<u8>>,
    dropped: u64,
}

impl Outbox {
    /// An answer or an event.
    pub(super) fn say(&mut self, topic: String, payload: Vec<u8>) {
        if self.waiting.len() >= MOST {
            self.drop_oldest();
        }
        self.waiting.push_back(Message { topic, payload, retain: false, tries: 0 });
    }

    /// Something that the broker keeps in place of what it has kept of this topic.
    pub(super) fn keep(&mut self, topic: String, payload: Vec<u8>) {
        // Only the newest counts, and it comes behind what was said before.
        self.waiting.retain(|message| !message.retain || message.topic != topic);
        self.kept.insert(topic.clone(), payload.clone());
        self.waiting.push_back(Message { topic, payload, retain: true, tries: 0 });
    }

    /// The broker shall keep nothing of this topic any more: an empty message says so (MQTT 3.1.1, 3.3.1.3).
    pub(super) fn forget(&mut self, topic: String) {
        self.keep(topic, Vec::new());
    }

    /// The broker has this message. What it has forgotten it need not be told again.
    pub(super) fn arrived(&mut self, message: &Message) {
        let forgotten = message.retain && message.payload.is_empty();
        if forgotten && self.kept.get(&message.topic).is_some_and(Vec::is_empty) {
            self.kept.remove(&message.topic);
        }
    }

    /// What the broker keeps of this topic, or will.
    pub(super) fn kept(&self, topic: &str) -> Option<&[u8]> {
        self.kept.get(topic).filter(|payload| !payload.is_empty()).map(Vec::as_slice)
    }

    /// Says again what is kept of these topics.
    pub(super) fn again(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let wanted: Vec<_> = self.kept.iter().filter(|(topic, _)| is_wanted(topic)).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(topic, payload)| (topic.clone(), payload.clone())).collect();
        wanted.into_iter().for_each(|(topic, payload)| self.keep(topic, payload));
    }

    /// A new connection: what is kept is said first.
    pub(super) fn connected(&mut self) {
        self.waiting.retain(|message| !message.retain);
        for (topic, payload) in self.kept.iter().rev() {
            self.waiting.push_front(Message { topic: topic.clone(), payload: payload.clone(), retain: true, tries: 0 });
        }
    }

    /// The next message.
    pub(super) fn take(&mut self) -> Option<Message> {
        self.waiting.pop_front()
    }

    /// Messages that did not arrive, in their order: they come first again.
    pub(super) fn give_back(&mut self, messages: Vec<Message>) {
        for message in messages.into_iter().rev() {
            let message = Message { tries: message.tries + 1, ..message };
            if message.retain {
                // It may be out of date.
                let newest = self.kept.get(&message.topic) == Some(&message.payload);
                if newest && !self.waiting.iter().any(|other| other.retain && other.topic == message.topic) {
                    self.waiting.push_front(message);
                }
            } else if message.tries >= MOST_TRIES {
                // The broker may end the connection because of it; others must not wait for ever.
                self.dropped += 1;
            } else {
                self.waiting.push_front(message);
            }
        }
        while self.waiting.len() > MOST {
            self.drop_oldest();
        }
    }

    /// Whether all is said.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many answers and events were given up, since the last time that this was asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.waiting.iter().position(|message| !message.retain) {
            self.waiting.remove(oldest);
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outbox: &mut Outbox) -> Vec<String> {
        let text = |m: Message| {
            format!("{}={}{}", m.topic, String::from_utf8(m.payload).unwrap(), if m.retain { "!" } else { "" })
        };
        std::iter::from_fn(|| outbox.take()).map(text).collect()
    }

    #[test]
    fn of_what_is_kept_only_the_newest_is_said_and_again_on_each_connection() {
        let mut outbox = Outbox::default();
        outbox.keep("state".into(), b"1".into());
        outbox.say("ack".into(), b"a".into());
        outbox.keep("state".into(), b"2".into());
        outbox.say("ack".into(), b"b".into());
        assert_eq!(said(&mut outbox), ["ack=a", "state=2!", "ack=b"]);
        outbox.say("ack".into(), b"c".into());
        outbox.connected();
        assert_eq!(said(&mut outbox), ["state=2!", "ack=c"]);
    }

    #[test]
    fn what_is_forgotten_is_said_once() {
        let mut outbox = Outbox::default();
        outbox.keep("state".into(), b"1".into());
        outbox.forget("state".into());
        let forgotten = outbox.take().unwrap();
        assert_eq!((forgotten.payload.as_slice(), forgotten.retain), (&b""[..], true));
        outbox.arrived(&forgotten);
        outbox.connected();
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_forgotten_while_there_is_no_connection_is_said_on_the_next() {
        let mut outbox = Outbox::default();
        outbox.keep("state".into(), b"1".into());
        outbox.connected();
        assert_eq!(said(&mut outbox), ["state=1!"]);
        outbox.forget("state".into());
        outbox.connected();
        let lost = outbox.take().unwrap();
        outbox.give_back(vec![lost]);
        assert_eq!(said(&mut outbox), ["state=!"]);
        outbox.forget("state".into());
        let old = outbox.take().unwrap();
        outbox.keep("state".into(), b"2".into());
        outbox.arrived(&old);
        outbox.connected();
        assert_eq!(said(&mut outbox), ["state=2!"], "what is kept since then stays");
    }

    #[test]
    fn what_did_not_arrive_comes_first_again() {
        let mut outbox = Outbox::default();
        outbox.keep("state".into(), b"1".into());
        for n in ["a", "b", "c"] {
            outbox.say("ack".into(), n.into());
        }
        let sent: Vec<_> = (0..3).filter_map(|_| outbox.take()).collect();
        outbox.give_back(sent);
        outbox.connected();
        assert_eq!(said(&mut outbox), ["state=1!", "ack=a", "ack=b", "ack=c"]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_kept_can_be_said_again() {
        let mut outbox = Outbox::default();
        outbox.keep("home/a".into(), b"1".into());
        outbox.keep("state".into(), b"2".into());
        assert_eq!(said(&mut outbox), ["home/a=1!", "state=2!"]);
        assert_eq!((outbox.kept("home/a"), outbox.kept("home/b")), (Some(&b"1"[..]), None));
        outbox.again(|topic| topic.starts_with("home/"));
        assert_eq!(said(&mut outbox), ["home/a=1!"]);
        outbox.forget("home/a".into());
        assert_eq!(outbox.kept("home/a"), None);
        let empty = outbox.take().unwrap();
        outbox.arrived(&empty);
        outbox.again(|_| true);
        assert_eq!(said(&mut outbox), ["state=2!"]);
    }

    #[test]
    fn what_never_arrives_is_given_up() {
        let mut outbox = Outbox::default();
        outbox.say("ack".into(), b"a".into());
        for _ in 0..MOST_TRIES {
            let sent = outbox.take().unwrap();
            outbox.give_back(vec![sent]);
        }
        assert_eq!((outbox.take(), outbox.take_dropped()), (None, 1));
    }

    #[test]
    fn without_a_connection_the_oldest_goes_but_never_what_is_kept() {
        let mut outbox = Outbox::default();
        outbox.keep("state".into(), b"1".into());
        for n in 0..MOST + 4 {
            outbox.say("ack".into(), n.to_string().into());
        }
        assert_eq!((outbox.take_dropped(), outbox.take_dropped()), (5, 0));
        let said = said(&mut outbox);
        assert_eq!((said.len(), said[0].as_str(), said[1].as_str()), (MOST, "state=1!", "ack=5"));
    }
}
