"""What a download says of itself: rates, times left, words."""

from __future__ import annotations

import json

import pytest

from launcher.cli.display.download import download_note, pace
from launcher.errors import HubBusyError, HubUnreachableError
from launcher.models.download.events import (
    WINDOW_SECONDS,
    FileWrong,
    Meter,
    PullProgress,
    PullRetries,
    PullWaits,
)
from launcher.models.download.retries import (
    LONGEST_RETRY_AFTER_SECONDS,
    MOST_FAILURES,
    RetryBudget,
    TransientError,
)


def progress(done: int, rate: float | None, left: float | None) -> PullProgress:
    return PullProgress(
        done_bytes=done, total_bytes=100, bytes_per_second=rate, seconds_left=left, files=()
    )


def test_nothing_is_known_before_something_has_come() -> None:
    meter = Meter()
    assert meter.bytes_per_second is None
    meter.add(0.0, 500)
    assert (meter.bytes_per_second, meter.seconds_left(10)) == (None, None)


def test_the_rate_counts_what_came_and_not_what_was_here() -> None:
    meter = Meter()
    meter.add(0.0, 1000)
    meter.add(2.0, 1200)
    assert (meter.bytes_per_second, meter.seconds_left(300)) == (100.0, 3.0)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter()
    for second in range(100):
        meter.add(float(second), 10 * min(second, 50))
    assert meter.bytes_per_second == 0.0
    assert meter.seconds_left(1) is None
    assert WINDOW_SECONDS < 49


def test_what_is_taken_away_again_is_no_negative_rate() -> None:
    meter = Meter()
    meter.add(0.0, 1000)
    meter.add(1.0, 0)
    assert meter.bytes_per_second == 0.0


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (progress(10, None, None), ""),
        (progress(10, 2048.0, None), "2.0 KiB/s"),
        (progress(10, 2048.0, 90.0), "2.0 KiB/s, 1 min 30 s left"),
        (progress(100, 2048.0, 0.0), ""),
    ],
)
def test_the_pace_is_said_as_far_as_it_is_known(event: PullProgress, words: str) -> None:
    assert pace(event) == words


def test_what_a_person_should_know_is_a_sentence() -> None:
    assert "(process 7)" in (download_note(PullWaits(pid=7)) or "")
    assert "(process" not in (download_note(PullWaits(pid=None)) or "")
    wrong = FileWrong(path="config.json", found="12", expected="34")
    assert download_note(wrong) == "config.json is not what the hub has: 12, not 34."
    retries = PullRetries(path=None, problem="It fell", pause_seconds=2.0)
    assert download_note(retries) == "It fell; again in 2.0 s."
    assert download_note(progress(1, None, None)) is None


def test_an_event_is_one_line_of_json() -> None:
    line = progress(1, 2.0, 3.0).to_json()
    assert "\n" not in line
    assert json.loads(line)["event"] == "pull.progress"


def test_pauses_double_and_then_it_is_given_up() -> None:
    budget = RetryBudget()
    pauses = [budget.after(TransientError("x")).pause_seconds for _ in range(MOST_FAILURES - 1)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    with pytest.raises(HubUnreachableError):
        budget.after(TransientError("x"))


def test_what_moves_is_not_given_up() -> None:
    budget = RetryBudget()
    for _ in range(10 * MOST_FAILURES):
        assert budget.after(TransientError("x")).pause_seconds == 1.0
        budget.progress()


def test_a_busy_hub_is_waited_for_as_long_as_it_asks_within_bounds() -> None:
    busy = TransientError("x", retry_after_seconds=LONGEST_RETRY_AFTER_SECONDS, busy=True)
    assert RetryBudget().after(busy).pause_seconds == LONGEST_RETRY_AFTER_SECONDS
    longer = TransientError("x", retry_after_seconds=LONGEST_RETRY_AFTER_SECONDS + 1, busy=True)
    with pytest.raises(HubBusyError, match="given up at once"):
        RetryBudget().after(longer)


def test_a_hub_that_says_nothing_is_given_up_after_a_minute_of_silence() -> None:
    for silent_seconds, attempts in ((30.0, 2), (10.0, 5), (0.0, MOST_FAILURES)):
        budget = RetryBudget()
        error = TransientError("timed out", silent_seconds=silent_seconds)
        for _ in range(attempts - 1):
            budget.after(error)
        with pytest.raises(HubUnreachableError, match=f"given up after {attempts} attempts"):
            budget.after(error)
