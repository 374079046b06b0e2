# SPDX-License-Identifier: MPL-2.0
"""What happens to cameras."""

import packets
from scenario import Scenario, event, every, nothing, presence
from stage import GO, HANG, Stage


def another(*arguments: object):
    """Another camera takes its place, at the same address."""

    def act(stage: Stage) -> None:
        stage.camera.die()
        stage.camera.start(*arguments)

    return act


def gone(stage: Stage) -> None:
    stage.camera.proxy.refuse()
    stage.camera.die()


def back(*arguments: object):
    def act(stage: Stage) -> None:
        stage.camera.start(*arguments)
        stage.camera.proxy.accept()

    return act


def change(make):
    def act(stage: Stage) -> None:
        stage.camera.proxy.down.editor = packets.changed(make)

    return act


def heal(stage: Stage) -> None:
    stage.camera.proxy.heal()


def slow(stage: Stage) -> None:
    stage.camera.proxy.down.delay_s, stage.camera.proxy.down.loss = 0.05, 0.1


def login(stage: Stage) -> None:
    another("--user", "nurse", "--password", "changed")(stage)


NIGHT = ("--pattern", "night")
LOST = every(event("stream_lost"), presence("stream_lost"))

SCENARIOS = [
    Scenario(
        name="camera dies and returns",
        injected="the camera's process is killed, its port refuses; started again",
        fault=gone,
        told=LOST,
        end=back(),
        hold=1,
        blind=True,
    ),
    Scenario(
        name="camera of an empty room dies",
        injected="the same for 8 s while nobody is in the room",
        fault=gone,
        told=LOST,
        end=back(),
        hold=8,
        empty=True,
        blind=True,
    ),
    Scenario(
        name="camera stalls",
        injected="the camera's process is stopped for a while (SIGSTOP), connections stay",
        fault=lambda stage: stage.camera.signal(HANG),
        told=every(event("stream_lost", cause="stalled"), presence("stream_lost")),
        end=lambda stage: stage.camera.signal(GO),
        hold=8,
        empty=True,
        blind=True,
    ),
    Scenario(
        name="camera cable is pulled",
        injected="no packet goes either way, connections stay half open; plugged in again",
        fault=lambda stage: stage.camera.proxy.part(),
        told=every(event("stream_lost", cause="stalled"), presence("stream_lost")),
        end=heal,
        hold=2,
        blind=True,
    ),
    Scenario(
        name="camera resets the connection",
        injected="all connections end by a reset, once",
        fault=lambda stage: stage.camera.proxy.reset(),
        told=event("stream_lost"),
    ),
    Scenario(
        name="camera accepts and says nothing",
        injected="connections end; new ones are taken and never answered",
        fault=lambda stage: (setattr(stage.camera.proxy, "mute", True), stage.camera.proxy.reset()),
        told=LOST,
        end=lambda stage: (heal(stage), stage.camera.proxy.reset()),
        hold=5,
        back=12,
        blind=True,
    ),
    Scenario(
        name="camera speaks no RTSP",
        injected="whatever the camera sends arrives as random bytes",
        fault=lambda stage: setattr(stage.camera.proxy.down, "editor", packets.noise),
        told=LOST,
        end=heal,
        hold=3,
        back=12,
        blind=True,
    ),
    Scenario(
        name="camera changes its resolution",
        injected="started again with 640x480 instead of 320x240",
        fault=another("--width", 640, "--height", 480),
        told=event("stream_lost"),
    ),
    Scenario(
        name="camera changes its codec",
        injected="started again with H.265 instead of H.264",
        fault=another("--codec", "h265"),
        told=event("stream_lost"),
        back=12,
    ),
    Scenario(
        name="camera offers nothing that is wanted",
        injected="started again with MJPEG while camera.codec is h264; later H.264 again",
        config={"camera": {"codec": "h264"}},
        fault=another("--codec", "mjpeg"),
        told=event("stream_lost", cause="wrong_codec"),
        end=lambda stage: another("--codec", "h264")(stage),
        hold=1,
        back=40,
        within=12,
        blind=True,
    ),
    Scenario(
        name="camera changes its password",
        injected="it wants a login that the daemon does not have; later none again",
        fault=login,
        told=event("stream_lost", cause="unauthorised"),
        end=lambda stage: another("--pattern", "ball")(stage),
        hold=1,
        back=40,
        within=12,
        blind=True,
    ),
    Scenario(
        name="picture freezes",
        short=True,
        injected="the camera sends the same picture again and again, with new times",
        # Longer than the encoder goes on to improve a picture that stands still.
        config={"presence": {"absent_after_s": 4}},
        fault=lambda stage: stage.camera.order("freeze"),
        told=presence("frozen"),
        end=lambda stage: stage.camera.order("show ball"),
        hold=2,
        within=9,
        blind=True,
    ),
    Scenario(
        name="picture of an empty room freezes",
        injected="the same, while nobody is in the room",
        fault=lambda stage: stage.camera.order("freeze"),
        told=presence("frozen"),
        end=lambda stage: stage.camera.order("show night"),
        hold=4,
        within=9,
        empty=True,
        blind=True,
    ),
    Scenario(
        name="picture goes black",
        injected="the camera sends black pictures",
        fault=lambda stage: stage.camera.order("show black"),
        told=presence("black"),
        end=lambda stage: stage.camera.order("show night"),
        hold=5,
        empty=True,
        blind=True,
    ),
    Scenario(
        name="packets are corrupt",
        injected="1 of 5 RTP packets has wrong bits for 3 s",
        fault=change(packets.corrupt(0.2)),
        told=nothing(),
        end=heal,
        hold=3,
        back=10,
    ),
    Scenario(
        name="packets are lost and swapped",
        injected="1 of 10 RTP packets is missing, then every 7th comes late, 2 s each",
        fault=change(packets.lose(0.1)),
        told=nothing(),
        end=change(packets.swap(7)),
        hold=2,
        back=10,
    ),
    Scenario(
        name="camera's media clock jumps",
        short=True,
        injected="RTP times go on 1 h later, then 1 h earlier",
        fault=change(lambda: packets.jump(3600 * 90000)()),
        told=nothing(),
        end=heal,
        hold=3,
        back=12,
        clock=True,
    ),
    Scenario(
        name="network to the camera is bad",
        injected="50 ms more each way and 1 of 10 pieces sent twice, for 4 s",
        fault=slow,
        told=nothing(),
        end=heal,
        hold=4,
        back=12,
    ),
]
