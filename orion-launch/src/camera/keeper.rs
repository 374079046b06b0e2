// SPDX-License-Identifier: MPL-2.0
//! Keeps an RTSP camera connected: does what the rules of [`orion_core::camera`] say.

use std::{
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use orion_core::camera::{Action, Camera, Input, LossCause, State};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::MissedTickBehavior,
};

use super::{Told, entry::Entry, knock::Door, login::Login, rtsp::Attempt};
use crate::{config::Config, inlet::Inlet, pipeline::Note, source::SourceError};

/// How long making a source may take: a file may hang, and the first time plugins are loaded.
const BUILD_LIMIT: Duration = Duration::from_secs(10);

/// How often is looked at whether frames come.
const LOOK: Duration = Duration::from_millis(100);
/// From one knock at a camera that is away to the next.
const KNOCK: Duration = Duration::from_secs(1);

type Knock = Pin<Box<dyn Future<Output = bool> + Send>>;

pub(super) struct Keeper {
    config: Config,
    entry: Entry,
    told: UnboundedSender<Told>,
    inlet: Arc<Inlet>,
    notes: UnboundedSender<Note>,
    began: Instant,
    camera: Camera,
    /// The connection that is there or being made.
    source: Option<gst::Bin>,
    number: u64,
    login: Option<Login>,
    /// What the camera offers, where nothing of it can be decoded.
    offers: Option<String>,
    knock: Option<Knock>,
    knocked: Instant,
}

impl Keeper {
    pub(super) fn new(
        config: &Config,
        entry: Entry,
        told: UnboundedSender<Told>,
        inlet: Arc<Inlet>,
        notes: UnboundedSender<Note>,
    ) -> Self {
        let began = Instant::now();
        Self {
            camera: Camera::new(stall(config), Duration::ZERO),
            config: config.clone(),
            entry,
            told,
            inlet,
            notes,
            began,
            source: None,
            number: 0,
            login: None,
            offers: None,
            knock: None,
            knocked: began,
        }
    }

    /// Until it is cancelled.
    pub(super) async fn run(mut self, mut heard: UnboundedReceiver<Told>) {
        while !matches!(heard.recv().await, Some(Told::Begin) | None) {}
        self.began = Instant::now();
        self.camera = Camera::new(stall(&self.config), Duration::ZERO);
        self.connect().await;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let knock = async {
                match &mut self.knock {
                    Some(knock) => knock.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                told = heard.recv() => match told {
                    Some(told) => self.hear(told).await,
                    None => return,
                },
                answers = knock => {
                    self.knock = None;
                    tracing::debug!("the camera {} at its port", if answers { "answers" } else { "does not answer" });
                    self.on(Input::Answered(answers)).await;
                }
                _ = look.tick() => self.look().await,
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn look(&mut self) {
        if self.camera.state() == State::Streaming
            && let Some(last) = self.inlet.last()
        {
            let at = last.saturating_duration_since(self.began);
            // It streams: a frame asks for nothing to be done.
            self.camera.on(Input::Frame, at, chance());
        }
        self.on(Input::Tick).await;
        if self.knocked.elapsed() >= KNOCK {
            self.knock();
        }
    }

    fn knock(&mut self) {
        if self.camera.state() == State::Waiting && self.knock.is_none() {
            self.knocked = Instant::now();
            self.knock = Door::of(&self.config.camera.rtsp_url).map(|door| Box::pin(door.knock()) as Knock);
        }
    }

    async fn hear(&mut self, told: Told) {
        let number = self.number;
        match told {
            Told::Renew(config) => {
                self.camera.set_stall(stall(&config));
                self.config = *config;
                self.on(Input::Renew).await;
            }
            Told::Packets(of) if of == number => self.on(Input::Packets).await,
            Told::Linked(of) if of == number => self.on(Input::Frame).await,
            Told::Ended(of) if of == number => {
                self.on(Input::Ended).await;
                // One that is started again is away for a moment only.
                self.knock();
            }
            Told::Offers(of, text) if of == number => self.offers = Some(text),
            Told::Failed(of, cause, detail) if of == number => {
                let detail = match (cause, self.offers.take()) {
                    (LossCause::WrongCodec, Some(offers)) => offers,
                    _ => self.login.as_ref().map_or_else(|| detail.clone(), |login| login.mask(&detail)),
                };
                self.on(Input::Failed(cause, detail)).await;
            }
            Told::Broken(of, text) if of == number => self.give_up(text),
            // Of a connection that is no more.
            _ => {}
        }
    }

    async fn on(&mut self, input: Input) {
        for action in self.camera.on(input, self.now(), chance()) {
            match action {
                Action::TearDown => self.tear_down(),
                Action::Connect => {
                    self.knock = None;
                    self.connect().await;
                }
                Action::Lost { cause, detail, attempt } => {
                    tracing::debug!("the camera is lost: {} ({attempt} attempts)", cause.as_str());
                    self.inlet.lose(cause, &detail);
                    let epoch = self.inlet.connection().epoch;
                    self.tell(Note::StreamLost { cause, detail, epoch });
                }
                Action::Restored { after } => {
                    self.inlet.restored();
                    let epoch = self.inlet.connection().epoch;
                    self.tell(Note::StreamRestored { after, epoch });
                }
            }
        }
    }

    fn tear_down(&mut self) {
        self.entry.expect(None);
        self.number += 1;
        if let Some(source) = self.source.take() {
            self.entry.remove(source);
        }
    }

    async fn connect(&mut self) {
        self.tear_down();
        self.offers = None;
        let number = self.number;
        let failed = |cause, text: String| Told::Failed(number, cause, text);
        if self.entry.is_crowded() {
            let _ = self.told.send(failed(LossCause::Stalled, "earlier connections do not come to their end".into()));
            return;
        }
        let attempt = Attempt { number, entry: self.entry.clone(), told: self.told.clone() };
        let camera = self.config.camera.clone();
        // A file may hang, and the first time plugins are loaded.
        let built = tokio::task::spawn_blocking(move || {
            let login = Login::read(&camera);
            login.map(|login| attempt.build(&camera, &login).map(|source| (source, login)))
        });
        let built = match tokio::time::timeout(BUILD_LIMIT, built).await {
            Ok(built) => built,
            Err(_) => {
                let text = format!(
                    "the source was not made within {} s: does camera.password_file hang?",
                    BUILD_LIMIT.as_secs()
                );
                let _ = self.told.send(failed(LossCause::Refused, text));
                return;
            }
        };
        match built {
            Ok(Ok(Ok((source, login)))) => {
                self.login = Some(login);
                self.entry.expect(Some(number));
                if let Err(error) = self.entry.add(&source) {
                    let _ = self.told.send(failed(LossCause::Refused, error.to_string()));
                }
                self.source = Some(source);
            }
            Ok(Ok(Err(error))) => self.broken(error),
            Ok(Err(text)) => {
                let _ = self.told.send(failed(LossCause::Unauthorised, text));
            }
            Err(error) => {
                let _ = self.told.send(failed(LossCause::Refused, error.to_string()));
            }
        }
    }

    fn broken(&mut self, error: SourceError) {
        self.give_up(error.to_string());
    }

    fn give_up(&mut self, text: String) {
        self.tell(Note::Error { element: "camera".into(), text, details: String::new() });
    }

    fn tell(&self, note: Note) {
        // Nobody listens once the daemon has left its loop.
        let _ = self.notes.send(note);
    }
}

fn stall(config: &Config) -> Duration {
    Duration::from_secs_f64(config.camera.stall_timeout_s)
}

/// A random number in 0..1.
fn chance() -> f64 {
    // Each state has keys of its own, which the standard library draws at random.
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
