// SPDX-License-Identifier: MPL-2.0
//! The files of the contract in `gst-orion/core/schema`, and what their schemas accept.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/contract.rs"]
mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use jsonschema::Validator;
use orion_core::{
    command::{Command, Request},
    contract::{self, ASYNCAPI_FILE, MESSAGES},
    gap::GAP_TYPE,
    ledger::Cause,
    profile::{dlstreamer, frigate},
    report::Report,
    status::Status,
    topic::RAW_TYPE,
};
use serde_json::{Map, Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

#[test]
fn the_files_say_what_the_types_say() {
    let mut files = contract::schemas();
    files.push((ASYNCAPI_FILE.to_owned(), contract::asyncapi()));
    if env::var_os("ORION_WRITE_SCHEMA").is_some() {
        let _ = fs::remove_dir_all(folder());
        fs::create_dir(folder()).unwrap();
        files.iter().for_each(|(name, value)| fs::write(folder().join(name), text(value)).unwrap());
    }
    for (name, value) in &files {
        let found = fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(found == text(value), "{name} is not what the types say; `make schema` rewrites it");
    }
    let there = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let meant: BTreeSet<_> = files.into_iter().map(|(name, _)| name).collect();
    assert_eq!(there.collect::<BTreeSet<_>>(), meant, "`make schema` removes what no message needs");
}

#[test]
fn the_document_holds_together() {
    let (document, schemas) = (contract::asyncapi(), contract::schemas());
    let follow = |reference: &Value| {
        let pointer = reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"))
    };
    let operations = document["operations"].as_object().unwrap();
    assert_eq!(operations.len(), MESSAGES.len());
    for operation in operations.values() {
        let channel = follow(&operation["channel"]);
        let [message] = operation["messages"].as_array().unwrap().as_slice() else { panic!("{operation}") };
        assert!(channel["messages"].as_object().unwrap().values().any(|one| one == follow(message)), "{operation}");
        let message = follow(follow(message));
        let file = message["payload"]["$ref"].as_str().map(|path| path.strip_prefix("./").unwrap());
        assert!(file.is_none_or(|file| schemas.iter().any(|(name, _)| name == file)), "{file:?}");
        assert_eq!(file.is_none(), message["contentType"] == "application/octet-stream", "{message}");
        let address = channel["address"].as_str().unwrap();
        let used: BTreeSet<_> = address.split(['{', '}']).skip(1).step_by(2).collect();
        let described: BTreeSet<_> = channel["parameters"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(used, described, "{address}");
    }
    let names: BTreeSet<_> = MESSAGES.iter().map(|message| message.name).collect();
    assert_eq!(names.len(), MESSAGES.len(), "a name is used twice");
    let address = |name: &str| MESSAGES.iter().find(|message| message.name == name).unwrap().address;
    assert!(address("gap").ends_with(&format!("/{GAP_TYPE}")));
    assert!(address("buffer").ends_with(&format!("/{RAW_TYPE}")));
}

/// The schema as shipped, and with nothing undeclared allowed.
fn validators(name: &str) -> [Validator; 2] {
    let file = format!("{name}.schema.json");
    let (_, schema) = contract::schemas().into_iter().find(|(found, _)| *found == file).unwrap();
    assert!(jsonschema::meta::is_valid(&schema), "{name} is not a JSON Schema");
    let build = |schema: &Value| jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    [build(&schema), build(&contract::strict(schema))]
}

fn inference() -> Value {
    json!({
        "type": "person_detection", "instance_id": "ward-3", "room_id": "", "frame_seq": 7,
        "timestamp": "2026-11-22T08:00:00.000000001Z",
        "data": {
            "detections": [
                {"bbox": {"x": 0.0, "y": 2.5, "width": 3.0, "height": 4.0}, "confidence": 0.5, "label": "person", "label_id": 0},
                {"bbox": {"x": 9.0, "y": 2.5, "width": 0.5, "height": 4.0}, "confidence": 0.25, "label": "cat"},
            ],
            "count": 2, "metadata": {"model_selected": "320", "anything": [1, {"at": "all"}]},
        },
        "timing": {"preprocess_ms": 0.0, "inference_ms": 1.5, "postprocess_ms": 0.25, "total_ms": 1.75},
        "suggested_roi": {"x": 0.0, "y": 0.25, "width": 1.0, "height": 0.5},
        "clock_source": "camera", "latency_ms": -0.5,
        "stages": {"queue_ms": 0.0, "worker_ms": 2.0, "publish_ms": 0.125},
        "time_since_full_sweep_ms": 40.0, "coverage": 0.5, "lost_since_last": {"queue_full": 2, "too_old": 1},
    })
}

fn gap() -> Value {
    json!({
        "type": "gap", "instance_id": "ward-3", "room_id": "7", "timestamp": "2026-11-22T08:00:00.000000001Z",
        "missing_type": "person_detection", "cause": "no_connection", "frames": 3,
        "ranges": [{"first": 8, "last": 9, "frames": 2}, {"first": 0, "last": 0, "frames": 1}],
    })
}

fn dlstreamer() -> Value {
    json!({
        "objects": [{
            "detection": {
                "bounding_box": {"x_max": 1.0, "x_min": 0.0, "y_max": 0.75, "y_min": 0.25},
                "confidence": 0.5, "label": "person", "label_id": 0,
            },
            "h": 180, "roi_type": "person", "w": 640, "x": 0, "y": 90,
        }],
        "resolution": {"height": 360, "width": 640},
        "source": "ward-3",
        "tags": {
            "capture_time": "2026-11-22T08:00:00.000000001Z", "frame_seq": 41, "instance_id": "ward-3", "room_id": "",
            "type": "person_detection",
        },
        "timestamp": 1_500_000_000,
    })
}

fn frigate() -> Value {
    let snapshot = json!({
        "frame_time": 1.5, "box": [10, 20, 51, 80], "area": 2460, "region": [0, 0, 640, 480], "score": 1.0, "attributes": [],
        "current_estimated_speed": 0.0, "velocity_angle": 0.0, "path_data": [[[0.0, 1.0], 1.5]],
        "recognized_license_plate": null, "recognized_license_plate_score": null,
    });
    let state = json!({
        "id": "1.500000-aaaak9", "camera": "ward-3", "frame_time": 1.5, "snapshot": snapshot, "label": "person", "sub_label": null,
        "top_score": 0.0, "false_positive": false, "start_time": 1.5, "end_time": 2.5, "score": 0.75, "box": [10, 20, 51, 80],
        "area": 2460, "ratio": 0.5, "region": [0, 0, 640, 480], "active": true, "stationary": false, "motionless_count": 0,
        "position_changes": 0, "current_zones": [], "entered_zones": [], "has_clip": false, "has_snapshot": false,
        "attributes": {}, "current_attributes": [], "pending_loitering": false, "max_severity": null,
        "current_estimated_speed": 0.0, "average_estimated_speed": 0.0, "velocity_angle": 0.0,
        "path_data": [[[0.0469, 0.1667], 1.5]], "recognized_license_plate": null,
    });
    json!({"type": "end", "before": with(state.clone(), "/end_time", json!(null)), "after": state})
}

/// Without the field at a JSON pointer.
fn without(mut message: Value, pointer: &str) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    assert!(message.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).is_some(), "{pointer}");
    message
}

/// With the value at a JSON pointer changed; a new field where there is none.
fn with(mut message: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match message.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(field.to_owned(), value);
        }
        other => other[field.parse::<usize>().unwrap()] = value,
    }
    message
}

#[test]
fn what_is_written_is_accepted() {
    let [open, strict] = validators("inference");
    let full = with(with(inference(), "/time_since_full_sweep_ms", json!(null)), "/replayed", json!(true));
    for good in [inference(), full, with(inference(), "/suggested_roi", json!(null))] {
        assert!(open.is_valid(&good) && strict.is_valid(&good), "{:?}", strict.validate(&good));
        // No example of ours only: the type reads it, and writes the same again.
        let report: Report = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(serde_json::to_value(report).unwrap(), good);
    }
    let every: Map<_, _> = Cause::ALL.into_iter().map(|cause| (cause.as_str().to_owned(), json!(1))).collect();
    assert!(strict.is_valid(&with(inference(), "/lost_since_last", every.into())));
    let [_, strict] = validators("gap");
    for cause in Cause::ALL {
        assert!(strict.is_valid(&with(gap(), "/cause", cause.as_str().into())), "{cause:?}");
    }
    let [_, strict] = validators("status");
    for status in [Status::Online, Status::Offline, Status::Stopped] {
        assert!(strict.is_valid(&status.as_str().into()), "{status:?}");
    }
    let [open, strict] = validators("dlstreamer");
    let no_size = without(without(dlstreamer(), "/objects/0/detection"), "/resolution");
    let unlabelled = ["/objects/0/detection/label", "/objects/0/detection/label_id", "/objects/0/roi_type"];
    let unlabelled = unlabelled.into_iter().fold(dlstreamer(), without);
    for good in [
        dlstreamer(),
        no_size,
        unlabelled,
        with(dlstreamer(), "/objects", json!([])),
        without(without(dlstreamer(), "/source"), "/timestamp"),
    ] {
        assert!(open.is_valid(&good) && strict.is_valid(&good), "{good}: {:?}", strict.validate(&good));
        let frame: dlstreamer::Frame = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(serde_json::to_value(frame).unwrap(), good);
    }
    let [open, strict] = validators("frigate");
    let mut good = vec![frigate(), with(frigate(), "/after/region", json!([0, 0, 0, 0]))];
    good.extend(["new", "update"].map(|kind| with(frigate(), "/type", json!(kind))));
    good.push(with(frigate(), "/before/path_data", json!([])));
    for good in good {
        assert!(open.is_valid(&good) && strict.is_valid(&good), "{good}: {:?}", strict.validate(&good));
        let event: frigate::Event = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(serde_json::to_value(event).unwrap(), good);
    }
}

/// Pointers to all fields of all objects in a message but those that may be anything, may be missing or are named freely.
fn required(message: &Value) -> Vec<String> {
    fn collect(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter().filter(|(name, _)| *name != "label_id") {
                    let here = format!("{at}/{name}");
                    if !["metadata", "lost_since_last"].contains(&name.as_str()) {
                        collect(value, &here, found);
                    }
                    found.push(here);
                }
            }
            Value::Array(values) => {
                values.iter().enumerate().for_each(|(n, value)| collect(value, &format!("{at}/{n}"), found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(message, "", &mut found);
    found
}

#[test]
fn a_field_that_is_missing_of_another_type_or_too_many_is_refused() {
    for (name, message, fields) in [("inference", inference(), 42), ("gap", gap(), 14)] {
        let [open, strict] = validators(name);
        let pointers = required(&message);
        assert_eq!(pointers.len(), fields, "{pointers:?}");
        for pointer in pointers {
            let (parent, _) = pointer.rsplit_once('/').unwrap();
            assert!(!open.is_valid(&without(message.clone(), &pointer)), "{name} without {pointer}");
            // No field is either true or a list of false.
            for wrong in [json!(true), json!([false])] {
                assert!(!open.is_valid(&with(message.clone(), &pointer, wrong.clone())), "{name}: {pointer} = {wrong}");
            }
            let more = with(message.clone(), &format!("{parent}/new_field"), json!(1));
            assert!(open.is_valid(&more), "readers ignore {parent}/new_field");
            assert!(!strict.is_valid(&more), "{name}: {parent}/new_field");
        }
    }
}

#[test]
fn a_value_out_of_range_is_refused() {
    let [inferences, _] = validators("inference");
    for (pointer, wrong) in [
        ("/type", json!("Persons!")),
        ("/type", json!("")),
        ("/instance_id", json!("a/b")),
        ("/instance_id", json!("")),
        ("/timestamp", json!("yesterday")),
        ("/timestamp", json!("2026-11-22T08:00:00Z")),
        ("/timestamp", json!("2026-13-22T08:00:00.000000001Z")),
        ("/frame_seq", json!(-1)),
        ("/frame_seq", json!(1.5)),
        ("/data/count", json!(-1)),
        ("/data/detections/1/confidence", json!(1.01)),
        ("/data/detections/0/confidence", json!(-0.01)),
        ("/data/detections/0/bbox/width", json!(0)),
        ("/data/detections/0/bbox/height", json!(-1)),
        ("/data/detections/0/label_id", json!(-1)),
        ("/timing/total_ms", json!(-0.001)),
        ("/timing/inference_ms", json!(null)),
        ("/suggested_roi/x", json!(1.5)),
        ("/suggested_roi/y", json!(-0.1)),
        ("/suggested_roi/width", json!(0)),
        ("/suggested_roi/height", json!(2)),
        ("/clock_source", json!("Camera")),
        ("/latency_ms", json!(null)),
        ("/stages/queue_ms", json!(-1)),
        ("/time_since_full_sweep_ms", json!(-1)),
        ("/coverage", json!(1.5)),
        ("/coverage", json!(-0.5)),
        ("/lost_since_last", json!({"lost_in_thought": 1})),
        ("/lost_since_last", json!({"queue_full": 0})),
        ("/lost_since_last", json!({"queue_full": -1})),
        ("/lost_since_last", json!({"queue_full": 1.5})),
        ("/replayed", json!("yes")),
    ] {
        assert!(!inferences.is_valid(&with(inference(), pointer, wrong.clone())), "{pointer} = {wrong}");
    }
    let [gaps, _] = validators("gap");
    for (pointer, wrong) in [
        ("/type", json!("person_detection")),
        ("/instance_id", json!("a b")),
        ("/timestamp", json!("now")),
        ("/missing_type", json!("A")),
        ("/cause", json!("lost_in_thought")),
        ("/frames", json!(0)),
        ("/ranges", json!([])),
        ("/ranges", json!(vec![gap()["ranges"][0].clone(); orion_core::gap::MAX_RANGES + 1])),
        ("/ranges/0/first", json!(-1)),
        ("/ranges/1/frames", json!(0)),
    ] {
        assert!(!gaps.is_valid(&with(gap(), pointer, wrong.clone())), "{pointer} = {wrong}");
    }
    let [frames, _] = validators("dlstreamer");
    for (pointer, wrong) in [
        ("/objects/0/detection/confidence", json!(7)),
        ("/objects/0/detection/confidence", json!(-0.01)),
        ("/objects/0/detection/bounding_box/x_max", json!(99)),
        ("/objects/0/detection/bounding_box/x_min", json!(-5)),
        ("/objects/0/detection/bounding_box/y_max", json!(1.01)),
        ("/objects/0/detection/bounding_box/y_min", json!(-0.01)),
        ("/objects/0/detection/label", json!("")),
        ("/objects/0/detection/label_id", json!(-1)),
        ("/objects/0/roi_type", json!("")),
        ("/objects/0/x", json!(-1)),
        ("/objects/0/w", json!(1.5)),
        ("/resolution/width", json!(0)),
        ("/resolution/height", json!(-1)),
        ("/source", json!("")),
        ("/tags/capture_time", json!("yesterday")),
        ("/tags/capture_time", json!("2026-11-22T08:00:00Z")),
        ("/tags/frame_seq", json!(-1)),
        ("/tags/instance_id", json!("a b/#")),
        ("/tags/instance_id", json!("")),
        ("/tags/type", json!("Persons!")),
        ("/timestamp", json!(-1)),
    ] {
        assert!(!frames.is_valid(&with(dlstreamer(), pointer, wrong.clone())), "{pointer} = {wrong}");
    }
    let [events, _] = validators("frigate");
    assert!(!events.is_valid(&with(frigate(), "/type", json!("gone"))));
    for (pointer, wrong) in [
        ("/id", json!("1.5-aaaak9")),
        ("/id", json!("1.500000-AAAAK9")),
        ("/camera", json!("a b/#")),
        ("/camera", json!("a".repeat(257))),
        ("/label", json!("a".repeat(257))),
        ("/frame_time", json!(-1)),
        ("/start_time", json!(-1)),
        ("/end_time", json!(-1)),
        ("/top_score", json!(7)),
        ("/top_score", json!(-0.01)),
        ("/score", json!(1.01)),
        ("/score", json!(-1)),
        ("/ratio", json!(-1)),
        ("/area", json!(-1)),
        ("/box", json!([1, 2, 3])),
        ("/box", json!([-1, 2, 3, 4])),
        ("/region", json!([0, 0, 1, 1, 1])),
        ("/motionless_count", json!(-1)),
        ("/path_data", json!([[[1.1, 0.5], 1.5]])),
        ("/path_data", json!([[[0.5, -0.1], 1.5]])),
        ("/path_data", json!([[[0.5, 0.5], -1]])),
        ("/path_data", json!([[[0.5], 1.5]])),
        ("/path_data", json!([[[0.5, 0.5, 0.5], 1.5]])),
        ("/path_data", json!([[[0.5, 0.5]]])),
        ("/path_data", json!(vec![json!([[0.5, 0.5], 1.5]); 51])),
        ("/snapshot/score", json!(7)),
        ("/snapshot/frame_time", json!(-1)),
        ("/snapshot/path_data", json!([[[0.5, 99], 1.5]])),
    ] {
        for state in ["/before", "/after"] {
            let pointer = format!("{state}{pointer}");
            assert!(!events.is_valid(&with(frigate(), &pointer, wrong.clone())), "{pointer} = {wrong}");
        }
    }
    let [statuses, _] = validators("status");
    for wrong in [json!("Online"), json!("on"), json!(""), json!(null), json!({"state": "online"})] {
        assert!(!statuses.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn messages_are_told_by_their_topic_or_else_by_what_they_say() {
    let check = |topic: &str, payload: &Value| support::check(topic, payload.to_string().as_bytes());
    let undeclared = with(inference(), "/stages/mood", json!("good"));
    let mut incomplete = inference();
    incomplete.as_object_mut().unwrap().remove("coverage");
    for topic in ["care/inferences/ward-3/person_detection", "house/7/person_detection", "t"] {
        assert_eq!(check(topic, &inference()), Ok(()), "{topic}");
        let error = check(topic, &undeclared).unwrap_err();
        assert!(error.contains("/stages") && error.contains("mood") && error.contains(topic), "{error}");
        let error = check(topic, &incomplete).unwrap_err();
        assert!(error.contains("\"coverage\" is a required property"), "{error}");
    }
    for topic in ["care/inferences/ward-3/gap", "house/7/gap", "t"] {
        assert_eq!(check(topic, &gap()), Ok(()), "{topic}");
        assert!(check(topic, &with(gap(), "/frames", json!(0))).unwrap_err().contains("/frames"), "{topic}");
    }
    assert!(check("care/inferences/ward-3/gap", &inference()).is_err(), "the most exact address counts");
    let raw = |topic: &str, payload: &str| support::check(topic, payload.as_bytes());
    assert_eq!(raw("care/status/ward-3", "online"), Ok(()));
    for wrong in ["\"online\"", "Online", ""] {
        assert!(raw("care/status/ward-3", wrong).is_err(), "{wrong:?}");
    }
    assert!(raw("care/inferences/ward-3/x", "not JSON").unwrap_err().contains("not JSON"));
    assert_eq!(support::check("care/inferences/sink/buffer", &[0xff, 0]), Ok(()), "anything");
    for (topic, payload) in [("t", "0"), ("t", "online"), ("t", "{\"type\": \"x\"}"), ("care/inferences/a/b/c", "?")] {
        assert_eq!(raw(topic, payload), Ok(()), "not ours: {topic} {payload}");
    }
}

#[test]
#[should_panic = "is not as the contract says"]
fn a_violation_ends_a_test() {
    support::validate("care/status/ward-3", b"fine");
}

#[test]
fn what_the_daemon_says_and_takes_is_described() {
    let ack = json!({"command_ack": "get_status", "status": "success", "id": 7, "data": {"a": [1]}, "revision": 1,
        "timestamp": "2026-11-22T08:00:00.000000001Z"});
    let event = json!({"event": "stream_lost", "cause": "stalled", "detail": "no frame for 2 s", "epoch": 3,
        "timestamp": "2026-11-22T08:00:00.000000001Z"});
    let state = json!({"instance_id": "ward-3", "revision": 1, "timestamp": "2026-11-22T08:00:00.000000001Z", "paused": false,
        "inference_rate_hz": null, "config": {"room_id": ""}});
    let command = json!({"command": "set_inference_rate", "params": {"rate_hz": 2.5}, "id": "a", "dry_run": true});
    for (name, good, wrong) in [
        ("ack", ack, [("/status", json!("fine")), ("/timestamp", json!("now")), ("/mood", json!(1))]),
        ("event", event, [("/cause", json!("boredom")), ("/event", json!("party")), ("/mood", json!(1))]),
        ("state", state, [("/revision", json!(0)), ("/instance_id", json!("a/b")), ("/mood", json!(1))]),
        ("command", command, [("/command", json!("dance")), ("/params/rate_hz", json!(31)), ("/mood", json!(1))]),
    ] {
        let [open, strict] = validators(name);
        assert!(open.is_valid(&good) && strict.is_valid(&good), "{name}: {:?}", strict.validate(&good));
        for (field, value) in wrong {
            assert!(!strict.is_valid(&with(good.clone(), field, value)), "{name} {field}");
        }
    }
    for name in Command::NAMES {
        let read = Request::read(json!({"command": name}).to_string().as_bytes());
        let complete = validators("command")[1].is_valid(&json!({"command": name}));
        assert!(read.is_ok() || !complete, "{name}: {read:?}");
    }
}
