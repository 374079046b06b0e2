// SPDX-License-Identifier: MPL-2.0
//! One connection to an RTSP camera: a bin whose pad `src` gives raw video.

use std::sync::{Arc, Mutex, PoisonError};

use gst::{glib, prelude::*};
use orion_core::camera::LossCause;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Told,
    chain::{accepted, chain},
    entry::Entry,
    login::Login,
    name,
};
use crate::{
    config::{Camera, Codec, Transport, masked},
    launch,
    source::{SourceError, empty, make},
};

/// How long the camera may take to accept a connection, and to answer, µs.
const CONNECT_TIMEOUT_US: u64 = 5_000_000;

/// What a connection is made of.
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) entry: Entry,
    pub(super) told: UnboundedSender<Told>,
}

impl Attempt {
    fn tell(&self, told: Told) {
        // Nobody listens once the daemon stops.
        let _ = self.told.send(told);
    }

    /// Builds the bin. It comes into the pipeline with its first frame, so that what is behind sees nothing of attempts that
    /// fail.
    ///
    /// # Errors
    /// [`SourceError`] names what is not installed.
    pub(super) fn build(self, camera: &Camera, login: &Login) -> Result<gst::Bin, SourceError> {
        let (bin, out) = empty(&name(self.number))?;
        let rtsp = make("rtspsrc", "gstreamer1.0-plugins-good")?;
        rtsp.set_property("location", &login.url);
        rtsp.set_property_from_str(
            "protocols",
            match camera.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            },
        );
        if !login.username.is_empty() {
            rtsp.set_property("user-id", &login.username);
            rtsp.set_property("user-pw", &login.password);
        }
        rtsp.set_property("latency", launch::RTSP_LATENCY_MS);
        rtsp.set_property("tcp-timeout", CONNECT_TIMEOUT_US);
        rtsp.set_property("add-reference-timestamp-meta", true);
        bin.add(&rtsp)?;
        let attempt = Arc::new(self);
        attempt.clone().choose(&rtsp, camera.codec, masked(&login.url));
        attempt.clone().decode(&rtsp, &bin, &out, camera.codec);
        attempt.come_in(&out);
        Ok(bin)
    }

    /// Of what the camera offers, asks for the first video that can be decoded, and for nothing else.
    fn choose(self: Arc<Self>, rtsp: &gst::Element, wanted: Codec, url: String) {
        let (chosen, others) = (Mutex::new(None::<u32>), Mutex::new(Vec::new()));
        rtsp.connect("select-stream", false, move |values| {
            let stream = values.get(1).and_then(|value| value.get::<u32>().ok());
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            let caps = caps.as_ref().and_then(|caps| caps.structure(0));
            let media = caps.and_then(|caps| caps.get::<&str>("media").ok()).unwrap_or("unknown media");
            let encoding = caps.and_then(|caps| caps.get::<&str>("encoding-name").ok()).unwrap_or(media);
            let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = media == "video" && chain(encoding, wanted).is_some();
            if fits && (chosen.is_none() || *chosen == stream) {
                *chosen = stream;
                return Some(true.to_value());
            }
            let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
            others.push(encoding.to_owned());
            if chosen.is_none() {
                // Told if nothing better follows.
                let text = format!("{url} sends {}; {} can be decoded", others.join(", "), accepted(wanted));
                self.tell(Told::Offers(self.number, text));
            }
            Some(false.to_value())
        });
    }

    /// Puts the decoder behind the stream that comes.
    fn decode(self: Arc<Self>, rtsp: &gst::Element, bin: &gst::Bin, out: &gst::GhostPad, wanted: Codec) {
        let (weak, out) = (bin.downgrade(), out.downgrade());
        rtsp.connect_pad_added(move |_, pad| {
            let (Some(bin), Some(out)) = (weak.upgrade(), out.upgrade()) else { return };
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let encoding = caps.structure(0).and_then(|caps| caps.get::<&str>("encoding-name").ok());
            let Some(chain) = encoding.and_then(|encoding| chain(encoding, wanted)) else { return };
            if out.target().is_some() {
                return;
            }
            let attempt = self.clone();
            pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
                attempt.tell(Told::Packets(attempt.number));
                gst::PadProbeReturn::Remove
            });
            match chain.connect(&bin, &out, pad) {
                Ok(()) => {}
                Err(error @ (SourceError::Missing { .. } | SourceError::NoDecoder { .. })) => {
                    self.tell(Told::Broken(self.number, error.to_string()));
                }
                Err(error) => self.tell(Told::Failed(self.number, LossCause::WrongCodec, error.to_string())),
            }
        });
    }

    /// Comes into the pipeline with its first frame; its end stays here.
    fn come_in(self: Arc<Self>, out: &gst::GhostPad) {
        let attempt = self.clone();
        out.add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, move |pad, _| {
            match attempt.entry.link(attempt.number, pad.upcast_ref()) {
                true => gst::PadProbeReturn::Remove,
                false => gst::PadProbeReturn::Handled,
            }
        });
        let attempt = self.clone();
        // What is behind has got the events that begin a stream when this is called, but not before.
        out.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            attempt.tell(Told::Linked(attempt.number));
            gst::PadProbeReturn::Remove
        });
        out.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| match info.event().map(|e| e.type_()) {
            Some(gst::EventType::Eos) => {
                self.tell(Told::Ended(self.number));
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        });
    }
}

/// The text of an error message: its words, and the last line of its details, which says more, such as why connecting
/// failed.
pub(crate) fn words(error: &glib::Error, details: &str) -> String {
    match details.lines().last() {
        Some(detail) => format!("{error} {detail}"),
        None => error.to_string(),
    }
}
