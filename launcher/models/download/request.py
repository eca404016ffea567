"""What is to be downloaded or verified, and what both need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from launcher.errors import ModelNotFoundError
from launcher.models.download.events import FileVerified, FileWrong, PullEvent
from launcher.models.download.hub import Hub
from launcher.models.download.retries import RetryBudget, TransientError
from launcher.models.download.workers import run_in_threads
from launcher.models.files import Manifest, RemoteFile
from launcher.models.hashes import VerifiedFiles, cannot_read, hash_as
from launcher.models.places import CachePlace, FolderPlace, Place
from launcher.models.store import LocalModel, hub_cache, is_offline

DEFAULT_THREADS: Final = 4

OnPullEvent: TypeAlias = Callable[[PullEvent], None]


def ignore(event: PullEvent) -> None:
    """A report to nobody."""
    del event


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What to download, and where to.

    Args:
        repository: OWNER/NAME.
        revision: branch, tag or commit; None for the main branch.
        target: a plain folder; None for the hub's cache.
        threads: files at a time.
    """

    repository: str
    revision: str | None = None
    target: Path | None = None
    threads: int = DEFAULT_THREADS

    def place(self) -> Place:
        """Where the files go."""
        if self.target is not None:
            return FolderPlace(self.target)
        return CachePlace(hub_cache(), self.repository)


def list_files(request: PullRequest, hub: Hub, report: OnPullEvent) -> Manifest:
    """What the repository has at the revision; tries again where that may help.

    Raises:
        LauncherError: the hub does not say.
    """
    budget = RetryBudget()
    while True:
        try:
            return hub.list_files(request.repository, request.revision)
        except TransientError as error:
            retry = budget.after(error)
            report(retry)
            time.sleep(retry.pause_seconds)


def hash_all(
    where: Callable[[RemoteFile], Path], files: Sequence[RemoteFile]
) -> Iterator[tuple[RemoteFile, str]]:
    """The hash of each file, or its size where that is wrong already.

    Raises:
        ModelIncompleteError: one cannot be read.
    """

    def look(file: RemoteFile) -> str:
        path = where(file)
        size = path.stat().st_size
        return hash_as(path, file.digest) if size == file.size_bytes else f"unread: {size:,} bytes"

    try:
        yield from run_in_threads(look, files, threads=DEFAULT_THREADS, stop=threading.Event())
    except OSError as error:
        raise cannot_read(error) from error


def find_wrong(
    files: Sequence[RemoteFile],
    verified: VerifiedFiles,
    report: OnPullEvent,
    *,
    where: Callable[[RemoteFile], Path],
    known_as: Callable[[RemoteFile], Path],
) -> Iterator[tuple[RemoteFile, str]]:
    """Hash files, and note and report of each whether it is right.

    Args:
        files: what to hash.
        verified: where it is noted.
        report: told of each; of a wrong one when the next is asked for.
        where: the place of a file.
        known_as: the same, as `verified` names it.

    Yields:
        Those that are wrong, and the hash that was found.

    Raises:
        ModelIncompleteError: one cannot be read.
    """
    for file, found in hash_all(where, files):
        if found == file.digest:
            verified.add(known_as(file), file.digest)
            report(verified_event(file))
            continue
        # Else the next pull would trust its size and time.
        verified.forget(known_as(file))
        yield file, found
        report(FileWrong(path=file.path, found=found, expected=file.digest))


def not_here(request: PullRequest, local: LocalModel | None) -> ModelNotFoundError:
    """The error for a model that is not here, or of which a part is missing."""
    where = request.target or hub_cache()
    what = f"{request.repository} at {request.revision or 'main'}"
    why = local.missing if local else None
    return ModelNotFoundError(
        f"{what} is not whole in {where}: {why}" if why else f"{what} is not in {where}.",
        action=f"Run `python -m launcher pull {request.repository}`"
        + (", with HF_HUB_OFFLINE unset." if is_offline() else "."),
    )


def verified_event(file: RemoteFile, fetched_bytes: int = 0) -> FileVerified:
    """A file that is here was found right."""
    return FileVerified(
        path=file.path, size_bytes=file.size_bytes, digest=file.digest, fetched_bytes=fetched_bytes
    )
