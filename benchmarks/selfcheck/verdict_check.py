"""Whether a whole comparison tells truth from chance, on servers whose truth is known.

    python -m benchmarks.selfcheck.verdict_check [--comparisons 20] [--url http://127.0.0.1:8000]

Each comparison is a run as `python -m benchmarks run` makes it, two arms side by side. First both
arms are one server, so that each difference that is called is a false one; then one of two loopback
servers takes 10 % longer for everything, so that each comparison ought to find it. With `--url` the
server of the first part is that one, a real one for example, and there is no second part.

Exit code 1 if more than one comparison in ten called a difference that is none, or if one did not
find the slowdown.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.analysis.comparison import compare
from benchmarks.analysis.figures import Speedup, Verdict
from benchmarks.cli.progress import RunProgress
from benchmarks.plan import Arm, Plan
from benchmarks.records import Load
from benchmarks.running.folder import ResultsFolder
from benchmarks.running.runner import Runner
from benchmarks.running.servers import ServedArm, connect
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import loopback
from benchmarks.workloads.loading import load_workload

FALSE_SHARE: Final = 0.1
SLOWDOWN: Final = 1.10
# Requests that differ from each other as a real server's do: by about 3 %.
SCHEDULE: Final = Schedule(
    first_seconds=0.04, gap_seconds=0.008, tokens_per_chunk=3, noise_sigma=0.03
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large each comparison is."""

    rounds: int
    prompts: int
    concurrency: int


def compare_once(baseline_url: str, candidate_url: str, size: Size, seed: int) -> Speedup:
    """One whole comparison: a plan, a run, a folder, an analysis.

    Raises:
        TargetError: a server failed.
    """
    load = Load(concurrency=size.concurrency)
    workloads = (load_workload("chat", prompts=size.prompts, seed=seed),)
    plan = Plan(
        arms=(Arm(name="a", url=baseline_url), Arm(name="b", url=candidate_url)),
        workloads=("chat",),
        prompts=size.prompts,
        loads=(load,),
        rounds=size.rounds,
        side_by_side=True,
        seed=seed,
        scored_prompts=0,
    )

    def opened(arm: Arm, number: int) -> AbstractContextManager[ServedArm]:
        return nullcontext(connect(arm, str(arm.url), round_number=number))

    with tempfile.TemporaryDirectory(prefix="verdict-") as path:
        folder = ResultsFolder(Path(path) / "results")
        folder.create(plan, workloads, {})
        progress = RunProgress(Console(stderr=True), plan, workloads, folder, quiet=True)
        Runner(plan, workloads, folder, opened, progress).run()
        results = folder.read()
    found = compare(
        results.requests,
        results.cells,
        baseline="a",
        candidate="b",
        workload="chat",
        load=load,
        seed=seed,
    )
    if found is None:
        raise RuntimeError("nothing was answered: " + " ".join(results.missing))
    return found


def called(found: Sequence[Speedup], *verdicts: Verdict) -> int:
    """How many gave one of these verdicts."""
    return sum(one.verdict in verdicts for one in found)


def show(title: str, found: Sequence[Speedup]) -> Table:
    """A row a comparison."""
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for column in ("COMPARISON", "SPEED-UP", "95 % INTERVAL", "VERDICT"):
        table.add_column(column, justify="left" if column == "VERDICT" else "right")
    for number, one in enumerate(found, start=1):
        value, low, high = one.speedup.value, one.speedup.low or 0.0, one.speedup.high or 0.0
        table.add_row(str(number), f"{value:.4f}", f"{low:.4f} to {high:.4f}", one.verdict)
    return table


@click.command()
@click.option("--comparisons", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(min=3), default=6, show_default=True)
@click.option("--prompts", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--concurrency", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--url", help="Of a server for the first part; there is no second part then.")
def main(*, comparisons: int, rounds: int, prompts: int, concurrency: int, url: str | None) -> None:
    """Compare a server with itself, again and again; then with one that is 10 % slower."""
    size = Size(rounds, prompts, concurrency)
    out = Console()

    def compared(title: str, baseline_url: str, candidate_url: str) -> list[Speedup]:
        seeds = track(range(comparisons), title, console=Console(stderr=True), transient=True)
        return [compare_once(baseline_url, candidate_url, size, seed) for seed in seeds]

    slower: list[Speedup] = []
    with loopback(SCHEDULE) as server:
        address = url or server.base_url
        same = compared("the same", address, address)
        if url is None:
            with loopback(SCHEDULE.model_copy(update={"slowdown": SLOWDOWN})) as slow:
                slower = compared("10 % slower", address, slow.base_url)
    out.print(show("One server on both sides", same))
    if slower:
        out.print(show("The second server 10 % slower", slower))
    false, found = called(same, "faster", "slower"), called(slower, "slower")
    out.print(f"\nfalse differences: {false} of {comparisons}", highlight=False)
    if slower:
        out.print(f"slowdowns found: {found} of {comparisons}", highlight=False)
    if false > FALSE_SHARE * comparisons or (slower and found < comparisons):
        sys.exit(1)


if __name__ == "__main__":
    main()
