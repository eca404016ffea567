"""What the doctor found, and why a server failed, as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from launcher.config.ranks import ranks_of
from launcher.diagnosis.foreign import NO_FAILURE, Diagnosis
from launcher.doctor.probes import ProbeFinding, Row, Status, worst
from launcher.doctor.target import ServingTarget
from launcher.engines.causes import Retry

_RETRIES: Final = {
    Retry.NEVER: "fails again with the same arguments",
    Retry.ONCE_SERVED: "worth it if it had served before",
    Retry.ALWAYS: "may work as it is",
}
COLOURS: Final[dict[Status, str]] = {"green": "green", "amber": "yellow", "red": "bold red"}


def show_findings(out: Console, findings: Sequence[ProbeFinding], target: ServingTarget) -> None:
    """The rows under their headings; into a pipe one row a line, for `grep`."""
    if not out.is_terminal:
        for finding in findings:
            row = finding.row
            line = f"{row.status:<5}  {finding.group}  {row.subject}: {row.measured}"
            line += f" (wanted: {row.wanted})" + (f" -> {row.action}" if row.action else "")
            out.print(Text(line), soft_wrap=True)
        return
    out.print(f"Held against {_subject(target)}.", highlight=False, markup=False)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        out.print(Text(f"\n{group}", style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        # The same for all groups, so that the columns stand under each other.
        table.add_column(width=max(len(finding.row.subject) for finding in findings))
        table.add_column(overflow="fold")
        for finding in members:
            row = finding.row
            status = Text(f"{row.status:<5}", style=COLOURS[row.status])
            table.add_row(status, row.subject, _cell(row))
        out.print(table)
    out.print(Text(f"\n{_verdict(findings, target)}", style=COLOURS[worst(findings)]))


def _cell(row: Row) -> Text:
    if row.action is None:
        return Text(row.measured)
    return Text.assemble(
        row.measured, ("\nwanted: ", "dim"), (row.wanted, "dim"), f"\n-> {row.action}"
    )


def _subject(target: ServingTarget) -> str:
    config = target.config
    gpus = ranks_of(config).count_here
    count = f"{gpus} GPU{'s' if gpus > 1 else ''}"
    where = count if target.on_gpu else "the CPU"
    return f"{config.served_model_name} on {where}, preset {config.preset}: {target.reason}"


def _verdict(findings: Sequence[ProbeFinding], target: ServingTarget) -> str:
    reds = sum(finding.row.status == "red" for finding in findings)
    ambers = sum(finding.row.status == "amber" for finding in findings)
    name = target.config.served_model_name
    if reds:
        return f"{reds} red: {name} cannot be served here until that is mended."
    noted = f", {ambers} amber" if ambers else ""
    return f"Nothing red{noted}: {name} can be served here."


def show_diagnosis(out: Console, found: Diagnosis) -> None:
    """What happened and how sure that is, the lines that say so, and what to do."""
    if found.cause == NO_FAILURE:
        head = Text.assemble(("no failure ", "bold green"), f"({found.confidence.value}): ")
    else:
        head = Text.assemble((found.cause, "bold red"), f" ({found.confidence.value}): ")
    out.print(head + Text(found.problem), soft_wrap=True)
    for line in found.evidence:
        out.print(Text(f"  | {line}", style="dim"), soft_wrap=True)
    out.print(Text(f"  -> {found.action}"), soft_wrap=True)
    if found.retry is not None:
        out.print(Text(f"  another start: {_RETRIES[found.retry]}", style="dim"), soft_wrap=True)
