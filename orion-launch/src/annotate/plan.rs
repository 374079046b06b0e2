// SPDX-License-Identifier: MPL-2.0
//! From the command line, and a configuration where there is one, to how frames are looked at.

use std::path::Path;

use orion_core::command::Size;

use crate::{
    cli,
    config::{Config, Sources},
};

/// The configuration in force: options before the environment, that before the file, that before the defaults.
///
/// # Errors
/// What is wrong with the file, the environment, or the choice of a camera.
pub(super) fn config(options: &cli::Annotate) -> Result<Config, String> {
    let read = Sources::read(options.config.as_deref()).and_then(|sources| sources.load());
    let mut config = sensor(read.map_err(|error| error.to_string())?, options.camera.as_deref())?;
    config.models.others.clear();
    let worker = &mut config.models.person_detector;
    worker.worker_group.clear();
    if let Some(folder) = &options.model_dir {
        worker.model_dir = text(folder)?;
        if worker.size == Size::Orion {
            // Who names a folder has models there; --size goes before this.
            worker.size = Size::N;
        }
        if options.model.is_none() {
            // It is meant to be found in that folder.
            worker.model_path.clear();
            worker.model_path_320.clear();
        }
    }
    if let Some(file) = &options.model {
        worker.model_path = text(file)?;
        worker.model_path_320 = options.model_320.as_deref().map_or_else(|| Ok(String::new()), text)?;
    }
    if let Some(size) = options.size {
        worker.size = size;
    }
    if let Some(detector) = options.detector {
        worker.detector = detector;
    }
    if let Some(confidence) = options.confidence {
        worker.confidence = confidence;
    }
    if !options.labels.is_empty() {
        worker.labels.clone_from(&options.labels);
    }
    if let Some(workers) = options.workers {
        worker.workers = workers;
    }
    if !options.roi.is_empty() {
        config.rois.attention.clone_from(&options.roi);
    }
    if let Some(strategy) = options.auto_focus {
        config.rois.attention.clear();
        config.rois.auto_focus.enabled = true;
        config.rois.auto_focus.strategy = strategy;
    }
    Ok(config)
}

fn sensor(config: Config, wanted: Option<&str>) -> Result<Config, String> {
    let mut sensors = config.sensors();
    let names: Vec<_> = sensors.iter().map(|sensor| sensor.instance_id.clone()).collect();
    let found = match wanted {
        None if sensors.len() == 1 => Some(0),
        None => {
            return Err(format!(
                "the configuration has several cameras; choose one with --camera: {}",
                names.join(", ")
            ));
        }
        Some(wanted) => names.iter().position(|name| name == wanted),
    };
    match found {
        Some(at) => Ok(sensors.swap_remove(at)),
        None => Err(format!("--camera {}: the configuration has {}", wanted.unwrap_or_default(), names.join(", "))),
    }
}

fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{}: expected a name in UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use orion_core::command::FocusStrategy;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn planned(arguments: &[&str]) -> Result<Config, String> {
        let all = ["orion-launch", "annotate", "in.mp4", "out.mp4"].into_iter().chain(arguments.iter().copied());
        match Arguments::parse_from(all).command {
            Some(Command::Annotate(options)) => config(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_go_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("o.yaml");
        let yaml = "instance_id: ward\nmodels: {person_detector: {confidence: 0.3, workers: 2}}\nrois: {attention: [{x: 0, y: 0, width: 1, height: 0.5}]}\n";
        std::fs::write(&file, yaml).unwrap();
        let file = file.to_str().unwrap();
        let config = planned(&["--config", file, "--workers", "3", "--model-dir", "/m"]).unwrap();
        let worker = &config.models.person_detector;
        assert_eq!((worker.confidence, worker.workers, worker.model_dir.as_str()), (0.3, 3, "/m"));
        assert_eq!(worker.size, Size::N, "of the models in that folder");
        assert_eq!(planned(&["--config", file]).unwrap().models.person_detector.size, Size::Orion);
        assert_eq!((config.instance_id.as_str(), config.rois.attention.len()), ("ward", 1));
        let focused = planned(&["--config", file, "--auto-focus", "smoothing"]).unwrap();
        assert!(focused.rois.attention.is_empty() && focused.rois.auto_focus.enabled);
        assert_eq!(focused.rois.auto_focus.strategy, FocusStrategy::Smoothing);
        let config =
            planned(&["--labels", "car,dog", "--model", "a.onnx", "--roi", "0,0,1,1", "--roi", "0,0,1,0.5"]).unwrap();
        assert_eq!((config.models.person_detector.labels.len(), config.rois.attention.len()), (2, 2));
        assert_eq!(config.models.person_detector.model_path, "a.onnx");
    }

    #[test]
    fn of_several_cameras_one_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("o.yaml");
        let yaml = "cameras:\n- {instance_id: a, camera: {rtsp_url: 'rtsp://a/x'}}\n- {instance_id: b, camera: {rtsp_url: 'rtsp://b/x'}}\n";
        std::fs::write(&file, yaml).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(planned(&["--config", file, "--camera", "b"]).unwrap().instance_id, "b");
        assert!(planned(&["--config", file]).unwrap_err().ends_with("choose one with --camera: a, b"));
        assert_eq!(
            planned(&["--config", file, "--camera", "c"]).unwrap_err(),
            "--camera c: the configuration has a, b"
        );
    }
}
