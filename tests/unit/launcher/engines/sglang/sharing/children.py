"""Programs that fork ahead and start children; each prints what it saw, as JSON.

Usage: `python children.py SCENE`.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from launcher.engines.sglang.plugins.sharing.forks import Forks
from launcher.engines.sglang.plugins.sharing.imports import CannotForkError, refuse_to_fork
from launcher.system.process import ProcessIdentity

SPAWN = multiprocessing.get_context("spawn")


def identity(fields: dict[str, Any]) -> ProcessIdentity:
    """A process, as a program has printed it."""
    return ProcessIdentity.model_validate(fields)


def tell(answer: Connection, given: Connection | None = None) -> None:
    """In a child: what it is, and what it has."""
    process = multiprocessing.current_process()
    answer.send(
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "name": process.name,
            "method": multiprocessing.get_start_method(allow_none=True),
            "has_parent_process": multiprocessing.parent_process() is not None,
            "environment": {name: os.environ.get(name) for name in ("NEW", "GONE")},
            "received": given.recv() if given else None,
            "drawn": [random.random() for _ in range(3)],  # noqa: S311
            "links": [link for link in map(_link, Path("/proc/self/fd").iterdir()) if link],
        }
    )


def end(how: str) -> None:
    """In a child: end in one way."""
    if how == "code":
        sys.exit(7)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("on purpose")


def _link(descriptor: Path) -> str:
    with contextlib.suppress(OSError):
        return str(descriptor.readlink())
    return ""


def ask(*, given: str | None = None) -> dict[str, Any]:
    """Start a child and have it tell."""
    reading, writing = SPAWN.Pipe(duplex=False)
    handed = SPAWN.Pipe(duplex=False) if given else None
    process = SPAWN.Process(
        target=tell, args=(writing, handed[0] if handed else None), name="worker"
    )
    process.start()
    if handed:
        handed[1].send(given)
    told: dict[str, Any] = reading.recv()
    process.join()
    return told


def main() -> None:
    scene = sys.argv[1]
    if scene == "thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    try:
        refuse_to_fork()
    except CannotForkError as error:
        print(json.dumps({"refused": str(error)}))
        return
    forks = Forks({"two of one": 1, "exit": 3}.get(scene, 2))
    forks.install()
    pids = [one.pid for one in forks._resting]
    told = {"pid": os.getpid(), "forked": pids, **SCENES[scene](forks, pids)}
    print(json.dumps(told))


def _one(forks: Forks, _pids: list[int]) -> dict[str, Any]:
    os.environ["NEW"] = "1"
    os.environ.pop("GONE", None)
    child = ask(given="through a pipe that was made after the fork")
    forks.release()
    return {"child": child}


def _exit(_forks: Forks, _pids: list[int]) -> dict[str, Any]:
    processes = [SPAWN.Process(target=end, args=(how,)) for how in ("code", "signal", "error")]
    rang = 0
    for process in processes:
        process.start()
        rang += len(wait([process.sentinel], timeout=20))
        process.join()
    return {"codes": [one.exitcode for one in processes], "sentinels_rang": rang}


def _two_of_one(_forks: Forks, _pids: list[int]) -> dict[str, Any]:
    return {"children": [ask(), ask()]}


def _loader(forks: Forks, _pids: list[int]) -> dict[str, Any]:
    variable = os.environ["VARIABLE"]
    os.environ[variable] = os.environ.get(variable, "") + (":" if variable == "PYTHONPATH" else " ")
    child = ask()
    forks.release()
    return {"child": child}


def _killed(_forks: Forks, pids: list[int]) -> dict[str, Any]:
    os.kill(pids[0], signal.SIGKILL)
    os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
    return {"child": ask()}


def _release(forks: Forks, pids: list[int]) -> dict[str, Any]:
    forks.release()
    return {"alive": [pid for pid in pids if Path(f"/proc/{pid}").exists()]}


def _orphans(_forks: Forks, pids: list[int]) -> dict[str, Any]:
    resting = [ProcessIdentity.of(pid).model_dump() for pid in pids]
    print(json.dumps({"resting": resting}), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    return {}


def _draws(_forks: Forks, _pids: list[int]) -> dict[str, Any]:
    return {"drawn": [ask()["drawn"] for _ in range(2)]}


def _descriptors(forks: Forks, _pids: list[int]) -> dict[str, Any]:
    child = ask()
    forks.release()
    return {"links": child["links"]}


SCENES = {
    "one": _one,
    "exit": _exit,
    "two of one": _two_of_one,
    "loader": _loader,
    "killed": _killed,
    "release": _release,
    "orphans": _orphans,
    "draws": _draws,
    "descriptors": _descriptors,
}

if __name__ == "__main__":
    main()
