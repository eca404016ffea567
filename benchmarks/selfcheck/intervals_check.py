"""How often intervals are wrong: made-up runs whose truth is known, analysed as real ones are.

    python -m benchmarks.selfcheck.intervals_check [--runs N] [--seed N]

A run is a table of ratios r[p, i] of prompts in rounds. What the machine did in a round moves all
its prompts together, on each side by itself; each request has noise of its own. The first table
counts how often a difference is called where there is none, the second how often a slowdown of
10 % is found. `docs/decisions/0010-speedup-intervals.md` keeps what matters of both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from benchmarks.analysis.figures import Estimate
from benchmarks.analysis.intervals import RESAMPLES, Floats, paired_ratio, student_quantile

Tail = Literal["normal", "heavy", "spikes", "modes"]
Method = Callable[[Floats, np.random.Generator], Estimate]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A machine and a plan.

    Attributes:
        tail: of what a round and a request add: normal; `heavy`: Student's t with 3 degrees of
            freedom; `spikes`: mostly calm, one in seven much slower; `modes`: two speeds.
        rounds: of the plan.
        prompts: of the plan.
        round_sd: of the logarithm of one side's speed in a round: shared by its prompts.
        request_sd: the same for one request.
        prompt_sd: of the logarithm of the true speed-up over prompts; 0 for an arm against itself.
        slowdown: of the candidate: 0.1 takes 10 % longer.
    """

    tail: Tail
    rounds: int
    prompts: int
    round_sd: float
    request_sd: float
    prompt_sd: float = 0.0
    slowdown: float = 0.0


def make(scenario: Scenario, generator: np.random.Generator) -> Floats:
    """One run's ratios, baseline by candidate: shape [prompts, rounds]."""
    shape = (scenario.prompts, scenario.rounds)

    def both_sides(size: tuple[int, int]) -> Floats:
        return _draw(scenario.tail, size, generator) - _draw(scenario.tail, size, generator)

    logs = (
        scenario.round_sd * both_sides((1, scenario.rounds))
        + scenario.request_sd * both_sides(shape)
        + scenario.prompt_sd * generator.standard_normal((scenario.prompts, 1))
        - np.log1p(scenario.slowdown)
    )
    return np.asarray(np.exp(logs), dtype=np.float64)


def _draw(tail: Tail, size: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Draw with a standard deviation of about 1, whatever the shape."""
    if tail == "normal":
        return generator.standard_normal(size)
    if tail == "heavy":
        return np.asarray(generator.standard_t(3, size) / np.sqrt(3))
    if tail == "spikes":
        spikes = np.where(generator.random(size) < 1 / 7, generator.exponential(1.8, size), 0.0)
        return np.asarray(spikes + 0.3 * generator.standard_normal(size))
    return np.asarray((generator.random(size) < 0.3) / np.sqrt(0.21))


def over_prompts(ratios: Floats, generator: np.random.Generator) -> Estimate:
    """The percentile bootstrap over prompts: blind to rounds. Here to show what it does."""
    own = np.median(np.log(ratios), axis=1)
    drawn = generator.integers(0, own.size, (RESAMPLES, own.size))
    return _percentiles(float(np.median(own)), np.median(own[drawn], axis=1))


def pigeonhole(ratios: Floats, generator: np.random.Generator) -> Estimate:
    """The percentile bootstrap over both, as it is. Here to show what it does."""
    logs = np.log(ratios)
    prompts, rounds = logs.shape
    some_rounds = generator.integers(0, rounds, (RESAMPLES, rounds))
    own = np.median(logs[:, some_rounds], axis=2)
    some_prompts = generator.integers(0, prompts, (RESAMPLES, prompts))
    again = np.median(np.take_along_axis(own.T, some_prompts, axis=1), axis=1)
    return _percentiles(float(np.median(np.median(logs, axis=1))), again)


def rounds_only(ratios: Floats, generator: np.random.Generator) -> Estimate:  # noqa: ARG001
    """The t interval of 95 % over each round's median: blind to prompts."""
    own = np.median(np.log(ratios), axis=0)
    reach = student_quantile(0.95, own.size - 1) * own.std(ddof=1) / np.sqrt(own.size)
    return Estimate(*(float(np.exp(own.mean() + sign * reach)) for sign in (0, -1, 1)))


def _percentiles(value: float, again: Floats) -> Estimate:
    low, high = np.exp(np.quantile(again, [0.025, 0.975]))
    return Estimate(float(np.exp(value)), float(low), float(high))


METHODS: Final[Mapping[str, Method]] = {
    "prompts": over_prompts,
    "pigeonhole": pigeonhole,
    "rounds": rounds_only,
    "ours": paired_ratio,
}


def rate_of_calls(scenario: Scenario, method: Method, *, runs: int, seed: int) -> float:
    """The share of runs whose interval leaves 1 out, to either side."""
    generator = np.random.default_rng(seed)
    calls = 0
    for _ in range(runs):
        found = method(make(scenario, generator), generator)
        if found.low is not None and found.high is not None:
            calls += not found.low <= 1 <= found.high
    return calls / runs


NOISE: Final = ((0.0, 0.03), (0.01, 0.03), (0.03, 0.03), (0.05, 0.01), (0.05, 0.10))
"""Standard deviations of a round and of a request."""


def no_difference() -> tuple[Scenario, ...]:
    """The same arm on both sides."""
    normal = [
        Scenario("normal", rounds, prompts, *noise)
        for rounds in (3, 5, 6, 8, 10)
        for prompts in (8, 16, 32)
        for noise in NOISE
    ]
    others = [
        Scenario(tail, rounds, 16, *noise)
        for tail in ("heavy", "spikes", "modes")
        for rounds in (5, 6, 8, 10)
        for noise in NOISE[2:]
    ]
    # An effect that differs by prompt, 1 in the middle.
    by_prompt = [
        Scenario("normal", rounds, prompts, 0.02, 0.05, prompt_sd=0.2)
        for rounds, prompts in ((5, 8), (6, 16), (8, 32))
    ]
    return (*normal, *others, *by_prompt)


def slowdown() -> tuple[Scenario, ...]:
    """A candidate that takes 10 % longer."""
    return tuple(
        Scenario("normal", rounds, 16, *noise, slowdown=0.1)
        for rounds in (3, 5, 6, 8)
        for noise in ((0.005, 0.02), (0.01, 0.03), (0.02, 0.05), (0.03, 0.03))
    )


def row(scenario: Scenario, rates: Mapping[str, float]) -> str:
    """A line of a table in Markdown, in per cent."""
    noise = f"{scenario.round_sd:.1%} | {scenario.request_sd:.1%} | {scenario.prompt_sd:.0%}"
    shown = " | ".join(f"{rate * 100:.1f}" for rate in rates.values())
    return f"| {scenario.tail} | {scenario.rounds} | {scenario.prompts} | {noise} | {shown} |"


def main() -> None:
    """Print both tables, line by line as they are computed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, help="made-up runs a line")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    head = "| tail | rounds | prompts | round sd | request sd | prompt sd | " + " | ".join(METHODS)
    for title, scenarios in (
        ("No difference: calls, %", no_difference()),
        ("A slowdown of 10 %: found, %", slowdown()),
    ):
        sys.stdout.write(f"\n{title}\n\n{head} |\n|{' --- |' * (6 + len(METHODS))}\n")
        for scenario in scenarios:
            rates = {
                name: rate_of_calls(scenario, method, runs=asked.runs, seed=asked.seed)
                for name, method in METHODS.items()
            }
            sys.stdout.write(row(scenario, rates) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
