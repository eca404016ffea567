"""Kill or stop parts of a server at random and see that it comes back, and that nothing is left.

    python -m benchmarks.selfcheck.soak [--kills 40] [--minutes 60] [--json FILE]

The launcher keeps the nano server up, in a state folder of its own. Each kill is one SIGKILL, or
one SIGSTOP, to a process and at a moment that are drawn; then the server has to answer again, and
nothing of the run before may be left. In the end nothing at all may be left. Nothing else that uses
shared memory should run on the machine meanwhile: docs/soak.md.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks.selfcheck.soak.kills import COMMAND_TIMEOUT_SECONDS, NotRecoveredError, Soak
from benchmarks.selfcheck.soak.left import other_temporary_names
from benchmarks.selfcheck.soak.report import (
    NOT_RECOVERED,
    PAIRS,
    STAND_BY_PAIRS,
    Kill,
    SoakReport,
    show,
)
from launcher.state.paths import APPLICATION
from launcher.state.store import RunStore
from launcher.supervision.watches.health import OUTPUT_TIMEOUT_SECONDS
from launcher.system.hardware import probe_hardware, read_cpu_model

SEED: Final = 20261123
# It is started five seconds after the server is READY, and imports for ten.
STAND_BY_SECONDS: Final = 40.0


def plan(kills: int, chance: random.Random, *, stand_by: bool = False) -> Iterator[tuple[str, str]]:
    """Targets and moments, every pair once before any comes again, each time in another order."""
    pairs = [*PAIRS, *(STAND_BY_PAIRS if stand_by else ())]
    for number in range(kills):
        if number % len(pairs) == 0:
            chance.shuffle(pairs)
        yield pairs[number % len(pairs)]


def run(
    soak: Soak,
    pairs: Sequence[tuple[str, str]],
    *,
    total_seconds: float,
    tell: Callable[[Kill], None] = lambda _: None,
) -> tuple[list[Kill], list[str]]:
    """Start, kill, stop; returns the kills and what is left, in words.

    It ends early where the time is over, or where the server cannot be started again.
    """
    deadline = time.monotonic() + total_seconds
    kills: list[Kill] = []
    broken: list[str] = []
    try:
        soak.start()
        for number, (target, moment) in enumerate(pairs, start=1):
            if time.monotonic() > deadline:
                break
            kill = soak.kill(number, target, moment)
            kills.append(kill)
            tell(kill)
            if kill.outcome == NOT_RECOVERED:
                soak.revive()
    except (NotRecoveredError, subprocess.SubprocessError) as error:
        broken.append(f"the server does not start: {error}")
    finally:
        left = soak.end()
    return kills, broken + left


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The launcher's own command line, with a state folder and a folder for temporary files."""

    folder: Path
    port: int
    health_interval_seconds: float
    health_timeout_seconds: float
    stand_by: bool = False
    name: str = "soak"

    @property
    def frozen_seconds(self) -> float:
        """How long a process may stand still: as docs/faults.md says for row 3."""
        one_may_have_begun = max(self.health_interval_seconds, self.health_timeout_seconds)
        return one_may_have_begun + 3 * (self.health_timeout_seconds + OUTPUT_TIMEOUT_SECONDS)

    @property
    def store(self) -> RunStore:
        """Where its state is."""
        return RunStore(self.name, root=self.folder / APPLICATION / "servers")

    @property
    def temporary(self) -> Path:
        """Where the server makes temporary files."""
        return self.folder / "tmp"

    @property
    def output_file(self) -> Path:
        """What the commands printed."""
        return self.folder / "commands.log"

    def up(self) -> subprocess.Popen[bytes]:
        """`up --detach`: it ends when the server is ready."""
        # A restart has to come soon, and always; what delays and limits it is tested elsewhere.
        restarts = {"limit": 100_000, "max-delay-seconds": 0.5, "window-seconds": 1}
        options = [f"--restart-{option}={value}" for option, value in restarts.items()]
        options += [
            f"--health-interval-seconds={self.health_interval_seconds}",
            f"--health-timeout-seconds={self.health_timeout_seconds}",
        ]
        options.append("--stand-by" if self.stand_by else "--no-stand-by")
        return self._start("up", "--detach", "--preset=nano", f"--port={self.port}", *options)

    def down(self) -> None:
        """`down`."""
        with self._start("down") as command:
            try:
                code = command.wait(COMMAND_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                command.kill()
                raise
        if code:
            raise subprocess.CalledProcessError(code, "down")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SPECSERVE_")
        }
        environment |= {"XDG_STATE_HOME": str(self.folder), "TMPDIR": str(self.temporary)}
        with self.output_file.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "launcher", *arguments, f"--name={self.name}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@click.command()
@click.option("--kills", default=40, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=SEED, show_default=True)
@click.option("--port", default=8198, show_default=True)
@click.option("--minutes", default=60.0, show_default=True, help="No kill begins after so long.")
@click.option("--health-interval-seconds", default=10.0, show_default=True)
@click.option("--health-timeout-seconds", default=21.0, show_default=True)
@click.option("--stand-by", is_flag=True, help="A process stands by, and may be killed too.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every kill here.")
def main(
    *,
    kills: int,
    seed: int,
    port: int,
    minutes: float,
    health_interval_seconds: float,
    health_timeout_seconds: float,
    stand_by: bool,
    json_file: Path | None,
) -> None:
    """Kill a nano server at random; exit code 1 if it did not recover, or if anything is left."""
    # Whoever ends the soak does not want the server either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hardware = probe_hardware()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    launcher = CommandLine(folder, port, health_interval_seconds, health_timeout_seconds, stand_by)
    launcher.temporary.mkdir()
    launcher.store.create()
    chance = random.Random(seed)  # noqa: S311  # an order of kills, no secret
    soak = Soak(
        launcher,
        chance,
        frozen_seconds=launcher.frozen_seconds,
        stand_by_seconds=STAND_BY_SECONDS if stand_by else None,
    )
    began = time.monotonic()

    def tell(kill: Kill) -> None:
        what = f"{kill.number}: {kill.title} ({kill.target}), {kill.phase or kill.moment}"
        figures = f"detected {kill.detected_seconds} s, added {kill.added_seconds} s"
        click.echo(f"{what}: {kill.outcome}, {figures} {' '.join(kill.problems)}", err=True)

    done, left = run(
        soak, list(plan(kills, chance, stand_by=stand_by)), total_seconds=60 * minutes, tell=tell
    )
    record = launcher.store.read()
    report = SoakReport(
        seed=seed,
        asked_kills=kills,
        machine={
            "cpus": len(hardware.cpus),
            "cpu_model": read_cpu_model(),
            "versions": record.versions if record else {},
        },
        seconds=round(time.monotonic() - began, 1),
        kills=done,
        left=left,
        temporary_files=other_temporary_names(launcher.temporary),
    )
    if json_file is not None:
        json_file.write_text(report.to_json() + "\n")
    console = Console()
    for part in show(report):
        console.print(part)
    console.print(f"{len(done)} of {kills} kills in {report.seconds / 60:.1f} min, seed {seed}")
    if not report.is_clean:
        console.print(f"State, log and the commands' output stay in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)
