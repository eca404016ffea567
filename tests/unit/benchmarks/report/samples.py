"""Reports to render and to compare: plausible figures of a run that never was, drawn by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.analysis.figures import (
    Analysis,
    AnswerComparison,
    CellFigures,
    Crossover,
    Distribution,
    Equality,
    Estimate,
    Grade,
    Speedup,
    Verdict,
)
from benchmarks.plan import Arm, Objective, Plan
from benchmarks.records import Cell, CellRecord, Load, RequestRecord
from benchmarks.report.document import Report, assemble
from benchmarks.report.wording import E2E, TPOT, TTFT
from benchmarks.results import ArmStart, PeerFigures, Results
from benchmarks.workloads.workload import Prompt, Workload

PROMPTS = 16
LOADS = tuple(Load(concurrency=concurrency) for concurrency in (1, 2, 4, 8))
SPECULATION: dict[str, Any] = {
    "verify_rounds": 20,
    "proposed_draft_tokens": 60,
    "correct_draft_tokens": 28,
    "accepted_histogram": (6, 5, 4, 5),
}
VERDICT = (
    "eagle-3-1-4 is 1.72 times (95 % interval 1.66 to 1.78) as fast as plain decoding for chat at "
    "concurrency 1, and not faster from concurrency 8 on; its outputs are the same in 30 of 32 "
    "prompts, with 2 near ties."
)
WORKLOADS = ("chat", "code", "json", "long-prompt")
# How many times as fast at concurrency 1, and what doubling the concurrency takes off.
GAIN = {"chat": (1.72, 0.27), "code": (2.08, 0.24), "json": (2.35, 0.25), "long-prompt": (1.2, 0.1)}


def sample_results(
    *,
    workloads: Sequence[str] = WORKLOADS,
    loads: Sequence[Load] = LOADS,
    arms: Sequence[str] = ("plain", "eagle-3-1-4"),
    rounds: int = 5,
    failures: bool = False,
    peers: bool = True,
) -> Results:
    """A run's records; only what the report itself takes from them."""
    random = np.random.default_rng(7)
    requests: list[RequestRecord] = []
    cells: list[CellRecord] = []
    for round_number in range(rounds):
        now = 1e11 + round_number * 2e11
        for arm in list(arms) if round_number % 2 == 0 else list(arms)[::-1]:
            for workload in workloads:
                for load in loads:
                    free = [now] * (load.concurrency or 3)
                    for place in range(PROMPTS):
                        slot = free.index(min(free))
                        due = free[slot]
                        took = _seconds(random, arm, workload, load, arms) * 48 * 1e9
                        free[slot] = due + took
                        broken = failures and random.random() < 0.02
                        requests.append(
                            RequestRecord(
                                cell=Cell(arm, workload, load, round_number),
                                prompt_id=f"p{place}",
                                outcome="errored" if broken else "successful",
                                due_ns=int(due),
                                sent_ns=int(due) + 1000,
                                chunk_ns=tuple(
                                    int(due + took * share) for share in (0.06, 0.5, 1.0)
                                ),
                                ended_ns=int(due + took),
                                completion_tokens=48,
                                answer=f"{workload} {place}",
                                error="500: out of luck" if broken else None,
                                **({} if arm == arms[0] else SPECULATION),
                            )
                        )
                    cells.append(
                        CellRecord(
                            cell=Cell(arm, workload, load, round_number),
                            began_ns=int(now),
                            ended_ns=int(max(free)),
                            is_complete=True,
                            cache_flushed=True,
                            server_cpu_seconds=(max(free) - now) / 1e9 * 1.9,
                        )
                    )
                    now = max(free) + 3e8
            now += 2e9
    return Results(
        plan=Plan(
            arms=tuple(
                Arm(name=arm, fields={} if arm == arms[0] else {"preset": arm}) for arm in arms
            ),
            workloads=tuple(workloads),
            prompts=PROMPTS,
            loads=tuple(loads),
            rounds=rounds,
            objective=Objective(time_to_first_token_seconds=0.5),
            peers=("bench_serving", "guidellm") if peers else (),
        ),
        workloads={
            name: Workload(
                name,
                f"What somebody who asks for {name} sends.",
                tuple(
                    Prompt(
                        id=f"p{n}",
                        messages=({"role": "user", "content": f"{name} {n}"},),
                        max_tokens=48,
                    )
                    for n in range(PROMPTS)
                ),
                "built in, seed 0",
            )
            for name in workloads
        },
        machine={"processor": "2 x Xeon", "memory_gib": 15.6, "gpus": [], "system": "Linux 6.1"},
        versions={"specserve": "0.1.0", "python": "3.11.9"},
        began_at="2026-11-25T10:00:00Z",
        ended_at=None if failures else "2026-11-25T10:31:12Z",
        starts=tuple(_start(arm, n) for n in range(rounds) for arm in arms),
        cells=tuple(cells),
        requests=tuple(requests),
        peers=tuple(_peers(random, arms, workloads[0])) if peers else (),
        missing=("eagle-3-1-4 ended in round 4; its last cells are missing.",) if failures else (),
    )


def sample_report(**options: Any) -> Report:
    """A whole report of such a run."""
    results = sample_results(**options)
    return assemble(results, sample_analysis(results))


def _seconds(
    random: np.random.Generator, arm: str, workload: str, load: Load, arms: Sequence[str]
) -> float:
    """Per output token."""
    concurrency = load.concurrency or 3
    plain = 0.021 * (1 + 0.35 * np.log2(concurrency))
    if arm != arms[0]:
        gain, loss = GAIN.get(workload, (1.5, 0.2))
        plain /= gain - (loss + 0.06 * (arms.index(arm) - 1)) * np.log2(concurrency)
    return float(plain * random.lognormal(0, 0.07))


def sample_analysis(results: Results) -> Analysis:
    """Plausible figures, which are not computed from the records."""
    random = np.random.default_rng(11)
    arms = [arm.name for arm in results.plan.arms]
    cells, speedups = [], []
    broken = any(one.outcome != "successful" for one in results.requests)
    for workload in results.workloads:
        for load in results.plan.loads:
            times = {arm: _times(random, arm, workload, load, arms) for arm in arms}
            for arm in arms:
                cells.append(_cell(arm, workload, load, times[arm], arms, errored=3 * broken))
                if arm != arms[0]:
                    speedups.append(_speedup(random, (arms[0], arm), workload, load, times))
    return Analysis(
        cells=tuple(cells),
        speedups=tuple(speedups),
        crossovers=tuple(
            Crossover(
                baseline=arms[0],
                candidate=arm,
                workload=workload,
                last_faster=Load(concurrency=4) if workload == "chat" else Load(concurrency=8),
                first_slower=None,
                estimated_concurrency=6.4 if workload == "chat" else None,
            )
            for arm in arms[1:]
            for workload in results.workloads
        ),
        equalities=tuple(_equality(arms[0], arm, tuple(results.workloads)) for arm in arms[1:]),
        sentences=(
            VERDICT,
            "code: 2.08 times as fast at concurrency 1, 1.36 times at 8.",
            "json: 2.35 times as fast at concurrency 1, 1.60 times at 8.",
        ),
    )


def _times(
    random: np.random.Generator, arm: str, workload: str, load: Load, arms: Sequence[str]
) -> Any:
    return np.array([_seconds(random, arm, workload, load, arms) for _ in range(5 * PROMPTS)])


def _cell(
    arm: str, workload: str, load: Load, times: Any, arms: Sequence[str], *, errored: int
) -> CellFigures:
    speculates = arm != arms[0]
    histogram = (310, 240, 180, 290) if speculates else ()
    steps = sum(histogram)
    throughput = (load.concurrency or 3) / float(np.median(times))
    prefill = 3.0 * times * (8.0 if workload == "long-prompt" else 1.0)
    return CellFigures(
        arm=arm,
        workload=workload,
        load=load,
        rounds=5,
        successful=5 * PROMPTS - errored,
        errored=errored,
        incomplete=0,
        distributions=(
            _distribution(TTFT, prefill),
            _distribution(TPOT, times),
            _distribution(E2E, prefill + 47 * times),
        ),
        output_tokens_per_second=Estimate(throughput, throughput * 0.96, throughput * 1.05),
        requests_per_second=Estimate(throughput / 48),
        goodput_requests_per_second=Estimate(throughput / 50),
        acceptance_length=Estimate(2.44, 2.38, 2.51) if speculates else None,
        acceptance_rate=0.483 if speculates else None,
        acceptance_rate_by_position=tuple(sum(histogram[k:]) / steps for k in range(1, 4))
        if speculates
        else (),
        accepted_histogram=histogram,
        server_cpu_seconds_per_output_token=float(np.median(times)) * 1.9,
        generator_cpu_seconds_per_output_token=0.00004,
        peak_gpu_memory_bytes=None,
        mean_gpu_utilisation=None,
        mean_gpu_power_watts=None,
    )


def _distribution(metric: str, values: Any) -> Distribution:
    quantiles = tuple(float(v) for v in np.quantile(values, np.linspace(0, 1, 101)))
    middle, high = quantiles[50], quantiles[90]
    return Distribution(
        metric=metric,
        count=len(values),
        mean=float(np.mean(values)),
        p50=Estimate(middle, middle * 0.97, middle * 1.03),
        p90=Estimate(high, high * 0.94, high * 1.07),
        p99=None,
        quantiles=quantiles,
    )


def _speedup(
    random: np.random.Generator,
    arms: tuple[str, str],
    workload: str,
    load: Load,
    times: dict[str, Any],
) -> Speedup:
    baseline, arm = arms
    value = float(np.median(times[baseline]) / np.median(times[arm]))
    low, high = value * 0.95, value * 1.05
    verdict: Verdict = "faster" if low > 1 else "slower" if high < 1 else "no difference shown"
    return Speedup(
        baseline=baseline,
        candidate=arm,
        workload=workload,
        load=load,
        speedup=Estimate(value, low, high),
        throughput_ratio=Estimate(value * 0.99, low * 0.99, high * 0.99),
        time_to_first_token_ratio=Estimate(0.97, 0.93, 1.02),
        pairs=5 * PROMPTS,
        rounds=5,
        ratios=tuple(float(v) for v in value * random.lognormal(0, 0.08, PROMPTS)),
        verdict=verdict,
    )


def _equality(baseline: str, candidate: str, workloads: Sequence[str]) -> Equality:
    def answer(workload: str, n: int, grade: Grade) -> AnswerComparison:
        differs = grade != "same text"
        return AnswerComparison(
            workload=workload,
            prompt_id=f"p{n}",
            grade=grade,
            first_divergent_token=11 + n if differs else None,
            baseline_token=" a" if differs else None,
            candidate_token=" the" if differs else None,
            gap_nats=0.04 if differs else None,
        )

    return Equality(
        baseline=baseline,
        candidate=candidate,
        near_tie_nats=0.125,
        answers=tuple(
            answer(w, n, "near tie" if n == 3 and w in {"chat", "json"} else "same text")
            for w in workloads
            for n in range(8)
        ),
        noise_floor=tuple(answer(w, n, "same text") for w in workloads for n in range(8)),
        timed_same=311,
        timed_pairs=320,
    )


def _start(arm: str, round_number: int) -> ArmStart:
    speculative = [] if arm == "plain" else ["--speculative-algorithm", "EAGLE"]
    return ArmStart(
        arm=arm,
        round=round_number,
        base_url="http://127.0.0.1:30000",
        run_record={
            "served_model_name": "nano",
            "command": [
                "python",
                "-m",
                "sglang.launch_server",
                "--model-path",
                "nano",
                *speculative,
            ],
        },
        server_info={"served_model_name": "nano", "version": "0.5.23"},
        versions={"sglang": "0.5.23", "torch": "2.9.1"},
    )


def _peers(random: np.random.Generator, arms: Sequence[str], workload: str) -> list[PeerFigures]:
    tools: tuple[tuple[Literal["specserve", "bench_serving", "guidellm"], str, float], ...] = (
        ("specserve", "0.1.0", 0.00004),
        ("bench_serving", "0.5.23", 0.00021),
        ("guidellm", "0.8.1", 0.00035),
    )
    return [
        PeerFigures(
            tool=tool,
            version=version,
            arm=arm,
            workload=workload,
            load=load,
            repetition=repetition,
            requests=PROMPTS,
            output_tokens=48 * PROMPTS,
            output_tokens_per_second=90.0 * float(random.lognormal(0, 0.015)),
            median_time_to_first_token_seconds=0.064 * float(random.lognormal(0, 0.02)),
            median_time_per_output_token_seconds=None
            if tool == "guidellm"
            else 0.022 * float(random.lognormal(0, 0.01)),
            generator_cpu_seconds=cpu * 48 * PROMPTS,
        )
        for arm in arms
        for load in ("c1", "c8")
        for repetition in range(3)
        for tool, version, cpu in tools
    ]
