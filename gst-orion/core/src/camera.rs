// SPDX-License-Identifier: MPL-2.0
//! A camera that may go away and come back: when to connect, when to give a connection up, what to tell.
//!
//! ```text
//!              first frame
//! Connecting --------------> Streaming
//!   |    ^                       |
//!   |    | back-off is over,     | ended, failed,
//!   |    | or it answers again   | no frame for too long
//!   |    |                       |
//!   +--> Waiting <---------------+
//! ```
//! There is no end to it. Times are durations since any fixed moment.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The first pause between two attempts.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Chance makes a pause longer or shorter by up to this part, so that many daemons do not come back at once.
const JITTER: f64 = 0.2;
/// A stream that held for so long starts over with the shortest pause.
const STABLE: Duration = Duration::from_secs(10);
/// Cameras send a key frame every few seconds, and there is no picture before it.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// From the beginning of one attempt to the next at least.
const SPACING: Duration = Duration::from_secs(1);
/// Whoever looks later than that was kept from looking: the silence may be its own.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// Why there is no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// The connection or the stream ended.
    Lost,
    /// No frame for too long.
    Stalled,
    /// No connection: refused, unreachable, unknown, timed out.
    Refused,
    /// The camera wants another user or password.
    Unauthorised,
    /// The camera has no such stream.
    NotFound,
    /// It sends nothing that can or shall be decoded.
    WrongCodec,
}

impl LossCause {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Stalled => "stalled",
            Self::Refused => "refused",
            Self::Unauthorised => "unauthorised",
            Self::NotFound => "not_found",
            Self::WrongCodec => "wrong_codec",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The camera's first packet came.
    Packets,
    /// A frame came.
    Frame,
    /// The stream ended.
    Ended,
    /// The connection failed; the cause and its details in words.
    Failed(LossCause, String),
    /// Whether the camera answers at its port. Means something in [`State::Waiting`] only.
    Answered(bool),
    /// Time went by.
    Tick,
    /// Connect anew, now: the address or the password is another.
    Renew,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take the connection down.
    TearDown,
    /// Connect.
    Connect,
    /// Tell that the stream is lost, or that the cause is another now.
    Lost {
        /// Why.
        cause: LossCause,
        /// The same in words; may be empty.
        detail: String,
        /// Attempts that failed since the loss.
        attempt: u32,
    },
    /// Tell that the stream is there again.
    Restored {
        /// Since the loss.
        after: Duration,
    },
}

/// What the camera does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An attempt is on its way.
    Connecting,
    /// Frames come.
    Streaming,
    /// The next attempt comes later.
    Waiting,
}

/// The state of one camera.
#[derive(Debug, Clone)]
pub struct Camera {
    stall: Duration,
    state: State,
    /// When the attempt began.
    attempted: Duration,
    /// Since when the first frame is waited for.
    waited: Duration,
    /// Since when frames come.
    streaming: Duration,
    last_frame: Duration,
    looked: Duration,
    /// When the next attempt is due.
    due: Duration,
    pause: Duration,
    loss: Option<Loss>,
    /// The attempt was made because the camera had answered.
    called: bool,
    /// It answers at its port, but an attempt upon that failed all the same, or its stream did not hold.
    deceives: bool,
    /// It was away since the last attempt: an answer says that it is back.
    away: bool,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    since: Duration,
    cause: LossCause,
    attempts: u32,
}

impl Camera {
    /// A camera that is being connected to now; it is lost after `stall` without a frame.
    pub fn new(stall: Duration, now: Duration) -> Self {
        Self {
            stall,
            state: State::Connecting,
            attempted: now,
            waited: now,
            streaming: now,
            last_frame: now,
            looked: now,
            due: now,
            pause: BACKOFF_MIN,
            loss: None,
            called: false,
            deceives: false,
            away: false,
        }
    }

    /// What it does.
    pub fn state(&self) -> State {
        self.state
    }

    /// From now on it is lost after `stall` without a frame.
    pub fn set_stall(&mut self, stall: Duration) {
        self.stall = stall;
    }

    /// What is to be done upon `input`, in this order. `chance` in 0..1 is any number, used once.
    pub fn on(&mut self, input: Input, now: Duration, chance: f64) -> Vec<Action> {
        match (input, self.state) {
            (Input::Renew, _) => self.renew(now),
            (Input::Packets, State::Connecting) => {
                self.waited = now;
                Vec::new()
            }
            (Input::Frame, State::Connecting) => self.begin(now),
            (Input::Frame, State::Streaming) => {
                self.last_frame = now;
                if now.saturating_sub(self.streaming) >= STABLE {
                    self.pause = BACKOFF_MIN;
                    (self.called, self.deceives) = (false, false);
                }
                Vec::new()
            }
            (Input::Ended, State::Connecting | State::Streaming) => {
                self.lose(LossCause::Lost, "the stream ended".into(), now, chance)
            }
            (Input::Failed(cause, detail), State::Connecting | State::Streaming) => {
                self.lose(cause, detail, now, chance)
            }
            (Input::Answered(answers), State::Waiting) => self.answered(answers, now),
            (Input::Tick, _) => self.tick(now, chance),
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, now: Duration) -> Vec<Action> {
        self.state = State::Streaming;
        (self.streaming, self.last_frame) = (now, now);
        let lost = self.loss.take();
        lost.map(|loss| Action::Restored { after: now.saturating_sub(loss.since) }).into_iter().collect()
    }

    fn lose(&mut self, cause: LossCause, detail: String, now: Duration, chance: f64) -> Vec<Action> {
        let attempt = match (self.state, &self.loss) {
            (State::Streaming, _) => 0,
            (_, loss) => loss.map_or(0, |loss| loss.attempts) + 1,
        };
        // Reading failed: there was a connection.
        let cause = match (self.state, cause) {
            (State::Streaming, LossCause::Refused) => LossCause::Lost,
            _ => cause,
        };
        let told = self.loss.is_some_and(|loss| loss.cause == cause);
        let since = self.loss.map_or(now, |loss| loss.since);
        self.loss = Some(Loss { since, cause, attempts: attempt });
        self.state = State::Waiting;
        self.due = (now + self.pause.mul_f64(1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0)))
            .max(self.attempted + SPACING);
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
        self.deceives |= self.called;
        // Those that refuse a user or speak another codec are there, and answer whoever asks.
        let there = matches!(cause, LossCause::Unauthorised | LossCause::WrongCodec);
        self.away = !self.deceives && !there;
        self.called = false;
        let mut actions = vec![Action::TearDown];
        if !told {
            actions.push(Action::Lost { cause, detail, attempt });
        }
        actions
    }

    fn answered(&mut self, answers: bool, now: Duration) -> Vec<Action> {
        if !answers {
            (self.away, self.deceives) = (true, false);
        } else if self.away {
            self.called = true;
            self.due = self.due.min(now.max(self.attempted + SPACING));
        }
        self.connect_if_due(now)
    }

    fn tick(&mut self, now: Duration, chance: f64) -> Vec<Action> {
        if now.saturating_sub(self.looked) > OVERSLEPT {
            self.last_frame = self.last_frame.max(now);
        }
        self.looked = now;
        match self.state {
            State::Connecting if now.saturating_sub(self.waited) >= FIRST_FRAME => {
                let text = format!("no frame within {} s", FIRST_FRAME.as_secs());
                self.lose(LossCause::Stalled, text, now, chance)
            }
            State::Streaming if now.saturating_sub(self.last_frame) >= self.stall => {
                let text = format!("no frame for {} s", self.stall.as_secs_f64());
                self.lose(LossCause::Stalled, text, now, chance)
            }
            State::Waiting => self.connect_if_due(now),
            _ => Vec::new(),
        }
    }

    fn connect_if_due(&mut self, now: Duration) -> Vec<Action> {
        if now < self.due {
            return Vec::new();
        }
        self.connect(now);
        vec![Action::Connect]
    }

    fn connect(&mut self, now: Duration) {
        self.state = State::Connecting;
        (self.attempted, self.waited) = (now, now);
    }

    fn renew(&mut self, now: Duration) -> Vec<Action> {
        let down = (self.state != State::Waiting).then_some(Action::TearDown);
        self.pause = BACKOFF_MIN;
        (self.called, self.deceives) = (false, false);
        self.connect(now);
        down.into_iter().chain([Action::Connect]).collect()
    }
}

#[cfg(test)]
mod tests;
