# SPDX-License-Identifier: MPL-2.0
"""What happens in the course of a soak, and how."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from daemon import merged
from plan import Strike
from plant import Plant
from running import wait_for

WELL_S = 60.0
"""All must be well so many seconds after a fault: what is lost is tried again after 30 s at most."""

Act = Callable[[Plant, Strike], str]
"""Does it, ends it, and says what it was."""


def camera(plant: Plant, strike: Strike):
    return plant.cameras[plant.names.index(strike.camera)]


def camera_dies(plant: Plant, strike: Strike) -> str:
    struck, away = camera(plant, strike), strike.rng.uniform(1, 12)
    struck.proxy.refuse()
    struck.die()
    plant.hold(away)
    struck.start()
    struck.proxy.accept()
    return f"killed, back after {away:.1f} s"


def camera_stalls(plant: Plant, strike: Strike) -> str:
    struck, still = camera(plant, strike), strike.rng.uniform(1, 10)
    struck.signal(signal.SIGSTOP)
    plant.hold(still)
    struck.signal(signal.SIGCONT)
    return f"stopped for {still:.1f} s"


def camera_cable(plant: Plant, strike: Strike) -> str:
    struck, still = camera(plant, strike), strike.rng.uniform(3, 12)
    struck.proxy.part()
    plant.hold(still)
    struck.proxy.heal()
    return f"no packet either way for {still:.1f} s"


def camera_reset(plant: Plant, strike: Strike) -> str:
    camera(plant, strike).proxy.reset()
    return "connection reset"


def broker_restarts(plant: Plant, strike: Strike) -> str:
    away = strike.rng.uniform(0.5, 8)
    plant.broker.end()
    plant.hold(away)
    plant.broker.start()
    return f"back after {away:.1f} s"


def broker_hangs(plant: Plant, strike: Strike) -> str:
    still = strike.rng.uniform(1, 10)
    plant.broker.signal(signal.SIGSTOP)
    plant.hold(still)
    plant.broker.signal(signal.SIGCONT)
    return f"stopped for {still:.1f} s"


def broker_cable(plant: Plant, strike: Strike) -> str:
    still = strike.rng.uniform(3, 15)
    up, down = strike.rng.choice([(True, True), (True, False), (False, True)])
    plant.proxy.part(up, down)
    plant.hold(still)
    plant.proxy.heal()
    ways = {(True, True): "either way", (True, False): "to the broker", (False, True): "from the broker"}
    return f"no packet {ways[up, down]} for {still:.1f} s, connections half open"


def broker_refuses(plant: Plant, strike: Strike) -> str:
    away = strike.rng.uniform(1, 25)
    plant.proxy.refuse()
    plant.hold(away)
    plant.proxy.accept()
    return f"port closed for {away:.1f} s"


def broker_reset(plant: Plant, strike: Strike) -> str:
    plant.proxy.reset()
    return "connections reset"


def worker_killed(plant: Plant, strike: Strike) -> str:
    pid = plant.worker(strike.camera)
    os.kill(pid, signal.SIGKILL)
    return f"SIGKILL to {pid}"


def worker_stopped(plant: Plant, strike: Strike) -> str:
    pid = plant.worker(strike.camera)
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()

    def gone() -> bool:
        # One that was stopped never ends by itself.
        return not Path(f"/proc/{pid}").exists() or plant.over.is_set()

    try:
        wait_for(f"the watchdog puts an end to the stopped worker {pid}", gone, 30)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return f"SIGSTOP to {pid}, replaced after {time.monotonic() - start:.1f} s"


def tell(plant: Plant, strike: Strike, command: str, params: object = None) -> str:
    ack = plant.ear.command(strike.camera, command, params, f"{strike.seed:08x}-{command}")
    said = json.dumps(params) if params is not None else ""
    if ack["status"] != "success":
        raise AssertionError(f"{command} {said}: {ack.get('error')}")
    return f"{command} {said}".strip()


def model_swapped(plant: Plant, strike: Strike) -> str:
    if "model_dir" not in plant.detector:
        return tell(plant, strike, "restart_worker")
    state = next(one for one in plant.state()["cameras"] if one["instance_id"] == strike.camera)
    now = state["workers"][0]["processes"][0]["model_size"]
    return tell(plant, strike, "set_model_size", {"size": "s" if now == "n" else "n"})


def worker_restarted(plant: Plant, strike: Strike) -> str:
    return tell(plant, strike, "restart_worker")


def rate_changed(plant: Plant, strike: Strike) -> str:
    return tell(plant, strike, "set_inference_rate", {"rate_hz": round(strike.rng.uniform(1, 2), 2)})


def region_changed(plant: Plant, strike: Strike) -> str:
    if strike.rng.random() < 0.3:
        return tell(plant, strike, "clear_attention_rois")
    x, y = (round(strike.rng.uniform(0, 0.5), 3) for _ in range(2))
    region = {"x": x, "y": y, "width": 0.4, "height": 0.5}
    return tell(plant, strike, "set_attention_rois", {"rois": [region]})


def focus_changed(plant: Plant, strike: Strike) -> str:
    return tell(plant, strike, strike.rng.choice(["enable_auto_focus", "disable_auto_focus"]))


def paused(plant: Plant, strike: Strike) -> str:
    pause = strike.rng.uniform(1, 10)
    tell(plant, strike, "pause_inference")
    plant.hold(pause)
    tell(plant, strike, "resume_inference")
    return f"paused for {pause:.1f} s"


def reloaded(plant: Plant, strike: Strike) -> str:
    room = f"ward {strike.seed % 1000}"
    plant.config = merged(plant.config, {"room_id": room})
    plant.write(plant.config)
    told = lambda: plant.ear.events.get("config_reloaded", 0)  # noqa: E731
    enough = told() + len(plant.names)
    plant.daemon.signal(signal.SIGHUP)
    wait_for("config_reloaded of all cameras", lambda: told() >= enough, 60)
    return f"SIGHUP with room_id {room!r}"


KINDS: dict[str, Act] = {
    "camera dies": camera_dies,
    "camera stalls": camera_stalls,
    "camera's cable": camera_cable,
    "camera resets": camera_reset,
    "broker restarts": broker_restarts,
    "broker hangs": broker_hangs,
    "broker's cable": broker_cable,
    "broker refuses": broker_refuses,
    "broker resets": broker_reset,
    "worker killed": worker_killed,
    "worker stopped": worker_stopped,
    "worker restarted": worker_restarted,
    "model swapped": model_swapped,
    "rate changed": rate_changed,
    "region changed": region_changed,
    "focus changed": focus_changed,
    "paused": paused,
    "reload": reloaded,
}


def play(plant: Plant, strikes: list[Strike]) -> Iterator[Strike]:
    """One after the other; gives each when all is well again, or is not. Ends early when the run does."""
    for strike in strikes:
        plant.hold(strike.at_s - plant.clock())
        if plant.over.is_set():
            return
        strike.began_s = plant.clock()
        try:
            strike.did = KINDS[strike.kind](plant, strike)
            strike.lasted_s = plant.clock() - strike.began_s
            strike.well_s = plant.wait_well("all well again", WELL_S)
        except Exception as error:  # Whatever goes wrong belongs to this strike.
            strike.problem = f"{type(error).__name__}: {error}"
        yield strike
