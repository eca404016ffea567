"""The whole analysis of a run: figures for each cell, then what they come to. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product, zip_longest
from typing import Final

import numpy as np

from benchmarks.analysis.comparison import compare, crossover
from benchmarks.analysis.equality import grade
from benchmarks.analysis.figures import (
    Analysis,
    CellFigures,
    Crossover,
    Distribution,
    Equality,
    Estimate,
    Speedup,
)
from benchmarks.analysis.intervals import mean_over_rounds, percentiles, quotient_over_prompts
from benchmarks.analysis.metrics import (
    METRICS,
    Metric,
    acceptance_rate_by_position,
    add_histograms,
    cell_seconds,
    goodput_requests_per_second,
    output_tokens_per_second,
    requests_per_second,
)
from benchmarks.analysis.sentences import write_sentences
from benchmarks.records import CellRecord, Load, RequestRecord, SpeculationCounts
from benchmarks.results import Results

LEAST_FOR_P99: Final = 100


def analyse(results: Results) -> Analysis:
    """Everything that a run's results say.

    What was not measured is left out: a cell without a request, a comparison without a pair.
    """
    plan = results.plan
    arms = [arm.name for arm in plan.arms]
    workloads = list(
        dict.fromkeys([*results.workloads, *(record.cell.workload for record in results.cells)])
    )
    loads = sorted(set(plan.loads), key=lambda load: load.order)
    measured = {one.cell.place for one in results.requests}
    cells = tuple(
        figures(results, arm, workload, load, seed=plan.seed)
        for workload, load, arm in product(workloads, loads, arms)
        if (arm, workload, load) in measured
    )
    speedups: list[Speedup] = []
    crossovers: list[Crossover] = []
    further: list[Speedup] = []
    equalities: list[Equality] = []
    for baseline, candidate in plan.pairs:
        for workload in workloads:
            compared = (
                compare(
                    results.requests,
                    results.cells,
                    baseline=baseline,
                    candidate=candidate,
                    workload=workload,
                    load=load,
                    seed=plan.seed,
                )
                for load in loads
            )
            found = [one for one in compared if one]
            if baseline != plan.baseline:
                further += found
                continue
            speedups += found
            if crossing := crossover(found):
                crossovers.append(crossing)
        equal = grade(results.scored, results.requests, baseline=baseline, candidate=candidate)
        if equal.answers or equal.timed_pairs:
            equalities.append(equal)
    return Analysis(
        cells=cells,
        speedups=tuple(speedups),
        crossovers=tuple(crossovers),
        equalities=tuple(equalities),
        sentences=write_sentences(
            plan.baseline, plan.pairs, [*speedups, *further], crossovers, equalities
        ),
        further=tuple(further),
    )


def figures(results: Results, arm: str, workload: str, load: Load, *, seed: int) -> CellFigures:
    """All rounds of one arm, one workload, one load.

    Requests that errored or did not end are counted and stay out of latencies; a cell that is not
    complete stays out of throughput, whose clock ran on while nothing was sent.

    Args:
        results: of a run.
        arm: which.
        workload: which.
        load: which.
        seed: of the bootstrap; the same gives the same intervals.
    """
    place = (arm, workload, load)
    requests = [one for one in results.requests if one.cell.place == place]
    whole = [one for one in results.cells if one.cell.place == place and one.is_complete]
    successful = [one for one in requests if one.outcome == "successful"]
    outcomes = Counter(one.outcome for one in requests)
    histogram = add_histograms(successful)
    proposed = sum(one.proposed_draft_tokens or 0 for one in successful)
    accepted = sum(one.correct_draft_tokens or 0 for one in successful)
    length = _acceptance_length(successful, seed)
    counts = [count for one in whole if (count := _counted(one, requests)) is not None]
    if length is None and counts:
        histogram = _added(one.histogram for one in counts)
        proposed = sum(one.proposed for one in counts)
        accepted = sum(one.accepted for one in counts)
        steps = sum(one.verify_rounds for one in counts)
        length = Estimate((accepted + steps) / steps) if steps else None
    objective = results.plan.objective
    # All metrics draw the same prompts: each begins with the seed anew.
    found = (distribution(metric, successful, seed=seed) for metric in METRICS.values())

    def goodput(cell: CellRecord, own: Sequence[RequestRecord]) -> float | None:
        return goodput_requests_per_second(cell, own, objective) if objective else None

    return CellFigures(
        arm=arm,
        workload=workload,
        load=load,
        rounds=len(whole),
        successful=outcomes["successful"],
        errored=outcomes["errored"],
        incomplete=outcomes["incomplete"],
        distributions=tuple(one for one in found if one is not None),
        output_tokens_per_second=_over_rounds(output_tokens_per_second, whole, requests),
        requests_per_second=_over_rounds(requests_per_second, whole, requests),
        goodput_requests_per_second=_over_rounds(goodput, whole, requests),
        acceptance_length=length,
        acceptance_rate=accepted / proposed if proposed else None,
        acceptance_rate_by_position=acceptance_rate_by_position(histogram),
        accepted_histogram=histogram,
        server_cpu_seconds_per_output_token=_per_token(
            whole, successful, lambda cell: cell.server_cpu_seconds
        ),
        generator_cpu_seconds_per_output_token=_per_token(
            whole, successful, lambda cell: cell.generator_cpu_seconds
        ),
        peak_gpu_memory_bytes=_peak_memory(whole),
        mean_gpu_utilisation=_over_time(
            whole, lambda cell: _mean([gpu.mean_utilisation for gpu in cell.gpus])
        ),
        mean_gpu_power_watts=_over_time(
            whole, lambda cell: _sum([gpu.mean_power_watts for gpu in cell.gpus])
        ),
    )


def distribution(
    metric: Metric, successful: Sequence[RequestRecord], *, seed: int
) -> Distribution | None:
    """One metric over requests of one arm, workload and load; None without a value."""
    values: list[float] = []
    prompts: list[int] = []
    rounds: list[int] = []
    numbers: dict[str, int] = {}
    for record in successful:
        own = metric.values(record)
        if own:
            number = numbers.setdefault(record.prompt_id, len(numbers))
            values += own
            prompts += [number] * len(own)
            rounds += [record.cell.round] * len(own)
    if not values:
        return None
    array = np.array(values)
    p50, p90, p99 = percentiles(
        array, np.array(prompts), np.array(rounds), (50, 90, 99), np.random.default_rng(seed)
    )
    return Distribution(
        metric=metric.name,
        count=len(values),
        mean=float(array.mean()),
        p50=p50,
        p90=p90,
        p99=p99 if len(values) >= LEAST_FOR_P99 else None,
        quantiles=tuple(float(one) for one in np.percentile(array, range(101))),
    )


def _counted(cell: CellRecord, requests: Iterable[RequestRecord]) -> SpeculationCounts | None:
    """A cell's counters, with the steps that had no draft to verify, which vLLM does not count.

    Under a grammar there are many: it proposes no draft that the grammar forbids. SGLang verifies
    such drafts as all others, so only with them is a length the same figure on both engines.

    Formula: steps = completion tokens - requests - accepted: a step commits its own token and the
    accepted ones, and the first token is the prefill's. Drafts accepted past an answer's end make
    it less than the counted steps; then these are taken.
    """
    counts = cell.speculation
    own = [one for one in requests if one.cell == cell.cell]
    tokens = [one.completion_tokens for one in own if one.outcome == "successful"]
    if counts is None or not counts.verify_rounds or None in tokens or len(tokens) < len(own):
        return counts
    steps = sum(one or 0 for one in tokens) - len(tokens) - counts.accepted
    return replace(counts, verify_rounds=max(steps, counts.verify_rounds))


def _added(histograms: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Element by element; a shorter one has nothing where it ends."""
    return tuple(map(sum, zip_longest(*histograms, fillvalue=0)))


def _over_rounds(
    function: Callable[[CellRecord, Sequence[RequestRecord]], float | None],
    whole: Iterable[CellRecord],
    requests: Sequence[RequestRecord],
) -> Estimate | None:
    """The mean of a metric of cells, each with its own requests."""
    values = [function(cell, [one for one in requests if one.cell == cell.cell]) for cell in whole]
    known = [value for value in values if value is not None]
    return mean_over_rounds(known) if known else None


def _acceptance_length(successful: Iterable[RequestRecord], seed: int) -> Estimate | None:
    """Formula: sum(correct_draft_tokens + verify_rounds) / sum(verify_rounds)."""
    tokens: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for one in successful:
        if one.verify_rounds and one.correct_draft_tokens is not None:
            tokens[one.prompt_id] += one.correct_draft_tokens + one.verify_rounds
            steps[one.prompt_id] += one.verify_rounds
    if not steps:
        return None
    return quotient_over_prompts(
        list(tokens.values()), list(steps.values()), np.random.default_rng(seed)
    )


def _per_token(
    cells: Iterable[CellRecord],
    successful: Sequence[RequestRecord],
    used: Callable[[CellRecord], float | None],
) -> float | None:
    """Formula: sum of CPU seconds / sum of completion_tokens, over cells that know both."""
    seconds, tokens = 0.0, 0
    for cell in cells:
        own = [one.completion_tokens for one in successful if one.cell == cell.cell]
        value = used(cell)
        if value is not None and None not in own:
            seconds += value
            tokens += sum(count for count in own if count is not None)
    return seconds / tokens if tokens else None


def _peak_memory(cells: Iterable[CellRecord]) -> int | None:
    sums = [_sum([gpu.peak_memory_bytes for gpu in cell.gpus]) for cell in cells]
    known = [int(one) for one in sums if one is not None]
    return max(known, default=None)


def _over_time(
    cells: Iterable[CellRecord], function: Callable[[CellRecord], float | None]
) -> float | None:
    """The mean over cells, each weighted by its length."""
    known = [(value, cell_seconds(cell)) for cell in cells if (value := function(cell)) is not None]
    total = sum(seconds for _, seconds in known)
    return sum(value * seconds for value, seconds in known) / total if total > 0 else None


def _sum(values: Sequence[float | None]) -> float | None:
    """Of all GPUs; None where one does not say, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    total = _sum(values)
    return None if total is None else total / len(values)
