// SPDX-License-Identifier: MPL-2.0
//! A worker of protocol version 1 for tests: answers every frame at once, and misbehaves on request.
//!
//! `orion-stub-worker [--delay-ms N] [--load-ms N] [--leak BYTES] [--start ACTION] [--at SEQ=ACTION]... [--size SIZE=ACTION]...
//! [--scene TREMOR] [--type TYPE] [--shm] [--batch N]`; of the element's arguments it takes `--model-size`, `--confidence` and `--labels`, others are ignored. With
//! `--scene` it finds the red and the green patch in RGB frames, within the region it is told to look at, and suggests a region.
//! With `--shm` it takes pictures from shared memory, and tells of each one its hash and the way that it came.
//! With `--batch` it takes so many frames at once, or what has come when nothing more comes for 50 ms, and answers them then.
//! `--leak`: memory that it takes and keeps with every frame. `--size`: what it does at its start if that is its model size.
//! Commands: set_confidence, set_iou_threshold, set_labels (refuses the label unicorn).
//!
//! Actions at a frame: `error` (code inference_failed), `bad-frame`, `die` (exit 1), `answer-and-die`, `hang`, `garbage`
//! (bytes that are no message), `unreadable` (a message that is no result), `half` (half a message, then exit),
//! `huge` (a length of 4 GiB), `leave` (exit 0), `late` (an answer after the one for the next frame), `skip` (no answer at all),
//! `nul` and `nul-error` (texts with a NUL byte), `nul-and-die` (one on stderr), `close-stdout`, `wrong-seq` (an answer for another frame, then the right one), `twice`, `slow` (200 ms).
//! Actions at the start: `silent` (never ready), `fail` (an error line and exit 3), `chatter` (text on stdout),
//! `protocol` (version 2), `broken` (ready, then every frame fails), `fickle` (ready, then ends), `mute` (does not acknowledge),
//! `checked` (ready, answers one frame and ends), `eager` (ready, answers a frame as soon as it has its number, and reads no further),
//! `nul-models` (ready with NUL bytes in its models), `early` (errors without a number for half a second before it reads), `deaf` (ready, then never reads), `stubborn` (ready, ignores the end of stdin and SIGTERM).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fs::File,
    hash::{DefaultHasher, Hasher},
    hint::black_box,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    process::exit,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigHandler, Signal, signal};
use orion_core::{
    framing::{self, Deframer},
    geometry::NormRect,
    wire::{Command, FrameFormat, FrameMessage, FrameMeta, HostMessage, Payload},
};
use serde_json::{Value, json};

fn send(message: &Value) {
    let body = rmp_serde::to_vec_named(message).unwrap();
    let mut stdout = io::stdout().lock();
    stdout.write_all(&framing::prefix(body.len()).unwrap()).unwrap();
    stdout.write_all(&body).unwrap();
    stdout.flush().unwrap();
}

/// The memory that the element shares: the file, and the bytes of a slot.
struct Shared(File, u64);

impl Shared {
    fn open() -> Self {
        let offer = std::env::var("ORION_SHM").unwrap();
        let numbers: Vec<u64> = offer.split(':').map(|number| number.parse().unwrap()).collect();
        let [descriptor, slots, size] = numbers[..] else { panic!("ORION_SHM={offer}") };
        let file = File::open(format!("/proc/self/fd/{descriptor}")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), slots * size);
        Self(file, size)
    }
}

/// A frame with its picture.
struct Frame<'a> {
    frame_data: Cow<'a, [u8]>,
    format: FrameFormat,
    width: u32,
    height: u32,
    meta: FrameMeta,
    /// The slot that the picture lies in, with `--shm`.
    slot: Option<u32>,
}

impl<'a> Frame<'a> {
    fn read(message: FrameMessage<'a>, shared: Option<&Shared>) -> Self {
        let (frame_data, slot) = match message.picture {
            Payload::Inline(bytes) => (bytes.into(), None),
            Payload::Shared(place) => {
                let Shared(file, size) = shared.unwrap();
                let mut bytes = vec![0; place.length as usize];
                file.read_exact_at(&mut bytes, u64::from(place.slot) * size + place.offset).unwrap();
                (bytes.into(), Some(place.slot))
            }
        };
        let FrameMessage { format, width, height, meta, .. } = message;
        Self { frame_data, format, width, height, meta, slot }
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.frame_data);
        hasher.finish()
    }
}

/// What the element can change.
struct Settings {
    kind: String,
    size: String,
    confidence: Value,
    labels: Value,
    shared: Option<Shared>,
    batch: usize,
    /// How many are answered at once now.
    together: usize,
}

fn result(frame: &Frame<'_>, seq: u64, settings: &Settings) -> Value {
    let sum: u64 = frame.frame_data.iter().map(|byte| u64::from(*byte)).sum();
    let mut result = json!({
        "type": settings.kind, "instance_id": "stub", "room_id": "stub", "timestamp": "stub", "frame_seq": seq,
        "data": {
            "detections": [{"bbox": {"x": 0.5, "y": 1.0, "width": 2.0, "height": 1.0}, "confidence": 0.75, "label": "person", "label_id": 0}],
            "count": 1,
            "metadata": {
                "bytes": frame.frame_data.len(), "sum": sum, "format": frame.format, "pid": std::process::id(),
                "model_size": settings.size, "confidence": settings.confidence, "labels": settings.labels,
                "frame_width": frame.width, "frame_height": frame.height, "roi_processing": frame.meta.roi_processing,
            },
        },
        "timing": {"total_ms": 0.1}, "suggested_roi": null,
    });
    if settings.batch > 1 {
        result["timing"]["batch"] = settings.together.into();
    }
    if settings.shared.is_some() {
        result["data"]["metadata"]["slot"] = frame.slot.into();
        result["data"]["metadata"]["hash"] = frame.hash().into();
    }
    result
}

/// Bounding box of the pixels whose channel is bright, inside the region; pixels.
fn patch(frame: &Frame<'_>, channel: usize) -> Option<[u32; 4]> {
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
fn scene(frame: &Frame<'_>, tremor: f64, settings: &Settings) -> Value {
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
    let mut result = result(frame, seq, settings);
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

fn acknowledge(command: &Command, settings: &mut Settings) {
    let value = |name: &str| command.params[name].clone();
    let error = match command.command.as_str() {
        "set_labels" if value("labels") == "unicorn" => Some("params.labels: this model has no unicorn"),
        "set_labels" => {
            settings.labels = value("labels");
            None
        }
        "set_confidence" => {
            settings.confidence = value("confidence");
            None
        }
        "set_iou_threshold" => None,
        _ => Some("unknown command"),
    };
    let status = if error.is_none() { "success" } else { "error" };
    send(&json!({"type": "ack", "id": command.id, "command": command.command, "status": status, "error": error}));
}

/// Answers a frame before it has read it.
fn eager() -> ! {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = io::stdin().read(&mut buffer).unwrap();
        if n == 0 {
            exit(0);
        }
        read.extend_from_slice(&buffer[..n]);
        // `seq` and a fixint: the numbers of tests are small.
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\xa3seq") {
            send(&json!({
                "type": "person_detection", "instance_id": "", "room_id": "", "timestamp": "", "frame_seq": read[at + 4],
                "data": {"detections": [], "count": 0}, "timing": {"total_ms": 0.1},
            }));
            forever();
        }
    }
}

fn start(action: &str, size: &str, shm: bool, batch: usize) {
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
    let mut models = json!({"size": size, "file_640": format!("stub_{size}.onnx")});
    if action == "nul-models" {
        models = json!({"size": "a\0b", "file_640": "c\0d"});
    }
    let pid = std::process::id();
    let mut ready = json!({
        "type": "ready", "protocol": protocol, "worker": "stub", "version": "0", "pid": pid, "models": models,
    });
    if shm {
        ready["shm"] = true.into();
    }
    if batch > 1 {
        ready["max_batch"] = batch.into();
    }
    send(&ready);
    match action {
        "fickle" => {
            eprintln!("[ERROR] changed its mind");
            exit(1);
        }
        "deaf" => forever(),
        "eager" => eager(),
        "early" => {
            for _ in 0..100 {
                send(&json!({"type": "error", "code": "odd", "message": "told before it read"}));
                thread::sleep(Duration::from_millis(5));
            }
        }
        _ => {}
    }
}

fn answer(frame: &Frame<'_>, action: Option<&str>, tremor: Option<f64>, settings: &Settings) {
    let seq = frame.meta.seq;
    let result = |frame: &Frame<'_>, seq| result(frame, seq, settings);
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
        Some("leave") => exit(0),
        Some("huge") => {
            io::stdout().write_all(&[0xff; 4]).unwrap();
            io::stdout().flush().unwrap();
            forever();
        }
        Some("skip") => {}
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
        None => send(&tremor.map_or_else(|| result(frame, seq), |tremor| scene(frame, tremor, settings))),
    }
}

/// What is written to the pipe, as it comes.
fn pieces() -> mpsc::Receiver<Vec<u8>> {
    let (send, pieces) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = io::stdin().read(&mut buffer) {
            send.send(buffer[..n].to_vec()).unwrap();
        }
    });
    pieces
}

/// Takes up to `settings.batch` frames at once.
fn in_batches(actions: &HashMap<u64, String>, settings: &mut Settings) {
    let (pieces, mut deframer) = (pieces(), Deframer::default());
    let mut waiting: VecDeque<Frame<'static>> = VecDeque::new();
    loop {
        let piece = if waiting.is_empty() {
            pieces.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            pieces.recv_timeout(Duration::from_millis(50))
        };
        if let Ok(piece) = &piece {
            deframer.push(piece);
        }
        while let Some(body) = deframer.next_message().unwrap() {
            match HostMessage::decode(body).unwrap() {
                HostMessage::Frame(message) => {
                    let frame = Frame::read(message, settings.shared.as_ref());
                    waiting.push_back(Frame { frame_data: frame.frame_data.into_owned().into(), ..frame });
                }
                HostMessage::Command(command) => acknowledge(&command, settings),
            }
        }
        while waiting.len() >= settings.batch || (piece.is_err() && !waiting.is_empty()) {
            settings.together = settings.batch.min(waiting.len());
            let batch: Vec<_> = waiting.drain(..settings.together).collect();
            let action = |frame: &Frame<'_>| actions.get(&frame.meta.seq).map(String::as_str);
            // One that is fatal is so for all of them.
            for frame in &batch {
                if let Some(fatal @ ("die" | "hang")) = action(frame) {
                    answer(frame, Some(fatal), None, settings);
                }
            }
            batch.iter().for_each(|frame| answer(frame, action(frame), None, settings));
        }
        if piece == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn main() {
    let mut actions: HashMap<u64, String> = HashMap::new();
    let mut sizes: HashMap<String, String> = HashMap::new();
    let (mut delay, mut load, mut leak, mut begin, mut tremor) = (0, 0, 0, String::new(), None);
    let mut shm = false;
    let kind = "person_detection".to_owned();
    let mut settings = Settings {
        kind,
        size: String::new(),
        confidence: Value::Null,
        labels: Value::Null,
        shared: None,
        batch: 1,
        together: 1,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--delay-ms" => delay = args.next().unwrap().parse().unwrap(),
            "--load-ms" => load = args.next().unwrap().parse().unwrap(),
            "--type" => settings.kind = args.next().unwrap(),
            "--leak" => leak = args.next().unwrap().parse().unwrap(),
            "--model-size" => settings.size = args.next().unwrap(),
            "--confidence" => settings.confidence = args.next().unwrap().parse::<f64>().unwrap().into(),
            "--labels" => settings.labels = args.next().unwrap().into(),
            "--size" => {
                let at = args.next().unwrap();
                let (size, action) = at.split_once('=').unwrap();
                sizes.insert(size.to_owned(), action.to_owned());
            }
            "--scene" => tremor = Some(args.next().unwrap().parse().unwrap()),
            "--shm" => shm = true,
            "--batch" => settings.batch = args.next().unwrap().parse().unwrap(),
            "--start" => begin = args.next().unwrap(),
            "--at" => {
                let at = args.next().unwrap();
                let (seq, action) = at.split_once('=').unwrap();
                actions.insert(seq.parse().unwrap(), action.to_owned());
            }
            _ => {}
        }
    }
    if let Some(action) = sizes.remove(&settings.size) {
        begin = action;
    }
    thread::sleep(Duration::from_millis(load));
    // It may be started without an offer.
    settings.shared = (shm && std::env::var_os("ORION_SHM").is_some()).then(Shared::open);
    start(&begin, &settings.size, shm, settings.batch);
    if settings.batch > 1 {
        return in_batches(&actions, &mut settings);
    }
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut late = None;
    let mut deframer = Deframer::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = io::stdin().read(&mut buffer).unwrap();
        if n == 0 {
            deframer.finish().unwrap();
            if begin == "stubborn" {
                forever();
            }
            return;
        }
        deframer.push(&buffer[..n]);
        while let Some(body) = deframer.next_message().unwrap() {
            let frame = match HostMessage::decode(body).unwrap() {
                HostMessage::Frame(message) => Frame::read(message, settings.shared.as_ref()),
                HostMessage::Command(command) => {
                    if begin != "mute" {
                        acknowledge(&command, &mut settings);
                    }
                    continue;
                }
            };
            if leak > 0 {
                kept.push(black_box(vec![1; leak]));
            }
            if delay > 0 {
                thread::sleep(Duration::from_millis(delay));
            }
            let mut action = actions.get(&frame.meta.seq).map(String::as_str);
            if begin == "broken" {
                action = Some("error");
            }
            if action == Some("late") {
                late = Some(result(&frame, frame.meta.seq, &settings));
                continue;
            }
            answer(&frame, action, tremor, &settings);
            if begin == "checked" {
                exit(0);
            }
            if let Some(late) = late.take() {
                send(&late);
            }
        }
    }
}
