"""How far a run is, for people: the cell, its requests, and the time that is left."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from benchmarks.plan import Plan
from benchmarks.records import Cell, CellRecord
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.schedule import side_by_side
from benchmarks.workloads.workload import Workload
from launcher.state.events import Event, PhaseProgress
from launcher.text import human_seconds


def seconds_left(done: Mapping[Cell, float], left: Sequence[Cell]) -> float | None:
    """How long the other cells will take.

    Args:
        done: seconds of each cell that was measured.
        left: those that were not.

    Returns:
        Seconds: for each cell the mean of the same cell in other rounds, else of the same workload
        and load of other arms, else of all; None where nothing was measured yet.
    """
    if not done:
        return None
    same: dict[tuple[object, ...], list[float]] = {}
    for cell, seconds in done.items():
        for key in _keys(cell):
            same.setdefault(key, []).append(seconds)
    return sum(
        statistics.fmean(next(same[key] for key in _keys(cell) if key in same)) for cell in left
    )


def _keys(cell: Cell) -> tuple[tuple[object, ...], ...]:
    """What a cell has in common with others, the closest first."""
    return cell.place, cell.place[1:], cell.place[2:], ()


class RunProgress:
    """Draws a run on a terminal; elsewhere it says only what failed.

    Args:
        console: for people; standard error.
        plan: of the run.
        workloads: of the run.
        folder: tells what is measured already.
        quiet: draw nothing, whatever the console is.
    """

    def __init__(
        self,
        console: Console,
        plan: Plan,
        workloads: Sequence[Workload],
        folder: ResultsFolder,
        *,
        quiet: bool,
    ) -> None:
        names = [workload.name for workload in workloads]
        self._console = console
        self._rounds = plan.rounds
        self._left = {cell for cell in side_by_side(plan, names) if not folder.is_measured(cell)}
        self._total = len(self._left)
        self._done: dict[Cell, float] = {}
        self._starting = ""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
            # Drawing holds the interpreter for milliseconds, which chunks that arrive wait for.
            refresh_per_second=1,
            disable=quiet or not console.is_terminal,
        )
        self._cells = self._progress.add_task("cells", total=self._total or None, note="")
        self._requests = self._progress.add_task("", total=None, note="", visible=False)

    @contextlib.contextmanager
    def show(self) -> Iterator[None]:
        """Draw while the block runs."""
        with self._progress:
            yield

    def feed(self, event: Event) -> None:
        """Show what the launcher says of a start."""
        if isinstance(event, PhaseProgress):
            self.says(f"{self._starting}: {event.phase}")

    def starting(self, arm: str) -> None:
        """A server is being started."""
        self._starting = f"starting {arm}"
        self.says(self._starting)

    def began(self, cell: Cell, requests: int) -> None:
        """A cell begins."""
        self._progress.update(
            self._requests,
            description=f"{cell.arm}, {cell.workload}, {cell.load.words}",
            total=requests,
            completed=0,
            note=f"round {cell.round + 1} of {self._rounds}",
            visible=True,
        )

    def answered(self) -> None:
        """A request has ended."""
        self._progress.advance(self._requests)

    def ended(self, cell: CellRecord) -> None:
        """A cell has ended."""
        self._left.discard(cell.cell)
        self._done[cell.cell] = (cell.ended_ns - cell.began_ns) / 1e9
        seconds = seconds_left(self._done, tuple(self._left))
        note = f"about {human_seconds(seconds)} left" if seconds else ""
        self._progress.update(self._cells, completed=self._total - len(self._left), note=note)

    def failed(self, problem: str) -> None:
        """Something will be missing."""
        self._console.print(Text.assemble(("missing: ", "yellow"), problem), soft_wrap=True)

    def says(self, what: str) -> None:
        """Something else is done now."""
        self._progress.update(
            self._requests, description=what, total=None, completed=0, note="", visible=True
        )
