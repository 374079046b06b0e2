// SPDX-License-Identifier: MPL-2.0
//! The camera as a bin of its own: whatever it is, raw video comes out of its pad `src`.

use gst::prelude::*;
use thiserror::Error;

use crate::{
    config::{Codec, Config, SourceKind, masked},
    launch,
};

/// The bin's name.
pub(crate) const NAME: &str = "source";

/// How long connecting may take, µs.
const CONNECT_TIMEOUT_US: u64 = 5_000_000;

/// Why there is no source.
#[derive(Debug, Error)]
pub(crate) enum SourceError {
    #[error("element {name} is missing; try `apt install {package}`")]
    Missing { name: String, package: &'static str },
    #[error("no decoder for {codec}: none of {tried} is installed; try `apt install gstreamer1.0-libav`")]
    NoDecoder { codec: &'static str, tried: String },
    #[error("the source cannot be built: {0}")]
    Build(#[from] gst::glib::Error),
    #[error("the source cannot be put together: {0}")]
    Link(#[from] gst::glib::BoolError),
    #[error("camera.file {path}: {source}")]
    File { path: String, source: std::io::Error },
}

/// One of the two codecs that cameras speak: how it is unpacked, parsed and decoded, best decoder first.
#[derive(Debug, PartialEq, Eq)]
struct Chain {
    name: &'static str,
    depay: &'static str,
    parse: &'static str,
    decoders: [&'static str; 2],
}

const H264: Chain =
    Chain { name: "H.264", depay: "rtph264depay", parse: "h264parse", decoders: ["avdec_h264", "openh264dec"] };
const H265: Chain =
    Chain { name: "H.265", depay: "rtph265depay", parse: "h265parse", decoders: ["avdec_h265", "libde265dec"] };

/// The source of this configuration.
///
/// # Errors
/// [`SourceError`] when an element or the file is missing.
pub(crate) fn build(config: &Config) -> Result<gst::Bin, SourceError> {
    match config.source() {
        SourceKind::Rtsp => rtsp(config),
        SourceKind::File => {
            let path = &config.camera.file;
            std::fs::File::open(path).map_err(|source| SourceError::File { path: path.clone(), source })?;
            dynamic(&launch::file(config))
        }
        SourceKind::Test => Ok(gst::parse::bin_from_description_with_name(&launch::test_picture(config), true, NAME)?),
    }
}

fn empty() -> Result<(gst::Bin, gst::GhostPad), gst::glib::BoolError> {
    let bin = gst::Bin::with_name(NAME);
    let pad = gst::GhostPad::builder(gst::PadDirection::Src).name("src").build();
    bin.add_pad(&pad)?;
    Ok((bin, pad))
}

/// A recording: the first video stream that is found in it.
fn dynamic(text: &str) -> Result<gst::Bin, SourceError> {
    let (bin, out) = empty()?;
    let inner = gst::parse::bin_from_description(text, false)?;
    let decode = inner.iterate_sorted().into_iter().flatten().find(|e| is(e, "decodebin"));
    let decode =
        decode.ok_or(SourceError::Missing { name: "decodebin".into(), package: "gstreamer1.0-plugins-base" })?;
    let proxy = gst::GhostPad::builder(gst::PadDirection::Src).name("src").build();
    inner.add_pad(&proxy)?;
    bin.add(&inner)?;
    out.set_target(Some(&proxy))?;
    decode.connect_pad_added(move |_, pad| {
        if media_type(pad).is_some_and(|name| name.starts_with("video/x-raw")) && proxy.target().is_none() {
            // A pad that is refused leaves the bin without output, which shows as an error of the pipeline.
            let _ = proxy.set_target(Some(pad));
        }
    });
    Ok(bin)
}

fn rtsp(config: &Config) -> Result<gst::Bin, SourceError> {
    let (bin, out) = empty()?;
    let camera = make("rtspsrc", "gstreamer1.0-plugins-good")?;
    camera.set_property("location", &config.camera.rtsp_url);
    camera.set_property_from_str("protocols", "tcp");
    camera.set_property("latency", launch::RTSP_LATENCY_MS);
    camera.set_property("tcp-timeout", CONNECT_TIMEOUT_US);
    camera.set_property("add-reference-timestamp-meta", true);
    bin.add(&camera)?;
    let (wanted, url) = (config.camera.codec, masked(&config.camera.rtsp_url));
    let weak = bin.downgrade();
    camera.connect_pad_added(move |camera, pad| {
        let Some(bin) = weak.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(stream) = caps.structure(0) else { return };
        // A camera may send sound, or two pictures: the first that fits is taken.
        if stream.get::<&str>("media") != Ok("video") || out.target().is_some() {
            return;
        }
        let encoding = stream.get::<&str>("encoding-name").unwrap_or("unknown");
        let linked = match chain(encoding, wanted) {
            Some(chain) => connect(&bin, &out, pad, chain).map_err(|error| error.to_string()),
            None => Err(format!("{url} sends {encoding}; {} can be decoded", accepted(wanted))),
        };
        if let Err(text) = linked {
            gst::element_error!(camera, gst::StreamError::CodecNotFound, ("{text}"));
        }
    });
    Ok(bin)
}

fn accepted(wanted: Codec) -> &'static str {
    match wanted {
        Codec::Auto => "only H.264 and H.265",
        Codec::H264 => "camera.codec says that only H.264",
        Codec::H265 => "camera.codec says that only H.265",
    }
}

/// How a stream of this RTP encoding name is decoded; none if it cannot or shall not be.
fn chain(encoding: &str, wanted: Codec) -> Option<&'static Chain> {
    match (encoding, wanted) {
        ("H264", Codec::Auto | Codec::H264) => Some(&H264),
        ("H265", Codec::Auto | Codec::H265) => Some(&H265),
        _ => None,
    }
}

/// Puts the chain behind the camera's pad.
fn connect(bin: &gst::Bin, out: &gst::GhostPad, pad: &gst::Pad, chain: &Chain) -> Result<(), SourceError> {
    let decoder = chain.decoders.iter().find_map(|name| gst::ElementFactory::make(name).build().ok());
    let decoder =
        decoder.ok_or_else(|| SourceError::NoDecoder { codec: chain.name, tried: chain.decoders.join(", ") })?;
    if decoder.has_property("output-corrupt") {
        // Between a loss and the next key frame a decoder makes things up.
        decoder.set_property("output-corrupt", false);
    }
    let elements =
        [make(chain.depay, "gstreamer1.0-plugins-good")?, make(chain.parse, "gstreamer1.0-plugins-bad")?, decoder];
    bin.add_many(&elements)?;
    gst::Element::link_many(&elements)?;
    let [depay, _, decoder] = &elements;
    if let (Some(first), Some(last)) = (depay.static_pad("sink"), decoder.static_pad("src")) {
        out.set_target(Some(&last))?;
        for element in &elements {
            element.sync_state_with_parent()?;
        }
        pad.link(&first).map_err(|error| gst::glib::bool_error!("{}: {error}", chain.depay))?;
    }
    Ok(())
}

fn make(name: &str, package: &'static str) -> Result<gst::Element, SourceError> {
    gst::ElementFactory::make(name).build().map_err(|_| SourceError::Missing { name: name.to_owned(), package })
}

fn media_type(pad: &gst::Pad) -> Option<String> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    caps.structure(0).map(|s| s.name().to_string())
}

/// Whether an element comes from this factory.
pub(crate) fn is(element: &gst::Element, factory: &str) -> bool {
    element.factory().is_some_and(|f| f.name() == factory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_that_was_asked_for_is_the_only_one_taken() {
        assert_eq!(chain("H264", Codec::Auto), Some(&H264));
        assert_eq!(chain("H265", Codec::Auto), Some(&H265));
        assert_eq!(chain("H265", Codec::H264), None);
        assert_eq!(chain("JPEG", Codec::Auto), None);
    }

    #[test]
    fn a_missing_recording_is_named_with_its_key() {
        gst::init().unwrap();
        let mut config = Config::default();
        config.camera.file = "/nowhere/clip.mp4".into();
        let error = build(&config).unwrap_err().to_string();
        assert!(error.starts_with("camera.file /nowhere/clip.mp4: No such file"), "{error}");
    }
}
