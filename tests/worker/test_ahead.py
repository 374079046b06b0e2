# SPDX-License-Identifier: MPL-2.0
"""Work done one item ahead: order, failures, no more than one item, an end that waits for nothing else."""

import threading

import pytest
from worker_process import PATIENCE_S

from orion_worker.ahead import Ahead


def numbers(*items: int | BaseException):
    """A source of items that raises those which are exceptions."""
    left = list(items)

    def receive():
        item = left.pop(0) if left else None
        if isinstance(item, BaseException):
            raise item
        return item

    return receive


def test_items_come_in_order_and_then_the_end():
    ahead = Ahead(numbers(1, 2, 3), lambda item: item * 10)
    ahead.start()
    assert [ahead.take() for _ in range(5)] == [10, 20, 30, None, None]


@pytest.mark.parametrize("error", [RuntimeError("no more"), MemoryError(), SystemExit(3)])
def test_a_failure_on_the_other_thread_is_raised_after_the_items_before_it(error):
    ahead = Ahead(numbers(1, 2, error), lambda item: item)
    ahead.start()
    assert [ahead.take(), ahead.take()] == [1, 2]
    for _ in range(2):
        with pytest.raises(type(error)):
            ahead.take()


def test_no_more_than_one_item_lies_ready():
    received, ready = [], threading.Semaphore(0)

    def receive() -> int:
        received.append(len(received))
        return received[-1]

    ahead = Ahead(receive, lambda item: ready.release() or item)
    ahead.start()
    for taken in range(50):
        assert ready.acquire(timeout=PATIENCE_S)
        assert len(received) == taken + 1
        assert ahead.take() == taken
    ahead.close()


def test_closing_waits_for_a_preparation_and_not_for_input():
    preparing, may_go, done = threading.Event(), threading.Event(), []
    source = threading.Event()

    def prepare(item: int) -> int:
        preparing.set()
        may_go.wait(PATIENCE_S)
        done.append(item)
        return item

    ahead = Ahead(numbers(1), prepare)
    ahead.start()
    assert preparing.wait(PATIENCE_S)
    closing = threading.Thread(target=ahead.close)
    closing.start()
    may_go.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive() and done == [1]

    waiting = Ahead(lambda: source.wait(PATIENCE_S), prepare)
    waiting.start()
    waiting.close()
    assert not source.is_set() and done == [1]
    source.set()
