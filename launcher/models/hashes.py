"""Whether the files of a model from the hub are what the hub has: the hash of each, once.

The hub names each file by its hash: SHA-256 for large files, and git's own for the others. Its
cache does so too, so that there nobody has to be asked. What was found right is remembered by
size, inode and time, and not read again: 100 GB take minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from launcher.errors import ModelIncompleteError, StateError
from launcher.models.files import DIGEST
from launcher.state.paths import servers_root
from launcher.system import private
from launcher.system.files import make_private_folder, write_atomically
from launcher.system.foreign import parse_json

BLOBS: Final = "blobs"
_SHA256_DIGITS: Final = 64
# A line of 200 bytes for each file that was ever hashed.
LARGEST_MEMORY_BYTES: Final = 64 * 1024**2
_THREADS: Final = 4


def memory_file() -> Path:
    """Where it stands what was found right: `$XDG_STATE_HOME/specserve/verified_files.json`."""
    return servers_root().parent / "verified_files.json"


class VerifiedFiles:
    """Files that were found right, and are as they were then.

    Args:
        memory: what `memory_file` says.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known = _recall(memory)
        self._changed: dict[str, list[int | str] | None] = {}

    def knows(self, file: Path, digest: str) -> bool:
        """Whether a file was found to have this hash and was not written to since."""
        mark = self._known.get(str(file))
        try:
            return mark is not None and mark == _mark(file, digest)
        except OSError:
            return False

    def add(self, file: Path, digest: str) -> None:
        """A file was read, and has this hash."""
        with contextlib.suppress(OSError):
            self._known[str(file)] = self._changed[str(file)] = _mark(file, digest)

    def forget(self, file: Path) -> None:
        """A file is not what it should be."""
        self._known.pop(str(file), None)
        self._changed[str(file)] = None

    def save(self) -> None:
        """Write it down; a disk that is full costs another look the next time."""
        # Others may have written meanwhile.
        known = {**_recall(self._memory), **self._changed}
        there = {name: mark for name, mark in known.items() if mark and Path(name).exists()}
        with contextlib.suppress(StateError, OSError):
            make_private_folder(self._memory.parent)
            write_atomically(self._memory, json.dumps(there) + "\n")


def blobs_of(path: Path) -> list[Path]:
    """The blobs behind a model folder of the hub's cache, or in a repository's folder there.

    Source: huggingface_hub, "Understand caching": snapshots/REVISION/NAME is a link to blobs/HASH.
    That may itself be a link, into a store that repositories share and that names files otherwise
    (huggingface_hub 1.33, utils/_shared_blobs.py).

    Returns:
        Nothing for a folder that does not come from the hub: nobody says what is right there.
    """
    if not path.is_dir():
        return []
    if (path / BLOBS).is_dir():
        files = {file for file in (path / BLOBS).iterdir() if file.is_file()}
    else:
        files = {_follow_once(file) for file in path.iterdir() if file.is_file()}
    # Not a download that is incomplete, and the like.
    return sorted(
        file for file in files if file.parent.name == BLOBS and DIGEST.fullmatch(file.name)
    )


def check_hashes(blobs: Iterable[Path], memory: Path) -> None:
    """Hash what was not hashed before, and set aside what is wrong.

    Args:
        blobs: files named by their hash.
        memory: what `memory_file` says.

    Raises:
        ModelIncompleteError: a file cannot be read, or is not what its name says; then it is
            renamed to end in `.corrupt`, where the folder may be written, so that a download
            fetches it, and it alone.
    """
    verified = VerifiedFiles(memory)
    left = [blob for blob in blobs if not verified.knows(blob, blob.name)]
    if not left:
        return
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            hashes = list(pool.map(lambda blob: hash_as(blob, blob.name), left))
    except OSError as error:
        raise cannot_read(error) from error
    wrong = [(blob, found) for blob, found in zip(left, hashes, strict=True) if found != blob.name]
    for blob in left:
        verified.add(blob, blob.name)
    for blob, _ in wrong:
        verified.forget(blob)
    verified.save()
    if wrong:
        raise ModelIncompleteError(
            f"{len(wrong)} of {len(left)} files of the model are not what the hub has.",
            action="Run `python -m launcher pull OWNER/NAME`: it fetches what is missing now, and "
            "nothing else.",
            evidence=tuple(_set_aside(blob, found) for blob, found in wrong),
        )


def hash_as(file: Path, digest: str) -> str:
    """The hash of a file, of the kind of another hash.

    Source: huggingface_hub, "Understand caching"; git's is the SHA-1 of "blob SIZE", a zero byte
    and the content (git-hash-object).

    Args:
        file: what to read.
        digest: 64 digits ask for SHA-256, 40 for git's.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as content:
        if len(digest) == _SHA256_DIGITS:
            return hashlib.file_digest(content, "sha256").hexdigest()
        size = os.fstat(content.fileno()).st_size
        sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := content.read(1024**2):
            sha1.update(block)
        return sha1.hexdigest()


def aside(stored: Path) -> Path:
    """Where a file goes that is not what it should be, until the right one is here."""
    return stored.with_name(f"{stored.name}.corrupt")


def cannot_read(error: OSError) -> ModelIncompleteError:
    """The error for a file of a model that the system refuses."""
    return ModelIncompleteError(
        f"{error.filename} of the model cannot be read: {error.strerror}.",
        action="Look at its owner, its mode and the disk.",
    )


def _follow_once(file: Path) -> Path:
    """Where a link leads, and no further."""
    return Path(os.path.normpath(file.parent / file.readlink())) if file.is_symlink() else file


def _set_aside(blob: Path, found: str) -> str:
    """Rename a blob; returns what happened, in words."""
    names = ", ".join(_names_of(blob)) or "a file"
    what = f"{names}: its hash is {found}, and should be {blob.name}"
    with contextlib.suppress(OSError):
        blob.rename(aside(blob))
        return f"{what}; set aside as {aside(blob)}"
    return f"{what}; remove {blob}"


def _names_of(blob: Path) -> Iterator[str]:
    """What a model calls a blob."""
    for link in sorted(blob.parent.parent.glob("snapshots/*/*")):
        if link.is_symlink() and _follow_once(link) == blob:
            yield link.name


def _mark(file: Path, digest: str) -> list[int | str]:
    status = file.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, digest]


def _recall(memory: Path) -> dict[str, list[int | str]]:
    try:
        known = parse_json(private.read_bytes(memory, largest_bytes=LARGEST_MEMORY_BYTES))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
