// SPDX-License-Identifier: MPL-2.0
//! What the demo runs: which model, which configuration, and where to look.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use orion_core::command::Size;

use crate::{
    cli,
    config::{Config, Detector, broker, masked},
};

/// Where the state can be read if nobody else is there.
const HTTP: &str = "127.0.0.1:8080";
/// The model that comes with Orion, beside the worker.
const OWN: &str = "orion_person_640.onnx";

/// How persons, or else motion, are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    detector: Detector,
    size: Size,
    directory: Option<PathBuf>,
}

impl Model {
    /// Whether it is people that are looked for, and not whatever moves.
    pub(super) fn finds_people(&self) -> bool {
        self.detector != Detector::Motion
    }
}

/// The model to use, and a line that says so.
pub(super) fn model(options: &cli::Demo) -> (Model, String) {
    let beside = worker_directory();
    if options.model_dir.is_none()
        && options.detector != Some(Detector::Motion)
        && beside.as_deref().is_some_and(|directory| directory.join(OWN).is_file())
    {
        let detector = options.detector.unwrap_or(Detector::Auto);
        let note = "Looking for persons with the model that comes with Orion.".into();
        return (Model { detector, size: Size::Orion, directory: None }, note);
    }
    let directory = options.model_dir.clone().or_else(|| beside.map(|directory| directory.join("weights")));
    let found = directory.as_deref().and_then(|directory| size_in(&names(directory)));
    let place = directory.as_deref().map_or_else(|| "models/weights".into(), |d| d.display().to_string());
    let detector = match (options.detector, found) {
        (Some(detector), _) => detector,
        (None, Some(_)) => Detector::Auto,
        (None, None) => Detector::Motion,
    };
    let note = match (detector, found) {
        (Detector::Motion, None) => {
            format!("No person model in {place}: showing motion instead (`make models` fetches one).")
        }
        (Detector::Motion, Some(_)) => "Showing motion, as asked.".into(),
        _ => format!("Looking for persons with the model in {place}."),
    };
    (Model { detector, size: found.unwrap_or(Size::N), directory }, note)
}

/// The configuration of the demo.
pub(super) fn config(options: &cli::Demo, url: &str, model: &Model) -> Config {
    let mut config = Config { instance_id: "demo".into(), room_id: "demo".into(), ..Config::default() };
    config.camera.rtsp_url = url.to_owned();
    // Long enough to know the camera, short enough for who wants to see something.
    config.stream.warmup_duration_s = 1.0;
    // Whoever walks through the demo's room is gone for five seconds.
    config.presence.absent_after_s = 2.0;
    config.mqtt.embedded = true;
    config.mqtt.uri = "mqtt://127.0.0.1:0".into();
    config.http.bind = if TcpListener::bind(HTTP).is_ok() { HTTP.into() } else { "127.0.0.1:0".into() };
    let detector = &mut config.models.person_detector;
    detector.detector = model.detector;
    detector.size = model.size;
    detector.max_inference_rate_hz = options.rate;
    if let Some(directory) = &model.directory {
        detector.model_dir = directory.display().to_string();
    }
    config
}

/// Everything that can be looked at while it runs.
pub(super) fn where_to_look(config: &Config, uri: &str, http: Option<SocketAddr>, url: &str) -> String {
    let (host, port) = broker(uri).unwrap_or(("127.0.0.1", 1883));
    let http = http.map_or_else(
        || "off".to_owned(),
        |a| format!("http://{a}/ (the live page), http://{a}/readiness and http://{a}/health"),
    );
    let prefix = &config.mqtt.prefix;
    format!(
        "Camera   {}\nMQTT     {uri}, topics {prefix}/inferences/{}/...\n         mosquitto_sub -h {host} -p {port} -t '{prefix}/#' -v\n\
         HTTP     {http}\nCtrl-C ends it.\n",
        masked(url),
        config.instance_id
    )
}

/// The directory of the shipped worker, which `ORION_WORKER` names or which lies above this program.
fn worker_directory() -> Option<PathBuf> {
    let named = std::env::var_os("ORION_WORKER").filter(|path| !path.is_empty()).map(PathBuf::from);
    let worker = named.or_else(|| {
        let own = std::env::current_exe().and_then(|path| path.canonicalize()).ok()?;
        let places =
            own.ancestors().skip(1).take(5).flat_map(|dir| [dir.join("models"), dir.join("share/orion/models")]);
        places.map(|dir| dir.join("run_worker.sh")).find(|path| path.is_file())
    })?;
    worker.parent().map(Path::to_owned)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Orion's own, else the smallest size of which there is a model.
fn size_in(names: &[String]) -> Option<Size> {
    let sizes = [('o', Size::Orion), ('n', Size::N), ('s', Size::S), ('m', Size::M), ('l', Size::L), ('x', Size::X)];
    let of = |name: &String| {
        if name == OWN {
            return Some('o');
        }
        let stem = name.strip_suffix(".onnx")?;
        let rest = ["yolo11", "yolov8", "yolox"].iter().find_map(|family| stem.strip_prefix(family))?;
        rest.trim_start_matches(['-', '_']).chars().next()
    };
    let letters: Vec<char> = names.iter().filter_map(of).collect();
    sizes.iter().find(|(letter, _)| letters.contains(letter)).map(|(_, size)| *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directory: &Path, detector: Option<Detector>) -> cli::Demo {
        cli::Demo { source: None, model_dir: Some(directory.to_owned()), detector, seconds: None, rate: 2.0 }
    }

    #[test]
    fn motion_is_shown_only_without_a_model() {
        let directory = tempfile::tempdir().unwrap();
        let (none, note) = model(&options(directory.path(), None));
        assert_eq!(none.detector, Detector::Motion);
        assert!(note.starts_with("No person model in ") && !note.contains('\n'), "{note}");
        std::fs::write(directory.path().join("yolov8s_fp32_640.onnx"), "").unwrap();
        std::fs::write(directory.path().join("readme.txt"), "").unwrap();
        let (found, _) = model(&options(directory.path(), None));
        assert_eq!((found.detector, found.size), (Detector::Auto, Size::S));
        let (asked, _) = model(&options(directory.path(), Some(Detector::Motion)));
        assert_eq!(asked.detector, Detector::Motion);
        let config = config(&options(directory.path(), None), "rtsp://a/b", &found);
        assert_eq!(config.models.person_detector.model_dir, directory.path().display().to_string());
        assert_eq!((config.rate(), config.mqtt.embedded), (Some(2.0), true));
    }

    #[test]
    fn sizes_are_read_off_the_names() {
        let size = |names: &[&str]| size_in(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(size(&["yolox_nano_416_rawgrid.onnx"]), Some(Size::N));
        assert_eq!(size(&["yolo11m_fp32_640.onnx", "yolo11x_fp32_640.onnx"]), Some(Size::M));
        assert_eq!(size(&["yolo11m_fp32_640.onnx", OWN]), Some(Size::Orion));
        assert_eq!(size(&["notes.txt", "other.onnx", "yolo11n.pt"]), None);
    }
}
