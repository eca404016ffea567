"""What the analysis returns: frozen values with their intervals. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.records import Load

Verdict = Literal["faster", "slower", "no difference shown", "too few rounds"]
Grade = Literal["same text", "near tie", "true difference", "not scored"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; no interval where too little was measured for one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One metric over the successful requests of all rounds of one arm, workload and load.

    Attributes:
        metric: a name in `benchmarks.analysis.metrics.METRICS`.
        count: values.
        mean: of them.
        p50: median, with its interval.
        p90: 90th percentile.
        p99: 99th percentile; None below 100 values, where it would be the largest.
        quantiles: shape [101], the 0th to the 100th percentile, for plots.
    """

    metric: str
    count: int
    mean: float
    p50: Estimate
    p90: Estimate
    p99: Estimate | None
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFigures:
    """All rounds of one arm, one workload, one load.

    Attributes:
        rounds: measured whole.
        successful: requests.
        errored: requests.
        incomplete: requests.
        distributions: one a metric that has values.
        output_tokens_per_second: mean over complete rounds, with its interval.
        requests_per_second: the same.
        goodput_requests_per_second: the same; None without an objective.
        acceptance_length: sum of committed tokens by sum of verify steps, with its interval over
            prompts; none where only the server's counters tell, which know no prompts; None
            without speculation.
        acceptance_rate: accepted by proposed draft tokens.
        acceptance_rate_by_position: shape [draft steps]: the share of verify steps in which draft
            k and all before it were accepted.
        accepted_histogram: shape [draft steps + 1], added up.
        server_cpu_seconds_per_output_token: None where it is not known.
        generator_cpu_seconds_per_output_token: the same.
        peak_gpu_memory_bytes: the largest sum over GPUs; None without a GPU.
        mean_gpu_utilisation: 0 to 1.
        mean_gpu_power_watts: summed over GPUs.
    """

    arm: str
    workload: str
    load: Load
    rounds: int
    successful: int
    errored: int
    incomplete: int
    distributions: tuple[Distribution, ...]
    output_tokens_per_second: Estimate | None
    requests_per_second: Estimate | None
    goodput_requests_per_second: Estimate | None
    acceptance_length: Estimate | None
    acceptance_rate: float | None
    acceptance_rate_by_position: tuple[float, ...]
    accepted_histogram: tuple[int, ...]
    server_cpu_seconds_per_output_token: float | None
    generator_cpu_seconds_per_output_token: float | None
    peak_gpu_memory_bytes: int | None
    mean_gpu_utilisation: float | None
    mean_gpu_power_watts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """How much faster a candidate is than the baseline for one workload at one load.

    Formula: r(p, i) = (e2e / completion tokens of the baseline) / (the same of the candidate) for
    prompt p in round i; the value is the geometric mean over rounds of the median over prompts.
    Source: docs/decisions/0010-speedup-intervals.md says why, and what its interval holds.

    Attributes:
        speedup: above 1 the candidate is faster.
        throughput_ratio: output tokens/s, candidate by baseline, geometric mean over rounds; None
            where no round is complete on both sides.
        time_to_first_token_ratio: baseline by candidate, paired and summed up as above.
        pairs: requests that were successful on both sides.
        rounds: with at least one pair.
        ratios: shape [prompts]: each prompt's geometric mean over rounds, for plots.
        verdict: `faster` or `slower` only where the interval leaves 1 out.
    """

    baseline: str
    candidate: str
    workload: str
    load: Load
    speedup: Estimate
    throughput_ratio: Estimate | None
    time_to_first_token_ratio: Estimate | None
    pairs: int
    rounds: int
    ratios: tuple[float, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """Where plain decoding begins to win for one workload, as the load grows.

    Attributes:
        last_faster: the highest concurrency at which the candidate was shown to be faster.
        first_slower: the lowest above it at which it was shown to be slower; None: not seen.
        estimated_concurrency: where the speed-up crosses 1 between the two, by straight lines
            between the logarithms of the speed-ups over that of the concurrency; None unless both
            are there: a line through what shows no difference may cross anywhere.
    """

    baseline: str
    candidate: str
    workload: str
    last_faster: Load | None
    first_slower: Load | None
    estimated_concurrency: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerComparison:
    """One prompt's answers by two arms, or by one arm twice.

    Attributes:
        grade: `not scored`: an answer is missing, or nothing says how near the two tokens are.
        first_divergent_token: its place, from 0; None for the same text.
        gap_nats: how much likelier the baseline found its own token than the candidate's, there;
            None where the candidate's token was not among the alternatives.
        baseline_token: there; None for the same text, and where the baseline's answer had ended.
        candidate_token: the same of the candidate.
    """

    workload: str
    prompt_id: str
    grade: Grade
    first_divergent_token: int | None = None
    baseline_token: str | None = None
    candidate_token: str | None = None
    gap_nats: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equality:
    """Outputs of a candidate held against the baseline's, and the baseline against itself.

    Attributes:
        near_tie_nats: the gap up to which a difference is a near tie.
        answers: candidate against baseline, one a prompt.
        noise_floor: baseline against baseline, one a prompt.
        candidate_noise_floor: candidate against candidate, where it answered twice, as an arm of
            another engine does: its own rounding is not the baseline's.
        timed_same: of the timed requests, those whose whole answer was the same as the baseline's
            in the same round.
        timed_pairs: how many were compared.
        other_prompts: of these, those whose prompt had another number of tokens on the two servers:
            they made other prompts of one conversation, and other answers are no wonder.
    """

    baseline: str
    candidate: str
    near_tie_nats: float
    answers: tuple[AnswerComparison, ...]
    noise_floor: tuple[AnswerComparison, ...]
    timed_same: int
    timed_pairs: int
    candidate_noise_floor: tuple[AnswerComparison, ...] = ()
    other_prompts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """All that one run's results say.

    Attributes:
        cells: in the order of the plan: workload, load, arm.
        speedups: every candidate against the baseline, in the same order.
        crossovers: for each candidate and workload with two concurrencies or more.
        equalities: one a pair of arms, where outputs were compared.
        sentences: the verdict: the first of the whole run, then one a workload; for each candidate.
        further: speed-ups of pairs without the run's baseline (`Plan.pairs`).
    """

    cells: tuple[CellFigures, ...]
    speedups: tuple[Speedup, ...]
    crossovers: tuple[Crossover, ...]
    equalities: tuple[Equality, ...]
    sentences: tuple[str, ...]
    further: tuple[Speedup, ...] = ()
