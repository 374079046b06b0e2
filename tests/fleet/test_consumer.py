# SPDX-License-Identifier: MPL-2.0
"""Consumers that share the results of a fleet: each result is in the store once, whoever dies."""

import contextlib
import random
import signal
import sys
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pg8000.exceptions
import pytest
import result
from conftest import ROOT
from postgres import Postgres
from running import Program, wait_for
from simulation import messages
from simulation.broker import Broker
from store import Address, Store, Unfit

INSTANCES, EACH = 10, 150
CHANCE = random.Random(1)


@pytest.fixture
def consume(fleet_broker: Broker, database: Postgres) -> Iterator[Callable[..., Program]]:
    """Starts consumers; none outlives its test."""
    with contextlib.suppress(pg8000.exceptions.DatabaseError):
        # Nothing to empty before the first test.
        database.ask("TRUNCATE results, refused")
    started: list[Program] = []

    def start(name: str, *words: object) -> Program:
        where = ["--broker", f"mqtt://127.0.0.1:{fleet_broker.address[1]}", "--database", database.address]
        quick = ["--batch", 20, "--hold", 0.02, "--client-id", name]
        started.append(
            Program([sys.executable, ROOT / "ops" / "fleet" / "consumer.py", *where, *quick, *words])
        )
        return started[-1]

    yield start
    for program in started:
        program.kill()


class Publisher:
    """Says results at QoS 1."""

    def __init__(self, broker: Broker) -> None:
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.connect(*broker.address)
        self._client.loop_start()

    def say(self, payload: bytes, instance: str = "a") -> None:
        self._last = self._client.publish(f"care/inferences/{instance}/person_detection", payload, qos=1)

    def results(self, instances: int, numbers: range) -> None:
        for number in numbers:
            for instance in range(instances):
                name = f"sim-{instance}"
                self.say(messages.encode(messages.result(name, number, number % 3, CHANCE)), name)
        self._last.wait_for_publish(20)

    def close(self) -> None:
        self._last.wait_for_publish(20)
        self._client.disconnect()
        self._client.loop_stop()


def rows(database: Postgres) -> int:
    # The consumer that connects first makes the tables, this one last.
    made = database.ask("SELECT to_regclass('refused') IS NOT NULL")[0][0]
    return database.ask("SELECT count(*) FROM results")[0][0] if made else 0


def tally(consumer: Program) -> dict[str, int]:
    """What it says at its end."""
    consumer.signal(signal.SIGTERM)
    assert consumer.wait(10) == 0, consumer.output
    last = consumer.lines[-1].partition("Tally(")[2].rstrip(")")
    return {name: int(value) for name, value in (pair.split("=") for pair in last.split(", "))}


def test_a_consumer_that_is_killed_loses_nothing_and_writes_nothing_twice(
    consume: Callable[..., Program], fleet_broker: Broker, database: Postgres
) -> None:
    first, second = consume("first"), consume("second")
    for consumer in (first, second):
        consumer.wait_for_line("did not know this consumer")
    publisher = Publisher(fleet_broker)
    publisher.results(INSTANCES, range(EACH // 2))
    wait_for("some rows", lambda: rows(database) > 50)
    first.kill()
    publisher.results(INSTANCES, range(EACH // 2, EACH))
    publisher.say(b'{"type": "person_detection"}')
    publisher.close()
    again = consume("first")
    again.wait_for_line("knows this consumer")
    wait_for("all rows", lambda: rows(database) == INSTANCES * EACH)
    wait_for("what is no result", lambda: database.ask("SELECT count(*) FROM refused")[0][0] == 1)
    found = database.ask(
        "SELECT instance_id, count(DISTINCT frame_seq), max(frame_seq) FROM results GROUP BY 1"
    )
    assert sorted(found) == [[f"sim-{instance}", EACH, EACH - 1] for instance in range(INSTANCES)]
    lives = [tally(again), tally(second)]
    assert all(one["written"] > 0 for one in lives), f"they share the work: {lives}"
    assert sum(one["refused"] for one in lives) == 1
    assert sum(one["written"] for one in lives) <= INSTANCES * EACH
    assert database.ask("SELECT topic, reason FROM refused") == [
        ["care/inferences/a/person_detection", "Object missing required field `instance_id`"]
    ]
    count, lost, replayed = database.ask(
        "SELECT sum(count)::int, max(lost::text), bool_or(replayed) FROM results"
    )[0]
    assert (count, lost, replayed) == (INSTANCES * EACH, "{}", False)


def test_what_comes_while_the_database_is_away_is_written_when_it_is_back(
    consume: Callable[..., Program], fleet_broker: Broker, database: Postgres
) -> None:
    consumer = consume("only")
    consumer.wait_for_line("did not know this consumer")
    publisher = Publisher(fleet_broker)
    publisher.results(2, range(10))
    wait_for("the first rows", lambda: rows(database) == 20)
    database.stop()
    try:
        publisher.results(2, range(10, 60))
        consumer.wait_for_line("the database takes nothing")
    finally:
        database.start()
    wait_for("all rows", lambda: rows(database) == 120)
    again = messages.encode(messages.result("sim-0", 1000, 1, CHANCE))
    for _ in range(3):
        publisher.say(again)
    publisher.close()
    wait_for("the row", lambda: rows(database) == 121)
    found = tally(consumer)
    assert (found["repeated"], found["refused"]) == (2, 0)


def test_what_a_killed_consumer_held_unwritten_is_written_by_its_successor(
    consume: Callable[..., Program], fleet_broker: Broker, database: Postgres
) -> None:
    consumer = consume("only")
    consumer.wait_for_line("did not know this consumer")
    publisher = Publisher(fleet_broker)
    database.stop()
    try:
        publisher.results(1, range(30))
        publisher.close()
        consumer.wait_for_line("the database takes nothing")
        consumer.kill()
    finally:
        database.start()
    successor = consume("only")
    wait_for("all rows", lambda: rows(database) == 30)
    assert tally(successor)["written"] == 30


def test_one_that_leaves_takes_what_is_kept_for_it(
    consume: Callable[..., Program], fleet_broker: Broker, database: Postgres
) -> None:
    first, second = consume("first"), consume("second")
    for consumer in (first, second):
        consumer.wait_for_line("did not know this consumer")
    first.kill()
    publisher = Publisher(fleet_broker)
    publisher.results(2, range(20))
    leaving = consume("first", "--leave")
    assert leaving.wait(15) == 0, leaving.output
    wait_for("all rows", lambda: rows(database) == 40)
    publisher.results(2, range(20, 40))
    publisher.close()
    # Nothing goes to the one that has gone.
    wait_for("all rows", lambda: rows(database) == 80)
    assert tally(second)["written"] >= 40


def test_a_result_is_read_with_its_types_and_what_is_wrong_is_named() -> None:
    payload = messages.encode(messages.result("sim-0", 5, 2, CHANCE))
    read = result.read(payload)
    assert (read.instance_id, read.frame_seq, read.data.count, len(read.data.detections)) == (
        "sim-0",
        5,
        2,
        2,
    )
    assert read.timestamp.utcoffset().total_seconds() == 0
    for wrong, named in (
        (payload.replace(b'"frame_seq":5', b'"frame_seq":-5'), r"\$\.frame_seq"),
        (payload.replace(b'"count":2', b'"count":"2"'), r"\$\.data\.count"),
        (payload[:-1], "truncated"),
        (b"[]", "Expected `object`"),
        (b"\xff", "malformed|invalid"),
    ):
        with pytest.raises(ValueError, match=named):
            result.read(wrong)


def test_what_the_database_does_not_take_is_told_apart_from_a_database_that_is_away(
    database: Postgres,
) -> None:
    store = Store(Address.read(database.address), None)
    row = result.read(messages.encode(messages.result("nul\0byte", 0, 0, CHANCE))).row()
    with pytest.raises(Unfit):
        store.write([row])
    good = result.read(messages.encode(messages.result("unfit-neighbour", 0, 0, CHANCE))).row()
    assert (store.write([good, good]), store.write([good])) == (1, 0)
    store.close()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--database", "postgresql://u:secret@h/d"], "holds a password"),
        (["--database", "mysql://u@h/d"], "not of the form postgresql://"),
        (["--database", "postgresql://u@h/d", "--broker", "http://h"], "not of the form mqtt://"),
        (["--database", "postgresql://u@h/d", "--database-password-file", "/nowhere"], "/nowhere"),
        (["--database", "postgresql://u@h/d", "--batch", "0"], "--batch 0 is not within"),
    ],
)
def test_a_wrong_command_line_is_told_and_nothing_secret_with_it(words: list[str], problem: str) -> None:
    program = Program([sys.executable, str(ROOT / "ops" / "fleet" / "consumer.py"), *words])
    assert program.wait(10) == 2
    assert problem in program.output and "secret" not in program.output
    program.kill()
