# SPDX-License-Identifier: MPL-2.0
"""The daemon under test: its configuration, commands and answers, results as they come, and a clean end."""

import contextlib
import itertools
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ledger
import paho.mqtt.publish as publish
from mqtt import Broker, Listener, kept
from running import BUILT, Program, children, wait_for, workers

Results = list[dict[str, Any]]

IDS = itertools.count(1)


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some keys changed, at any depth."""
    both = dict(base)
    for key, value in change.items():
        inner = both.get(key)
        nested = isinstance(inner, Mapping) and isinstance(value, Mapping)
        both[key] = merged(inner, value) if nested else value
    return both


class Daemon:
    """A running `orion-launch`, on the test picture unless its configuration says otherwise."""

    def __init__(
        self,
        run: Callable[..., Program],
        broker: Broker,
        listener: Listener,
        folder: Path,
        config: Mapping[str, Any],
        has_broker: bool = True,
    ) -> None:
        base = {
            "instance_id": "node_001",
            "stream": {"warmup_duration_s": 0, "resolution": "320p", "fps": 20},
            "mqtt": {"uri": broker.uri},
            "http": {"bind": ""},
        }
        self.config = merged(base, config)
        self.id = self.config["instance_id"]
        self.file = folder / "orion.yaml"
        self.broker, self.listener = broker, listener
        self.write(self.config)
        self.program = run(BUILT / "orion-launch", "--config", self.file, "--log-format", "text")
        self.program.wait_for_line(r"is running")
        if has_broker:
            # The broker has its subscription before it has its state.
            self.wait_until("the state", self.states)

    def write(self, config: Mapping[str, Any]) -> None:
        """JSON is YAML too, and one key stands on a line."""
        self.file.write_text(json.dumps(config, indent=2))

    # What it says.

    def topic(self, what: str) -> str:
        return f"care/{what}/{self.id}"

    @property
    def heard(self) -> int:
        """How many messages there were so far: where a look for later ones begins."""
        return len(self.listener.messages)

    def results(self, after: int = 0) -> Results:
        start = f"care/inferences/{self.id}/"
        return [message for topic, message in self.listener.messages[after:] if topic.startswith(start)]

    def said(self, after: int = 0) -> list[dict[str, Any]]:
        """Answers and events, in their order."""
        return [message for topic, message in self.listener.messages[after:] if topic == self.topic("health")]

    def acks(self, id: object, after: int = 0) -> list[dict[str, Any]]:
        return [said for said in self.said(after) if "command_ack" in said and said.get("id") == id]

    def events(self, name: str, after: int = 0) -> list[dict[str, Any]]:
        return [said for said in self.said(after) if said.get("event") == name]

    def wait_until(self, what: str, look: Callable[[], Any], seconds: float = 30.0) -> Any:
        """The first true value of `look`, while the daemon runs."""

        def alive() -> Any:
            assert self.program.is_running(), f"{what}: the daemon has ended\n{self.program.output}"
            return look()

        try:
            return wait_for(what, alive, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.program.output[-4000:]}") from None

    def wait_for_results(self, count: int = 1, after: int | None = None, seconds: float = 30.0) -> Results:
        """So many results after now, or after so many messages."""
        start = self.heard if after is None else after
        enough = lambda: len(found := self.results(start)) >= count and found  # noqa: E731
        return self.wait_until(f"{count} results", enough, seconds)

    def wait_for_result(self, what: str, shows: Callable[[dict], bool], after: int = 0) -> dict[str, Any]:
        return self.wait_until(what, lambda: next(filter(shows, self.results(after)), None))

    def wait_for_event(self, name: str, after: int = 0, seconds: float = 30.0) -> dict[str, Any]:
        return self.wait_until(name, lambda: self.events(name, after), seconds)[0]

    def states(self, after: int = 0) -> list[dict[str, Any]]:
        return [state for topic, state in self.listener.messages[after:] if topic == self.topic("state")]

    # What it is told.

    def publish(self, payload: bytes | str, topic: str | None = None, retain: bool = False) -> None:
        publish.single(
            topic or self.topic("control"),
            payload,
            qos=1,
            retain=retain,
            hostname="127.0.0.1",
            port=self.broker.port,
        )

    def request(self, command: str, params: object = None, **fields: Any) -> dict[str, Any]:
        """A command with an id that was not used before."""
        request = {"command": command, "id": f"test-{next(IDS)}", **fields}
        return request if params is None else {**request, "params": params}

    def send(self, command: str, params: object = None, **fields: Any) -> str:
        """Waits for nothing; the command's id."""
        request = self.request(command, params, **fields)
        self.publish(json.dumps(request))
        return request["id"]

    def ack(self, id: object, seconds: float = 30.0, after: int = 0) -> dict[str, Any]:
        """The answer to a command that was sent."""
        return self.wait_until(f"the answer to {id!r}", lambda: self.acks(id, after), seconds)[0]

    def command(self, command: str, params: object = None, **fields: Any) -> dict[str, Any]:
        """Sends a command and gives its answer."""
        after = self.heard
        ack = self.ack(self.send(command, params, **fields), after=after)
        assert ack["command_ack"] == command
        return ack

    def done(self, command: str, params: object = None, **fields: Any) -> dict[str, Any]:
        """Sends a command that succeeds; its answer."""
        ack = self.command(command, params, **fields)
        assert ack["status"] == "success", ack
        assert "error" not in ack
        return ack

    def refused(self, command: str, params: object = None, **fields: Any) -> str:
        """Sends a command that is refused; why."""
        ack = self.command(command, params, **fields)
        assert ack["status"] == "error", ack
        assert "data" not in ack and "applied_at_seq" not in ack, "nothing was applied"
        return ack["error"]

    def answer(self, payload: bytes | str, topic: str | None = None) -> dict[str, Any]:
        """Sends something that need not be a command; the next answer."""
        after = self.heard
        self.publish(payload, topic)
        look = lambda: [said for said in self.said(after) if "command_ack" in said]  # noqa: E731
        return self.wait_until("an answer", look)[0]

    # What is true of it.

    def retained(self, what: str = "state", seconds: float = 10.0) -> bytes:
        """What somebody gets who subscribes only now, byte for byte."""
        topic = self.topic(what)
        # What is published while somebody listens does not come as retained: another one has to ask then.
        look = lambda: kept(topic, self.broker.port)  # noqa: E731
        return wait_for(f"something retained in {topic}", look, seconds)

    def state(self) -> dict[str, Any]:
        return json.loads(self.retained())

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[Callable[[], None]]:
        """What is done inside leaves the state and the workers as they are; what it gives checks that."""
        before, pids, after = self.retained(), workers(self.program.pid), self.heard

        def check() -> None:
            assert self.retained() == before

        yield check
        # The answer to the last question comes behind whatever a command before it may have changed.
        status = self.done("get_status")["data"]
        assert status["pending"] == []
        check()
        state = json.loads(before)
        for key in ("config", "paused", "inference_rate_hz"):
            assert status[key] == state[key], key
        assert workers(self.program.pid) == pids
        # What a new subscriber gets is not heard by the others; it is only told again on a new connection.
        assert all(told == state for told in self.states(after))

    def below(self) -> list[int]:
        """Its processes, itself not counted."""
        return [pid for pid, _, _ in children(self.program.pid)]

    def books(self) -> dict[str, dict[str, Any]]:
        """The ledgers that the last lines of the log give; each of them adds up."""
        return ledger.read(self.program.lines)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> None:
        """Asks it to stop; it does so with status 0 and leaves no process behind."""
        below = self.below()
        self.program.signal(number)
        assert self.program.wait(seconds) == 0, self.program.output[-4000:]
        self.leaves_nothing(below)

    def leaves_nothing(self, below: list[int]) -> None:
        """None of these processes is left, nor any other of its session."""
        left = {pid for pid in below if Path(f"/proc/{pid}").exists()}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self.program.pid:
                    left.add(int(stat.parent.name))
        assert left == set(), "processes are left"


@contextlib.contextmanager
def alone(env: Mapping[str, str], folder: Path, config: Mapping[str, Any]) -> Iterator[Daemon]:
    """A daemon with a broker and a listener of its own; it is stopped at the end."""
    broker = Broker(folder)
    broker.start()
    started: list[Program] = []

    def run(*argv: object) -> Program:
        started.append(Program([str(word) for word in argv], env))
        return started[-1]

    try:
        listener = Listener(broker.port)
        daemon = Daemon(run, broker, listener, folder, config)
        yield daemon
        if daemon.program.is_running():
            daemon.stop()
        listener.close()
    finally:
        for program in started:
            program.kill()
        broker.stop()
