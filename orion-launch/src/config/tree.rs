// SPDX-License-Identifier: MPL-2.0
//! All keys as one tree.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Mqtt, SourceKind,
    camera::Camera,
    cameras::{self, CameraEntry},
    models::Models,
    number,
    presence::Presence,
    rois::Rois,
    stream::Stream,
    text,
    upkeep::{Http, Log, Watchdog},
};

/// The configuration of orion-launch. `pipelines/orion.yaml` explains each key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Config {
    /// Name of this sensor, or of the daemon where there is a list of cameras, in topics and messages: letters, digits, _ and -.
    #[serde(with = "text::InstanceId")]
    pub(crate) instance_id: String,
    /// Name of the place in messages, free text.
    #[serde(with = "text::Free")]
    pub(crate) room_id: String,
    /// Seconds within which a stop is over: frames in hand are finished and published first.
    #[serde(with = "number::ShutdownTimeout")]
    pub(crate) shutdown_timeout_s: f64,
    /// Where frames come from; without an address and without a file a moving test picture is used.
    pub(crate) camera: Camera,
    /// Several cameras instead of one; what an entry leaves out is as at the top level. Empty = the one above.
    #[schemars(extend("maxItems" = cameras::MAX))]
    pub(crate) cameras: Vec<CameraEntry>,
    /// What frames are made into.
    pub(crate) stream: Stream,
    /// The worker processes that look at frames.
    pub(crate) models: Models,
    /// Where to look.
    pub(crate) rois: Rois,
    /// When somebody is said to be there, not to be there, or not to be known.
    pub(crate) presence: Presence,
    /// Where results go.
    pub(crate) mqtt: Mqtt,
    /// Where the state can be read.
    pub(crate) http: Http,
    /// When workers that do nothing are started anew.
    pub(crate) watchdog: Watchdog,
    /// What is logged.
    pub(crate) log: Log,
    /// A pipeline in gst-launch text instead of the one that is built; # comments, ${NAME} and ${NAME:-default} from the environment; empty = none.
    #[serde(with = "text::Free")]
    pub(crate) pipeline: String,
    /// A file with such a text; empty = none.
    #[serde(with = "text::Free")]
    pub(crate) pipeline_file: String,
    /// The text of `pipeline` or `pipeline_file` without comments and place holders, once loaded.
    #[serde(skip)]
    pub(crate) launch_text: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance_id: "orion".into(),
            room_id: String::new(),
            shutdown_timeout_s: 5.0,
            camera: Camera::default(),
            cameras: Vec::new(),
            stream: Stream::default(),
            models: Models::default(),
            rois: Rois::default(),
            presence: Presence::default(),
            mqtt: Mqtt::default(),
            http: Http::default(),
            watchdog: Watchdog::default(),
            log: Log::default(),
            pipeline: String::new(),
            pipeline_file: String::new(),
            launch_text: None,
        }
    }
}

impl Config {
    /// What the camera is.
    pub(crate) fn source(&self) -> SourceKind {
        match (&*self.camera.rtsp_url, &*self.camera.file) {
            ("", "") => SourceKind::Test,
            ("", _) if self.camera.repeat => SourceKind::Loop,
            ("", _) => SourceKind::File,
            _ => SourceKind::Rtsp,
        }
    }

    /// Frames a second that pass the gate at most; none for a recording, of which no frame may be lost.
    pub(crate) fn rate(&self) -> Option<f64> {
        let rate = self.models.person_detector.max_inference_rate_hz.min(self.stream.fps);
        self.source().is_live().then_some(rate)
    }

    /// The gst-launch text that is used instead of the built pipeline, without comments and place holders.
    pub(crate) fn own_pipeline(&self) -> Option<&str> {
        self.launch_text.as_deref()
    }

    /// The configuration as YAML, without any password.
    ///
    /// # Errors
    /// It cannot be written as YAML, which does not happen.
    pub(crate) fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(&self.masked_json())
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
    fn a_recording_is_never_thinned_out_unless_it_stands_for_a_camera() {
        let mut config = Config::default();
        assert_eq!(config.rate(), Some(5.0));
        config.stream.fps = 2.0;
        assert_eq!(config.rate(), Some(2.0));
        config.camera.file = "x.mp4".into();
        assert_eq!(config.rate(), None);
        config.camera.repeat = true;
        assert_eq!(config.rate(), Some(2.0));
    }
}
