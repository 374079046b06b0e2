// SPDX-License-Identifier: MPL-2.0
//! One worker: its process, and the process's successors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use orion_core::{
    ledger::Cause,
    supervisor::{AfterExit, Exit, Policy, Supervisor, Verdict},
};
use tokio::{sync::mpsc, time};

use super::{
    pool::{Job, Listener, Report, Request},
    process::Process,
    session::{End, Next, Session},
    stderr::Lines,
};

/// The limits of one worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) policy: Policy,
    pub(super) write_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
}

/// What `stats` shows of a worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) state: &'static str,
    pub(super) pid: u32,
    pub(super) restarts: u64,
}

pub(super) struct Worker {
    index: usize,
    argv: Vec<String>,
    pub(super) limits: Limits,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    listener: Arc<dyn Listener>,
    pub(super) supervisor: Supervisor,
    /// A frame that met a restart which was asked for; the next process gets it.
    pub(super) waiting: Option<Box<Job>>,
    epoch: Instant,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        argv: Vec<String>,
        limits: Limits,
        requests: mpsc::UnboundedReceiver<Request>,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let supervisor = Supervisor::new(limits.policy, Duration::ZERO);
        Self { index, argv, limits, requests, listener, supervisor, waiting: None, epoch: Instant::now() }
    }

    /// Keeps a process running until the pool lets go of the requests' other end.
    pub(super) async fn run(mut self) {
        loop {
            let end = match Process::spawn(&self.argv) {
                Ok(process) => Session::run(&mut self, process).await,
                Err(error) => End {
                    exit: Exit::Own,
                    text: format!("cannot be started as {:?}: {error}", self.argv.join(" ")),
                    lines: Lines::default(),
                    next: Next::Supervise,
                },
            };
            self.report(Report::Unavailable);
            if end.next != Next::Restart
                && let Some(job) = self.waiting.take()
            {
                self.refuse(Request::Frame(job));
            }
            let go_on = match end.next {
                Next::Stop => false,
                Next::Restart => {
                    self.supervisor.restarted(self.now());
                    true
                }
                Next::Supervise => self.after(end).await,
            };
            if !go_on {
                return;
            }
        }
    }

    /// Whether to start another process, once it is time to.
    async fn after(&mut self, end: End) -> bool {
        let tail = end.lines.tail();
        let text = match end.lines.reason() {
            Some(reason) => format!("{}: {reason}", end.text),
            None => end.text,
        };
        match self.supervisor.exited(self.now(), end.exit) {
            AfterExit::Restart(pause) => {
                self.report(Report::Exited { text, tail, pause_ms: pause.as_millis() as u64 });
                self.status(0);
                self.pause().await
            }
            AfterExit::GiveUp => {
                self.status(0);
                self.report(Report::Failed { text, tail });
                while let Some(request) = self.requests.recv().await {
                    self.refuse(request);
                }
                false
            }
        }
    }

    /// Waits out the back-off; a restart that is asked for cuts it short.
    async fn pause(&mut self) -> bool {
        loop {
            let now = self.now();
            if self.supervisor.check(now) == Verdict::Spawn {
                return true;
            }
            let rest = self.supervisor.deadline().map_or(Duration::ZERO, |deadline| deadline.saturating_sub(now));
            match time::timeout(rest, self.requests.recv()).await {
                Err(_) => {}
                Ok(None) => return false,
                Ok(Some(Request::Restart)) => {
                    self.supervisor.restarted(self.now());
                    return true;
                }
                Ok(Some(request)) => self.refuse(request),
            }
        }
    }

    pub(super) fn refuse(&self, request: Request) {
        if let Request::Frame(job) = request {
            self.report(Report::Lost(job, Cause::WorkerRestart, "the worker has just ended".into()));
        }
    }

    /// Time since this worker's beginning.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(super) fn report(&self, report: Report) {
        self.listener.report(self.index, report);
    }

    pub(super) fn status(&self, pid: u32) {
        let (state, restarts) = (self.supervisor.state().as_str(), self.supervisor.restarts());
        self.report(Report::Status(Status { state, pid, restarts }));
    }
}
