// SPDX-License-Identifier: MPL-2.0
//! A clip that never ends: its encoded frames as they are, over and over, with time going on.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gst::{ClockTime, prelude::*};
use gst_app::{AppSink, AppSrc};
use thiserror::Error;

use crate::picture::{self, Codec, PictureError};

/// How long reading may stand still before the clip is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an error of the pipeline is looked for meanwhile.
const LOOK: ClockTime = ClockTime::from_mseconds(100);
/// How many frames are looked at to see whether they are out of order.
const PROBE: usize = 100;
/// Frames from one key frame to the next where the clip is encoded again.
const KEY_FRAMES: u32 = 25;
/// Length of a frame where the clip does not say.
const FRAME: ClockTime = ClockTime::from_mseconds(40);

/// Why a clip cannot be served.
#[derive(Debug, Error)]
pub(crate) enum ClipError {
    #[error("--clip {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("--clip {}: {reason}", path.display())]
    NotUsable { path: PathBuf, reason: String },
    #[error("element {name} is missing; try `apt install {package}`")]
    Missing { name: &'static str, package: &'static str },
    #[error("the clip has to be encoded again: {0}")]
    Encoder(PictureError),
}

/// A clip that was opened once to see what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    path: PathBuf,
    launch: String,
}

impl Clip {
    /// Opens the clip and decides how it is served.
    pub(crate) fn open(path: &Path) -> Result<Self, ClipError> {
        std::fs::File::open(path).map_err(|error| ClipError::Unreadable { path: path.to_owned(), error })?;
        let mut reader = Reader::open(path)?;
        // Cameras send frames in the order in which they are shown, and receivers rely on it: those of GStreamer 1.22 take
        // wrong times from a stream with B-frames. Such a clip is encoded again, others are sent as they are.
        let steps = if reader.is_reordered()? {
            let encoder = picture::encoder(Codec::H264, KEY_FRAMES).map_err(ClipError::Encoder)?;
            format!("{} ! videoconvert ! {encoder}", reader.codec.decoder())
        } else {
            reader.codec.payloader().to_owned()
        };
        let launch =
            format!("( appsrc name=clip is-live=true format=time block=true max-buffers=30 max-bytes=0 ! {steps} )");
        Ok(Self { path: path.to_owned(), launch })
    }

    /// The launch text of an RTSP media; its `appsrc` is called `clip` and wants to be fed by [`Clip::feed`].
    pub(crate) fn launch(&self) -> &str {
        &self.launch
    }

    /// Feeds the clip to `appsrc` until that no longer takes frames. Blocks at the speed at which frames are taken.
    pub(crate) fn feed(&self, appsrc: &AppSrc) -> Result<(), ClipError> {
        let mut reader = Reader::open(&self.path)?;
        appsrc.set_caps(Some(&reader.caps));
        let mut timeline = Timeline::default();
        loop {
            let Some(sample) = reader.next()? else {
                timeline.next_round();
                reader.rewind()?;
                continue;
            };
            let Some(mut buffer) = sample.buffer_owned() else {
                continue;
            };
            let Some(time) = buffer.pts().or(buffer.dts()) else {
                continue;
            };
            let shown = timeline.place(time, buffer.duration());
            let frame = buffer.make_mut();
            frame.set_pts(shown);
            frame.set_dts(ClockTime::NONE);
            if appsrc.push_buffer(buffer).is_err() {
                return Ok(());
            }
        }
    }
}

/// Puts the rounds of a clip one after the other on one time line.
#[derive(Debug, Default)]
struct Timeline {
    offset: ClockTime,
    first: Option<ClockTime>,
    end: ClockTime,
}

impl Timeline {
    /// When a frame is to be shown, given its time within the clip.
    fn place(&mut self, time: ClockTime, duration: Option<ClockTime>) -> ClockTime {
        // A clip begins with a key frame, which is shown first; clips may start later than at zero.
        let first = *self.first.get_or_insert(time);
        let shown = self.offset + time.saturating_sub(first);
        self.end = self.end.max(shown + duration.filter(|d| *d > ClockTime::ZERO).unwrap_or(FRAME));
        shown
    }

    fn next_round(&mut self) {
        self.offset = self.end;
    }
}

/// Reads the encoded frames of a clip.
struct Reader {
    path: PathBuf,
    pipeline: gst::Pipeline,
    sink: AppSink,
    caps: gst::Caps,
    codec: Codec,
    first: Option<gst::Sample>,
    frames: u64,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Reader {
    fn open(path: &Path) -> Result<Self, ClipError> {
        let source = make("filesrc", "libgstreamer1.0-0")?;
        source.set_property("location", path);
        let parse = make("parsebin", "gstreamer1.0-plugins-base")?;
        let sink = AppSink::builder().sync(false).max_buffers(30).build();
        let pipeline = gst::Pipeline::new();
        let unusable = |reason: String| ClipError::NotUsable { path: path.to_owned(), reason };
        pipeline
            .add_many([&source, &parse, sink.upcast_ref()])
            .and_then(|()| source.link(&parse))
            .map_err(|error| unusable(error.to_string()))?;
        let target = sink.clone();
        parse.connect_pad_added(move |_, pad| {
            // Newer GStreamer shows pads before their caps are said.
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let video = caps.structure(0).map(|caps| caps.name().starts_with("video/"));
            // Of several video tracks the first is served; sound is left out.
            if video == Some(true)
                && let Some(into) = target.static_pad("sink").filter(|into| !into.is_linked())
            {
                // A refused link shows as an error of the pipeline, which is told below.
                let _ = pad.link(&into);
            }
        });
        // From here on the pipeline is stopped when this function fails, by Drop.
        let mut reader = Self {
            path: path.to_owned(),
            pipeline,
            sink,
            caps: gst::Caps::new_empty(),
            codec: Codec::H264,
            first: None,
            frames: 0,
        };
        reader
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| reader.unusable(reader.error().unwrap_or_else(|| "it cannot be opened".into())))?;
        let first = reader.next()?.ok_or_else(|| unusable("it holds no picture".into()))?;
        reader.caps = first.caps_owned().unwrap_or_else(gst::Caps::new_empty);
        let media_type = reader.caps.structure(0).map_or("unknown", |s| s.name().as_str()).to_owned();
        reader.codec = Codec::from_media_type(&media_type)
            .ok_or_else(|| unusable(format!("its codec is {media_type}, only H.264 and H.265 can be served")))?;
        reader.first = Some(first);
        Ok(reader)
    }

    /// The next frame; none at the clip's end.
    fn next(&mut self) -> Result<Option<gst::Sample>, ClipError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            if let Some(sample) = self.sink.try_pull_sample(LOOK) {
                self.frames += 1;
                return Ok(Some(sample));
            }
            if self.sink.is_eos() && self.frames > 0 {
                return Ok(None);
            }
            if let Some(reason) = self.error() {
                return Err(self.unusable(reason));
            }
            if self.sink.is_eos() {
                return Err(self.unusable("it holds no video".into()));
            }
            if Instant::now() > deadline {
                return Err(self.unusable(format!("nothing could be read within {} s", READ_TIMEOUT.as_secs())));
            }
        }
    }

    /// Whether frames are shown in another order than they are decoded in.
    fn is_reordered(&mut self) -> Result<bool, ClipError> {
        let mut last = None;
        for _ in 0..PROBE {
            let Some(sample) = self.next()? else { break };
            let shown = sample.buffer().and_then(|buffer| buffer.pts());
            if shown.is_some() && shown < last {
                return Ok(true);
            }
            last = last.max(shown);
        }
        Ok(false)
    }

    fn rewind(&mut self) -> Result<(), ClipError> {
        self.frames = 0;
        self.pipeline
            .seek_simple(gst::SeekFlags::FLUSH, ClockTime::ZERO)
            .map_err(|_| self.unusable("it cannot be rewound".into()))
    }

    /// The error on the pipeline's bus.
    fn error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    }

    fn unusable(&self, reason: String) -> ClipError {
        ClipError::NotUsable { path: self.path.clone(), reason }
    }
}

fn make(name: &'static str, package: &'static str) -> Result<gst::Element, ClipError> {
    gst::ElementFactory::make(name).build().map_err(|_| ClipError::Missing { name, package })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_follow_each_other_without_gap() {
        let ms = ClockTime::from_mseconds;
        let mut timeline = Timeline::default();
        let mut shown = Vec::new();
        for _ in 0..3 {
            // In the order of decoding: a key frame at 140 ms, then one that is shown after the two that follow it.
            for time in [140, 260, 180, 220] {
                shown.push(timeline.place(ms(time), Some(ms(40))).mseconds());
            }
            timeline.next_round();
        }
        assert_eq!(shown[..6], [0, 120, 40, 80, 160, 280]);
        shown.sort_unstable();
        assert_eq!(shown, (0..12).map(|n| n * 40).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_clip_is_refused_with_its_name() {
        gst::init().unwrap();
        let missing = Clip::open(Path::new("/nowhere/x.mp4")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/x.mp4") && missing.contains("No such file"), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a clip\n".repeat(50)).unwrap();
        let error = Clip::open(file.path()).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    }
}
