// SPDX-License-Identifier: MPL-2.0
//! The daemon and its configuration, as a user meets them: what is wrong is told with place, key and remedy before anything
//! starts; what is printed can be used.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/wrong.rs"]
mod wrong;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use gst::prelude::*;
use serde_json::Value;
use wrong::{FILES, SECRET, Schema, VARIABLES, WRONG};

/// The daemon's binary in a directory of its own, with programs that leave a mark when they are started.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for program in ["mosquitto", "worker"] {
            let file = bench.write(program, format!("#!/bin/sh\ntouch '{}'\n", bench.path("started").display()));
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(bench.path("folder")).unwrap();
        bench.write("empty", "\n");
        bench.write("secret", format!("{SECRET}\n"));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Runs it there; paths are relative to that.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orion-launch"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ORION_")) {
            command.env_remove(name);
        }
        let path = format!("{}:{}", self.directory.path().display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("ORION_WORKER", self.path("worker")).envs(variables.iter().copied());
        command.args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    /// What it prints; all must be well.
    fn print(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(arguments, variables);
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it refuses this with: `check` and the daemon itself say the same, and nothing was started.
    fn refused(&self, name: &str, variables: &[(&str, &str)]) -> String {
        let check = self.run(&["check", "--config", name], variables);
        let daemon = self.run(&["--config", name], variables);
        assert_eq!((check.status.code(), daemon.status.code()), (Some(2), Some(2)), "{}", told(&daemon));
        assert!(check.stdout.is_empty() && daemon.stdout.is_empty());
        // Any other line would come from a part that has started.
        assert_eq!(told(&check), told(&daemon));
        assert!(!self.path("started").exists(), "a program was started");
        told(&check)
    }
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn schema() -> jsonschema::Validator {
    let text = fs::read_to_string(pipelines().join("orion.schema.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn pipelines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines").canonicalize().unwrap()
}

fn yaml(text: &str) -> Option<Value> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).ok()
}

/// Runs all of `cases` on a few threads: most of the time goes into starting processes.
fn all<T: Sync>(cases: &[T], test: impl Fn(usize, &T) + Sync) {
    std::thread::scope(|scope| {
        for part in 0..4 {
            let test = &test;
            scope.spawn(move || cases.iter().enumerate().skip(part).step_by(4).for_each(|(at, case)| test(at, case)));
        }
    });
}

#[test]
fn what_is_wrong_is_told_before_anything_starts() {
    assert!(WRONG.len() + FILES.len() + VARIABLES.len() >= 60);
    let (bench, schema) = (Bench::new(), schema());
    all(WRONG, |at, case| {
        let name = format!("{at}.yaml");
        bench.write(&name, case.yaml);
        let text = bench.refused(&name, &[]);
        let place = format!("{name}:{}", case.place);
        let line = text.lines().find(|line| line.starts_with(&place) && line.contains(case.key));
        let line = line.unwrap_or_else(|| panic!("{:?}: no line with {place} and {}: {text}", case.yaml, case.key));
        assert!(line.contains(case.expected), "{:?}: {:?} is not in {text}", case.yaml, case.expected);
        assert!(!text.contains(SECRET), "{:?}: {text}", case.yaml);
        if case.schema == Schema::Refuses {
            assert!(!yaml(case.yaml).is_some_and(|value| schema.is_valid(&value)), "the schema takes {:?}", case.yaml);
        }
    });
}

#[test]
fn what_is_no_configuration_is_told() {
    let bench = Bench::new();
    all(FILES, |at, (content, expected)| {
        let name = format!("{at}.yaml");
        bench.write(&name, content);
        let text = bench.refused(&name, &[]);
        assert!(text.starts_with(&format!("{name}{expected}")), "{expected}: {text}");
    });
    bench.write("large.yaml", vec![b'#'; 1024 * 1024 + 1]);
    let anchors = (1..9).fold("l0: &l0 [x]\n".to_owned(), |text, n| {
        text + &format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(","))
    });
    bench.write("anchors.yaml", anchors);
    bench.write("deep.yaml", format!("room_id: {}{}", "[".repeat(1000), "]".repeat(1000)));
    for (name, expected) in [
        ("not-there.yaml", ": there is no such file"),
        ("folder", ": is a directory, expected a file"),
        ("large.yaml", ": is larger than 1 MiB"),
        ("anchors.yaml", ":6:"),
        ("deep.yaml", ":1:"),
    ] {
        let text = bench.refused(name, &[]);
        assert!(text.starts_with(&format!("{name}{expected}")), "{name}: {text}");
    }
}

#[test]
fn what_is_wrong_in_the_environment_is_told_by_the_variables_name() {
    let bench = Bench::new();
    bench.write("good.yaml", "instance_id: a\n");
    all(VARIABLES, |_, (name, value, expected)| {
        let text = bench.refused("good.yaml", &[(name, value)]);
        assert!(text.contains(name) && text.contains(expected), "{name}={value}: {text}");
        assert!(!text.contains(SECRET), "{name}: {text}");
    });
}

#[test]
fn the_schema_is_printed_and_takes_the_documented_default() {
    let bench = Bench::new();
    let printed = bench.print(&["schema"], &[]);
    assert_eq!(printed, fs::read_to_string(pipelines().join("orion.schema.json")).unwrap());
    let default = yaml(&fs::read_to_string(pipelines().join("orion.yaml")).unwrap()).unwrap();
    assert!(schema().is_valid(&default));
}

const RICH: &str = r#"
instance_id: ward-3
room_id: "007"
shutdown_timeout_s: 7.5
camera: {rtsp_url: "rtsp://me@cam:554/a?b=c", transport: udp, codec: h264}
stream: {resolution: 720p, fps: 12.5, format: raw}
models:
  person_detector: {detector: yolox, labels: [person, "no"], workers: 2}
  fall: {worker_command: "worker 'a b' $HOME", size: s, threads: 4}
rois:
  attention: [{x: 0.1, y: 0.25, width: 0.5, height: 0.5}]
  auto_focus: {enabled: true, strategy: velocity}
mqtt:
  uri: mqtts://broker
  username: me
  password_file: secret
  tls: {insecure: true}
  version: 5
  client_id: a b
  clean_start: false
  session_expiry_interval_s: 60
  max_buffered_bytes: 18446744073709551615
  max_reconnect_interval_s: 0.5
  profile: frigate
  event_threshold: 0.5
  snapshots: {enabled: true, interval_s: 0.25}
http: {bind: "[::1]:0", metrics: false}
watchdog: {interval_s: 0.5}
presence: {evidence_timeout_s: 7.5, frozen_after_s: 0}
log: {stats_interval_s: 0}
"#;

const FLEET: &str = r#"
instance_id: ward
models: {person_detector: {worker_group: pool}}
mqtt: {prefix: house}
cameras:
  - {instance_id: ward-1, room_id: "101", camera: {rtsp_url: "rtsp://me@10.0.0.11/s", codec: h264}}
  - instance_id: ward-2
    camera:
    models: {person_detector: {max_inference_rate_hz: 2}, fall: {worker_command: worker}}
    stream: {fps: 12.5, resolution: 320p}
    rois: {attention: [{x: 0.1, y: 0.25, width: 0.5, height: 0.5}]}
    presence: {enabled: false}
"#;

#[test]
fn what_is_printed_can_be_read_again() {
    let bench = Bench::new();
    let documented = fs::read_to_string(pipelines().join("orion.yaml")).unwrap();
    let own = "pipeline: |\n  fakesrc # \"one\n   name=\\${a} tag=${TAG:-it's} ! fakesink\n";
    for (name, text) in [
        ("rich.yaml", RICH),
        ("fleet.yaml", FLEET),
        ("documented.yaml", &documented),
        ("own.yaml", own),
        ("none.yaml", ""),
    ] {
        bench.write(name, text);
        let first = bench.print(&["print-config", "--config", name], &[]);
        assert!(schema().is_valid(&yaml(&first).unwrap()), "{first}");
        bench.write("again.yaml", &first);
        assert_eq!(bench.print(&["check", "--config", "again.yaml"], &[]), "the configuration is good\n");
        assert_eq!(bench.print(&["print-config", "--config", "again.yaml"], &[]), first);
        let pipeline = |name| bench.print(&["print-pipeline", "--config", name], &[]);
        assert_eq!(pipeline(name), pipeline("again.yaml"));
    }
}

#[test]
fn a_printed_pipeline_can_be_pasted() {
    gst::init().unwrap();
    gstorion::plugin_register_static().unwrap();
    let bench = Bench::new();
    bench.write("clip.mp4", "");
    for (text, element) in [
        ("", "infer"),
        ("camera: {file: clip.mp4}", "infer"),
        ("camera: {file: clip.mp4, loop: true}\nmodels: {fall: {worker_command: worker}}", "fall"),
        (RICH, "fall"),
        ("pipeline: |\n  # mine\n  videotestsrc ! fakesink name=out", "out"),
    ] {
        bench.write("a.yaml", text);
        let printed = bench.print(&["print-pipeline", "--config", "a.yaml"], &[]);
        let pipeline = gst::parse::launch(printed.trim()).unwrap_or_else(|error| panic!("{error}: {printed}"));
        assert!(pipeline.downcast::<gst::Bin>().unwrap().by_name(element).is_some(), "{printed}");
    }
}

#[test]
fn a_list_of_cameras_is_printed_without_passwords() {
    gst::init().unwrap();
    gstorion::plugin_register_static().unwrap();
    let bench = Bench::new();
    let secret = FLEET.replace("me@10", &format!("me:{SECRET}@10"));
    // The group is a property that the elements of this build need not have.
    bench.write("fleet.yaml", secret.replace("worker_group: pool", ""));
    assert_eq!(bench.print(&["check", "--config", "fleet.yaml"], &[]), "the configuration is good\n");
    let variables = [("ORION_ROOM_ID", "hall")];
    let config = bench.print(&["print-config", "--config", "fleet.yaml"], &variables);
    let pipelines = bench.print(&["print-pipeline", "--config", "fleet.yaml"], &variables);
    for text in [&config, &pipelines] {
        assert!(text.contains("rtsp://me:***@10.0.0.11/s") && !text.contains(SECRET), "{text}");
    }
    let lines: Vec<_> = pipelines.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (4, "# ward-1", "# ward-2"), "{pipelines}");
    for (line, part) in [(1, "room-id=\"101\""), (3, "room-id=\"hall\""), (3, " name=fall "), (3, "max-rate=2 ")] {
        assert!(lines[line].contains(part), "{part}: {pipelines}");
        gst::parse::launch(lines[line]).unwrap_or_else(|error| panic!("{error}: {pipelines}"));
    }
}

#[test]
fn a_pipeline_of_a_file_is_filled_in() {
    let bench = Bench::new();
    let file = pipelines().join("person.launch").display().to_string();
    bench.write("own.yaml", format!("pipeline_file: {file}\n"));
    let address = format!("rtsp://me:{SECRET}@cam/x");
    let variables = [("RTSP_URL", address.as_str()), ("INSTANCE_ID", "ward-3"), ("MQTT_URI", "mqtt://h")];
    assert_eq!(bench.print(&["check", "--config", "own.yaml"], &variables), "the configuration is good\n");
    let printed = bench.print(&["print-pipeline", "--config", "own.yaml"], &variables);
    for part in ["rtspsrc location=rtsp://me:***@cam/x protocols=tcp", "orionroi instance-id=ward-3", "uri=mqtt://h"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains(['#', '{']) && !printed.contains(SECRET), "{printed}");
    let text = bench.refused("own.yaml", &variables[1..]);
    assert!(text.starts_with("own.yaml:1:1: pipeline_file: ") && text.contains("RTSP_URL is not set"), "{text}");
    assert!(text.contains("person.launch:"), "{text}");
}
