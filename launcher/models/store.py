"""Which models are here: in the hub's cache, and in folders that `pull` has filled.

What `pull` found out is kept in `$XDG_STATE_HOME/specserve/models`, one file for each model
folder: the commit, where it came from, each file with its hash, and when all were last verified.
Never a token.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from launcher.errors import LauncherError
from launcher.models.files import Manifest, RemoteFile
from launcher.models.folder import check_weights
from launcher.models.hashes import VerifiedFiles, blobs_of, memory_file
from launcher.models.places import MAIN, CachePlace
from launcher.state.paths import servers_root
from launcher.system import private
from launcher.system.files import file_size_bytes, make_private_folder, write_atomically

SCHEMA_VERSION: Final = 1
_CACHE_PREFIX: Final = "models--"
# A model of a thousand shards has 200 KiB.
_LARGEST_RECORD_BYTES: Final = 8 * 1024**2


class ModelRecord(BaseModel):
    """What `pull` knows of a model folder."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    repository: str
    revision: str
    commit: str
    endpoint: str
    in_cache: bool
    folder: Path
    files: tuple[RemoteFile, ...]
    pulled_at: datetime
    verified_at: datetime

    @property
    def manifest(self) -> Manifest:
        """The files, as values."""
        return Manifest(self.repository, self.revision, self.commit, self.files)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model folder that is here, whole or in part.

    Attributes:
        repository: its id at the hub.
        commit: of which commit it is.
        names: the branches and tags that mean the commit here.
        folder: what to serve.
        size_bytes: of the files that are here.
        missing: what is not here, in words; None where the model is complete.
        record: what `pull` knows of it; None where another program brought it.
        verified_at: when each file was last found right; None where that was never, or where one
            was written to since.
        in_cache: whether it lies in the hub's cache.
    """

    repository: str
    commit: str
    names: tuple[str, ...]
    folder: Path
    size_bytes: int
    missing: str | None
    record: ModelRecord | None
    verified_at: datetime | None
    in_cache: bool


def hub_cache() -> Path:
    """Where the hub's client keeps models.

    Source: huggingface_hub, "Environment variables": HF_HUB_CACHE, else HF_HOME/hub, else
    XDG_CACHE_HOME/huggingface/hub.
    """
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    xdg = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else xdg / "huggingface") / "hub"


def is_offline() -> bool:
    """Whether the user forbids to ask the hub.

    Source: huggingface_hub 1.33, constants.py, HF_HUB_OFFLINE.
    """
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in {"1", "ON", "YES", "TRUE"}


def records_folder() -> Path:
    """Where the records are."""
    return servers_root().parent / "models"


def read_record(folder: Path) -> ModelRecord | None:
    """What `pull` knows of a model folder; None where it knows nothing."""
    return _read(_record_file(folder))


def write_record(record: ModelRecord) -> None:
    """Keep it.

    Raises:
        StateError: the state folder cannot be written.
    """
    file = _record_file(record.folder)
    make_private_folder(file.parent)
    write_atomically(file, record.model_dump_json(indent=2) + "\n")


def forget_record(folder: Path) -> None:
    """The model folder is gone."""
    with contextlib.suppress(OSError):
        _record_file(folder).unlink()


def find_in_cache(repository: str, revision: str | None) -> LocalModel | None:
    """What is here of a branch, tag or commit; None for the main branch. Asks nobody."""
    place = CachePlace(hub_cache(), repository)
    commit = place.commit_of(revision or MAIN)
    if commit is None or not place.folder(commit).is_dir():
        return None
    return _describe_snapshot(place, repository, commit)


def find_folder(folder: Path) -> LocalModel | None:
    """What `pull` has put into a folder; None where it has not."""
    record = read_record(folder)
    if record is None or record.in_cache:
        return None
    return _describe(
        record.repository,
        record.commit,
        folder,
        (folder / file.path for file in record.files),
        names=(record.revision,),
        in_cache=False,
    )


def list_models() -> list[LocalModel]:
    """All models here, by repository, those of the hub's cache first."""
    cache = hub_cache()
    models: list[LocalModel] = []
    for root in sorted(cache.glob(f"{_CACHE_PREFIX}*")):
        repository = root.name.removeprefix(_CACHE_PREFIX).replace("--", "/")
        place = CachePlace(cache, repository)
        found = [_describe_snapshot(place, repository, commit) for commit in place.commits()]
        models += found or _describe_start(place, repository)
    records = (_read(file) for file in sorted(records_folder().glob("*.json")))
    folders = [record.folder for record in records if record and not record.in_cache]
    models += [model for folder in folders if folder.is_dir() and (model := find_folder(folder))]
    return models


def _describe_snapshot(place: CachePlace, repository: str, commit: str) -> LocalModel:
    folder = place.folder(commit)
    names = tuple(place.names_of(commit))
    return _describe(repository, commit, folder, folder.iterdir(), names=names, in_cache=True)


def _describe(
    repository: str,
    commit: str,
    folder: Path,
    files: Iterable[Path],
    *,
    names: tuple[str, ...],
    in_cache: bool,
) -> LocalModel:
    record = read_record(folder)
    return LocalModel(
        repository=repository,
        commit=commit,
        names=names,
        folder=folder,
        size_bytes=sum(map(file_size_bytes, files)),
        missing=_what_is_missing(folder, record),
        record=record,
        verified_at=_verified_at(folder, record),
        in_cache=in_cache,
    )


def _describe_start(place: CachePlace, repository: str) -> list[LocalModel]:
    """A repository of which no file is whole."""
    size = sum(map(file_size_bytes, place.root.glob("blobs/*")))
    if not size:
        return []
    why = "no file of it is whole"
    return [LocalModel(repository, "", (), place.root, size, why, None, None, in_cache=True)]


def _what_is_missing(folder: Path, record: ModelRecord | None) -> str | None:
    for file in record.files if record else ():
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return f"{file.path} is missing or has another size"
    if not (folder / "config.json").is_file():
        return "config.json is missing"
    try:
        # No tokenizer is asked for: draft models come without.
        check_weights(folder)
    except LauncherError as error:
        return error.problem
    return None


def _verified_at(folder: Path, record: ModelRecord | None) -> datetime | None:
    if record is None:
        return None
    verified = VerifiedFiles(memory_file())
    blobs = {blob.name: blob for blob in blobs_of(folder)} if record.in_cache else {}
    right = all(
        verified.knows(blobs.get(file.digest, folder / file.path), file.digest)
        for file in record.files
    )
    return record.verified_at if right else None


def _record_file(folder: Path) -> Path:
    return records_folder() / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"


def _read(file: Path) -> ModelRecord | None:
    try:
        content = private.read_bytes(file, largest_bytes=_LARGEST_RECORD_BYTES)
        return ModelRecord.model_validate_json(content)
    except (OSError, ValidationError):
        return None
