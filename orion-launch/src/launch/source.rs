// SPDX-License-Identifier: MPL-2.0
//! Where frames come from, as text.

use super::words::{quoted, word};
use crate::config::{Codec, Config, masked};

/// The latency of the camera's stream: enough for TCP on a local network (GStreamer's default is 2 s).
pub(crate) const RTSP_LATENCY_MS: u32 = 200;

/// The camera, its password masked.
pub(super) fn camera(config: &Config) -> String {
    let camera = &config.camera;
    let decode = match camera.codec {
        Codec::Auto => "application/x-rtp,media=video ! decodebin",
        Codec::H264 => "rtph264depay ! h264parse ! avdec_h264 output-corrupt=false",
        Codec::H265 => "rtph265depay ! h265parse ! avdec_h265 output-corrupt=false",
        Codec::Mjpeg => "rtpjpegdepay ! jpegdec",
    };
    let user = match (&*camera.username, &*camera.password_file) {
        ("", _) => String::new(),
        (user, "") => format!(" user-id={}", quoted(user)),
        (user, _) => format!(" user-id={} user-pw=***", quoted(user)),
    };
    format!(
        "rtspsrc location={}{user} protocols={} latency={RTSP_LATENCY_MS} add-reference-timestamp-meta=true ! {decode}",
        quoted(&masked(&camera.rtsp_url)),
        word(&camera.transport)
    )
}

/// The recording, decoded.
pub(crate) fn file(config: &Config) -> String {
    format!("filesrc location={} ! decodebin", quoted(&config.camera.file))
}

/// The moving test picture.
pub(crate) fn test_picture(config: &Config) -> String {
    let height = config.stream.resolution.height();
    let width = (height * 16 / 9) & !1;
    // A frame rate is a fraction: thousandths are fine enough.
    let fps = (config.stream.fps * 1000.0).round() as u32;
    format!(
        "videotestsrc is-live=true pattern=ball ! capsfilter caps=\"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1000\""
    )
}
