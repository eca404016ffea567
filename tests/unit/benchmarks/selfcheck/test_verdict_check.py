"""The check of whole comparisons, in small: one of each kind, through loopback servers."""

from __future__ import annotations

from benchmarks.selfcheck.loopback.server import loopback
from benchmarks.selfcheck.verdict_check import SCHEDULE, Size, called, compare_once

SMALL = Size(rounds=3, prompts=4, concurrency=4)


def test_a_server_half_as_fast_is_found_and_against_itself_the_ratio_is_near_one() -> None:
    with (
        loopback(SCHEDULE) as server,
        loopback(SCHEDULE.model_copy(update={"slowdown": 2.0})) as slow,
    ):
        same = compare_once(server.base_url, server.base_url, SMALL, 1)
        slower = compare_once(server.base_url, slow.base_url, SMALL, 1)

    assert same.pairs == slower.pairs == 12
    # Both truths are the loopback servers' own schedules, whatever this machine does.
    assert slower.speedup.value < 0.75 < same.speedup.value
    assert called([slower], "slower") == 1
    assert called([slower], "faster") == 0
