"""Two reports held against each other, figure by figure. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pydantic import TypeAdapter

from benchmarks.analysis.figures import Estimate
from benchmarks.errors import ReportError
from benchmarks.records import Load
from benchmarks.report.document import Report
from benchmarks.report.facts import arm_facts
from benchmarks.report.wording import TPOT, TTFT, distribution

ComparedMetric = Literal[
    "output tokens/s",
    "median time to first token",
    "median time per output token",
    "acceptance length",
    "speed-up",
]
Judgement = Literal["regression", "improvement", "within the threshold", "within the intervals"]
# 95 for 100 is -5 %, although 95 / 100 - 1 is a little less.
ROUNDING: Final = 1e-9
LOWER_IS_BETTER: Final[frozenset[ComparedMetric]] = frozenset(
    {"median time to first token", "median time per output token"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureChange:
    """One figure of one arm, workload and load in both reports.

    Formula: change = b / a - 1. Source: the reports' own figures; none is computed anew.

    Attributes:
        metric: which; times are in seconds.
        a: in the first report.
        b: in the second.
        change: a share of 1; above 0 the figure is larger in the second.
        intervals_overlap: None where one of the two has no interval.
        judgement: `regression` and `improvement` only beyond the threshold, and only where the
            intervals do not overlap; without intervals by the threshold alone.
    """

    arm: str
    workload: str
    load: Load
    metric: ComparedMetric
    a: Estimate
    b: Estimate
    change: float
    intervals_overlap: bool | None
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportComparison:
    """What changed from one report to another.

    Attributes:
        threshold: a share of 1, beyond which a change counts.
        changes: of all figures that both have, in the order of the first report.
        notes: what else differs: machine, versions, flags, prompts, failed requests.
        only_in_a: `arm, workload, load: figure` that the second lacks; a server that no longer
            answers shows here.
        only_in_b: the other way round.
        allows_missing: what the second lacks is no reason to call it worse.
    """

    threshold: float
    changes: tuple[FigureChange, ...]
    notes: tuple[str, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    allows_missing: bool = False

    @property
    def is_worse(self) -> bool:
        """Whether the second report has a regression, or lacks a figure that it should have."""
        return bool(self.regressions or (self.only_in_a and not self.allows_missing))

    @property
    def regressions(self) -> tuple[FigureChange, ...]:
        """The largest first."""
        found = [one for one in self.changes if one.judgement == "regression"]
        return tuple(sorted(found, key=lambda one: -abs(one.change)))

    def to_json(self) -> str:
        """For programs."""
        return _COMPARISON.dump_json(self, indent=1).decode() + "\n"


_COMPARISON: TypeAdapter[ReportComparison] = TypeAdapter(ReportComparison)


class _Key(NamedTuple):
    arm: str
    workload: str
    load: Load
    metric: ComparedMetric

    def __str__(self) -> str:
        return f"{self.arm}, {self.workload}, {self.load.words}: {self.metric}"


def compare_reports(
    a: Report,
    b: Report,
    *,
    threshold: float,
    allow_other_prompts: bool = False,
    allow_missing: bool = False,
) -> ReportComparison:
    """Hold the second report against the first, where arm, workload and load have one name.

    Args:
        a: the older, or the one to hold against.
        b: the newer.
        threshold: a share of 1, 0 and up; 0.05 is 5 %.
        allow_other_prompts: compare a workload although its prompts differ, with a note.
        allow_missing: the second may lack figures that the first has.

    Raises:
        ReportError: a threshold below 0, a workload with other prompts, or nothing in common.
    """
    if not threshold >= 0:
        raise ReportError(
            f"The threshold is {threshold:g}; it has to be 0 or more.",
            action="Give a share of 1, such as 0.05 for 5 %.",
        )
    notes = list(_other_prompts(a, b, is_allowed=allow_other_prompts))
    notes += _differences(a, b)
    ours, theirs = dict(_figures(a)), dict(_figures(b))
    common = [key for key in ours if key in theirs]
    if not common:
        raise ReportError(
            "The two reports have no arm, workload and load in common.",
            action="Compare reports of plans with the same names.",
            evidence=(_places(a), _places(b)),
        )
    return ReportComparison(
        threshold=threshold,
        changes=tuple(_change(key, ours[key], theirs[key], threshold) for key in common),
        notes=tuple(notes),
        only_in_a=tuple(str(key) for key in ours if key not in theirs),
        only_in_b=tuple(str(key) for key in theirs if key not in ours),
        allows_missing=allow_missing,
    )


def _figures(report: Report) -> Iterator[tuple[_Key, Estimate]]:
    for cell in report.cells:
        ttft, tpot = distribution(cell, TTFT), distribution(cell, TPOT)
        speedup = report.speedup(cell.arm, cell.workload, cell.load)
        found: tuple[tuple[ComparedMetric, Estimate | None], ...] = (
            ("output tokens/s", cell.output_tokens_per_second),
            ("median time to first token", ttft.p50 if ttft else None),
            ("median time per output token", tpot.p50 if tpot else None),
            ("acceptance length", cell.acceptance_length),
            ("speed-up", speedup.speedup if speedup else None),
        )
        for metric, value in found:
            if value is not None:
                yield _Key(cell.arm, cell.workload, cell.load, metric), value


def _change(key: _Key, a: Estimate, b: Estimate, threshold: float) -> FigureChange:
    change = b.value / a.value - 1 if a.value else 0.0
    overlap = _overlap(a, b)
    judgement: Judgement
    if abs(change) <= threshold + ROUNDING:
        judgement = "within the threshold"
    elif overlap:
        judgement = "within the intervals"
    else:
        is_better = (change < 0) == (key.metric in LOWER_IS_BETTER)
        judgement = "improvement" if is_better else "regression"
    return FigureChange(
        **key._asdict(),
        a=a,
        b=b,
        change=change,
        intervals_overlap=overlap,
        judgement=judgement,
    )


def _overlap(a: Estimate, b: Estimate) -> bool | None:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    return a.low <= b.high and b.low <= a.high


def _other_prompts(a: Report, b: Report, *, is_allowed: bool) -> Iterator[str]:
    theirs = {one.name: one for one in b.workloads}
    for one in a.workloads:
        other = theirs.get(one.name)
        if other is None or other.sha256 == one.sha256:
            continue
        told = (
            f"first: {one.prompts} prompts, {one.source}, sha256 {one.sha256[:12]}",
            f"second: {other.prompts} prompts, {other.source}, sha256 {other.sha256[:12]}",
        )
        if not is_allowed:
            raise ReportError(
                f"The workload {one.name!r} has other prompts in the two reports.",
                action="Measure both with the same prompts, or allow other prompts.",
                evidence=told,
            )
        yield f"The prompts of {one.name} differ: {'; '.join(told)}."


def _differences(a: Report, b: Report) -> Iterator[str]:
    """What may be the reason for a change other than the one looked for."""
    if a.baseline != b.baseline:
        yield f"Baseline: {a.baseline} became {b.baseline}; speed-ups are over different arms."
    yield from _changed("Machine", a.machine, b.machine)
    yield from _changed("Measured by", a.versions, b.versions)
    for arm in a.arms:
        if arm not in b.arms:
            continue
        first, second = _server(a, arm), _server(b, arm)
        yield from _changed(f"Server of {arm}", first, second)
        settings = [f for report in (a, b) for f in arm_facts(report) if f.name == arm]
        commands = [f.command or f.summary for f in settings]
        if commands[0] != commands[1]:
            yield f"Settings of {arm}: {commands[0]} became {commands[1]}."
    for name in ("rounds", "prompts", "side_by_side", "seed", "objective"):
        yield from _changed("Plan", {name: getattr(a.plan, name)}, {name: getattr(b.plan, name)})
    for arm in a.arms:
        failed = [_failed_requests(report, arm) for report in (a, b)]
        if failed[0] != failed[1]:
            yield f"Failed requests of {arm}: {failed[0]} became {failed[1]}."


def _changed(title: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*a, *b)):
        if a.get(name) != b.get(name):
            yield f"{title}: {name} {a.get(name, 'unknown')} became {b.get(name, 'unknown')}."


def _server(report: Report, arm: str) -> dict[str, Any]:
    starts = [start for start in report.starts if start.arm == arm]
    return dict(starts[-1].versions) if starts else {}


def _failed_requests(report: Report, arm: str) -> int:
    return sum(cell.errored + cell.incomplete for cell in report.cells if cell.arm == arm)


def _places(report: Report) -> str:
    places = dict.fromkeys(f"{c.arm}/{c.workload}/{c.load.label}" for c in report.cells)
    return ", ".join([*places][:12]) or "no cell"
