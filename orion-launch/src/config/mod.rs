// SPDX-License-Identifier: MPL-2.0
//! The configuration. These structures are the only list of keys: names, types, defaults and limits are read off them.

mod check;
mod keys;
mod load;
mod mask;
mod number;
mod problem;
mod sources;
mod yaml;

use serde::{Deserialize, Serialize};

pub(crate) use check::broker;
pub(crate) use mask::masked;
use orion_core::geometry::NormRect;
pub(crate) use sources::Sources;

/// All keys. Their meaning stands in `pipelines/orion.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "check::instance_id")]
    pub(crate) instance_id: String,
    pub(crate) room_id: String,
    #[serde(deserialize_with = "number::timeout")]
    pub(crate) shutdown_timeout_s: f64,
    pub(crate) camera: Camera,
    pub(crate) stream: Stream,
    pub(crate) models: Models,
    pub(crate) rois: Rois,
    pub(crate) mqtt: Mqtt,
    pub(crate) http: Http,
    pub(crate) pipeline: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance_id: "orion".into(),
            room_id: String::new(),
            shutdown_timeout_s: 5.0,
            camera: Camera::default(),
            stream: Stream::default(),
            models: Models::default(),
            rois: Rois::default(),
            mqtt: Mqtt::default(),
            http: Http::default(),
            pipeline: String::new(),
        }
    }
}

/// Where frames come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Camera {
    #[serde(deserialize_with = "check::rtsp_url")]
    pub(crate) rtsp_url: String,
    pub(crate) file: String,
    pub(crate) codec: Codec,
}

/// How a camera's stream is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    #[default]
    Auto,
    H264,
    H265,
}

/// What frames are made into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    pub(crate) resolution: Resolution,
    #[serde(deserialize_with = "number::fps")]
    pub(crate) fps: f64,
    pub(crate) format: Format,
}

impl Default for Stream {
    fn default() -> Self {
        Self { resolution: Resolution::R480, fps: 30.0, format: Format::Jpeg }
    }
}

/// The greatest height of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Resolution {
    #[serde(rename = "320p")]
    R320,
    #[serde(rename = "480p")]
    R480,
    #[serde(rename = "512p")]
    R512,
    #[serde(rename = "720p")]
    R720,
    #[serde(rename = "1080p")]
    R1080,
}

impl Resolution {
    /// Rows of pixels.
    pub(crate) fn height(self) -> u32 {
        match self {
            Self::R320 => 320,
            Self::R480 => 480,
            Self::R512 => 512,
            Self::R720 => 720,
            Self::R1080 => 1080,
        }
    }
}

/// How frames go to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Jpeg,
    Raw,
}

/// The workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Models {
    pub(crate) person_detector: PersonDetector,
}

/// The shipped worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PersonDetector {
    pub(crate) detector: Detector,
    pub(crate) size: Size,
    pub(crate) model_dir: String,
    pub(crate) model_path: String,
    pub(crate) model_path_320: String,
    #[serde(deserialize_with = "number::fraction")]
    pub(crate) confidence: f64,
    #[serde(deserialize_with = "number::fraction")]
    pub(crate) iou_threshold: f64,
    pub(crate) labels: Vec<String>,
    #[serde(deserialize_with = "number::rate")]
    pub(crate) max_inference_rate_hz: f64,
    #[serde(deserialize_with = "number::workers")]
    pub(crate) workers: u32,
    #[serde(deserialize_with = "number::threads")]
    pub(crate) threads: u32,
    pub(crate) worker_command: String,
}

impl Default for PersonDetector {
    fn default() -> Self {
        Self {
            detector: Detector::Auto,
            size: Size::N,
            model_dir: String::new(),
            model_path: String::new(),
            model_path_320: String::new(),
            confidence: 0.5,
            iou_threshold: 0.45,
            labels: vec!["person".into()],
            max_inference_rate_hz: 5.0,
            workers: 1,
            threads: 1,
            worker_command: String::new(),
        }
    }
}

/// How persons are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Detector {
    /// By the layout of the model's output
    Auto,
    /// YOLO11 or YOLOv8
    Yolo,
    /// YOLOX
    Yolox,
    /// Whatever moves, without a model
    Motion,
}

/// The size of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Size {
    N,
    S,
    M,
    L,
    X,
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rois {
    #[serde(deserialize_with = "number::area")]
    pub(crate) threshold_area: u32,
    pub(crate) attention: Vec<NormRect>,
    #[serde(deserialize_with = "number::blind_time")]
    pub(crate) max_blind_time_s: f64,
    pub(crate) auto_focus: AutoFocus,
}

impl Default for Rois {
    fn default() -> Self {
        Self { threshold_area: 102_400, attention: Vec::new(), max_blind_time_s: 5.0, auto_focus: AutoFocus::default() }
    }
}

/// Following what the worker suggests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AutoFocus {
    pub(crate) enabled: bool,
    pub(crate) strategy: Strategy,
    #[serde(deserialize_with = "number::fraction")]
    pub(crate) alpha: f64,
    #[serde(deserialize_with = "number::fraction")]
    pub(crate) velocity_threshold: f64,
    #[serde(deserialize_with = "number::factor")]
    pub(crate) velocity_factor: f64,
    #[serde(deserialize_with = "number::fraction")]
    pub(crate) max_expansion: f64,
    #[serde(deserialize_with = "number::history")]
    pub(crate) history_frames: u32,
}

impl Default for AutoFocus {
    fn default() -> Self {
        Self {
            enabled: false,
            strategy: Strategy::Simple,
            alpha: 0.3,
            velocity_threshold: 0.05,
            velocity_factor: 1.5,
            max_expansion: 0.3,
            history_frames: 30,
        }
    }
}

/// How suggestions become a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Strategy {
    Simple,
    Smoothing,
    Velocity,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Mqtt {
    #[serde(deserialize_with = "check::mqtt_uri")]
    pub(crate) uri: String,
    pub(crate) embedded: bool,
    #[serde(deserialize_with = "check::prefix")]
    pub(crate) prefix: String,
    #[serde(deserialize_with = "number::qos")]
    pub(crate) qos: u32,
    pub(crate) username: String,
    pub(crate) password_file: String,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            uri: "mqtt://127.0.0.1:1883".into(),
            embedded: false,
            prefix: "care".into(),
            qos: 1,
            username: String::new(),
            password_file: String::new(),
        }
    }
}

impl Mqtt {
    /// Host and port of the broker.
    pub(crate) fn broker(&self) -> Option<(&str, u16)> {
        check::broker(&self.uri)
    }
}

/// Where the state can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Http {
    #[serde(deserialize_with = "check::bind")]
    pub(crate) bind: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: "127.0.0.1:8080".into() }
    }
}

/// What a camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Rtsp,
    File,
    Test,
}

impl SourceKind {
    /// Whether frames come by themselves, at their own pace, and are never expected to end.
    pub(crate) fn is_live(self) -> bool {
        self != Self::File
    }
}

impl Config {
    /// What the camera is.
    pub(crate) fn source(&self) -> SourceKind {
        match (&*self.camera.rtsp_url, &*self.camera.file) {
            ("", "") => SourceKind::Test,
            ("", _) => SourceKind::File,
            _ => SourceKind::Rtsp,
        }
    }

    /// Frames a second that pass the gate at most; none for a recording, of which no frame may be lost.
    pub(crate) fn rate(&self) -> Option<f64> {
        let rate = self.models.person_detector.max_inference_rate_hz.min(self.stream.fps);
        self.source().is_live().then_some(rate)
    }

    /// The configuration as YAML, without any password.
    pub(crate) fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        let mut shown = self.clone();
        shown.camera.rtsp_url = masked(&shown.camera.rtsp_url);
        serde_saphyr::to_string(&shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        let mut config = Config::default();
        config.camera.rtsp_url = "rtsp://me:secret@cam/x".into();
        let yaml = config.to_yaml().unwrap();
        assert!(yaml.contains("rtsp://me:***@cam/x") && !yaml.contains("secret"), "{yaml}");
    }

    #[test]
    fn a_recording_is_never_thinned_out() {
        let mut config = Config::default();
        assert_eq!(config.rate(), Some(5.0));
        config.stream.fps = 2.0;
        assert_eq!(config.rate(), Some(2.0));
        config.camera.file = "x.mp4".into();
        assert_eq!(config.rate(), None);
    }
}
