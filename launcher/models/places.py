"""Where the files of a model lie: in the hub's cache, or in a plain folder.

In both, a download that is not complete lies under its hash beside the lock, so that only what was
found right ever has its name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from launcher.errors import InvalidValueError, ModelInUseError, StateError
from launcher.models.files import COMMIT, RemoteFile
from launcher.models.folder import INDEX_NAME
from launcher.system.files import replace_file
from launcher.system.foreign import read_foreign
from launcher.system.locks import open_locked

LOCK_NAME: Final = "specserve.lock"
OWN_FOLDER: Final = ".specserve"
MAIN: Final = "main"
# A commit, or the number of a process, and a line break.
LARGEST_REF_BYTES: Final = 1_024
_REVISION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")


class Place(Protocol):
    """Where one repository's files go.

    Attributes:
        root: the folder that everything lies in, apart from the lock.
        lock_file: locked by whoever downloads.
    """

    root: Path
    lock_file: Path

    def folder(self, commit: str) -> Path:
        """The model folder of a commit."""

    def partial(self, file: RemoteFile) -> Path:
        """What has come of a file."""

    def stored(self, file: RemoteFile) -> Path:
        """A whole file."""

    def show(self, commit: str, file: RemoteFile) -> None:
        """Let a whole file be seen in the model folder."""

    def finish(self, revision: str, commit: str) -> None:
        """All files of the commit are there."""


class CachePlace:
    """A repository in the hub's cache, as huggingface_hub lays it out, so that all share it.

    Source: huggingface_hub, "Understand caching": blobs/HASH, snapshots/COMMIT/NAME links to
    them, refs/REVISION holds the commit.
    """

    def __init__(self, cache: Path, repository: str) -> None:
        name = f"models--{repository.replace('/', '--')}"
        self.root = cache / name
        self.lock_file = cache / ".locks" / name / LOCK_NAME

    def folder(self, commit: str) -> Path:
        """The snapshot."""
        return self.root / "snapshots" / commit

    def partial(self, file: RemoteFile) -> Path:
        """Not the client's own name for it: former versions write to that one, locked otherwise."""
        return self.root / "blobs" / f"{file.digest}.specserve.incomplete"

    def stored(self, file: RemoteFile) -> Path:
        """The blob."""
        return self.root / "blobs" / file.digest

    def show(self, commit: str, file: RemoteFile) -> None:
        """Link to the blob."""
        link = self.folder(commit) / file.path
        target = Path("../../blobs") / file.digest
        if link.is_symlink() and link.readlink() == target:
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        partial = link.with_name(f".{link.name}.{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        partial.symlink_to(target)
        partial.replace(link)

    def finish(self, revision: str, commit: str) -> None:
        """Let the branch or tag mean this commit here."""
        # Of whoever was killed between making a link and naming it.
        for left in self.folder(commit).glob(".*.partial"):
            left.unlink()
        if COMMIT.fullmatch(revision):
            return
        ref = self.root / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        replace_file(ref, commit.encode(), mode=0o666)

    def commit_of(self, revision: str) -> str | None:
        """The commit that a branch or tag means here, or None."""
        if COMMIT.fullmatch(revision):
            return revision
        check_revision(revision)
        with contextlib.suppress(OSError, UnicodeError):
            ref = read_foreign(self.root / "refs" / revision, most_bytes=LARGEST_REF_BYTES)
            commit = ref.decode("ascii").strip()
            return commit if COMMIT.fullmatch(commit) else None
        return None

    def commits(self) -> list[str]:
        """The commits of which there is something here."""
        return sorted(
            folder.name for folder in self.root.glob("snapshots/*") if COMMIT.fullmatch(folder.name)
        )

    def names_of(self, commit: str) -> list[str]:
        """The branches and tags that mean a commit here."""
        refs = self.root / "refs"
        names = [str(ref.relative_to(refs)) for ref in refs.rglob("*") if ref.is_file()]
        # Whatever else somebody put there is no branch or tag.
        refs_here = [name for name in names if _is_revision(name)]
        return sorted(name for name in refs_here if self.commit_of(name) == commit)


class FolderPlace:
    """A folder of the user's choice, which holds one commit of one repository.

    Raises:
        InvalidValueError: it holds something else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._own = root / OWN_FOLDER
        self.lock_file = self._own / LOCK_NAME
        if root.exists() and not root.is_dir():
            raise InvalidValueError(f"{root} is not a folder.", action="Choose another --target.")
        known = (OWN_FOLDER, "config.json", INDEX_NAME)
        if root.is_dir() and any(root.iterdir()) and not any((root / n).exists() for n in known):
            raise InvalidValueError(
                f"{root} holds something else than a model.",
                action="Choose an empty or a new folder with --target.",
            )

    def folder(self, commit: str) -> Path:
        """The folder itself."""
        del commit
        return self.root

    def partial(self, file: RemoteFile) -> Path:
        """In our own folder."""
        return self._own / f"{file.path}.{file.digest}.incomplete"

    def stored(self, file: RemoteFile) -> Path:
        """Under its own name."""
        return self.root / file.path

    def show(self, commit: str, file: RemoteFile) -> None:
        """It is there already."""

    def finish(self, revision: str, commit: str) -> None:
        """Remove parts of files that another commit had."""
        del revision, commit
        for left in self._own.glob("*.incomplete"):
            left.unlink()


def check_revision(revision: str) -> None:
    """Refuse a revision that is no name of a file.

    Raises:
        InvalidValueError: it is not.
    """
    if not _is_revision(revision):
        raise InvalidValueError(
            f"The revision {revision!r} is no commit, branch or tag.",
            action="Leave --revision out for the main branch.",
        )


@contextlib.contextmanager
def locked(
    place: Place, repository: str, *, wait: Callable[[int | None], None] | None = None
) -> Iterator[None]:
    """Be the only one who writes there. The kernel lets go when the process dies.

    Args:
        place: what to lock.
        repository: for the message.
        wait: called again and again while another process, with this number where it is known,
            holds the lock; it pauses. None: do not wait.

    Raises:
        ModelInUseError: another process holds the lock and nobody waits for it.
        StateError: the lock file cannot be made.
    """
    while (lock := _try_lock(place.lock_file)) is None:
        holder = _holder(place.lock_file)
        if wait is None:
            who = f"process {holder}" if holder else "another process"
            raise ModelInUseError(
                f"{repository} is being downloaded by {who}.",
                action="Wait until it has ended, or end it.",
            )
        wait(holder)
    with lock:
        with contextlib.suppress(OSError):
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n".encode())
        yield


def cannot_write(path: Path, error: OSError) -> StateError:
    """The error for a place that the system refuses."""
    return StateError(
        f"{error.filename or path} cannot be written: {error.strerror}.",
        action="Mend its permissions, or choose another place: HF_HUB_CACHE, or --target.",
    )


def _is_revision(text: str) -> bool:
    return _REVISION.fullmatch(text) is not None and ".." not in text


def _try_lock(lock_file: Path) -> BinaryIO | None:
    try:
        try:
            return open_locked(lock_file, mode=0o644, shared=True)
        except FileNotFoundError:
            lock_file.parent.mkdir(parents=True, exist_ok=True)
            return open_locked(lock_file, mode=0o644, shared=True)
    except BlockingIOError:
        return None
    except OSError as error:
        raise cannot_write(lock_file, error) from error


def _holder(lock_file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(read_foreign(lock_file, most_bytes=LARGEST_REF_BYTES))
    return None
