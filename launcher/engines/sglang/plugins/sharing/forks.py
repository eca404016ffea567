"""Processes that were forked after the imports, and become SGLang's children one by one.

SGLang starts its children by `multiprocessing`, method "spawn": a new interpreter for each, which
imports everything again. Here each is forked from the first process while that has one thread and
has done nothing but imports. It rests until SGLang starts a child. Then it gets what a spawned
process would get, by the same functions of the standard library: the pickled process object, the
descriptors that this needs, the environment of that moment.

Unlike a child of `multiprocessing`'s own fork server it is a child of the process that starts it:
SGLang signals its parent, and has the kernel kill it together with that.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import (
    context,
    forkserver,
    popen_forkserver,
    popen_spawn_posix,
    reduction,
    resource_tracker,
    spawn,
    util,
)
from multiprocessing.process import BaseProcess
from typing import Any, Final

from launcher.engines.sglang.plugins.sharing.imports import CannotForkError

_PR_SET_PDEATHSIG: Final = 1
# The environment of the process, as JSON; what does not fit is started by "spawn".
_MESSAGE_BYTES: Final = 128 * 1024
_DESCRIPTORS: Final = 250
_GOOD_FORK: Final = b"good"
_BAD_FORK: Final = b"bad"
# Read by the loader, before a process runs a line of Python: a forked one has missed them.
LOADER_VARIABLES: Final = ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHASHSEED")


@dataclass(frozen=True, slots=True)
class Resting:
    """A forked process without work. `channel` is the parent's end; closed, the process ends."""

    pid: int
    channel: socket.socket


class Forks:
    """The processes that rest, and what was true when they were forked.

    Args:
        count: how many to fork, now. This process must have one thread, and the main one.
        begin: called in a forked process before its work.

    Raises:
        CannotForkError: a forked process could not use CUDA.
    """

    def __init__(self, count: int, begin: Callable[[], None] = lambda: None) -> None:
        self._begin = begin
        self._environment = _loader_environment()
        self._executable = spawn.get_executable()
        self._resting: list[Resting] = []
        for _ in range(count):
            self._resting.append(self._fork())

    def __len__(self) -> int:
        return len(self._resting)

    def take(self) -> Resting | None:
        """One that rests; None where there is none, or where a fork would differ from a spawn.

        SGLang puts another executable before a child for NUMA, and a library into it for saving
        memory (sglang/srt/utils/numa_utils.py, torch_memory_saver).
        """
        changed = _loader_environment() != self._environment
        if changed or spawn.get_executable() != self._executable:
            return None
        while self._resting:
            one = self._resting.pop(0)
            if os.waitpid(one.pid, os.WNOHANG) == (0, 0):
                return one
            one.channel.close()
        return None

    def release(self) -> None:
        """End those that nobody has needed."""
        for one in self._resting:
            one.channel.close()
        for one in self._resting:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one.pid, 0)
        self._resting.clear()

    def install(self) -> None:
        """Have `multiprocessing` take from here what it would spawn."""
        forks = self

        def popen(process: BaseProcess) -> Any:
            one = forks.take()
            return _spawn(process) if one is None else Popen(process, one)

        _spawn = context.SpawnProcess._Popen  # noqa: SLF001
        context.SpawnProcess._Popen = staticmethod(popen)  # type: ignore[method-assign,assignment]  # noqa: SLF001

    def _fork(self) -> Resting:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid:
            theirs.close()
            resting = Resting(pid, ours)
            if ours.recv(_MESSAGE_BYTES) != _GOOD_FORK:
                self._resting.append(resting)
                self.release()
                raise CannotForkError("CUDA was asked for its devices, so torch refuses a fork")
            return resting
        code = 1
        try:
            ours.close()
            for other in self._resting:
                other.channel.close()
            self._resting.clear()
            code = _rest(theirs, parent, self._begin)
        except BaseException:  # noqa: BLE001  # it must never return into its parent's stack
            sys.excepthook(*sys.exc_info())
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)


class Popen(popen_spawn_posix.Popen):
    """A started process of `multiprocessing` in one that was forked before.

    It stands between `multiprocessing`'s `popen_spawn_posix`, whose children are true ones, and its
    `popen_forkserver`, whose descriptors go through a socket.
    """

    DupFd = popen_forkserver._DupFd  # type: ignore[assignment]  # noqa: SLF001

    def __init__(self, process: BaseProcess, one: Resting) -> None:
        self._inherited: list[int] = []
        self._one = one
        super().__init__(process)

    def duplicate_for_child(self, fd: int) -> int:
        """Take a descriptor along; returns its index among them."""
        self._inherited.append(fd)
        return len(self._inherited) - 1

    def _launch(self, process: BaseProcess) -> None:
        payload = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(spawn.get_preparation_data(process.name), payload)
            reduction.dump(process, payload)
        finally:
            context.set_spawning_popen(None)
        alive, child_alive = os.pipe()
        child_data, data = os.pipe()
        self.pid = self._one.pid
        self.sentinel = alive
        self.finalizer = util.Finalize(self, _close, (alive, data))
        message = json.dumps(dict(os.environ)).encode()
        try:
            tracker = resource_tracker.getfd()
            assert tracker is not None  # noqa: S101  # asking for it starts one
            fds = [child_data, child_alive, tracker, *self._inherited]
            socket.send_fds(self._one.channel, [message], fds)
        finally:
            self._one.channel.close()
            os.close(child_data)
            os.close(child_alive)
        with open(data, "wb", closefd=False) as file:
            file.write(payload.getbuffer())


def _loader_environment() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in LOADER_VARIABLES}


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _rest(channel: socket.socket, parent: int, begin: Callable[[], None]) -> int:
    """Wait for work, do it, and say with which code to end."""
    _die_with(parent)
    torch = sys.modules.get("torch")
    # Asking for the number of devices is enough, and torch alone remembers that.
    bad = torch is not None and torch.cuda._is_in_bad_fork()  # noqa: SLF001
    channel.send(_BAD_FORK if bad else _GOOD_FORK)
    message, fds, _, _ = socket.recv_fds(
        channel, _MESSAGE_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    channel.close()
    if not message:
        return 0
    _set_environment(json.loads(message))
    _draw_anew()
    begin()
    data, _alive, tracker, *inherited = fds
    forkserver._forkserver._inherited_fds = inherited  # type: ignore[attr-defined]  # noqa: SLF001
    tracker_of_process: Any = resource_tracker._resource_tracker  # noqa: SLF001
    tracker_of_process._fd = tracker  # noqa: SLF001
    # The process ends with this code; until then it holds `_alive`, which its parent waits for.
    return int(spawn._main(data, os.dup(data)))  # noqa: SLF001


def _die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent has ended (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _set_environment(wanted: Mapping[str, str]) -> None:
    """Take on the environment that the parent has by now, and touch no more of it than has changed.

    setproctitle finds the place of the title from where the environment has begun.
    """
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    for name, text in wanted.items():
        if os.environ.get(name) != text:
            os.environ[name] = text


def _draw_anew() -> None:
    """Seed the generators whose state was forked; SGLang seeds its own afterwards.

    `random` does it by itself after a fork.
    """
    random.seed()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed()
    if torch is not None:
        torch.seed()
