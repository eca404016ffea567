"""One case of the walk: a server of its own, brought to a state, struck, looked at and cleared."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command, Launch
from launcher.errors import LauncherError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.ports import check_port_is_free
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.supervision.walk.zygote import NAME

SERVER = Path(__file__).with_name("server.py")
MARK = "SPECSERVE_WALK"
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.02
KEYS = {"api-key": "s3cret-key-of-the-user", "admin-api-key": "s3cret-admin-of-the-walk"}
# Below the ports that the kernel gives to whoever asks for any, so that no two cases meet.
_PORTS = itertools.count(21000)
_CASES = itertools.count()
# A record in one of these says that somebody is at work.
AT_WORK = {"STARTING", "READY", "UNHEALTHY", "STOPPING", "BACKOFF"}


class WalkError(AssertionError):
    """What a case found wrong."""


class Zygote:
    """Starts the launcher's processes; used by several threads."""

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder),
            "LAUNCHER_API_KEY": KEYS["api-key"],
        }
        self._lock = threading.Lock()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.launcher.supervision.walk.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
        )  # fmt: skip

    def start(self, **task: Any) -> ProcessIdentity | None:
        """Fork a process that does a task; None where it has ended already."""
        stdin, stdout = self._popen.stdin, self._popen.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            stdin.write(json.dumps(task) + "\n")
            stdin.flush()
            pid = int(stdout.readline())
        with contextlib.suppress(ProcessLookupError):
            return ProcessIdentity.of(pid)
        return None

    def close(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._popen.wait(PATIENCE_SECONDS)
        assert self._popen.stdout is not None
        self._popen.stdout.close()


def next_port() -> int:
    """A port that no other case has."""
    for port in _PORTS:
        with contextlib.suppress(LauncherError):
            check_port_is_free("127.0.0.1", port)
            return port
    raise WalkError("no port is left")


class WalkScene:
    """A server, its state, and what is done to it.

    Args:
        zygote: starts the launcher's processes.
        folder: for this case alone.
        detached: whether the server outlives its supervisor.
        fields: of the configuration, on top of the walk's own.
    """

    def __init__(
        self, zygote: Zygote, folder: Path, *, detached: bool = True, **fields: Any
    ) -> None:
        self._zygote = zygote
        self._tasks = itertools.count()
        self.mark = f"{os.getpid()}-{next(_CASES)}"
        self.control = folder / "control"
        self.control.mkdir(parents=True)
        self.root = folder / "specserve" / "servers"
        self.store = RunStore(NAME, root=self.root)
        self.store.create()
        self.config = ServerConfig.model_validate(
            {
                "name": NAME, "model_path": "/m", "served_model_name": "m", "device": "cpu",
                "port": next_port(), "restart": "on-failure", "restart_delay_seconds": 0.05,
                "drain_timeout_seconds": 0.5, "stop_timeout_seconds": 0.5,
                "health_interval_seconds": 0.1, "health_timeout_seconds": 0.2,
                "health_failures": 1000, "die_with_launcher": not detached,
            }
            | fields
        )  # fmt: skip
        argv = (
            sys.executable, "-I", "-S", str(SERVER), str(self.config.port), str(self.control),
            str(self.store.secrets_file),
        )  # fmt: skip
        self.launch = Launch(self.config, Command(argv, {MARK: self.mark}), KEYS, {}, detached=True)

    # What is told to the server

    def tell(self, *what: str) -> None:
        for word in what:
            (self.control / word).touch()

    def untell(self, *what: str) -> None:
        for word in what:
            (self.control / word).unlink(missing_ok=True)

    def calm(self) -> None:
        """Whatever it was told, it behaves again."""
        self.untell(
            *(
                file.name
                for file in self.control.iterdir()
                if file.suffix != ".json" and file.name != "pids"
            )
        )

    # Processes

    def do(self, what: str, **more: Any) -> Task:
        name = f"{what}-{next(self._tasks)}"
        identity = self._zygote.start(
            do=what, root=str(self.root), folder=str(self.control), name=name,
            launch=self.launch.to_json(), **more,
        )  # fmt: skip
        return Task(identity, self.control / f"{name}.json")

    @property
    def record(self) -> RunRecord | None:
        return self.store.read()

    def known(self) -> RunRecord:
        record = self.store.read()
        if record is None:
            raise WalkError("there is no record")
        return record

    def processes(self) -> list[int]:
        """The processes of all runs of this case, found in another way than the launcher's."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def collectors(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if str(self.store.log_file).encode() in words:
                        found.append(int(entry.name))
        return found

    def member(self) -> ProcessIdentity:
        """The scheduler."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sglang::"):
                    return ProcessIdentity.of(pid)
        raise WalkError("there is no scheduler")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                record = self.record
                state = record.live_state if record else None
                raise WalkError(f"never: {what}; {state}, processes {self.processes()}")
            time.sleep(POLL_SECONDS)

    def until_state(self, *states: str) -> None:
        self.until(
            lambda: (record := self.record) is not None and record.live_state in states,
            f"state {states}",
        )

    def last_line(self) -> str:
        try:
            lines = self.store.log_file.read_text().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    # What must hold

    def untrue(self) -> str | None:
        """What `status` says that is not so; None where it speaks the truth."""
        record = self.record
        if record is None:
            return "no record of a server that was started" if self.processes() else None
        said, lives = record.live_state, bool(self.processes())
        is_supervised = record.supervisor.is_alive()
        if is_supervised and said in AT_WORK:
            if said in {"READY", "UNHEALTHY"} and not lives:
                return f"{said}, and nothing lives"
            return None
        if said in AT_WORK:
            return f"{said} without a supervisor"
        if lives != (said == "ORPHANED"):
            return f"{said}, and {'processes live' if lives else 'nothing lives'}"
        return None

    def check_status(self) -> None:
        """It is true soon, and stays so."""
        deadline = time.monotonic() + 3.0
        good = 0
        while good < 3:
            untrue = self.untrue()
            good = 0 if untrue else good + 1
            if untrue and time.monotonic() > deadline:
                raise WalkError(f"status: {untrue}")
            time.sleep(POLL_SECONDS)

    def check_down(self) -> None:
        """`down` ends, well, and nothing is left."""
        task = self.do("down")
        end = task.wait()
        if "ok" not in end:
            raise WalkError(f"down: {end}")
        self.check_nothing_is_left("down")

    def check_nothing_is_left(self, after: str) -> None:
        left = {
            "processes": self.processes(),
            "collectors": self.collectors(),
            "files": [
                file.name
                for file in self.store.folder.iterdir()
                if file.name in {"secrets.yaml", "admin.key", "tmp"} or file.suffix == ".partial"
            ],
            "segments": self._segments(),
        }
        if any(left.values()):
            # What the kernel is taking apart is as good as gone, but only for a moment.
            time.sleep(0.3)
            left |= {"processes": self.processes(), "collectors": self.collectors()}
        if any(left.values()):
            raise WalkError(f"left after {after}: {left}")
        record = self.record
        if record is not None and record.live_state in AT_WORK | {"ORPHANED", "DEAD"}:
            raise WalkError(f"after {after} status says {record.live_state}")
        deadline = time.monotonic() + 5.0
        while self.is_locked():
            # Another `down`, which asked for the stop, clears up too, and holds it for a moment.
            if time.monotonic() > deadline:
                raise WalkError(f"after {after} the lock is held")
            time.sleep(POLL_SECONDS)

    def is_locked(self) -> bool:
        with (self.store.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _segments(self) -> list[str]:
        """Of processes that have gone, by the pid in the name."""
        pids = {int(line) for line in self.seen_pids()}
        names = [f"specserve_walk_{pid}" for pid in pids]
        return [name for name in names if Path("/dev/shm", name).exists()]  # noqa: S108

    def seen_pids(self) -> list[str]:
        file = self.control / "pids"
        return file.read_text().split() if file.exists() else []

    def check_up(self) -> None:
        """It can be started again, and be stopped."""
        self.calm()
        self.do("supervise")
        self.until_state("READY")
        self.check_down()

    def end(self) -> None:
        """Whatever went wrong, nothing of this case is left."""
        self.calm()
        for pid in (*self.processes(), *self.collectors()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        record = self.record
        if record is not None:
            record.supervisor.send_signal(signal.SIGKILL)
        for seen in self.seen_pids():
            Path("/dev/shm", f"specserve_walk_{seen}").unlink(missing_ok=True)  # noqa: S108


@dataclasses.dataclass(frozen=True)
class Task:
    """A process of the launcher, and what it says in the end."""

    identity: ProcessIdentity | None
    file: Path

    def send(self, number: signal.Signals) -> None:
        if self.identity is not None:
            self.identity.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> dict[str, str]:
        """How it ended.

        Raises:
            WalkError: it does not end.
        """
        deadline = time.monotonic() + seconds
        while self.identity is not None and self.identity.is_alive():
            if time.monotonic() > deadline:
                raise WalkError(f"{self.file.stem} does not end within {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            end: dict[str, str] = json.loads(self.file.read_text())
            return end
        return {"error": "killed"}
