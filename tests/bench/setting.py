# SPDX-License-Identifier: MPL-2.0
"""What every bench is given: where things are, and how long it may take."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from others import Others
from running import Program

HERE = Path(__file__).resolve().parent
CLIP = "clips/one-by-one-person-detection.mp4"


@dataclass(frozen=True)
class Setting:
    """Folders, and whether figures are wanted soon rather than well."""

    data: Path
    built: Path
    folder: Path
    """For whatever a bench writes; it goes at the end."""
    quick: bool
    others: Others = field(default_factory=Others)

    def model(self, side: int, name: str = "yoloxn_fp32") -> Path:
        """A network for pictures of so many pixels a side."""
        return self.data / "models" / f"{name}_{side}.onnx"

    @property
    def env(self) -> dict[str, str]:
        """In which GStreamer finds the plugin that was built, and the worker's cache is our own."""
        plugins = self.folder / "plugins"
        plugins.mkdir(exist_ok=True)
        link = plugins / "libgstorion.so"
        if not link.is_symlink():
            link.symlink_to((self.built / link.name).resolve())
        return {
            "GST_PLUGIN_PATH": str(plugins),
            "GST_REGISTRY": str(self.folder / "registry.bin"),
            "ORION_MODEL_CACHE": str(self.folder / "models"),
        }

    def python(self, script: str, *arguments: object) -> Program:
        """A script of this folder in a process of its own."""
        return Program([sys.executable, str(HERE / script), *map(str, arguments)])

    def floor(self, threads: int, runs: int, *models: Path) -> dict[str, float]:
        """What ONNX Runtime does alone."""
        argv = [sys.executable, HERE / "floor.py", threads, runs, *models]
        done = subprocess.run([*map(str, argv)], check=True, capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def pipeline(self, text: str, **env: str) -> Iterator[Program]:
        """gst-launch-1.0 with a launch text."""
        with running(Program(["gst-launch-1.0", "-q", *text.split()], self.env | env)) as program:
            yield program

    @contextlib.contextmanager
    def daemon(self, config: Mapping[str, Any]) -> Iterator[Program]:
        """orion-launch with a configuration, once it runs."""
        file = self.folder / "orion.yaml"
        file.write_text(json.dumps(config))
        argv = [self.built / "orion-launch", "--config", file, "--log-format", "text"]
        with running(Program(argv, self.env)) as program:
            program.wait_for_line(r"is running", 60)
            yield program

    @contextlib.contextmanager
    def camera(self, *arguments: object) -> Iterator[str]:
        """An RTSP camera; its address."""
        with running(Program([self.built / "orion-camera", *arguments])) as program:
            yield program.wait_for_line(r"rtsp://\S+")[0]

    def clip(self, suffix: str, frames: int, fps: int = 30) -> Path:
        """People who walk by, 1280x720: as raw pictures (y4m) or as H.264 (mp4)."""
        file = self.folder / f"{frames}.{suffix}"
        if file.exists():
            return file
        if suffix == "y4m":
            text = (
                f"filesrc location={self.data / CLIP} ! decodebin ! videoscale ! videoconvert"
                f" ! video/x-raw,format=I420,width=1280,height=720 ! identity eos-after={frames + 1}"
                f" ! capssetter caps=video/x-raw,framerate={fps}/1 ! y4menc ! filesink location={file}"
            )
        else:
            # From the raw pictures, which have no times but those of the frame rate.
            text = (
                f"filesrc location={self.clip('y4m', frames, fps)} ! y4mdec"
                f" ! x264enc bitrate=4000 key-int-max={fps} bframes=0 ! mp4mux ! filesink location={file}"
            )
        done = subprocess.run(["gst-launch-1.0", "-q", *text.split()], capture_output=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"no clip: {done.stderr.decode(errors='replace')[-500:]}")
        return file


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    """A program that is gone afterwards."""
    try:
        yield program
    finally:
        program.kill()


def default_data(root: Path) -> Path:
    """Where models and clips are looked for."""
    return Path(os.environ.get("ORION_TEST_DATA") or root.parent / "shared" / "data")
