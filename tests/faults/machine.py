# SPDX-License-Identifier: MPL-2.0
"""What happens to the machine that the daemon runs on."""

import contextlib
import glob
import os
import resource
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

from running import ROOT, wait_for
from scenario import Scenario, event, log, nothing, status
from stage import GO, HANG, Stage

# Where Debian has it (package libfaketime); the one for programs with threads.
_FAKETIME = [*glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"), ""][0]


def clock_env() -> dict[str, str]:
    """The wall clock is as a file says, looked at once a second; the one that only counts is not touched."""
    return {
        "LD_PRELOAD": _FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": "{folder}/clock",
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
        "ORION_WORKER": "{folder}/worker.sh",
    }


def no_faketime() -> str:
    return "" if _FAKETIME else "libfaketime is not installed (apt install libfaketime)"


def step(offset: str):
    """The clock differs from the true one by so much from now on."""

    def act(stage: Stage) -> None:
        new = stage.folder / "clock.new"
        new.write_text(offset + "\n")
        new.rename(stage.folder / "clock")

    return act


def stepped(hours: float):
    """The other clock was in force meanwhile."""

    def check(stage: Stage) -> None:
        now = datetime.now(timezone.utc)
        far = []
        for _, said in stage.results(0):
            taken = (datetime.fromisoformat(said["timestamp"][:26] + "+00:00") - now).total_seconds()
            # The camera's clock says when it was taken, the daemon's when it was published.
            far += [at for at in (taken, taken + said["latency_ms"] / 1000) if abs(at / 3600 - hours) < 0.5]
        assert far, f"no result says {hours:+} h: the clock was not stepped"

    return check


def right_clock(folder: Path) -> None:
    """The true time, and workers without the library, in which Python cannot even sleep."""
    (folder / "clock").write_text("+0\n")
    worker = folder / "worker.sh"
    shipped = os.environ.get("ORION_WORKER") or ROOT / "models" / "run_worker.sh"
    worker.write_text(f"#!/bin/sh\nexec env -u LD_PRELOAD '{shipped}' \"$@\"\n")
    worker.chmod(0o755)


def no_mount() -> str:
    folder = Path("/tmp") / f"orion-mount-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
        if done.returncode:
            return "a small file system cannot be mounted here (it takes root)"
        subprocess.run(["umount", folder], check=True)
    finally:
        folder.rmdir()
    return ""


def small_disk(folder: Path) -> None:
    """6 MB, of which the daemon's folder has what it needs."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", disk], check=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", folder / "disk"], check=False)


def fill(stage: Stage) -> None:
    """Not a byte is left, while results have to wait for the broker."""
    stage.proxy.refuse()
    with contextlib.suppress(OSError), open(stage.folder / "disk" / "filler", "wb", 0) as file:
        while True:
            file.write(b"x" * 512)


def room(stage: Stage) -> None:
    (stage.folder / "disk" / "filler").unlink()
    stage.proxy.heal()


def power_cut(stage: Stage) -> None:
    """Everything of the daemon ends at once, while results wait for the broker."""
    stage.proxy.refuse()
    wait_for("results that wait", lambda: stage.poll.now()["broker"]["buffered"] >= 5, 10)
    time.sleep(0.5)
    # By then they are on the disk: those that came last may not be.
    stage.notes["made"] = stage.poll.now()["ledger"][-1]["received"] - 2
    stage.notes["cut"] = datetime.now(timezone.utc).isoformat()
    os.killpg(stage.daemon.program.pid, signal.SIGKILL)


def survived(stage: Stage) -> None:
    """What waited for the broker when the power was cut has come."""
    wanted = stage.notes["made"]
    former = {
        result["timestamp"] for at, result in stage.results(0) if result["timestamp"] < stage.notes["cut"]
    }
    assert len(former) >= wanted, f"{len(former)} of at least {wanted} results came from before the power cut"


def power_returns(stage: Stage) -> None:
    stage.proxy.heal()
    stage.start_daemon()


def whole_group(number: int):
    """The daemon and all its workers."""
    return lambda stage: os.killpg(stage.daemon.program.pid, number)


def no_descriptors(stage: Stage) -> None:
    """As many files are open as may be; then the camera has to be connected anew."""
    pid = stage.daemon.program.pid
    stage.notes["files"] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, stage.notes["files"][1]))
    stage.camera.proxy.cut()


def descriptors(stage: Stage) -> None:
    resource.prlimit(stage.daemon.program.pid, resource.RLIMIT_NOFILE, stage.notes["files"])


def no_reader(stage: Stage) -> None:
    """Nobody reads the log any more, and there is much to be said."""
    stage.daemon.program.reads.clear()
    stage.order("shout")


def reader(stage: Stage) -> None:
    stage.order("")
    stage.daemon.program.reads.set()


def broken_file(stage: Stage) -> None:
    stage.daemon.file.write_text("camera: {rtsp_url: [")
    stage.daemon.program.signal(signal.SIGHUP)


def mend_file(stage: Stage) -> None:
    stage.daemon.write(stage.daemon.config)


SCENARIOS = [
    Scenario(
        name="clock steps one hour ahead",
        injected="the wall clock of the daemon is set ahead and back (libfaketime)",
        setup=right_clock,
        env=clock_env(),
        needs=no_faketime,
        fault=step("+3600"),
        told=nothing(),
        end=step("+0"),
        hold=4,
        clock=True,
        after=stepped(1),
    ),
    Scenario(
        name="clock steps one day back",
        injected="the same, one day into the past, while nobody is in the room",
        setup=right_clock,
        env=clock_env(),
        needs=no_faketime,
        fault=step("-86400"),
        told=nothing(),
        end=step("+0"),
        hold=4,
        clock=True,
        empty=True,
        after=stepped(-24),
    ),
    Scenario(
        name="camera's wall clock steps",
        injected="the clock that the camera dates its pictures by is set one hour ahead (libfaketime)",
        setup=right_clock,
        camera_env=clock_env(),
        needs=no_faketime,
        fault=step("+3600"),
        told=nothing(),
        end=step("+0"),
        hold=7,
        clock=True,
        after=stepped(1),
    ),
    Scenario(
        name="disk is full",
        injected="mqtt.buffer_directory on a full disk (tmpfs of 6 MB) while the broker refuses for 4 s",
        setup=small_disk,
        teardown=unmount,
        needs=no_mount,
        config={"mqtt": {"buffer_directory": "{folder}/disk/kept"}},
        fault=fill,
        told=log("buffer-directory|No space|space left"),
        within=8,
        end=room,
        hold=4,
        deaf=True,
        back=15,
    ),
    Scenario(
        name="power is cut",
        injected="daemon and workers are killed while results wait for the broker; all is started again",
        config={"mqtt": {"buffer_directory": "{folder}/kept"}},
        fault=power_cut,
        told=status("offline"),
        within=15,
        end=power_returns,
        deaf=True,
        restarts=True,
        after=survived,
        back=20,
    ),
    Scenario(
        name="machine sleeps",
        injected="daemon and workers are stopped for 5 s (SIGSTOP) and go on",
        fault=whole_group(HANG),
        told=status("offline"),
        within=15,
        end=whole_group(GO),
        hold=2,
        deaf=True,
        back=12,
    ),
    Scenario(
        name="no file can be opened",
        injected="RLIMIT_NOFILE at its end while the camera has to be connected anew, for 3 s",
        fault=no_descriptors,
        told=event("stream_lost"),
        end=descriptors,
        hold=3,
        deaf=True,
        back=40,
    ),
    Scenario(
        name="nobody reads the log",
        short=True,
        injected="standard error is a pipe that is full for 6 s, and workers say much",
        fault=no_reader,
        told=nothing(),
        end=reader,
        hold=6,
        back=12,
        bad_worker=True,
    ),
    Scenario(
        name="configuration is broken",
        injected="SIGHUP with a file that is no YAML",
        fault=broken_file,
        told=event("config_rejected"),
        end=mend_file,
    ),
]
