// SPDX-License-Identifier: MPL-2.0
//! A worker of protocol version 1 for tests: answers every frame at once, and misbehaves on request.
//!
//! `orion-stub-worker [--delay-ms N] [--start ACTION] [--at SEQ=ACTION]... [--scene TREMOR]`; other arguments are ignored. With
//! `--scene` it finds the red and the green patch in RGB frames, within the region it is told to look at, and suggests a region.
//!
//! Actions at a frame: `error` (code inference_failed), `bad-frame`, `die` (exit 1), `answer-and-die`, `hang`, `garbage`
//! (bytes that are no message), `unreadable` (a message that is no result), `half` (half a message, then exit),
//! `nul` and `nul-error` (texts with a NUL byte), `nul-and-die` (one on stderr), `close-stdout`, `wrong-seq` (an answer for another frame, then the right one), `twice`, `slow` (200 ms).
//! Actions at the start: `silent` (never ready), `fail` (an error line and exit 3), `chatter` (text on stdout),
//! `protocol` (version 2), `early` (errors without a number for half a second before it reads), `deaf` (ready, then never reads), `stubborn` (ready, ignores the end of stdin and SIGTERM).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    process::exit,
    thread,
    time::Duration,
};

use nix::sys::signal::{SigHandler, Signal, signal};
use orion_core::{
    framing::{self, Deframer},
    geometry::NormRect,
    wire::{FrameMessage, HostMessage},
};
use serde_json::{Value, json};

fn send(message: &Value) {
    let body = rmp_serde::to_vec_named(message).unwrap();
    let mut stdout = io::stdout().lock();
    stdout.write_all(&framing::prefix(body.len()).unwrap()).unwrap();
    stdout.write_all(&body).unwrap();
    stdout.flush().unwrap();
}

fn result(frame: &FrameMessage<'_>, seq: u64) -> Value {
    let sum: u64 = frame.frame_data.iter().map(|byte| u64::from(*byte)).sum();
    json!({
        "type": "person_detection", "instance_id": "stub", "room_id": "stub", "timestamp": "stub", "frame_seq": seq,
        "data": {
            "detections": [{"bbox": {"x": 0.5, "y": 1.0, "width": 2.0, "height": 1.0}, "confidence": 0.75, "label": "person", "label_id": 0}],
            "count": 1,
            "metadata": {
                "bytes": frame.frame_data.len(), "sum": sum, "format": frame.format, "pid": std::process::id(),
                "frame_width": frame.width, "frame_height": frame.height, "roi_processing": frame.meta.roi_processing,
            },
        },
        "timing": {"total_ms": 0.1}, "suggested_roi": null,
    })
}

/// Bounding box of the pixels whose channel is bright, inside the region; pixels.
fn patch(frame: &FrameMessage<'_>, channel: usize) -> Option<[u32; 4]> {
    let region = frame.meta.roi_processing.as_ref().and_then(|roi| roi.merged_roi);
    let look = region.unwrap_or(NormRect::FULL).to_pixels(frame.width, frame.height);
    let mut found: Option<[u32; 4]> = None;
    for y in look.y..look.y + look.height {
        for x in look.x..look.x + look.width {
            if frame.frame_data[(y * frame.width + x) as usize * 3 + channel] > 200 {
                let [left, top, right, bottom] = found.unwrap_or([x, y, x + 1, y + 1]);
                found = Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]);
            }
        }
    }
    found
}

/// What a detector would say of a scene of patches; the suggestion trembles by that fraction of the frame.
fn scene(frame: &FrameMessage<'_>, tremor: f64) -> Value {
    let seq = frame.meta.seq;
    let (width, height) = (f64::from(frame.width), f64::from(frame.height));
    let boxes: Vec<_> = [(0, "red"), (1, "green")]
        .into_iter()
        .filter_map(|(channel, label)| Some((label, patch(frame, channel)?.map(f64::from))))
        .collect();
    let detections: Vec<_> = boxes
        .iter()
        .map(|(label, [left, top, right, bottom])| {
            let bbox = json!({"x": left, "y": top, "width": right - left, "height": bottom - top});
            json!({"bbox": bbox, "confidence": 0.9, "label": label})
        })
        .collect();
    let union =
        boxes.iter().map(|(_, b)| *b).reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    let suggested = union.and_then(|[left, top, right, bottom]| {
        let tremor = if seq.is_multiple_of(2) { tremor } else { -tremor };
        let x = (left / width + tremor).clamp(0.0, 0.99);
        let w = ((right - left) / width).min(1.0 - x);
        NormRect::new(x, top / height, w, (bottom - top) / height).ok()
    });
    let suggested = suggested.map(|r| r.grown_by(r.width() * 0.075, r.height() * 0.075));
    let mut result = result(frame, seq);
    result["data"]["count"] = detections.len().into();
    result["data"]["detections"] = detections.into();
    result["suggested_roi"] = serde_json::to_value(suggested).unwrap();
    result
}

fn forever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn start(action: &str) {
    let protocol = if action == "protocol" { 2 } else { 1 };
    match action {
        "silent" => forever(),
        "fail" => {
            eprintln!("[INFO] about to fail");
            eprintln!("[ERROR] no model in /nowhere; put one there");
            exit(3);
        }
        "chatter" => println!("Loading the model, please wait"),
        "stubborn" => {
            // SAFETY: ignoring a signal runs no code of ours.
            unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.unwrap();
        }
        _ => {}
    }
    send(&json!({"type": "ready", "protocol": protocol, "worker": "stub", "version": "0", "pid": std::process::id()}));
    match action {
        "deaf" => forever(),
        "early" => {
            for _ in 0..100 {
                send(&json!({"type": "error", "code": "odd", "message": "told before it read"}));
                thread::sleep(Duration::from_millis(5));
            }
        }
        _ => {}
    }
}

fn answer(frame: &FrameMessage<'_>, action: Option<&str>, tremor: Option<f64>) {
    let seq = frame.meta.seq;
    let fault = |code: &str| json!({"type": "error", "frame_seq": seq, "code": code, "message": "as asked for"});
    match action {
        Some("error") => send(&fault("inference_failed")),
        Some("bad-frame") => send(&fault("bad_frame")),
        Some("die") => {
            eprintln!("[ERROR] dying at frame {seq}");
            exit(1);
        }
        Some("answer-and-die") => {
            send(&result(frame, seq));
            exit(0);
        }
        Some("nul") => {
            let mut result = result(frame, seq);
            result["data"]["detections"][0]["label"] = "per\0son".into();
            send(&result);
        }
        Some("nul-error") => {
            send(&json!({"type": "error", "frame_seq": seq, "code": "\0", "message": "b\0d"}));
        }
        Some("nul-and-die") => {
            eprintln!("[ERROR] b\0d");
            exit(1);
        }
        Some("hang") => forever(),
        Some("garbage") => {
            io::stdout().write_all(b"Traceback (most recent call last)").unwrap();
            io::stdout().flush().unwrap();
        }
        Some("unreadable") => send(&json!({"type": "person_detection", "frame_seq": seq})),
        Some("half") => {
            io::stdout().write_all(&[0, 0, 1, 0, 0x81]).unwrap();
            io::stdout().flush().unwrap();
            exit(0);
        }
        Some("close-stdout") => {
            nix::unistd::close(1).unwrap();
            forever();
        }
        Some("wrong-seq") => {
            send(&result(frame, seq + 1000));
            send(&result(frame, seq));
        }
        Some("twice") => {
            send(&result(frame, seq));
            send(&result(frame, seq));
        }
        Some("slow") => {
            thread::sleep(Duration::from_millis(200));
            send(&result(frame, seq));
        }
        Some(other) => panic!("no such action: {other}"),
        None => send(&tremor.map_or_else(|| result(frame, seq), |tremor| scene(frame, tremor))),
    }
}

fn main() {
    let mut actions: HashMap<u64, String> = HashMap::new();
    let (mut delay, mut stubborn, mut begin, mut tremor) = (0, false, String::new(), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--delay-ms" => delay = args.next().unwrap().parse().unwrap(),
            "--scene" => tremor = Some(args.next().unwrap().parse().unwrap()),
            "--start" => begin = args.next().unwrap(),
            "--at" => {
                let at = args.next().unwrap();
                let (seq, action) = at.split_once('=').unwrap();
                actions.insert(seq.parse().unwrap(), action.to_owned());
            }
            _ => {}
        }
    }
    stubborn |= begin == "stubborn";
    start(&begin);
    let mut deframer = Deframer::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = io::stdin().read(&mut buffer).unwrap();
        if n == 0 {
            deframer.finish().unwrap();
            if stubborn {
                forever();
            }
            return;
        }
        deframer.push(&buffer[..n]);
        while let Some(body) = deframer.next_message().unwrap() {
            let HostMessage::Frame(frame) = HostMessage::decode(body).unwrap() else {
                panic!("only frames are expected");
            };
            if delay > 0 {
                thread::sleep(Duration::from_millis(delay));
            }
            answer(&frame, actions.get(&frame.meta.seq).map(String::as_str), tremor);
        }
    }
}
