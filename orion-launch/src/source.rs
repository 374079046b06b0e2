// SPDX-License-Identifier: MPL-2.0
//! Recordings and the test picture as bins of their own: raw video comes out of the pad `src`.

use gst::prelude::*;
use thiserror::Error;

use crate::{
    config::{Config, SourceKind},
    launch,
};

/// The bin's name; those that are built again and again have a number behind it.
pub(crate) const NAME: &str = "source";

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

/// The source of this configuration, if it is one that is built once.
///
/// # Errors
/// [`SourceError`] when an element or the file is missing.
pub(crate) fn build(config: &Config) -> Result<gst::Bin, SourceError> {
    match config.source() {
        SourceKind::Test => Ok(gst::parse::bin_from_description_with_name(&launch::test_picture(config), true, NAME)?),
        SourceKind::File | SourceKind::Loop | SourceKind::Rtsp => {
            check_file(&config.camera.file)?;
            file(config, NAME)
        }
    }
}

/// Whether the recording can be read.
///
/// # Errors
/// Names the key and the reason.
pub(crate) fn check_file(path: &str) -> Result<(), SourceError> {
    std::fs::File::open(path).map(drop).map_err(|source| SourceError::File { path: path.to_owned(), source })
}

/// A bin whose pad `src` has no target yet.
pub(crate) fn empty(name: &str) -> Result<(gst::Bin, gst::GhostPad), gst::glib::BoolError> {
    let bin = gst::Bin::with_name(name);
    let pad = gst::GhostPad::builder(gst::PadDirection::Src).name("src").build();
    bin.add_pad(&pad)?;
    Ok((bin, pad))
}

/// A recording: the first video stream that is found in it.
///
/// # Errors
/// [`SourceError`] when an element is missing.
pub(crate) fn file(config: &Config, name: &str) -> Result<gst::Bin, SourceError> {
    let (bin, out) = empty(name)?;
    let inner = gst::parse::bin_from_description(&launch::file(config), false)?;
    let decode = inner.iterate_sorted().into_iter().flatten().find(|e| is(e, "decodebin"));
    let decode =
        decode.ok_or(SourceError::Missing { name: "decodebin".into(), package: "gstreamer1.0-plugins-base" })?;
    let proxy = gst::GhostPad::builder(gst::PadDirection::Src).name("src").build();
    inner.add_pad(&proxy)?;
    bin.add(&inner)?;
    out.set_target(Some(&proxy))?;
    let proxy = proxy.downgrade();
    decode.connect_pad_added(move |_, pad| {
        let Some(proxy) = proxy.upgrade() else { return };
        if media_type(pad).is_some_and(|name| name.starts_with("video/x-raw")) && proxy.target().is_none() {
            // A pad that is refused leaves the bin without output, which shows as an error of the pipeline.
            let _ = proxy.set_target(Some(pad));
        }
    });
    Ok(bin)
}

/// An element, or the package that it is missing from.
///
/// # Errors
/// [`SourceError::Missing`].
pub(crate) fn make(name: &str, package: &'static str) -> Result<gst::Element, SourceError> {
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
    fn a_missing_recording_is_named_with_its_key() {
        gst::init().unwrap();
        let mut config = Config::default();
        config.camera.file = "/nowhere/clip.mp4".into();
        let error = build(&config).unwrap_err().to_string();
        assert!(error.starts_with("camera.file /nowhere/clip.mp4: No such file"), "{error}");
    }
}
