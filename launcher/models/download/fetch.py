"""Fetching files of a commit, several at a time, each from where it ended the last time.

A file is written under its hash, hashed when it has its size, flushed to the disk, and only then
gets its name. Whoever is killed loses what was on the way: at most 32 KiB and the kernel's buffers
for each file in work.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from launcher.errors import InsufficientDiskError, ModelIncompleteError
from launcher.models.download.events import (
    FileProgress,
    FileWrong,
    Meter,
    PullEvent,
    PullProgress,
)
from launcher.models.download.hub import Hub
from launcher.models.download.request import OnPullEvent, verified_event
from launcher.models.download.retries import RetryBudget, TransientError, WrongSizeError
from launcher.models.download.workers import run_in_threads
from launcher.models.files import Manifest, RemoteFile
from launcher.models.hashes import VerifiedFiles, aside, hash_as
from launcher.models.places import Place, cannot_write
from launcher.system.files import file_size_bytes
from launcher.system.hardware import free_disk_bytes
from launcher.text import human_bytes

# Bytes that are not those of the hash: a proxy or a mirror may keep giving them.
CONTENT_ATTEMPTS: Final = 3
PROGRESS_SECONDS: Final = 0.5


class _StoppedError(Exception):
    """The download is being ended."""


@dataclass(slots=True)
class _InWork:
    """A file, and how much of it is here; written by one thread only."""

    file: RemoteFile
    done_bytes: int
    fetched_bytes: int = 0
    active: bool = False
    meter: Meter = field(default_factory=Meter)


class Fetcher:
    """Fetches files of one commit into one place.

    Args:
        hub: where from.
        place: where to; its lock is held.
        manifest: all that is needed of the commit.
        verified: where it is noted what was found right.
        report: told of each event, in the thread that calls `fetch`.
        threads: files at a time.
    """

    def __init__(
        self,
        hub: Hub,
        place: Place,
        manifest: Manifest,
        verified: VerifiedFiles,
        report: OnPullEvent,
        *,
        threads: int,
    ) -> None:
        self._hub = hub
        self._place = place
        self._manifest = manifest
        self._verified = verified
        self._report = report
        self._threads = threads
        self._stop = threading.Event()
        self._said: queue.SimpleQueue[PullEvent] = queue.SimpleQueue()
        self._work: dict[str, _InWork] = {}
        self._here_bytes = 0
        self._meter = Meter()
        self._shown_at = 0.0

    def fetch(self, files: Sequence[RemoteFile]) -> int:
        """Fetch what is missing; returns how many bytes came.

        Raises:
            LauncherError: a file cannot be had. What came of it stays for the next time.
        """
        self._work = {
            file.path: _InWork(file, file_size_bytes(self._place.partial(file))) for file in files
        }
        self._here_bytes = self._manifest.total_bytes - sum(file.size_bytes for file in files)
        for file, fetched_bytes in run_in_threads(
            self._fetch_one, files, threads=self._threads, stop=self._stop, look=self._look
        ):
            self._verified.add(self._place.stored(file), file.digest)
            self._verified.save()
            self._report(verified_event(file, fetched_bytes))
        self._look(last=True)
        return sum(state.fetched_bytes for state in self._work.values())

    def _fetch_one(self, file: RemoteFile) -> int:
        state = self._work[file.path]
        partial, stored = self._place.partial(file), self._place.stored(file)
        state.active = True
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            self._fetch_right_bytes(state, partial)
            partial.replace(stored)
            self._place.show(self._manifest.commit, file)
            with contextlib.suppress(OSError):
                aside(stored).unlink()
        except OSError as error:
            raise _disk_error(self._manifest.repository, partial, error) from error
        finally:
            state.active = False
        return state.fetched_bytes

    def _fetch_right_bytes(self, state: _InWork, partial: Path) -> None:
        file = state.file
        found, evidence = "", ""
        for _ in range(CONTENT_ATTEMPTS):
            try:
                self._fetch_bytes(state, partial)
            except WrongSizeError as error:
                # No fault of the network, so that a pause changes nothing.
                found = evidence = error.problem
            else:
                if self._stop.is_set():
                    raise _StoppedError
                found = hash_as(partial, file.digest)
                evidence = f"its hash is {found}, and should be {file.digest}"
                if found == file.digest:
                    return
            partial.unlink()
            state.done_bytes = 0
            self._said.put(FileWrong(path=file.path, found=found, expected=file.digest))
        raise ModelIncompleteError(
            f"{file.path} came {CONTENT_ATTEMPTS} times with another content or size than "
            "the hub's metadata says.",
            action="Look at proxies and mirrors on the way: HF_ENDPOINT, HTTPS_PROXY.",
            evidence=(evidence,),
        )

    def _fetch_bytes(self, state: _InWork, partial: Path) -> None:
        """Fetch until the file has its size, however often the connection breaks."""
        budget = RetryBudget()
        while True:
            before = state.done_bytes
            try:
                with partial.open("ab") as file:
                    if file.tell() > state.file.size_bytes:
                        file.truncate(0)
                    state.done_bytes = file.seek(0, os.SEEK_END)
                    sink = cast(BinaryIO, _Sink(file, state, self._stop))
                    self._hub.read_file(
                        self._manifest, state.file, sink, have_bytes=state.done_bytes
                    )
                    file.flush()
                    # Found right later, it shall be so after a power failure, too.
                    os.fsync(file.fileno())
            except WrongSizeError:
                raise
            except TransientError as error:
                # What drips is no progress: it would have no end.
                if state.done_bytes > before and not error.slow:
                    budget.progress()
                retry = budget.after(error, state.file.path)
                self._said.put(retry)
                if self._stop.wait(retry.pause_seconds):
                    raise _StoppedError from error
            else:
                return

    def _look(self, *, last: bool = False) -> None:
        """Pass on what the threads said, and how far they are."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._report(self._said.get_nowait())
        now = time.monotonic()
        if now - self._shown_at < PROGRESS_SECONDS and not last:
            return
        self._shown_at = now
        done_bytes = self._here_bytes + sum(state.done_bytes for state in self._work.values())
        total_bytes = self._manifest.total_bytes
        self._meter.add(now, done_bytes)
        self._report(
            PullProgress(
                done_bytes=done_bytes,
                total_bytes=total_bytes,
                bytes_per_second=self._meter.bytes_per_second,
                seconds_left=self._meter.seconds_left(total_bytes - done_bytes),
                files=tuple(_progress_of(s, now) for s in self._work.values() if s.active),
            )
        )


class _Sink:
    """The file as huggingface_hub's `http_get` writes it."""

    def __init__(self, file: BinaryIO, state: _InWork, stop: threading.Event) -> None:
        self._file = file
        self._state = state
        self._stop = stop

    def write(self, block: bytes) -> int:
        """Take what came, unless it is too much or the download is being ended."""
        if self._stop.is_set():
            raise _StoppedError
        if self._state.done_bytes + len(block) > self._state.file.size_bytes:
            raise WrongSizeError(f"{self._state.file.path} is longer than the hub's list says")
        self._file.write(block)
        self._state.done_bytes += len(block)
        self._state.fetched_bytes += len(block)
        return len(block)

    def tell(self) -> int:
        """Where it stands."""
        return self._file.tell()

    def seek(self, offset: int) -> int:
        """Go there; the client does so where a server answers with the whole file."""
        return self._file.seek(offset)

    def truncate(self) -> int:
        """Drop what follows."""
        self._state.done_bytes = self._file.truncate()
        return self._state.done_bytes


def _progress_of(state: _InWork, now: float) -> FileProgress:
    state.meter.add(now, state.done_bytes)
    return FileProgress(
        path=state.file.path,
        done_bytes=state.done_bytes,
        total_bytes=state.file.size_bytes,
        bytes_per_second=state.meter.bytes_per_second,
        seconds_left=state.meter.seconds_left(state.file.size_bytes - state.done_bytes),
    )


def _disk_error(repository: str, path: Path, error: OSError) -> Exception:
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return cannot_write(path, error)
    return InsufficientDiskError(
        f"The disk became full while {repository} was downloaded: {path.parent} has "
        f"{human_bytes(free_disk_bytes(path.parent))} free.",
        action="Free space and run it again: it goes on where it was.",
    )
