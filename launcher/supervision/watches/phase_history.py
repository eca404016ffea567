"""How long each phase took when the same model was started on the same machine before.

One file, `phase_times.json` in the user's state folder, 0600. It only serves to say "usually
12 s": where it cannot be read or written, nothing is known or kept, and a start goes on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, ValidationError

from launcher.engines.phases import Phase
from launcher.errors import StateError
from launcher.state.paths import servers_root
from launcher.system import private
from launcher.system.files import file_size_bytes, make_private_folder, write_atomically
from launcher.system.locks import open_locked

STARTS_PER_KEY: Final = 10
MOST_KEYS: Final = 200
# Full, it holds less than half a MiB. What is larger is not ours.
LARGEST_FILE_BYTES: Final = 4 * 1024**2
LOCK_TIMEOUT_SECONDS: Final = 1.0
_SCHEMA_VERSION: Final = 1

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _File(BaseModel):
    """The file. Keys stand in the order of their last start, the oldest first.

    Phases are not checked by name: another version may have more of them.
    """

    schema_version: Literal[1] = _SCHEMA_VERSION
    starts: dict[str, list[dict[str, _Seconds]]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """What earlier starts took for one phase, in seconds."""

    median_seconds: float
    longest_seconds: float
    count: int


def phase_deadline_seconds(times: PhaseTimes | None) -> float | None:
    """After how long a phase counts as slow, or None where there is nothing to compare with.

    Formula: 3 x the longest seen + 30 s.

    The longest and not the median, since one of the ten may have found its files or kernels in
    no cache, and that is no fault. Three times, since the same load from the same disk varies by
    a factor of two with its neighbours. The 30 s are for phases of a second, of which a busy
    machine makes ten.
    """
    return None if times is None else 3 * times.longest_seconds + 30


def history_file() -> Path:
    """Where this user's history is: `$XDG_STATE_HOME/specserve/phase_times.json`."""
    return servers_root().parent / "phase_times.json"


class PhaseHistory:
    """The durations of earlier starts, in a file. No method raises for what the file is."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def usual(self, key: str) -> Mapping[Phase, PhaseTimes]:
        """What earlier starts of this kind took, for the phases that they had."""
        history = self._read()
        starts = [] if history is None else history.starts.get(key, [])
        usual = {}
        for phase in Phase:
            seconds = [start[phase] for start in starts if phase in start]
            if seconds:
                usual[phase] = PhaseTimes(statistics.median(seconds), max(seconds), len(seconds))
        return usual

    def add(self, key: str, durations: Mapping[Phase, float]) -> bool:
        """Keep a start that succeeded; says whether it was kept.

        Args:
            key: of its kind, from `history_key`.
            durations: seconds of each phase.
        """
        start = {
            phase.value: round(seconds, 3)
            for phase, seconds in durations.items()
            if math.isfinite(seconds) and seconds >= 0
        }
        if not start:
            return False
        try:
            make_private_folder(self._file.parent)
            # Read under the lock, so that of two servers that write at once neither is lost.
            lock_file = self._file.with_suffix(".lock")
            with open_locked(lock_file, timeout_seconds=LOCK_TIMEOUT_SECONDS):
                history = self._read()
                if history is None:
                    return False
                starts = history.starts.pop(key, [])
                history.starts[key] = [*starts, start][-STARTS_PER_KEY:]
                for oldest in list(history.starts)[:-MOST_KEYS]:
                    del history.starts[oldest]
                write_atomically(self._file, history.model_dump_json() + "\n")
        except (OSError, StateError):
            return False
        return True

    def _read(self) -> _File | None:
        """The file, empty where it is missing or broken, or None where it is not ours to replace.

        That of another version of this project stays as it is: two versions side by side must
        not throw away each other's.
        """
        try:
            if file_size_bytes(self._file) > LARGEST_FILE_BYTES:
                return _File()
            text = private.read_bytes(self._file, largest_bytes=LARGEST_FILE_BYTES)
        except FileNotFoundError:
            return _File()
        except OSError:
            return None
        try:
            return _File.model_validate_json(text)
        except ValidationError as error:
            another_version = any(part["loc"] == ("schema_version",) for part in error.errors())
            return None if another_version else _File()
