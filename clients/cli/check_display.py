"""What people see of `check`: progress while it runs, then a table; into a pipe one row a line."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from clients.conformance.contract import Check, Finding
from clients.conformance.text import clean
from clients.conformance.verdicts import OUTCOMES, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from clients.conformance.run import Run

_WORDS: Final[dict[Outcome, str]] = {"kept": "ok"}
_STYLES: Final[dict[Outcome, str]] = {
    "kept": "green",
    "server": "bold red",
    "model": "yellow",
    "client": "bold magenta",
    "not offered": "dim",
    "not judged": "cyan",
    "not run": "dim",
}
_FAULTS: Final[frozenset[Outcome]] = frozenset({"server", "model", "client"})
_WIDEST_WORD: Final = max(map(len, OUTCOMES))


class Progress:
    """Which check runs, on standard error and only where that is a terminal."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begun = 0
        self._console = Console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("Looking at the server", spinner="dots")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def begin(self, check: Check) -> None:
        """Show that a check begins."""
        self._begun += 1
        if self._status is not None:
            self._status.update(Text(f"{self._begun}/{self._count}  {check.id}"))


def show(run: Run, base_url: str, *, full: bool, out: Console | None = None) -> None:
    """The findings.

    Args:
        run: that has ended.
        base_url: of the server.
        full: contract and source of every line, not only of those that were not kept.
        out: where to; else standard output.
    """
    out = out or Console()
    head = f"{clean(run.model) or 'no model'} at {base_url}"
    if not out.is_terminal:
        for finding in run.findings:
            out.print(Text(_row(finding)), soft_wrap=True)
    else:
        out.print(Text(f"Checked {head}"))
        _tables(out, run.findings, full=full)
    out.print(_verdict(run), soft_wrap=not out.is_terminal)


def show_list(checks: Sequence[Check]) -> None:
    """What would be checked."""
    out = Console()
    for check in checks:
        out.print(Text(f"{check.id}: {check.contract} ({check.source})"), soft_wrap=True)


def _row(finding: Finding) -> str:
    check = finding.check
    line = f"{_word(finding.outcome):<{_WIDEST_WORD}}  {check.id}: {finding.seen}"
    return f"{line} (sent: {check.sent}; contract: {check.contract}; source: {check.source})"


def _word(outcome: Outcome) -> str:
    return _WORDS.get(outcome, outcome)


def _tables(out: Console, findings: Sequence[Finding], *, full: bool) -> None:
    width = max(len(finding.check.id) for finding in findings)
    for group, members in groupby(findings, key=lambda finding: finding.check.group):
        out.print(Text(f"\n{group}", style="bold"))
        table = Table.grid(padding=(0, 2))
        # The same for all groups, so that the columns stand under each other.
        table.add_column(width=_WIDEST_WORD, no_wrap=True)
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for finding in members:
            word = Text(_word(finding.outcome), style=_STYLES[finding.outcome])
            table.add_row(word, finding.check.id, _cell(finding, full=full))
        out.print(table)


def _cell(finding: Finding, *, full: bool) -> Text:
    if not full and finding.outcome not in _FAULTS:
        return Text(finding.seen)
    check = finding.check
    dim = "".join(
        f"\n{name}: {text}"
        for name, text in (
            ("sent", check.sent),
            ("contract", check.contract),
            ("source", check.source),
        )
    )
    return Text.assemble(finding.seen, (dim, "dim"))


def _verdict(run: Run) -> Text:
    outcomes = [finding.outcome for finding in run.findings]
    counts = [
        f"{outcomes.count(outcome)} {_word(outcome)}" for outcome in OUTCOMES if outcome in outcomes
    ]
    if run.interrupted:
        said, style = "Interrupted", "yellow"
    elif "server" in outcomes:
        said, style = "The server is to blame for some lines", "bold red"
    elif "client" in outcomes:
        said, style = "Some checks failed themselves", "bold magenta"
    else:
        said, style = "No fault of the server was found", "bold green"
    return Text(f"\n{said}: {', '.join(counts)}; {run.seconds:.0f} s.", style=style)
