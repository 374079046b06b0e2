# SPDX-License-Identifier: MPL-2.0
"""models/download_models.sh against a web server that misbehaves."""

import contextlib
import hashlib
import importlib.util
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_server import PATIENCE, FileServer, serving

MODELS = Path(__file__).resolve().parents[2] / "models"
SCRIPT = MODELS / "download_models.sh"
sys.path.insert(0, str(MODELS))

NANO = "yolox_nano_416.onnx"
PAIR = {"yolo11n_fp32_640.onnx", "yolo11n_fp32_320.onnx"}
ONNX = b"\x08\x08\x12\x05orion" + random.Random(1).randbytes(300_000)
OTHER = b"\x08\x08\x12\x05other" + random.Random(2).randbytes(300_000)
WEIGHTS = b"PK\x03\x04" + random.Random(3).randbytes(10_000)
TOOLS = """
    awk basename cat cp cut dirname env flock grep head mkdir mktemp mv od printf rm sed sh sha256sum sleep
    sync tail tr wc
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Downloads:
    """Runs the script with a weights directory, a list of sums and an environment of its own."""

    def __init__(self, root: Path, server: FileServer) -> None:
        self.dir = root / "weights"
        self.sums = root / "models.lock"
        self.server = server
        self.started: list[subprocess.Popen] = []
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "ORION_MODEL_BASE_URL": server.url,
            "ORION_MODEL_DIR": str(self.dir),
            "ORION_MODELS_LOCK": str(self.sums),
            "ORION_VENV": str(root / "none"),
        }

    def start(self, *arguments: object, stdin=subprocess.DEVNULL, **env: str) -> subprocess.Popen:
        process = subprocess.Popen(
            ["sh", str(SCRIPT), *(str(argument) for argument in arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env | env,
            # A test run in the background ignores SIGINT, and what it starts would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    def run(self, *arguments: object, **env: str) -> tuple[int, str]:
        process = self.start(*arguments, **env)
        out, err = process.communicate(timeout=PATIENCE)
        assert out == ""
        return process.returncode, err

    def names(self) -> set[str]:
        return {file.name for file in self.dir.iterdir()} if self.dir.exists() else set()

    def entries(self) -> list[list[str]]:
        text = self.sums.read_text() if self.sums.exists() else ""
        return [line.split() for line in text.splitlines() if not line.startswith("#")]


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({"yolox_nano.onnx": ONNX, "yolo11n.pt": WEIGHTS, "yolo11s.pt": WEIGHTS}) as running:
        yield running


@pytest.fixture
def downloads(tmp_path, server) -> Iterator[Downloads]:
    made = Downloads(tmp_path, server)
    yield made
    for process in made.started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def only(programs: str, place: Path) -> str:
    """A PATH with nothing but these programs."""
    place.mkdir()
    for name in programs.split():
        if found := shutil.which(name):
            (place / name).symlink_to(found)
    return str(place)


@pytest.fixture(params=["curl", "wget"])
def with_tool(request, downloads, tmp_path) -> Downloads:
    """Downloads by one of the two tools; the other cannot be found."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    downloads.env["PATH"] = only(f"{TOOLS} {request.param}", tmp_path / "bin")
    return downloads


# --- a download that goes well ---


def test_the_default_model_is_fetched_and_its_sum_recorded(with_tool):
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert (with_tool.dir / NANO).read_bytes() == ONNX
    assert with_tool.entries() == [
        [sha256(ONNX), str(len(ONNX)), NANO, f"{with_tool.server.url}/yolox_nano.onnx"]
    ]
    assert f"SHA-256 {sha256(ONNX)} recorded" in said


def test_the_worker_finds_what_was_fetched(downloads):
    models = pytest.importorskip("orion_worker.models")
    assert downloads.run("yolox-nano")[0] == 0
    assert models.find(downloads.dir, "n").file_640 == downloads.dir / NANO


def test_a_file_that_is_there_and_right_is_not_fetched_again(downloads):
    downloads.run()
    status, said = downloads.run()
    assert status == 0
    assert f"{downloads.dir}/{NANO}: already there (its SHA-256 is right)" in said
    assert len(downloads.server.gets()) == 1


def test_a_file_put_there_by_hand_is_taken_and_not_recorded(downloads):
    downloads.dir.mkdir()
    (downloads.dir / NANO).write_bytes(OTHER)
    status, said = downloads.run()
    assert status == 0
    assert "already there (its SHA-256 is in no list, so it was not checked)" in said
    assert downloads.entries() == []


def test_without_length_and_validator(with_tool):
    with_tool.server.faults = ["plain"]
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert (with_tool.dir / NANO).read_bytes() == ONNX


def test_a_mirror_on_a_disk(downloads, tmp_path):
    (tmp_path / "a mirror").mkdir()
    (tmp_path / "mirror").symlink_to("a mirror")
    (tmp_path / "mirror" / "yolox_nano.onnx").write_bytes(ONNX)
    status, said = downloads.run(ORION_MODEL_BASE_URL=f"file://{tmp_path}/mirror/")
    assert (status, downloads.names()) == (0, {NANO}), said
    assert downloads.server.requests == []


def test_a_mirror_on_a_disk_without_the_file(downloads, tmp_path):
    status, said = downloads.run(ORION_MODEL_BASE_URL=f"file://{tmp_path}/none")
    assert (status, downloads.names()) == (1, set())
    assert f"[ERROR] file://{tmp_path}/none/yolox_nano.onnx: " in said


def test_credentials_of_a_mirror_appear_nowhere(downloads):
    secret = downloads.server.url.replace("//", "//user:hush@")
    status, said = downloads.run(ORION_MODEL_BASE_URL=secret)
    assert status == 0
    assert "hush" not in said
    assert "hush" not in downloads.sums.read_text()
    downloads.server.files.clear()
    (downloads.dir / NANO).unlink()
    status, said = downloads.run(ORION_MODEL_BASE_URL=secret)
    assert status == 1
    assert "hush" not in said


def test_if_missing_is_content_with_any_model_the_worker_takes(downloads):
    models = pytest.importorskip("orion_worker.models")
    taken = ["yolox_nano.onnx", "yolox_nano_416.onnx", "yolox_nano_416_rawgrid.onnx", "yoloxn_fp32_640.onnx"]
    taken += ["yolo11n_fp16_640.onnx", "yolov8n_standin_fp32_640.onnx", "yolox-n_fp32_640.onnx"]
    ignored = ["yolo11n_fp32_320.onnx", "yolo11s_fp32_640.onnx", "yolox_nanofp32.onnx", "yolo11n.onnx"]
    ignored += ["yolo11nfp32_640.onnx", "yolo11n_fp32_640.onnx.part"]
    downloads.dir.mkdir()
    accepted = []
    for name in taken + ignored:
        assert (models.pair([name], "n") is not None) == (name in taken)
        file = downloads.dir / name
        file.write_bytes(ONNX)
        # A closed door shows the attempt to fetch.
        status, said = downloads.run("--if-missing", ORION_MODEL_BASE_URL="file:///nowhere")
        assert status in (0, 1), said
        if status == 0:
            accepted.append(name)
        file.unlink()
    assert accepted == taken


def test_if_missing_asks_for_the_family_when_yolo11_is_named(downloads):
    downloads.dir.mkdir()
    (downloads.dir / NANO).write_bytes(ONNX)
    assert downloads.run("--if-missing", "yolo11n")[0] == 5
    (downloads.dir / "yolo11n_fp32_640.onnx").write_bytes(ONNX)
    assert downloads.run("--if-missing", "yolo11n")[0] == 0


# --- checksums ---


def test_a_changed_file_is_refused_with_both_sums(with_tool):
    with_tool.run()
    (with_tool.dir / NANO).unlink()
    with_tool.server.files["yolox_nano.onnx"] = OTHER
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (4, set())
    assert sha256(OTHER) in said
    assert sha256(ONNX) in said
    assert len(with_tool.entries()) == 1


def test_a_damaged_file_in_place_is_moved_out_of_sight(downloads):
    downloads.run()
    (downloads.dir / NANO).write_bytes(OTHER)
    status, said = downloads.run()
    assert (status, downloads.names()) == (4, {f"{NANO}.rejected"})
    assert sha256(OTHER) in said
    assert sha256(ONNX) in said
    assert downloads.run()[0] == 0
    assert (downloads.dir / NANO).read_bytes() == ONNX


def test_the_list_keeps_what_it_holds(downloads):
    other = f"{sha256(OTHER)}  12 other.onnx https://example.org/other.onnx"
    downloads.sums.write_text(f"# a comment\n\n{other}")
    assert downloads.run()[0] == 0
    lines = downloads.sums.read_text().splitlines()
    assert lines[:3] == ["# a comment", "", other]
    assert lines[3].startswith(sha256(ONNX))


@pytest.mark.parametrize("line", ["nonsense", f"{sha256(ONNX)} 12 {NANO}", f"{sha256(ONNX)[1:]} 1 {NANO} u"])
def test_a_broken_list_is_named_by_line(downloads, line):
    downloads.sums.write_text(f"# a comment\n{line}\n")
    status, said = downloads.run()
    assert (status, downloads.names() - {f"{NANO}.part", f"{NANO}.part.info"}) == (1, set())
    assert f"{downloads.sums}: line 2: " in said


def test_a_list_that_cannot_be_written_is_a_warning(downloads, tmp_path):
    status, said = downloads.run(ORION_MODELS_LOCK=str(tmp_path / "none" / "models.lock"))
    assert (status, downloads.names()) == (0, {NANO})
    assert "[WARNING] cannot record" in said


def test_the_shipped_list_is_readable():
    shipped = (MODELS / "models.lock").read_text().splitlines()
    for line in (line for line in shipped if line and not line.startswith("#")):
        sum_, size, _name, url = line.split()
        assert len(bytes.fromhex(sum_)) == 32
        assert int(size) > 0
        assert url.startswith("https://")


# --- servers that fail ---


def test_offline_says_what_to_do_at_once(with_tool):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections, and nobody else gets it
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        begin = time.monotonic()
        status, said = with_tool.run("--timeout", 15, ORION_MODEL_BASE_URL=url)
        assert time.monotonic() - begin < 10
    assert (status, with_tool.names()) == (3, set())
    assert f"[ERROR] cannot reach {url}/yolox_nano.onnx: " in said
    assert "refused" in said or "connect to" in said
    assert "ORION_MODEL_BASE_URL" in said
    assert f"{with_tool.dir}/{NANO} by hand" in said
    assert "`motion`, which needs no model" in said


def test_a_missing_file_on_the_server(with_tool):
    with_tool.server.files.clear()
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (1, set())
    assert f"{with_tool.server.url}/yolox_nano.onnx: the server answered HTTP 404" in said
    assert len(with_tool.server.gets()) == 1


def test_a_server_in_trouble_is_asked_again(with_tool):
    with_tool.server.faults = [503]
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert "the server answered HTTP 503; trying again in 1 s" in said


def test_a_server_in_lasting_trouble_is_named(downloads):
    downloads.server.faults = [500, 500, 500, 500]
    status, said = downloads.run()
    assert (status, downloads.names()) == (1, set())
    assert "the server answered HTTP 500, 3 times" in said
    assert len(downloads.server.gets()) == 3


def test_a_web_page_instead_of_a_model(with_tool):
    with_tool.server.faults = ["page"]
    status, said = with_tool.run()
    assert (status, with_tool.names(), with_tool.entries()) == (1, set(), [])
    assert 'it begins with "<!DOCTYPE html><html>' in said


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_a_broken_connection_is_taken_up_where_it_broke(with_tool, fault):
    with_tool.server.faults = [(fault, 100_000)]
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert (with_tool.dir / NANO).read_bytes() == ONNX
    second = with_tool.server.gets()[1]
    if fault == "cut":  # a reset may take back bytes that were on their way
        assert (second.status, second.range) == (206, "bytes=100000-")
        assert second.body_bytes == len(ONNX) - 100_000


def test_a_connection_that_always_breaks_ends_and_keeps_the_part(downloads):
    downloads.server.faults = [("cut", 1000)] * 5
    status, said = downloads.run()
    assert (status, downloads.names()) == (3, {f"{NANO}.part", f"{NANO}.part.info"})
    assert "broke off 3 times" in said
    assert (downloads.dir / f"{NANO}.part").read_bytes() == ONNX[:3000]


def test_a_drip_is_a_stall(with_tool):
    with_tool.server.faults = [("drip", 1000)] * 3
    begin = time.monotonic()
    status, said = with_tool.run(ORION_STALL_SECONDS="1")
    assert time.monotonic() - begin < 20
    assert (status, with_tool.names()) == (3, {f"{NANO}.part", f"{NANO}.part.info"})
    assert "less than 1 KiB/s for 1 s" in said


def test_the_time_limit_holds_for_the_whole_run(with_tool):
    with_tool.server.faults = [("drip", 1000)]
    begin = time.monotonic()
    status, said = with_tool.run("--timeout=2")
    assert 1 < time.monotonic() - begin < 5
    assert (status, with_tool.names()) == (3, {f"{NANO}.part", f"{NANO}.part.info"})
    assert "not done after 2 s (--timeout)" in said


# --- interrupted and resumed ---


def interrupt(downloads: Downloads, number: signal.Signals, count: int = 100_000) -> str:
    downloads.server.faults = [("hold", count)]
    process = downloads.start()
    part = downloads.dir / f"{NANO}.part"
    until(lambda: part.exists() and part.stat().st_size == count)
    process.send_signal(number)
    status, said = finish(process)
    assert status == -number, said
    # The program that fetched is gone too: the server sees its connection end.
    assert downloads.server.gone.wait(PATIENCE)
    assert downloads.names() == {f"{NANO}.part", f"{NANO}.part.info"}
    downloads.server.requests.clear()
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_goes_on_with_a_range_request(with_tool, number):
    said = interrupt(with_tool, number)
    assert f"interrupted while downloading {with_tool.server.url}/yolox_nano.onnx" in said
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert (with_tool.dir / NANO).read_bytes() == ONNX
    (request,) = with_tool.server.gets()
    assert (request.status, request.range) == (206, "bytes=100000-")
    assert request.body_bytes == len(ONNX) - 100_000


def test_a_server_that_ignores_ranges_gives_the_whole_file(with_tool):
    interrupt(with_tool, signal.SIGTERM)
    with_tool.server.faults = ["no range"]
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert (with_tool.dir / NANO).read_bytes() == ONNX


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(with_tool):
    interrupt(with_tool, signal.SIGTERM)
    with_tool.server.files["yolox_nano.onnx"] = OTHER
    status, said = with_tool.run()
    assert (status, with_tool.names()) == (0, {NANO}), said
    assert (with_tool.dir / NANO).read_bytes() == OTHER


def test_a_changed_file_as_long_as_the_part_is_not_mistaken_for_it(with_tool):
    interrupt(with_tool, signal.SIGTERM)
    with_tool.server.files["yolox_nano.onnx"] = OTHER[:100_000]
    status, said = with_tool.run()
    assert status == 0, said
    assert (with_tool.dir / NANO).read_bytes() == OTHER[:100_000]


def test_a_part_from_another_address_is_not_continued(downloads):
    interrupt(downloads, signal.SIGTERM)
    with serving({"yolox_nano.onnx": OTHER}) as mirror:
        assert downloads.run(ORION_MODEL_BASE_URL=mirror.url)[0] == 0
        assert [request.range for request in mirror.gets()] == [None]
    assert (downloads.dir / NANO).read_bytes() == OTHER


def test_a_part_without_its_validator_is_not_continued(downloads):
    interrupt(downloads, signal.SIGTERM)
    (downloads.dir / f"{NANO}.part.info").unlink()
    assert downloads.run()[0] == 0
    assert downloads.server.gets()[0].range is None
    assert (downloads.dir / NANO).read_bytes() == ONNX


def test_a_part_that_is_whole_is_only_checked(downloads):
    interrupt(downloads, signal.SIGTERM)
    (downloads.dir / f"{NANO}.part").write_bytes(ONNX)
    assert downloads.run()[0] == 0
    assert downloads.server.requests == []
    assert downloads.names() == {NANO}


def test_nothing_stays_in_the_temporary_directory(downloads, tmp_path):
    (tmp_path / "tmp").mkdir()
    downloads.env["TMPDIR"] = str(tmp_path / "tmp")
    interrupt(downloads, signal.SIGTERM)
    downloads.run()
    assert list((tmp_path / "tmp").iterdir()) == []


# --- two at once ---


def test_two_at_once_in_one_directory(downloads):
    downloads.server.faults = [("hold", 1000)]
    first = downloads.start()
    assert downloads.server.held.wait(PATIENCE)
    second = downloads.start()
    assert "another download is at work" in second.stderr.readline()
    downloads.server.release.set()
    assert finish(first)[0] == 0
    status, said = finish(second)
    assert status == 0
    assert "already there" in said
    assert len(downloads.server.gets()) == 1
    assert len(downloads.entries()) == 1


def test_the_wait_for_another_is_bounded(downloads):
    downloads.server.faults = [("hold", 1000)]
    first = downloads.start()
    assert downloads.server.held.wait(PATIENCE)
    status, said = downloads.run(ORION_LOCK_WAIT="1")
    assert status == 6
    assert f"another download is still at work in {downloads.dir} after 1 s" in said
    status, said = downloads.run("--timeout", "1")
    assert status == 3
    second = downloads.start()
    assert "another download is at work" in second.stderr.readline()
    second.send_signal(signal.SIGINT)
    assert finish(second)[0] == -signal.SIGINT
    downloads.server.release.set()
    assert finish(first)[0] == 0


def test_two_at_once_record_a_sum_once(downloads, tmp_path):
    copies = [downloads.start("--dir", tmp_path / f"weights {number}") for number in range(4)]
    assert [finish(copy)[0] for copy in copies] == [0, 0, 0, 0]
    assert len(downloads.entries()) == 1


# --- YOLO11 ---


@pytest.fixture
def exporter(tmp_path) -> Callable[[str], str]:
    """Makes a stand-in for the Python that has ultralytics; its arguments are those of that Python."""

    def make(body: str = 'for side in 640 320; do cp "$MODEL" "$3/${stem}_fp32_$side.onnx"; done') -> str:
        (tmp_path / "model").write_bytes(ONNX)
        file = tmp_path / "python"
        head = (
            f'MODEL={tmp_path}/model; stem=$(basename "$2" .pt); cmp -s "$2" {tmp_path}/weights.pt || exit 9'
        )
        file.write_text(f"#!/bin/sh\n{head}\n{body}\n")
        (tmp_path / "weights.pt").write_bytes(WEIGHTS)
        file.chmod(0o755)
        return str(file)

    return make


def test_the_licence_is_refused_without_a_terminal(downloads):
    status, said = downloads.run("yolo11n")
    assert (status, downloads.names(), downloads.server.requests) == (5, set(), [])
    assert "AGPL-3.0" in said
    assert "pass --yes to accept it" in said


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 5), ("\n", 5), ("\x04", 5)])
def test_the_licence_is_asked_for_on_a_terminal(downloads, exporter, answer, status):
    ours, theirs = pty.openpty()
    try:
        process = downloads.start("yolo11n", stdin=theirs, ORION_EXPORT_PYTHON=exporter())
        os.write(ours, answer.encode())
        found, said = finish(process)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Accept the licence and go on? [y/N]" in said
    assert found == status, said
    assert (downloads.names() >= PAIR) == (status == 0)


def test_a_question_without_answer_can_be_interrupted(downloads, exporter):
    ours, theirs = pty.openpty()
    try:
        process = downloads.start("yolo11n", stdin=theirs, ORION_EXPORT_PYTHON=exporter())
        said = ""
        while not said.endswith("[y/N] "):
            letter = process.stderr.read(1)
            assert letter, said
            said += letter
        process.send_signal(signal.SIGINT)
        assert finish(process)[0] == -signal.SIGINT
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_pair_is_exported_and_recorded(downloads, exporter):
    status, said = downloads.run("--yes", "yolo11", "n", "s", ORION_EXPORT_PYTHON=exporter())
    assert status == 0, said
    small = {name.replace("11n", "11s") for name in PAIR}
    assert downloads.names() == PAIR | small | {"yolo11n.sha256", "yolo11s.sha256"}
    assert [entry[2] for entry in downloads.entries()] == ["yolo11n.pt", "yolo11s.pt"]
    status, said = downloads.run("yolo11n")
    assert status == 0
    assert "already there (their SHA-256 is right)" in said
    assert len(downloads.server.gets()) == 2


def test_a_damaged_pair_is_noticed(downloads, exporter):
    downloads.run("--yes", "yolo11n", ORION_EXPORT_PYTHON=exporter())
    (downloads.dir / "yolo11n_fp32_320.onnx").write_bytes(OTHER)
    status, said = downloads.run("yolo11n")
    assert status == 4
    assert sha256(OTHER) in said
    assert sha256(ONNX) in said
    assert downloads.run("--yes", "yolo11n", ORION_EXPORT_PYTHON=exporter())[0] == 0
    assert (downloads.dir / "yolo11n_fp32_320.onnx").read_bytes() == ONNX


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('cp "$MODEL" "$3/${stem}_fp32_640.onnx"; echo no memory; exit 1', "no memory"),
        ('cp "$MODEL" "$3/${stem}_fp32_640.onnx"', "made no ONNX model for 320"),
        ('for side in 640 320; do echo "<html>" >"$3/${stem}_fp32_$side.onnx"; done', "made no ONNX model"),
    ],
)
def test_half_a_pair_is_never_put_in_place(downloads, exporter, body, message):
    status, said = downloads.run("--yes", "yolo11n", ORION_EXPORT_PYTHON=exporter(body))
    assert (status, downloads.names()) == (1, {"yolo11n.pt"})
    assert message in said


def test_an_export_can_be_interrupted(downloads, exporter, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    stuck = exporter(f'cp "$MODEL" "$3/${{stem}}_fp32_640.onnx"\nexec cat {tmp_path}/fifo')
    process = downloads.start("--yes", "yolo11n", ORION_EXPORT_PYTHON=stuck)
    with (tmp_path / "fifo").open("w"):  # opens when the stand-in has come to reading it
        process.send_signal(signal.SIGTERM)
        assert finish(process)[0] == -signal.SIGTERM
    assert downloads.names() == {"yolo11n.pt"}
    assert downloads.run("--yes", "yolo11n", ORION_EXPORT_PYTHON=exporter())[0] == 0
    assert len(downloads.server.gets()) == 1


@pytest.fixture(scope="module")
def export_yolo():
    spec = importlib.util.spec_from_file_location("export_yolo", MODELS / "export_yolo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_exported_files_are_what_the_worker_pairs(export_yolo):
    models = pytest.importorskip("orion_worker.models")
    for size in "nsmlx":
        names = [export_yolo.target(Path(f"yolo11{size}.pt"), Path("d"), side).name for side in (640, 320)]
        assert models.pair(names, size) == tuple(names)
    with pytest.raises(export_yolo.ExportError, match=r"yolov8n\.pt"):
        export_yolo.target(Path("yolov8n.pt"), Path("d"), 640)


def test_the_shapes_are_those_of_the_worker(export_yolo):
    assert export_yolo.expected_shapes(640) == ([1, 3, 640, 640], [1, 84, 8400])
    assert export_yolo.expected_shapes(320) == ([1, 3, 320, 320], [1, 84, 2100])


def test_a_model_of_the_wrong_shape_is_refused(export_yolo, tmp_path):
    onnx = pytest.importorskip("onnx")

    def model(columns: int) -> Path:
        shapes = {"images": [1, 3, 320, 320], "output0": [1, 84, columns]}
        image, boxes = (
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        )
        value = onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.0])
        shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [3], shapes["output0"])
        nodes = [
            onnx.helper.make_node("Constant", [], ["target"], value=shape),
            onnx.helper.make_node("ConstantOfShape", ["target"], ["output0"], value=value),
        ]
        graph = onnx.helper.make_graph(nodes, "g", [image], [boxes])
        file = tmp_path / f"{columns}.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 12)]), file)
        return file

    export_yolo.check(model(2100), 320)
    with pytest.raises(export_yolo.ExportError, match=r"8400.*the worker needs .*2100"):
        export_yolo.check(model(8400), 320)
    (tmp_path / "junk.onnx").write_bytes(b"<html>")
    with pytest.raises(export_yolo.ExportError, match=r"junk\.onnx: not a valid ONNX model"):
        export_yolo.check(tmp_path / "junk.onnx", 320)


# --- the worker's own opinion ---


def test_a_model_that_does_not_load_is_refused_where_that_can_be_tried(downloads, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    status, said = downloads.run(ORION_VENV=str(tmp_path / "env"))
    assert (status, downloads.names(), downloads.entries()) == (1, set(), []), said
    assert "cannot be loaded: " in said


# --- the command line ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["yolo12n"], "unknown model yolo12n; there are yolox-nano, yolo11n"),
        (["yolo11"], "yolo11 needs a size"),
        (["yolo11", "yolox-nano"], "yolo11 needs a size"),
        (["n"], "size n without yolo11"),
        (["--fast"], "unknown option --fast"),
        (["--timeout"], "--timeout needs a value"),
        (["--timeout", "soon"], "--timeout soon: not a whole number"),
        (["--timeout", "0"], "--timeout 0: not a whole number"),
        (["--dir", ""], "--dir is empty"),
    ],
)
def test_wrong_arguments(downloads, arguments, message):
    status, said = downloads.run(*arguments)
    assert (status, downloads.names(), downloads.server.requests) == (2, set(), [])
    assert said.startswith("[ERROR] ")
    assert message in said


@pytest.mark.parametrize("url", ["ftp://x/y", "/srv/models", "http://a b/", 'http://a"b/', "file://host/x"])
def test_wrong_mirrors(downloads, url):
    status, said = downloads.run(ORION_MODEL_BASE_URL=url)
    assert status == 2
    assert "ORION_MODEL_BASE_URL" in said


def test_help_names_every_variable_and_exit_status(downloads):
    process = downloads.start("--help")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    text = SCRIPT.read_text()
    used = set(re.findall(r"\$\{?(ORION_[A-Z_]+)", text))
    assert "ORION_MODEL_BASE_URL" in used
    assert {name for name in used if name not in out} == set()
    statuses = set(re.findall(r"\bdie ([0-9])", text)) | {"0"}
    said = out[out.index("Exit status:") :]
    assert {number for number in statuses if not re.search(rf"\b{number} [a-z]", said)} == set()


def test_neither_curl_nor_wget(downloads, tmp_path):
    status, said = downloads.run(PATH=only(TOOLS, tmp_path / "bin"))
    assert status == 1
    assert "neither curl nor wget found; install one (Debian: apt-get install curl)" in said


def test_a_directory_that_cannot_be_made(downloads, tmp_path):
    (tmp_path / "file").write_text("")
    status, said = downloads.run("--dir", tmp_path / "file" / "weights")
    assert status == 1
    assert f"cannot make the directory {tmp_path}/file/weights; name another with --dir" in said


def test_a_relative_directory_with_blanks(downloads, tmp_path):
    relative = os.path.relpath(tmp_path / "my weights")
    assert downloads.run("--dir", relative)[0] == 0
    assert (tmp_path / "my weights" / NANO).read_bytes() == ONNX


def test_the_scripts_pass_shellcheck():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == ""
