// SPDX-License-Identifier: MPL-2.0
//! What others in this process hear and ask for, without the broker.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use orion_core::{
    command::{Id, Refusal, Request},
    health::Ack,
};
use serde_json::Value;
use tokio::sync::{
    broadcast, mpsc,
    oneshot::{self, error::RecvError},
};

use super::{
    link::Heard,
    now,
    voice::{Shared, Voice},
};

/// Answers and events that are remembered.
const RECENT: usize = 50;
/// News that a listener may be behind with.
const BEHIND: usize = 128;

/// Something that an instance has said.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Who.
    pub(crate) instance_id: String,
    /// An answer or an event as it is published: JSON.
    pub(crate) json: Arc<str>,
}

/// Where what is said is laid out for listeners.
#[derive(Debug)]
pub(super) struct Ledge {
    recent: Mutex<VecDeque<Said>>,
    news: broadcast::Sender<Said>,
    /// Who waits for the answer to a command, by its id.
    waiting: Mutex<HashMap<String, oneshot::Sender<Ack>>>,
}

impl Default for Ledge {
    fn default() -> Self {
        Self { recent: Mutex::default(), news: broadcast::Sender::new(BEHIND), waiting: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain lists: a panic elsewhere leaves them usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledge {
    pub(super) fn said(&self, instance_id: &str, payload: &[u8]) {
        let json = String::from_utf8_lossy(payload).as_ref().into();
        let said = Said { instance_id: instance_id.to_owned(), json };
        let mut recent = lock(&self.recent);
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(said.clone());
        // Nobody may be listening.
        let _ = self.news.send(said);
    }

    pub(super) fn answered(&self, ack: &Ack) {
        if let Some(Id::Text(id)) = &ack.id
            && let Some(waiting) = lock(&self.waiting).remove(id)
        {
            // They may have gone.
            let _ = waiting.send(ack.clone());
        }
    }
}

/// Somebody's place at the window; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Heard>,
}

/// A command that is not answered yet; nobody waits any more with the end of this value.
#[derive(Debug)]
pub(crate) struct Asked {
    shared: Arc<Shared>,
    id: String,
    answer: oneshot::Receiver<Ack>,
}

impl Window {
    pub(super) fn new(shared: &Arc<Shared>, commands: mpsc::Sender<Heard>) -> Self {
        Self { shared: Arc::clone(shared), commands }
    }

    /// Hands in a command for an instance, under an id that nobody else uses; none = too many wait already, or the daemon stops.
    pub(crate) fn ask(&self, to: &str, id: &str, request: Request) -> Option<Asked> {
        let (sender, answer) = oneshot::channel();
        lock(&self.shared.ledge.waiting).insert(id.to_owned(), sender);
        let asked = Asked { shared: Arc::clone(&self.shared), id: id.to_owned(), answer };
        let request = Request { id: Some(Id::Text(id.to_owned())), ..request };
        self.commands.try_send(Heard { to: Some(to.to_owned()), request }).is_ok().then_some(asked)
    }

    /// Refuses what was meant for an instance and cannot be read, in the hearing of all.
    pub(crate) fn refuse(&self, to: &str, refusal: &Refusal) -> Ack {
        tracing::info!("command {:?} of the live page is refused: {}", refusal.command, refusal.error);
        let ack = refusal.ack(now());
        Voice::new(&self.shared, to).ack(&ack);
        ack
    }

    /// What is said from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Said> {
        self.shared.ledge.news.subscribe()
    }

    /// The last answers and events, the newest last.
    pub(crate) fn recent(&self) -> Vec<Said> {
        lock(&self.shared.ledge.recent).iter().cloned().collect()
    }

    /// What is in force for an instance, as it is published; none = nothing was said yet.
    pub(crate) fn state(&self, instance_id: &str) -> Option<Value> {
        let topic = self.shared.topic("state", instance_id);
        serde_json::from_slice(self.shared.outbox().kept(&topic)?).ok()
    }
}

impl Asked {
    /// Waits for the answer.
    ///
    /// # Errors
    /// There will be none.
    pub(crate) async fn answer(&mut self) -> Result<Ack, RecvError> {
        (&mut self.answer).await
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        lock(&self.shared.ledge.waiting).remove(&self.id);
    }
}

/// One at which nobody takes commands.
#[cfg(test)]
pub(crate) fn test_window() -> Window {
    Window::new(&Arc::new(Shared::new("care", None)), mpsc::channel(1).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(id: &str) -> Ack {
        Ack::success("get_status", Some(Id::Text(id.to_owned())), "2026-11-22T08:00:00.000000000Z".to_owned())
    }

    #[tokio::test]
    async fn a_command_finds_its_answer_and_nobody_elses() {
        let shared = Arc::new(Shared::new("care", None));
        let (commands, mut heard) = mpsc::channel(1);
        let window = Window::new(&shared, commands);
        let voice = Voice::new(&shared, "a");
        let request = Request::read(br#"{"command": "get_status", "id": "theirs"}"#).unwrap();
        let mut asked = window.ask("a", "mine", request.clone()).unwrap();
        let taken = heard.try_recv().unwrap();
        assert_eq!((taken.to.as_deref(), taken.request.id.as_ref()), (Some("a"), Some(&Id::Text("mine".into()))));
        voice.ack(&ack("theirs"));
        voice.ack(&ack("mine"));
        assert_eq!(asked.answer().await.unwrap(), ack("mine"));
        assert_eq!(window.recent().len(), 2, "others see both");

        let _waits = window.ask("a", "2", request.clone()).unwrap();
        assert!(window.ask("a", "3", request).is_none(), "there is room for one");
        assert_eq!(lock(&shared.ledge.waiting).len(), 1, "who was turned away is not waited for");
    }

    #[test]
    fn the_newest_is_remembered_whoever_listens() {
        let shared = Arc::new(Shared::new("care", None));
        let (voice, window) = (Voice::new(&shared, "a"), Window::new(&shared, mpsc::channel(1).0));
        let mut news = window.listen();
        (0..RECENT + 3).for_each(|n| voice.ack(&ack(&n.to_string())));
        let recent = window.recent();
        assert_eq!(recent.len(), RECENT);
        assert!(recent[0].json.contains(r#""id":"3""#), "{}", recent[0].json);
        assert_eq!(news.try_recv().unwrap().instance_id, "a");
        assert!(window.state("a").is_none());
        shared.outbox().keep("care/state/a".into(), br#"{"revision": 7}"#.into());
        assert_eq!(window.state("a").unwrap()["revision"], 7);
    }
}
