# SPDX-License-Identifier: MPL-2.0
"""What Prometheus reads: both formats by its own parsers, the same books, counters that never go back."""

import json
import urllib.request
from typing import Any

import pytest
from daemon import Daemon
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

OPEN_METRICS = "application/openmetrics-text;version=1.0.0"
CONFIG = {
    "http": {"bind": "127.0.0.1:0"},
    "models": {"person_detector": {"detector": "motion", "max_inference_rate_hz": 10}},
}


def get(daemon: Daemon, path: str, accept: str = "*/*") -> tuple[str, str]:
    """Media type and text of a page."""
    address = daemon.program.wait_for_line(r"state: http://([^/ ]+)/").group(1)
    request = urllib.request.Request(f"http://{address}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(daemon: Daemon) -> dict[tuple[str, tuple], float]:
    _, text = get(daemon, "/metrics")
    families = read_text(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(all_samples: dict, name: str, **labels: str) -> Any:
    return all_samples.get((name, tuple(sorted({"instance_id": "node_001", **labels}.items()))))


@pytest.fixture
def daemon(start):
    daemon = start(**CONFIG)
    daemon.wait_for_results(5)
    return daemon


def test_both_formats_are_read_by_the_official_parsers(daemon):
    kind, text = get(daemon, "/metrics", OPEN_METRICS)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in read_open_metrics(text)}
    assert families["orion_frames_received"].type == "counter"
    assert families["orion_stage_duration_seconds"].unit == "seconds"
    stages = {s.labels["stage"] for s in families["orion_stage_duration_seconds"].samples}
    assert stages >= {"queue", "worker", "inference", "transport", "publish", "end_to_end"}
    kind, text = get(daemon, "/metrics")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    plain = {family.name: family for family in read_text(text)}
    assert {"orion_frames_received", "orion_stage_duration_seconds", "orion_broker_up"} <= set(plain)
    assert "EOF" not in text and " pid" not in text
    # No value stands for "not known".
    assert all(s.value >= 0 for family in plain.values() for s in family.samples)


def test_sums_are_those_of_the_ledger(daemon):
    daemon.done("pause_inference")
    daemon.wait_until("the last frame", lambda: ledger(daemon)["infer"]["in_flight"] == 0)
    books, found = ledger(daemon), samples(daemon)
    for element in ("roi", "infer", "sink"):
        book = books[element]
        received = value(found, "orion_frames_received_total", element=element)
        forwarded = value(found, "orion_frames_forwarded_total", element=element)
        in_flight = value(found, "orion_frames_in_flight", element=element)
        dropped = sum(
            number
            for (name, labels), number in found.items()
            if name == "orion_frames_dropped_total" and ("element", element) in labels
        )
        assert received == forwarded + dropped + in_flight
        if element != "roi":
            assert (received, forwarded) == (book["received"], book["forwarded"])


def ledger(daemon: Daemon) -> dict[str, dict[str, Any]]:
    state = json.loads(get(daemon, "/readiness")[1])
    return {book["element"]: book for book in state["ledger"]}


def test_counters_never_go_back(daemon):
    def counters() -> dict:
        return {key: number for key, number in samples(daemon).items() if key[0].endswith("_total")}

    before = counters()
    for trouble in ("restart_worker", "broker", "reload"):
        if trouble == "restart_worker":
            daemon.done("restart_worker")
        elif trouble == "broker":
            daemon.broker.stop()
            daemon.broker.start()
        else:
            daemon.program.signal(1)
        after = daemon.heard
        if trouble != "broker":
            daemon.wait_for_results(3, after)
        now = counters()
        assert all(now[key] >= number for key, number in before.items()), trouble
        before = now
