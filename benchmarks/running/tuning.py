"""Which draft settings are fastest here: successive halving over short measurements.

All candidates answer a few prompts; the slower half is dropped, the rest answers more, until one is
left or the time is over. A measurement of n prompts costs a start and n answers, so most of the
time goes to the candidates that matter.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization", AISTATS 2016, arXiv:1502.07943, figure 1; here with a budget in seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.analysis.metrics import seconds_per_token
from benchmarks.plan import Arm
from benchmarks.records import RequestRecord
from benchmarks.running.arms import PLAIN, eagle, parse_arm

HALVED_BY: Final = 2
FIRST_PROMPTS: Final = 8
# Steps, top-k and draft tokens. Chains of one to five steps and two small trees: longer ones pay
# only at acceptance lengths that no NextN layer has shown (see docs/benchmarks.md).
GRID: Final = (
    *((steps, 1, steps + 1) for steps in (1, 2, 3, 4, 5)),
    *((3, 4, 8), (5, 4, 8)),
)


def candidates(settings: Iterable[tuple[int, int, int]] = GRID) -> tuple[Arm, ...]:
    """Plain decoding, which may well win, and EAGLE with each setting."""
    return (parse_arm(PLAIN), *(eagle(*setting) for setting in settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate in one rung.

    Attributes:
        arm: its name.
        rung: 0 and up.
        prompts: that it answered.
        seconds_per_output_token: median over prompts of end-to-end by completion tokens; None where
            it failed.
        acceptance_length: tokens per verify step over all prompts; None without speculation.
        seconds: that the measurement took, its start included.
        failure: why there is no figure.
    """

    arm: str
    rung: int
    prompts: int
    seconds_per_output_token: float | None
    acceptance_length: float | None = None
    seconds: float = 0.0
    failure: str | None = None


@dataclass(slots=True)
class Search:
    """What was tried, and what came of it.

    Attributes:
        trials: in the order of time.
        best: the fastest of the last rung that was measured; None where all failed.
        out_of_time: the budget ended before one was left.
    """

    trials: list[Trial] = field(default_factory=list)
    best: Arm | None = None
    out_of_time: bool = False


def trial_of(arm: str, rung: int, requests: Sequence[RequestRecord], *, seconds: float) -> Trial:
    """The figure of one candidate.

    Formula: median over prompts of (ended - due) / completion tokens; acceptance length =
    sum(correct_draft_tokens + verify_rounds) / sum(verify_rounds).
    """
    answered = [one for one in requests if one.outcome == "successful" and one.completion_tokens]
    speeds = [speed for one in answered if (speed := seconds_per_token(one)) is not None]
    steps = sum(one.verify_rounds or 0 for one in answered)
    drafts = sum(one.correct_draft_tokens or 0 for one in answered)
    errors = sorted({one.error for one in requests if one.error})
    return Trial(
        arm=arm,
        rung=rung,
        prompts=len(answered),
        seconds_per_output_token=statistics.median(speeds) if speeds else None,
        acceptance_length=(drafts + steps) / steps if steps and speeds else None,
        seconds=seconds,
        failure=None if speeds else next(iter(errors), "no request was answered"),
    )


def prompts_of(rung: int, most: int) -> int:
    """Prompts for each candidate of a rung: twice as many as in the one before."""
    return min(most, int(FIRST_PROMPTS * HALVED_BY**rung))


def search(
    arms: Sequence[Arm],
    measure: Callable[[Arm, int, int], Trial],
    *,
    most_prompts: int,
    seconds_left: Callable[[], float],
) -> Search:
    """Find the fastest.

    Args:
        arms: the candidates.
        measure: a candidate, the rung, and how many prompts; never raises for one that fails.
        most_prompts: that the workload has.
        seconds_left: of the budget; a candidate is only begun while it is above what the longest
            measurement so far suggests.

    Returns:
        All trials and the winner.
    """
    found = Search()
    alive = list(arms)
    rung = 0
    while True:
        prompts = prompts_of(rung, most_prompts)
        measured: dict[str, Trial] = {}
        for arm in alive:
            # Within a rung all are asked the same, so the longest so far says what one takes.
            expected = max((one.seconds for one in measured.values()), default=0.0)
            if rung and not measured:
                expected = HALVED_BY * max(one.seconds for one in found.trials)
            if found.trials and seconds_left() < expected:
                found.out_of_time = True
                break
            trial = measure(arm, rung, prompts)
            measured[arm.name] = trial
            found.trials.append(trial)
        ranked = rank(measured.values())
        # A rung that the clock cut short compares too few to drop the rest by.
        if found.out_of_time and len(measured) < len(alive) and found.best is not None:
            return found
        if not ranked:
            return found
        by_name = {arm.name: arm for arm in alive}
        found.best = by_name[ranked[0].arm]
        alive = [by_name[one.arm] for one in ranked[: math.ceil(len(ranked) / HALVED_BY)]]
        if found.out_of_time or len(alive) == 1:
            return found
        rung += 1


def rank(trials: Iterable[Trial]) -> list[Trial]:
    """Those that have a figure, the fastest first."""
    return sorted(
        (one for one in trials if one.seconds_per_output_token is not None),
        key=lambda one: one.seconds_per_output_token or math.inf,
    )


def tuned_fields(arm: Arm, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The launcher's fields for a config file that `up --config` takes."""
    return {**shared, **arm.fields}
