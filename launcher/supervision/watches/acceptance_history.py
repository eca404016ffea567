"""What speculation accepted in earlier runs, by kind of server, in a file of this user's."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.errors import StateError
from launcher.metrics.alarms import Baseline
from launcher.state.paths import servers_root
from launcher.system import private
from launcher.system.files import make_private_folder, write_atomically
from launcher.system.locks import open_locked

LARGEST_FILE_BYTES: Final = 1024**2
MOST_KEYS: Final = 200
LOCK_TIMEOUT_SECONDS: Final = 1.0


def acceptance_file() -> Path:
    """Where this user's is: `$XDG_STATE_HOME/specserve/acceptance.json`."""
    return servers_root().parent / "acceptance.json"


class _Usual(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    acceptance_length: float = Field(ge=1, le=1_000)
    deviation: float = Field(ge=0, le=1_000)


class _File(BaseModel):
    model_config = ConfigDict(strict=True)

    schema_version: int = Field(default=1, ge=1, le=1)
    usual: dict[str, _Usual] = {}


class AcceptanceHistory:
    """Baselines of earlier runs. No method raises for what the file is.

    Args:
        file: where they are.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, key: str) -> Baseline | None:
        """What is usual for servers of a kind; None where nothing is known."""
        found = self._read().usual.get(key)
        if found is None:
            return None
        return Baseline(found.acceptance_length, found.deviation, "in an earlier run")

    def keep(self, key: str, baseline: Baseline) -> None:
        """Remember it; a disk that takes nothing must not keep a server from serving."""
        try:
            made = _Usual(
                acceptance_length=baseline.acceptance_length, deviation=baseline.deviation
            )
            make_private_folder(self._file.parent)
            with open_locked(self._file.with_suffix(".lock"), timeout_seconds=LOCK_TIMEOUT_SECONDS):
                known = self._read().usual
                known.pop(key, None)
                kept = dict([*known.items(), (key, made)][-MOST_KEYS:])
                write_atomically(self._file, _File(usual=kept).model_dump_json() + "\n")
        except (OSError, StateError, ValidationError):
            return

    def _read(self) -> _File:
        try:
            content = private.read_bytes(self._file, largest_bytes=LARGEST_FILE_BYTES)
            return _File.model_validate_json(content)
        except (OSError, ValidationError):
            return _File()
