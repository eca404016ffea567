"""What one other benchmark needs to be run and read. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.target import Target
from benchmarks.records import Load
from benchmarks.workloads.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One measurement that is asked for.

    Attributes:
        target: the server.
        workload: its prompts are all sent once, in their order.
        load: how they are offered.
        seed: of the arrivals of an open loop.
        tokenizer: folder of the served model.
        folder: where files go; absolute.
        stem: what their names begin with.
    """

    target: Target
    workload: Workload
    load: Load
    seed: int
    tokenizer: Path
    folder: Path
    stem: str

    def file(self, suffix: str) -> Path:
        """One of its files, by the end of its name."""
        return self.folder / f"{self.stem}{suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A command that measures, and the files that it reads.

    Attributes:
        argv: with no key in it.
        environment: on top of the caller's own.
        inputs: file to what must be in it.
        output: file that it writes.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    inputs: Mapping[Path, bytes]
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFigures:
    """What a tool's output says; the names are those of `benchmarks.results.PeerFigures`."""

    requests: int
    output_tokens: int
    output_tokens_per_second: float
    median_time_to_first_token_seconds: float
    median_time_per_output_token_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One tool.

    Attributes:
        tool: its name in reports.
        package: the distribution that has its version.
        prepare: raises PeerError for a workload that the tool cannot send as it is.
        read: raises PeerError for an output that does not say what was asked for.
    """

    tool: str
    package: str
    prepare: Callable[[Task], Prepared]
    read: Callable[[bytes, Task], ReportedFigures]
