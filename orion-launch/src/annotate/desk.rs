// SPDX-License-Identifier: MPL-2.0
//! Each frame, in its order: its line of results, and its picture.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use gstorion::{meta, orionmqttsink};
use orion_core::report::Report;

use super::{
    lines::{self, Lines},
    picture::Scene,
    tally::Tally,
    waiting::{self, Waiting},
    writer::Feed,
};
use crate::config::{Config, Detector};

/// A decoded frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) buffer: gst::Buffer,
    /// Its time in the recording; none where that has none.
    pub(super) position: Option<gst::ClockTime>,
}

impl Frame {
    fn position_ms(&self) -> f64 {
        self.position.map_or(0.0, |position| position.nseconds() as f64 / 1e6)
    }
}

/// What the threads of the pipeline and the main one both need.
#[derive(Debug, Default)]
pub(super) struct Shared {
    waiting: Mutex<Waiting<Frame>>,
    tally: Mutex<Tally>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A frame goes to the worker.
    pub(super) fn goes(&self, seq: u64, frame: Frame) {
        lock(&self.waiting).add(seq, frame);
    }

    /// The counts so far.
    pub(super) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Frames that went to the worker so far.
    pub(super) fn received(&self) -> u64 {
        lock(&self.waiting).received()
    }
}

/// Takes frames as they come back.
pub(super) struct Desk {
    shared: Arc<Shared>,
    lines: Lines,
    feed: Option<Feed>,
    instance_id: String,
    room_id: String,
    /// Of the results, or what they would be.
    kind: String,
    /// The format of the pictures.
    info: Option<gst_video::VideoInfo>,
    /// Losses that have their lines.
    known: BTreeMap<String, u64>,
}

impl Desk {
    pub(super) fn new(config: &Config, shared: Arc<Shared>, lines: Lines, feed: Option<Feed>) -> Self {
        let kind = match config.models.person_detector.detector {
            Detector::Motion => "motion_detection",
            _ => meta::PERSON,
        };
        Self {
            shared,
            lines,
            feed,
            instance_id: config.instance_id.clone(),
            room_id: config.room_id.clone(),
            kind: kind.to_owned(),
            info: None,
            known: BTreeMap::new(),
        }
    }

    /// The format of the frames from now on.
    ///
    /// # Errors
    /// It is not one of video.
    pub(super) fn format(&mut self, caps: &gst::CapsRef) -> Result<(), String> {
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|error| format!("{caps}: {error}"))?;
        if let Some(feed) = &mut self.feed
            && self.info.as_ref() != Some(&info)
        {
            feed.format(&caps.to_owned(), &info);
        }
        self.info = Some(info);
        Ok(())
    }

    /// A frame with its result.
    ///
    /// # Errors
    /// The result is none, or it or the picture cannot be written.
    pub(super) fn result(&mut self, frame: Frame) -> Result<(), String> {
        let seq = meta::frame(&frame.buffer).map(|info| info.seq).ok_or("a frame came back without its number")?;
        let lost = lock(&self.shared.waiting).back(seq);
        let by_cause: BTreeMap<_, _> = meta::inferences(&frame.buffer).into_iter().flat_map(|i| i.lost).collect();
        self.lose(lost, &by_cause)?;
        let reports = orionmqttsink::reports(&frame.buffer).map_err(|error| error.to_string())?;
        let json = reports.first().ok_or_else(|| format!("frame {seq} came back without a result"))?;
        let report: Report = serde_json::from_slice(json).map_err(|error| format!("frame {seq}: {error}"))?;
        self.lines.write(json, frame.position_ms())?;
        self.kind.clone_from(&report.result.kind);
        lock(&self.shared.tally).result(&report, frame.position_ms(), Instant::now());
        let scene = Scene::of(&frame.buffer);
        self.show(frame, &scene)
    }

    /// No more frames come back; `dropped`: all that the element has dropped, by cause.
    ///
    /// # Errors
    /// As for [`Self::result`].
    pub(super) fn end(&mut self, dropped: &BTreeMap<String, u64>) -> Result<(), String> {
        let lost = lock(&self.shared.waiting).end();
        let rest = waiting::beyond(dropped, &self.known);
        self.lose(lost, &rest)?;
        if let Some(feed) = &self.feed {
            feed.end();
        }
        Ok(())
    }

    fn lose(&mut self, lost: Vec<(u64, Frame)>, by_cause: &BTreeMap<String, u64>) -> Result<(), String> {
        let causes = waiting::causes(by_cause, lost.len());
        for ((seq, frame), cause) in lost.into_iter().zip(causes) {
            let json = lines::gap(&self.instance_id, &self.room_id, &self.kind, cause, seq)?;
            self.lines.write(&json, frame.position_ms())?;
            lock(&self.shared.tally).lost(cause, frame.position_ms(), Instant::now());
            *self.known.entry(cause.as_str().to_owned()).or_default() += 1;
            self.show(frame, &Scene::failed(cause.as_str()))?;
        }
        Ok(())
    }

    fn show(&mut self, mut frame: Frame, scene: &Scene) -> Result<(), String> {
        let (Some(feed), Some(info)) = (&mut self.feed, &self.info) else { return Ok(()) };
        scene.draw(frame.buffer.make_mut(), info)?;
        feed.push(frame)
    }
}
