// SPDX-License-Identifier: MPL-2.0
//! Where frames are taken from: probes at the sinks, there only while somebody watches.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use gst::prelude::*;

use super::{inbox::Inbox, shot::Taken};

/// Probes by camera; they go with this value.
#[derive(Debug)]
pub(super) struct Taps {
    inbox: Arc<Inbox<Taken>>,
    cameras: BTreeMap<String, Vec<Tap>>,
}

#[derive(Debug)]
struct Tap {
    pad: gst::Pad,
    probe: Option<gst::PadProbeId>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(probe) = self.probe.take() {
            self.pad.remove_probe(probe);
        }
    }
}

impl Tap {
    fn new(camera: &str, pad: gst::Pad, inbox: &Arc<Inbox<Taken>>) -> Self {
        let (camera, inbox) = (camera.to_owned(), Arc::clone(inbox));
        let probe = pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer() {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let at = (gst::get_timestamp().nseconds(), u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX));
                // Nothing is copied here but a reference.
                inbox.offer(&camera, Taken { buffer: buffer.clone(), caps: pad.current_caps(), at });
            }
            gst::PadProbeReturn::Ok
        });
        Self { pad, probe }
    }
}

impl Taps {
    pub(super) fn new(inbox: &Arc<Inbox<Taken>>) -> Self {
        Self { inbox: Arc::clone(inbox), cameras: BTreeMap::new() }
    }

    /// Taps these cameras' sinks and no others.
    pub(super) fn set(&mut self, wanted: &[(String, Vec<gst::Element>)]) {
        let pads = |sinks: &[gst::Element]| sinks.iter().filter_map(|sink| sink.static_pad("sink")).collect::<Vec<_>>();
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(camera, sinks)| (camera, pads(sinks))).collect();
        // A camera that was connected anew after a failure has other elements under the same name.
        self.cameras.retain(|camera, taps| {
            wanted.get(camera).is_some_and(|pads| pads.iter().eq(taps.iter().map(|tap| &tap.pad)))
        });
        for (camera, pads) in wanted {
            if !self.cameras.contains_key(camera) {
                let taps = pads.into_iter().map(|pad| Tap::new(camera, pad, &self.inbox)).collect();
                self.cameras.insert(camera.clone(), taps);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_only_while_a_tap_is_there() {
        gst::init().unwrap();
        let inbox = Arc::new(Inbox::default());
        let source = gst_check_source();
        let (src, sink) = (source.static_pad("src").unwrap(), gst::ElementFactory::make("fakesink").build().unwrap());
        sink.set_property("async", false);
        source.link(&sink).unwrap();
        let push = || {
            source.set_state(gst::State::Playing).unwrap();
            src.push(gst::Buffer::new()).unwrap();
        };
        sink.set_state(gst::State::Playing).unwrap();
        source.set_state(gst::State::Playing).unwrap();
        src.push_event(gst::event::StreamStart::new("x"));
        src.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        push();
        let mut taps = Taps::new(&inbox);
        let all = [("a".to_owned(), vec![sink.clone()])];
        taps.set(&all);
        taps.set(&all);
        push();
        assert_eq!(inbox.take().unwrap().0, "a");
        taps.set(&[]);
        push();
        taps.set(&all);
        drop(taps);
        push();
        inbox.offer("z", Taken { buffer: gst::Buffer::new(), caps: None, at: (0, 0) });
        assert_eq!(inbox.take().unwrap().0, "z", "nothing was taken in between");
        for element in [source, sink] {
            element.set_state(gst::State::Null).unwrap();
        }
    }

    /// An element whose source pad the test pushes into.
    fn gst_check_source() -> gst::Element {
        gst::ElementFactory::make("identity").build().unwrap()
    }
}
