"""What the gateway adds to a request, and how many servers and streams it carries.

    python -m benchmarks.selfcheck.fleet.gateway [--pairs 300] [--servers 500] [--streams 2000]

The servers are one cheap process that listens on many ports and streams by a schedule, so that what
is measured is the gateway. Requests go to it and past it in turns. Nothing else should run on the
machine; the generator, the servers and the gateway share its processors, so the figures for many
streams are a lower bound of what the gateway carries alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import httpx
import psutil
from rich.console import Console

from benchmarks.load.loops import run_cell
from benchmarks.load.target import Target
from benchmarks.records import Cell, Load, RequestRecord
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from benchmarks.selfcheck.loopback.stream import MODEL
from benchmarks.workloads.workload import Prompt
from launcher.config.gateway_config import GatewayConfig
from launcher.engines.launch import CommandTarget
from launcher.engines.smg.command import build_command
from launcher.engines.smg.discovery import change_listed
from launcher.engines.smg.prober import GatewayProber
from launcher.serving import free_port
from launcher.system.hardware import MIB

READY_SECONDS: Final = 120.0
SEED: Final = 20261130


@dataclass(frozen=True, slots=True)
class Added:
    """What the gateway adds, over pairs of requests.

    Attributes:
        what: of which time.
        pairs: as many.
        median_ms: of the differences within a pair.
        low_ms: their 5th percentile.
        high_ms: their 95th percentile.
        direct_p99_ms: 99th percentile past the gateway.
        through_p99_ms: 99th percentile through it.
    """

    what: str
    pairs: int
    median_ms: float
    low_ms: float
    high_ms: float
    direct_p99_ms: float
    through_p99_ms: float


@dataclass(frozen=True, slots=True)
class Carried:
    """Many streams at once through the gateway.

    Attributes:
        servers: behind it.
        streams: at once.
        whole: that ended as they should.
        known_seconds: until it knew all servers.
        first_ms: median time to the first chunk, less what the server was told to wait.
        first_p99_ms: 99th percentile of it.
        resident_mib: the gateway's memory at its largest.
        cpu_seconds: of the gateway, for all streams.
    """

    servers: int
    streams: int
    whole: int
    known_seconds: float
    first_ms: float
    first_p99_ms: float
    resident_mib: float
    cpu_seconds: float


@contextlib.contextmanager
def gateway(servers: Sequence[str]) -> Iterator[tuple[str, psutil.Process, float]]:
    """A gateway before some servers: its address, its process, and when it knew all of them."""
    with tempfile.TemporaryDirectory(prefix="gateway-check-") as folder:
        file = Path(folder) / "discovery.json"
        change_listed(file, add=servers)
        config = GatewayConfig(
            name="check",
            model_path=MODEL,
            served_model_name=MODEL,
            device="cpu",
            port=free_port(),
            metrics_port=free_port(),
            discovery_file=file,
            policy="round_robin",
        )
        command = build_command(config, CommandTarget(sys.executable, ()))
        began = time.monotonic()
        with (
            (Path(folder) / "log").open("wb") as log,
            subprocess.Popen(command.argv, stdout=log, stderr=log) as process,
        ):
            try:
                _wait(GatewayProber(config.base_url), len(servers))
                yield config.base_url, psutil.Process(process.pid), time.monotonic() - began
            finally:
                process.kill()


def _wait(prober: GatewayProber, servers: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if sum(server.status == "ready" for server in prober.servers()) >= servers:
                return
        time.sleep(0.1)
    raise TimeoutError(f"The gateway does not know {servers} servers after {READY_SECONDS:.0f} s.")


def measure_added(direct: str, through: str, pairs: int) -> list[Added]:
    """Ask past the gateway and through it, in turns, for a short stream."""
    times: dict[tuple[str, bool], list[float]] = {}
    with httpx.Client(trust_env=False, timeout=30) as client:
        for number in range(-10, pairs):
            order = (direct, through) if number % 2 else (through, direct)
            for url in order:
                spent = _ask(client, url)
                for what, seconds in zip(("first chunk", "whole answer"), spent, strict=True):
                    if number >= 0:  # the first ones open connections
                        times.setdefault((what, url == through), []).append(seconds * 1000)
    return [
        _added(what, times[what, False], times[what, True])
        for what in ("first chunk", "whole answer")
    ]


def _ask(client: httpx.Client, url: str) -> tuple[float, float]:
    """Seconds to the first bytes of a stream, and to its end."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 3,
        "stream": True,
    }
    began = time.perf_counter()
    with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        chunks = answer.iter_raw()
        next(chunks)
        first = time.perf_counter() - began
        for _ in chunks:
            pass
    return first, time.perf_counter() - began


def _added(what: str, direct: list[float], through: list[float]) -> Added:
    more = sorted(b - a for a, b in zip(direct, through, strict=True))
    return Added(
        what,
        len(more),
        statistics.median(more),
        _percentile(more, 5),
        _percentile(more, 95),
        _percentile(sorted(direct), 99),
        _percentile(sorted(through), 99),
    )


def _percentile(values: Sequence[float], percent: float) -> float:
    return values[min(len(values) - 1, round(percent / 100 * (len(values) - 1)))]


def measure_carried(server: Loopback, streams: int, *, first_seconds: float) -> Carried:
    """Open so many streams at once, and read all of them to their ends."""
    with gateway(server.urls) as (url, process, known_seconds):
        before = process.cpu_times()
        prompts = [
            Prompt(id=f"s{number}", messages=({"role": "user", "content": f"{number}"},),
                   max_tokens=60)
            for number in range(streams)
        ]  # fmt: skip
        cell = Cell("gateway", "streams", Load(concurrency=streams), 0)
        peak = [0]
        _, records = asyncio.run(_watched(process, peak, url, cell, prompts))
        after = process.cpu_times()
    firsts = sorted(_first_ms(record) - first_seconds * 1000 for record in records)
    return Carried(
        servers=len(server.urls),
        streams=streams,
        whole=sum(record.outcome == "successful" for record in records),
        known_seconds=known_seconds,
        first_ms=_percentile(firsts, 50),
        first_p99_ms=_percentile(firsts, 99),
        resident_mib=peak[0] / MIB,
        cpu_seconds=after.user + after.system - before.user - before.system,
    )


async def _watched(
    process: psutil.Process, peak: list[int], url: str, cell: Cell, prompts: list[Prompt]
) -> tuple[object, list[RequestRecord]]:
    async def watch() -> None:
        while True:
            peak[0] = max(peak[0], process.memory_info().rss)
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    try:
        return await run_cell(Target(url, MODEL), cell, prompts, seed=SEED, timeout_seconds=300)
    finally:
        watching.cancel()


def _first_ms(record: RequestRecord) -> float:
    first = record.chunk_ns[0] if record.chunk_ns else record.ended_ns
    return (first - (record.sent_ns or record.due_ns)) / 1e6


@click.command()
@click.option("--pairs", default=300, show_default=True)
@click.option("--servers", default=500, show_default=True)
@click.option("--streams", default=2000, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE")
def main(*, pairs: int, servers: int, streams: int, json_file: Path | None) -> None:
    """Measure what the gateway adds to a request, and how much it carries."""
    console = Console()
    with loopback() as server, gateway(server.urls) as (url, _, _):
        added = measure_added(server.base_url, url, pairs)
    # Ten seconds each: all streams are open together for most of that.
    schedule = Schedule(first_seconds=2.0, gap_seconds=0.4, chunks=20, gap_spread_seconds=0.1)
    with loopback(schedule, ports=servers) as server:
        carried = measure_carried(server, streams, first_seconds=schedule.first_seconds)
    found = {"added": [asdict(one) for one in added], "carried": asdict(carried)}
    console.print(found)
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
