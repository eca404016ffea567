"""What was measured on what, in words: for the head of the reports. Pure: no I/O."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.report.document import Report
from benchmarks.report.wording import counted
from benchmarks.results import ArmStart


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """How one arm was served.

    Attributes:
        name: of the arm.
        is_baseline: the others are held against it.
        summary: its settings in a line.
        command: the server's whole command line; None for a server elsewhere.
        starts: how often it was started, or connected to.
    """

    name: str
    is_baseline: bool
    summary: str
    command: str | None
    starts: int


def title(report: Report) -> str:
    """For the top of a page."""
    others = report.arms[1:]
    if not others:
        return f"{report.baseline}: benchmark"
    return f"{', '.join(others)} against {report.baseline}"


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """Names and values; those that are not known are left out."""
    plan = report.plan
    loads = dict.fromkeys(load.words for load in plan.loads)
    successful, errored, incomplete = (
        sum(getattr(cell, name) for cell in report.cells)
        for name in ("successful", "errored", "incomplete")
    )
    turns = "side by side" if plan.side_by_side else "one after the other in each round"
    found = (
        ("Model", ", ".join(_models(report))),
        ("Machine", _line(report.machine)),
        ("Server", _line(_server_versions(report))),
        ("Measured by", _line(report.versions)),
        (
            "Requests",
            f"{successful:,} successful, {errored:,} errored, {incomplete:,} incomplete",
        ),
        ("Shared settings", _line(plan.shared)),
        ("Loads", ", ".join(loads)),
        ("Rounds", f"{plan.rounds}; arms {turns}; seed {plan.seed}"),
        ("Objective", _line(plan.objective.model_dump() if plan.objective else {})),
        ("Prefix cache", _not_flushed(report)),
        ("When", f"{report.began_at} to {report.ended_at or '(not completed)'}"),
    )
    return tuple((name, value) for name, value in found if value)


def _not_flushed(report: Report) -> str:
    return "; ".join(
        f"not emptied before {counted(cells, 'cell')} of {arm}: prompts of earlier rounds may have "
        "been in it"
        for arm, cells in report.cells_not_flushed.items()
    )


def arm_facts(report: Report) -> tuple[ArmFacts, ...]:
    """How each arm was served, in the order of the plan."""
    found = []
    for arm in report.plan.arms:
        starts = [start for start in report.starts if start.arm == arm.name]
        if arm.url is not None:
            summary = f"already ran at {arm.url}"
        else:
            # Plain decoding is a field that is unset.
            said = {name: "unset" if one is None else one for name, one in arm.fields.items()}
            summary = _line(said) or "no settings of its own"
        found.append(
            ArmFacts(
                name=arm.name,
                is_baseline=arm.name == report.baseline,
                summary=summary,
                command=next(filter(None, map(_command, starts)), None),
                starts=len(starts),
            )
        )
    return tuple(found)


def failures(report: Report) -> tuple[str, ...]:
    """What is missing: as the run said it, then what the figures show."""
    found = list(report.missing)
    if report.ended_at is None:
        found.append("The run was not completed: this is what was measured until it ended.")
    measured = {(cell.arm, cell.workload, cell.load) for cell in report.cells}
    for arm in report.arms:
        for one in report.workloads:
            lacking = [
                load.words for load in report.plan.loads if (arm, one.name, load) not in measured
            ]
            if lacking:
                found.append(f"{arm}, {one.name}: nothing was measured at {', '.join(lacking)}.")
    return (*found, *filter(None, (_failed_requests(report, arm) for arm in report.arms)))


def _failed_requests(report: Report, arm: str) -> str:
    """One arm's in a sentence; where they were is in the tables."""
    cells = [cell for cell in report.cells if cell.arm == arm]
    failed = [cell for cell in cells if cell.errored or cell.incomplete]
    if not failed:
        return ""
    errored, incomplete = sum(c.errored for c in failed), sum(c.incomplete for c in failed)
    sent = errored + incomplete + sum(cell.successful for cell in cells)
    worst = max(failed, key=lambda cell: cell.errored + cell.incomplete)
    return (
        f"{arm}: {errored:,} errored and {incomplete:,} incomplete of {counted(sent, 'request')}, "
        f"the most ({worst.errored + worst.incomplete:,}) in {worst.workload} at "
        f"{worst.load.words}."
    )


def _models(report: Report) -> list[str]:
    said = [
        (start.run_record or {}).get("served_model_name")
        or (start.server_info or {}).get("served_model_name")
        for start in report.starts
    ]
    return [str(name) for name in dict.fromkeys(said) if name]


def _server_versions(report: Report) -> dict[str, str]:
    """All versions that any server had; one that changed between starts shows both."""
    found: dict[str, str] = {}
    for start in report.starts:
        for package, version in start.versions.items():
            if version not in found.setdefault(package, version).split(" / "):
                found[package] += f" / {version}"
    return found


def _command(start: ArmStart) -> str | None:
    command = (start.run_record or {}).get("command")
    return shlex.join(map(str, command)) if isinstance(command, list | tuple) and command else None


def _line(values: Mapping[str, Any]) -> str:
    """A mapping in one line; what is empty is left out."""
    return ", ".join(
        f"{name.replace('_', ' ')} {_text(value)}"
        for name, value in values.items()
        if value is not None and value not in ("", [], {}, ())
    )


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_line(value)})"
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
