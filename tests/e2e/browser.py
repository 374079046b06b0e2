# SPDX-License-Identifier: MPL-2.0
"""A real browser without a window, driven over its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from running import Program, wait_for
from websockets.sync.client import connect

FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--mute-audio",
)


def binary() -> str:
    """Where the browser is; a test that needs one is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no chromium; `apt install chromium` brings it")
    return found


class Browser:
    """A browser with a page; what goes wrong in the page is remembered in `troubles`."""

    def __init__(self, folder: Path) -> None:
        # The sandbox does not work for root.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        profile = f"--user-data-dir={folder / 'profile'}"
        self._program = Program([binary(), *FLAGS, *sandbox, profile, "about:blank"])
        self.troubles: list[str] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._ids = itertools.count(1)
        self._news = threading.Condition()
        self._session = ""
        try:
            address = self._program.wait_for_line(r"DevTools listening on (ws://\S+)").group(1)
            self._connection = contextlib.ExitStack()
            self._socket = self._connection.enter_context(connect(address, max_size=None))
        except BaseException:
            self._program.kill()
            raise
        threading.Thread(target=self._read, daemon=True).start()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def _read(self) -> None:
        with contextlib.suppress(Exception):
            for text in self._socket:
                message = json.loads(text)
                with self._news:
                    if "id" in message:
                        self._answers[message["id"]] = message
                        self._news.notify_all()
                    elif trouble := _trouble(message):
                        self.troubles.append(trouble)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        with self._news:
            there = self._news.wait_for(lambda: number in self._answers, 30)
            assert there, f"{method}: the browser does not answer\n{self._program.output[-2000:]}"
            answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def size(self, width: int, height: int, *, dark: bool = False, still: bool = False) -> None:
        """The size of the page, px, and what its visitor prefers."""
        mobile = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        preferences = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        if still:
            preferences.append({"name": "prefers-reduced-motion", "value": "reduce"})
        self.ask("Emulation.setEmulatedMedia", features=preferences)

    def open(self, address: str) -> None:
        """Goes there."""
        assert "errorText" not in (gone := self.ask("Page.navigate", url=address)), gone

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (script, result["exceptionDetails"])
        return result["result"].get("value")

    def wait_for(self, script: str, seconds: float = 30.0) -> Any:
        """The first true value of an expression in the page; what it looks at may not be there yet."""
        careful = f"(() => {{ try {{ return {script}; }} catch {{ return null; }} }})()"
        try:
            return wait_for(script, lambda: self.run(careful), seconds)
        except AssertionError as error:
            text = self.run("document.body.innerText")
            raise AssertionError(f"{error}\n{self.troubles}\n{text}") from None

    def text(self, selector: str) -> str:
        """What an element says."""
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def click(self, selector: str, text: str = "") -> None:
        """Clicks where an element is; of several the one that says this."""
        x, y, width, height = self.box(selector, text)
        self.drag((x + width / 2, y + height / 2))

    def box(self, selector: str, text: str = "") -> tuple[float, float, float, float]:
        """Where an element is in the window, after it was scrolled to: left, top, width, height, px."""
        script = f"""(() => {{
            const all = [...document.querySelectorAll({json.dumps(selector)})];
            const found = all.find((one) => one.textContent.includes({json.dumps(text)}));
            found.scrollIntoView({{ block: "center" }});
            const {{ x, y, width, height }} = found.getBoundingClientRect();
            return [x, y, width, height];
        }})()"""
        return tuple(self.run(script))

    def drag(self, *path: tuple[float, float]) -> None:
        """Presses the mouse at the first place, moves along, and lets go at the last."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(path) - 1)]
        for kind, (x, y) in [*zip(kinds, path, strict=True), ("mouseReleased", path[-1])]:
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.ask("Input.insertText", text=text)

    def picture(self, file: Path, whole: bool = True) -> None:
        """Takes a picture of the page."""
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        file.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Ends it, with all its processes."""
        with contextlib.suppress(Exception):
            self._session = ""
            self.ask("Browser.close")
            self._program.wait(5)
        with contextlib.suppress(Exception):
            self._connection.close()
        self._program.kill()


def _trouble(message: dict[str, Any]) -> str | None:
    params = message.get("params", {})
    match message["method"]:
        case "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            return details.get("exception", {}).get("description") or details["text"]
        case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
            return f"console.{params['type']}: {[one.get('value') for one in params['args']]}"
        case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
            return f"{params['entry']['text']} {params['entry'].get('url', '')}"
    return None
