// SPDX-License-Identifier: MPL-2.0
//! What the process says on stdout, and what that means for the frames in hand.

use std::{io, time::Duration};

use orion_core::{
    hand::MAX_BATCH,
    ledger::Cause,
    supervisor::{Exit, State},
    wire::{Ack, InferenceResult, WorkerFault, WorkerMessage},
};

use super::{CLOSED_GRACE, Session};
use crate::orionpyinfer::{
    frame,
    job::Carried,
    report::{Notice, Report},
};

impl Session<'_> {
    pub(super) fn on_stdout(&mut self, read: io::Result<usize>, bytes: &[u8]) {
        match read {
            Ok(n) if n > 0 => self.deframer.push(&bytes[..n]),
            _ => {
                self.stdout_open = false;
                return self.end_soon("closed its stdout", CLOSED_GRACE);
            }
        }
        while self.stdout_open {
            let message = match self.deframer.next_message() {
                Ok(None) => return,
                Ok(Some(body)) => WorkerMessage::decode(body),
                Err(error) => {
                    self.stdout_open = false;
                    return self.kill(format!("sent no protocol message: {error}"), Exit::Own);
                }
            };
            match message {
                Ok(message) => self.on_message(message),
                // What `ready` says decides whether the two understand each other.
                Err(error) if self.worker.supervisor.state() == State::Starting => {
                    self.stdout_open = false;
                    return self.kill(format!("is no worker of this protocol: {error}"), Exit::Own);
                }
                // Every frame gets one answer, so this was it.
                Err(error) => self.lose(None, Cause::WorkerError, format!("unreadable answer: {error}")),
            }
        }
    }

    fn on_message(&mut self, message: WorkerMessage) {
        match message {
            WorkerMessage::Ready(ready) if self.worker.supervisor.state() == State::Starting => {
                if let Err(text) = self.lane.agree(ready.shm) {
                    self.stdout_open = false;
                    return self.kill(text.to_owned(), Exit::Own);
                }
                let largest = ready.max_batch.map_or(1, |most| (most as usize).clamp(1, MAX_BATCH));
                let wait = Duration::try_from_secs_f64(ready.batch_wait_ms.unwrap_or(0.0) / 1e3).unwrap_or_default();
                self.batches = (largest, wait);
                let now = self.worker.now();
                self.worker.supervisor.ready(now);
                self.worker.announce(Box::new(ready));
                self.ask();
                self.status();
                self.offer();
            }
            // It is not needed any more.
            WorkerMessage::Ready(_) if self.worker.supervisor.state() == State::Stopped => {}
            WorkerMessage::Ready(_) => self.odd("said `ready` twice".into()),
            WorkerMessage::Result(result) => self.on_result(*result),
            WorkerMessage::Fault(fault) => self.on_fault(&fault),
            WorkerMessage::Ack(ack) => self.on_ack(ack),
        }
    }

    fn on_result(&mut self, result: InferenceResult) {
        let seq = result.frame_seq;
        let due = self.hand.due();
        let Some(answered) = self.hand.answered(Some(seq)) else {
            let due = due.map_or_else(|| "none".to_owned(), |due| due.to_string());
            return self.odd(format!("answered frame {seq} when {due} was due"));
        };
        self.pass_over(answered.passed_over);
        match answered.item {
            None => self.odd(format!("answered frame {seq} after it was given up")),
            Some(Carried { job: None, .. }) => self.worker.notify(Notice::Checked(Ok(()))),
            Some(Carried { job: Some(mut job), target, .. }) => {
                let prepare = Duration::try_from_secs_f64(result.timing.preprocess_ms / 1e3).unwrap_or_default();
                let service = self.worker.now().saturating_sub(self.front_since);
                // Of one batch all come at once; the first one's time is that of all.
                let inference = result.timing.inference_ms / 1e3;
                if result.timing.batch.is_none_or(|batch| batch < 2) || service.as_secs_f64() * 2.0 > inference {
                    self.pace.answered(target, service, prepare);
                }
                // Let go of the picture, so that the buffer can be written to.
                job.message = None;
                self.worker.report(match frame::stray(&job, &result) {
                    Some(text) => Report::Lost(job, Cause::WorkerError, text),
                    None => Report::Answer(Box::new((*job, result))),
                });
            }
        }
        self.free();
    }

    fn on_fault(&mut self, fault: &WorkerFault) {
        let text = format!("{}: {}", fault.code, fault.message);
        if fault.frame_seq.is_none() && fault.code == "bad_message" && self.commands.refused(&text) {
            return self.tell_tuning();
        }
        let cause = match fault.code.as_str() {
            "bad_frame" | "unsupported_format" => Cause::DecodeError,
            _ => Cause::WorkerError,
        };
        self.lose(fault.frame_seq, cause, text);
    }

    fn on_ack(&mut self, ack: Ack) {
        if self.commands.acknowledged(&ack) {
            self.tell_tuning();
        } else {
            self.odd(format!("acknowledged {:?}, which nobody sent", ack.command));
        }
    }

    /// A frame has its answer, but no result; `seq` none = the one that was due.
    fn lose(&mut self, seq: Option<u64>, cause: Cause, text: String) {
        let Some(answered) = self.hand.answered(seq) else { return self.odd(text) };
        self.pass_over(answered.passed_over);
        match answered.item {
            None => self.odd(text),
            Some(carried) => self.lose_one(carried, cause, text),
        }
        self.free();
    }

    fn pass_over(&mut self, frames: Vec<Carried>) {
        for carried in frames {
            self.lose_one(carried, Cause::WorkerError, "was passed over by its worker".into());
        }
    }

    pub(super) fn lose_one(&mut self, carried: Carried, cause: Cause, text: String) {
        match carried.job {
            Some(job) => self.worker.report(Report::Lost(job, cause, text)),
            // A picture that nobody can read says nothing about the model.
            None if cause == Cause::DecodeError => self.worker.notify(Notice::Checked(Ok(()))),
            None => self.worker.notify(Notice::Checked(Err(text))),
        }
    }
}
