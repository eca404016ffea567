"""Where the start of a CPU server goes: `python -m benchmarks.selfcheck.start_time --rounds 3`.

Each arm is the launcher's own command with one of its cuts taken back. A round starts every arm
once, in an order drawn anew, so that a machine that gets slower hits all of them; arms are compared
within a round. Nothing else should run on the machine.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.running.resources import server_cpu_seconds
from launcher.config.sources import resolve
from launcher.engines.launch import Command, Launch
from launcher.engines.select import engine_of
from launcher.names import SHARED_IMPORTS_VARIABLE
from launcher.preflight import prepare
from launcher.state.events import Event, ServerReady
from launcher.state.store import RunStore
from launcher.supervision.mailbox import Request
from launcher.supervision.supervisor import Supervisor
from launcher.system.hardware import probe_hardware

BASELINE: Final = "as launched"
# SGLang's own; see launcher/engines/sglang/plugins/sharing/models.py.
LEFT_OUT_VARIABLE: Final = "SGLANG_DISABLED_MODEL_ARCHS"
SEED: Final = 20261123


@dataclass(frozen=True, slots=True)
class Start:
    """One start, measured when the server had generated its first tokens.

    `cpu_seconds` are those of all its processes, ended children included.
    """

    round: int
    arm: str
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """An arm over all rounds: medians with their range, and what it costs against the baseline.

    Formula: extra = median over rounds of (arm - baseline of the same round)
    """

    arm: str
    wall_seconds: tuple[float, float, float]
    cpu_seconds: tuple[float, float, float]
    extra_wall_seconds: float
    extra_cpu_seconds: float


def with_variables(command: Command, **changes: str) -> Command:
    """The command with variables set."""
    return replace(command, environment=MappingProxyType({**command.environment, **changes}))


def without(command: Command, variable: str) -> Command:
    """The command without a variable."""
    kept = {name: text for name, text in command.environment.items() if name != variable}
    return replace(command, environment=MappingProxyType(kept))


def no_bytecode(command: Command, _: Path) -> Command:
    """Every process compiles Python's sources, as after an install and with nothing to write to."""
    # A folder that does not exist: nothing is found there, and nothing may be written.
    return with_variables(command, PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX="/nonexistent")


def compiled_helpers(command: Command, scratch: Path) -> Command:
    """SGLang's small helpers go through torch.compile, with an empty cache."""
    return with_variables(
        command,
        TORCHDYNAMO_DISABLE="0",
        TORCHINDUCTOR_CACHE_DIR=tempfile.mkdtemp(dir=scratch),
    )


def each_imports(command: Command, _: Path) -> Command:
    """Every process imports the engine by itself, as SGLang starts them."""
    return without(command, SHARED_IMPORTS_VARIABLE)


def all_models(command: Command, _: Path) -> Command:
    """The modules of all models are imported, as SGLang does."""
    return with_variables(command, **{LEFT_OUT_VARIABLE: ""})


def own_warm_up(command: Command, _: Path) -> Command:
    """The server sends its own warm-up request before it says that it is up."""
    argv = tuple(part for part in command.argv if part != "--skip-server-warmup")
    return replace(command, argv=argv)


ARMS: Final[Mapping[str, Callable[[Command, Path], Command]]] = MappingProxyType(
    {
        BASELINE: lambda command, _: command,
        "an import for each process": each_imports,
        "modules of all models": all_models,
        "no bytecode cache": no_bytecode,
        "compiled helpers": compiled_helpers,
        "the server's own warm-up": own_warm_up,
    }
)


def _store(folder: Path) -> RunStore:
    return RunStore("start-time", root=folder)


def measure(launch: Launch, folder: Path) -> tuple[float, float]:
    """Start a server, take its times when it is ready, and kill it.

    Returns:
        Seconds of wall time and of CPU time.

    Raises:
        ServerError: it did not start.
    """
    store = _store(folder)
    store.create()
    taken: list[tuple[float, float]] = []

    def emit(event: Event) -> None:
        if isinstance(event, ServerReady):
            record = store.read()
            assert record is not None  # noqa: S101  # the supervisor has just written it
            taken.append((event.elapsed_seconds, server_cpu_seconds(record) or 0.0))
            supervisor.request(Request.STOP)

    supervisor = Supervisor(launch, store, emit)
    with store.lock():
        supervisor.run()
    return taken[0]


def run_rounds(
    prepared: Callable[[Path], Launch], rounds: int, arms: Sequence[str]
) -> Iterator[Start]:
    """Start every arm once a round.

    Args:
        prepared: makes the launch, given where its keys will be.
        rounds: how often.
        arms: of `ARMS`.
    """
    order = random.Random(SEED)  # noqa: S311  # an order of runs, no secret
    with tempfile.TemporaryDirectory() as folder:
        base = prepared(_store(Path(folder)).secrets_file)
        for number in range(rounds):
            for arm in order.sample(arms, len(arms)):
                command = ARMS[arm](base.command, Path(folder))
                launch = replace(base, command=command)
                wall, cpu = measure(launch, Path(folder))
                yield Start(number, arm, round(wall, 2), round(cpu, 2))


def summarise(starts: Sequence[Start]) -> list[Summary]:
    """One summary an arm, the baseline first."""
    by_arm = {arm: [start for start in starts if start.arm == arm] for arm in ARMS}
    baseline = {start.round: start for start in by_arm[BASELINE]}

    def extra(runs: list[Start], field: str) -> float:
        extras: list[float] = [
            getattr(run, field) - getattr(baseline[run.round], field) for run in runs
        ]
        return statistics.median(extras)

    return [
        Summary(
            arm,
            spread([run.wall_seconds for run in runs]),
            spread([run.cpu_seconds for run in runs]),
            round(extra(runs, "wall_seconds"), 2),
            round(extra(runs, "cpu_seconds"), 2),
        )
        for arm, runs in by_arm.items()
        if runs
    ]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and largest."""
    return statistics.median(values), min(values), max(values)


def show(summaries: Sequence[Summary]) -> Table:
    """The table for people."""
    table = Table(box=None, header_style="dim")
    for title in ("ARM", "WALL S", "CPU S", "EXTRA WALL S", "EXTRA CPU S"):
        table.add_column(title, justify="left" if title == "ARM" else "right")
    for summary in summaries:
        table.add_row(
            summary.arm,
            "{:.1f} ({:.1f} to {:.1f})".format(*summary.wall_seconds),
            "{:.1f} ({:.1f} to {:.1f})".format(*summary.cpu_seconds),
            f"{summary.extra_wall_seconds:+.1f}",
            f"{summary.extra_cpu_seconds:+.1f}",
        )
    return table


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--port", default=8199, show_default=True)
@click.option("--tp-size", default=1, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--arm", "arms", multiple=True, type=click.Choice(list(ARMS)), help="Only these; default: all."
)
@click.option("--json", "as_json", is_flag=True, help="Print every start, for programs.")
def main(*, rounds: int, port: int, tp_size: int, arms: tuple[str, ...], as_json: bool) -> None:
    """Time the start of the nano server, with each of the launcher's cuts taken back in turn."""
    hardware = probe_hardware()
    # Killed at once when it is ready: how it stops is not what is measured.
    flags = {"port": port, "tp_size": tp_size, "stop_timeout_seconds": 0, "stand_by": False}
    config = resolve(preset="nano", flags=flags).config

    def prepared(secrets_file: Path) -> Launch:
        return prepare.prepare(config, hardware, secrets_file=secrets_file, detached=False)

    starts = []
    for start in run_rounds(prepared, rounds, list(dict.fromkeys((BASELINE, *(arms or ARMS))))):
        starts.append(start)
        click.echo(f"{start.arm}: {start.wall_seconds} s, {start.cpu_seconds} s of CPU", err=True)
    summaries = summarise(starts)
    if as_json:
        machine = {"cpus": len(hardware.cpus), "versions": engine_of(config).versions()}
        report = {
            **machine,
            "starts": [asdict(start) for start in starts],
            "summaries": [asdict(summary) for summary in summaries],
        }
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        Console().print(show(summaries))


if __name__ == "__main__":
    main()
