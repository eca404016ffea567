"""One measurement by another benchmark: its files, its process, its figures."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.errors import PeerError, StorageError
from benchmarks.load.target import Target
from benchmarks.peers import bench_serving, guidellm
from benchmarks.peers.adapter import Adapter, ReportedFigures, Task
from benchmarks.peers.child import child_environment, last_lines, run
from benchmarks.plan import Peer
from benchmarks.records import Load
from benchmarks.results import PeerFigures
from benchmarks.workloads.workload import Workload

ADAPTERS: Final[dict[Peer, Adapter]] = {
    "bench_serving": bench_serving.ADAPTER,
    "guidellm": guidellm.ADAPTER,
}


def measure_with(
    adapter: Adapter,
    target: Target,
    *,
    arm: str,
    workload: Workload,
    load: Load,
    repetition: int,
    folder: Path,
    tokenizer: Path,
    timeout_seconds: float,
) -> PeerFigures:
    """Let another benchmark measure a server with our prompts, all of them once, in their order.

    The prefix cache of the server is the caller's to empty. Of an open loop, the arrivals are the
    tool's own, with `repetition` as its seed, and so is its throughput. CPU time holds the tool's
    start, 10 to 15 s: what a token costs is the difference between two numbers of prompts.

    Args:
        adapter: of the tool.
        target: the server; its key goes by the environment.
        arm: the server's name in the report.
        workload: what is sent.
        load: how it is offered.
        repetition: 0 and up.
        folder: keeps the tool's input, output and log; made if it is not there.
        tokenizer: folder of the served model.
        timeout_seconds: for all of the tool's run, its start included (10 to 60 s on a CPU).

    Returns:
        The tool's own figures.

    Raises:
        PeerError: the tool is not installed, cannot send this workload as it is, failed, took too
            long, lost a request, or printed what cannot be read.
        StorageError: the folder cannot be written.
    """
    tool_version = _version_of(adapter)
    stem = f"{adapter.tool}-{arm}-{workload.name}-{load.label}-{repetition}"
    task = Task(
        target=target,
        workload=workload,
        load=load,
        seed=repetition,
        tokenizer=tokenizer.resolve(),
        folder=folder.resolve(),
        stem=re.sub(r"[^A-Za-z0-9._-]+", "_", stem),
    )
    cpu_seconds, reported = _run(adapter, task, timeout_seconds)
    return PeerFigures(
        tool=adapter.tool,
        version=tool_version,
        arm=arm,
        workload=workload.name,
        load=load.label,
        repetition=repetition,
        generator_cpu_seconds=cpu_seconds,
        **asdict(reported),
    )


def _version_of(adapter: Adapter) -> str:
    try:
        return version(adapter.package)
    except PackageNotFoundError as error:
        raise PeerError(
            f"{adapter.tool} is not installed: there is no package {adapter.package!r}.",
            action="Install it (`uv sync` brings both), or leave it out of `peers`.",
        ) from error


def _run(adapter: Adapter, task: Task, timeout_seconds: float) -> tuple[float, ReportedFigures]:
    """CPU time of the tool in seconds, and what it says of its run."""
    prepared, log, secret = adapter.prepare(task), task.file(".log"), task.target.api_key
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        for file, content in prepared.inputs.items():
            file.write_bytes(content)
        prepared.output.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=task.folder, prefix=".scratch-") as scratch:
            cpu_seconds = run(
                prepared.argv,
                tool=adapter.tool,
                environment=child_environment(
                    os.environ, prepared.environment, scratch=Path(scratch)
                ),
                cwd=Path(scratch),
                log=log,
                timeout_seconds=timeout_seconds,
                secret=secret,
            )
    except OSError as error:
        raise StorageError(
            f"The files of {adapter.tool} cannot be written to {task.folder}: {error}",
            action="Make room there, or name another folder.",
        ) from error
    try:
        return cpu_seconds, adapter.read(prepared.output.read_bytes(), task)
    except OSError as error:
        raise PeerError(
            f"{adapter.tool} ended well, but left no {prepared.output.name}.",
            action=f"See {log}.",
            evidence=last_lines(log, secret=secret),
        ) from error
    except PeerError as error:
        error.evidence = error.evidence or last_lines(log, secret=secret)
        raise
