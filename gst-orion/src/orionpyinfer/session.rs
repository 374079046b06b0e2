// SPDX-License-Identifier: MPL-2.0
//! The conversation with one process, from its start to its end.

use std::{future, io, process::ExitStatus, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use orion_core::{
    framing::Deframer,
    hand::{DEPTH, Hand},
    ledger::Cause,
    pace::Pace,
    supervisor::{Exit, Overdue, State, Verdict},
};
use tokio::{
    io::AsyncReadExt,
    sync::{mpsc, oneshot::error::RecvError},
    time,
};

use super::{
    farewell::Farewell,
    job::{Carried, Job, Message, Way},
    lane::Lane,
    priority::Background,
    process::{self, Group, Process},
    report::{Report, Request},
    stderr::{self, Lines},
    tuning::Conversation,
    worker::Worker,
    writer::{self, Outgoing},
};

mod answers;

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
    /// Others do its work now.
    Retire,
    /// The element stops.
    Stop,
}

/// The conversation, as far as it has come.
pub(super) struct Session<'a> {
    worker: &'a mut Worker,
    group: Group,
    /// Set while it is a successor that loads, with the time from which on it is to hurry.
    background: Option<(Background, Duration)>,
    /// Takes what is to be written; dropped to close stdin.
    writer: Option<mpsc::Sender<Outgoing>>,
    hand: Hand<Carried>,
    lane: Lane,
    /// How many frames it takes at once, and how long it waits for so many.
    batches: (usize, Duration),
    /// When the oldest frame in hand became that.
    front_since: Duration,
    write_deadline: Option<Duration>,
    pace: Pace,
    /// When another frame is to be asked for.
    offer_at: Option<Duration>,
    commands: Conversation,
    ending: Option<Farewell>,
    exited: Option<(ExitStatus, Duration)>,
    stdout_open: bool,
    stderr_open: bool,
    requests_open: bool,
    deframer: Deframer,
    lines: Lines,
    next: Next,
    /// Let go of when it retires and has nothing in hand any more.
    told: Option<mpsc::Sender<()>>,
    /// Said instead of the exit status when the host ended it.
    verdict: Option<(String, Exit)>,
}

impl<'a> Session<'a> {
    /// Talks to the process until it has ended.
    pub(super) async fn run(worker: &'a mut Worker, process: Process, lane: Lane) -> End {
        let Process { stdin, mut stdout, mut stderr, mut exit, group } = process;
        let (writer, mut written, writing) = writer::start(stdin);
        let commands = Conversation::new(worker.tuning());
        // On a machine that is never idle it must not starve.
        let hurry = worker.now() + worker.limits.policy.startup_timeout / 4;
        let background = if worker.is_successor() { Background::enter(group.pid()) } else { None };
        let background = background.map(|background| (background, hurry));
        let mut session = Self {
            worker,
            group,
            background,
            writer: Some(writer),
            hand: Hand::default(),
            lane,
            batches: (1, Duration::ZERO),
            front_since: Duration::ZERO,
            write_deadline: None,
            pace: Pace::default(),
            offer_at: None,
            commands,
            ending: None,
            exited: None,
            stdout_open: true,
            stderr_open: true,
            requests_open: true,
            deframer: Deframer::default(),
            lines: Lines::default(),
            next: Next::Supervise,
            told: None,
            verdict: None,
        };
        session.status();
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
        let end = self.exited.map(|(_, deadline)| deadline).or(self.ending.map(|ending| ending.deadline()));
        // Once it is ending, the limits of a working process mean nothing any more.
        let next = end.or(self.worker.supervisor.deadline());
        let hurry = self.background.as_ref().map(|(_, hurry)| *hurry);
        let all = [next, self.write_deadline, self.offer_at, self.commands.deadline(), hurry];
        all.into_iter().flatten().min().map(|deadline| deadline.saturating_sub(self.worker.now()))
    }

    fn over(&self) -> bool {
        let now = self.worker.now();
        let heard_out = !self.stdout_open && !self.stderr_open;
        let exited = self.exited.is_some_and(|(_, deadline)| heard_out || now >= deadline);
        // What SIGKILL does not end hangs in the system; its watch still waits for it.
        exited || self.ending.is_some_and(|ending| ending.is_hopeless(now))
    }

    /// Whether it may be given anything.
    fn works(&self) -> bool {
        self.ending.is_none() && self.exited.is_none()
    }

    fn on_exit(&mut self, status: Result<ExitStatus, RecvError>) {
        let status = status.unwrap_or_default();
        self.exited = Some((status, self.worker.now() + LAST_WORDS));
        if self.ending.take().is_some_and(|ending| ending.is_polite()) {
            // It was not made to end, so its own status tells more.
            self.verdict = None;
        }
        self.withdraw();
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
            Some(Request::Retire(told)) => {
                self.told = told.filter(|_| !self.hand.is_empty());
                self.close(Next::Retire);
            }
            Some(Request::Begin) => {
                self.worker.held = false;
                self.offer();
            }
            Some(Request::TakeOver) => {
                self.worker.take_over();
                self.leave_background();
                self.status();
            }
            Some(Request::Tune(setting, value)) => {
                self.worker.tune(setting, value.clone());
                self.commands.tune(setting, value);
                self.ask();
            }
            Some(Request::FrameTimeout(limit)) => self.worker.set_frame_timeout(limit),
            Some(Request::Check(number, message)) => self.send(number, Carried::check(), message),
            Some(Request::Frame(job)) => {
                let ready = matches!(self.worker.supervisor.state(), State::Ready | State::Busy);
                match (&job.message, ready && self.works() && self.hand.room() > 0) {
                    (Some(message), true) => {
                        let (number, message) = (job.entry.number, Arc::clone(message));
                        self.send(number, Carried::new(job, &self.worker.who), message);
                    }
                    // It was offered just before something happened here; somebody else will do it.
                    _ => self.worker.give_back(job),
                }
            }
        }
    }

    fn send(&mut self, number: u64, mut carried: Carried, message: Arc<Message>) {
        let now = self.worker.now();
        let place = self.lane.place(&message);
        carried.goes(if place.is_some() { Way::Shm } else { Way::Pipe }, message.length);
        let outgoing = Outgoing::Frame(message, place);
        let queued = self.writer.as_ref().is_some_and(|writer| writer.try_send(outgoing).is_ok());
        if self.hand.is_empty() {
            self.front_since = now;
            self.write_deadline = Some(now + self.worker.limits.write_timeout);
        }
        self.hand.push(number, carried);
        self.worker.supervisor.sent(now);
        self.status();
        if queued {
            self.offer();
        } else {
            self.kill("cannot be given a frame".to_owned(), Exit::Signal);
        }
    }

    /// Asks for another frame, at once or when the time has come.
    fn offer(&mut self) {
        self.offer_at = None;
        let ready = matches!(self.worker.supervisor.state(), State::Ready | State::Busy);
        // One that does not read gets nothing more.
        let stuck = !self.hand.is_empty() && self.hand.front().is_none();
        let (largest, wait) = self.batches;
        // A camera that is alone has nobody to share a batch with.
        let batch = largest.min(self.worker.router.elements());
        self.hand.set_batch(batch);
        self.lane.make_room(self.hand.batch());
        if self.worker.held || !ready || !self.works() || self.hand.room() == 0 || stuck {
            return;
        }
        if batch <= 1 && self.hand.front().is_some_and(Carried::holds_next) {
            return;
        }
        let now = self.worker.now();
        // It waits for others then, so they need not wait for it.
        let collects = self.hand.len() < batch && now < self.front_since + wait;
        if let Some(front) = self.hand.front().filter(|front| front.live && !collects) {
            let frames = if batch > 1 { self.hand.room() } else { 1 };
            match self.pace.hand_over(front.target, frames) {
                // Not before it is known how long a frame takes.
                None => return,
                Some(after) if self.front_since + after > now => {
                    self.offer_at = Some(self.front_since + after);
                    return;
                }
                Some(_) => {}
            }
        }
        match self.worker.router.take_back() {
            Some(job) => self.on_request(Some(Request::Frame(job))),
            None => self.worker.report(Report::Idle { load: self.hand.len(), full: self.full() }),
        }
    }

    /// The elements of which it gets no more frames now, where it takes those of several at once.
    fn full(&self) -> Vec<u64> {
        if self.hand.batch() <= 1 {
            return Vec::new();
        }
        let owners = |of: &Carried| of.job.as_ref().map(|job| job.entry.owner);
        let count = |owner| self.hand.items().filter(|item| owners(item) == Some(owner)).count();
        let holds = |item: &&Carried| item.holds_next() || owners(item).is_some_and(|owner| count(owner) >= DEPTH);
        self.hand.items().filter(holds).filter_map(owners).collect()
    }

    fn withdraw(&mut self) {
        self.offer_at = None;
        self.worker.report(Report::Unavailable);
    }

    fn leave_background(&mut self) {
        if let (Some((background, _)), None) = (self.background.take(), &self.exited) {
            background.leave();
        }
    }

    /// Sends the commands that may go now.
    fn ask(&mut self) {
        let ready = !matches!(self.worker.supervisor.state(), State::Starting | State::Stalled);
        if !ready || !self.works() {
            return;
        }
        let deadline = self.worker.now() + 2 * self.worker.limits.policy.frame_timeout;
        while let Some(message) = self.commands.next(deadline) {
            let queued = message.is_ok_and(|message| {
                self.writer.as_ref().is_some_and(|writer| writer.try_send(Outgoing::Command(message)).is_ok())
            });
            if !queued {
                return self.kill("cannot be given a command".to_owned(), Exit::Signal);
            }
        }
    }

    /// Tells how a command ended, and goes on with the next one.
    fn tell_tuning(&mut self) {
        while let Some((setting, value, outcome)) = self.commands.take_outcome() {
            self.worker.tuned(setting, &value, outcome.is_ok());
            self.worker.report(Report::Tuned { setting, value, outcome });
        }
        self.ask();
    }

    fn on_written(&mut self, result: io::Result<Outgoing>) {
        match result {
            Err(_) => self.end_soon("closed its stdin", CLOSED_GRACE),
            Ok(Outgoing::Command(_)) => {}
            Ok(Outgoing::Frame(message, _)) => {
                // Unmapped before anyone may want to change the buffer.
                drop(message);
                if self.hand.is_front_unwritten() {
                    self.write_deadline = None;
                }
                self.hand.written();
                self.free();
            }
        }
    }

    fn on_time(&mut self) {
        let now = self.worker.now();
        if self.write_deadline.is_some_and(|deadline| now >= deadline) {
            self.write_deadline = None;
            let text = format!("did not take the frame within {:?} (write-timeout)", self.worker.limits.write_timeout);
            if let Some(carried) = self.hand.give_up() {
                self.lose_one(carried, Cause::WorkerError, text);
            }
        }
        if self.background.as_ref().is_some_and(|(_, hurry)| now >= *hurry) {
            self.leave_background();
        }
        if self.offer_at.is_some_and(|at| now >= at) {
            self.offer();
        }
        if self.commands.overdue(now) {
            self.tell_tuning();
        }
        if self.exited.is_some() {
            return;
        }
        if let Some(ending) = &mut self.ending {
            if let Some(signal) = ending.due(now) {
                self.group.signal(signal);
            }
        } else if let Verdict::Kill(overdue) = self.worker.supervisor.check(now) {
            let policy = self.worker.limits.policy;
            self.status();
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

    /// Some frames may be done with. One that answers before it has read a frame keeps it in hand until then: its
    /// frame-timeout goes on.
    fn free(&mut self) {
        let released = self.hand.release();
        self.lane.released(released);
        if released == 0 {
            return;
        }
        let now = self.worker.now();
        self.worker.supervisor.answered(released, now);
        self.front_since = now;
        self.write_deadline = self.hand.is_front_unwritten().then(|| now + self.worker.limits.write_timeout);
        self.status();
        if self.hand.is_empty() {
            self.told = None;
        }
        let deadline = now + self.patience();
        if let (Next::Retire, Some(ending)) = (self.next, &mut self.ending) {
            ending.wait_until(deadline);
        }
        self.offer();
    }

    fn status(&self) {
        self.worker.status(self.group.pid());
    }

    fn odd(&mut self, text: String) {
        let now = self.worker.now();
        match self.worker.oddities.pass(now) {
            Some(0) => self.worker.report(Report::Odd(text)),
            Some(untold) => self.worker.report(Report::Odd(format!("{text} ({untold} such warnings were left out)"))),
            None => {}
        }
    }

    /// How long it may take over its next step when it retires.
    fn patience(&self) -> Duration {
        let limits = self.worker.limits;
        if self.hand.is_empty() { limits.shutdown_timeout } else { limits.policy.frame_timeout }
    }

    /// Lets it finish what it has in hand and end.
    fn close(&mut self, next: Next) {
        // One that never came to work loses nothing by being stopped while it loads.
        let useless = self.worker.is_successor() && self.worker.supervisor.state() == State::Starting;
        self.next = next;
        self.writer = None;
        self.withdraw();
        self.worker.supervisor.stopping();
        self.status();
        let patience = if next == Next::Retire { self.patience() } else { self.worker.limits.shutdown_timeout };
        let deadline = self.worker.now() + if useless { Duration::ZERO } else { patience };
        match &mut self.ending {
            None => self.ending = Some(Farewell::polite(deadline)),
            // The element stops: what retires has no more time than the others.
            Some(ending) => ending.wait_until(deadline.min(ending.deadline())),
        }
    }

    /// It cannot work any more; unless it ends by itself, it is made to.
    fn end_soon(&mut self, text: &str, grace: Duration) {
        if self.works() {
            // Before it is ready, that is a wrong program and no accident.
            let starting = self.worker.supervisor.state() == State::Starting;
            let exit = if starting { Exit::Own } else { Exit::Signal };
            self.verdict = Some((text.to_owned(), exit));
            self.ending = Some(Farewell::polite(self.worker.now() + grace));
            self.withdraw();
        }
    }

    fn kill(&mut self, text: String, exit: Exit) {
        self.verdict = Some((text, exit));
        self.writer = None;
        self.withdraw();
        self.group.signal(Signal::SIGKILL);
        self.ending = Some(Farewell::killed(self.worker.now()));
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
        let (worked_on, not_begun) = self.hand.clear();
        self.lane.end();
        for job in worked_on.into_iter().filter_map(|carried| carried.job) {
            self.worker.report(Report::Lost(job, cause, format!("the worker {text}")));
        }
        for job in not_begun.into_iter().filter_map(|carried| carried.job) {
            self.hand_on(job);
        }
        End { exit, text, lines: self.lines, next: self.next }
    }

    /// A frame that the worker had not begun goes to another one.
    fn hand_on(&self, job: Box<Job>) {
        if self.next == Next::Stop {
            self.worker.report(Report::Lost(job, Cause::Shutdown, "the element stops".into()));
        } else {
            self.worker.give_back(job);
        }
    }
}

async fn sleep(wake: Option<Duration>) {
    match wake {
        Some(duration) => time::sleep(duration).await,
        None => future::pending().await,
    }
}
