"""Whether speculation pays here and now: one sentence, and what it was concluded from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from launcher.metrics.benchmark import Benchmark
from launcher.metrics.figures import Acceptance, Figures

Kind = Literal["pays", "does not pay", "even", "unknown", "off"]

MEASURE: Final = "python -m benchmarks run"
# Within this of 1 nobody notices, and a benchmark of usual length shows no difference.
_EVEN: Final = 0.03
# A decay that is told: the share of the baseline, and the verify steps that it takes to be sure.
_DECAYED: Final = 0.8
_ENOUGH_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a server's speculation.

    Attributes:
        kind: in a word.
        sentence: for people; one.
        speedup: against plain decoding, at the requests that run; None where unknown.
        needed_acceptance_length: below which plain decoding is faster; None where unknown.
        crossover: the number of requests from which plain decoding wins; None where unknown, or
            not within what was measured.
        baseline_acceptance_length: what the acceptance is compared with.
        baseline: where that comes from; "" where there is none.
        has_decayed: the acceptance of the last minute is far below its baseline.
        benchmark: file of the report; "" where there is none.
    """

    kind: Kind
    sentence: str
    speedup: float | None = None
    needed_acceptance_length: float | None = None
    crossover: float | None = None
    baseline_acceptance_length: float | None = None
    baseline: str = ""
    has_decayed: bool = False
    benchmark: str = ""


def judge(
    speculation: str,
    figures: Figures,
    benchmark: Benchmark | None,
    engine_version: str = "",
) -> Verdict:
    """Say whether speculation pays.

    Args:
        speculation: as people write it, "EAGLE 3/1/4"; "off" without.
        figures: of the last minute.
        benchmark: of this configuration on this machine; None where there is none.
        engine_version: of the server; a benchmark of another one is named as such.
    """
    if speculation == "off":
        return _off(figures, benchmark)
    baseline, source = _baseline(figures.acceptance, benchmark)
    decayed = _has_decayed(figures.acceptance, baseline)
    if benchmark is None:
        return Verdict(
            kind="unknown",
            sentence=_without_benchmark(speculation, figures.acceptance),
            baseline_acceptance_length=baseline,
            baseline=source,
            has_decayed=decayed,
        )
    length = figures.acceptance.window or figures.acceptance.since_start
    running = max(1.0, figures.running_requests or 0.0)
    speedup = benchmark.speedup(running, length)
    crossover = benchmark.crossover(length)
    return Verdict(
        kind="even" if abs(speedup - 1) <= _EVEN else "pays" if speedup > 1 else "does not pay",
        sentence=_with_benchmark(figures, benchmark, speedup, crossover, engine_version),
        speedup=speedup,
        needed_acceptance_length=benchmark.step_cost(running),
        crossover=crossover,
        baseline_acceptance_length=baseline,
        baseline=source,
        has_decayed=decayed,
        benchmark=benchmark.file,
    )


def _baseline(acceptance: Acceptance, benchmark: Benchmark | None) -> tuple[float | None, str]:
    if benchmark is not None and benchmark.acceptance_length is not None:
        return benchmark.acceptance_length, "benchmark"
    if acceptance.since_start is not None:
        return acceptance.since_start, "since its start"
    return None, ""


def _has_decayed(acceptance: Acceptance, baseline: float | None) -> bool:
    return (
        baseline is not None
        and acceptance.window is not None
        and (acceptance.verify_steps or 0) >= _ENOUGH_STEPS
        and acceptance.window < _DECAYED * baseline
    )


def _off(figures: Figures, benchmark: Benchmark | None) -> Verdict:
    if benchmark is None:
        return Verdict("off", f"Speculation is off; `{MEASURE}` tells whether it would pay here.")
    running = max(1.0, figures.running_requests or 0.0)
    speedup = benchmark.speedup(running)
    would = "would pay" if speedup > 1 + _EVEN else "would not pay"
    return Verdict(
        "off",
        f"Speculation is off; {benchmark.candidate} {would}: {speedup:.2g} times as fast as plain "
        f"decoding at {_requests(running)}, by this machine's benchmark of {benchmark.day}.",
        speedup=speedup,
        crossover=benchmark.crossover(),
        benchmark=benchmark.file,
    )


def _without_benchmark(speculation: str, acceptance: Acceptance) -> str:
    length = acceptance.window or acceptance.since_start
    if length is None:
        return (
            f"Whether {speculation} pays here is not known: nothing was decoded yet, and no "
            f"benchmark of this machine says what a step costs; `{MEASURE}` measures it."
        )
    return (
        f"Whether {speculation} pays here is not known: a step gives {length:.2f} tokens, so it "
        f"pays if it takes less than {length:.2f} times a plain step; `{MEASURE}` measures that."
    )


def _with_benchmark(
    figures: Figures,
    benchmark: Benchmark,
    speedup: float,
    crossover: float | None,
    engine_version: str,
) -> str:
    running = max(1.0, figures.running_requests or 0.0)
    most = benchmark.most_concurrency
    version = benchmark.engine_version
    older = f" (of version {version})" if version and engine_version not in {"", version} else ""
    source = f"by this machine's benchmark of {benchmark.day}{older}"
    at = f"at {_requests(min(running, most))}"
    if abs(speedup - 1) <= _EVEN:
        says = f"Speculation makes no difference here {at}"
    elif speedup > 1:
        says = f"Speculation pays {speedup:.2g} times here {at}"
    else:
        says = (
            f"Speculation does not pay here {at}, plain decoding is {1 / speedup:.2g} times as fast"
        )
    clauses = (
        f"{says}, {source}",
        _why(figures, benchmark, speedup),
        _crossing(crossover, running),
        _running(figures.running_requests, most),
    )
    return f"{'; '.join(filter(None, clauses))}."


def _why(figures: Figures, benchmark: Benchmark, speedup: float) -> str:
    """Where it does not pay: what a step gives, and what it takes."""
    length = figures.acceptance.window or figures.acceptance.since_start
    cost = benchmark.step_cost(max(1.0, figures.running_requests or 0.0))
    if speedup > 1 - _EVEN or length is None or cost is None:
        return ""
    return f"a step gives {length:.2f} tokens and takes as long as {cost:.2f} plain ones"


def _crossing(crossover: float | None, running: float) -> str:
    if crossover is None or crossover <= running:
        return ""
    return f"plain decoding wins from about {crossover:.2g}"


def _running(running: float | None, most: int) -> str:
    if running is None:
        return "how many run is not known"
    count = round(running)
    says = "none is running" if not count else f"{count} {'is' if count == 1 else 'are'} running"
    return f"{says}, and {most} is the most that was measured" if count > most else says


def _requests(count: float) -> str:
    whole = round(count)
    return f"{whole} request{'' if whole == 1 else 's'}"
