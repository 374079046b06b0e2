# SPDX-License-Identifier: MPL-2.0
"""`orion-launch annotate` and `orion-launch report` on clips that are made here."""

import copy
import json
import os
import signal
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import contract
import cv2
import numpy as np
import pytest
from running import BUILT, ROOT, wait_for

LAUNCH = BUILT / "orion-launch"
WIDTH, HEIGHT, FRAMES, RATE = 320, 240, 45, 15
SQUARE = 50
GREEN = (102, 255, 102)


def clip(path: Path, frames: int = FRAMES) -> None:
    """A bright square that wanders over a dark, still ground, as H.264."""
    noise = np.random.default_rng(3).integers(30, 60, (HEIGHT, WIDTH, 3), np.uint8)
    raw = path.with_suffix(".raw")
    with raw.open("wb") as out:
        for number in range(frames):
            picture = noise.copy()
            left = 20 + 5 * number % (WIDTH - SQUARE - 40)
            picture[90 : 90 + SQUARE, left : left + SQUARE] = (200, 220, 240)
            out.write(picture.tobytes())
    subprocess.run(
        ["gst-launch-1.0", "-q", "filesrc", f"location={raw}", "!", "rawvideoparse", f"width={WIDTH}",
         f"height={HEIGHT}", "format=rgb", f"framerate={RATE}/1", "!", "videoconvert",
         "!", "x264enc", "speed-preset=ultrafast", "bframes=2", "!", "mp4mux",
         "!", "filesink", f"location={path}"],
        check=True, timeout=60,
    )  # fmt: skip
    raw.unlink()


def turn(path: Path) -> None:
    """Says in the track's header that it was held upright, a quarter turn (ISO/IEC 14496-12, 6.2.2)."""
    content = path.read_bytes()
    level = struct.pack(">4i", 0x10000, 0, 0, 0) + struct.pack(">i", 0x10000)
    quarter = struct.pack(">4i", 0, 0x10000, 0, -0x10000) + struct.pack(">i", 0)
    head = content.index(level, content.index(b"tkhd"))
    path.write_bytes(content[:head] + quarter + content[head + len(level) :])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("annotate") / "in.mp4"
    clip(path)
    return path


def call(*arguments: object, **options) -> subprocess.CompletedProcess:
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([LAUNCH, *map(str, arguments)], **options)


def annotate(*arguments: object, **options) -> subprocess.CompletedProcess:
    return call("annotate", *arguments, "--detector", "motion", **options)


def decoded(path: Path) -> list[np.ndarray]:
    """Every frame, red, green, blue."""
    video, frames = cv2.VideoCapture(str(path)), []
    while (got := video.read())[0]:
        frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
    return frames


def lines_of(path: Path) -> list[dict]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def annotated(recording: Path) -> tuple[Path, list[dict]]:
    out = recording.with_name("out.mp4")
    done = annotate(recording, out)
    assert done.returncode == 0, done.stderr
    assert f"frames {FRAMES} = results {FRAMES} + without result 0" in done.stdout
    assert "DOES NOT" not in done.stdout
    return out, lines_of(out.with_suffix(".jsonl"))


def test_each_frame_has_a_line_as_published_and_a_picture(annotated, recording):
    out, lines = annotated
    pictures = decoded(out)
    assert len(lines) == len(pictures) == len(decoded(recording)) == FRAMES
    video = cv2.VideoCapture(str(out))
    assert video.get(cv2.CAP_PROP_FPS) == RATE and pictures[0].shape == (HEIGHT, WIDTH, 3)
    assert [line["frame_seq"] for line in lines] == list(range(FRAMES))
    for number, line in enumerate(copy.deepcopy(lines)):
        assert line.pop("position_ms") == pytest.approx(number * 1000 / RATE, abs=1)
        assert not contract.check("care/inferences/orion/motion_detection", json.dumps(line).encode())
    # Players can begin at once: the index stands before the pictures.
    head = out.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")
    assert {path.name for path in out.parent.iterdir()} >= {"out.mp4", "out.jsonl"}
    assert not list(out.parent.glob("*.part*"))


def test_boxes_are_drawn_where_the_lines_say(annotated, recording):
    out, lines = annotated
    checked = 0
    for line, before, after in zip(lines, decoded(recording), decoded(out), strict=True):
        for detection in line["data"]["detections"]:
            box = detection["bbox"]
            left, top = int(box["x"]), int(box["y"])
            right, bottom = int(np.ceil(box["x"] + box["width"])), int(np.ceil(box["y"] + box["height"]))
            if bottom - top < 20 or right - left < 20:
                continue
            edges = [
                after[top + 30 : bottom - 4, left : left + 2],
                after[bottom - 2 : bottom, left + 4 : right - 4],
            ]
            shade = np.mean([edge.reshape(-1, 3).mean(0) for edge in edges], axis=0)
            ground = before[bottom - 2 : bottom, left + 4 : right - 4].reshape(-1, 3).mean(0)
            # Saturated, whichever colour its label has; ground and square are almost grey.
            assert np.ptp(shade) > 60 > np.ptp(ground), (line["frame_seq"], shade, ground)
            checked += 1
    assert checked > FRAMES // 2


def test_a_part_of_it_upright_to_standard_output(tmp_path):
    turned = tmp_path / "turned.mp4"
    clip(turned, 15)
    turn(turned)
    done = annotate(turned, tmp_path / "o.mp4", "--roi", "0,0,1,0.5", "--start", "0.2", "--duration", "0.4")
    assert done.returncode == 0, done.stderr
    assert "CRITICAL" not in done.stderr
    lines, pictures = lines_of(tmp_path / "o.jsonl"), decoded(tmp_path / "o.mp4")
    assert pictures[0].shape == (WIDTH, HEIGHT, 3), "as a player shows it"
    assert len(lines) == len(pictures) == 6
    assert [line["position_ms"] >= 199 for line in lines] == [True] * 6
    assert lines[0]["data"]["metadata"]["frame_height"] == WIDTH
    # The lower edge of the region: strokes of white.
    rows = pictures[2][WIDTH // 2 - 2 : WIDTH // 2, :].mean((0, 2))
    assert rows.max() > 180 and rows.min() < 90
    piped = annotate(turned, "--no-video", "--results", "-")
    assert piped.returncode == 0 and len(piped.stdout.splitlines()) == 15
    assert "frames 15" in piped.stderr
    page = call("report", "-", input=piped.stdout)
    assert page.returncode == 0 and page.stdout.startswith("<!DOCTYPE html>"), page.stderr


def test_odd_sides_lose_a_column_and_a_row_only(tmp_path):
    source = (
        "videotestsrc num-buffers=5 ! video/x-raw,width=161,height=121,framerate=5/1 ! jpegenc ! matroskamux"
    )
    subprocess.run(
        ["gst-launch-1.0", "-q", *source.split(), "!", "filesink", f"location={tmp_path}/in.mkv"], check=True
    )
    done = annotate(tmp_path / "in.mkv", tmp_path / "o.mp4")
    assert done.returncode == 0, done.stderr
    assert [picture.shape for picture in decoded(tmp_path / "o.mp4")] == [(120, 160, 3)] * 5


def made(path: Path, source: str) -> Path:
    """A recording that a pipeline makes."""
    words = [*source.split(), "!", "filesink", f"location={path}"]
    subprocess.run(["gst-launch-1.0", "-q", *words], check=True, timeout=60)
    return path


def test_frames_at_odd_distances_are_all_shown_at_their_times(tmp_path):
    one_rate = "jpegenc ! capssetter caps=image/jpeg,framerate=30/1"
    fast, slow = (
        f"videotestsrc num-buffers={n} ! video/x-raw,width=320,framerate={rate}/1 ! {one_rate} ! c."
        for n, rate in ((11, 30), (4, 6))
    )
    source = f"{fast} {slow} concat name=c ! matroskamux"
    assert annotate(made(tmp_path / "in.mkv", source), tmp_path / "o.mp4").returncode == 0
    video, times = cv2.VideoCapture(str(tmp_path / "o.mp4")), []
    while video.grab():
        times.append(video.get(cv2.CAP_PROP_POS_MSEC))
    positions = [line["position_ms"] for line in lines_of(tmp_path / "o.jsonl")]
    assert len(positions) == 15 and times == pytest.approx(positions, abs=2)


@pytest.mark.parametrize("sizes", [(320, 640), (640, 320)])
def test_a_recording_that_changes_its_size_stays_one_that_can_be_played(tmp_path, sizes):
    both = b""
    for width, rate in zip(sizes, (5, 7), strict=True):
        raw = f"video/x-raw,width={width},height={width * 3 // 4},framerate={rate}/1"
        stream = "x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream"
        source = f"videotestsrc num-buffers=10 pattern=ball ! {raw} ! {stream}"
        both += made(tmp_path / "one.h264", source).read_bytes()
    (tmp_path / "in.h264").write_bytes(both)
    done = annotate(tmp_path / "in.h264", tmp_path / "o.mp4")
    assert done.returncode == 0, done.stderr
    pictures, lines = decoded(tmp_path / "o.mp4"), lines_of(tmp_path / "o.jsonl")
    assert [picture.shape for picture in pictures] == [(sizes[0] * 3 // 4, sizes[0], 3)] * 20
    assert [line["data"]["metadata"]["frame_width"] for line in lines] == [sizes[0]] * 10 + [sizes[1]] * 10
    # A ball on black: what cannot be decoded is grey or smeared.
    assert all(np.median(picture) < 40 < picture.max() for picture in pictures)


def test_a_frame_without_a_result_has_a_line_that_says_so(recording, tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys\n"
        "import orion_worker\n"
        "class Odd:\n"
        "    count = 0\n"
        "    def infer(self, image, attention):\n"
        "        Odd.count += 1\n"
        "        if Odd.count in (5, 6, 30):\n"
        "            raise ValueError('odd')\n"
        "        return []\n"
        "sys.exit(orion_worker.run(Odd()))\n"
    )
    config = tmp_path / "o.yaml"
    config.write_text(f"models:\n  person_detector:\n    worker_command: {sys.executable} {worker}\n")
    out = tmp_path / "o.mp4"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "models")}
    done = call("annotate", recording, out, "--config", config, env=env)
    assert done.returncode == 0, done.stderr
    lines = lines_of(out.with_suffix(".jsonl"))
    assert len(lines) == len(decoded(out)) == FRAMES
    gaps = {n: line["cause"] for n, line in enumerate(lines) if line["type"] == "gap"}
    assert set(gaps.values()) == {"worker_error"} and len(gaps) == 3
    assert f"without result worker_error {len(gaps)};" in done.stdout


ERRORS = {
    "no such file": (["{dir}/none.mp4", "{dir}/o.mp4"], 2, "none.mp4: No such file or directory"),
    "itself": (["{in}", "{in}", "--overwrite"], 2, "the recording itself would be overwritten"),
    "there already": (["{in}", "{dir}/old.mp4"], 2, "old.mp4: exists already; --overwrite replaces it"),
    "no video": (["{dir}/text.mp4", "{dir}/o.mp4"], 1, "text.mp4: "),
    "only sound": (["{dir}/sound.mp4", "{dir}/o.mp4"], 1, "sound.mp4: there is no video in it"),
    "cut off": (["{dir}/cut.mp4", "{dir}/o.mp4"], 1, "cut.mp4: "),
    "no folder": (["{in}", "{dir}/none/o.mp4"], 1, "o.mp4.part: No such file or directory"),
    "full disk": (["{in}", "--no-video", "--results", "/dev/stdout"], 1, "No space left on device"),
    "behind its end": (["{in}", "{dir}/o.mp4", "--start", "60"], 1, "there is no frame in it between"),
    "no model": (["{in}", "{dir}/o.mp4", "--detector", "yolo", "--model-dir", "{dir}"], 1, "{dir}"),
    "bad key": (["{in}", "{dir}/o.mp4", "--config", "{dir}/bad.yaml"], 2, "bad.yaml:1:1: rooms: unknown key"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_is_said_in_one_line(recording, tmp_path, name):
    arguments, code, expected = ERRORS[name]
    (tmp_path / "old.mp4").write_text("x")
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "cut.mp4").write_bytes(recording.read_bytes()[:3000])
    (tmp_path / "bad.yaml").write_text("rooms: 1\n")
    if name == "only sound":
        sound = f"audiotestsrc num-buffers=20 ! vorbisenc ! oggmux ! filesink location={tmp_path}/sound.mp4"
        subprocess.run(["gst-launch-1.0", "-q", *sound.split()], check=True, timeout=30)
    before = sorted(path.name for path in tmp_path.iterdir())
    words = [word.format(**{"in": recording, "dir": tmp_path}) for word in arguments]
    if name == "full disk":
        words[-1] = "-"
        with open("/dev/full", "w") as full:
            done = annotate(*words, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    else:
        done = call("annotate", *words) if "--detector" in words else annotate(*words)
    assert done.returncode == code, done.stderr
    told = [line for line in done.stderr.splitlines() if line]
    assert len(told) == 1 and expected.format(dir=tmp_path) in told[0], done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "nothing half done is left"


def test_ctrl_c_leaves_what_was_done_to_be_played_and_read(run, recording, tmp_path):
    long = tmp_path / "long.mp4"
    clip(long, 900)
    out = tmp_path / "o.mp4"
    program = run(LAUNCH, "annotate", long, out, "--detector", "motion")
    results = tmp_path / "o.jsonl.part"
    wait_for("some results", lambda: results.is_file() and results.read_bytes().count(b"\n") > 40)
    program.signal(signal.SIGINT)
    assert program.wait(40) == 130, program.output
    assert "o.mp4.part and " in program.output
    assert not out.exists() and not (tmp_path / "o.jsonl").exists()
    lines = lines_of(results)
    assert 40 < len(lines) < 900
    assert len(decoded(tmp_path / "o.mp4.part")) == len(lines)
    assert len(list(tmp_path.glob("o.*"))) == 2


class Page(HTMLParser):
    """What a page consists of; tags must be closed in their order."""

    EMPTY = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_report_shows_what_annotate_wrote(annotated, tmp_path):
    out, lines = annotated
    page = tmp_path / "page.html"
    done = call("report", out.with_suffix(".jsonl"), "-o", page)
    assert done.returncode == 0 and not done.stderr, done.stderr
    shown = Page(page.read_text())
    assert f"{FRAMES} lines: {FRAMES} results, 0 gap records" in shown.text
    found = sum(line["data"]["count"] > 0 for line in lines)
    assert f"{found} ({found * 100 / FRAMES:.0f} %)" in shown.text
    assert shown.tags.count("svg") >= 8 and "time in the recording" in shown.text
    assert call("report", out.with_suffix(".jsonl"), "-o", page).returncode == 0, "a page of ours is replaced"
    page.write_text("mine")
    refused = call("report", out.with_suffix(".jsonl"), "-o", page)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr and page.read_text() == "mine"


def test_a_hostile_file_is_shown_as_text(tmp_path):
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    look = {
        "type": evil, "instance_id": evil, "frame_seq": 1, "timestamp": "2026-11-22T08:00:00.5Z",
        "latency_ms": 1e308, "stages": {"queue_ms": -1, "worker_ms": 1e300, "publish_ms": 0},
        "data": {"detections": [{"label": evil, "confidence": 7}],
                 "metadata": {"model_selected": evil, "roi_processing": {"source": evil}}},
        "lost_since_last": {evil: 2**64 - 1, "a": 2**64 - 1},
    }  # fmt: skip
    gap = {"type": "gap", "instance_id": evil, "missing_type": evil, "cause": evil, "frames": 2**64 - 1}
    far = {**look, "timestamp": "9999-12-31T23:59:59Z"}
    good = {**look, "type": "p", "instance_id": "b", "lost_since_last": {"queue_full": 3}, "latency_ms": 12}
    text = [json.dumps(one) for one in (look, gap, gap, far)]
    text += [f"care/inferences/b/p {json.dumps(good)}", "care/status/b online", evil, '{"type":', "[" * 5000]
    source = tmp_path / "evil.jsonl"
    source.write_bytes("\n".join(text).encode() + b"\n\xff\xfe\n\x00\n")
    done = call("report", source)
    assert done.returncode == 0, done.stderr
    assert "evil.jsonl:8: " in done.stderr
    page = Page((tmp_path / "evil.html").read_text())
    assert not {"script", "img", "iframe", "link", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert evil in page.text and "queue_full 3" in page.text
    assert "11 lines: 3 results, 2 gap records, 2 other messages, 4 broken" in page.text


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (None, 2, "No such file"),
        ("", 1, "there is no result in 0 lines"),
        ("oops\n", 1, "there is no result in 1 lines"),
    ],
)
def test_nothing_usable_is_an_error(tmp_path, text, code, expected):
    source = tmp_path / "in.jsonl"
    if text is not None:
        source.write_text(text)
    done = call("report", source)
    assert done.returncode == code and expected in done.stderr
    assert not (tmp_path / "in.html").exists()
