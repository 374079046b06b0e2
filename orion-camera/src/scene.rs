// SPDX-License-Identifier: MPL-2.0
//! What the test picture shows.

use std::sync::Mutex;

use clap::ValueEnum;
use gst::{PadProbeData, PadProbeReturn, PadProbeType, prelude::*};
use gst_video::{VideoFrameRef, VideoInfo, prelude::*};

use crate::{canvas::Canvas, room::Room};

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
    /// The element that makes it.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Ball => "videotestsrc is-live=true pattern=ball",
            Self::Frozen => "videotestsrc is-live=true pattern=smpte75",
            Self::Black => "videotestsrc is-live=true pattern=black",
            Self::Walk => "videotestsrc is-live=true pattern=black",
            Self::Night => "videotestsrc is-live=true pattern=solid-color foreground-color=0xff181818",
        }
    }

    /// Adds what the element cannot make, to raw frames whose brightness comes first (I420).
    pub(crate) fn play_on(self, pad: &gst::Pad) {
        match self {
            Self::Night => noisy(pad),
            Self::Walk => walked(pad),
            Self::Ball | Self::Frozen | Self::Black => {}
        }
    }
}

/// Adds noise to what passes.
fn noisy(pad: &gst::Pad) {
    let noise = Mutex::new(Noise(1));
    pad.add_probe(PadProbeType::BUFFER, move |_, info| {
        if let (Some(PadProbeData::Buffer(buffer)), Ok(mut noise)) = (&mut info.data, noise.lock())
            && let Ok(mut frame) = buffer.make_mut().map_writable()
        {
            // Two thirds of the bytes are brightness.
            let bright = frame.len() * 2 / 3;
            frame[..bright].iter_mut().for_each(|sample| *sample = sample.saturating_add(noise.next()));
        }
        PadProbeReturn::Ok
    });
}

/// Paints the room over what passes, as it is at the time of each frame.
fn walked(pad: &gst::Pad) {
    let room: Mutex<Option<Room>> = Mutex::new(None);
    pad.add_probe(PadProbeType::BUFFER, move |pad, info| {
        let format = pad.current_caps().and_then(|caps| VideoInfo::from_caps(&caps).ok());
        if let (Some(PadProbeData::Buffer(buffer)), Some(format), Ok(mut room)) = (&mut info.data, format, room.lock())
        {
            let size = (format.width() as usize, format.height() as usize);
            let room = match room.take() {
                Some(known) if known.size() == size => room.insert(known),
                _ => room.insert(Room::new(size.0, size.1)),
            };
            let seconds = buffer.pts().unwrap_or_default().seconds_f64();
            if let Ok(mut frame) = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), &format) {
                write(&room.at(seconds), &mut frame);
            }
        }
        PadProbeReturn::Ok
    });
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
