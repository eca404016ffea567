"""The report: everything that one run found, as one value that a file holds and gives back."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.analysis.figures import Analysis, CellFigures, Crossover, Equality, Speedup
from benchmarks.errors import ReportError
from benchmarks.plan import Plan
from benchmarks.records import Cell, CellRecord, Load, Outcome, RequestRecord
from benchmarks.results import ArmStart, PeerFigures, Results

SCHEMA_VERSION: Final = 1
# A file of another kind may be large, and one line of its text tells enough.
SHOWN_ERRORS: Final = 5
LONGEST_PAUSE_NS: Final = 600 * 10**9


class WorkloadSummary(BaseModel):
    """What was sent, without the prompts: these stay in the run's folder.

    Attributes:
        name: that cells have.
        description: what it stands for.
        source: where the prompts come from.
        prompts: how many.
        sha256: of the prompts; two reports with one hash measured the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    source: str
    prompts: int
    sha256: str


class CellTimeline(BaseModel):
    """When one cell's requests ran. Seconds since the run's first request was due.

    A pause between two cells, such as before `--resume`, counts as ten minutes at the most.

    Attributes:
        cell: which.
        requests: shape [requests]: when it was due, when it ended, what came of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    requests: tuple[tuple[float, float, Outcome], ...]


class Report(BaseModel):
    """One run, from its plan to its verdict.

    Attributes:
        schema_version: of this file.
        began_at: ISO 8601, UTC.
        ended_at: the same; None for a run that was not completed.
        sentences: the verdict: of the whole run first, then of each workload.
        plan: what was to be measured; a run can be repeated from it.
        machine: what measured.
        versions: of this project and of what measured.
        workloads: in the order of the plan.
        starts: each start of each arm: flags, versions, run record, what the server says of itself.
        cells: figures of each arm, workload and load.
        speedups: of each candidate over the baseline.
        crossovers: where plain decoding wins.
        equalities: whether the outputs are the same.
        further: speed-ups of other pairs than with the baseline (`Plan.pairs`).
        peers: what other benchmarks measured beside ours.
        missing: what was not measured and why, a sentence each.
        cells_not_flushed: arm to the number of cells before which the server did not let us empty
            its prefix cache, so that prompts of earlier rounds may have been in it.
        timeline: shape [cells and rounds], in the order in which they began.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    began_at: str
    ended_at: str | None
    sentences: tuple[str, ...]
    plan: Plan
    machine: dict[str, Any]
    versions: dict[str, str]
    workloads: tuple[WorkloadSummary, ...]
    starts: tuple[ArmStart, ...]
    cells: tuple[CellFigures, ...]
    speedups: tuple[Speedup, ...]
    crossovers: tuple[Crossover, ...]
    equalities: tuple[Equality, ...]
    peers: tuple[PeerFigures, ...]
    missing: tuple[str, ...]
    timeline: tuple[CellTimeline, ...]
    cells_not_flushed: dict[str, int] = {}
    further: tuple[Speedup, ...] = ()

    @property
    def baseline(self) -> str:
        """The arm that the others are held against."""
        return self.plan.baseline

    @property
    def arms(self) -> tuple[str, ...]:
        """Names, the baseline first: their order gives each arm its colour."""
        return tuple(arm.name for arm in self.plan.arms)

    def workload_names(self) -> tuple[str, ...]:
        """Those with figures, in the order of the plan."""
        measured = {cell.workload for cell in self.cells}
        return tuple(one.name for one in self.workloads if one.name in measured)

    def loads(self, workload: str) -> tuple[Load, ...]:
        """Those with figures: closed loops first, each kind from the lowest up."""
        found = {cell.load for cell in self.cells if cell.workload == workload}
        return tuple(sorted(found, key=lambda load: load.order))

    def cell(self, arm: str, workload: str, load: Load) -> CellFigures | None:
        """One arm's figures; None where nothing was measured."""
        wanted = (arm, workload, load)
        return next((c for c in self.cells if (c.arm, c.workload, c.load) == wanted), None)

    def speedup(self, candidate: str, workload: str, load: Load) -> Speedup | None:
        """One candidate's speed-up; None where there is none."""
        wanted = (candidate, workload, load)
        found = (s for s in self.speedups if (s.candidate, s.workload, s.load) == wanted)
        return next(found, None)

    def to_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(indent=1) + "\n"


def build(results: Results) -> Report:
    """Analyse a run and put all that is known of it into a report."""
    # Imported here: reading a report needs no analysis.
    from benchmarks.analysis.cells import analyse  # noqa: PLC0415

    return assemble(results, analyse(results))


def assemble(results: Results, analysis: Analysis) -> Report:
    """A report of a run that is already analysed. Pure, but for the name of the home folder."""
    return Report(
        began_at=results.began_at,
        ended_at=results.ended_at,
        sentences=tuple(analysis.sentences),
        plan=results.plan,
        machine=results.machine,
        versions=results.versions,
        workloads=tuple(
            WorkloadSummary(
                name=name,
                description=one.description,
                source=one.source,
                prompts=len(one.prompts),
                sha256=one.sha256,
            )
            for name, one in results.workloads.items()
        ),
        starts=tuple(_for_others(start) for start in results.starts),
        cells=tuple(analysis.cells),
        speedups=tuple(analysis.speedups),
        crossovers=tuple(analysis.crossovers),
        equalities=tuple(analysis.equalities),
        further=tuple(analysis.further),
        peers=results.peers,
        missing=results.missing,
        timeline=_timeline(results.requests, results.cells),
        cells_not_flushed=dict(
            Counter(one.cell.arm for one in results.cells if not one.cache_flushed)
        ),
    )


def read_report(path: Path) -> Report:
    """Read a report's file.

    Raises:
        ReportError: there is none, it is not one, or a newer version of this project wrote it.
    """
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportError(
            f"{path} cannot be read: {error.strerror}.",
            action="Name the report.json that `python -m benchmarks run` wrote.",
        ) from error
    except ValueError as error:
        raise _not_a_report(path, f"it is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise _not_a_report(path, f"it holds a JSON {type(said).__name__}, not an object")
    version = said.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ReportError(
            f"{path} has schema version {version}; this version reads up to {SCHEMA_VERSION}.",
            action="Read it with the version of this project that wrote it, or a newer one.",
            evidence=(f"versions: {said.get('versions')}",),
        )
    try:
        # As JSON once more: only then are lists taken for tuples, and text for literals.
        return Report.model_validate_json(json.dumps(said))
    except ValidationError as error:
        lines = tuple(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)[:SHOWN_ERRORS]
        )
        why = f"fields that do not fit: {error.error_count()}"
        raise _not_a_report(path, why, lines) from error


def _not_a_report(path: Path, why: str, evidence: tuple[str, ...] = ()) -> ReportError:
    return ReportError(
        f"{path} is not a report: {why}.",
        action="Name the report.json that `python -m benchmarks run` wrote.",
        evidence=evidence,
    )


def _timeline(
    requests: Iterable[RequestRecord], cells: Iterable[CellRecord]
) -> tuple[CellTimeline, ...]:
    by_cell: dict[Cell, list[RequestRecord]] = {}
    for one in sorted(requests, key=lambda record: (record.due_ns, record.ended_ns)):
        by_cell.setdefault(one.cell, []).append(one)
    # To the wall's clock: the monotonic one begins anew when the machine does.
    shifts = {one.cell: (one.began_wall_ns or one.began_ns) - one.began_ns for one in cells}
    timeline: list[CellTimeline] = []
    last_ns: int | None = None
    skipped_ns = 0
    for cell in sorted(by_cell, key=lambda cell: by_cell[cell][0].due_ns + shifts.get(cell, 0)):
        records, shift_ns = by_cell[cell], shifts.get(cell, 0)
        began_ns = records[0].due_ns + shift_ns
        if last_ns is None:
            skipped_ns = began_ns
        else:
            skipped_ns += max(0, began_ns - last_ns - LONGEST_PAUSE_NS)
        last_ns = max(one.ended_ns for one in records) + shift_ns
        zero_ns = skipped_ns - shift_ns
        times = tuple(
            (_seconds(one.due_ns - zero_ns), _seconds(one.ended_ns - zero_ns), one.outcome)
            for one in records
        )
        timeline.append(CellTimeline(cell=cell, requests=times))
    return tuple(timeline)


def _seconds(ns: int) -> float:
    """Milliseconds are enough for a drawing, and keep the file small."""
    return round(ns / 1e9, 3)


def _for_others(start: ArmStart) -> ArmStart:
    """A report is sent to others: the home folder, with its owner's name, is written `~`.

    The folder that holds this project is written `.`, so that a command line can be repeated there.
    """
    project = str(Path(__file__).resolve().parents[2])
    names = [(_path(project), "."), (_path(str(Path.home())), "~")]
    return replace(
        start,
        run_record=_replaced(start.run_record, names),
        server_info=_replaced(start.server_info, names),
    )


def _path(folder: str) -> re.Pattern[str]:
    """The folder where it begins a path, and not in the middle of a longer name."""
    return re.compile(rf"(?<![\w./~-]){re.escape(folder)}(?=/|$)")


def _replaced(value: Any, names: Sequence[tuple[re.Pattern[str], str]]) -> Any:
    if isinstance(value, str):
        for path, name in names:
            value = path.sub(name, value)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(one, names) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(one, names) for one in value]
    return value
