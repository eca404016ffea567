"""How long a server is away: `python -m benchmarks.selfcheck.restart_time --rounds 3`.

In each round each arm, with and without a process that stands by, is started, loses its scheduler
to SIGKILL, is restarted on request, and is stopped, in an order of arms drawn anew. Nothing else
should run on the machine.
"""

from __future__ import annotations

import json
import queue
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.selfcheck.start_time import spread
from launcher.config.sources import resolve
from launcher.engines.launch import Launch
from launcher.engines.select import engine_of
from launcher.errors import NotRunningError
from launcher.preflight import prepare
from launcher.state.events import Event, ServerReady, ServerStopped
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.mailbox import Request
from launcher.supervision.supervisor import Supervisor
from launcher.system.hardware import probe_hardware
from launcher.system.members import find_members

SEED: Final = 20261129
PATIENCE_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.5
ARMS: Final[Mapping[str, bool]] = MappingProxyType({"stand-by": True, "no stand-by": False})


@dataclass(frozen=True, slots=True)
class Times:
    """One round of an arm, in seconds of wall time.

    Attributes:
        arm: with or without a stand-by.
        start: from the spawn to the first tokens.
        crash: from SIGKILL of the scheduler to the first tokens of the next run.
        restart: from the request to the first tokens of the next run; nothing was in flight.
        stop: from the request to the proof that nothing is left; nothing was in flight.
        stand_by_mib: what the waiting process takes, its part of shared pages included; None
            without one.
    """

    arm: str
    start: float
    crash: float
    restart: float
    stop: float
    stand_by_mib: float | None


class Scene:
    """A supervisor in a thread, and what it tells."""

    def __init__(self, prepared: Callable[[Path], Launch], folder: Path) -> None:
        self.store = RunStore("restart-time", root=folder)
        self.store.create()
        self.launch = launch = prepared(self.store.secrets_file)
        self._told: queue.Queue[tuple[float, Event]] = queue.Queue()
        self.supervisor = Supervisor(
            launch, self.store, lambda event: self._told.put((time.monotonic(), event))
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self.store.lock():
            self.supervisor.run()

    def await_event(self, kind: type[Event]) -> tuple[float, Event]:
        """The next event of a kind, and when it came.

        Raises:
            NotRunningError: it did not come.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                at, event = self._told.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if time.monotonic() < deadline and self._thread.is_alive():
                    continue
                raise NotRunningError(
                    f"No {kind.__name__} came.", action=f"See {self.store.log_file}."
                ) from None
            if isinstance(event, kind):
                return at, event

    @property
    def record(self) -> RunRecord:
        """As it is on disk."""
        record = self.store.read()
        assert record is not None  # noqa: S101  # the supervisor has written it
        return record

    def kill_scheduler(self) -> float:
        """SIGKILL to the first process that has a scheduler's title; says when."""
        leader = self.record.server
        assert leader is not None  # noqa: S101  # it serves
        children = engine_of(self.launch.config).children(find_members(leader, self.record.run_id))
        scheduler = next(one for one, title in children if "scheduler" in title)
        at = time.monotonic()
        scheduler.send_signal(signal.SIGKILL)
        return at

    def await_stand_by(self) -> float | None:
        """Wait for the process that stands by, where one does; says its MiB."""
        if not self.launch.stand_by:
            return None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self.record.stand_by) is None or not found.ready:
            if time.monotonic() > deadline:
                raise NotRunningError("Nothing stands by.", action=f"See {self.store.log_file}.")
            time.sleep(0.1)
        return (found.memory_bytes or 0) / 1024**2

    def join(self) -> None:
        """Wait for the supervisor's end."""
        self._thread.join(PATIENCE_SECONDS)


def measure(prepared: Callable[[Path], Launch], folder: Path, arm: str) -> Times:
    """One round of an arm.

    Raises:
        NotRunningError: something did not come.
    """
    began = time.monotonic()
    scene = Scene(prepared, folder)
    try:
        ready, _ = scene.await_event(ServerReady)
        mib = scene.await_stand_by()
        killed = scene.kill_scheduler()
        back, _ = scene.await_event(ServerReady)
        scene.await_stand_by()
        asked = time.monotonic()
        scene.supervisor.request(Request.RESTART)
        again, _ = scene.await_event(ServerReady)
        scene.await_stand_by()
    finally:
        stopped = time.monotonic()
        scene.supervisor.request(Request.STOP)
    ended, _ = scene.await_event(ServerStopped)
    scene.join()
    return Times(arm, ready - began, back - killed, again - asked, ended - stopped, mib)


def run_rounds(launches: Mapping[str, Callable[[Path], Launch]], rounds: int) -> Iterator[Times]:
    """Each arm once a round."""
    order = random.Random(SEED)  # noqa: S311  # an order of runs, no secret
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for arm in order.sample(list(launches), len(launches)):
                yield measure(launches[arm], Path(folder) / f"{number}-{arm}", arm)


def show(times: Sequence[Times]) -> Table:
    """Medians with their range, an arm a line."""
    table = Table(box=None, header_style="dim")
    for title in ("ARM", "START S", "AFTER A CRASH S", "RESTART S", "STOP S", "STAND-BY MIB"):
        table.add_column(title, justify="left" if title == "ARM" else "right")
    for arm in ARMS:
        runs = [one for one in times if one.arm == arm]
        columns = [
            [value for one in runs if (value := getattr(one, field)) is not None]
            for field in ("start", "crash", "restart", "stop", "stand_by_mib")
        ]
        table.add_row(arm, *map(_spread, columns))
    return table


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return "{:.2f} ({:.2f} to {:.2f})".format(*spread(values))


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--port", default=8198, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print every round, for programs.")
def main(*, rounds: int, port: int, as_json: bool) -> None:
    """Time how long the nano server is away, with a process that stands by and without."""
    hardware = probe_hardware()

    def launch(secrets_file: Path, *, stand_by: bool) -> Launch:
        config = resolve(preset="nano", flags={"port": port, "stand_by": stand_by}).config
        return prepare.prepare(config, hardware, secrets_file=secrets_file, detached=False)

    launches = {arm: partial(launch, stand_by=stand_by) for arm, stand_by in ARMS.items()}
    times = []
    for one in run_rounds(launches, rounds):
        times.append(one)
        click.echo(json.dumps(asdict(one)), err=True)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in times], indent=2) + "\n")
    else:
        Console().print(show(times))


if __name__ == "__main__":
    main()
