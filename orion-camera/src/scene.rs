// SPDX-License-Identifier: MPL-2.0
//! What the test picture shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use gst::{PadProbeData, PadProbeReturn, PadProbeType, glib, prelude::*};
use gst_video::{VideoFrameRef, VideoInfo, prelude::*};
use thiserror::Error;

use crate::{canvas::Canvas, room::Room};

/// The element that makes the picture.
const SOURCE: &str = "scene";

/// What is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// A ball that moves.
    Ball,
    /// The same picture for ever, to the last bit.
    Frozen,
    /// Nothing but black.
    Black,
    /// A drawn room through which a person walks now and then.
    Walk,
    /// A dark room in which nothing moves but the sensor's noise.
    Night,
}

impl Pattern {
    /// The pattern and the colour of the element that makes it.
    fn settings(self) -> (&'static str, u32) {
        match self {
            Self::Ball => ("ball", 0xffff_ffff),
            Self::Frozen => ("smpte75", 0xffff_ffff),
            Self::Black | Self::Walk => ("black", 0xffff_ffff),
            Self::Night => ("solid-color", 0xff18_1818),
        }
    }

    fn play_on(self, source: &gst::Element) {
        let (pattern, colour) = self.settings();
        source.set_property_from_str("pattern", pattern);
        source.set_property("foreground-color", colour);
    }
}

/// What cannot be shown.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" on standard input is neither \"freeze\" nor \"show\" with one of: {names}", names = names())]
pub(crate) struct OrderError(String);

fn names() -> String {
    let names = Pattern::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    names.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// What is to be seen on from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Show(Pattern),
    /// The picture of this moment, again and again.
    Freeze,
}

impl Order {
    fn read(line: &str) -> Result<Self, OrderError> {
        let words: Vec<_> = line.split_whitespace().collect();
        let order = match words[..] {
            ["freeze"] => Some(Self::Freeze),
            ["show", name] => Pattern::from_str(name, false).ok().map(Self::Show),
            _ => None,
        };
        order.ok_or_else(|| OrderError(line.trim().to_owned()))
    }
}

#[derive(Debug)]
struct State {
    pattern: Pattern,
    frozen: bool,
    /// The last picture, while nothing is frozen; the frozen one then.
    last: Option<gst::Buffer>,
    noise: Noise,
    /// Where somebody walks, in the size of the last picture of it.
    room: Option<Room>,
    /// The element that makes the picture now, while somebody looks.
    source: glib::WeakRef<gst::Element>,
}

/// What the test picture shows, now and to whoever looks later; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Scene(Arc<Mutex<State>>);

impl Scene {
    pub(crate) fn new(pattern: Pattern) -> Self {
        let (noise, source) = (Noise(1), glib::WeakRef::new());
        Self(Arc::new(Mutex::new(State { pattern, frozen: false, last: None, noise, room: None, source })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The element that makes it.
    pub(crate) fn launch() -> String {
        format!("videotestsrc is-live=true name={SOURCE}")
    }

    /// Follows a line of standard input.
    ///
    /// # Errors
    /// It is none of those that are understood.
    pub(crate) fn order(&self, line: &str) -> Result<(), OrderError> {
        let order = Order::read(line)?;
        let mut state = self.lock();
        state.frozen = order == Order::Freeze;
        if let Order::Show(pattern) = order {
            state.pattern = pattern;
            if let Some(source) = state.source.upgrade() {
                pattern.play_on(&source);
            }
        }
        Ok(())
    }

    /// Plays in a new media, on raw frames whose brightness comes first (I420) that leave by this pad.
    pub(crate) fn play_in(&self, media: &gst::Bin, pad: &gst::Pad) {
        let mut state = self.lock();
        if let Some(source) = media.by_name(SOURCE) {
            state.pattern.play_on(&source);
            state.source = source.downgrade();
        }
        drop(state);
        let scene = self.clone();
        pad.add_probe(PadProbeType::BUFFER, move |pad, info| {
            if let Some(PadProbeData::Buffer(buffer)) = &mut info.data {
                let format = pad.current_caps().and_then(|caps| VideoInfo::from_caps(&caps).ok());
                scene.lock().paint(buffer, format.as_ref());
            }
            PadProbeReturn::Ok
        });
    }
}

impl State {
    fn paint(&mut self, buffer: &mut gst::Buffer, format: Option<&VideoInfo>) {
        // One of another size cannot be shown again.
        let kept = self.last.as_ref().filter(|last| self.frozen && last.size() == buffer.size());
        if let Some(kept) = kept {
            let mut again = kept.copy();
            if let Some(again) = again.get_mut()
                && buffer.copy_into(again, gst::BufferCopyFlags::TIMESTAMPS, ..).is_ok()
            {
                *buffer = again.to_owned();
            }
            return;
        }
        match (self.pattern, format) {
            (Pattern::Night, _) => self.make_noisy(buffer),
            (Pattern::Walk, Some(format)) => self.walk(buffer, format),
            _ => {}
        }
        self.last = Some(buffer.clone());
    }

    fn make_noisy(&mut self, buffer: &mut gst::Buffer) {
        if let Ok(mut frame) = buffer.make_mut().map_writable() {
            // Two thirds of the bytes are brightness.
            let bright = frame.len() * 2 / 3;
            frame[..bright].iter_mut().for_each(|sample| *sample = sample.saturating_add(self.noise.next()));
        }
    }

    /// Paints the room over the picture, as it is at its time.
    fn walk(&mut self, buffer: &mut gst::Buffer, format: &VideoInfo) {
        let size = (format.width() as usize, format.height() as usize);
        let room = match self.room.take() {
            Some(known) if known.size() == size => self.room.insert(known),
            _ => self.room.insert(Room::new(size.0, size.1)),
        };
        let seconds = buffer.pts().unwrap_or_default().seconds_f64();
        if let Ok(mut frame) = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), format) {
            write(&room.at(seconds), &mut frame);
        }
    }
}

/// A picture as I420.
fn write(canvas: &Canvas, frame: &mut VideoFrameRef<&mut gst::BufferRef>) {
    let [luma, blue, red] = [0, 1, 2].map(|plane| frame.plane_stride()[plane] as usize);
    if let Ok(plane) = frame.plane_data_mut(0) {
        plane.chunks_mut(luma).take(canvas.size().1).enumerate().for_each(|(y, row)| canvas.row_luma(y, row));
    }
    let [.., u, v] = frame.planes_data_mut();
    let rows = u.chunks_mut(blue).zip(v.chunks_mut(red)).take(canvas.size().1 / 2);
    rows.enumerate().for_each(|(n, (blue, red))| canvas.row_chroma(2 * n, blue, red));
}

/// Faint noise: 0..3 of 255, another one in each frame.
#[derive(Debug)]
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u8 {
        // Xorshift (Marsaglia, 2003): quick, and nothing here needs better.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 & 3) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_words_and_others_are_named() {
        assert_eq!(Order::read("show  black\n"), Ok(Order::Show(Pattern::Black)));
        assert_eq!(Order::read("freeze"), Ok(Order::Freeze));
        let error = Order::read("show me\n").unwrap_err().to_string();
        assert!(error.contains("\"show me\"") && error.ends_with("ball, frozen, black, walk, night"), "{error}");
    }

    #[test]
    fn what_is_frozen_is_shown_again_with_the_times_of_now() {
        gst::init().unwrap();
        let scene = Scene::new(Pattern::Ball);
        let frame = |byte: u8, ms| {
            let mut buffer = gst::Buffer::from_slice([byte; 6]);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(ms));
            scene.lock().paint(&mut buffer, None);
            (buffer.map_readable().unwrap()[0], buffer.pts().unwrap().mseconds())
        };
        assert_eq!(frame(1, 10), (1, 10));
        scene.order("freeze").unwrap();
        assert_eq!((frame(2, 20), frame(3, 30)), ((1, 20), (1, 30)));
        scene.order("show ball").unwrap();
        assert_eq!(frame(4, 40), (4, 40));
    }

    #[test]
    fn noise_is_faint_and_goes_on() {
        let mut noise = Noise(1);
        let samples: Vec<_> = (0..4000).map(|_| noise.next()).collect();
        for value in 0..4 {
            let share = samples.iter().filter(|sample| **sample == value).count();
            assert!((800..1200).contains(&share), "{value}: {share}");
        }
        assert_ne!(samples[..1000], samples[1000..2000]);
    }
}
