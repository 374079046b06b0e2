// SPDX-License-Identifier: MPL-2.0
//! One worker: its process, and the process's successors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use orion_core::{
    supervisor::{AfterExit, Exit, Policy, State, Supervisor, Verdict},
    throttle::Throttle,
    wire::Ready,
};
use serde_json::Value;
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time,
};

use super::{
    job::Job,
    lane::Lane,
    process::Process,
    report::{Listener, Notice, Report, Request, Who},
    router::Router,
    session::{End, Next, Session},
    settings::Transport,
    state::WARNING_INTERVAL,
    stderr::{Level, Lines},
    tuning::{self, Setting, Tuning},
};

/// The limits of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) policy: Policy,
    pub(super) write_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
}

/// What `stats` shows of a worker.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) state: &'static str,
    pub(super) pid: u32,
    pub(super) restarts: u64,
}

impl Default for Status {
    /// Of one that has not said anything yet: its process is about to be started.
    fn default() -> Self {
        Self { state: State::Starting.as_str(), pid: 0, restarts: 0 }
    }
}

pub(super) struct Worker {
    pub(super) who: Who,
    argv: Vec<String>,
    variables: String,
    transport: Transport,
    pub(super) limits: Limits,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    listener: Arc<dyn Listener>,
    pub(super) router: Arc<Router>,
    /// Where a successor reports to, until it takes over.
    notices: Option<mpsc::UnboundedSender<(Who, Notice)>>,
    pub(super) supervisor: Supervisor,
    /// Keeps what its processes say wrong from filling the log.
    pub(super) oddities: Throttle,
    /// It is at work, but those before it have not finished yet.
    pub(super) held: bool,
    /// What was changed since the arguments were made, and accepted.
    accepted: Tuning,
    /// What was asked for since, and not answered yet.
    wished: Tuning,
    epoch: Instant,
}

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) who: Who,
    pub(super) argv: Vec<String>,
    /// See [`Process::spawn`].
    pub(super) variables: String,
    pub(super) transport: Transport,
    pub(super) limits: Limits,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) router: Arc<Router>,
    /// Set for a successor.
    pub(super) notices: Option<mpsc::UnboundedSender<(Who, Notice)>>,
    /// What was asked for since the arguments were made.
    pub(super) wished: Tuning,
}

impl Worker {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { who, argv, variables, transport, limits, requests, listener, router, notices, wished } = parts;
        let supervisor = Supervisor::new(limits.policy, notices.is_some(), Duration::ZERO);
        let (held, accepted, epoch) = (false, Tuning::new(), Instant::now());
        Self {
            who,
            argv,
            variables,
            transport,
            limits,
            requests,
            listener,
            router,
            notices,
            supervisor,
            oddities: Throttle::new(WARNING_INTERVAL),
            held,
            accepted,
            wished,
            epoch,
        }
    }

    /// Keeps a process running until it is to retire, or the pool lets go of the requests' other end.
    pub(super) async fn run(mut self) {
        loop {
            let end = match self.spawn() {
                Ok((process, lane)) => Session::run(&mut self, process, lane).await,
                Err(text) => End { exit: Exit::Own, text, lines: Lines::default(), next: Next::Supervise },
            };
            self.report(Report::Unavailable);
            if end.next != Next::Supervise || !self.after(end).await {
                break;
            }
        }
        self.supervisor.stopping();
        self.status(0);
        // Whatever is still on its way here goes to somebody else.
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            self.refuse(request);
        }
    }

    fn spawn(&self) -> Result<(Process, Lane), String> {
        let (lane, offer, refused) = Lane::new(self.transport)
            .map_err(|error| format!("cannot be given memory to share (transport=shm): {error}"))?;
        if let Some(error) = refused {
            let text = format!("no memory can be shared with the worker, so frames go through its pipe: {error}");
            self.report(Report::Log(Level::Warning, text));
        }
        let process = Process::spawn(&self.argv, &self.variables, offer)
            .map_err(|error| format!("cannot be started as {:?}: {error}", self.argv.join(" ")))?;
        Ok((process, lane))
    }

    /// Whether to start another process, once it is time to.
    async fn after(&mut self, end: End) -> bool {
        let tail = end.lines.tail();
        let text = match end.lines.reason() {
            Some(reason) => format!("{}: {reason}", end.text),
            None => end.text,
        };
        if !self.catch_up() {
            return false;
        }
        if self.notices.is_some() {
            self.notify(Notice::Failed(text));
            return false;
        }
        match self.supervisor.exited(self.now(), end.exit) {
            AfterExit::Restart(pause) => {
                self.report(Report::Exited { text, tail, pause_ms: pause.as_millis() as u64 });
                self.status(0);
                self.pause().await
            }
            AfterExit::GiveUp => {
                self.status(0);
                self.report(Report::Failed { text, tail });
                loop {
                    match self.requests.recv().await {
                        None | Some(Request::Retire(_)) => return false,
                        Some(request) => self.refuse(request),
                    }
                }
            }
        }
    }

    /// Takes what was asked for while there was no process; false = it is to retire, or nobody is there any more to ask.
    fn catch_up(&mut self) -> bool {
        loop {
            let goes_on = match self.requests.try_recv() {
                Ok(request) => self.heed(request),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => false,
            };
            if !goes_on {
                return false;
            }
        }
    }

    /// Waits out the back-off; false = no process is to be started.
    async fn pause(&mut self) -> bool {
        loop {
            // An end that was asked for comes before the end of the pause, or a process would be started just to be ended.
            if !self.catch_up() {
                return false;
            }
            let now = self.now();
            if self.supervisor.check(now) == Verdict::Spawn {
                return true;
            }
            let rest = self.supervisor.deadline().map_or(Duration::ZERO, |deadline| deadline.saturating_sub(now));
            let goes_on = match time::timeout(rest, self.requests.recv()).await {
                Ok(Some(request)) => self.heed(request),
                Ok(None) => false,
                Err(_) => true,
            };
            if !goes_on {
                return false;
            }
        }
    }

    /// Does what is asked for while there is no process; false = it is to retire.
    fn heed(&mut self, request: Request) -> bool {
        match request {
            Request::Retire(_) => return false,
            Request::TakeOver => self.take_over(),
            Request::Begin => self.held = false,
            Request::Tune(setting, value) => self.tune(setting, value),
            Request::FrameTimeout(limit) => self.set_frame_timeout(limit),
            request => self.refuse(request),
        }
        true
    }

    fn refuse(&self, request: Request) {
        if let Request::Frame(job) = request {
            self.give_back(job);
        }
    }

    /// A frame that it has not begun with goes to another worker, or to its own next process.
    pub(super) fn give_back(&self, job: Box<Job>) {
        self.router.give_back(job);
        self.report(Report::Returned);
    }

    /// Whether it is not at work yet.
    pub(super) fn is_successor(&self) -> bool {
        self.notices.is_some()
    }

    /// It was a successor, and is at work now.
    pub(super) fn take_over(&mut self) {
        self.notices = None;
        self.held = true;
        self.supervisor.take_over();
    }

    /// Every process from now on is asked for this setting.
    pub(super) fn tune(&mut self, setting: Setting, value: Value) {
        tuning::keep(&mut self.wished, setting, value);
    }

    /// The limit for answers from the next frame on.
    pub(super) fn set_frame_timeout(&mut self, limit: Duration) {
        self.limits.policy.frame_timeout = limit;
        self.supervisor.set_frame_timeout(limit);
    }

    /// A process has answered.
    pub(super) fn tuned(&mut self, setting: Setting, value: &Value, accepted: bool) {
        self.wished.retain(|(other, wished)| *other != setting || wished != value);
        if accepted {
            tuning::keep(&mut self.accepted, setting, value.clone());
        }
    }

    /// What a new process has to be asked for.
    pub(super) fn tuning(&self) -> Tuning {
        let mut all = self.accepted.clone();
        for (setting, value) in &self.wished {
            tuning::keep(&mut all, *setting, value.clone());
        }
        all
    }

    /// Time since this worker's beginning.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(super) fn report(&self, report: Report) {
        // Nobody but its crew knows a successor yet; what it logs is of interest all the same.
        if self.notices.is_none() || matches!(report, Report::Log(..) | Report::Odd(_) | Report::Tuned { .. }) {
            self.listener.report(self.who, report);
        }
    }

    /// Tells those concerned that it is ready.
    pub(super) fn announce(&self, ready: Box<Ready>) {
        if self.notices.is_some() {
            self.notify(Notice::Ready(ready));
        } else {
            self.report(Report::Ready(ready));
        }
    }

    /// Tells the crew, if this is a successor.
    pub(super) fn notify(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            // Without a crew nothing is left to be done.
            let _ = notices.send((self.who, notice));
        }
    }

    pub(super) fn status(&self, pid: u32) {
        let (state, restarts) = (self.supervisor.state().as_str(), self.supervisor.restarts());
        self.report(Report::Status(Status { state, pid, restarts }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orionpyinfer::{crew::Wish, job::Message, report::News};

    struct Deaf;

    impl Listener for Deaf {
        fn report(&self, _: Who, _: Report) {}

        fn news(&self, _: News) {}

        fn renewal(&self, _: String) -> Option<Wish> {
            None
        }

        fn frame_interval(&self) -> Option<Duration> {
            None
        }

        fn pids(&self) -> Vec<u32> {
            Vec::new()
        }

        fn keep_latest(&self, _: bool) {}

        fn latest(&self) -> Option<(u64, Arc<Message>)> {
            None
        }
    }

    /// One whose process is about to end for the first time, after which the next one is started without a pause.
    fn worker() -> (mpsc::UnboundedSender<Request>, Worker) {
        let (way, requests) = mpsc::unbounded_channel();
        let second = Duration::from_secs(1);
        let policy = Policy { startup_timeout: second, frame_timeout: second, restart: true };
        let worker = Worker::new(Parts {
            who: Who { id: 0, crew: 0, index: 0 },
            argv: Vec::new(),
            variables: String::new(),
            transport: Transport::Pipe,
            limits: Limits { policy, write_timeout: second, shutdown_timeout: second },
            requests,
            listener: Arc::new(Deaf),
            router: Arc::default(),
            notices: None,
            wished: Tuning::new(),
        });
        (way, worker)
    }

    fn killed() -> End {
        End { exit: Exit::Signal, text: String::new(), lines: Lines::default(), next: Next::Supervise }
    }

    fn block_on<T>(task: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(task)
    }

    #[test]
    fn a_process_that_dies_is_followed_by_another_one() {
        let (_way, mut worker) = worker();
        assert!(block_on(worker.after(killed())));
        assert_eq!(worker.supervisor.restarts(), 1);
    }

    #[test]
    fn a_process_that_dies_at_a_stop_is_followed_by_none() {
        let (way, mut worker) = worker();
        drop(way);
        assert!(!block_on(worker.after(killed())), "nobody is there any more to ask for one");
    }

    #[test]
    fn a_worker_that_is_to_retire_when_its_pause_ends_starts_no_process() {
        for stop in [false, true] {
            let (way, mut worker) = worker();
            assert_eq!(worker.supervisor.exited(worker.now(), Exit::Signal), AfterExit::Restart(Duration::ZERO));
            way.send(Request::Begin).unwrap();
            if !stop {
                way.send(Request::Retire(None)).unwrap();
            }
            drop(way);
            assert!(!block_on(worker.pause()), "stop: {stop}");
            assert_eq!(worker.supervisor.restarts(), 0);
        }
    }
}
