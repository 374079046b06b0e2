# SPDX-License-Identifier: MPL-2.0
"""What the commands of the documentation need around them, and what shows that they work."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """How one block is run."""

    shows: str = ""
    """A regular expression that a line of its output matches."""
    heard: str = ""
    """A regular expression that the topic of a message at the broker matches, while it runs."""
    ends: bool = True
    """Whether it ends by itself, with status 0; else it is interrupted when it has shown what it should."""
    makes: tuple[str, ...] = ()
    """Files that are there afterwards."""
    ward: bool = False
    """Whether a daemon with cameras is at its broker."""


RUNS = {
    "the plugin is found": Run(shows="orionpyinfer: "),
    "the daemon as the README starts it": Run(heard="^care/inferences/orion/person_detection$", ends=False),
    "a test picture without camera and broker": Run(shows="orion-worker, event=.*ready"),
    "every frame of a file": Run(heard="^care/inferences/orion/motion_detection$"),
    "pictures to a topic of their own": Run(heard="^pictures$"),
    "a region that follows": Run(heard="^care/inferences/orion/motion_detection$"),
    "a subscriber of status and presence": Run(shows="care/presence/ward-1 .*state", ends=False, ward=True),
    "a status of one's own": Run(heard="^care/status/ward-3$"),
    "the form of DL Streamer": Run(heard="^dlstreamer/orion/motion_detection$"),
    "a first configuration": Run(shows="the configuration is good"),
    "the daemon runs": Run(heard="^care/presence/ward-1$", shows="live page: http", ends=False),
    "how it goes": Run(shows="orion_frames_received", ward=True),
    "changes by orion-config": Run(shows="2 Hz", heard="^care/health/orion$", ward=True),
    "help for downloads": Run(shows="yolox-nano"),
    "a worker of one's own": Run(heard="^care/inferences/orion/my_detection$"),
    "a recording annotated and reported": Run(makes=("out.mp4", "out.jsonl", "out.html")),
    "a report of saved messages": Run(makes=("ward.html",), ward=True),
    "a script of the service before": Run(heard="^care/health/node_001$", ward=True),
    "the first look": Run(shows='"status": ?"healthy"', ward=True),
    "a command and its answer": Run(shows='"command_ack":"set_inference_rate"', ends=False, ward=True),
    "orion-config, first steps": Run(shows="ward-1.*2 Hz", ward=True),
    "orion-config, more of it": Run(makes=("results.jsonl",), ward=True),
    "the page with a token": Run(shows="live page: http", ends=False),
    "a device of Home Assistant taken away": Run(),
    "the launch text in a shell": Run(heard="^care/inferences/ward-3/person_detection$", ends=False),
}
"""By the name in `<!-- tested: name -->`; other names are those that other tests read themselves."""

# Blocks that are no commands: files that others need.
FILES = {"a first configuration, file": "orion.yaml", "two cameras, file": "cameras.yaml"}
