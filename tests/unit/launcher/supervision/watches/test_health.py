"""Slow, stuck, or well: what probes and the log prove."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.engines.sglang.watching.phases import shows_progress
from launcher.supervision.watches.health import (
    Health,
    HealthJudge,
    HealthWatch,
    ProbeResult,
    RequestProgress,
)

FAILED = ProbeResult("TimeoutError: timed out")
EXCUSED = ProbeResult("TimeoutError: timed out", advanced=True)


def test_probes_that_fail_in_a_row_with_nothing_advancing_mean_hung() -> None:
    judge = HealthJudge(3)
    seen = [judge.take(FAILED) for _ in range(3)]
    assert seen == [Health.UNHEALTHY, Health.UNHEALTHY, Health.HUNG]


def test_a_good_probe_begins_a_new_row() -> None:
    judge = HealthJudge(2)
    assert judge.take(FAILED) is Health.UNHEALTHY
    assert judge.take(ProbeResult(None)) is Health.HEALTHY
    assert judge.take(FAILED) is Health.UNHEALTHY


@given(st.lists(st.sampled_from([FAILED, EXCUSED, ProbeResult(None)]), max_size=50))
def test_only_failures_in_a_row_without_an_excuse_end_a_server(results: list[ProbeResult]) -> None:
    judge = HealthJudge(3)
    for number, result in enumerate(results, start=1):
        last_three = results[max(0, number - 3) : number]
        hung = judge.take(result) is Health.HUNG
        assert not hung or last_three == [FAILED] * 3
        if hung:
            return
    assert [FAILED] * 3 not in [results[at : at + 3] for at in range(len(results) - 2)]


def test_decoded_batches_in_the_log_are_what_no_probe_can_have_caused() -> None:
    advance = RequestProgress(shows_progress)
    seen: list[float | None] = []
    for line in (
        "[2026-11-23 15:14:22] INFO: 127.0.0.1 - GET /health",
        "[2026-11-23 15:14:23] Prefill batch, #new-seq: 1, #new-token: 1",
        "[2026-11-23 15:14:22 TP0] Decode batch, #running-req: 1, #token: 77",
    ):
        advance.see(line)
        seen.append(advance.at)
    assert seen[:2] == [None, None]
    assert seen[2] is not None


@dataclass
class Server:
    """Answers as it is told, and counts the probes that run at once."""

    answers: bool = True
    seconds_ago: float | None = 0.0
    last_refusal: str | None = "status 503"
    probes: int = 0
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_up(self) -> bool:
        return True

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:  # noqa: ARG002
        with self.lock:
            self.at_once += 1
            self.probes += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        threading.Event().wait(0.02)
        with self.lock:
            self.at_once -= 1
        return self.answers

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:  # noqa: ARG002
        return self.seconds_ago

    def memory(self) -> None:
        return None

    def abort_requests(self) -> bool:
        return True

    def settle(self) -> bool:
        return True


def watch(server: Server, advance: RequestProgress, wanted: int) -> list[ProbeResult]:
    results: list[ProbeResult] = []
    enough = threading.Event()

    def take(result: ProbeResult) -> None:
        results.append(result)
        if len(results) == wanted:
            enough.set()

    one = HealthWatch(server, advance, interval_seconds=0.01, timeout_seconds=1, on_result=take)
    one.start()
    assert enough.wait(30)
    one.stop()
    return results


def test_one_probe_runs_at_a_time_and_its_refusal_is_told() -> None:
    server = Server(answers=False)
    results = watch(server, RequestProgress(shows_progress), 5)
    assert {result.refusal for result in results} == {"status 503"}
    assert server.most_at_once == 1


@pytest.mark.parametrize(
    ("seconds_ago", "advanced"), [(0.0, True), (3600.0, False), (math.inf, False), (None, False)]
)
def test_what_came_out_since_the_probe_began_excuses_it(
    seconds_ago: float | None,
    advanced: bool,  # noqa: FBT001  # as pytest hands it over
) -> None:
    """Nothing in the log: a server that cannot tell has no other excuse."""
    server = Server(answers=False, seconds_ago=seconds_ago)
    results = watch(server, RequestProgress(shows_progress), 3)
    assert {result.advanced for result in results} == {advanced}


def test_a_server_whose_log_shows_work_and_that_gives_nothing_is_asked() -> None:
    server = Server(seconds_ago=math.inf)
    advance = RequestProgress(shows_progress)
    advance.at = time.monotonic() + 3600
    assert {result.refusal for result in watch(server, advance, 3)} == {None}


def test_the_log_speaks_where_the_server_cannot_tell_what_came_out() -> None:
    server = Server(answers=False, seconds_ago=None)
    advance = RequestProgress(shows_progress)
    results = watch(server, advance, 1)
    advance.at = time.monotonic() + 3600
    assert not results[0].advanced
    one = HealthWatch(
        server, advance, interval_seconds=0.01, timeout_seconds=1,
        on_result=results.append, in_doubt=True,
    )  # fmt: skip
    one.start()
    while len(results) < 2:
        time.sleep(0.01)
    one.stop()
    assert results[1].advanced


def test_a_process_that_stands_still_is_a_probe_that_failed() -> None:
    server = Server()
    results: list[ProbeResult] = []
    one = HealthWatch(
        server, RequestProgress(shows_progress), interval_seconds=0.01, timeout_seconds=1,
        on_result=results.append, find_stopped=lambda: "stopped: process 7",
    )  # fmt: skip
    one.start()
    while len(results) < 2:
        time.sleep(0.01)
    one.stop()
    assert {result.refusal for result in results} == {"stopped: process 7"}
    assert server.probes == 0


def test_a_server_whose_requests_advance_is_not_asked() -> None:
    server = Server()
    advance = RequestProgress(shows_progress)
    advance.at = time.monotonic() + 3600
    one = HealthWatch(
        server, advance, interval_seconds=0.001, timeout_seconds=1, on_result=lambda _: None
    )
    one.start()
    time.sleep(0.1)
    one.stop()
    assert server.probes == 0


def test_a_server_that_was_taken_over_is_asked_once_however_busy_it_is() -> None:
    server = Server()
    advance = RequestProgress(shows_progress)
    advance.at = time.monotonic() + 3600
    asked = threading.Event()
    one = HealthWatch(
        server, advance, interval_seconds=0.001, timeout_seconds=1,
        on_result=lambda _: asked.set(), in_doubt=True,
    )  # fmt: skip
    one.start()
    assert asked.wait(30)
    time.sleep(0.05)
    one.stop()
    assert server.probes == 1


def test_after_a_probe_that_failed_it_is_asked_although_requests_advance() -> None:
    """Only a good answer says that the server is well again."""
    advance = RequestProgress(shows_progress)
    results: list[ProbeResult] = []
    enough = threading.Event()

    def take(result: ProbeResult) -> None:
        advance.at = time.monotonic() + 3600
        results.append(result)
        if len(results) == 3:
            enough.set()

    one = HealthWatch(
        Server(answers=False), advance, interval_seconds=0.01, timeout_seconds=1, on_result=take
    )
    one.start()
    assert enough.wait(30)
    one.stop()
