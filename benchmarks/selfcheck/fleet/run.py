"""Do something to a part of a fleet under load, and count what is lost.

    python -m benchmarks.selfcheck.fleet [--requests 200] [--at-once 8] [--json FILE]

Two nano servers behind the gateway, in a state folder of their own. Clients ask again where no
answer had begun (`RetryPolicy(repeat_lost=True)`). Nothing else should run on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.selfcheck.fleet.faults import FAULTS
from benchmarks.selfcheck.fleet.load import Asked, load
from launcher.errors import PortInUseError, StateError
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import METRICS_OFFSET
from launcher.fleet.lifecycle import bring_up, take_down
from launcher.fleet.store import FleetStore
from launcher.fleet.view import view
from launcher.system.hardware import probe_hardware
from launcher.system.ports import check_port_is_free

NAME: Final = "chaos"
# Of the requests; by then all servers are at work.
FAULT_AT: Final = 0.3
RECOVERY_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one fault.

    Attributes:
        policy: of the gateway.
        fault: which.
        asked: requests.
        answered: whole answers.
        cut: streams that ended with an error.
        lost: requests without a token that ended with an error.
        slowest_seconds: the longest that a request took that was answered.
        error_seconds: from the fault to the last error; None where there was none.
        well_seconds: from the fault until every part was well again; None where somebody has to
            bring the fleet up again.
    """

    policy: str
    fault: str
    asked: int
    answered: int
    cut: int
    lost: int
    slowest_seconds: float
    error_seconds: float | None
    well_seconds: float | None


async def measure(url: str, policy: str, fault: str, *, requests: int, at_once: int) -> Result:
    """Load the fleet, do it, and wait until all has ended and is well."""
    struck_at: list[float] = []

    def strike(ended: int) -> None:
        if ended >= FAULT_AT * requests and not struck_at:
            struck_at.append(time.monotonic())
            FAULTS[fault](NAME)

    asked = await load(url, requests=requests, at_once=at_once, done=strike)
    well_at = await asyncio.to_thread(_wait_until_well)
    return _result(policy, fault, asked, struck_at[0], well_at)


def _result(
    policy: str, fault: str, asked: Sequence[Asked], struck_at: float, well_at: float | None
) -> Result:
    by = {kind: [one for one in asked if one.outcome == kind] for kind in ("answered", "cut")}
    failed = [one.ended_at - struck_at for one in asked if one.error]
    return Result(
        policy=policy,
        fault=fault,
        asked=len(asked),
        answered=len(by["answered"]),
        cut=len(by["cut"]),
        lost=len(asked) - len(by["answered"]) - len(by["cut"]),
        slowest_seconds=max((one.ended_at - one.began_at for one in by["answered"]), default=0.0),
        error_seconds=max(failed, default=None),
        well_seconds=None if well_at is None else well_at - struck_at,
    )


def _wait_until_well() -> float | None:
    """When all parts were well; None where that did not come by itself."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        try:
            members = view(FleetStore(NAME))
        except StateError:
            members = []
        if members and all(member.is_well for member in members):
            return time.monotonic()
        if any(member.state == "ORPHANED" for member in members):
            return None
        time.sleep(0.2)
    return None


def run(policies: Sequence[str], *, requests: int, at_once: int, console: Console) -> list[Result]:
    """Every fault under every policy, each in a fleet that is brought up where it is not whole."""
    results = []
    hardware = probe_hardware()
    for policy in policies:
        port = fleet_port()
        fleet = FleetConfig.model_validate(
            {
                "name": NAME,
                "server": {"preset": "nano"},
                "gateway": {"port": port, "policy": policy},
            }
        )
        store = FleetStore(NAME)
        try:
            for fault in FAULTS:
                with store.lock():
                    up = bring_up(fleet, store, hardware, lambda _name, _event: None)
                url = up.layout.gateway.base_url
                found = asyncio.run(measure(url, policy, fault, requests=requests, at_once=at_once))
                results.append(found)
                console.print(asdict(found))
        finally:
            with store.lock():
                if store.read() is not None:
                    take_down(store)
    return results


def fleet_port(replicas: int = 2) -> int:
    """A port for a gateway, with room above it for its servers and its metrics.

    Below those that the kernel gives to connections, one of which may take a port at any time.
    """
    chance = random.Random()  # noqa: S311 - no secret
    while True:
        port = chance.randrange(20_000, 30_000)
        wanted = (port, *range(port + 1, port + 1 + replicas), port + METRICS_OFFSET)
        with contextlib.suppress(PortInUseError):
            for one in wanted:
                check_port_is_free("127.0.0.1", one)
            return port


def show(results: Sequence[Result]) -> Table:
    """The table."""
    table = Table("policy", "fault", "asked", "answered", "cut", "lost", "slowest", "last error",
                  "well again")  # fmt: skip
    for one in results:
        table.add_row(
            one.policy,
            one.fault,
            *(str(count) for count in (one.asked, one.answered, one.cut, one.lost)),
            f"{one.slowest_seconds:.1f} s",
            "-" if one.error_seconds is None else f"{one.error_seconds:.1f} s",
            "fleet up" if one.well_seconds is None else f"{one.well_seconds:.1f} s",
        )
    return table


@click.command()
@click.option("--requests", default=200, show_default=True)
@click.option("--at-once", default=8, show_default=True)
@click.option(
    "--policy", "policies", multiple=True, default=("round_robin", "cache_aware"), show_default=True
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE")
def main(*, requests: int, at_once: int, policies: tuple[str, ...], json_file: Path | None) -> None:
    """Do something to each part of a fleet under load, and count what is lost."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="fleet-check-") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        results = run(policies, requests=requests, at_once=at_once, console=console)
    console.print(show(results))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(one) for one in results], indent=2) + "\n")
