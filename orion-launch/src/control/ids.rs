// SPDX-License-Identifier: MPL-2.0
//! Commands that were heard before: they are not carried out again.

use std::collections::VecDeque;

use orion_core::{
    command::{Id, Request},
    health::Ack,
};

/// So many ids are remembered.
const MOST: usize = 256;

/// What is known of a command.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// Nothing: it is to be carried out.
    New,
    /// It is being carried out; the answer will come.
    Running,
    /// It was answered.
    Answered(Box<Ack>),
    /// Its id was that of another command.
    Taken,
}

#[derive(Debug)]
struct Known {
    id: Id,
    request: Request,
    ack: Option<Box<Ack>>,
}

/// The last ids.
#[derive(Debug, Default)]
pub(super) struct Ids(VecDeque<Known>);

impl Ids {
    /// A command was heard; what was known of it.
    pub(super) fn heard(&mut self, request: &Request) -> Seen {
        let Some(id) = &request.id else { return Seen::New };
        match self.0.iter().find(|known| known.id == *id) {
            Some(known) if known.request != *request => Seen::Taken,
            Some(Known { ack: Some(ack), .. }) => Seen::Answered(Box::new(Ack { duplicate: true, ..(**ack).clone() })),
            Some(_) => Seen::Running,
            None => {
                if self.0.len() >= MOST {
                    // One that is still being carried out would be carried out again.
                    let oldest = self.0.iter().position(|known| known.ack.is_some()).unwrap_or_default();
                    self.0.remove(oldest);
                }
                self.0.push_back(Known { id: id.clone(), request: request.clone(), ack: None });
                Seen::New
            }
        }
    }

    /// A command was answered.
    pub(super) fn answered(&mut self, ack: &Ack) {
        let known = self.0.iter_mut().find(|known| Some(&known.id) == ack.id.as_ref() && known.ack.is_none());
        if let Some(known) = known {
            known.ack = Some(Box::new(ack.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use orion_core::command::Command;

    use super::*;

    fn request(id: i64, command: Command) -> Request {
        Request { command, id: Some(Id::Number(id)), if_revision: None, dry_run: false }
    }

    #[test]
    fn the_same_id_is_carried_out_once() {
        let mut ids = Ids::default();
        let pause = request(1, Command::PauseInference);
        assert_eq!(ids.heard(&pause), Seen::New);
        assert_eq!(ids.heard(&pause), Seen::Running);
        let ack = Ack::success("pause_inference", pause.id.clone(), "t".into());
        ids.answered(&ack);
        assert_eq!(ids.heard(&pause), Seen::Answered(Box::new(Ack { duplicate: true, ..ack })));
        assert_eq!(ids.heard(&request(1, Command::ResumeInference)), Seen::Taken);
        let nameless = Request { id: None, ..pause };
        assert_eq!((ids.heard(&nameless), ids.heard(&nameless)), (Seen::New, Seen::New));
    }

    #[test]
    fn only_the_last_ids_are_remembered() {
        let mut ids = Ids::default();
        for id in 0..=MOST as i64 {
            assert_eq!(ids.heard(&request(id, Command::GetStatus)), Seen::New);
        }
        assert_eq!(ids.heard(&request(1, Command::GetStatus)), Seen::Running);
        assert_eq!(ids.heard(&request(0, Command::GetStatus)), Seen::New, "forgotten");
    }
}
