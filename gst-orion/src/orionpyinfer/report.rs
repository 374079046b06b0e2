// SPDX-License-Identifier: MPL-2.0
//! What workers, their crew and the element say to each other.

use std::{sync::Arc, time::Duration};

use orion_core::{
    ledger::Cause,
    wire::{InferenceResult, Ready},
};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    crew::{Spec, Wish},
    job::{Job, Message},
    stderr::Level,
    tuning::Setting,
    worker::Status,
};

/// One worker: a place in a crew, filled by one process after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    /// Of its own in this run of the element.
    pub(super) id: u64,
    /// Counts crews.
    pub(super) crew: u64,
    /// Its place in the crew, from 0.
    pub(super) index: usize,
}

/// What a worker has to say to the element.
pub(super) enum Report {
    /// What it is doing now.
    Status(Status),
    /// It can take a frame; `load`: how many it has in hand, `full`: the elements of which it takes none now.
    Idle { load: usize, full: Vec<u64> },
    /// It cannot take one any more.
    Unavailable,
    /// It is loaded and warm.
    Ready(Box<Ready>),
    /// A frame is done.
    Answer(Box<(Job, InferenceResult)>),
    /// A frame is lost.
    Lost(Box<Job>, Cause, String),
    /// A frame that a worker had not begun waits for another one, in the router.
    Returned,
    /// Not as the protocol says; nothing is lost by it.
    Odd(String),
    /// A setting was changed, or refused.
    Tuned { setting: Setting, value: Value, outcome: Result<(), String> },
    /// The process has ended and will be started again after so many ms.
    Exited { text: String, tail: String, pause_ms: u64 },
    /// The process has ended for good.
    Failed { text: String, tail: String },
    /// A log line.
    Log(Level, String),
}

/// What a crew has to say to the element.
pub(super) enum News {
    /// Successors are being started; why.
    Begun(String),
    /// They did not come to work; why. None = somebody wanted something else meanwhile.
    GivenUp { spec: Box<Spec>, reason: String, overtaken: bool },
    /// From now on these do the work.
    TakenOver { spec: Box<Spec>, crew: u64, members: Vec<(Who, Ready)> },
    /// Nothing is wrong yet, but somebody should know.
    Warning(String),
}

/// Who listens to workers and crews. Called from the pool's thread; must not block.
pub(super) trait Listener: Send + Sync {
    /// Takes one report of a worker.
    fn report(&self, who: Who, report: Report);

    /// Takes news of the crew.
    fn news(&self, news: News);

    /// The same crew once more.
    fn renewal(&self, why: String) -> Option<Wish>;

    /// Time between the last two frames, 0 after the first one; none before that.
    fn frame_interval(&self) -> Option<Duration>;

    /// The processes at work now.
    fn pids(&self) -> Vec<u32>;

    /// Whether to keep the latest frame.
    fn keep_latest(&self, keep: bool);

    /// The latest frame that was kept, with its sequence number.
    fn latest(&self) -> Option<(u64, Arc<Message>)>;
}

/// What a worker is asked for.
pub(super) enum Request {
    /// To be sent only after [`Report::Idle`].
    Frame(Box<Job>),
    /// Look at a frame for a check.
    Check(u64, Arc<Message>),
    /// A setting to change.
    Tune(Setting, Value),
    /// The limit for answers from the next frame on.
    FrameTimeout(Duration),
    /// The successor is at work from now on, but takes no frame yet.
    TakeOver,
    /// Those before it have finished: take frames.
    Begin,
    /// Finish what is in hand and end; the other end is told by letting go of this when the hand is empty.
    Retire(Option<mpsc::Sender<()>>),
}

/// What a successor tells its crew.
#[derive(Debug)]
pub(super) enum Notice {
    /// It is loaded and warm.
    Ready(Box<Ready>),
    /// It has answered the frame that it was checked on.
    Checked(Result<(), String>),
    /// It has ended.
    Failed(String),
}
