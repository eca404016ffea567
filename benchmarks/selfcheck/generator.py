"""Is our load generator the bottleneck? Its times against the truth, its cost against others'.

    python -m benchmarks.selfcheck.generator [--streams 256] [--requests 1024] [--rounds 3]
        [--json FILE]

A loopback server of known schedule sends to `--streams` streams at once, out of step, 20 to 40 ms
between chunks of three tokens. We, `sglang.bench_serving` and guidellm read the same answers to
the same prompts, in turns, each in a process of its own; a smaller run beside each larger one takes
the cost of starting out. Only a quiet machine can be judged: the load average stands in the result.

Exit code 1 if a bar is missed: of our times, 99 of 100 within 1 ms or 1 % of the truth; and CPU
time per streamed token below both others'.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table

import launcher.nano
from benchmarks.errors import BenchmarkError, PeerError
from benchmarks.peers.adapter import Adapter, Prepared, ReportedFigures, Task
from benchmarks.peers.measuring import ADAPTERS, measure_with
from benchmarks.peers.own import TOOL, ours
from benchmarks.records import Cell, Load, read_lines
from benchmarks.selfcheck.accuracy import (
    Accuracy,
    Times,
    accuracy,
    cpu_seconds_per_token,
    paired_times,
    true_times,
)
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from benchmarks.selfcheck.one_cell import ASKED, Asked
from benchmarks.workloads.workload import Prompt, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.results import PeerFigures

SCHEDULE = Schedule(
    first_seconds=0.2, first_spread_seconds=0.4, gap_seconds=0.02, gap_spread_seconds=0.02
)
TOKENS_PER_ANSWER = 180
SHARE_WITHIN = 0.99
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One tool in one round.

    Attributes:
        tool: its name.
        version: of it.
        cpu_microseconds_per_token: without the start.
        whole_cpu_microseconds_per_token: of the larger run, start included.
        time_to_first_token_error_ms: the tool's median less the true median.
        time_per_output_token_error_ms: the same.
    """

    tool: str
    version: str
    cpu_microseconds_per_token: float
    whole_cpu_microseconds_per_token: float
    time_to_first_token_error_ms: float
    time_per_output_token_error_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorResult:
    """All that one run found.

    Attributes:
        streams: at once.
        requests: of the larger runs.
        accuracy: of our times, over all runs.
        turns: in the order of time.
        load_average: of the machine over one minute, before and after.
        missed: the bars that were missed, a sentence each.
    """

    streams: int
    requests: int
    accuracy: tuple[Accuracy, ...]
    turns: tuple[Turn, ...]
    load_average: tuple[float, float]
    missed: tuple[str, ...]


def our_adapter() -> Adapter:
    """Run ourselves as the others are run."""
    return Adapter(tool=TOOL, package=TOOL, prepare=_prepare, read=_read)


def _prepare(task: Task) -> Prepared:
    asked, output = task.file(".asked.json"), task.file(".output.jsonl")
    value = Asked(
        base_url=task.target.base_url,
        model=task.target.model,
        cell=Cell("loopback", task.workload.name, task.load, task.seed),
        prompts=task.workload.prompts,
        seed=task.seed,
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    return Prepared(
        argv=(sys.executable, "-m", "benchmarks.selfcheck.one_cell", str(asked), str(output)),
        # The child works in a folder of its own.
        environment={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        inputs={asked: ASKED.dump_json(value)},
        output=output,
    )


def _read(output: bytes, task: Task) -> ReportedFigures:
    try:
        figures = ours(*read_lines(output))
    except ValueError as error:
        raise PeerError(
            f"Our own output cannot be read: {error}", action=f"See {task.folder}."
        ) from error
    return ReportedFigures(
        **{one.name: getattr(figures, one.name) for one in fields(ReportedFigures)}
    )


def workload(requests: int) -> Workload:
    """Prompts that the loopback server can tell apart."""
    prompts = tuple(
        Prompt(
            id=f"p{number}",
            messages=({"role": "user", "content": f"Prompt {number}."},),
            max_tokens=TOKENS_PER_ANSWER,
        )
        for number in range(requests)
    )
    return Workload(f"loopback{requests}", "Texts of no meaning.", prompts, "made here")


class Bench:
    """Runs tools against one loopback server.

    Args:
        server: runs.
        streams: at once.
        folder: for the tools' files.
    """

    def __init__(self, server: Loopback, streams: int, folder: Path) -> None:
        self._server = server
        self._load = Load(concurrency=streams)
        self._folder = folder
        self.pairs: list[tuple[Times, Times]] = []

    def turn(self, adapter: Adapter, requests: int, repetition: int) -> Turn:
        """Let one tool measure a smaller and a larger number of prompts.

        Raises:
            PeerError: the tool failed.
        """
        small, _ = self._run(adapter, workload(self._load.concurrency or 1), repetition)
        large, true = self._run(adapter, workload(requests), repetition)
        per_token = cpu_seconds_per_token(
            (small.generator_cpu_seconds, small.output_tokens),
            (large.generator_cpu_seconds, large.output_tokens),
        )
        first = statistics.median(one.time_to_first_token for one in true) / 1e6
        each = statistics.median(one.time_per_output_token for one in true) / 1e6
        measured_each = large.median_time_per_output_token_seconds
        return Turn(
            tool=large.tool,
            version=large.version,
            cpu_microseconds_per_token=per_token * 1e6,
            whole_cpu_microseconds_per_token=(
                large.generator_cpu_seconds / large.output_tokens * 1e6
            ),
            time_to_first_token_error_ms=large.median_time_to_first_token_seconds * 1e3 - first,
            time_per_output_token_error_ms=(
                None if measured_each is None else measured_each * 1e3 - each
            ),
        )

    def _run(
        self, adapter: Adapter, asked: Workload, repetition: int
    ) -> tuple[PeerFigures, list[Times]]:
        self._server.forget()
        figures = measure_with(
            adapter,
            self._server.target,
            arm="loopback",
            workload=asked,
            load=self._load,
            repetition=repetition,
            folder=self._folder,
            tokenizer=Path(launcher.nano.__file__).parent,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        truths = self._server.truth()
        if adapter.tool == TOOL:
            name = f"{TOOL}-loopback-{asked.name}-{self._load.label}-{repetition}.output.jsonl"
            _, records = read_lines((self._folder / name).read_bytes())
            keys = {prompt.id: prompt.messages[-1]["content"] for prompt in asked.prompts}
            self.pairs += paired_times(records, truths, keys)
        return figures, [true_times(truth) for truth in truths]


def measure(
    streams: int, requests: int, rounds: int, *, tools: Sequence[Adapter]
) -> GeneratorResult:
    """Measure everything.

    Args:
        streams: at once.
        requests: of each larger run; above `streams`, which is the number of each smaller one.
        rounds: the tools take turns in going first.
        tools: ours and others.

    Raises:
        PeerError: a tool failed.
    """
    before = os.getloadavg()[0]
    turns: list[Turn] = []
    with tempfile.TemporaryDirectory() as folder, loopback(SCHEDULE) as server:
        bench = Bench(server, streams, Path(folder))
        for number in range(rounds):
            first = number % len(tools)
            in_turn = (*tools[first:], *tools[:first])
            turns += [bench.turn(adapter, requests, number) for adapter in in_turn]
    found = accuracy(bench.pairs)
    return GeneratorResult(
        streams=streams,
        requests=requests,
        accuracy=found,
        turns=tuple(turns),
        load_average=(before, os.getloadavg()[0]),
        missed=missed_bars(found, turns),
    )


def missed_bars(found: Sequence[Accuracy], turns: Sequence[Turn]) -> tuple[str, ...]:
    """Say which bars were missed, with what was measured against what is allowed."""
    missed = [
        f"{one.metric}: {one.share_within:.2%} of requests within 1 ms or 1 %, not "
        f"{SHARE_WITHIN:.0%}"
        for one in found
        if one.share_within < SHARE_WITHIN
    ]
    costs = costs_of(turns)
    for tool, values in costs.items():
        own, other = statistics.median(costs[TOOL]), statistics.median(values)
        if tool != TOOL and own >= other:
            missed.append(f"CPU time per token: {own:.2f} µs, {tool} has {other:.2f} µs")
    return tuple(missed)


def costs_of(turns: Sequence[Turn]) -> dict[str, list[float]]:
    """CPU time per token in microseconds, by tool, one a round."""
    costs: dict[str, list[float]] = {}
    for turn in turns:
        costs.setdefault(turn.tool, []).append(turn.cpu_microseconds_per_token)
    return costs


def tables(result: GeneratorResult) -> tuple[Table, Table]:
    """What people read."""
    times = Table(title=f"Our error at {result.streams} streams, in ms")
    for name in ("", "true median", "median", "99th", "largest", "within 1 ms or 1 %"):
        times.add_column(name, justify="left" if not name else "right")
    for one in result.accuracy:
        numbers = (one.true_median_ms, one.median_ms, one.p99_ms, one.largest_ms)
        label = one.metric.replace("_", " ")
        times.add_row(label, *(f"{value:.3f}" for value in numbers), f"{one.share_within:.2%}")
    cost = Table(title="CPU time per streamed token, in µs: median (least to most) over rounds")
    for name in ("", "without its start", "with it", "TTFT error, ms", "TPOT error, ms"):
        cost.add_column(name, justify="left" if not name else "right")
    for tool, values in costs_of(result.turns).items():
        own = [turn for turn in result.turns if turn.tool == tool]
        per_token = [one.time_per_output_token_error_ms for one in own]
        cost.add_row(
            f"{tool} {own[0].version}",
            _spread(values),
            _spread([one.whole_cpu_microseconds_per_token for one in own]),
            _spread([one.time_to_first_token_error_ms for one in own]),
            _spread([value for value in per_token if value is not None]),
        )
    return times, cost


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


@click.command(help=__doc__)
@click.option("--streams", default=256, type=click.IntRange(min=1), show_default=True)
@click.option("--requests", default=1024, type=click.IntRange(min=2), show_default=True)
@click.option("--rounds", default=3, type=click.IntRange(min=1), show_default=True)
@click.option("--only-ours", is_flag=True, help="Leave the others out.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(*, streams: int, requests: int, rounds: int, only_ours: bool, file: Path | None) -> None:
    """Measure, print two tables, and judge."""
    if requests <= streams:
        raise click.UsageError(f"--requests must be more than --streams, {streams}")
    console = Console()
    tools = [our_adapter(), *(() if only_ours else ADAPTERS.values())]
    try:
        result = measure(streams, requests, rounds, tools=tools)
    except BenchmarkError as error:
        console.print(f"[red]{error.problem}[/] {error.action}", *error.evidence, sep="\n")
        sys.exit(error.exit_code)
    console.print(*tables(result))
    before, after = result.load_average
    console.print(f"Load average {before:.2f} before, {after:.2f} after; {os.cpu_count()} CPUs.")
    for sentence in result.missed:
        console.print(f"[red]Missed:[/] {sentence}")
    if file is not None:
        value: dict[str, Any] = asdict(result)
        file.write_bytes(to_json(value, indent=2) + b"\n")
    sys.exit(1 if result.missed else 0)


if __name__ == "__main__":
    main()
