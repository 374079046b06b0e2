# SPDX-License-Identifier: MPL-2.0
"""What every page keeps: commands are run, examples are true, texts exist, links lead somewhere."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import contract
import pytest
from docs_runs import FILES, RUNS
from jsonschema import Draft202012Validator
from readme import ROOT, Block, blocks, command, pages

# Where a message of a kind goes, so that the contract knows which one it is.
TOPICS = {
    "inference": "care/inferences/orion/person_detection",
    "gap": "care/inferences/ward-3/gap",
    "presence": "care/presence/orion",
    "ack": "care/health/orion",
    "event": "care/health/orion",
}


def names_in_tests() -> Iterator[str]:
    """The texts in tests that read blocks, the names of these among them."""
    for file in (ROOT / "tests").rglob("*.py"):
        if "from readme import" not in (text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_command_is_run_or_says_why_not():
    run = {*RUNS, *FILES}
    named = [block for block in blocks() if block.mark == "tested"]
    bare = [
        block.place
        for block in blocks()
        if block.language == "sh" and block.mark not in ("tested", "not run")
    ]
    assert bare == [], "blocks without a mark, <!-- tested: NAME --> or <!-- not run: REASON -->"
    known = {*run, *names_in_tests()}
    assert [block.place for block in named if block.said not in known] == [], "blocks that no test runs"
    assert run - {block.said for block in named} == set(), "tests of blocks that are on no page"
    assert len(named) == len({block.said for block in named}), "a name is used twice"
    assert all(len(block.said) > 20 for block in blocks() if block.mark == "not run"), (
        "a reason is a sentence"
    )


@pytest.mark.parametrize("block", [b for b in blocks() if b.mark == "example"], ids=lambda block: block.place)
def test_an_example_is_such_a_message(block: Block):
    if block.said == "command":
        # What others say is not what the contract holds Orion to.
        schema = json.loads((contract.FOLDER / "command.schema.json").read_text())
        wrong = [error.message for error in Draft202012Validator(schema).iter_errors(json.loads(block.text))]
    else:
        wrong = contract.check(TOPICS[block.said], block.text.encode())
    assert not wrong, wrong


def test_messages_on_pages_are_marked_as_examples():
    bare = [block.place for block in blocks() if block.language == "json" and block.mark != "example"]
    assert bare == []


@cache
def sources() -> list[str]:
    """Every source, with texts that go over several lines put together."""
    folders = ("gst-orion/src", "gst-orion/core/src", "orion-launch/src", "models/orion_worker", "models")
    files = {
        file
        for folder in folders
        for ending in ("rs", "py", "sh")
        for file in (ROOT / folder).glob(f"**/*.{ending}")
    }
    return [re.sub(r"\\\n\s*", "", file.read_text()) for file in files if ".venv" not in file.parts]


def is_said(text: str) -> bool:
    """Whether one source has all parts of a text; `…` stands for what differs."""
    parts = [part.strip() for part in text.split("…") if len(part.strip()) > 2]
    return any(all(part in source for part in parts) for source in sources())


def test_texts_in_troubleshooting_exist():
    page = (ROOT / "docs/troubleshooting.md").read_text()
    texts = []
    for line in page.splitlines():
        if line.startswith("| ") and not line.startswith("| you see"):
            first = line.split(" | ")[0]
            texts += [text for text in re.findall(r"`([^`]+)`", first) if " " in text]
    assert len(texts) > 40
    assert [text for text in texts if not is_said(text)] == []


def anchors(page: Path) -> set[str]:
    """Of the headings, as the usual readers of Markdown make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    lost = []
    for page in pages():
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
                lost.append(f"{page.relative_to(ROOT)}: {target}")
    assert lost == []


def test_every_page_is_reached_from_the_readme():
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)[^)\s]*\)", page.read_text())
        ahead += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert [str(page.relative_to(ROOT)) for page in pages() if page not in seen] == []


def test_a_block_is_found_by_its_name():
    assert command("persons with gst-launch").startswith("gst-launch-1.0 ")
