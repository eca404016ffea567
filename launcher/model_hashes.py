"""Whether the files of a model from the hub are what the hub has: the hash of each, once.

The hub's cache names each file by its hash: SHA-256 for large files, and git's own for the others.
So nobody has to be asked. What was found right is remembered by size, inode and time, and not read
again: 100 GB take minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from launcher.errors import ModelIncompleteError, StateError
from launcher.private_files import make_private_folder, write_atomically
from launcher.run_store import servers_root

BLOBS: Final = "blobs"
_SHA256_DIGITS: Final = 64
_SHA1_DIGITS: Final = 40
_THREADS: Final = 4


def memory_file() -> Path:
    """Where it stands what was found right: `$XDG_STATE_HOME/specserve/verified_files.json`."""
    return servers_root().parent / "verified_files.json"


def blobs_of(path: Path) -> list[Path]:
    """The blobs behind a model folder of the hub's cache, or in a repository's folder there.

    Source: huggingface_hub, "Understand caching": snapshots/REVISION/NAME is a link to blobs/HASH.

    Returns:
        Nothing for a folder that does not come from the hub: nobody says what is right there.
    """
    if not path.is_dir():
        return []
    folder = path / BLOBS if (path / BLOBS).is_dir() else path
    files = (file.resolve() for file in folder.iterdir() if file.is_file())
    return sorted({file for file in files if file.parent.name == BLOBS and _digits(file)})


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
    known = _recall(memory)
    left = [blob for blob in blobs if known.get(str(blob)) != _mark(blob)]
    if not left:
        return
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            hashes = list(pool.map(_hash, left))
    except OSError as error:
        raise ModelIncompleteError(
            f"{error.filename} of the model cannot be read: {error.strerror}.",
            action="Look at its owner, its mode and the disk.",
        ) from error
    wrong = [(blob, found) for blob, found in zip(left, hashes, strict=True) if found != blob.name]
    known |= {str(blob): _mark(blob) for blob in left}
    for blob, _ in wrong:
        del known[str(blob)]
    _remember(memory, known)
    if wrong:
        raise ModelIncompleteError(
            f"{len(wrong)} of {len(left)} files of the model are not what the hub has.",
            action="Run `hf download OWNER/NAME` again: it fetches what is missing now, and "
            "nothing else.",
            evidence=tuple(_set_aside(blob, found) for blob, found in wrong),
        )


def _set_aside(blob: Path, found: str) -> str:
    """Rename a blob; returns what happened, in words."""
    names = ", ".join(_names_of(blob)) or "a file"
    aside = blob.with_name(f"{blob.name}.corrupt")
    what = f"{names}: its hash is {found}, and should be {blob.name}"
    with contextlib.suppress(OSError):
        blob.rename(aside)
        return f"{what}; set aside as {aside}"
    return f"{what}; remove {blob}"


def _names_of(blob: Path) -> Iterator[str]:
    """What a model calls a blob."""
    for link in sorted(blob.parent.parent.glob("snapshots/*/*")):
        if link.is_symlink() and link.resolve() == blob:
            yield link.name


def _digits(blob: Path) -> int:
    """How long a hash a file is named by; 0 for a download that is not complete, and the like."""
    is_hash = set(blob.name) <= set("0123456789abcdef")
    return len(blob.name) if is_hash and len(blob.name) in {_SHA256_DIGITS, _SHA1_DIGITS} else 0


def _hash(blob: Path) -> str:
    """The hash by which the hub would name a file.

    Source: huggingface_hub, "Understand caching"; git's is the SHA-1 of "blob SIZE", a zero byte
    and the content (git-hash-object).
    """
    if _digits(blob) == _SHA256_DIGITS:
        with blob.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = blob.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _mark(blob: Path) -> list[int]:
    status = blob.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns]


def _recall(memory: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(memory: Path, known: dict[str, list[int]]) -> None:
    """Write it down; a disk that is full costs another look the next time."""
    there = {name: mark for name, mark in known.items() if Path(name).exists()}
    with contextlib.suppress(StateError, OSError):
        make_private_folder(memory.parent)
        write_atomically(memory, json.dumps(there) + "\n")
