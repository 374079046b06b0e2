# SPDX-License-Identifier: MPL-2.0
"""The contract's files, and messages held against them with nothing allowed that they do not describe."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import home_assistant
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).resolve().parents[2] / "gst-orion" / "core" / "schema"
# Where a message of this kind goes by default.
DEFAULT_TOPIC = "care/inferences/{instance_id}/{type}"

# Keywords whose parts describe the same object together with what stands beside them.
TOGETHER = ("anyOf", "oneOf", "allOf")


@cache
def _read(file: str) -> dict:
    return json.loads((FOLDER / file).read_text())


def strict(schema: Any) -> Any:
    """The same with no field allowed that it does not name; what names none (data.metadata) stays open."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties", "$defs"):
            # Names of fields, not keywords.
            closed[keyword] = {name: strict(one) for name, one in value.items()}
        elif keyword in ("items", "prefixItems", "additionalProperties", *TOGETHER):
            closed[keyword] = strict(value)
        else:
            closed[keyword] = value
    named = "properties" in schema
    for part in (part for keyword in TOGETHER for part in closed.get(keyword, [])):
        # Only the whole object can be closed.
        named |= isinstance(part, dict) and part.pop("unevaluatedProperties", None) is not None
    if named:
        closed["unevaluatedProperties"] = False
    return closed


@cache
def _validator(file: str) -> Draft202012Validator:
    return Draft202012Validator(strict(_read(file)))


def _is_parameter(level: str) -> bool:
    return level.startswith("{")


def _channels() -> Iterator[dict]:
    """Those that Orion speaks on: what others say may be wrong."""
    document = _read("asyncapi.json")
    for operation in document["operations"].values():
        if operation["action"] == "send":
            yield document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]


def _channel(topic: str) -> dict | None:
    """The channel of a topic; where several fit, the one with the fewest parameters."""
    levels, found = topic.split("/"), []
    for channel in _channels():
        address = channel["address"].split("/")
        fits = all(_is_parameter(part) or part == level for part, level in zip(address, levels, strict=False))
        if fits and len(address) == len(levels):
            found.append((sum(map(_is_parameter, address)), channel))
    return min(found, key=lambda one: one[0])[1] if found else None


def _channel_of(payload: bytes) -> dict | None:
    """The channel a message would have gone to by default, if it says itself what it is and whose."""
    try:
        message = value("application/json", payload)
    except ValueError:
        return None
    named = message if isinstance(message, dict) else {}
    values = {name: named.get(name) for name in ("type", "instance_id")}
    if not all(isinstance(value, str) for value in values.values()):
        return None
    return _channel(DEFAULT_TOPIC.format(**values))


def value(content_type: str, payload: bytes) -> Any:
    """A payload as JSON Schema sees it.

    Raises:
        ValueError: It is not of this type.
    """
    if content_type != "application/json":
        return payload.decode()
    try:
        return json.loads(payload)
    except RecursionError as error:
        # What somebody else says may be nested as deeply as it likes.
        raise ValueError("nested too deeply") from error


def _errors(message: dict, payload: bytes) -> Iterator[str]:
    try:
        found = value(message["contentType"], payload)
    except ValueError as error:
        yield f"not {message['contentType']}: {error}"
        return
    for error in _validator(message["payload"]["$ref"]).iter_errors(found):
        yield f"{error.json_path}: {error.message}"


def _forgets(topic: str, payload: bytes) -> bool:
    """Whether the broker is asked to keep nothing of this topic any more; a status is never forgotten."""
    return payload == b"" and ("/state/" in topic or "/presence/" in topic)


def check(topic: str, payload: bytes) -> str | None:
    """What is wrong with a message; a message that is not one of Orion's is never wrong."""
    if _forgets(topic, payload):
        return None
    if home_assistant.is_announcement(topic):
        # The form is Home Assistant's, and not ours to describe.
        return home_assistant.check(topic, payload)
    channel = _channel(topic) or _channel_of(payload)
    wrong = []
    for name in channel["messages"] if channel else ():
        message = _read("asyncapi.json")["components"]["messages"][name]
        errors = list(_errors(message, payload)) if "payload" in message else []
        if not errors:
            return None
        wrong += errors
    return "\n".join([f"{topic} is not as the contract says:", *wrong, repr(payload)]) if wrong else None


def read(topic: str, payload: bytes) -> Any:
    """A payload as a test wants it: JSON where it is meant to be JSON, or is; else text, else bytes."""
    channel = _channel(topic)
    messages = _read("asyncapi.json")["components"]["messages"]
    meant = [messages[name]["contentType"] for name in channel["messages"]] if channel else []
    for content_type in (*meant, "application/json", "text/plain"):
        try:
            return value(content_type, payload)
        except ValueError:
            continue
    return payload
