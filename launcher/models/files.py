"""Which files of a repository serving needs. Pure.

Weights in the safetensors format, configuration, tokenizer and chat template. Never pickles
(`.bin`, `.pt`), which run code when they are read, nor Python files, nor other formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from launcher.errors import ModelIncompleteError, NoSafetensorsError
from launcher.models.folder import INDEX_NAME
from launcher.system.foreign import parse_json

WEIGHTS_SUFFIX: Final = ".safetensors"
# SGLang adds these to a GLM's weights although the index does not name them.
# Source: srt/model_loader/weight_utils.py, maybe_add_mtp_safetensors.
UNINDEXED_WEIGHTS: Final = frozenset({"mtp.safetensors"})
# config.json, generation_config.json, tokenizer.json, vocab.json, the index and so on are JSON;
# *.model and *.tiktoken are vocabularies, and *.jinja chat templates.
_SUFFIXES: Final = (".json", ".jinja", ".model", ".tiktoken")
_NAMES: Final = frozenset({"merges.txt", "vocab.txt", "added_tokens.txt"})
# The same for programs that choose files by patterns, such as `hf download`; they know no index.
NEEDED_PATTERNS: Final = (
    *(f"*{suffix}" for suffix in (WEIGHTS_SUFFIX, *_SUFFIXES)),
    *sorted(_NAMES),
)
# What lies in folders is for other programs.
NEEDLESS_PATTERN: Final = "*/*"
# Of one name in a folder: NAME_MAX of Linux, less what is put around it while it is linked.
LONGEST_PATH_CHARACTERS: Final = 4_096
LONGEST_NAME_BYTES: Final = 200
# 1 PiB: no repository has a thousandth of it.
LARGEST_REMOTE_BYTES: Final = 2**50
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
DIGEST: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub describes it.

    Args:
        path: its name within the repository.
        size_bytes: its size.
        digest: SHA-256 (64 digits) of a large file, git's own hash (40 digits) of another. The
            hub's cache names files by it.
    """

    path: str
    size_bytes: int
    digest: str

    def __post_init__(self) -> None:
        """Refuse what would become a path that nobody expects.

        Raises:
            ValueError: the name is no text, the digest is none, or the size is no number of bytes.
        """
        path: object = self.path
        named = isinstance(path, str) and 0 < len(path) <= LONGEST_PATH_CHARACTERS
        # A bool counts as a number in Python; the hub's text is not to be echoed.
        sized = type(self.size_bytes) is int and 0 <= self.size_bytes <= LARGEST_REMOTE_BYTES
        if not named or not sized or not DIGEST.fullmatch(self.digest):
            what = "its hash" if named and sized else "its size" if named else "its name"
            raise ValueError(f"{ascii(self.path)[:80]}: {what} has a form that no hub gives")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One commit of a repository: what it has, or what of it serving needs."""

    repository: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def total_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    def find(self, path: str) -> RemoteFile | None:
        """The file of that name."""
        return next((file for file in self.files if file.path == path), None)


def choose_files(files: Sequence[RemoteFile], index: bytes | None) -> tuple[RemoteFile, ...]:
    """Of all files of a repository those that serving needs, the small ones first.

    Args:
        files: what the repository has.
        index: content of the shard index, where the repository has one. Weights that it does not
            name are copies in another form, which SGLang does not load either.

    Raises:
        NoSafetensorsError: there are no such weights.
        ModelIncompleteError: the index is none, or names what the repository does not have.
    """
    # What lies in folders is for other programs: original/, onnx/, assets/.
    top = {file.path: file for file in files if _is_plain_name(file.path)}
    weights = {name for name in top if name.endswith(WEIGHTS_SUFFIX)}
    if not weights:
        raise _no_weights(files)
    if index is not None:
        named = _named_by(index)
        if missing := sorted(named - weights):
            raise ModelIncompleteError(
                f"{INDEX_NAME} names {len(missing)} files that the repository does not have.",
                action="Choose another --revision, or tell the repository's owner.",
                evidence=tuple(missing[:5]),
            )
        weights = named | (weights & UNINDEXED_WEIGHTS)
    chosen = [file for name, file in top.items() if name in weights or _is_needed(name)]
    return tuple(sorted(chosen, key=lambda file: (file.path in weights, file.path)))


def _is_plain_name(path: str) -> bool:
    """Whether it is a visible file at the top. A name from the hub is somebody else's text."""
    return (
        path.isprintable()
        and not path.startswith(".")
        and not set(path) & set("/\\")
        and len(path.encode()) <= LONGEST_NAME_BYTES
    )


def _is_needed(name: str) -> bool:
    return name.endswith(_SUFFIXES) or name in _NAMES


def _named_by(index: bytes) -> set[str]:
    try:
        content: Any = parse_json(index)
        names = set(content["weight_map"].values())
    except (ValueError, LookupError, TypeError, AttributeError):
        names = set()
    if not names or not all(isinstance(name, str) for name in names):
        raise ModelIncompleteError(
            f"{INDEX_NAME} of the repository has no weight_map that names files.",
            action="Choose another --revision, or tell the repository's owner.",
        )
    return names


def _no_weights(files: Iterable[RemoteFile]) -> NoSafetensorsError:
    suffixes = sorted({f".{file.path.rpartition('.')[2]}" for file in files if "." in file.path})
    return NoSafetensorsError(
        "The repository has no weights in the safetensors format, and no other is served: its "
        f"files end in {', '.join(suffixes[:8]) or 'nothing'}.",
        action="Choose a repository with *.safetensors; conversions are often beside the original.",
    )
