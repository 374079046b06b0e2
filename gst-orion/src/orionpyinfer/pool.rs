// SPDX-License-Identifier: MPL-2.0
//! The workers of one element, on one thread of their own.

use std::{collections::HashMap, io, sync::Arc, thread};

use nix::sys::signal::{SigSet, Signal};
use orion_core::{ledger::Cause, wire::InferenceResult};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    stderr::Level,
    worker::{Limits, Status, Worker},
};
use crate::{frames::MappedPicture, meta::FrameInfo};

/// One frame on its way through a worker.
pub(super) struct Job {
    /// Its place in the order of frames.
    pub(super) ticket: u64,
    /// The stream that it belongs to.
    pub(super) stream: u64,
    /// The buffer that the result will travel on.
    pub(super) buffer: gst::Buffer,
    /// The frame's identity.
    pub(super) info: FrameInfo,
    /// Width and height in pixels, where known.
    pub(super) size: Option<(u32, u32)>,
    /// Start of the framed message.
    pub(super) head: Vec<u8>,
    /// The rest of it.
    pub(super) picture: Option<MappedPicture>,
    /// When a worker got it, ns of the monotonic clock.
    pub(super) sent: u64,
}

/// What a worker has to say to the element.
pub(super) enum Report {
    /// What it is doing now.
    Status(Status),
    /// It can take a frame.
    Idle,
    /// It cannot take one any more.
    Unavailable,
    /// It is loaded and warm: the worker's name and version, and its load time in ms.
    Ready { worker: String, load_ms: f64 },
    /// A frame is done.
    Answer(Box<(Job, InferenceResult)>),
    /// A frame is lost.
    Lost(Box<Job>, Cause, String),
    /// Something was not as the protocol says; nothing is lost by it.
    Odd(String),
    /// The process has ended and will be started again after so many ms.
    Exited { text: String, tail: String, pause_ms: u64 },
    /// The process has ended for good.
    Failed { text: String, tail: String },
    /// A log line.
    Log(Level, String),
}

/// Who listens to the workers. Called from the pool's thread; must not block.
pub(super) trait Listener: Send + Sync {
    /// Takes one report of worker `index`.
    fn report(&self, index: usize, report: Report);
}

pub(super) enum Request {
    /// To be sent only after [`Report::Idle`].
    Frame(Box<Job>),
    /// Stop the process as politely as at the end, and start a new one.
    Restart,
}

/// The workers' thread; dropping it without [`Pool::stop`] stops them too, but does not wait.
pub(super) struct Pool {
    thread: Option<thread::JoinHandle<()>>,
    workers: Vec<mpsc::UnboundedSender<Request>>,
}

impl Pool {
    /// Starts `count` processes of `argv`.
    ///
    /// # Errors
    /// When the thread or its event loop cannot be made; a process that does not start is reported instead.
    pub(super) fn start(
        argv: &[String],
        count: usize,
        limits: Limits,
        listener: &Arc<dyn Listener>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let mut workers = Vec::new();
        let mut runs = Vec::new();
        let reports = Arc::clone(listener);
        for index in 0..count {
            let (sender, requests) = mpsc::unbounded_channel();
            workers.push(sender);
            runs.push(Worker::new(index, argv.to_vec(), limits, requests, Arc::clone(listener)).run());
        }
        let run = move || {
            // A write to a worker that died raises SIGPIPE, which would end a host that does not ignore it.
            // Blocked here, it is an error of the write and nothing else; children start with nothing blocked.
            let mut pipe = SigSet::empty();
            pipe.add(Signal::SIGPIPE);
            let _ = pipe.thread_block();
            runtime.block_on(async {
                let mut set = JoinSet::new();
                let indexes: HashMap<_, _> =
                    runs.into_iter().enumerate().map(|(index, run)| (set.spawn(run).id(), index)).collect();
                while let Some(ended) = set.join_next_with_id().await {
                    // A bug of ours must not look like a worker that is busy for ever.
                    if let Err(error) = ended
                        && let Some(index) = indexes.get(&error.id())
                    {
                        let text = format!("cannot be looked after any more: {error}");
                        reports.report(*index, Report::Failed { text, tail: String::new() });
                    }
                }
            });
        };
        let thread = thread::Builder::new().name("orion-workers".into()).spawn(run)?;
        Ok(Self { thread: Some(thread), workers })
    }

    /// Hands a frame to worker `index`.
    pub(super) fn send(&self, index: usize, job: Box<Job>) -> Result<(), Box<Job>> {
        match self.workers.get(index) {
            None => Err(job),
            Some(worker) => worker.send(Request::Frame(job)).map_err(|unsent| match unsent.0 {
                Request::Frame(job) => job,
                Request::Restart => unreachable!("a frame was sent"),
            }),
        }
    }

    /// Starts all processes anew, without counting it as a failure.
    pub(super) fn restart(&self) {
        for worker in &self.workers {
            // A worker that was given up is not listening.
            let _ = worker.send(Request::Restart);
        }
    }

    /// Ends all processes and waits for that, at most [`Limits::shutdown_timeout`] and two seconds.
    pub(super) fn stop(mut self) {
        self.workers.clear();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by then.
            let _ = thread.join();
        }
    }
}
