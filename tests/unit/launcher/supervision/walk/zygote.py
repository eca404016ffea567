"""Forks the launcher's own processes for the walk, so that each costs no import of the launcher.

Usage: `python -m tests.unit.launcher.supervision.walk.zygote`, with a JSON task on each line of
standard input; the pid of the process that does it comes back on standard output. It is a real
process with the launcher's own code and signal handlers. How it ended is in `NAME.json` in the
task's folder.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.cli.display.starting import StartOptions, events_writer, run_detached
from launcher.engines.launch import Launch
from launcher.preflight.prepare import prepare_adoption
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.journal import Journal
from launcher.supervision.stop import stop_server
from launcher.supervision.supervisor import Supervisor
from launcher.system.hardware import probe_hardware

NAME = "walk"


def supervise(task: dict[str, Any]) -> str:
    """Supervise as `python -m launcher supervise` does, or as `up` in the foreground."""
    store = RunStore(NAME, root=Path(task["root"]))
    launch = Launch.from_json(task["launch"])
    if task.get("trap") == "unrecorded":
        _stand_still_before_the_server_is_recorded()
    if task.get("trap") == "full-disk":
        _fill_the_disk_while(Path(task["folder"], "disk-full"))
    return _supervise(store, launch, None)


def adopt(task: dict[str, Any]) -> str:
    """Take an orphan over as `python -m launcher up` does, with what the record says."""
    store = RunStore(NAME, root=Path(task["root"]))
    record = store.read()
    assert record is not None
    launch = prepare_adoption(
        record, probe_hardware(), secrets_file=store.secrets_file, detached=True
    )
    return _supervise(store, launch, record)


def _supervise(store: RunStore, launch: Launch, adopted: RunRecord | None) -> str:
    with store.lock():
        supervisor = Supervisor(launch, store, events_writer(store), adopted=adopted)
        supervisor.handle_signals()
        return str(supervisor.run())


def down(task: dict[str, Any]) -> str:
    """Stop as `python -m launcher down` does."""
    return str(stop_server(RunStore(NAME, root=Path(task["root"]))))


def follow(task: dict[str, Any]) -> str:
    """Start and follow as `python -m launcher up --detach` does."""
    os.environ["XDG_STATE_HOME"] = str(Path(task["root"]).parent.parent)
    launch = Launch.from_json(task["launch"])
    store = RunStore(NAME)
    run_detached(launch.config, store, lambda _report: launch, StartOptions(as_json=True))
    return "ready"


TASKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "supervise": supervise,
    "adopt": adopt,
    "down": down,
    "follow": follow,
}


def _stand_still_before_the_server_is_recorded() -> None:
    update = Journal.update

    def wait(journal: Journal, **changes: object) -> None:
        if "server" in changes:
            time.sleep(60)
        update(journal, **changes)

    Journal.update = wait  # type: ignore[method-assign,assignment]


def _fill_the_disk_while(file: Path) -> None:
    """Every record meets a full disk for as long as a file is there."""
    fsync = os.fsync

    def full(descriptor: Any) -> None:
        if file.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    os.fsync = full  # type: ignore[assignment]


def _run(task: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.setsid()
    try:
        end = {"ok": TASKS[task["do"]](task)}
    except BaseException as error:  # noqa: BLE001  # whatever it is, the walk has to be told
        end = {"error": f"{type(error).__name__}: {error}"}
    Path(task["folder"], f"{task['name']}.json").write_text(json.dumps(end))


def main() -> None:
    # What has ended is reaped by the kernel: a zombie would be taken for a supervisor that lives.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                _run(json.loads(line))
            finally:
                os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
