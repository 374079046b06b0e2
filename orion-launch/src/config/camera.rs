// SPDX-License-Identifier: MPL-2.0
//! Keys of the camera.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{number, text};

/// Where frames come from; without an address and without a file a moving test picture is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Camera {
    /// rtsp://[user:password@]host[:port]/path, H.264, H.265 or MJPEG; empty = none.
    #[serde(with = "text::RtspUrl")]
    pub(crate) rtsp_url: String,
    /// Who logs in at the camera, where the address does not say so.
    #[serde(with = "text::Free")]
    pub(crate) username: String,
    /// File with the password of username; credential:NAME = one that systemd hands to the service.
    #[serde(with = "text::Free")]
    pub(crate) password_file: String,
    /// How packets travel.
    pub(crate) transport: Transport,
    /// Which of the camera's video streams is taken.
    pub(crate) codec: Codec,
    /// Seconds without a frame after which the stream is lost and connected anew.
    #[serde(with = "number::Stall")]
    pub(crate) stall_timeout_s: f64,
    /// A recording instead; every frame of it is looked at, and the daemon ends with it; empty = none.
    #[serde(with = "text::Free")]
    pub(crate) file: String,
    /// Play the recording again and again, at its own speed and as a camera would send it.
    #[serde(rename = "loop")]
    pub(crate) repeat: bool,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            rtsp_url: String::new(),
            username: String::new(),
            password_file: String::new(),
            transport: Transport::Tcp,
            codec: Codec::Auto,
            stall_timeout_s: 2.0,
            file: String::new(),
            repeat: false,
        }
    }
}

/// How a camera's packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// How a camera's stream is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    #[default]
    Auto,
    H264,
    H265,
    Mjpeg,
}

/// What a camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Rtsp,
    File,
    /// A recording, again and again, as a camera would send it.
    Loop,
    Test,
}

impl SourceKind {
    /// Whether frames come by themselves, at their own pace, and are never expected to end.
    pub(crate) fn is_live(self) -> bool {
        self != Self::File
    }
}
