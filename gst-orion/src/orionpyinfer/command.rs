// SPDX-License-Identifier: MPL-2.0
//! Which program is the worker, and with which arguments.

use std::path::{Path, PathBuf};

use gst::{glib, prelude::*};

use super::{budget, settings::Settings};

/// Names the worker's script instead of the places where it is looked for.
const SCRIPT_VARIABLE: &str = "ORION_WORKER";
const SCRIPT: &str = "run_worker.sh";

/// The worker's program and arguments.
///
/// # Errors
/// A text that names the property and the remedy.
pub(super) fn command_line(settings: &Settings) -> Result<Vec<String>, String> {
    let mut argv = program(&settings.worker_command)?;
    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
    option("--detector", nick(settings.detector.to_value()));
    option("--model-size", nick(settings.model_size().to_value()));
    option("--confidence", settings.confidence.to_string());
    option("--iou-threshold", settings.iou_threshold.to_string());
    option("--labels", settings.labels.clone());
    option("--threads", threads(settings, budget::threads()).to_string());
    option("--execution-provider", settings.execution_provider.clone());
    // Workers that know nothing of batches need not know these either. An element alone has nobody to share a batch with, and
    // a model that gets ready for batches takes memory.
    let max_batch = if settings.worker_group.is_empty() { 1 } else { settings.max_batch };
    if max_batch != 1 {
        option("--max-batch", max_batch.to_string());
    }
    if max_batch != 1 && settings.batch_wait > 0 {
        option("--batch-wait", (settings.batch_wait as f64 / 1e6).to_string());
    }
    for (name, value) in [
        ("--model-dir", &settings.model_dir),
        ("--model", &settings.model_file),
        ("--model-320", &settings.model_file_320),
    ] {
        if !value.is_empty() {
            option(name, value.clone());
        }
    }
    Ok(argv)
}

/// Threads of each worker. Several that compute with all cores each would only take them from one another.
fn threads(settings: &Settings, share: u32) -> u32 {
    match settings.intra_op_threads {
        0 => share,
        given => given,
    }
}

fn nick(value: glib::Value) -> String {
    glib::EnumValue::from_value(&value).map(|(_, value)| value.nick().to_owned()).unwrap_or_default()
}

fn program(command: &str) -> Result<Vec<String>, String> {
    if command.trim().is_empty() {
        return Ok(vec![shipped_worker(&candidates())?]);
    }
    let words = glib::shell_parse_argv(command).map_err(|error| format!("worker-command {command:?}: {error}"))?;
    words
        .into_iter()
        .map(|word| word.into_string().map_err(|word| format!("worker-command: {} is no UTF-8", word.display())))
        .collect()
}

/// The places where the shipped worker may be, best first.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os(SCRIPT_VARIABLE).filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let mut places = Vec::new();
    // Built from the tree: target/*/libgstorion.so; the daemon: target/*/orion-launch.
    let plugin = gst::Registry::get().find_plugin("orion").and_then(|plugin| plugin.filename());
    for file in plugin.into_iter().chain(std::env::current_exe()) {
        let file = where_it_was(&file);
        places.extend(file.ancestors().skip(1).take(5).map(|dir| dir.join("models")));
        // Installed: lib/…/gstreamer-1.0/libgstorion.so or bin/orion-launch beside share/orion.
        places.extend(file.ancestors().skip(1).take(5).map(|dir| dir.join("share/orion/models")));
    }
    places.iter().map(|dir| dir.join(SCRIPT)).collect()
}

/// A file without links in its path. That of a program which was replaced while it runs, as by an update, is where its
/// successor lies: Linux adds a word to the name.
fn where_it_was(file: &Path) -> PathBuf {
    let name = file.to_string_lossy();
    let file = name.strip_suffix(" (deleted)").map_or(file, Path::new);
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}

fn shipped_worker(candidates: &[PathBuf]) -> Result<String, String> {
    candidates.iter().find(|path| path.is_file()).map(|path| path.to_string_lossy().into_owned()).ok_or_else(|| {
        let places = candidates.iter().map(|path| path.as_path()).filter_map(Path::parent);
        let places = places.map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
        format!(
            "the shipped worker {SCRIPT} is in none of {places}; set worker-command, or {SCRIPT_VARIABLE} to its path"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_where_its_successor_lies() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("orion-launch");
        let gone = PathBuf::from(format!("{} (deleted)", file.display()));
        assert_eq!(where_it_was(&gone), file, "between the two");
        std::fs::write(&file, "").unwrap();
        assert_eq!(where_it_was(&gone), file);
        std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
        assert_eq!(where_it_was(&dir.path().join("link")), file);
    }

    #[test]
    fn settings_become_arguments() {
        gst::init().unwrap();
        let settings = Settings {
            worker_command: "sh '/a b/w.sh' -v".into(),
            model_dir: "/m".into(),
            labels: "person,dog".into(),
            ..Settings::default()
        };
        let argv = command_line(&settings).unwrap();
        assert_eq!(argv[..3], ["sh", "/a b/w.sh", "-v"]);
        let after = |option: &str| argv.iter().position(|word| word == option).map(|at| argv[at + 1].as_str());
        assert_eq!(after("--detector"), Some("auto"));
        assert_eq!(after("--model-size"), Some("n"));
        assert_eq!(after("--confidence"), Some("0.5"));
        assert_eq!(after("--labels"), Some("person,dog"));
        assert_eq!(after("--model-dir"), Some("/m"));
        assert_eq!(after("--model"), None);
        assert_eq!((after("--max-batch"), after("--batch-wait")), (None, None));
    }

    #[test]
    fn batches_are_for_groups() {
        gst::init().unwrap();
        let words = |worker_group: &str, max_batch, batch_wait| {
            let (worker_command, worker_group) = ("sh w.sh".to_owned(), worker_group.to_owned());
            let settings = Settings { worker_command, worker_group, max_batch, batch_wait, ..Settings::default() };
            let argv = command_line(&settings).unwrap();
            argv.into_iter().skip_while(|word| !word.contains("-batch")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words("", 4, 1_000_000), "");
        assert_eq!(words("all", 1, 1_000_000), "");
        assert_eq!(words("all", 0, 0), "--max-batch 0");
        assert_eq!(words("all", 4, 2_500_000), "--max-batch 4 --batch-wait 2.5");
    }

    #[test]
    fn a_worker_has_its_share_of_threads_unless_told_otherwise() {
        let with = |intra_op_threads| Settings { intra_op_threads, ..Settings::default() };
        assert_eq!(threads(&with(0), 8), 8);
        assert_eq!(threads(&with(3), 8), 3);
    }

    #[test]
    fn an_unclosed_quote_and_a_missing_script_are_named() {
        let settings = Settings { worker_command: "sh 'x".into(), ..Settings::default() };
        assert!(command_line(&settings).unwrap_err().starts_with("worker-command \"sh 'x\""));
        let error = shipped_worker(&[PathBuf::from("/nowhere/run_worker.sh")]).unwrap_err();
        assert!(error.contains("in none of /nowhere;") && error.contains("ORION_WORKER"), "{error}");
    }

    #[test]
    fn the_shipped_worker_is_found_from_the_build_tree() {
        gst::init().unwrap();
        let found = shipped_worker(&candidates()).unwrap();
        assert!(found.ends_with("models/run_worker.sh"), "{found}");
    }
}
