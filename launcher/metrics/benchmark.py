"""What a report of `python -m benchmarks run` says of a server that runs now.

The report is the benchmarks' own (`benchmarks/report/document.py`), which the launcher does not
import: here is the part of its file that is needed. A test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

# What two servers must have in common for the one's speed to say something of the other's.
_SAME: Final = (
    *("served_model_name", "revision", "device", "tp_size", "pp_size", "dp_size", "ep_size"),
    *("enable_dp_attention", "dtype", "quantization", "attention_backend", "kv_cache_dtype"),
)
_SPECULATION: Final = (
    *("speculative_algorithm", "speculative_num_steps", "speculative_eagle_topk"),
    "speculative_num_draft_tokens",
)
_ALGORITHM: Final = "speculative_algorithm"
# The engine of a report that is older than the field.
_FIRST_ENGINE: Final = "sglang"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Load(_Part):
    concurrency: int | None = Field(default=None, ge=1)


class _Estimate(_Part):
    value: float


class _Speedup(_Part):
    baseline: str
    candidate: str
    workload: str
    load: _Load
    speedup: _Estimate
    verdict: str


class _Cell(_Part):
    arm: str
    workload: str
    load: _Load
    acceptance_length: _Estimate | None = None


class _Start(_Part):
    arm: str
    run_record: dict[str, Any] | None = None
    versions: dict[str, str] = {}


class ReportFile(_Part):
    """The part of a report that is read."""

    schema_version: Literal[1]
    began_at: str
    machine: dict[str, Any]
    starts: tuple[_Start, ...]
    cells: tuple[_Cell, ...]
    speedups: tuple[_Speedup, ...]
    further: tuple[_Speedup, ...] = ()

    @property
    def compared(self) -> tuple[_Speedup, ...]:
        """All pairs of arms: with the run's baseline, and, of two engines, within each."""
        return (*self.speedups, *self.further)


@dataclass(frozen=True, slots=True)
class Machine:
    """By what machines are told apart."""

    cpu_model: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """Speculation against plain decoding with so many requests at once.

    Attributes:
        concurrency: requests in flight.
        speedup: geometric mean over workloads; above 1 speculation is faster.
        verdicts: of the benchmark, one a workload.
        step_cost: how many times as long a step with drafts takes as a plain one. Formula:
            acceptance length / speed-up, geometric mean over workloads; None where no acceptance
            length was measured.
    """

    concurrency: int
    speedup: float
    verdicts: tuple[str, ...]
    step_cost: float | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured of a way to serve, on this machine.

    Attributes:
        day: on which it began, as in ISO 8601.
        candidate: name of the arm with speculation.
        workloads: that were measured.
        loads: from the lowest up; at least one.
        acceptance_length: over all workloads and loads.
        engine_version: of the server that was measured; "" where unknown.
        file: where the report is.
    """

    day: str
    candidate: str
    workloads: tuple[str, ...]
    loads: tuple[MeasuredLoad, ...]
    acceptance_length: float | None
    engine_version: str
    file: str

    def step_cost(self, concurrency: float) -> float | None:
        """How many times as long a step with drafts takes as a plain one: what it has to earn."""
        points = [(one.concurrency, one.step_cost) for one in self.loads if one.step_cost]
        return _between(points, concurrency)

    def speedup(self, concurrency: float, acceptance_length: float | None = None) -> float:
        """How many times as fast as plain decoding.

        A step costs the same whatever is accepted, so the speed-up goes with the acceptance length.

        Formula: acceptance length / step cost; the measured speed-up where either is unknown.

        Args:
            concurrency: requests that run.
            acceptance_length: now; None: as it was in the benchmark.
        """
        cost = self.step_cost(concurrency)
        if acceptance_length is not None and cost is not None:
            return acceptance_length / cost
        points = [(one.concurrency, one.speedup) for one in self.loads]
        measured = _between(points, concurrency)
        assert measured is not None  # noqa: S101 - there is a load
        return measured

    def crossover(self, acceptance_length: float | None = None) -> float | None:
        """The concurrency from which plain decoding wins.

        Returns:
            None where it does nowhere in what was measured; the lowest one where it always does.
        """
        points = [
            (one.concurrency, self.speedup(one.concurrency, acceptance_length))
            for one in self.loads
        ]
        if points[0][1] < 1:
            return float(points[0][0])
        for (left, above), (right, below) in pairwise(points):
            if above >= 1 > below:
                share = math.log(above) / (math.log(above) - math.log(below))
                return math.exp(math.log(left) + share * math.log(right / left))
        return None

    @property
    def most_concurrency(self) -> int:
        """The highest that was measured."""
        return self.loads[-1].concurrency


def find_benchmark(
    reports: Iterable[tuple[str, ReportFile]],
    config: Mapping[str, Any],
    machine: Machine,
) -> Benchmark | None:
    """The newest measurement of a configuration against plain decoding, on this machine.

    Of a server without speculation, that of the best arm which was held against it.

    Args:
        reports: each with the name of its file.
        config: of the server, as its run record has it.
        machine: this one.
    """
    for file, report in sorted(reports, key=lambda one: one[1].began_at, reverse=True):
        if _machine(report) == machine and (found := _in_report(file, report, config)) is not None:
            return found
    return None


def _machine(report: ReportFile) -> Machine:
    said = report.machine
    gpus = said.get("gpus")
    return Machine(
        str(said.get("cpu_model")), tuple(map(str, gpus)) if isinstance(gpus, list) else ()
    )


def _in_report(file: str, report: ReportFile, config: Mapping[str, Any]) -> Benchmark | None:
    arms: dict[str, Mapping[str, Any]] = {}
    for start in report.starts:
        served = (start.run_record or {}).get("config")
        if isinstance(served, dict) and _same_model(served, config):
            arms[start.arm] = served
    found = []
    for baseline, candidate in dict.fromkeys((s.baseline, s.candidate) for s in report.compared):
        plain, drafted = arms.get(baseline), arms.get(candidate)
        if plain is None or drafted is None or plain.get(_ALGORITHM) or not drafted.get(_ALGORITHM):
            continue
        if _same_speculation(drafted, config) or not config.get(_ALGORITHM):
            found.append(_measured(file, report, baseline, candidate, drafted))
    known = [one for one in found if one is not None]
    return max(known, key=lambda one: one.speedup(1), default=None)


def _same_model(served: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    engines = {one.get("engine", _FIRST_ENGINE) for one in (served, config)}
    return (
        len(engines) == 1
        and _named(served, "model_path") == _named(config, "model_path")
        and all(served.get(field) == config.get(field) for field in _SAME)
    )


def _same_speculation(drafted: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    # A report that is older than a field has none of it.
    adaptive = {bool(one.get("speculative_adaptive")) for one in (drafted, config)}
    tiers = {_named(one, "speculative_adaptive_config") for one in (drafted, config)}
    same = all(drafted.get(field) == config.get(field) for field in _SPECULATION)
    return same and len(adaptive) == len(tiers) == 1


def _named(config: Mapping[str, Any], field: str) -> str:
    """The last part of a path: a report is sent to others, and has `~` and `.` for the first."""
    return PurePath(str(config.get(field) or "")).name


def _measured(
    file: str,
    report: ReportFile,
    baseline: str,
    candidate: str,
    drafted: Mapping[str, Any],
) -> Benchmark | None:
    lengths = {
        (cell.workload, cell.load.concurrency): cell.acceptance_length.value
        for cell in report.cells
        if cell.arm == candidate
        and cell.acceptance_length is not None
        and cell.acceptance_length.value > 0
    }
    by_load: dict[int, list[_Speedup]] = {}
    for one in report.compared:
        is_it = (one.baseline, one.candidate) == (baseline, candidate) and one.speedup.value > 0
        # An open loop has no concurrency of its own.
        if is_it and one.load.concurrency:
            by_load.setdefault(one.load.concurrency, []).append(one)
    if not by_load:
        return None
    loads = []
    for concurrency, measured in sorted(by_load.items()):
        costs = [
            length / one.speedup.value
            for one in measured
            if (length := lengths.get((one.workload, concurrency))) is not None and length > 0
        ]
        loads.append(
            MeasuredLoad(
                concurrency=concurrency,
                speedup=_mean([one.speedup.value for one in measured]),
                verdicts=tuple(one.verdict for one in measured),
                step_cost=_mean(costs) if costs else None,
            )
        )
    engine = str(drafted.get("engine", _FIRST_ENGINE))
    versions = [start.versions.get(engine, "") for start in report.starts]
    return Benchmark(
        day=report.began_at[:10],
        candidate=candidate,
        workloads=tuple(dict.fromkeys(one.workload for many in by_load.values() for one in many)),
        loads=tuple(loads),
        acceptance_length=_mean(list(lengths.values())) if lengths else None,
        engine_version=next(filter(None, versions), ""),
        file=file,
    )


def _mean(values: Sequence[float]) -> float:
    """The geometric one: of ratios."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _between(points: Sequence[tuple[int, float]], concurrency: float) -> float | None:
    """By straight lines between the logarithms; beyond the ends, the value there."""
    if not points:
        return None
    if concurrency <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if concurrency <= right:
            share = math.log(concurrency / left) / math.log(right / left)
            return math.exp(math.log(low) + share * math.log(high / low))
    return points[-1][1]
