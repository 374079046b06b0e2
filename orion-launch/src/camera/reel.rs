// SPDX-License-Identifier: MPL-2.0
//! A recording that is played again and again, at its own speed, as a camera would send it.
//!
//! Each round is a source of its own, built while the round before is played, so that there is no gap between them.

use std::sync::{Arc, Mutex, PoisonError};

use gst::{ClockTime, prelude::*};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Told, entry::Entry, name};
use crate::{
    config::Config,
    pipeline::Note,
    source::{self, SourceError},
};

/// Length of a frame where the recording does not say.
const FRAME: ClockTime = ClockTime::from_mseconds(40);

/// A round that is played, or waits with its first frame.
struct Round {
    number: u64,
    source: gst::Bin,
    pace: gst::Element,
    held: Option<gst::PadProbeId>,
    timeline: Arc<Mutex<Timeline>>,
    waits: bool,
}

/// Puts a round's frames on the time line of all rounds.
#[derive(Debug)]
struct Timeline {
    segment: gst::FormattedSegment<ClockTime>,
    start: ClockTime,
    end: ClockTime,
    before: Option<ClockTime>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { segment: gst::FormattedSegment::new(), start: ClockTime::ZERO, end: ClockTime::ZERO, before: None }
    }
}

impl Timeline {
    /// When a frame is shown, given its time within the recording.
    fn place(&mut self, time: Option<ClockTime>, duration: Option<ClockTime>) -> ClockTime {
        let within = time.and_then(|time| self.segment.to_running_time(time)).or(self.before).unwrap_or_default();
        let interval = self.before.and_then(|before| within.checked_sub(before)).filter(|i| *i > ClockTime::ZERO);
        self.before = Some(within);
        let duration = duration.filter(|duration| *duration > ClockTime::ZERO).or(interval).unwrap_or(FRAME);
        let shown = self.start + within;
        self.end = self.end.max(shown + duration);
        shown
    }
}

pub(super) struct Reel {
    config: Config,
    entry: Entry,
    told: UnboundedSender<Told>,
    notes: UnboundedSender<Note>,
    /// The round that is played.
    now: Option<Round>,
    /// The one after it.
    next: Option<Round>,
    /// Where the next one begins, once nothing is played any more.
    free: Option<ClockTime>,
    rounds: u64,
}

impl Reel {
    pub(super) fn new(config: Config, entry: Entry, told: UnboundedSender<Told>, notes: UnboundedSender<Note>) -> Self {
        Self { config, entry, told, notes, now: None, next: None, free: None, rounds: 0 }
    }

    /// Until it is cancelled, or the recording cannot be played.
    pub(super) async fn run(mut self, mut heard: UnboundedReceiver<Told>) {
        while let Some(told) = heard.recv().await {
            let done = match told {
                Told::Begin => {
                    self.free = Some(self.entry.running_time());
                    self.prepare()
                }
                Told::Waits(number) => {
                    if let Some(next) = self.next.as_mut().filter(|next| next.number == number) {
                        next.waits = true;
                    }
                    self.play()
                }
                Told::Ended(number) => self.end(number),
                Told::Failed(_, _, text) | Told::Broken(_, text) => Err(text),
                _ => Ok(()),
            };
            if let Err(text) = done {
                // Nobody listens once the daemon has left its loop.
                let _ = self.notes.send(Note::SourceError(format!("camera.file {}: {text}", self.config.camera.file)));
                return;
            }
        }
    }

    fn prepare(&mut self) -> Result<(), String> {
        let round = self.build().map_err(|error| error.to_string())?;
        self.rounds += 1;
        self.entry.add(&round.source).map_err(|error| error.to_string())?;
        self.next = Some(round);
        Ok(())
    }

    /// Plays the next round if it is ready and the one before has ended.
    fn play(&mut self) -> Result<(), String> {
        let Some(start) = self.free else { return Ok(()) };
        let Some(mut round) = self.next.take_if(|next| next.waits) else { return Ok(()) };
        self.free = None;
        // A round that comes late begins late.
        let start = start.max(self.entry.running_time());
        round.pace.set_property("ts-offset", start.nseconds() as i64);
        {
            let mut timeline = round.timeline.lock().unwrap_or_else(PoisonError::into_inner);
            (timeline.start, timeline.end) = (start, start);
        }
        let pad = round.source.static_pad("src").ok_or("no pad")?;
        self.entry.expect(Some(round.number));
        if !self.entry.link(round.number, &pad) {
            return Err("it cannot be linked".into());
        }
        if let Some(held) = round.held.take() {
            pad.remove_probe(held);
        }
        self.now = Some(round);
        self.prepare()
    }

    fn end(&mut self, number: u64) -> Result<(), String> {
        if self.next.as_ref().is_some_and(|next| next.number == number && !next.waits) {
            return Err("it holds no picture".into());
        }
        if let Some(round) = self.now.take_if(|round| round.number == number) {
            self.free = Some(round.timeline.lock().unwrap_or_else(PoisonError::into_inner).end);
            self.entry.remove(round.source);
        }
        self.play()
    }

    fn build(&self) -> Result<Round, SourceError> {
        let number = self.rounds;
        let bin = gst::Bin::with_name(&name(number));
        let inner = source::file(&self.config, "file")?;
        let pace = source::make("clocksync", "libgstreamer1.0-0")?;
        bin.add_many([inner.upcast_ref::<gst::Element>(), &pace])?;
        inner.link_pads(Some("src"), &pace, Some("sink"))?;
        let target = pace.static_pad("src").ok_or_else(|| gst::glib::bool_error!("clocksync has no pad"))?;
        let out = gst::GhostPad::builder_with_target(&target)?.name("src").build();
        bin.add_pad(&out)?;
        let timeline = Arc::<Mutex<Timeline>>::default();
        let told = self.told.clone();
        let held = out.add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, move |_, _| {
            let _ = told.send(Told::Waits(number));
            gst::PadProbeReturn::Ok
        });
        let (told, line) = (self.told.clone(), timeline.clone());
        out.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER, move |_, info| {
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    let shown = line.place(buffer.pts(), buffer.duration());
                    let buffer = buffer.make_mut();
                    buffer.set_pts(shown);
                    buffer.set_dts(ClockTime::NONE);
                }
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Eos(_) => {
                        let _ = told.send(Told::Ended(number));
                        return gst::PadProbeReturn::Handled;
                    }
                    gst::EventView::Segment(segment) => {
                        if let Some(segment) = segment.segment().downcast_ref::<ClockTime>() {
                            line.segment = segment.clone();
                        }
                        *event = gst::event::Segment::new(&gst::FormattedSegment::<ClockTime>::new());
                    }
                    _ => {}
                },
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        Ok(Round { number, source: bin, pace, held, timeline, waits: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_begins_where_the_one_before_ended() {
        gst::init().unwrap();
        let ms = ClockTime::from_mseconds;
        let mut line = Timeline { start: ms(1000), end: ms(1000), ..Timeline::default() };
        let shown: Vec<_> = [0, 40, 80].into_iter().map(|time| line.place(Some(ms(time)), Some(ms(40)))).collect();
        assert_eq!((shown, line.end), (vec![ms(1000), ms(1040), ms(1080)], ms(1120)));
        let mut line = Timeline { start: ms(1120), end: ms(1120), ..Timeline::default() };
        line.place(Some(ms(0)), None);
        line.place(Some(ms(100)), None);
        assert_eq!(line.end, ms(1320), "the last frame is as long as the one before");
    }
}
