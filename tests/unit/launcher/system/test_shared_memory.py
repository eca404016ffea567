"""Shared memory that killed processes leave behind: real segments, real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from pydantic import ValidationError

from launcher.system.process import ProcessIdentity
from launcher.system.shared_memory import (
    ROOT,
    Segment,
    remove_dead,
    segments_named_after,
    segments_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Python's resource tracker would remove the segment of a process that was killed, were it not told
# to forget: SGLang's own children lose theirs to the same SIGKILL.
CREATE = """
import os, signal, sys
from multiprocessing import resource_tracker, shared_memory
segment = shared_memory.SharedMemory(name=sys.argv[1], create=True, size=4096)
resource_tracker.unregister("/" + sys.argv[1], "shared_memory")
print(os.getpid(), flush=True)
signal.pause()
"""
MAP = """
import mmap, os, signal, sys
descriptor = os.open(sys.argv[1], os.O_RDWR if sys.argv[2] == "write" else os.O_RDONLY)
write = mmap.PROT_WRITE if sys.argv[2] == "write" else 0
kept = mmap.mmap(descriptor, 4096, prot=mmap.PROT_READ | write)
os.closerange(3, 256)  # mmap keeps a descriptor of its own
print(os.getpid(), flush=True)
signal.pause()
"""
SEMAPHORE = """
import os, signal, sys
from _multiprocessing import SemLock
kept = SemLock(1, 1, 1, sys.argv[1], False)
print(os.getpid(), flush=True)
signal.pause()
"""
OPEN = """
import os, signal, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
print(os.getpid(), flush=True)
signal.pause()
"""


class Users:
    """Processes that share memory, and the names that they leave."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def new_name(self) -> str:
        name = f"specserve_test_{os.getpid()}_{uuid4().hex[:8]}"
        self._stack.callback((ROOT / name).unlink, missing_ok=True)
        return name

    def run(self, script: str, *arguments: str | Path) -> ProcessIdentity:
        """A process that shares memory and has said so."""
        child = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE
        )
        self._stack.enter_context(child)
        self._stack.callback(child.kill)
        assert child.stdout is not None
        assert child.stdout.readline()
        return ProcessIdentity.of(child.pid)

    def create(self) -> tuple[str, ProcessIdentity]:
        name = self.new_name()
        return name, self.run(CREATE, name)


def kill(member: ProcessIdentity) -> None:
    os.kill(member.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(member.pid, 0)


@pytest.fixture
def users() -> Iterator[Users]:
    with ExitStack() as stack:
        yield Users(stack)


def names_of(segments: frozenset[Segment]) -> set[str]:
    return {segment.name for segment in segments}


def test_a_segment_of_a_killed_process_is_removed(users: Users) -> None:
    name, member = users.create()
    segments = segments_of([member])
    assert names_of(segments) == {name}

    kill(member)
    assert (ROOT / name).exists()

    assert remove_dead(segments) == [name]
    assert not (ROOT / name).exists()
    assert remove_dead(segments) == []


def test_a_semaphore_is_found_although_it_was_mapped_under_another_name(users: Users) -> None:
    name = users.new_name()
    # sem_open(3) puts "sem." before it.
    named = ROOT / f"sem.{name}"
    member = users.run(SEMAPHORE, f"/{name}")
    try:
        segments = segments_of([member])
        assert names_of(segments) == {named.name}
        kill(member)
        assert remove_dead(segments) == [named.name]
    finally:
        named.unlink(missing_ok=True)


def test_a_segment_that_nobody_saw_mapped_is_known_by_the_run_in_its_name(tmp_path: Path) -> None:
    run_id = uuid4().hex[:16]
    (tmp_path / f"sglang_loads_{run_id}_25ba3591.shm").write_bytes(b"x")
    (tmp_path / "sglang_loads_46e52ad5d406_25ba3591.shm").write_bytes(b"x")

    segments = segments_named_after(run_id, tmp_path)

    assert names_of(segments) == {f"sglang_loads_{run_id}_25ba3591.shm"}
    assert len(remove_dead(segments, tmp_path)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [
        "sglang_loads_46e52ad5d406_25ba3591.shm"
    ]


@pytest.mark.parametrize("run_id", ["", "s", "sglang_loads_46e", ".*", "0" * 15, "g" * 16])
def test_a_run_that_the_launcher_has_not_drawn_names_no_segment(
    tmp_path: Path, run_id: str
) -> None:
    for name in ("sglang_loads_46e52ad5d406_25ba3591.shm", "0" * 15, "g" * 16):
        (tmp_path / name).write_bytes(b"x")
    assert segments_named_after(run_id, tmp_path) == frozenset()


def test_what_is_named_after_a_run_and_still_used_stays(users: Users, tmp_path: Path) -> None:
    run_id = uuid4().hex[:16]
    used = tmp_path / f"sglang_loads_{run_id}_25ba3591.shm"
    used.write_bytes(b"x")
    users.run(OPEN, used)
    assert remove_dead(segments_named_after(run_id, tmp_path), tmp_path) == []


def test_a_segment_in_use_stays(users: Users) -> None:
    name, member = users.create()
    segments = segments_of([member])

    assert remove_dead(segments) == []

    assert (ROOT / name).exists()


@pytest.mark.parametrize(
    "use", [(MAP, "write"), (MAP, "read"), (OPEN, "")], ids=["mapped", "mapped to read", "open"]
)
def test_a_segment_that_somebody_else_still_uses_stays(users: Users, use: tuple[str, str]) -> None:
    name, member = users.create()
    script, how = use
    other = users.run(script, ROOT / name, how)
    segments = segments_of([member])
    kill(member)

    assert remove_dead(segments) == []
    assert (ROOT / name).exists()

    kill(other)
    assert remove_dead(segments) == [name]


def test_a_segment_made_anew_under_the_same_name_stays(users: Users) -> None:
    name, member = users.create()
    segments = segments_of([member])
    kill(member)
    (ROOT / name).unlink()
    (ROOT / name).write_bytes(b"another")

    assert remove_dead(segments) == []

    assert (ROOT / name).read_bytes() == b"another"


def test_of_several_only_the_dead_go(users: Users) -> None:
    (dead, first), (alive, second) = users.create(), users.create()
    segments = segments_of([first, second])
    assert names_of(segments) == {dead, alive}
    kill(first)

    assert remove_dead(segments) == [dead]

    assert (ROOT / alive).exists()


def test_a_segment_seen_before_the_boot_is_not_touched(users: Users) -> None:
    name, member = users.create()
    segments = [one.model_copy(update={"boot_id": "another"}) for one in segments_of([member])]
    kill(member)

    assert remove_dead(segments) == []
    assert (ROOT / name).exists()


def test_the_segment_of_another_user_is_not_touched(users: Users) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    name, member = users.create()
    segments = segments_of([member])
    kill(member)
    os.chown(ROOT / name, 65534, 65534)

    assert remove_dead(segments) == []
    assert (ROOT / name).exists()


def test_a_link_in_place_of_a_segment_is_not_followed(users: Users) -> None:
    name, member = users.create()
    [segment] = segments_of([member])
    kill(member)
    (ROOT / name).rename(ROOT / f"{name}_moved")
    try:
        (ROOT / name).symlink_to(ROOT / f"{name}_moved")

        assert remove_dead([segment]) == []
        assert (ROOT / f"{name}_moved").exists()
    finally:
        (ROOT / f"{name}_moved").unlink()


# --- what is a segment -------------------------------------------------------------------------


def test_a_model_in_shared_memory_that_is_mapped_to_be_read_is_none(users: Users) -> None:
    name = users.new_name()
    (ROOT / name).write_bytes(bytes(4096))

    assert segments_of([users.run(MAP, ROOT / name, "read")]) == frozenset()


def test_a_file_that_is_open_and_not_mapped_is_none(users: Users) -> None:
    name = users.new_name()
    (ROOT / name).write_bytes(bytes(4096))

    assert segments_of([users.run(OPEN, ROOT / name)]) == frozenset()


def test_a_file_in_a_folder_is_none(users: Users) -> None:
    folder = ROOT / users.new_name()
    folder.mkdir()
    file = folder / "cache"
    try:
        file.write_bytes(bytes(4096))

        assert segments_of([users.run(MAP, file, "write")]) == frozenset()
    finally:
        file.unlink()
        folder.rmdir()


def test_a_file_elsewhere_is_none(users: Users, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    member = users.run(MAP, file, "write")

    assert segments_of([member]) == frozenset()
    assert names_of(segments_of([member], root=tmp_path)) == {"file"}


def test_a_segment_without_a_name_any_longer_is_none(users: Users) -> None:
    name, member = users.create()
    (ROOT / name).unlink()

    assert segments_of([member]) == frozenset()


@pytest.mark.parametrize("suffix", [b" with blanks", b"-\xc3\xa9", b"-\xff"], ids=repr)
def test_a_name_may_be_odd_and_counts_where_it_is_text(users: Users, suffix: bytes) -> None:
    file = Path(os.fsdecode(os.fsencode(ROOT / users.new_name()) + suffix))
    try:
        file.write_bytes(bytes(4096))

        segments = segments_of([users.run(MAP, file, "write")])

        assert names_of(segments) == (set() if suffix == b"-\xff" else {file.name})
    finally:
        file.unlink()


def test_processes_that_have_gone_have_none(users: Users) -> None:
    _, member = users.create()
    later = member.model_copy(update={"start_ticks": member.start_ticks - 1})
    assert segments_of([later]) == frozenset()

    kill(member)

    assert segments_of([member]) == frozenset()
    assert segments_of([]) == frozenset()


def test_a_segment_survives_being_written(users: Users) -> None:
    _, member = users.create()
    [segment] = segments_of([member])

    assert Segment.model_validate_json(segment.model_dump_json()) == segment


@pytest.mark.parametrize("name", ["", "../etc/passwd", "/etc/passwd", "a/b", "a\0b"], ids=repr)
def test_a_record_cannot_name_a_file_elsewhere(name: str) -> None:
    with pytest.raises(ValidationError):
        Segment(name=name, inode=1, device=1, boot_id="")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_is_never_removed(tmp_path: Path, name: str, users: Users) -> None:
    _, member = users.create()
    [segment] = segments_of([member])
    root = tmp_path / "root"
    root.mkdir()
    found = (root / name).stat()
    forged = segment.model_copy(
        update={"name": name, "inode": found.st_ino, "device": found.st_dev}
    )

    assert remove_dead([forged], root=root) == []
    assert root.exists()
