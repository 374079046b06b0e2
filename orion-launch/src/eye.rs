// SPDX-License-Identifier: MPL-2.0
//! What a few lines of the camera's pictures tell: frozen, black, or something new. Nothing is copied but these lines' statistics.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gst_video::{VideoFormatFlags, VideoFormatInfo, VideoFrameRef, VideoInfo, prelude::*};
use orion_core::picture::{self, Flaw, Luma, News, Watcher};

/// Pictures that are looked at a second at most: 5.
const STEP: Duration = Duration::from_millis(200);

/// The time of frames, of looks, and of everything that is told from them: the host's monotonic clock, as on the buffers.
pub(crate) fn now() -> Duration {
    Duration::from_nanos(gst::get_timestamp().nseconds())
}

/// Looks at the pictures that pass a pad.
#[derive(Debug, Default)]
pub(crate) struct Eye(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Where brightness stands in the frames; none = nowhere that we know.
    luma: Option<Lines>,
    watcher: Watcher,
    news: News,
    last: Option<Duration>,
    frozen_after: Duration,
    black_after: Duration,
    told: bool,
}

/// Frames of which the brightness can be read line by line.
#[derive(Debug, Clone)]
struct Lines {
    info: VideoInfo,
    /// The plane of brightness, the first sample of a line, and the distance from one to the next, bytes.
    plane: usize,
    offset: usize,
    step: usize,
}

impl Eye {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After how long a picture is frozen or black; zero = not looked for. To be said before the first frame.
    pub(crate) fn look_for(&self, frozen_after: Duration, black_after: Duration) {
        let mut state = self.lock();
        (state.frozen_after, state.black_after) = (frozen_after, black_after);
        if frozen_after.is_zero() && black_after.is_zero() && state.last.is_some() {
            // Nobody looks any more: what was new until now says nothing of the frames to come.
            (state.watcher, state.news, state.last) = (Watcher::default(), News::default(), None);
        }
    }

    /// Frames of this kind follow.
    pub(crate) fn caps(&self, caps: &gst::CapsRef) {
        let mut state = self.lock();
        state.luma = Lines::of(caps);
        if state.luma.is_none() && !std::mem::replace(&mut state.told, true) {
            tracing::debug!("frozen and black pictures are not told: no brightness can be read from {caps}");
        }
    }

    /// A frame has come. Cheap, and called on its streaming thread.
    pub(crate) fn frame(&self, now: Duration, buffer: &gst::BufferRef) {
        let mut state = self.lock();
        let (frozen, black) = (state.frozen_after, state.black_after);
        let due = state.last.is_none_or(|last| now.saturating_sub(last) >= STEP);
        if !due || (frozen.is_zero() && black.is_zero()) {
            return;
        }
        let Some(luma) = state.luma.as_ref().and_then(|lines| lines.luma(buffer)) else { return };
        state.last = Some(now);
        state.watcher.frame(now, &luma);
        if state.watcher.is_news(frozen, black) {
            state.news.at(now);
        }
    }

    /// What is wrong with the picture, as of the newest frame.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        let state = self.lock();
        state.luma.as_ref().and_then(|_| state.watcher.flaw(state.frozen_after, state.black_after))
    }

    /// Since when there was to be seen what a frame of time `at` shows; none = that is not known.
    pub(crate) fn new_at(&self, at: Duration) -> Option<Duration> {
        let state = self.lock();
        // Where pictures are not looked at, each frame is taken for a new one.
        if state.last.is_none() || state.luma.is_none() { Some(at) } else { state.news.of(at) }
    }
}

impl Lines {
    /// None for formats whose brightness is no row of bytes, and for frames that are not in the main memory.
    fn of(caps: &gst::CapsRef) -> Option<Self> {
        let system = caps.features(0).is_none_or(|features| features.contains("memory:SystemMemory"));
        let info = VideoInfo::from_caps(caps).ok().filter(|_| system)?;
        let (plane, offset, step) = place(info.format_info())?;
        Some(Self { info, plane, offset, step })
    }

    fn luma(&self, buffer: &gst::BufferRef) -> Option<Luma> {
        let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &self.info).ok()?;
        let data = frame.plane_data(self.plane as u32).ok()?;
        let stride = usize::try_from(*frame.plane_stride().get(self.plane)?).ok()?;
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let rows = picture::rows(height).filter_map(|row| {
            let start = row * stride + self.offset;
            data.get(start..start + width.saturating_sub(1) * self.step + 1)
        });
        // Beside each other the samples are read where they are; otherwise a line is gathered first.
        Some(match self.step {
            1 => Luma::of(rows),
            step => {
                let lines: Vec<Vec<u8>> = rows.map(|row| row.iter().step_by(step).copied().collect()).collect();
                Luma::of(lines.iter().map(Vec::as_slice))
            }
        })
    }
}

/// Where the brightness of a format stands: plane, offset and distance of samples, bytes.
fn place(format: VideoFormatInfo) -> Option<(usize, usize, usize)> {
    let odd = VideoFormatFlags::COMPLEX | VideoFormatFlags::TILED;
    let bright = format.is_yuv() || format.is_gray();
    if !bright || format.flags().intersects(odd) || format.depth().first() != Some(&8) {
        return None;
    }
    let step = usize::try_from(*format.pixel_stride().first()?).ok().filter(|step| *step > 0)?;
    Some((*format.plane().first()? as usize, *format.poffset().first()? as usize, step))
}

#[cfg(test)]
mod tests {
    use gst_video::VideoFormat;

    use super::*;

    const W: u32 = 16;
    const H: u32 = 32;

    fn caps(format: &str) -> gst::Caps {
        let builder = gst::Caps::builder("video/x-raw").field("format", format);
        let builder = builder.field("width", W as i32).field("height", H as i32);
        builder.field("framerate", gst::Fraction::new(5, 1)).build()
    }

    /// A frame with this brightness everywhere, and every other component at its own value.
    fn frame(caps: &gst::Caps, bright: u8) -> gst::Buffer {
        let info = VideoInfo::from_caps(caps).unwrap();
        let (plane, offset, step) = place(info.format_info()).unwrap();
        let mut bytes = vec![200u8; info.size()];
        for row in 0..H as usize {
            for x in 0..W as usize {
                bytes[info.offset()[plane] + row * info.stride()[plane] as usize + offset + x * step] = bright;
            }
        }
        gst::Buffer::from_slice(bytes)
    }

    fn s(tenths: u64) -> Duration {
        Duration::from_millis(100 * tenths)
    }

    #[test]
    fn brightness_is_found_wherever_it_stands() {
        gst::init().unwrap();
        for format in ["GRAY8", "I420", "YV12", "NV12", "NV21", "Y42B", "Y444", "YUY2", "UYVY", "AYUV"] {
            let eye = Eye::default();
            eye.look_for(s(20), s(20));
            let caps = caps(format);
            eye.caps(&caps);
            for n in 0..50 {
                eye.frame(s(n), &frame(&caps, 16));
            }
            assert_eq!(eye.flaw(), Some(Flaw::Black), "{format}: the colours are not black");
            assert_eq!(eye.new_at(s(50)), None, "{format}");
            for n in 50..60 {
                eye.frame(s(n), &frame(&caps, 90));
            }
            assert_eq!((eye.flaw(), eye.new_at(s(60))), (None, Some(s(50))), "{format}");
            for n in 60..80 {
                eye.frame(s(n), &frame(&caps, 90));
            }
            assert_eq!((eye.flaw(), eye.new_at(s(80))), (Some(Flaw::Frozen), Some(s(50))), "{format}");
        }
    }

    #[test]
    fn each_frame_is_new_from_when_nothing_is_looked_for_any_more() {
        gst::init().unwrap();
        let (eye, caps) = (Eye::default(), caps("I420"));
        eye.caps(&caps);
        eye.look_for(s(20), s(20));
        for n in 0..50 {
            eye.frame(s(n), &frame(&caps, 90));
        }
        assert_eq!((eye.flaw(), eye.new_at(s(50))), (Some(Flaw::Frozen), Some(s(0))));
        eye.look_for(Duration::ZERO, Duration::ZERO);
        for n in 50..100 {
            eye.frame(s(n), &frame(&caps, 90));
        }
        assert_eq!((eye.flaw(), eye.new_at(s(99))), (None, Some(s(99))));
        eye.look_for(s(20), s(20));
        eye.frame(s(100), &frame(&caps, 90));
        eye.frame(s(102), &frame(&caps, 90));
        assert_eq!(eye.flaw(), None, "nobody has looked at what was before");
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        gst::init().unwrap();
        assert!(place(VideoFormatInfo::from_format(VideoFormat::I42010le)).is_none());
        for caps in [caps("RGB"), caps("I420_10LE"), gst::Caps::builder("image/jpeg").build()] {
            let eye = Eye::default();
            eye.look_for(s(20), s(20));
            eye.caps(&caps);
            for n in 0..100 {
                eye.frame(s(n), &gst::Buffer::from_slice([0u8; 10]));
            }
            assert_eq!((eye.flaw(), eye.new_at(s(70))), (None, Some(s(70))), "{caps}");
        }
        let (eye, caps) = (Eye::default(), caps("I420"));
        eye.caps(&caps);
        for n in 0..100 {
            eye.frame(s(n), &frame(&caps, 16));
        }
        assert_eq!((eye.flaw(), eye.new_at(s(70))), (None, Some(s(70))), "not looked for");
        eye.look_for(s(20), s(20));
        eye.frame(s(100), &gst::Buffer::from_slice([0u8; 10]));
        assert_eq!(eye.flaw(), None, "a frame that is too short");
    }
}
