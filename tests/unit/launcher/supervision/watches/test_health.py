"""Slow, stuck, or well: what probes and the log prove."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from launcher.engines.sglang.phases import shows_progress
from launcher.supervision.watches.health import (
    Health,
    HealthJudge,
    HealthWatch,
    ProbeResult,
    RequestProgress,
)


def failed(at: float) -> ProbeResult:
    return ProbeResult(at, "TimeoutError: timed out")


def test_probes_that_fail_in_a_row_with_nothing_advancing_mean_hung() -> None:
    judge = HealthJudge(3)
    seen = [judge.take(failed(at), advanced_at=None) for at in (0, 25, 50)]
    assert seen == [Health.UNHEALTHY, Health.UNHEALTHY, Health.HUNG]


def test_a_good_probe_begins_a_new_row() -> None:
    judge = HealthJudge(2)
    assert judge.take(failed(0), advanced_at=None) is Health.UNHEALTHY
    assert judge.take(ProbeResult(25, None), advanced_at=None) is Health.HEALTHY
    assert judge.take(failed(50), advanced_at=None) is Health.UNHEALTHY


def test_what_advanced_before_the_probe_is_no_excuse() -> None:
    assert HealthJudge(1).take(failed(100), advanced_at=99.9) is Health.HUNG


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_requests_that_advance_are_never_taken_for_a_hang(starts: list[float]) -> None:
    judge = HealthJudge(1)
    assert {judge.take(failed(at), advanced_at=at + 1) for at in starts} == {Health.HEALTHY}


def test_batches_in_the_log_are_what_advances() -> None:
    advance = RequestProgress(shows_progress)
    seen: list[float | None] = []
    for line in (
        "[2026-11-23 15:14:22] INFO: 127.0.0.1 - GET /health",
        "[2026-11-23 15:14:22 TP0] Decode batch, #running-req: 1, #token: 77",
        "[2026-11-23 15:14:23] Prefill batch, #new-seq: 1, #new-token: 8192",
    ):
        advance.see(line)
        seen.append(advance.at)
    nothing, first, second = seen
    assert nothing is None
    assert first is not None
    assert second is not None
    assert second > first


@dataclass
class Server:
    """Answers as it is told, and counts the probes that run at once."""

    answers: bool = True
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
