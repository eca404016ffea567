"""What speculation accepted in earlier runs, by kind of server, in a file of this user's."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.metrics.alarms import Baseline
from launcher.state.kept import KeptFile, put_last
from launcher.state.paths import servers_root


def acceptance_file() -> Path:
    """Where this user's is: `$XDG_STATE_HOME/specserve/acceptance.json`."""
    return servers_root().parent / "acceptance.json"


class _Usual(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    acceptance_length: float = Field(ge=1, le=1_000)
    deviation: float = Field(ge=0, le=1_000)


class _File(BaseModel):
    schema_version: Literal[1] = 1
    usual: dict[str, _Usual] = Field(default_factory=dict)


class AcceptanceHistory:
    """Baselines of earlier runs. No method raises for what the file is.

    Args:
        file: where they are.
    """

    def __init__(self, file: Path) -> None:
        self._file = KeptFile(file, _File)

    def read(self, key: str) -> Baseline | None:
        """What is usual for servers of a kind; None where nothing is known."""
        content = self._file.read()
        found = None if content is None else content.usual.get(key)
        if found is None:
            return None
        return Baseline(found.acceptance_length, found.deviation, "in an earlier run")

    def keep(self, key: str, baseline: Baseline) -> None:
        """Remember it; a disk that takes nothing must not keep a server from serving."""
        with contextlib.suppress(ValidationError):
            made = _Usual(
                acceptance_length=baseline.acceptance_length, deviation=baseline.deviation
            )
            self._file.change(lambda content: put_last(content.usual, key, made))
