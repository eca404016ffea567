"""A candidate held against the baseline: the same prompts in the same rounds. Pure: no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from benchmarks.analysis.figures import Crossover, Estimate, Speedup, Verdict
from benchmarks.analysis.intervals import LEAST_ROUNDS, Floats, paired_ratio, ratio_over_rounds
from benchmarks.analysis.metrics import (
    output_tokens_per_second,
    seconds_per_token,
    time_to_first_token_seconds,
)
from benchmarks.records import CellRecord, Load, RequestRecord

_NOTHING: Final = (0, 0)


def compare(
    requests: Iterable[RequestRecord],
    cells: Iterable[CellRecord],
    *,
    baseline: str,
    candidate: str,
    workload: str,
    load: Load,
    seed: int,
) -> Speedup | None:
    """How much faster the candidate is.

    Args:
        requests: of a run; those of other arms, workloads and loads are passed over.
        cells: of a run, for throughput; only those that are complete on both sides count.
        baseline: an arm.
        candidate: another.
        workload: which.
        load: which.
        seed: of the bootstrap; the same gives the same interval.

    Returns:
        None where no request was successful on both sides in one round.
    """
    of_cell = [r for r in requests if (r.cell.workload, r.cell.load) == (workload, load)]
    ours = [r for r in of_cell if r.cell.arm == candidate and r.outcome == "successful"]
    theirs = [r for r in of_cell if r.cell.arm == baseline and r.outcome == "successful"]
    ratios = paired(theirs, ours, seconds_per_token)
    if ratios.shape == _NOTHING:
        return None
    first_token_ratios = paired(theirs, ours, time_to_first_token_seconds)
    speedup = paired_ratio(ratios, np.random.default_rng(seed))
    throughputs = _throughput_ratios(
        [c for c in cells if (c.cell.workload, c.cell.load) == (workload, load)],
        of_cell,
        baseline=baseline,
        candidate=candidate,
    )
    return Speedup(
        baseline=baseline,
        candidate=candidate,
        workload=workload,
        load=load,
        speedup=speedup,
        throughput_ratio=ratio_over_rounds(throughputs) if throughputs else None,
        time_to_first_token_ratio=None
        if first_token_ratios.shape == _NOTHING
        else paired_ratio(first_token_ratios, np.random.default_rng(seed)),
        pairs=int(np.count_nonzero(~np.isnan(ratios))),
        rounds=ratios.shape[1],
        ratios=tuple(float(one) for one in np.exp(np.nanmean(np.log(ratios), axis=1))),
        verdict=verdict(speedup, ratios.shape[1]),
    )


def verdict(speedup: Estimate, rounds: int) -> Verdict:
    """What may be said: a difference only where the interval leaves 1 out."""
    if rounds < LEAST_ROUNDS or speedup.low is None or speedup.high is None:
        return "too few rounds"
    if speedup.low > 1:
        return "faster"
    return "slower" if speedup.high < 1 else "no difference shown"


def paired(
    baseline: Iterable[RequestRecord],
    candidate: Iterable[RequestRecord],
    function: Callable[[RequestRecord], float | None],
) -> Floats:
    """A metric of the baseline by that of the candidate, for the same prompt in the same round.

    Args:
        baseline: requests of one workload at one load.
        candidate: the same.
        function: a metric of a request.

    Returns:
        Shape [prompts, rounds], NaN where one of the two has no value above 0; prompts and rounds
        without any pair are left out, so that it may be empty.
    """
    ours, theirs = _by_place(candidate, function), _by_place(baseline, function)
    both = ours.keys() & theirs.keys()
    prompts = {name: row for row, name in enumerate(sorted({prompt for prompt, _ in both}))}
    rounds = {number: column for column, number in enumerate(sorted({one for _, one in both}))}
    ratios = np.full((len(prompts), len(rounds)), np.nan)
    for prompt, number in both:
        place = (prompt, number)
        ratios[prompts[prompt], rounds[number]] = theirs[place] / ours[place]
    return ratios


def crossover(speedups: Sequence[Speedup]) -> Crossover | None:
    """Where the baseline begins to win, as the concurrency grows.

    Args:
        speedups: of one candidate for one workload, in any order; open loops are passed over.

    Returns:
        None with fewer than two concurrencies.
    """
    ordered = sorted(
        ((one.load.concurrency, one) for one in speedups if one.load.concurrency is not None),
        key=lambda pair: pair[0],
    )
    if len(ordered) < 2:
        return None
    faster = [place for place, (_, one) in enumerate(ordered) if one.verdict == "faster"]
    last = faster[-1] if faster else -1
    slower = [p for p, (_, one) in enumerate(ordered) if one.verdict == "slower" and p > last]
    some = ordered[0][1]
    return Crossover(
        baseline=some.baseline,
        candidate=some.candidate,
        workload=some.workload,
        last_faster=ordered[last][1].load if faster else None,
        first_slower=ordered[slower[0]][1].load if slower else None,
        estimated_concurrency=_crossing(
            [(c, one.speedup.value) for c, one in ordered[last : slower[0] + 1]]
        )
        if faster and slower
        else None,
    )


def _crossing(points: Sequence[tuple[int, float]]) -> float | None:
    """Where straight lines between the logarithms first come down through 0."""
    for (left, above), (right, below) in pairwise(points):
        if above >= 1 > below:
            share = math.log(above) / (math.log(above) - math.log(below))
            return math.exp(math.log(left) + share * (math.log(right) - math.log(left)))
    return None


def _by_place(
    records: Iterable[RequestRecord], function: Callable[[RequestRecord], float | None]
) -> dict[tuple[str, int], float]:
    measured = ((one, function(one)) for one in records)
    return {
        (one.prompt_id, one.cell.round): value for one, value in measured if value and value > 0
    }


def _throughput_ratios(
    cells: Iterable[CellRecord],
    requests: Sequence[RequestRecord],
    *,
    baseline: str,
    candidate: str,
) -> list[float]:
    """Shape [rounds that are complete on both sides]."""
    throughput: dict[tuple[str, int], float] = {}
    for record in cells:
        if record.is_complete:
            own = [one for one in requests if one.cell == record.cell]
            value = output_tokens_per_second(record, own)
            if value:
                throughput[record.cell.arm, record.cell.round] = value
    rounds = sorted(number for arm, number in throughput if arm == candidate)
    return [
        throughput[candidate, number] / throughput[baseline, number]
        for number in rounds
        if (baseline, number) in throughput
    ]
