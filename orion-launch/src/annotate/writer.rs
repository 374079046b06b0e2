// SPDX-License-Identifier: MPL-2.0
//! The pipeline that encodes the pictures.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use gst::prelude::*;
use tokio::sync::mpsc;

use super::{
    desk::Frame,
    news::{self, News, Whose},
    places::with_suffix,
};
use crate::source::{self, SourceError};

/// Quality of the pictures: the quantizer at constant rate factor, 0 (lossless) to 50; at this one losses are hardly seen.
const QUALITY: u32 = 20;
/// Frames from one that can be jumped to, to the next, at most.
const KEY_DISTANCE: u32 = 60;
/// Frames that wait for the encoder at most.
const AHEAD: u64 = 4;

/// Encodes into a file.
pub(super) struct Writer {
    pub(super) pipeline: gst::Pipeline,
    feed: gst_app::AppSrc,
    crop: gst::Element,
    same: gst::Element,
    encoded: Arc<AtomicU64>,
    news: mpsc::UnboundedSender<News>,
}

impl Writer {
    /// Builds it; the file is made when it starts.
    ///
    /// # Errors
    /// An element is missing.
    pub(super) fn build(file: &Path, news: mpsc::UnboundedSender<News>) -> Result<Self, SourceError> {
        let feed = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .max_buffers(AHEAD)
            .max_bytes(0)
            .max_time(gst::ClockTime::ZERO)
            .block(true)
            .build();
        let base = "gstreamer1.0-plugins-base";
        let convert = source::make("videoconvert", base)?;
        // The encoder wants even sides: of an odd one, the last column or row is left out.
        let crop = source::make("videocrop", "gstreamer1.0-plugins-good")?;
        // One file has pictures of one size: what comes in another one later is fitted into that.
        let scale = source::make("videoscale", base)?;
        let same = source::make("capsfilter", "gstreamer1.0")?;
        let encoder = source::make("x264enc", "gstreamer1.0-plugins-ugly")?;
        encoder.set_property_from_str("pass", "qual");
        encoder.set_property_from_str("speed-preset", "veryfast");
        encoder.set_property("quantizer", QUALITY);
        encoder.set_property("key-int-max", KEY_DISTANCE);
        // mp4mux measures the file by the order of coding: with these and times at odd distances players leave out the last frames.
        encoder.set_property("bframes", 0_u32);
        // The quality is what counts: no limit of the rate.
        encoder.set_property("vbv-buf-capacity", 0_u32);
        let parse = source::make("h264parse", "gstreamer1.0-plugins-bad")?;
        let mux = source::make("mp4mux", "gstreamer1.0-plugins-good")?;
        // Players and browsers then begin before they have all of it.
        mux.set_property("faststart", true);
        mux.set_property("faststart-file", with_suffix(file, ".data").to_string_lossy().as_ref());
        let sink = source::make("filesink", "gstreamer1.0")?;
        sink.set_property("location", file.to_string_lossy().as_ref());
        sink.set_property("async", false);
        let pipeline = gst::Pipeline::new();
        let elements = [feed.upcast_ref(), &convert, &crop, &scale, &same, &encoder, &parse, &mux, &sink];
        pipeline.add_many(elements)?;
        gst::Element::link_many(elements)?;
        let encoded = Arc::new(AtomicU64::new(0));
        if let Some(pad) = encoder.static_pad("src") {
            let count = Arc::clone(&encoded);
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
        news::listen(&pipeline, Whose::Writer, news.clone());
        Ok(Self { pipeline, feed, crop, same, encoded, news })
    }

    /// Where frames go in.
    pub(super) fn feed(&self) -> Feed {
        let (source, crop, same) = (self.feed.clone(), self.crop.clone(), self.same.clone());
        Feed { source, crop, same, rate: None, first: None, news: self.news.clone() }
    }

    /// Pictures that came out of the encoder.
    pub(super) fn encoded(&self) -> u64 {
        self.encoded.load(Ordering::Relaxed)
    }
}

/// Where frames go into the encoder.
pub(super) struct Feed {
    source: gst_app::AppSrc,
    crop: gst::Element,
    same: gst::Element,
    /// That of the first frames, frames a second.
    rate: Option<gst::Fraction>,
    first: Option<gst::ClockTime>,
    news: mpsc::UnboundedSender<News>,
}

impl Feed {
    /// The format of the frames from now on.
    pub(super) fn format(&mut self, caps: &gst::Caps, info: &gst_video::VideoInfo) {
        let (right, bottom) = (info.width() % 2, info.height() % 2);
        self.crop.set_property("right", right as i32);
        self.crop.set_property("bottom", bottom as i32);
        if self.rate.is_none() {
            let same = gst_video::VideoCapsBuilder::new()
                .width((info.width() - right) as i32)
                .height((info.height() - bottom) as i32)
                .pixel_aspect_ratio(info.par())
                .field("colorimetry", info.colorimetry().to_string())
                .build();
            self.same.set_property("caps", same);
        }
        // Each frame has its time; another rate would begin a stream of its own, which the file cannot hold.
        let rate = *self.rate.get_or_insert(info.fps());
        let mut caps = caps.clone();
        caps.make_mut().set("framerate", rate);
        self.source.set_caps(Some(&caps));
    }

    /// Gives a frame away; waits while the encoder has enough. The first one begins the time.
    ///
    /// # Errors
    /// The encoder has ended.
    pub(super) fn push(&mut self, frame: Frame) -> Result<(), String> {
        let mut buffer = frame.buffer;
        let first = *self.first.get_or_insert(frame.position.unwrap_or(gst::ClockTime::ZERO));
        let time = buffer.make_mut();
        time.set_pts(frame.position.map(|position| position.saturating_sub(first)));
        time.set_dts(gst::ClockTime::NONE);
        self.source.push_buffer(buffer).map(drop).map_err(|_| "the encoder has ended".to_owned())
    }

    /// No more frames come.
    pub(super) fn end(&self) {
        if self.first.is_some() {
            // It may have ended by itself, which it tells.
            let _ = self.source.end_of_stream();
        } else {
            // mp4mux stumbles over an end without a format. Nobody listens once it is over.
            let _ = self.news.send(News::Ended(Whose::Writer));
        }
    }
}
