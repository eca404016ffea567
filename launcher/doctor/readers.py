"""How `doctor` looks at this machine beyond the driver. Reads only."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil

from launcher.doctor.nvml import DriverState
from launcher.doctor.probes import CallOutcome, NoAnswerError
from launcher.errors import StateError
from launcher.preflight.limits import cgroup_number, processes_left, resource_limit
from launcher.state.record import RunRecord
from launcher.state.store import list_stores
from launcher.system.hardware import free_disk_bytes
from launcher.system.members import find_members

_CGROUP: Final = Path("/sys/fs/cgroup")
REACH_SECONDS: Final = 3.0


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The feature flags of the first processor: all of them are alike."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def cpu_quota(root: Path = _CGROUP) -> float | None:
    """Processors' worth of time that the cgroup (version 2) allows, or None without a limit.

    Formula: quota / period, both in microseconds; source: the kernel's cgroup-v2.rst, cpu.max.
    """
    words = _words(root / "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def memory_limit_bytes(root: Path = _CGROUP) -> int | None:
    """The cgroup's limit (version 2), or None without one."""
    return cgroup_number(root / "memory.max")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU; `run` is the name of our server that it belongs to."""

    name: str | None
    run: str | None


def find_holder(runs: Mapping[int, str]) -> Callable[[int], Holder]:
    """A reader of processes, given which of them are ours."""

    def read(pid: int) -> Holder:
        try:
            name = psutil.Process(pid).name()
        except psutil.Error:
            name = None
        return Holder(name, runs.get(pid))

    return read


def running_servers() -> Iterator[tuple[str, RunRecord]]:
    """Our servers that run, by name."""
    for store in list_stores():
        with contextlib.suppress(StateError):
            record = store.read()
            if record is not None and record.is_running:
                yield store.name, record


def our_processes() -> dict[int, str]:
    """The processes of all our servers, and the server of each."""
    return {
        member.pid: name
        for name, record in running_servers()
        if record.server is not None
        for member in find_members(record.server, record.run_id)
    }


FindProgram = Callable[[str], str | None]


class Packages:
    """What is installed in this environment; a test puts another in its place."""

    def version(self, name: str) -> str | None:
        """Version of a distribution, or None where it is not installed."""
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def requirements(self, name: str) -> list[str]:
        """What a distribution says it requires; nothing where it is not installed."""
        try:
            return importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            return []


def torch_cuda() -> tuple[int, int]:
    """The CUDA that torch was built for, read from its sources: importing it takes seconds.

    Source: torch 2.14.1, version.py.

    Raises:
        NoAnswerError: torch is not here, or was built without CUDA.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise NoAnswerError("torch is not installed")
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda\b.*=\s*'(\d+)\.(\d+)", text, re.MULTILINE)
    if found is None:
        raise NoAnswerError("torch was built without CUDA")
    return int(found[1]), int(found[2])


@dataclass(frozen=True, slots=True)
class Reply:
    """What the hub said.

    Attributes:
        status: of HTTP.
        code: the hub's own word for it, from the header `X-Error-Code`, or nothing.
    """

    status: int
    code: str = ""


def reach_hub(url: str, token: str | None) -> Reply:
    """Ask for the head of an address, and follow nothing.

    Raises:
        httpx.HTTPError: no answer; its words hold no header.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    reply = httpx.head(url, headers=headers, timeout=REACH_SECONDS, follow_redirects=False)
    return Reply(reply.status_code, reply.headers.get("X-Error-Code", ""))


_NOT_ASKED: Final[CallOutcome[DriverState]] = CallOutcome(failure="not asked")
_INSTALLED: Final = Packages()


@dataclass(frozen=True, slots=True)
class Readers:
    """How this machine is looked at; a test puts other readers in their place.

    Attributes:
        flags: the processor's feature flags, as `/proc/cpuinfo` names them.
        quota: processors' worth of time that the cgroup allows; None without a limit.
        memory_limit_bytes: of the cgroup; None without one.
        free_disk_bytes: bytes free where a path lies or would lie.
        limit: soft and hard limit of a resource, by its name in `resource`; -1 is unlimited.
        processes_left: how many more processes and threads may be started; None without a limit.
        driver: what NVML said, or why it did not.
        holder: whose process a pid is.
        torch_cuda: the CUDA that torch was built for; may raise.
        packages: what is installed.
        find_program: the place of a program, by its name or path.
        reach: asks the hub.
        environment: this process's variables.
    """

    flags: Callable[[], frozenset[str]] = cpu_flags
    quota: Callable[[], float | None] = cpu_quota
    memory_limit_bytes: Callable[[], int | None] = memory_limit_bytes
    free_disk_bytes: Callable[[Path], int] = free_disk_bytes
    limit: Callable[[str], tuple[int, int]] = resource_limit
    processes_left: Callable[[], int | None] = processes_left
    driver: CallOutcome[DriverState] = _NOT_ASKED
    holder: Callable[[int], Holder] = field(default_factory=lambda: find_holder({}))
    torch_cuda: Callable[[], tuple[int, int]] = torch_cuda
    packages: Packages = _INSTALLED
    find_program: FindProgram = shutil.which
    reach: Callable[[str, str | None], Reply] = reach_hub
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []
