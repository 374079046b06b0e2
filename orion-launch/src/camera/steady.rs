// SPDX-License-Identifier: MPL-2.0
//! Keeps the times of a camera's frames in order before they reach a decoder.

use std::{
    ops::ControlFlow,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use gst::prelude::*;
use orion_core::timeline::Timeline;
use tracing::debug;

/// Lets times of what passes this pad go on when the media clock of the camera jumps.
pub(super) fn steady(pad: &gst::Pad) {
    let (began, timeline) = (Instant::now(), Mutex::new(Timeline::default()));
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        let arrival = began.elapsed().as_nanos() as u64;
        // Plain numbers: a panic elsewhere leaves them usable.
        let mut timeline = timeline.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => place(&mut timeline, buffer, arrival),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.make_mut().foreach_mut(|mut buffer, _| {
                    place(&mut timeline, &mut buffer, arrival);
                    ControlFlow::Continue(Some(buffer))
                });
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn place(timeline: &mut Timeline, buffer: &mut gst::Buffer, arrival: u64) {
    let Some(pts) = buffer.pts() else { return };
    let offset = timeline.offset();
    let placed = timeline.place(pts.nseconds(), arrival);
    if timeline.offset() != offset {
        debug!("the camera's media clock jumped; {:.3} s are added to its times now", timeline.offset() as f64 / 1e9);
    }
    if placed == pts.nseconds() {
        return;
    }
    let buffer = buffer.make_mut();
    buffer.set_pts(gst::ClockTime::from_nseconds(placed));
    if let Some(dts) = buffer.dts() {
        buffer.set_dts(gst::ClockTime::from_nseconds(dts.nseconds().saturating_add_signed(timeline.offset())));
    }
}
