"""A report that a person reads in two minutes. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from benchmarks.report.document import Report
from benchmarks.report.facts import arm_facts, facts, failures, title
from benchmarks.report.peer_tables import peer_table
from benchmarks.report.tables import (
    Table,
    crossover_table,
    equality_table,
    figures_table,
    further_table,
    resources_table,
    speedup_table,
    workload_table,
)
from benchmarks.report.wording import FORMULAS

REPEAT = (
    "The plan is in `report.json`: save its field `plan` as `plan.json`, then\n\n"
    "```\npython -m benchmarks run --plan plan.json\n```"
)


def to_markdown(report: Report) -> str:
    """The whole summary, the verdict first."""
    return "\n\n".join(part for part in _parts(report) if part) + "\n"


def table(one: Table, *, level: int = 2) -> str:
    """A table with its heading and note; nothing where it has no row."""
    if not one.rows:
        return ""
    heading = f"{'#' * level} {escaped(one.title)}"
    head = _row(column.title for column in one.columns)
    rule = _row("---:" if column.is_figure else "---" for column in one.columns)
    rows = "\n".join(_row(map(escaped, row)) for row in one.rows)
    note = f"\n\n{escaped(one.note)}" if one.note else ""
    return f"{heading}\n\n{head}\n{rule}\n{rows}{note}"


def _parts(report: Report) -> Iterator[str]:
    yield f"# {escaped(title(report))}"
    if report.sentences:
        yield f"**{escaped(report.sentences[0])}**"
        yield _list(report.sentences[1:])
    yield "## What was measured"
    yield _list(f"{name}: {value}" for name, value in facts(report))
    yield "The arms:"
    yield _list(
        f"{arm.name}{' (the baseline)' if arm.is_baseline else ''}: {arm.summary}"
        for arm in arm_facts(report)
    )
    yield table(workload_table(report), level=3)
    yield table(speedup_table(report))
    yield table(further_table(report), level=3)
    yield table(crossover_table(report), level=3)
    if report.cells:
        yield "## Figures"
        for workload in report.workload_names():
            yield table(figures_table(report, workload), level=3)
        yield table(resources_table(report), level=3)
    yield table(equality_table(report))
    yield table(peer_table(report))
    if missing := failures(report):
        yield "## What is missing"
        yield _list(missing)
    yield f"## How to repeat it\n\n{REPEAT}"
    if commands := [(arm.name, arm.command) for arm in arm_facts(report) if arm.command]:
        yield "The servers' command lines:"
        yield "\n\n".join(f"{escaped(n)}:\n\n```\n{command}\n```" for n, command in commands)
    yield "## Formulas"
    yield _list(f"{name} = {formula}" for name, formula in FORMULAS)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def escaped(text: str) -> str:
    """Names and descriptions are other people's: none of them may become markup."""
    return " ".join(re.sub(r"([\\`*_\[\]<&|#~])", r"\\\1", text).split())
