# SPDX-License-Identifier: MPL-2.0
"""The live page in a real browser: pictures with what was found, the state, and the controls."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from daemon import Daemon, merged
from node import region, source

CARD = "article[data-camera=node_001]"
MOTION: dict[str, Any] = {
    "http": {"bind": "127.0.0.1:0"},
    "models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 10}},
    "presence": {"absent_after_s": 1},
}


@pytest.fixture(scope="module")
def open_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def browser(open_browser: Browser) -> Iterator[Browser]:
    """With nothing gone wrong in it, neither before nor after."""
    open_browser.troubles.clear()
    open_browser.size(1280, 900)
    yield open_browser
    open_browser.open("about:blank")
    assert open_browser.troubles == []


def page(daemon: Daemon) -> str:
    return daemon.program.wait_for_line(r"live page: (http://\S+)").group(1)


def seq(browser: Browser) -> int:
    """The number of the frame that is shown."""
    return browser.wait_for(f"Number(document.querySelector('{CARD} canvas')?.dataset.seq)")


def ack(browser: Browser, tone: str, text: str) -> None:
    """Waits for an answer to the last command."""
    look = f"(a => a.dataset.tone === '{tone}' && a.textContent.includes('{text}'))"
    browser.wait_for(f"{look}(document.querySelector('{CARD} [data-ack]'))")


def presence(browser: Browser, text: str) -> None:
    shows(browser, "presence", text)


def shows(browser: Browser, part: str, text: str) -> None:
    """Waits until a part of the card says this."""
    browser.wait_for(f"document.querySelector('{CARD} [data-{part}]').textContent.includes('{text}')")


def pixels(browser: Browser) -> list[int]:
    """A few bytes of what the canvas shows."""
    return browser.run(
        f"""(({{ width, height }}, canvas) => {{
            const copy = new OffscreenCanvas(width, height).getContext("2d", {{ willReadFrequently: true }});
            copy.drawImage(canvas, 0, 0);
            return [...copy.getImageData(0, 0, width, height).data].filter((_, n) => n % 996 === 0);
        }})(...Array(2).fill(document.querySelector("{CARD} canvas")))"""
    )


PALE = """(() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = parts(colour).map((c) => linear(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return parts(colour)[3] === 0 && element.parentElement ? ground(element.parentElement) : colour;
    };
    const found = [];
    for (const element of document.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility() || element.disabled) continue;
        if (element.closest(".stage, .skip")) continue;
        const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < 4.5) found.push([element.textContent.slice(0, 40), contrast]);
    }
    return found;
})()"""
"""Texts whose contrast is below what WCAG 2 asks for (AA, 4.5)."""


def is_readable(browser: Browser) -> None:
    """Everything has contrast, light and dark."""
    for dark in (False, True):
        browser.size(1280, 900, dark=dark, still=True)
        assert browser.run(PALE) == []


def fits(browser: Browser, width: int) -> None:
    """Nothing has to be scrolled to the side."""
    browser.size(width, 740)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_persons_are_shown_as_they_are_seen(
    data_dir: Path, camera: Callable[..., str], start: Callable[..., Daemon], browser: Browser
):
    clip = data_dir / "clips" / "one-by-one-person-detection.mp4"
    person = {"model_dir": str(data_dir / "models"), "size": "n", "max_inference_rate_hz": 10}
    daemon = start(
        camera={"rtsp_url": camera("--clip", clip)},
        http={"bind": "127.0.0.1:0"},
        models={"person_detector": person},
        stream={"warmup_duration_s": 0},
    )
    browser.open(page(daemon))
    first = seq(browser)
    before = pixels(browser)
    assert len(set(before)) > 8, "a picture has more than one colour"
    browser.wait_for(
        f"Number(document.querySelector('{CARD} canvas').dataset.boxes) > 0"
        f" && document.querySelector('{CARD} [data-seen]').textContent.includes('person')",
        40,
    )
    presence(browser, "Present")
    assert seq(browser) > first and pixels(browser) != before
    steps = browser.run(
        f"[...document.querySelectorAll('{CARD} [data-flow] .step')].map((s) => s.textContent)"
    )
    assert steps == ["Received", "Gate", "Region", "Queue", "Worker", "Published"]
    fits(browser, 360)


def test_what_is_changed_on_the_page_is_in_force(start: Callable[..., Daemon], browser: Browser):
    daemon = start(**MOTION)
    browser.open(page(daemon))
    presence(browser, "Present")
    first = seq(browser)
    browser.wait_for(f"Number(document.querySelector('{CARD} canvas').dataset.seq) > {first}")

    browser.click(f"{CARD} button", "Draw")
    x, y, width, height = browser.box(f"{CARD} canvas")
    after = daemon.heard
    browser.drag(*((x + part * width, y + part * height) for part in (0.25, 0.5, 0.75)))
    ack(browser, "good", "in force from frame")
    result = daemon.wait_for_result("the region", lambda result: source(result) == "external", after)
    assert region(result) == pytest.approx({"x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}, abs=0.01)
    (told,) = [said for said in daemon.said(after) if said.get("command_ack") == "set_attention_rois"]
    assert told["id"].startswith("page-"), "everybody hears of it"
    browser.wait_for(
        f"document.querySelector('{CARD} [data-seen]').textContent.includes('region set by hand')"
    )

    browser.click(f"{CARD} button", "Clear")
    ack(browser, "good", "clear_attention_rois: in force")
    daemon.wait_for_result("the whole frame", lambda result: source(result) == "", daemon.heard)

    # By keyboard; a mistake is told in the daemon's words.
    for number, value in enumerate(["50", "10", "60", "20"]):
        browser.run(f"document.querySelectorAll('{CARD} .numbers input')[{number}].select()")
        browser.type(value)
    browser.click(f"{CARD} button", "Set region")
    ack(browser, "bad", "x + width must be at most 1")

    browser.run(f"document.querySelector('{CARD} form input').select()")
    browser.type("4")
    browser.click(f"{CARD} button", "Apply")
    ack(browser, "good", "set_inference_rate: in force")
    assert daemon.state()["inference_rate_hz"] == 4

    browser.click(f"{CARD} button", "Pause")
    ack(browser, "good", "pause_inference: in force")
    presence(browser, "Unknown")
    browser.wait_for(
        f"document.querySelector('{CARD} [data-mark]').textContent.includes('inference is paused')"
    )
    assert browser.run(f"!document.querySelector('{CARD} [data-mark]').hidden"), (
        "the picture is marked as old"
    )
    browser.click(f"{CARD} button", "Resume")
    presence(browser, "Present")
    events = browser.text("#event-list")
    assert "set_attention_rois was refused" in events and "resume_inference: in force" in events
    daemon.stop()
    browser.wait_for("document.querySelector('#banner').textContent.includes('Disconnected')")
    presence(browser, "Unknown")
    is_readable(browser)
    # What cannot be reached is an error to the browser, and so it should be.
    browser.troubles[:] = [t for t in browser.troubles if "ERR_" not in t and "503" not in t]


def test_the_page_works_without_a_broker_and_after_a_restart(
    start: Callable[..., Daemon], broker: Any, browser: Browser
):
    daemon = start(**MOTION)
    address = page(daemon)
    browser.open(address)
    presence(browser, "Present")
    broker.stop()
    shows(browser, "states", "Broker away")
    is_readable(browser)
    browser.click(f"{CARD} button", "Pause")
    ack(browser, "good", "pause_inference: in force")
    presence(browser, "Unknown")
    started = time.monotonic()
    daemon.stop()
    assert time.monotonic() - started < 5, "who watches holds nothing up"
    bind = {"http": {"bind": address.removeprefix("http://").rstrip("/")}}
    broker.start()
    start(**merged(MOTION, bind))
    presence(browser, "Present")
    assert browser.run("document.querySelector('#banner').hidden"), "it connects again by itself"
    browser.troubles[:] = [t for t in browser.troubles if "ERR_" not in t and "503" not in t]


def test_without_pictures_there_are_boxes_only(start: Callable[..., Daemon], browser: Browser):
    daemon = start(**merged(MOTION, {"mqtt": {"snapshots": {"privacy": True}}, "stream": {"format": "raw"}}))
    address = page(daemon)
    browser.open(address)
    browser.wait_for(f"Number(document.querySelector('{CARD} canvas')?.dataset.boxes) > 0")
    browser.wait_for(f"document.querySelector('{CARD} [data-mark]').textContent === 'Pictures are not shown'")
    status = browser.run(f"fetch('api/cameras/node_001/frames/{seq(browser)}.jpg').then((a) => a.status)")
    assert status == 403
    browser.troubles[:] = [trouble for trouble in browser.troubles if "403" not in trouble]


def test_raw_frames_are_shown_as_pictures(start: Callable[..., Daemon], browser: Browser):
    daemon = start(**merged(MOTION, {"stream": {"format": "raw"}}))
    browser.open(page(daemon))
    first = seq(browser)
    assert len(set(pixels(browser))) > 3, "black, white, and the box"
    browser.wait_for(f"Number(document.querySelector('{CARD} canvas').dataset.seq) > {first} + 5")


def test_a_visitor_enters_the_token(start: Callable[..., Daemon], browser: Browser, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef-token\n")
    daemon = start(**merged(MOTION, {"http": {"page": {"token_file": str(token)}}}))
    browser.open(page(daemon))
    browser.wait_for("document.activeElement?.id === 'token'")
    browser.type("something else")
    browser.click("#login button", "Watch")
    browser.wait_for("document.querySelector('#login-error').textContent === 'this is not the token'")
    browser.run("document.querySelector('#token').select()")
    browser.type(token.read_text().strip())
    browser.click("#login button", "Watch")
    presence(browser, "Present")
    assert seq(browser)
    assert browser.run("document.cookie") == "", "scripts do not see it"
    browser.click("#logout")
    browser.wait_for("!document.querySelector('#login').hidden")
    assert browser.run("fetch('api/live').then((a) => a.status)") == 401
    browser.troubles[:] = [trouble for trouble in browser.troubles if "401" not in trouble]
    assert "0123456789abcdef" not in daemon.program.output
