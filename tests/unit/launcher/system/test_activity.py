"""What processes do, with real ones: seen in /proc, and told when the first of them ends."""

from __future__ import annotations

import importlib.util
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from launcher.engines.sglang.watching.processes import engine_children
from launcher.supervision.watches.members import MemberWatch
from launcher.system import activity
from launcher.system.activity import read_activity, titles
from launcher.system.process import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 30.0
WAITS = "import signal; print('up', flush=True); signal.pause()"

Ends: TypeAlias = "queue.SimpleQueue[tuple[ProcessIdentity, str]]"


class Children:
    """Starts processes, and sees that none outlives its test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """A process that has printed its first line."""
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._stack.enter_context(child)
        self._stack.callback(child.kill)
        assert child.stdout is not None
        child.stdout.readline()
        return child

    def run(self, script: str) -> ProcessIdentity:
        return ProcessIdentity.of(self.start(sys.executable, "-c", script).pid)


@pytest.fixture
def children() -> Iterator[Children]:
    with ExitStack() as stack:
        yield Children(stack)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def reap(identity: ProcessIdentity) -> None:
    os.kill(identity.pid, signal.SIGKILL)
    os.waitpid(identity.pid, 0)


# --- activity ----------------------------------------------------------------------------------


def test_of_nobody_there_is_no_activity() -> None:
    assert read_activity([], now=7.0) == activity.Activity(at_seconds=7.0)


def test_time_on_a_processor_is_added_up(children: Children) -> None:
    busy = [children.run("print(flush=True)\nwhile True: pass") for _ in range(2)]
    before = read_activity(busy, now=0.0)

    assert eventually(lambda: read_activity(busy, now=1.0).cpu_seconds > before.cpu_seconds + 0.2)
    assert before.processes == 2
    together, alone = read_activity(busy, now=2.0), read_activity(busy[:1], now=2.0)
    assert together.cpu_seconds > alone.cpu_seconds > 0


def test_a_process_that_waits_uses_no_time(children: Children) -> None:
    waiting = children.run(WAITS)
    before = read_activity([waiting], now=0.0)

    time.sleep(0.3)

    after = read_activity([waiting], now=0.0)
    assert after.cpu_seconds - before.cpu_seconds <= 0.05
    assert (after.read_bytes, after.written_bytes) == (before.read_bytes, before.written_bytes)
    assert (after.processes, after.stopped, after.compilers) == (1, (), ())


def test_the_time_of_children_that_were_reaped_is_their_parents(children: Children) -> None:
    parent = children.run(
        "import subprocess, sys\n"
        "burn = 'import time\\nwhile time.process_time() < 0.5: pass'\n"
        "subprocess.run([sys.executable, '-c', burn], check=True)\n" + WAITS
    )

    assert read_activity([parent], now=0.0).cpu_seconds >= 0.5


def test_bytes_read_and_written_are_counted_also_from_the_cache(
    children: Children, tmp_path: Path
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(3_000_000))
    copier = children.start(
        sys.executable,
        "-c",
        "import pathlib, sys, signal\n"
        "print(flush=True); sys.stdin.readline()\n"
        f"file = pathlib.Path({str(file)!r})\n"
        "file.with_suffix('.copy').write_bytes(file.read_bytes())\n"
        "print(flush=True); signal.pause()",
    )
    member = ProcessIdentity.of(copier.pid)
    before = read_activity([member], now=0.0)

    assert copier.stdin is not None
    assert copier.stdout is not None
    copier.stdin.write(b"\n")
    copier.stdin.flush()
    copier.stdout.readline()

    after = read_activity([member], now=0.0)
    assert 3_000_000 <= after.read_bytes - before.read_bytes < 6_000_000
    assert 3_000_000 <= after.written_bytes - before.written_bytes < 6_000_000


def test_counters_that_may_not_be_read_count_for_nothing(children: Children) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    member = children.run(WAITS)
    os.seteuid(65534)
    try:
        seen = read_activity([member], now=0.0)
    finally:
        os.seteuid(0)

    assert (seen.processes, seen.read_bytes, seen.written_bytes) == (1, 0, 0)
    assert read_activity([member], now=0.0).read_bytes > 0


def test_a_stopped_process_is_told(children: Children) -> None:
    stopped, waiting = children.run(WAITS), children.run(WAITS)
    os.kill(stopped.pid, signal.SIGSTOP)

    assert eventually(lambda: read_activity([stopped, waiting], now=0.0).stopped == (stopped.pid,))
    os.kill(stopped.pid, signal.SIGCONT)
    assert eventually(lambda: read_activity([stopped, waiting], now=0.0).stopped == ())


def test_a_thread_that_waits_in_the_kernel_is_told(children: Children) -> None:
    # The parent of a vfork waits uninterruptibly until its child has gone.
    member = (
        children.run(
            "import ctypes, signal, threading\n"
            "libc = ctypes.CDLL(None)\n"
            "def wait():\n"
            "    if libc.syscall(58) == 0:\n"  # vfork, on x86-64
            # Nobody ends the child of a vfork with its parent, so it ends itself.
            "        libc.alarm(30)\n"
            "        libc.pause()\n"
            "threading.Thread(target=wait).start()\n" + WAITS
        )
        if os.uname().machine == "x86_64"
        else pytest.skip("needs the number of vfork")
    )

    assert eventually(lambda: read_activity([member], now=0.0).blocked == (member.pid,))


@pytest.mark.parametrize(
    ("name", "is_compiler"),
    [
        *((name, True) for name in ("nvcc", "cicc", "ptxas", "ninja", "cc1plus", "g++", "ld")),
        *((name, True) for name in ("c++", "gcc", "clang", "cudafe++", "g++-12", "clang-18.1")),
        *((name, False) for name in ("python", "cicc2", "my-gcc", "build", "sglang::schedul")),
    ],
)
def test_compilers_are_known_by_name(tmp_path: Path, name: str, *, is_compiler: bool) -> None:
    program = tmp_path / name
    shutil.copy("/bin/cat", program)
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        member = ProcessIdentity.of(child.pid)

        assert read_activity([member], now=0.0).compilers == ((name,) if is_compiler else ())

        child.send_signal(signal.SIGSTOP)
        assert eventually(lambda: read_activity([member], now=0.0).compilers == ())
    finally:
        child.kill()
        child.communicate()


def test_processes_that_have_gone_count_for_nothing(children: Children) -> None:
    gone, living = children.run(WAITS), children.run(WAITS)
    reap(gone)
    reused = living.model_copy(update={"start_ticks": living.start_ticks - 1})

    assert read_activity([gone, reused], now=0.0) == activity.Activity(at_seconds=0.0)
    assert read_activity([gone, living, reused], now=0.0).processes == 1


def test_processes_may_vanish_at_any_moment() -> None:
    script = "import os\nfor _ in range(300):\n    if os.fork() == 0: os._exit(0)\n    os.wait()"
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        looks = 0
        while parent.poll() is None:
            pids = [int(file.name) for file in Path("/proc").iterdir() if file.name.isdecimal()]
            members = []
            for pid in pids:
                try:
                    members.append(ProcessIdentity.of(pid))
                except ProcessLookupError:
                    continue
            assert read_activity(members, now=0.0).processes <= len(members)
            assert len(titles(members)) <= len(members)
            looks += 1

    assert looks > 0


# --- titles ------------------------------------------------------------------------------------

TITLED = (
    "import setproctitle, signal\n"
    "setproctitle.setproctitle({title!r})\n"
    "print('up', flush=True); signal.pause()"
)


def test_processes_that_sglang_named_are_its_children(children: Children) -> None:
    pytest.importorskip("setproctitle", reason="comes with the engine")
    plain = children.run(WAITS)
    names = ("sglang::scheduler_DP0_TP1", "sglang::detokenizer", "sglang::tokenizer_worker:17")
    named = [children.run(TITLED.format(title=name)) for name in names]
    pretender = children.run(TITLED.format(title="not sglang::scheduler"))
    gone = children.run(TITLED.format(title="sglang::scheduler"))
    reap(gone)

    reused = plain.model_copy(update={"start_ticks": plain.start_ticks - 1})
    assert titles([reused]) == {}
    members = [plain, *named, pretender, gone]
    assert engine_children(members) == tuple(zip(named, names, strict=True))
    assert titles(members) == {
        plain.pid: sys.executable,
        pretender.pid: "not sglang::scheduler",
        **{member.pid: name for member, name in zip(named, names, strict=True)},
    }


def test_the_installed_engine_still_names_its_children_like_this() -> None:
    spec = importlib.util.find_spec("sglang")
    if spec is None or spec.origin is None:
        pytest.skip("the engine is not installed")
    managers = Path(spec.origin).parent / "srt" / "managers"
    for file, call in (
        ("scheduler.py", 'setproctitle(f"sglang::scheduler{'),
        ("detokenizer_manager.py", 'setproctitle("sglang::detokenizer")'),
        ("data_parallel_controller.py", 'setproctitle("sglang::data_parallel_controller")'),
        ("multi_tokenizer_mixin.py", 'setproctitle("sglang::detokenizer_router")'),
        ("multi_tokenizer_mixin.py", 'setproctitle(f"sglang::tokenizer_worker:{'),
    ):
        assert call in (managers / file).read_text(encoding="utf-8")


# --- the watch ---------------------------------------------------------------------------------


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def watch_of(*members: ProcessIdentity) -> tuple[MemberWatch, Ends]:
    ends: Ends = queue.SimpleQueue()
    children = [(member, f"title {number}") for number, member in enumerate(members)]
    return MemberWatch(children, lambda *end: ends.put(end)), ends


def test_the_first_end_is_told_once_and_soon(children: Children) -> None:
    first, second, third = (children.run(WAITS) for _ in range(3))
    before = open_descriptors()
    watch, ends = watch_of(first, second, third)
    watch.start()
    time.sleep(0.05)
    assert ends.empty()

    killed_at = time.monotonic()
    os.kill(second.pid, signal.SIGKILL)

    assert ends.get(timeout=PATIENCE_SECONDS) == (second, "title 1")
    assert time.monotonic() - killed_at < PATIENCE_SECONDS / 3
    os.kill(first.pid, signal.SIGKILL)
    watch.stop()
    assert ends.empty()
    assert open_descriptors() == before


def test_nobody_is_called_after_a_stop_and_no_descriptor_is_left(children: Children) -> None:
    members = [children.run(WAITS) for _ in range(3)]
    before = open_descriptors()
    watch, ends = watch_of(*members)
    watch.start()
    assert open_descriptors() == before + 4

    watch.stop()
    assert open_descriptors() == before
    watch.stop()

    os.kill(members[0].pid, signal.SIGKILL)
    time.sleep(0.05)
    assert ends.empty()


def test_a_watch_that_was_never_started_can_be_stopped(children: Children) -> None:
    watch, _ = watch_of(children.run(WAITS))

    watch.stop()


def test_an_end_that_comes_after_a_stop_is_not_told(children: Children) -> None:
    member = children.run(WAITS)
    reap(member)
    watch, ends = watch_of(member)
    watch.stop()

    watch.start()
    watch.stop()

    assert ends.empty()


def test_whoever_is_called_may_stop_the_watch(children: Children) -> None:
    member = children.run(WAITS)
    stopped = threading.Event()

    def stop(*_: object) -> None:
        watch.stop()
        stopped.set()

    watch = MemberWatch([(member, "title")], stop)
    watch.start()
    os.kill(member.pid, signal.SIGKILL)

    assert stopped.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("reaped", [False, True])
def test_one_that_had_ended_before_is_told_at_once(children: Children, *, reaped: bool) -> None:
    living, ended = children.run(WAITS), children.run(WAITS)
    os.kill(ended.pid, signal.SIGKILL)
    os.waitid(os.P_PID, ended.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    before = open_descriptors()
    watch, ends = watch_of(living, ended)

    watch.start()

    assert ends.get(timeout=PATIENCE_SECONDS) == (ended, "title 1")
    watch.stop()
    assert open_descriptors() == before


def test_a_later_process_with_the_same_pid_is_not_mistaken_for_it(children: Children) -> None:
    living = children.run(WAITS)
    earlier = living.model_copy(update={"start_ticks": living.start_ticks - 1})
    watch, ends = watch_of(earlier)

    watch.start()

    assert ends.get(timeout=PATIENCE_SECONDS) == (earlier, "title 0")
    watch.stop()


def test_a_process_that_ends_as_it_is_opened_is_told(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = children.run(WAITS)
    open_descriptor = os.pidfd_open

    def end_then_open(pid: int, flags: int = 0) -> int:
        reap(member)
        return open_descriptor(pid, flags)

    monkeypatch.setattr(os, "pidfd_open", end_then_open)
    watch, ends = watch_of(member)

    watch.start()

    assert ends.get(timeout=PATIENCE_SECONDS) == (member, "title 0")
    watch.stop()


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_without_descriptors_the_start_fails_and_leaves_none_open(
    children: Children, spare: int
) -> None:
    members = [children.run(WAITS) for _ in range(3)]
    watch, _ = watch_of(*members)
    highest = os.dup(0)
    os.close(highest)
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            watch.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    watch.stop()
    assert open_descriptors() == before


def test_without_a_thread_the_start_fails_and_leaves_no_descriptor_open(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, _ = watch_of(children.run(WAITS))
    before = open_descriptors()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(RuntimeError, match="new thread"):
        watch.start()

    watch.stop()
    assert open_descriptors() == before


def test_stops_and_ends_at_the_same_time_neither_hang_nor_leak() -> None:
    before = open_descriptors()
    for _ in range(50):
        with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child:
            watch, ends = watch_of(ProcessIdentity.of(child.pid))
            watch.start()
            killer = threading.Thread(target=child.kill)
            killer.start()
            watch.stop()
            killer.join()
            told = not ends.empty()
        assert ends.empty() is not told
    assert open_descriptors() == before
