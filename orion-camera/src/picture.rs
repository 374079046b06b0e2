// SPDX-License-Identifier: MPL-2.0
//! The moving test picture.

use clap::ValueEnum;
use thiserror::Error;

/// How a stream is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// H.264, also called AVC.
    H264,
    /// H.265, also called HEVC.
    H265,
}

impl Codec {
    /// The codec of these caps, if it is one that can be served.
    pub(crate) fn from_media_type(name: &str) -> Option<Self> {
        match name {
            "video/x-h264" => Some(Self::H264),
            "video/x-h265" => Some(Self::H265),
            _ => None,
        }
    }

    /// The element that turns an encoded stream into RTP packets; parameter sets go with each key frame, so that a client
    /// may join at any time.
    pub(crate) fn payloader(self) -> &'static str {
        match self {
            Self::H264 => "rtph264pay name=pay0 pt=96 config-interval=-1",
            Self::H265 => "rtph265pay name=pay0 pt=96 config-interval=-1",
        }
    }

    /// The elements that decode it.
    pub(crate) fn decoder(self) -> &'static str {
        match self {
            Self::H264 => "h264parse ! avdec_h264",
            Self::H265 => "h265parse ! avdec_h265",
        }
    }

    /// Encoders with their settings (one key frame a second, no delay) and Debian packages, best first.
    fn encoders(self, key_frames: u32) -> Vec<Encoder> {
        let encoder = |name, package, settings| Encoder { name, package, settings };
        match self {
            Self::H264 => vec![
                encoder(
                    "x264enc",
                    "gstreamer1.0-plugins-ugly",
                    format!("tune=zerolatency speed-preset=superfast pass=qual quantizer=21 key-int-max={key_frames}"),
                ),
                encoder(
                    "openh264enc",
                    "gstreamer1.0-plugins-bad",
                    format!("complexity=low bitrate=1500000 gop-size={key_frames}"),
                ),
            ],
            Self::H265 => vec![encoder(
                "x265enc",
                "gstreamer1.0-plugins-bad",
                format!("tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max={key_frames} log-level=none"),
            )],
        }
    }
}

struct Encoder {
    name: &'static str,
    package: &'static str,
    settings: String,
}

/// Why there is no test picture.
#[derive(Debug, Error)]
pub(crate) enum PictureError {
    #[error("--{side} {value}: the encoders need an even number of pixels")]
    Odd { side: &'static str, value: u32 },
    #[error("no encoder for {codec:?}: none of {tried} is installed; try `apt install {package}`")]
    NoEncoder { codec: Codec, tried: String, package: &'static str },
}

/// A ball that moves, encoded live.
#[derive(Debug)]
pub(crate) struct Picture {
    launch: String,
}

impl Picture {
    /// Checks the numbers and finds an encoder.
    pub(crate) fn new(codec: Codec, width: u32, height: u32, fps: u32) -> Result<Self, PictureError> {
        Self::with(codec, width, height, fps, is_installed)
    }

    fn with(
        codec: Codec,
        width: u32,
        height: u32,
        fps: u32,
        installed: impl Fn(&str) -> bool,
    ) -> Result<Self, PictureError> {
        for (side, value) in [("width", width), ("height", height)] {
            if value % 2 != 0 {
                return Err(PictureError::Odd { side, value });
            }
        }
        let encoder = choose(codec, fps, installed)?;
        Ok(Self {
            launch: format!(
                "( videotestsrc is-live=true pattern=ball \
                 ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! {encoder} )"
            ),
        })
    }

    /// The launch text of an RTSP media.
    pub(crate) fn launch(&self) -> &str {
        &self.launch
    }
}

/// The elements that encode raw video and turn it into RTP packets, with a key frame every `key_frames`.
pub(crate) fn encoder(codec: Codec, key_frames: u32) -> Result<String, PictureError> {
    choose(codec, key_frames, is_installed)
}

fn choose(codec: Codec, key_frames: u32, installed: impl Fn(&str) -> bool) -> Result<String, PictureError> {
    let encoders = codec.encoders(key_frames);
    let Some(encoder) = encoders.iter().find(|encoder| installed(encoder.name)) else {
        let tried = encoders.iter().map(|encoder| encoder.name).collect::<Vec<_>>().join(", ");
        let package = encoders.first().map_or("gstreamer1.0-plugins-bad", |encoder| encoder.package);
        return Err(PictureError::NoEncoder { codec, tried, package });
    };
    Ok(format!("{} {} ! {}", encoder.name, encoder.settings, codec.payloader()))
}

fn is_installed(element: &str) -> bool {
    gst::ElementFactory::find(element).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_best_encoder_that_is_installed() {
        let launch = |codec, have: &'static str| {
            Picture::with(codec, 640, 480, 15, |name| have.contains(name)).map(|p| p.launch)
        };
        assert!(launch(Codec::H264, "x264enc openh264enc").unwrap().contains("! x264enc tune=zerolatency"));
        assert!(launch(Codec::H264, "openh264enc").unwrap().contains("gop-size=15 ! rtph264pay"));
        assert!(launch(Codec::H265, "x265enc").unwrap().contains("rtph265pay name=pay0"));
        let error = launch(Codec::H264, "").unwrap_err().to_string();
        assert!(
            error.contains("x264enc, openh264enc") && error.contains("apt install gstreamer1.0-plugins-ugly"),
            "{error}"
        );
    }

    #[test]
    fn odd_sides_are_refused_by_name() {
        let error = Picture::with(Codec::H264, 640, 481, 15, |_| true).unwrap_err().to_string();
        assert!(error.starts_with("--height 481"), "{error}");
    }
}
