// SPDX-License-Identifier: MPL-2.0
//! The golden bytes in `fixtures/wire`, which the Python worker reads too.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use orion_core::{
    framing::Deframer,
    wire::{
        AckStatus, FrameFormat, FrameStart, HostMessage, Payload, RoiSource, SharedPicture, TargetSize, WireError,
        WorkerMessage, frame_head,
    },
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wire")
}

fn body(name: &str) -> Vec<u8> {
    let bytes = fs::read(folder().join(name).with_extension("msg")).unwrap();
    let mut deframer = Deframer::default();
    deframer.push(&bytes);
    let body = deframer.next_message().unwrap().unwrap().to_vec();
    assert_eq!(deframer.finish(), Ok(()), "{name}: one message and nothing else");
    body
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder().join(name).with_extension("json")).unwrap()).unwrap()
}

#[test]
fn every_fixture_is_read_by_a_test_here() {
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "msg") {
            seen.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), false);
        }
    }
    for name in FRAMES.iter().chain(RESULTS).chain(OTHERS).chain(BAD) {
        *seen.get_mut(*name).unwrap_or_else(|| panic!("{name} is missing")) = true;
    }
    assert!(seen.values().all(|read| *read), "{seen:?}");
}

const FRAMES: &[&str] = &["frame_jpeg", "frame_raw_rgb", "frame_roi", "frame_without_type"];
const RESULTS: &[&str] = &["result_person", "result_empty", "result_motion"];
const OTHERS: &[&str] = &[
    "command",
    "ready",
    "ready_motion",
    "ready_shm",
    "ready_batch",
    "frame_shm",
    "ack_success",
    "ack_error",
    "error_with_seq",
    "error_without_seq",
];
const BAD: &[&str] = &["missing_field", "frame_without_picture", "result_missing_field", "unknown_tag", "not_a_map"];

#[test]
fn frames_are_read_and_written_alike() {
    for name in FRAMES {
        let (body, json) = (body(name), json(name));
        let HostMessage::Frame(frame) = HostMessage::decode(&body).unwrap() else { panic!("{name} is no frame") };
        assert_eq!(serde_json::to_value(&frame.meta).unwrap(), json["meta"], "{name}");
        assert_eq!(
            (json["width"].as_u64(), json["height"].as_u64()),
            (Some(frame.width.into()), Some(frame.height.into()))
        );
        let picture = frame.picture.inline().unwrap();
        let head = frame_head(frame.format, frame.width, frame.height, &frame.meta, picture.len()).unwrap();
        let written = [&head[4..], picture].concat();
        assert_eq!(HostMessage::decode(&written).unwrap(), HostMessage::Frame(frame), "{name}");
    }
    let roi = body("frame_roi");
    let HostMessage::Frame(frame) = HostMessage::decode(&roi).unwrap() else { unreachable!() };
    let roi = frame.meta.roi_processing.unwrap();
    assert_eq!((roi.target_size, roi.source, roi.attention_rois.len()), (TargetSize::S320, RoiSource::External, 2));
    let raw = body("frame_raw_rgb");
    let HostMessage::Frame(frame) = HostMessage::decode(&raw).unwrap() else { unreachable!() };
    assert_eq!(frame.format, FrameFormat::Rgb);
    assert_eq!(frame.picture.inline().unwrap().len(), (frame.width * frame.height * 3) as usize);
}

#[test]
fn results_are_read_whole() {
    for name in RESULTS {
        let WorkerMessage::Result(result) = WorkerMessage::decode(&body(name)).unwrap() else { panic!("{name}") };
        assert_eq!(serde_json::to_value(&result).unwrap(), json(name), "{name}");
    }
}

#[test]
fn ready_acks_errors_and_commands_are_read() {
    let WorkerMessage::Ready(ready) = WorkerMessage::decode(&body("ready")).unwrap() else { panic!("ready") };
    let told = json("ready");
    assert_eq!((ready.worker.as_str(), ready.load_ms), ("person_detector", told["load_ms"].as_f64().unwrap()));
    assert_eq!(serde_json::to_value(&ready.models).unwrap(), told["models"]);
    let WorkerMessage::Ready(motion) = WorkerMessage::decode(&body("ready_motion")).unwrap() else { panic!("ready") };
    assert_eq!((motion.models.file_640, motion.shm), (None, false));
    let WorkerMessage::Ready(able) = WorkerMessage::decode(&body("ready_shm")).unwrap() else { panic!("ready") };
    assert!(able.shm);

    let ack = |name: &str| match WorkerMessage::decode(&body(name)).unwrap() {
        WorkerMessage::Ack(ack) => ack,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(ack("ack_success").status, AckStatus::Success);
    assert_eq!(ack("ack_error").error.as_deref(), json("ack_error")["error"].as_str());

    let fault = |name: &str| match WorkerMessage::decode(&body(name)).unwrap() {
        WorkerMessage::Fault(fault) => fault,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(fault("error_with_seq").frame_seq, json("error_with_seq")["frame_seq"].as_u64());
    assert_eq!(fault("error_without_seq").frame_seq, None);

    let command = body("command");
    let HostMessage::Command(command) = HostMessage::decode(&command).unwrap() else { panic!("command") };
    assert_eq!(serde_json::Value::Object(command.params), json("command")["params"]);
}

#[test]
fn a_frame_in_shared_memory_is_read_and_written_alike() {
    let body = body("frame_shm");
    let HostMessage::Frame(frame) = HostMessage::decode(&body).unwrap() else { panic!("no frame") };
    let place = SharedPicture { slot: 2, offset: 4096, length: 2_764_800 };
    assert_eq!((frame.picture, frame.width, frame.height), (Payload::Shared(place), 1280, 720));
    let start = FrameStart::new(frame.format, frame.width, frame.height, &frame.meta).unwrap();
    let written = start.shared(place).unwrap();
    assert_eq!(HostMessage::decode(&written[4..]).unwrap(), HostMessage::Frame(frame));
}

#[test]
fn bad_messages_are_refused_by_name() {
    let missing = HostMessage::decode(&body("missing_field")).unwrap_err().to_string();
    assert!(missing.contains("frame message, field meta") && missing.contains("`seq`"), "{missing}");
    let missing = HostMessage::decode(&body("frame_without_picture")).unwrap_err().to_string();
    assert!(missing.contains("frame_data, shm: both are missing"), "{missing}");
    let missing = WorkerMessage::decode(&body("result_missing_field")).unwrap_err().to_string();
    assert!(missing.contains("missing field `frame_seq`"), "{missing}");
    assert!(matches!(HostMessage::decode(&body("unknown_tag")), Err(WireError::UnknownType(t)) if t == "telemetry"));
    assert!(matches!(WorkerMessage::decode(&body("not_a_map")), Err(WireError::NotAMessage(_))));
}
