// SPDX-License-Identifier: MPL-2.0
//! The pipeline that decodes each frame and has it looked at. Nothing in it drops a frame.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use gst::prelude::*;
use gstorion::meta;
use tokio::sync::mpsc;

use super::{
    desk::{Desk, Frame, Shared},
    news::{self, News, Whose},
};
use crate::{
    book::Book,
    config::Config,
    launch,
    source::{self, SourceError},
};

/// Which part of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: gst::ClockTime,
    /// None = until its end.
    pub(super) end: Option<gst::ClockTime>,
}

/// Decodes a recording and has its frames looked at.
pub(super) struct Reader {
    pub(super) pipeline: gst::Pipeline,
    look: gst::Bin,
    desk: Arc<Mutex<Desk>>,
    stop: Arc<AtomicBool>,
    decoded: Arc<AtomicU64>,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    /// Builds it; frames that come back are taken by `desk`.
    ///
    /// # Errors
    /// An element is missing.
    pub(super) fn build(
        file: &Path,
        config: &Config,
        span: Span,
        shared: Arc<Shared>,
        desk: Desk,
        news: mpsc::UnboundedSender<News>,
    ) -> Result<Self, SourceError> {
        let base = "gstreamer1.0-plugins-base";
        let read = source::make("filesrc", "gstreamer1.0")?;
        read.set_property("location", file);
        let decode = source::make("decodebin", base)?;
        let convert = source::make("videoconvert", base)?;
        let format = source::make("capsfilter", "gstreamer1.0")?;
        format.set_property("caps", gst::Caps::builder("video/x-raw").field("format", "I420").build());
        // A recording that was held upright shows persons upright, to the model as well.
        let turn = source::make("videoflip", "gstreamer1.0-plugins-good")?;
        turn.set_property_from_str("video-direction", "auto");
        let look = gst::parse::bin_from_description_with_name(&launch::look(config), true, "look")?;
        let stop = Arc::new(AtomicBool::new(false));
        let desk = Arc::new(Mutex::new(desk));
        let back = take_back(&desk, &look, &news);
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&read, &decode, &convert, &format, &turn, look.upcast_ref(), back.upcast_ref()])?;
        read.link(&decode)?;
        gst::Element::link_many([&convert, &format, &turn, look.upcast_ref(), back.upcast_ref()])?;
        let missing = || gst::glib::bool_error!("an element has no pad");
        let entry = convert.static_pad("sink").ok_or_else(missing)?;
        let decoded = Arc::new(AtomicU64::new(0));
        choose(&entry, span, Arc::clone(&stop), Arc::clone(&decoded));
        let infer = look.by_name(launch::INFER).and_then(|infer| infer.static_pad("sink")).ok_or_else(missing)?;
        note(&infer, shared);
        connect(&decode, &entry, &news);
        news::listen(&pipeline, Whose::Reader, news);
        Ok(Self { pipeline, look, desk, stop, decoded })
    }

    /// Takes no more frames; those that are on their way come back first.
    pub(super) fn finish(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Frames that have not come back by now have no result; false when that cannot be written.
    pub(super) fn give_up(&self) -> impl Future<Output = bool> + use<> {
        let (desk, dropped) = (Arc::clone(&self.desk), dropped(&self.look));
        // It waits for the encoder.
        let ended = tokio::task::spawn_blocking(move || lock(&desk).end(&dropped).is_ok());
        async move { ended.await.unwrap_or(false) }
    }

    /// Frames that were decoded, those before the span included.
    pub(super) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// Length of the recording, if it is known.
    pub(super) fn length(&self) -> Option<gst::ClockTime> {
        self.pipeline.query_duration()
    }

    /// The books of its elements.
    pub(super) fn books(&self) -> Vec<Book> {
        let book = |name: &&str| {
            let element = self.look.by_name(name)?;
            Some(Book::of_stats(name, &element.property::<gst::Structure>("stats")))
        };
        [launch::ROI, launch::INFER].iter().filter_map(book).collect()
    }
}

/// Lets frames of the span in, and ends the stream behind it or when it is to stop.
fn choose(entry: &gst::Pad, span: Span, stop: Arc<AtomicBool>, decoded: Arc<AtomicU64>) {
    entry.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        decoded.fetch_add(1, Ordering::Relaxed);
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let segment = segment.as_ref().and_then(|event| event.segment().downcast_ref::<gst::ClockTime>());
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let time = time.and_then(|time| segment.and_then(|segment| segment.to_stream_time(time)));
        let is_over = time.zip(span.end).is_some_and(|(time, end)| time >= end);
        if is_over || stop.load(Ordering::Acquire) {
            info.flow_res = Err(gst::FlowError::Eos);
            return gst::PadProbeReturn::Handled;
        }
        match time.is_some_and(|time| time < span.start) {
            // With `Drop` GStreamer 1.22 misses the buffer that the bindings have taken already.
            true => gst::PadProbeReturn::Handled,
            false => gst::PadProbeReturn::Ok,
        }
    });
}

/// Notes each frame that goes to the worker.
fn note(infer: &gst::Pad, shared: Arc<Shared>) {
    infer.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer()
            && let Some(frame) = meta::frame(buffer)
        {
            let position = position(pad.sticky_event::<gst::event::Segment>(0).as_ref().map(|e| e.segment()), buffer);
            shared.goes(frame.seq, Frame { buffer: buffer.clone(), position });
        }
        gst::PadProbeReturn::Ok
    });
}

fn position(segment: Option<&gst::Segment>, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    segment?.downcast_ref::<gst::ClockTime>()?.to_stream_time(buffer.pts()?)
}

/// Links the first video stream that is found.
fn connect(decode: &gst::Element, entry: &gst::Pad, news: &mpsc::UnboundedSender<News>) {
    let wanted = entry.downgrade();
    decode.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_video = caps.structure(0).is_some_and(|s| s.name() == "video/x-raw");
        if let Some(entry) = wanted.upgrade().filter(|entry| is_video && !entry.is_linked()) {
            // A stream that cannot be linked is told as an error by the pipeline.
            let _ = pad.link(&entry);
        }
    });
    let (wanted, news) = (entry.downgrade(), news.clone());
    decode.connect_no_more_pads(move |_| {
        if wanted.upgrade().is_some_and(|entry| !entry.is_linked()) {
            let _ = news.send(News::Failed(Whose::Reader, "there is no video in it that can be decoded".to_owned()));
        }
    });
}

/// What takes frames as they come back.
fn take_back(desk: &Arc<Mutex<Desk>>, look: &gst::Bin, news: &mpsc::UnboundedSender<News>) -> gst_app::AppSink {
    let (taker, finisher) = (Arc::clone(desk), Arc::clone(desk));
    let (failed, ended) = (news.clone(), news.clone());
    let look = look.downgrade();
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            take(&taker, sample).map_err(|error| {
                // Nobody listens once it is over.
                let _ = failed.send(News::Failed(Whose::Writer, error));
                gst::FlowError::Error
            })
        })
        .eos(move |_| {
            let dropped = look.upgrade().map(|look| dropped(&look)).unwrap_or_default();
            let end = lock(&finisher).end(&dropped);
            let said = match end {
                Ok(()) => News::Ended(Whose::Reader),
                Err(error) => News::Failed(Whose::Writer, error),
            };
            let _ = ended.send(said);
        })
        .build();
    gst_app::AppSink::builder().sync(false).max_buffers(1).callbacks(callbacks).build()
}

fn take(desk: &Mutex<Desk>, sample: gst::Sample) -> Result<gst::FlowSuccess, String> {
    let mut desk = lock(desk);
    desk.format(sample.caps().ok_or("a frame came back without its format")?)?;
    let buffer = sample.buffer_owned().ok_or("nothing came back")?;
    let position = position(sample.segment(), &buffer);
    // Its reference would make the drawing copy the picture.
    drop(sample);
    desk.result(Frame { buffer, position })?;
    Ok(gst::FlowSuccess::Ok)
}

/// What the worker's element has dropped so far, by cause.
fn dropped(look: &gst::Bin) -> BTreeMap<String, u64> {
    let stats = look.by_name(launch::INFER).map(|infer| infer.property::<gst::Structure>("stats"));
    stats.map(|stats| Book::of_stats(launch::INFER, &stats).dropped).unwrap_or_default()
}
