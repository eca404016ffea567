"""Shared memory that a killed server leaves behind: the names of its segments in /dev/shm.

A segment lives until its name is removed, not until its last user ends; SIGKILL gives nobody the
time to do it. Only what a process of ours was seen to share, or what has the id of its run in its
name, and what nobody uses any longer, is ever removed. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from launcher.system.proc_stat import all_pids
from launcher.system.process import ProcessIdentity, boot_id

ROOT: Final = Path("/dev/shm")  # noqa: S108  # where shm_open(3) puts segments, not a scratch file
# A line of proc(5)'s maps: addresses, permissions, offset, device, inode, path. Only mappings that
# are writable and shared: a model that somebody put in /dev/shm is mapped to be read.
_SHARED_MAPPING: Final = re.compile(
    rb"[0-9a-f]+-[0-9a-f]+ .w.s [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(/.*)"
)
# As the launcher draws them: long enough that no other name holds one by chance.
_RUN_ID: Final = re.compile(r"[0-9a-f]{16}")


class Segment(BaseModel):
    """A shared memory segment that cannot be mistaken for a later one of the same name.

    `device` is the number of the file system that holds it, `inode` its number there; both begin
    anew with a boot.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[^/\x00]+$")
    inode: int
    device: int
    boot_id: str


def segments_of(members: Iterable[ProcessIdentity], root: Path = ROOT) -> frozenset[Segment]:
    """The named segments that processes share now.

    Only files directly under `root` that a process has mapped to write and to share: so does
    whoever uses shm_open(3), and hardly anybody else. Files merely open are left out, as a log
    or a lock would be, and so are folders, where people keep models and caches.

    Args:
        members: processes of ours; those that have gone, or may not be read, have none.
        root: where segments have their names.
    """
    folder = os.fsencode(root.resolve()) + b"/"
    shared = {mapping for member in members for mapping in _shared_mappings(member, folder)}
    # By number, since a name in maps may be a former one: sem_open(3) maps a semaphore first and
    # then gives it the name by which it is found.
    return frozenset(
        segment for segment in _named_segments(root, {inode for _, inode in shared})
        if (segment.device, segment.inode) in shared
    )  # fmt: skip


def segments_named_after(run_id: str, root: Path = ROOT) -> frozenset[Segment]:
    """The segments that have the id of a run in their names, be it that nobody saw them mapped.

    SGLang's have, and Python's semaphores, by a plugin in the server's processes
    (`launcher.engines.sglang.plugins.lifecycle.segment_names`). Where a process makes one and dies
    at once, no look comes in time to see who mapped it.

    Args:
        run_id: of the run. One that the launcher has not drawn names nothing.
        root: where segments have their names.
    """
    if _RUN_ID.fullmatch(run_id) is None:
        return frozenset()
    return frozenset(_segments_in(root, lambda entry: run_id in entry.name))


def _named_segments(root: Path, inodes: set[int]) -> Iterator[Segment]:
    """What has a name directly under `root` and one of these numbers."""
    return _segments_in(root, lambda entry: entry.inode() in inodes)


def _segments_in(root: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> Iterator[Segment]:
    boot = boot_id()
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if not wanted(entry):
                continue
            # A name that is no text cannot stand in a run record; nobody gives such.
            with contextlib.suppress(OSError, UnicodeEncodeError):
                entry.name.encode()
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield Segment(
                        name=entry.name, inode=found.st_ino, device=found.st_dev, boot_id=boot
                    )


def _shared_mappings(member: ProcessIdentity, folder: bytes) -> Iterator[tuple[int, int]]:
    """Device and inode of what a process shares of a folder, its sub-folders left out."""
    maps = _maps_of(member.pid)
    # A big process has thousands of lines; searched as one text, they cost next to nothing.
    if folder not in maps or not member.is_alive():
        return
    lines = (line for line in maps.split(b"\n") if folder in line)
    for match in filter(None, (_SHARED_MAPPING.fullmatch(line) for line in lines)):
        major, minor, inode, path = match.groups()
        if path.startswith(folder) and b"/" not in path.removeprefix(folder):
            yield os.makedev(int(major, 16), int(minor, 16)), int(inode)


def remove_dead(segments: Iterable[Segment], root: Path = ROOT) -> list[str]:
    """Remove the names of segments that no process uses any longer.

    A segment goes only if it is the very one that was seen, is owned by our user, and is neither
    mapped nor open in any process that we may look at. What the system refuses stays.

    Args:
        segments: what `segments_of` saw while the server lived, and what is named after its run.
        root: where they have their names.

    Returns:
        The names removed, sorted.
    """
    left = [segment for segment in segments if _is_still_there(segment, root)]
    # Looking at every process takes a while; usually nothing is left.
    in_use = _in_use(left) if left else frozenset()
    removed = []
    for segment in left:
        # Looked at again: somebody may have put another one in its place meanwhile.
        if segment not in in_use and _is_still_there(segment, root):
            with contextlib.suppress(OSError):
                (root / segment.name).unlink()
                removed.append(segment.name)
    return sorted(removed)


def _is_still_there(segment: Segment, root: Path) -> bool:
    try:
        found = (root / segment.name).lstat()
    except OSError:
        return False
    return (
        (found.st_ino, found.st_dev) == (segment.inode, segment.device)
        and segment.boot_id == boot_id()
        and found.st_uid == os.geteuid()
    )


def _in_use(segments: Iterable[Segment]) -> frozenset[Segment]:
    """Those of them that a living process has mapped, in whichever way, or open."""
    left = set(segments)
    for pid in all_pids():
        maps = _maps_of(pid)
        opened = set(_open_inodes(pid, {segment.name for segment in left}))
        left = {
            segment
            for segment in left
            if _mark(segment) not in maps and (segment.device, segment.inode) not in opened
        }
    return frozenset(segments) - left


def _mark(segment: Segment) -> bytes:
    """Device and inode as a line of maps has them: in another container the path may differ."""
    major, minor = os.major(segment.device), os.minor(segment.device)
    return b" %02x:%02x %d " % (major, minor, segment.inode)


def _open_inodes(pid: int, names: Collection[str]) -> Iterator[tuple[int, int]]:
    """Device and inode of what a process has open under one of the names."""
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)  # noqa: PTH208  # names alone, of every process
    except OSError:
        return
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            target = os.readlink(f"{folder}/{descriptor}")  # noqa: PTH115  # as above
            # The name first: asking a file for its inode may wait for a network disk.
            if target.rpartition("/")[2] in names:
                found = os.stat(f"{folder}/{descriptor}")  # noqa: PTH116  # as above
                yield found.st_dev, found.st_ino


def _maps_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return b""
