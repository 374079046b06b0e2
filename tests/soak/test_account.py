# SPDX-License-Identifier: MPL-2.0
"""Every frame is accounted for, or it is told which one is not."""

from account import Account, adds_up


def result(number: int, **lost: int) -> dict:
    return {"frame_seq": number, "lost_since_last": lost}


def gap(cause: str, *ranges: tuple[int, int]) -> dict:
    return {"cause": cause, "ranges": [{"first": a, "last": b, "frames": b - a + 1} for a, b in ranges]}


def book(received: int, forwarded: int, **dropped: int) -> dict:
    return {"received": received, "forwarded": forwarded, "in_flight": 0, "dropped": dropped}


def books(numbered: int, infer: dict[str, int] | None = None, sink: dict[str, int] | None = None) -> dict:
    infer, sink = infer or {}, sink or {}
    made = numbered - sum(infer.values())
    return {
        "source": book(numbered, numbered),
        "roi": book(numbered, numbered),
        "infer": book(numbered, made, **infer),
        "sink": book(made, made - sum(sink.values()), **sink),
    }


def heard(*messages: dict) -> Account:
    account = Account()
    for message in messages:
        account.gap(message) if "ranges" in message else account.result(message)
    return account


def test_nothing_lost_is_nothing_to_explain():
    losses = heard(*map(result, range(5))).close(books(5))
    assert losses.problems == [] and (losses.heard, losses.missing) == (5, 0)


def test_a_hole_that_the_next_result_tells_of_is_explained():
    account = heard(result(0), result(3, queue_full=2), result(4))
    losses = account.close(books(5, {"queue_full": 2}))
    assert losses.problems == [] and losses.told == {"queue_full": 2} and losses.missing == 2
    assert account.told == {"queue_full": 2}


def test_a_hole_before_the_first_result_is_explained_by_it():
    assert heard(result(2, worker_restart=2)).close(books(3, {"worker_restart": 2})).problems == []


def test_a_hole_that_nobody_tells_of_is_found():
    losses = heard(result(0), result(1), result(4), result(5)).close(books(6, {"queue_full": 2}))
    assert losses.problems == ["2 frames from 2 to 5 have no result and no cause"]


def test_what_was_given_up_is_named_by_a_record_and_told_by_the_next_result():
    account = heard(result(0), gap("queue_full", (1, 2)), result(3, queue_full=2))
    losses = account.close(books(4, sink={"queue_full": 2}))
    assert losses.problems == [] and losses.recorded == losses.told == {"queue_full": 2}


def test_a_record_alone_is_not_enough():
    account = heard(result(0), gap("queue_full", (1, 2)), result(3))
    assert (
        "2 frames from 1 to 3 have no result and no cause"
        in account.close(books(4, sink={"queue_full": 2})).problems
    )


def test_what_was_given_up_may_have_arrived_all_the_same():
    account = heard(
        result(0), result(1, worker_error=0), gap("no_connection", (1, 1)), result(2, no_connection=1)
    )
    losses = account.close(books(3, sink={"no_connection": 1}))
    assert losses.problems == [] and (losses.arrived, losses.missing) == (1, 0)


def test_what_was_said_by_one_that_was_given_up_and_arrived_is_said_again():
    account = heard(result(0), result(2, worker_error=1), gap("queue_full", (2, 2)))
    account.result(result(3, worker_error=1, queue_full=1))
    losses = account.close(books(4, {"worker_error": 1}, {"queue_full": 1}))
    assert losses.problems == [] and losses.told == {"worker_error": 1, "queue_full": 1}


def test_a_loose_range_names_nothing():
    record = {"cause": "queue_full", "ranges": [{"first": 1, "last": 3, "frames": 2}]}
    account = heard(result(0), record, result(2), result(4, queue_full=2))
    losses = account.close(books(5, sink={"queue_full": 2}))
    assert losses.problems == [] and losses.arrived == 0


def test_records_and_results_that_come_twice_count_once():
    account = heard(result(0), gap("queue_full", (1, 1)), gap("queue_full", (1, 1)))
    for _ in range(2):
        account.result(result(2, queue_full=1))
    losses = account.close(books(3, sink={"queue_full": 1}))
    assert losses.problems == [] and losses.repeats == 1


def test_a_loss_whose_teller_is_lost_is_told_by_the_next():
    # 1 was lost, 2 would have said so but was given up, and 3 says it.
    account = heard(result(0), gap("queue_full", (2, 2)), result(3, worker_error=1, queue_full=1))
    assert account.close(books(4, {"worker_error": 1}, {"queue_full": 1})).problems == []


def test_more_told_than_missing_is_a_lie():
    (problem, *_) = heard(result(0), result(1, queue_full=1)).close(books(2)).problems
    assert problem == "result 1 tells of 1 lost frames that are not missing"


def test_frames_at_the_end_are_explained_by_the_books():
    account = heard(result(0), result(1))
    assert account.close(books(3, {"shutdown": 1})).problems == []
    (problem,) = account.close({**books(3), "sink": book(3, 2)} | {"infer": book(3, 3)}).problems[1:] or [""]
    assert problem == "1 of 3 frames have no result, the books know of 0 (none)"


def test_results_that_the_broker_took_and_nobody_heard_are_missed():
    problems = heard(result(0), result(1)).close(books(3)).problems
    assert "2 results heard, 3 acknowledged by the broker" in problems


def test_a_book_that_does_not_add_up_is_told():
    wrong = {**books(2), "roi": book(3, 2)}
    assert not adds_up(wrong["roi"])
    assert any(
        "roi's book does not add up" in problem
        for problem in heard(result(0), result(1)).close(wrong).problems
    )


def test_frames_in_flight_at_the_end_are_told():
    stuck = books(2)
    stuck["infer"] |= {"forwarded": 1, "in_flight": 1}
    stuck["sink"] = book(1, 1)
    assert "infer: 1 frames in flight at the end" in heard(result(0)).close(stuck).problems
