# SPDX-License-Identifier: MPL-2.0
"""The figures of the benchmark's table and how they are judged."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rounds import alternate, percentile, ratio
from rows import Row, Target, as_markdown, as_text, figure, lines_of

HERE = Path(__file__).parent


def row(ours: float | None, ratio: float | None, target: Target | None) -> Row:
    return Row("rate", "fps", "frames/s", ours, 10.0, ratio, target)


def test_ways_take_turns_and_every_second_round_goes_backwards():
    order = []
    ways = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    found = alternate(ways, 3, before=lambda: order.append("-"))
    assert "".join(order) == "-a-b-c-c-b-a-a-b-c"
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3, "c": 3}
    assert found["a"] == [2, 12, 14]


def test_a_ratio_is_the_median_of_each_rounds_own():
    # The machine gets three times slower; the ratio of the medians would be 1.5.
    assert ratio([10, 15, 5], [20, 10, 10]) == 0.5
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])


@pytest.mark.parametrize(("percent", "wanted"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_a_value_that_was_measured(percent, wanted):
    assert percentile(list(range(100, 0, -1)), percent) == wanted


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 101), ([1.0], -1)])
def test_a_percentile_of_nothing_is_an_error(values, percent):
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_targets_hold_for_the_ratio_or_for_our_own_figure():
    least, most = Target("ratio", "at least", 0.9), Target("ours", "at most", 20)
    assert row(30, 0.9, least).met == "yes"
    assert row(30, 0.8999, least).met == "NO"
    assert row(20, None, most).met == "yes"
    assert row(20.01, 0.1, most).met == "NO"
    assert row(20, 0.1, None).met == ""
    assert replace(row(30, 0.9, least), disturbed=True).met == "?"


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_is_missing_meets_no_target(value):
    for of in ("ratio", "ours"):
        for sense in ("at least", "at most"):
            assert row(value, value, Target(of, sense, 1)).met == "NO"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0, "0.00"), (0.034, "0.03"), (1.23456, "1.23"), (12.345, "12.3"), (1234.5, "1234")],
)
def test_figures_have_the_digits_that_mean_something(value, text):
    assert figure(value) == text


def test_a_failed_bench_is_a_line_that_says_why():
    failed = Row.failure("live", "RuntimeError: 3 of 10 results\nmore")
    assert failed.met == "failed"
    assert "live" in as_text([failed])
    assert "3 of 10 results" in as_text([failed])
    assert "more" not in as_markdown([failed])
    assert Row.failure("live", "").note == "no reason given"


def test_a_table_keeps_its_columns_whatever_is_in_it():
    rows = [row(1, 2, None), Row("a|b", "c", "", 1.0, note="x | y")]
    lines = as_markdown(rows).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {11}
    assert len(as_text(rows).splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--data", "/nowhere"], "no models and clips in /nowhere"),
        (["--only", "nonsense"], "nonsense"),
    ],
)
def test_the_runner_says_what_is_missing_or_wrong(arguments, text):
    done = subprocess.run(
        [sys.executable, HERE / "run.py", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert text in done.stderr
    assert json.dumps(done.stdout) == '""'


def test_the_runner_says_what_is_not_built(tmp_path):
    for name in ("models", "clips"):
        (tmp_path / name).mkdir()
    argv = [sys.executable, HERE / "run.py", "--data", tmp_path, "--built", tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "orion-launch, orion-camera" in done.stderr and "make build" in done.stderr


def test_a_bench_that_fails_is_told_in_the_table_and_by_the_status(tmp_path):
    for name in ("models", "clips"):
        (tmp_path / name).mkdir()
    for name in ("orion-launch", "orion-camera", "orion-stub-worker", "libgstorion.so"):
        (tmp_path / name).write_text("#!/bin/false\n")
    out = tmp_path / "table.md"
    argv = [sys.executable, HERE / "run.py", "--data", tmp_path, "--built", tmp_path, "--quick"]
    done = subprocess.run(
        [*argv, "--only", "start", "--out", out], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert "| start | FAILED |" in out.read_text()
    assert "0 targets are met, 0 are missed" in out.read_text()


def test_lines_of_benches_that_are_left_out_stay():
    page = as_markdown([row(1.0, 2, None), Row("idle", "cpu", "%", 0.5), Row.failure("live", "why")])
    kept = lines_of(page, ["live", "rate"])
    again = as_markdown([Row("idle", "cpu", "%", 0.25)], kept)
    assert lines_of(again, ["rate", "live"]) == kept
    assert "0.50" not in again and "0.25" in again
    assert again.count("FAILED") == 1
