# SPDX-License-Identifier: MPL-2.0
"""Home Assistant's side: what it takes for a device, how it reads our messages, and what it sends.

The keys are those that the documentation of its MQTT integration names for each kind of entity.
"""

import json
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

# For every entity.
COMMON = {"platform", "unique_id", "name", "entity_category", "device_class", "icon", "qos"}
ATTRIBUTES = {"json_attributes_topic", "json_attributes_template"}
READ = {"state_topic", "value_template"}
SET = {*READ, "command_topic"}
# By platform: the keys that it must have, and those that it may have besides.
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {
    "binary_sensor": (READ, ATTRIBUTES),
    "sensor": (
        READ,
        {*ATTRIBUTES, "options", "state_class", "suggested_display_precision", "unit_of_measurement"},
    ),
    "number": (SET | {"command_template", "min", "max", "step", "mode"}, {"unit_of_measurement"}),
    "select": (SET | {"command_template", "options"}, set()),
    "switch": (SET | {"payload_on", "payload_off", "state_on", "state_off"}, set()),
    "image": ({"image_topic", "content_type"}, set()),
}
CLASSES: dict[str, set[str | None]] = {
    "binary_sensor": {"occupancy", "problem"},
    "sensor": {None, "enum", "frequency"},
    "number": {"frequency"},
    "select": {None},
    "switch": {None},
    "image": {None},
}
# An entity may only be set, or only tell of the device, where the platform can.
CATEGORIES: dict[str, set[str | None]] = {
    "binary_sensor": {None, "diagnostic"},
    "sensor": {None, "diagnostic"},
    "number": {None, "config"},
    "select": {None, "config"},
    "switch": {None, "config"},
    "image": {None, "diagnostic"},
}
DEVICE = {
    "identifiers",
    "name",
    "manufacturer",
    "model",
    "sw_version",
    "serial_number",
    "suggested_area",
}
UNKNOWN = "None"
"""What it takes for unknown."""

_TEMPLATES = ImmutableSandboxedEnvironment(undefined=StrictUndefined)


def is_announcement(topic: str) -> bool:
    levels = topic.split("/")
    return levels[-3:-2] == ["device"] and levels[-2].startswith("orion_") and levels[-1] == "config"


def _wrong(topic: str, told: dict[str, Any]) -> list[str]:
    wrong = []

    def expect(good: bool, what: object) -> None:
        if not good:
            wrong.append(str(what))

    expect(set(told) <= {"dev", "o", "cmps", "availability", "qos"}, set(told))
    expect(set(told["dev"]) <= DEVICE and told["dev"]["identifiers"], told["dev"])
    expect(set(told["o"]) == {"name", "sw_version"}, told["o"])
    for one in told.get("availability", []):
        expect(set(one) == {"topic", "value_template"}, one)
    ids = []
    for key, one in told["cmps"].items():
        platform = one["platform"]
        if set(one) == {"platform"}:
            continue
        needed, besides = PLATFORMS[platform]
        keys = set(one)
        expect(needed | {"unique_id", "name"} <= keys, (key, "misses", needed - keys))
        expect(keys <= needed | besides | COMMON, (key, "may not have", keys - needed - besides - COMMON))
        expect(one.get("device_class") in CLASSES[platform], (key, one.get("device_class")))
        expect(one.get("entity_category") in CATEGORIES[platform], (key, one.get("entity_category")))
        expect((one.get("device_class") == "enum") == (platform == "sensor" and "options" in one), key)
        expect("options" not in one or "state_class" not in one, (key, "both options and state_class"))
        for name, text in one.items():
            if name.endswith("_topic"):
                expect(not set("#+") & set(text), (key, name, text))
            if name.endswith("_template"):
                _TEMPLATES.from_string(text)
        ids.append(one["unique_id"])
    expect(len(ids) == len(set(ids)) > 0, ids)
    expect(topic.split("/")[-2] in told["dev"]["identifiers"], topic)
    return wrong


def check(topic: str, payload: bytes) -> str | None:
    """What Home Assistant would not take of an announcement; nothing is wrong with an empty one."""
    if not payload:
        return None
    try:
        wrong = _wrong(topic, json.loads(payload))
    except Exception as error:
        wrong = [repr(error)]
    return "\n".join([f"{topic} is no device of Home Assistant's:", *wrong]) if wrong else None


def rendered(template: str, value: bytes | str | dict) -> str:
    """What a template makes of a message, or of what a person has set."""
    text = value.decode() if isinstance(value, bytes) else value
    if isinstance(text, dict):
        return _TEMPLATES.from_string(template).render(value=json.dumps(text), value_json=text)
    try:
        return _TEMPLATES.from_string(template).render(value=text, value_json=json.loads(text))
    except ValueError:
        return _TEMPLATES.from_string(template).render(value=text)


def state(entity: dict[str, Any], message: bytes | str | dict) -> str:
    """The state of an entity after a message."""
    return rendered(entity["value_template"], message)
