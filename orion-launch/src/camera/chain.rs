// SPDX-License-Identifier: MPL-2.0
//! What cameras send, and how it is decoded.

use gst::prelude::*;

use super::steady::steady;
use crate::{
    config::Codec,
    source::{SourceError, make},
};

/// How a codec is unpacked, parsed and decoded, best decoder first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    name: &'static str,
    depay: &'static str,
    parse: Option<&'static str>,
    decoders: [&'static str; 2],
}

const H264: Chain =
    Chain { name: "H.264", depay: "rtph264depay", parse: Some("h264parse"), decoders: ["avdec_h264", "openh264dec"] };
const H265: Chain =
    Chain { name: "H.265", depay: "rtph265depay", parse: Some("h265parse"), decoders: ["avdec_h265", "libde265dec"] };
// Pictures that are whole by themselves need no parser.
const MJPEG: Chain = Chain { name: "MJPEG", depay: "rtpjpegdepay", parse: None, decoders: ["jpegdec", "avdec_mjpeg"] };

/// How a stream of this RTP encoding name is decoded; none if it cannot or shall not be.
pub(super) fn chain(encoding: &str, wanted: Codec) -> Option<&'static Chain> {
    match (encoding, wanted) {
        ("H264", Codec::Auto | Codec::H264) => Some(&H264),
        ("H265", Codec::Auto | Codec::H265) => Some(&H265),
        ("JPEG", Codec::Auto | Codec::Mjpeg) => Some(&MJPEG),
        _ => None,
    }
}

/// What would have been taken, in words.
pub(super) fn accepted(wanted: Codec) -> &'static str {
    match wanted {
        Codec::Auto => "only H.264, H.265 and MJPEG",
        Codec::H264 => "camera.codec says that only H.264",
        Codec::H265 => "camera.codec says that only H.265",
        Codec::Mjpeg => "camera.codec says that only MJPEG",
    }
}

impl Chain {
    /// Puts itself behind the camera's pad and before `out`.
    ///
    /// # Errors
    /// [`SourceError`] names what is not installed.
    pub(super) fn connect(&self, bin: &gst::Bin, out: &gst::GhostPad, pad: &gst::Pad) -> Result<(), SourceError> {
        let decoder = self.decoders.iter().find_map(|name| gst::ElementFactory::make(name).build().ok());
        let decoder =
            decoder.ok_or_else(|| SourceError::NoDecoder { codec: self.name, tried: self.decoders.join(", ") })?;
        if decoder.has_property("output-corrupt") {
            // Between a loss and the next key frame a decoder makes things up.
            decoder.set_property("output-corrupt", false);
        }
        let mut elements = vec![make(self.depay, "gstreamer1.0-plugins-good")?];
        if let Some(parse) = self.parse {
            elements.push(make(parse, "gstreamer1.0-plugins-bad")?);
        }
        elements.push(decoder.clone());
        bin.add_many(&elements)?;
        gst::Element::link_many(&elements)?;
        let first = elements.first().and_then(|depay| depay.static_pad("sink"));
        if let (Some(first), Some(last)) = (first, decoder.static_pad("src")) {
            out.set_target(Some(&last))?;
            if let Some(unpacked) = elements.first().and_then(|depay| depay.static_pad("src")) {
                steady(&unpacked);
            }
            for element in &elements {
                element.sync_state_with_parent()?;
            }
            pad.link(&first).map_err(|error| gst::glib::bool_error!("{}: {error}", self.depay))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_that_was_asked_for_is_the_only_one_taken() {
        for (encoding, wanted, expected) in [
            ("H264", Codec::Auto, Some(&H264)),
            ("H265", Codec::Auto, Some(&H265)),
            ("JPEG", Codec::Auto, Some(&MJPEG)),
            ("JPEG", Codec::Mjpeg, Some(&MJPEG)),
            ("H265", Codec::H264, None),
            ("H264", Codec::Mjpeg, None),
            ("VP8", Codec::Auto, None),
        ] {
            assert_eq!(chain(encoding, wanted), expected, "{encoding} {wanted:?}");
        }
    }
}
