// SPDX-License-Identifier: MPL-2.0
//! The worker in plain C of `c_worker`, which knows docs/worker-protocol.md and nothing else of Orion, behind the real
//! element; and the bytes on that page.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/rig.rs"]
mod rig;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::LazyLock,
    thread,
};

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoInfo, VideoRegionOfInterestMeta};
use gstorion::meta;
use orion_core::{
    framing::{self, Deframer},
    wire::{
        AckStatus, BBox, FrameFormat, FrameMeta, FrameStart, HostMessage, InferenceResult, PROTOCOL, SharedPicture,
        Timing, WorkerFault, WorkerMessage, frame_head,
    },
};
use rig::{Rig, alive, init};
use serde_json::json;

/// The worker, built once.
static WORKER: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = root().join("tests/c_worker");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let fresh = folder.join(format!("bright_spot-{}", std::process::id()));
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = cc.split_whitespace();
    let output = Command::new(words.next().expect("CC names a compiler"))
        .args(words)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-o"])
        .arg(&fresh)
        .args(["worker.c", "msgpack.c", "json.c"].map(|name| source.join(name)))
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "{cc}: {}", String::from_utf8_lossy(&output.stderr));
    // Other tests may be running the one that is there.
    let worker = folder.join("bright_spot");
    fs::rename(fresh, &worker).unwrap();
    worker
});

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn command() -> String {
    format!("'{}'", WORKER.display())
}

fn rig() -> Rig {
    Rig::new("", &[("worker-command", &command())])
}

/// Left, top, width, height; pixels.
type Square = (usize, usize, usize, usize);

/// A picture that is black but for bright squares, in rows as GStreamer pads them.
fn picture(info: &VideoInfo, squares: &[Square]) -> Vec<u8> {
    let rgb = matches!(info.format(), VideoFormat::Rgb | VideoFormat::Bgr);
    let (black, white, pixel) = if rgb { (0, 255, 3) } else { (16, 235, 1) };
    let mut bytes = vec![black; info.size()];
    if !rgb {
        bytes[info.offset()[1]..].fill(128);
    }
    for (left, top, width, height) in squares {
        for y in *top..top + height {
            let row = y * info.stride()[0] as usize;
            bytes[row + left * pixel..row + (left + width) * pixel].fill(white);
        }
    }
    bytes
}

fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    VideoInfo::builder(format, width, height).build().unwrap()
}

#[test]
fn a_bright_square_is_found_where_it_is_in_every_raw_format() {
    for (format, width, height) in [
        (VideoFormat::Rgb, 64, 48),
        (VideoFormat::Bgr, 37, 29),
        (VideoFormat::I420, 37, 29),
        (VideoFormat::Nv12, 64, 48),
    ] {
        let mut rig = rig();
        let info = info(format, width, height);
        rig.harness.set_src_caps(info.to_caps().unwrap());
        rig.push_bytes(&picture(&info, &[(20, 10, 12, 8)])).unwrap();
        rig.push_bytes(&picture(&info, &[])).unwrap();
        let buffer = rig.harness.pull().unwrap();
        let region = buffer.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
        assert_eq!((region.roi_type(), region.rect()), ("bright", (20, 10, 12, 8)), "{format}");
        let inference = &meta::inferences(&buffer)[0];
        assert_eq!(inference.kind, "bright_spot");
        let result: InferenceResult = serde_json::from_str(&inference.result).unwrap();
        let found = &result.data.detections[0];
        assert_eq!(found.bbox, BBox { x: 20.0, y: 10.0, width: 12.0, height: 8.0 }, "{format}");
        assert_eq!((found.confidence, result.frame_seq), (1.0, 0));
        assert_eq!(result.data.metadata["frame_height"], height);
        let next = result.suggested_roi.unwrap();
        let (w, h) = (f64::from(width), f64::from(height));
        for (told, expected) in
            [(next.x(), 19.1 / w), (next.y(), 9.4 / h), (next.width(), 13.8 / w), (next.height(), 9.2 / h)]
        {
            assert!((told - expected).abs() < 1e-9, "{format}: {next:?}");
        }
        let empty = rig.pull();
        assert_eq!((&empty["data"]["count"], &empty["suggested_roi"]), (&json!(0), &json!(null)));
        rig.assert_settled(2, 2);
    }
}

#[test]
fn a_region_limits_what_is_seen() {
    init();
    let text = format!("orionroi name=roi max-blind-time=0 ! orionpyinfer worker-command=\"{}\"", command());
    let bin = gst::parse::bin_from_description(&text, true).unwrap();
    let mut harness = Harness::with_element(&bin, Some("sink"), Some("src"));
    harness.set_live(false);
    let info = info(VideoFormat::Rgb, 64, 48);
    harness.set_src_caps(info.to_caps().unwrap());
    harness.play();
    // The second square lies across the region's edge.
    let bytes = picture(&info, &[(4, 4, 8, 8), (28, 30, 12, 6)]);
    let mut look = |rois: &str| -> InferenceResult {
        bin.by_name("roi").unwrap().set_property("rois", rois);
        harness.push(gst::Buffer::from_slice(bytes.clone())).unwrap();
        serde_json::from_str(&meta::inferences(&harness.pull().unwrap())[0].result).unwrap()
    };
    let limited = look(r#"[{"x":0.5,"y":0.5,"width":0.5,"height":0.5}]"#);
    let bbox = limited.data.detections[0].bbox;
    assert_eq!(bbox, BBox { x: 32.0, y: 30.0, width: 8.0, height: 6.0 }, "in pixels of the whole frame");
    let told = &limited.data.metadata;
    assert_eq!((&told["roi_attention"], &told["roi_processing"]["crop_applied"]), (&json!(true), &json!(true)));
    assert_eq!(told["roi_processing"]["source"], "external");
    assert_eq!(told["roi_processing"]["merged_roi"], json!({"x": 0.5, "y": 0.5, "width": 0.5, "height": 0.5}));
    let elsewhere = look(r#"[{"x":0.75,"y":0,"width":0.25,"height":0.5}]"#);
    assert_eq!(elsewhere.data.count, 0);
    // One box around both, most of which is dark: less sure than the element asks for.
    assert_eq!(look("").data.count, 0);
}

#[test]
fn a_picture_it_cannot_read_is_a_counted_drop_and_the_next_one_is_answered() {
    let mut rig = rig();
    let jpeg = fixture("frame_jpeg");
    let HostMessage::Frame(jpeg) = HostMessage::decode(&jpeg).unwrap() else { panic!("no frame") };
    rig.harness.set_src_caps_str("image/jpeg,width=16,height=12,framerate=10/1");
    rig.push_bytes(jpeg.picture.inline().unwrap()).unwrap();
    assert!(rig.warning().contains("unsupported_format: JPEG is not supported by this worker"));
    let info = info(VideoFormat::Rgb, 64, 48);
    rig.harness.set_src_caps(info.to_caps().unwrap());
    rig.push_bytes(&picture(&info, &[(0, 0, 64, 48)])).unwrap();
    let buffer = rig.harness.pull().unwrap();
    let lost: Vec<_> = meta::inferences(&buffer)[0].lost.clone().into_iter().collect();
    assert_eq!(lost, [("decode_error".to_owned(), 1)]);
    assert_eq!(rig.dropped("decode_error"), 1);
    rig.assert_settled(2, 1);
    assert_eq!(rig.worker().get::<u64>("restarts"), Ok(0));
}

#[test]
fn stopping_leaves_no_process() {
    let mut rig = rig();
    let info = info(VideoFormat::Rgb, 64, 48);
    rig.harness.set_src_caps(info.to_caps().unwrap());
    rig.push_bytes(&picture(&info, &[])).unwrap();
    rig.pull();
    let pid = rig.pid();
    assert!(alive(pid));
    rig.element().set_state(gst::State::Null).unwrap();
    assert!(!alive(pid), "no process and no zombie is left");
    rig.assert_settled(1, 1);
}

/// Talks to the worker as the element would; the messages that came back, `ready` first.
fn converse(args: &[&str], input: Vec<u8>) -> (Vec<Vec<u8>>, ExitStatus) {
    let mut child = Command::new(&*WORKER)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read everything.
    let writing = thread::spawn(move || drop(stdin.write_all(&input)));
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    writing.join().unwrap();
    let mut deframer = Deframer::default();
    deframer.push(&bytes);
    let messages = std::iter::from_fn(|| deframer.next_message().unwrap().map(<[u8]>::to_vec)).collect();
    assert_eq!(deframer.finish(), Ok(()));
    (messages, child.wait().unwrap())
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&framing::prefix(body.len()).unwrap()[..], body].concat()
}

fn answers(input: Vec<u8>) -> Vec<WorkerMessage> {
    let (messages, status) = converse(&[], input);
    assert_eq!(status.code(), Some(0));
    messages.iter().map(|body| WorkerMessage::decode(body).unwrap()).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    let bytes = fs::read(root().join("tests/fixtures/wire").join(name).with_extension("msg")).unwrap();
    bytes[framing::PREFIX..].to_vec()
}

fn fault(message: &WorkerMessage) -> &WorkerFault {
    match message {
        WorkerMessage::Fault(fault) => fault,
        other => panic!("no error: {other:?}"),
    }
}

#[test]
fn the_golden_messages_are_answered() {
    let names = ["frame_jpeg", "frame_raw_rgb", "frame_without_type", "command", "missing_field", "unknown_tag"];
    let names = [&names[..], &["not_a_map", "frame_roi"]].concat();
    let got = answers(names.iter().flat_map(|name| framed(&fixture(name))).collect());
    let WorkerMessage::Ready(ready) = &got[0] else { panic!("{:?}", got[0]) };
    assert_eq!((ready.protocol, ready.worker.as_str()), (PROTOCOL, "bright_spot"));
    let WorkerMessage::Result(result) = &got[2] else { panic!("{:?}", got[2]) };
    assert_eq!((result.frame_seq, result.room_id.as_str()), (9_007_199_254_740_993, "room-101"));
    let WorkerMessage::Ack(ack) = &got[4] else { panic!("{:?}", got[4]) };
    assert_eq!(
        (ack.id.as_str(), ack.status, &ack.data),
        ("c-17", AckStatus::Success, &Some(json!({"confidence": 0.35})))
    );
    let told = [1, 3, 5, 6, 7, 8].map(|n| fault(&got[n]));
    let codes = told.map(|fault| (fault.code.as_str(), fault.frame_seq));
    let (jpeg, bad) = (("unsupported_format", Some(42)), ("bad_message", None));
    assert_eq!(codes, [jpeg, jpeg, bad, bad, bad, jpeg]);
    assert_eq!(told[2].message, "meta.seq: missing");
}

#[test]
fn commands_are_acknowledged_typed_ones_too() {
    let command = |name: &str, params: serde_json::Value| {
        let message = json!({"type": "command", "id": name, "command": name, "params": params});
        framed(&rmp_serde::to_vec_named(&message).unwrap())
    };
    let typed = "\n{\"command\":\"ping\",\"id\":\"\\u00e9\"}\r\n{\"command\":\n{\"command\":\"describe\"}";
    let input = [
        command("ping", json!({})),
        command("set_confidence", json!({"confidence": 1.5})),
        command("set_confidence", json!({"threshold": 0.5})),
        command("set_confidence", json!({"confidence": 1})),
        command("reboot", json!({})),
        typed.into(),
    ];
    let got = answers(input.concat());
    let ack = |n: usize| match &got[n] {
        WorkerMessage::Ack(ack) => (ack.id.as_str(), ack.error.as_deref().unwrap_or_default()),
        other => panic!("no ack: {other:?}"),
    };
    assert_eq!(ack(1), ("ping", ""));
    assert_eq!(ack(2), ("set_confidence", "params.confidence: not between 0 and 1"));
    assert_eq!(ack(3), ("set_confidence", "params: unknown parameter"));
    assert_eq!(ack(4), ("set_confidence", ""));
    assert!(ack(5).1.starts_with("unknown command"));
    assert_eq!(ack(6), ("é", ""));
    assert_eq!(fault(&got[7]).code, "bad_message");
    let WorkerMessage::Ack(told) = &got[8] else { panic!("{:?}", got[8]) };
    assert_eq!(told.data.as_ref().unwrap()["confidence"], 1.0, "only the good value was taken");
}

#[test]
fn it_ends_as_the_page_says() {
    for (args, input, code, status) in [
        (&["--confidence", "2"][..], vec![], None, 2),
        (&["--model-size", "n"], vec![], None, 0),
        (&[], vec![0, 0], Some("truncated_message"), 5),
        (&[], vec![0, 0, 0, 9, 0x81], Some("truncated_message"), 5),
        (&[], vec![4, 0, 0, 1, 0x80], Some("message_too_long"), 5),
        (&[], vec![b'{'; 70_000], Some("message_too_long"), 5),
    ] {
        let (messages, end) = converse(args, input);
        assert_eq!(end.code(), Some(status), "{args:?}");
        let faults = messages.iter().skip(1).map(|body| fault(&WorkerMessage::decode(body).unwrap()).code.clone());
        assert_eq!(faults.collect::<Vec<_>>(), Vec::from_iter(code.map(str::to_owned)));
    }
}

#[test]
fn whatever_is_in_a_message_it_gets_one_answer_that_the_host_can_read() {
    let names = ["frame_raw_rgb", "frame_roi", "command", "frame_without_type", "result_person"].map(fixture);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut input = Vec::new();
    for _ in 0..5_000 {
        let mut body = names[next(names.len())].clone();
        for _ in 0..=next(3) {
            let at = next(body.len());
            body[at] = next(256) as u8;
        }
        input.extend(framed(&body));
    }
    assert_eq!(answers(input).len(), 1 + 5_000);
}

/// The message between a marker on the page and the end of the block of code behind it; `#` begins a remark.
fn on_page(name: &str) -> Vec<u8> {
    let page = fs::read_to_string(root().join("docs/worker-protocol.md")).unwrap();
    let (_, rest) = page.split_once(&format!("<!-- bytes: {name} -->\n```text\n")).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let digits = block.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let bytes: Vec<u8> = digits.map(|word| u8::from_str_radix(word, 16).unwrap()).collect();
    let mut deframer = Deframer::default();
    deframer.push(&bytes);
    let body = deframer.next_message().unwrap().expect("a whole message").to_vec();
    assert_eq!(deframer.finish(), Ok(()), "{name}: one message and nothing else");
    body
}

#[test]
fn the_bytes_on_the_page_are_what_host_and_worker_write() {
    let ready = on_page("ready");
    let WorkerMessage::Ready(ready) = WorkerMessage::decode(&ready).unwrap() else { panic!("no ready") };
    assert_eq!((ready.worker.as_str(), ready.pid), ("bright_spot", 4242));

    let body = on_page("frame");
    let HostMessage::Frame(frame) = HostMessage::decode(&body).unwrap() else { panic!("no frame") };
    assert_eq!((frame.format, frame.width, frame.height), (FrameFormat::Rgb, 4, 2));
    let meta = FrameMeta { roi_processing: None, ..frame.meta.clone() };
    let picture = frame.picture.inline().unwrap();
    let head = frame_head(frame.format, frame.width, frame.height, &meta, picture.len()).unwrap();
    assert_eq!([&head[framing::PREFIX..], picture].concat(), body, "as the host writes it");

    let shared = on_page("frame in shared memory");
    let place = SharedPicture { slot: 2, offset: 0, length: picture.len() as u64 };
    let start = FrameStart::new(frame.format, frame.width, frame.height, &meta).unwrap();
    assert_eq!(start.shared(place).unwrap()[framing::PREFIX..], shared, "as the host writes it");
    assert_eq!(fault(&answers(framed(&shared))[1]).frame_seq, Some(7), "refused by a worker that did not ask for it");

    let told = on_page("result");
    let WorkerMessage::Result(told) = WorkerMessage::decode(&told).unwrap() else { panic!("no result") };
    let got = answers(framed(&body));
    let WorkerMessage::Result(result) = &got[1] else { panic!("{:?}", got[1]) };
    let timeless = |result: &InferenceResult| InferenceResult { timing: Timing::default(), ..result.clone() };
    assert_eq!(timeless(result), timeless(&told));
}
