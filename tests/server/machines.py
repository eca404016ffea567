"""Machines for tests: network namespaces that a cable joins, each with a /dev/shm of its own.

SGLang takes shared memory for a sign that two processes are on one machine, so each namespace gets
its own. Everything is gone when the block is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NETWORK = "10.77.0"
COMMAND_SECONDS = 240.0
_NAMES = ("specserve-a", "specserve-b")
_TOOL = shutil.which("ip") or "ip"
_CABLES = ("ssva", "ssvb")


def why_not() -> str | None:
    """Why no namespace can be made here; None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if any(shutil.which(tool) is None for tool in ("ip", "unshare")):
        return "ip (iproute2) or unshare is not installed"
    tried = subprocess.run(
        [str(shutil.which("unshare")), "--net", "--mount", "true"],
        capture_output=True,
        check=False,
        timeout=10,
    )
    return None if tried.returncode == 0 else "network namespaces cannot be made here"


@dataclass(frozen=True, slots=True)
class Machine:
    """One of two machines.

    Attributes:
        rank: its number.
        namespace: of the network.
        state: its XDG_STATE_HOME.
    """

    rank: int
    namespace: str
    state: Path

    @property
    def address(self) -> str:
        """In the network between the two."""
        return f"{NETWORK}.{self.rank + 1}"

    @property
    def interface(self) -> str:
        """To the other one."""
        return _CABLES[self.rank]

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Begin a command of Python's `-m`."""
        mount = 'mount -t tmpfs -o size=2g tmpfs /dev/shm && exec "$@"'
        return subprocess.Popen(
            [
                *("ip", "netns", "exec", self.namespace, "unshare", "--mount"),
                *("sh", "-c", mount, "sh", sys.executable, "-m", *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": str(self.state), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command, until it ends: exit code and output."""
        return finish(self.start(*arguments))

    def up(self, other: Machine, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Begin to serve together with another machine."""
        leader = self if self.rank == 0 else other
        return self.start(
            *("launcher", "up", "--detach", "--preset", "nano", "--tp-size", "2"),
            *("--nnodes", "2", "--node-rank", str(self.rank)),
            *("--dist-init-addr", f"{leader.address}:25000", *arguments),
            **variables,
        )

    def status(self) -> dict[str, Any]:
        """Of its server; empty before there is one."""
        _, output = self.run("launcher", "status", "--json")
        servers: list[dict[str, Any]] = json.loads(output)["servers"]
        return servers[0] if servers else {}

    def pids(self, title: str) -> list[int]:
        """Of the processes here whose command line begins so."""
        listed = subprocess.run(
            [_TOOL, "netns", "pids", self.namespace], capture_output=True, text=True, check=True
        )
        found = []
        for pid in map(int, listed.stdout.split()):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if title in words:
                    found.append(pid)
        return found

    def signal(self, title: str, number: signal.Signals) -> None:
        """Send a signal to each of these processes."""
        pids = self.pids(title)
        assert pids, f"no {title} on machine {self.rank}"
        for pid in pids:
            os.kill(pid, number)

    def link(self, state: str) -> None:
        """Pull the cable, `down`, or put it back, `up`."""
        _ip("-n", self.namespace, "link", "set", self.interface, state)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command: exit code and output."""
    output, _ = process.communicate(timeout=COMMAND_SECONDS)
    return process.returncode, output


def finish_all(*processes: subprocess.Popen[str]) -> Sequence[tuple[int, str]]:
    """Wait for several commands."""
    return [finish(process) for process in processes]


@contextlib.contextmanager
def two_machines(folder: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two machines, for as long as the block runs."""
    machines = tuple(
        Machine(rank, name, folder / f"state-{rank}") for rank, name in enumerate(_NAMES)
    )
    first, second = machines
    with contextlib.ExitStack() as undo:
        for machine in machines:
            machine.state.mkdir()
            _ip("netns", "add", machine.namespace)
            undo.callback(_ip, "netns", "del", machine.namespace)
        _ip("link", "add", first.interface, "netns", first.namespace, "type", "veth",
            "peer", "name", second.interface, "netns", second.namespace)  # fmt: skip
        for machine in machines:
            cable = ("-n", machine.namespace)
            _ip(*cable, "addr", "add", f"{machine.address}/24", "dev", machine.interface)
            _ip(*cable, "link", "set", "lo", "up")
            machine.link("up")
        try:
            yield first, second
        finally:
            for machine in machines:
                machine.run("launcher", "down", "--all")


def _ip(*arguments: str) -> None:
    subprocess.run([_TOOL, *arguments], check=True, capture_output=True, timeout=20)
