// SPDX-License-Identifier: MPL-2.0
//! From the first frame to the last, or to whatever ends it before.

use std::{
    future::Future,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use gst::prelude::*;
use gstorion::message::WorkerEvent;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::{
    desk::{Desk, Shared},
    lines::Lines,
    news::{News, Whose},
    places::{Places, Results},
    progress::Progress,
    reader::{Reader, Span},
    writer::Writer,
};
use crate::{cli, config::Config, run::Signals};

/// Time between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Time without any frame after which it is given up: more than a worker may take to start, and then for a frame.
const STALL: Duration = Duration::from_secs(120);
/// Time for the frames in hand to come back after Ctrl-C.
const FINISH: Duration = Duration::from_secs(30);
/// Time in which the cause of a failure is told behind what follows from it.
const CAUSE: Duration = Duration::from_secs(2);
/// Time for a pipeline to stop.
const STOP: Duration = Duration::from_secs(10);
/// Ends of workers in a row, without any result between them, after which it is given up.
const DEATHS: u32 = 5;

/// How it ended well.
pub(super) enum Ending {
    /// All frames are done.
    Done,
    /// Somebody asked for the end; where what was done is.
    Interrupted(String),
}

/// Why it ended before the last frame.
enum Break {
    Interrupted,
    Failed(Whose, String),
}

struct Work<'a> {
    places: &'a Places,
    shared: Arc<Shared>,
    reader: Reader,
    writer: Option<Writer>,
    news: UnboundedReceiver<News>,
    progress: Progress,
    span: Span,
    deaths: Deaths,
    /// All frames have come back.
    read: bool,
    /// All pictures are in the file.
    written: bool,
}

/// Runs it all.
///
/// # Errors
/// Whatever ends it before its time, in words.
pub(super) async fn all(options: &cli::Annotate, config: &Config, places: &Places) -> anyhow::Result<Ending> {
    let mut signals = Signals::listen().context("signals cannot be caught")?;
    let (sender, news) = mpsc::unbounded_channel();
    let video = places.video.as_ref();
    if let Some(video) = video {
        // The pipeline's own words for this are less clear.
        std::fs::File::create(&video.part).with_context(|| video.part.display().to_string())?;
    }
    let lines = Lines::create(&places.results).map_err(|error| {
        discard(places, true);
        anyhow!(error)
    })?;
    let shared = Arc::new(Shared::default());
    let time = |seconds: f64| gst::ClockTime::from_nseconds((seconds * 1e9).round() as u64);
    let end = options.duration.map(|duration| time(options.start + duration));
    let span = Span { start: time(options.start), end };
    let built = || {
        let writer = video.map(|video| Writer::build(&video.part, sender.clone())).transpose()?;
        let desk = Desk::new(config, Arc::clone(&shared), lines, writer.as_ref().map(Writer::feed));
        let reader = Reader::build(&places.input, config, span, Arc::clone(&shared), desk, sender.clone())?;
        Ok::<_, crate::source::SourceError>((reader, writer))
    };
    let (reader, writer) = built().inspect_err(|_| discard(places, true))?;
    let (progress, deaths) = (Progress::new(), Deaths::default());
    let mut work = Work { places, shared, reader, writer, news, progress, span, deaths, read: false, written: false };
    let ended = work.run(&mut signals).await;
    work.progress.end();
    work.conclude(ended, &mut signals).await
}

impl Work<'_> {
    /// Until all frames have come back and are in the file.
    async fn run(&mut self, signals: &mut Signals) -> Result<(), Break> {
        let start = |pipeline: &gst::Pipeline| pipeline.set_state(gst::State::Playing).is_ok();
        if !self.writer.as_ref().is_none_or(|writer| start(&writer.pipeline)) {
            return Err(self.reason(Whose::Writer, "the encoder does not start"));
        }
        if !start(&self.reader.pipeline) {
            return Err(self.reason(Whose::Reader, "the recording cannot be played"));
        }
        self.until(Whose::Reader, STALL, signals).await?;
        if self.writer.is_some() {
            self.until(Whose::Writer, STALL, signals).await?;
        }
        Ok(())
    }

    /// What was said about a failure, or else these words.
    fn reason(&mut self, whose: Whose, otherwise: &str) -> Break {
        let mut text = otherwise.to_owned();
        while let Ok(said) = self.news.try_recv() {
            if let News::Failed(_, why) | News::Follows(_, why) = said {
                text = why;
                break;
            }
        }
        Break::Failed(whose, text)
    }

    /// Waits for the end of a pipeline; `patience`: how long nothing may move.
    async fn until(&mut self, whose: Whose, patience: Duration, signals: &mut Signals) -> Result<(), Break> {
        let mut moved = (0, Instant::now());
        loop {
            if (whose == Whose::Reader && self.read) || (whose == Whose::Writer && self.written) {
                return Ok(());
            }
            tokio::select! {
                said = self.news.recv() => match said {
                    None => return Ok(()),
                    // The writer's end may be told before the reader's, of which it is a consequence.
                    Some(News::Ended(Whose::Writer)) => self.written = true,
                    Some(News::Ended(Whose::Reader)) => self.read = true,
                    Some(News::Failed(failed, text)) => return Err(Break::Failed(failed, text)),
                    Some(News::Follows(failed, text)) => return Err(self.cause(failed, text).await),
                    Some(News::Worker(event)) => {
                        if let Some(text) = self.deaths.note(&event, self.shared.tally().results()) {
                            return Err(Break::Failed(Whose::Reader, text));
                        }
                    }
                },
                () = signals.next() => return Err(Break::Interrupted),
                () = tokio::time::sleep(LOOK) => {
                    let encoded = self.writer.as_ref().map_or(0, Writer::encoded);
                    let seen = self.reader.decoded() + self.shared.tally().lines + encoded + self.size();
                    if seen != moved.0 {
                        moved = (seen, Instant::now());
                    } else if moved.1.elapsed() > patience {
                        let text = format!("nothing has moved for {} s", patience.as_secs());
                        return Err(Break::Failed(whose, text));
                    }
                    self.show();
                }
            }
        }
    }

    /// Why a pipeline does not go on, where that is told soon; else what it says itself.
    async fn cause(&mut self, whose: Whose, text: String) -> Break {
        let until = tokio::time::Instant::now() + CAUSE;
        while let Ok(Some(said)) = tokio::time::timeout_at(until, self.news.recv()).await {
            match said {
                News::Failed(failed, text) => return Break::Failed(failed, text),
                News::Worker(event) => {
                    if let Some(text) = self.deaths.note(&event, self.shared.tally().results()) {
                        return Break::Failed(Whose::Reader, text);
                    }
                }
                News::Follows(..) | News::Ended(_) => {}
            }
        }
        Break::Failed(whose, text)
    }

    /// Grows while the file is put together.
    fn size(&self) -> u64 {
        let video = self.places.video.as_ref().and_then(|video| std::fs::metadata(&video.part).ok());
        video.map_or(0, |file| file.len())
    }

    fn show(&mut self) {
        let tally = self.shared.tally();
        let ms = |time: gst::ClockTime| time.nseconds() as f64 / 1e6;
        let (start, length) = (ms(self.span.start), self.reader.length().map(ms));
        let end = match (length, self.span.end.map(ms)) {
            (Some(length), Some(end)) => Some(length.min(end)),
            (length, end) => length.or(end),
        };
        self.progress.update(&tally, tally.position_ms - start, end.map(|end| end - start));
    }

    /// Puts everything in its place, and says how it was.
    async fn conclude(mut self, ended: Result<(), Break>, signals: &mut Signals) -> anyhow::Result<Ending> {
        let (interrupted, failure) = match ended {
            Ok(()) => (false, None),
            Err(Break::Interrupted) => (true, None),
            Err(Break::Failed(whose, text)) => (false, Some((whose, text))),
        };
        let is_writable = failure.as_ref().is_none_or(|(whose, _)| *whose != Whose::Writer);
        let mut whole = failure.is_none() && !interrupted;
        if interrupted {
            self.reader.finish();
            // A second signal ends it at once.
            let finished = self.wind_up(signals, true);
            whole = matches!(tokio::time::timeout(FINISH, finished).await, Ok(Ok(())));
        } else if failure.is_some() && is_writable {
            // What was done until then is kept.
            let stopped = stop(&self.reader.pipeline).await;
            let ended = stopped && matches!(tokio::time::timeout(FINISH, self.reader.give_up()).await, Ok(true));
            let finished = self.wind_up(signals, false);
            whole = ended && matches!(tokio::time::timeout(FINISH, finished).await, Ok(Ok(())));
        }
        // A frame on its way to the encoder waits for it, and would hold up the reader.
        if let Some(writer) = &self.writer {
            stop(&writer.pipeline).await;
        }
        stop(&self.reader.pipeline).await;
        let tally = {
            let mut tally = self.shared.tally();
            tally.pictures = self.writer.as_ref().map_or(0, Writer::encoded);
            tally
        };
        let kept = whole && tally.results() > 0;
        let books = self.reader.books();
        let received = self.shared.received();
        let summary = tally.summary(received, self.writer.is_some(), &books);
        if interrupted || failure.is_some() {
            discard(self.places, !kept);
            let kept = if kept { self.kept() } else { "nothing is kept".to_owned() };
            return match failure {
                Some((_, text)) if tally.results() == 0 => bail!("{}: {text}", self.places.input.display()),
                Some((_, text)) => {
                    bail!("{}: {text}; frames done: {}; {kept}", self.places.input.display(), tally.lines)
                }
                None => Ok(Ending::Interrupted(format!("stopped; frames done: {}; {kept}", tally.lines))),
            };
        }
        if tally.lines == 0 {
            discard(self.places, true);
            bail!("{}: there is no frame in it{}", self.places.input.display(), self.where_from());
        }
        if let Some(video) = &self.places.video {
            video.finish().map_err(anyhow::Error::msg)?;
        }
        if let Results::File(results) = &self.places.results {
            results.finish().map_err(anyhow::Error::msg)?;
        }
        self.say(&summary)?;
        if !tally.adds_up(received, self.writer.is_some()) || !books.iter().all(crate::book::Book::adds_up) {
            bail!("the ledger does not add up");
        }
        Ok(Ending::Done)
    }

    /// Waits for what is on its way to be in the file.
    async fn wind_up(&mut self, signals: &mut Signals, reading: bool) -> Result<(), Break> {
        if reading {
            self.until(Whose::Reader, FINISH, signals).await?;
        }
        if self.writer.is_some() {
            self.until(Whose::Writer, FINISH, signals).await?;
        }
        Ok(())
    }

    fn where_from(&self) -> &'static str {
        if self.span.start > gst::ClockTime::ZERO || self.span.end.is_some() {
            " between --start and its end"
        } else {
            ""
        }
    }

    fn kept(&self) -> String {
        let results = match &self.places.results {
            Results::File(target) => Some(target),
            Results::Stdout => None,
        };
        let parts: Vec<_> = self.places.video.iter().chain(results).map(|t| t.part.display().to_string()).collect();
        if parts.is_empty() {
            "results are written".to_owned()
        } else {
            format!("what was done is in {}", parts.join(" and "))
        }
    }

    /// Tells the user; not where results go.
    fn say(&self, summary: &str) -> anyhow::Result<()> {
        let mut text = summary.to_owned();
        if let Some(video) = &self.places.video {
            text.push_str(&format!("\npictures  {}, without sound", video.path.display()));
        }
        let written = match &self.places.results {
            Results::Stdout => writeln!(std::io::stderr(), "{text}"),
            Results::File(results) => writeln!(std::io::stdout(), "{text}\nresults   {}", results.path.display()),
        };
        written.context("cannot print")
    }
}

/// Ends of worker processes.
#[derive(Debug, Default)]
struct Deaths {
    /// One was ready at some time.
    ready: bool,
    /// Results when the last one ended, and how often one ended at that number.
    row: (u64, u32),
}

impl Deaths {
    /// Notes what happened to a worker when there were so many results; why it is no use to go on, if it is none.
    fn note(&mut self, event: &WorkerEvent, results: u64) -> Option<String> {
        match event.event.as_str() {
            "ready" => self.ready = true,
            "exited" if !self.ready => return Some(format!("the worker does not start: {}", event.reason)),
            "exited" => {
                let (before, row) = self.row;
                let row = if before == results { row + 1 } else { 1 };
                self.row = (results, row);
                if row >= DEATHS {
                    return Some(format!("the worker ended {row} times in a row: {}", event.reason));
                }
            }
            _ => {}
        }
        None
    }
}

/// Removes what was not finished; results are kept if they are of use.
fn discard(places: &Places, all: bool) {
    if !all {
        return;
    }
    if let Some(video) = &places.video {
        video.discard();
        let _ = std::fs::remove_file(super::places::with_suffix(&video.part, ".data"));
    }
    if let Results::File(results) = &places.results {
        results.discard();
    }
}

/// Stops a pipeline; false if that takes too long.
fn stop(pipeline: &gst::Pipeline) -> impl Future<Output = bool> + use<> {
    let pipeline = pipeline.clone();
    let stopped = tokio::task::spawn_blocking(move || pipeline.set_state(gst::State::Null).is_ok());
    async move { matches!(tokio::time::timeout(STOP, stopped).await, Ok(Ok(true))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_never_comes_or_always_goes_ends_it() {
        let event = |name: &str| WorkerEvent { event: name.into(), index: 0, pid: 1, reason: "why".into() };
        let mut deaths = Deaths::default();
        assert_eq!(deaths.note(&event("exited"), 0).as_deref(), Some("the worker does not start: why"));
        assert_eq!(deaths.note(&event("ready"), 0), None);
        for results in 0..20 {
            assert_eq!(deaths.note(&event("exited"), results), None, "it does something in between");
        }
        for _ in 1..DEATHS - 1 {
            assert_eq!(deaths.note(&event("exited"), 19), None);
        }
        assert_eq!(deaths.note(&event("exited"), 19).as_deref(), Some("the worker ended 5 times in a row: why"));
    }
}
