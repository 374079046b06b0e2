// SPDX-License-Identifier: MPL-2.0
//! The conversation with one process, from its start to its end.

use std::{future, io, process::ExitStatus, time::Duration};

use nix::sys::signal::Signal;
use orion_core::{
    framing::Deframer,
    ledger::Cause,
    supervisor::{Exit, Overdue, State, Verdict},
    wire::{InferenceResult, WorkerFault, WorkerMessage},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::Sender,
    sync::{mpsc, oneshot::error::RecvError},
    time,
};

use super::{
    pool::{Job, Report, Request},
    process::{self, Group, Process},
    stderr::{self, Lines},
    worker::Worker,
};
use crate::frames::MappedPicture;

/// From SIGTERM to SIGKILL, and from there until the process is left to the system.
const SIGNAL_GRACE: Duration = Duration::from_secs(1);
/// What was written just before the end is still read for this long.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// A process that closed one of its pipes has this long to end by itself.
const CLOSED_GRACE: Duration = Duration::from_millis(500);

/// How a process ended.
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) text: String,
    pub(super) lines: Lines,
    pub(super) next: Next,
}

/// What comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It ended against our will.
    Supervise,
    /// A restart was asked for.
    Restart,
    /// The element stops.
    Stop,
}

/// How far the end of a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It may end by itself.
    Polite,
    /// SIGTERM was sent.
    Terminated,
    /// SIGKILL was sent.
    Killed,
}

type Message = (Vec<u8>, MappedPicture);

pub(super) struct Session<'a> {
    worker: &'a mut Worker,
    group: Group,
    /// Takes what is to be written; dropped to close stdin.
    writer: Option<mpsc::Sender<Message>>,
    /// The frame that an answer is due for; its job may have been given up.
    outstanding: Option<u64>,
    job: Option<Box<Job>>,
    /// The frame is still on its way into the pipe.
    writing: bool,
    write_deadline: Option<Duration>,
    ending: Option<(Ending, Duration)>,
    exited: Option<(ExitStatus, Duration)>,
    stdout_open: bool,
    stderr_open: bool,
    requests_open: bool,
    deframer: Deframer,
    lines: Lines,
    next: Next,
    /// Said instead of the exit status when the host ended it.
    verdict: Option<(String, Exit)>,
}

impl<'a> Session<'a> {
    /// Talks to the process until it has ended.
    pub(super) async fn run(worker: &'a mut Worker, process: Process) -> End {
        let Process { stdin, mut stdout, mut stderr, mut exit, group } = process;
        let (writer, messages) = mpsc::channel(1);
        let (done, mut written) = mpsc::channel(1);
        let writing = tokio::spawn(write(stdin, messages, done));
        let mut session = Self {
            worker,
            group,
            writer: Some(writer),
            outstanding: None,
            job: None,
            writing: false,
            write_deadline: None,
            ending: None,
            exited: None,
            stdout_open: true,
            stderr_open: true,
            requests_open: true,
            deframer: Deframer::default(),
            lines: Lines::default(),
            next: Next::Supervise,
            verdict: None,
        };
        session.worker.status(session.group.pid());
        let (mut out, mut err) = (vec![0; 64 * 1024], vec![0; 4096]);
        while !session.over() {
            let wake = session.wake();
            tokio::select! {
                status = &mut exit, if session.exited.is_none() => session.on_exit(status),
                read = stdout.read(&mut out), if session.stdout_open => session.on_stdout(read, &out),
                read = stderr.read(&mut err), if session.stderr_open => session.on_stderr(read, &err),
                request = session.worker.requests.recv(), if session.requests_open => session.on_request(request),
                Some(result) = written.recv() => session.on_written(result),
                () = sleep(wake) => session.on_time(),
            }
        }
        writing.abort();
        session.finish()
    }

    /// The next moment at which something may be due, from now.
    fn wake(&self) -> Option<Duration> {
        let end = self.exited.map(|(_, deadline)| deadline).or(self.ending.map(|(_, deadline)| deadline));
        // Once it is ending, the limits of a working process mean nothing any more.
        let next = end.or(self.worker.supervisor.deadline());
        let first = [next, self.write_deadline].into_iter().flatten().min();
        first.map(|deadline| deadline.saturating_sub(self.worker.now()))
    }

    fn over(&self) -> bool {
        let now = self.worker.now();
        let heard_out = !self.stdout_open && !self.stderr_open;
        let exited = self.exited.is_some_and(|(_, deadline)| heard_out || now >= deadline);
        // What SIGKILL does not end hangs in the system; its watch still waits for it.
        exited || self.ending.is_some_and(|(ending, deadline)| ending == Ending::Killed && now >= deadline)
    }

    fn on_exit(&mut self, status: Result<ExitStatus, RecvError>) {
        let status = status.unwrap_or_default();
        self.exited = Some((status, self.worker.now() + LAST_WORDS));
        if matches!(self.ending.take(), Some((Ending::Polite, _))) {
            // It was not made to end, so its own status tells more.
            self.verdict = None;
        }
        self.worker.report(Report::Unavailable);
    }

    fn on_stdout(&mut self, read: io::Result<usize>, bytes: &[u8]) {
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
                Err(error) => self.lose(Cause::WorkerError, format!("unreadable answer: {error}")),
            }
        }
    }

    fn on_message(&mut self, message: WorkerMessage) {
        match message {
            WorkerMessage::Ready(ready) if self.worker.supervisor.state() == State::Starting => {
                self.worker.supervisor.ready(self.worker.now());
                let worker = format!("{} {}", ready.worker, ready.version);
                self.worker.report(Report::Ready { worker, load_ms: ready.load_ms });
                self.idle();
            }
            WorkerMessage::Ready(_) => self.odd("said `ready` twice".into()),
            WorkerMessage::Result(result) if self.outstanding == Some(result.frame_seq) => self.answer(*result),
            WorkerMessage::Result(result) => {
                self.odd(format!("answered frame {} when {:?} was due", result.frame_seq, self.outstanding));
            }
            WorkerMessage::Fault(fault) => self.on_fault(&fault),
            WorkerMessage::Ack(ack) => self.odd(format!("acknowledged {:?}, which nobody sent", ack.command)),
        }
    }

    fn on_fault(&mut self, fault: &WorkerFault) {
        let text = format!("{}: {}", fault.code, fault.message);
        // Without a number it can only be about the frame in hand.
        if self.outstanding.is_some() && fault.frame_seq.is_none_or(|seq| self.outstanding == Some(seq)) {
            let cause = if fault.code == "bad_frame" { Cause::DecodeError } else { Cause::WorkerError };
            self.lose(cause, text);
        } else {
            self.odd(text);
        }
    }

    fn on_stderr(&mut self, read: io::Result<usize>, bytes: &[u8]) {
        let lines = match read {
            Ok(n) if n > 0 => self.lines.push(&bytes[..n]),
            _ => {
                self.stderr_open = false;
                self.lines.finish().into_iter().collect()
            }
        };
        for line in lines {
            let (level, text) = stderr::parse(&line);
            self.worker.report(Report::Log(level, text.to_owned()));
        }
    }

    fn on_request(&mut self, request: Option<Request>) {
        match request {
            None => {
                self.requests_open = false;
                self.close(Next::Stop);
            }
            Some(Request::Restart) if self.next == Next::Supervise => self.close(Next::Restart),
            Some(Request::Restart) => {}
            Some(Request::Frame(job)) => {
                let state = self.worker.supervisor.state();
                let works = self.ending.is_none() && self.exited.is_none();
                if state == State::Ready && works {
                    self.send(job);
                } else if self.next == Next::Restart || (state == State::Starting && works) {
                    self.worker.waiting = Some(job);
                } else {
                    self.worker.refuse(Request::Frame(job));
                }
            }
        }
    }

    fn send(&mut self, mut job: Box<Job>) {
        let message = job.picture.take().map(|picture| (std::mem::take(&mut job.head), picture));
        let queued = match (message, &self.writer) {
            (Some(message), Some(writer)) => writer.try_send(message).is_ok(),
            _ => false,
        };
        if !queued {
            let text = "cannot be given a frame".to_owned();
            self.worker.report(Report::Lost(job, Cause::WorkerError, text.clone()));
            return self.kill(text, Exit::Signal);
        }
        let now = self.worker.now();
        job.sent = gst::get_timestamp().nseconds();
        self.outstanding = Some(job.info.seq);
        self.job = Some(job);
        self.writing = true;
        self.write_deadline = Some(now + self.worker.limits.write_timeout);
        self.worker.supervisor.sent(now);
        self.worker.status(self.group.pid());
    }

    fn on_written(&mut self, result: io::Result<()>) {
        self.writing = false;
        self.write_deadline = None;
        if result.is_err() {
            self.end_soon("closed its stdin", CLOSED_GRACE);
        } else if self.outstanding.is_none() {
            self.free();
        }
    }

    fn on_time(&mut self) {
        let now = self.worker.now();
        if self.write_deadline.is_some_and(|deadline| now >= deadline) {
            self.write_deadline = None;
            let text = format!("did not take the frame within {:?} (write-timeout)", self.worker.limits.write_timeout);
            self.lose_job(Cause::WorkerError, text);
        }
        if self.exited.is_some() {
            return;
        }
        if let Some((ending, deadline)) = self.ending {
            if now >= deadline {
                self.end_harder(ending, now);
            }
        } else if let Verdict::Kill(overdue) = self.worker.supervisor.check(now) {
            let policy = self.worker.limits.policy;
            match overdue {
                Overdue::Startup => {
                    self.kill(
                        format!("was not ready within {:?} (startup-timeout)", policy.startup_timeout),
                        Exit::Own,
                    );
                }
                Overdue::Frame => {
                    self.kill(
                        format!("did not answer within {:?} (frame-timeout)", policy.frame_timeout),
                        Exit::Signal,
                    );
                }
            }
        }
    }

    /// The frame in hand has its result.
    fn answer(&mut self, result: InferenceResult) {
        match self.job.take() {
            Some(job) => self.worker.report(Report::Answer(Box::new((*job, result)))),
            None => self.odd(format!("answered frame {} after it was given up", result.frame_seq)),
        }
        self.free();
    }

    /// The frame in hand has its answer, but no result.
    fn lose(&mut self, cause: Cause, text: String) {
        if self.outstanding.is_none() {
            return self.odd(text);
        }
        self.lose_job(cause, text);
        self.free();
    }

    fn lose_job(&mut self, cause: Cause, text: String) {
        if let Some(job) = self.job.take() {
            self.worker.report(Report::Lost(job, cause, text));
        }
    }

    /// The frame has its answer. One that answers before it has read the frame gets no other one before it has: its
    /// frame-timeout goes on.
    fn free(&mut self) {
        self.outstanding = None;
        if !self.writing {
            self.worker.supervisor.answered();
            self.idle();
        }
    }

    fn idle(&mut self) {
        self.worker.status(self.group.pid());
        if self.ending.is_some() || self.exited.is_some() {
            return;
        }
        match self.worker.waiting.take() {
            Some(job) => self.send(job),
            None => self.worker.report(Report::Idle),
        }
    }

    fn odd(&self, text: String) {
        self.worker.report(Report::Odd(text));
    }

    /// Lets it finish what it has in hand and end.
    fn close(&mut self, next: Next) {
        self.next = next;
        self.writer = None;
        self.worker.report(Report::Unavailable);
        if self.ending.is_none() {
            self.ending = Some((Ending::Polite, self.worker.now() + self.worker.limits.shutdown_timeout));
        }
    }

    /// It cannot work any more; unless it ends by itself, it is made to.
    fn end_soon(&mut self, text: &str, grace: Duration) {
        if self.ending.is_none() && self.exited.is_none() {
            self.verdict = Some((text.to_owned(), Exit::Signal));
            self.ending = Some((Ending::Polite, self.worker.now() + grace));
            self.worker.report(Report::Unavailable);
        }
    }

    fn end_harder(&mut self, ending: Ending, now: Duration) {
        self.ending = Some(match ending {
            Ending::Polite => {
                self.group.signal(Signal::SIGTERM);
                (Ending::Terminated, now + SIGNAL_GRACE)
            }
            Ending::Terminated | Ending::Killed => {
                self.group.signal(Signal::SIGKILL);
                (Ending::Killed, now + SIGNAL_GRACE)
            }
        });
    }

    fn kill(&mut self, text: String, exit: Exit) {
        self.verdict = Some((text, exit));
        self.writer = None;
        self.worker.report(Report::Unavailable);
        self.end_harder(Ending::Terminated, self.worker.now());
    }

    fn finish(mut self) -> End {
        if let Some(line) = self.lines.finish() {
            let (level, text) = stderr::parse(&line);
            self.worker.report(Report::Log(level, text.to_owned()));
        }
        let (text, exit) = match (self.verdict.take(), self.exited) {
            (Some(verdict), _) => verdict,
            (None, Some((status, _))) => {
                let (text, exit) = process::describe(status);
                match self.deframer.finish() {
                    Err(error) => (format!("{text} in the middle of an answer ({error})"), exit),
                    Ok(()) => (text, exit),
                }
            }
            (None, None) => ("cannot be ended".to_owned(), Exit::Signal),
        };
        let cause = if self.next == Next::Stop { Cause::Shutdown } else { Cause::WorkerRestart };
        self.lose_job(cause, format!("the worker {text}"));
        End { exit, text, lines: self.lines, next: self.next }
    }
}

async fn sleep(wake: Option<Duration>) {
    match wake {
        Some(duration) => time::sleep(duration).await,
        None => future::pending().await,
    }
}

/// Writes message after message, so that reading goes on meanwhile; ends by closing the pipe.
async fn write(mut stdin: Sender, mut messages: mpsc::Receiver<Message>, done: mpsc::Sender<io::Result<()>>) {
    while let Some((head, picture)) = messages.recv().await {
        let result = write_one(&mut stdin, &head, &picture).await;
        // Unmapped before anyone may want to change the buffer.
        drop(picture);
        let failed = result.is_err();
        if done.send(result).await.is_err() || failed {
            return;
        }
    }
}

async fn write_one(stdin: &mut Sender, head: &[u8], picture: &MappedPicture) -> io::Result<()> {
    stdin.write_all(head).await?;
    for piece in picture.pieces() {
        stdin.write_all(piece).await?;
    }
    Ok(())
}
