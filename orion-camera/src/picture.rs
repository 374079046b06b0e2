// SPDX-License-Identifier: MPL-2.0
//! The moving test picture.

use std::{num::NonZeroU32, sync::Mutex};

use clap::ValueEnum;
use gst::prelude::*;
use thiserror::Error;

use crate::scene::Scene;

/// How a stream is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// H.264, also called AVC.
    H264,
    /// H.265, also called HEVC.
    H265,
    /// A JPEG picture a frame.
    Mjpeg,
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
            Self::Mjpeg => "rtpjpegpay name=pay0 pt=26",
        }
    }

    /// The elements that decode it.
    pub(crate) fn decoder(self) -> &'static str {
        match self {
            Self::H264 => "h264parse ! avdec_h264",
            Self::H265 => "h265parse ! avdec_h265",
            Self::Mjpeg => "jpegdec",
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
                    format!("tune=zerolatency speed-preset=superfast pass=quant quantizer=21 key-int-max={key_frames}"),
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
            Self::Mjpeg => vec![encoder("jpegenc", "gstreamer1.0-plugins-good", "quality=80".to_owned())],
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
    #[error("--{side} {value}: MJPEG over RTP needs a multiple of 8 of at most 2040 pixels")]
    Jpeg { side: &'static str, value: u32 },
    #[error("no encoder for {codec:?}: none of {tried} is installed; try `apt install {package}`")]
    NoEncoder { codec: Codec, tried: String, package: &'static str },
}

/// The element that says how large the picture is.
const SIZE: &str = "size";

/// A test picture, encoded live.
#[derive(Debug)]
pub(crate) struct Picture {
    scene: Scene,
    launch: String,
    sizes: [gst::Caps; 2],
    /// Frames after which it is half as large, or as large as before.
    change: Option<NonZeroU32>,
}

impl Picture {
    /// Checks the numbers and finds an encoder.
    pub(crate) fn new(scene: Scene, codec: Codec, width: u32, height: u32, fps: u32) -> Result<Self, PictureError> {
        Self::with(scene, codec, width, height, fps, is_installed)
    }

    fn with(
        scene: Scene,
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
            // RFC 2435 has a byte for each side, in units of 8 pixels.
            if codec == Codec::Mjpeg && (value % 8 != 0 || value > 2040) {
                return Err(PictureError::Jpeg { side, value });
            }
        }
        let encoder = choose(codec, fps, installed)?;
        let size = format!("video/x-raw,format=I420,width={width},height={height},framerate={fps}/1");
        // Halved it still has to fit every encoder.
        let even = |side: u32| (side & !7) as i32;
        let caps = |divisor: u32| {
            gst::Caps::builder("video/x-raw")
                .field("format", "I420")
                .field("width", even(width / divisor))
                .field("height", even(height / divisor))
                .field("framerate", gst::Fraction::new(fps as i32, 1))
                .build()
        };
        let launch = format!("( {} ! capsfilter name={SIZE} caps=\"{size}\" ! {encoder} )", Scene::launch());
        Ok(Self { scene, launch, sizes: [caps(1), caps(2)], change: None })
    }

    /// Changes its size every so many frames, in mid-stream.
    pub(crate) fn changing(self, change: Option<NonZeroU32>) -> Self {
        Self { change, ..self }
    }

    /// Lets a new media show the scene, and change its size if that is wanted.
    pub(crate) fn configure(&self, element: &gst::Element) {
        let Some(media) = element.downcast_ref::<gst::Bin>() else { return };
        let Some(pad) = media.by_name(SIZE).and_then(|filter| filter.static_pad("src")) else { return };
        self.scene.play_in(media, &pad);
        let Some(change) = self.change else { return };
        let (sizes, mut frames, mut now) = (self.sizes.clone(), 0, 0);
        let changer = Mutex::new(move |filter: &gst::Element| {
            frames += 1;
            if frames % change == 0 {
                now = 1 - now;
                filter.set_property("caps", &sizes[now]);
            }
        });
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            if let (Some(filter), Ok(mut change)) = (pad.parent_element(), changer.lock()) {
                change(&filter);
            }
            gst::PadProbeReturn::Ok
        });
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
    use crate::scene::Pattern;

    #[test]
    fn takes_the_best_encoder_that_is_installed() {
        gst::init().unwrap();
        let launch = |codec, have: &'static str| {
            Picture::with(Scene::new(Pattern::Ball), codec, 640, 480, 15, |name| have.contains(name)).map(|p| p.launch)
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
        gst::init().unwrap();
        let error =
            Picture::with(Scene::new(Pattern::Ball), Codec::H264, 640, 481, 15, |_| true).unwrap_err().to_string();
        assert!(error.starts_with("--height 481"), "{error}");
        let error =
            Picture::with(Scene::new(Pattern::Ball), Codec::Mjpeg, 644, 480, 15, |_| true).unwrap_err().to_string();
        assert!(error.starts_with("--width 644: MJPEG"), "{error}");
    }
}
