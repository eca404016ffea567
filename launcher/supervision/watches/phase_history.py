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

from pydantic import BaseModel, Field

from launcher.engines.phases import Phase
from launcher.state.kept import KeptFile, put_last
from launcher.state.paths import servers_root

STARTS_PER_KEY: Final = 10
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
        self._file = KeptFile(file, _File)

    def usual(self, key: str) -> Mapping[Phase, PhaseTimes]:
        """What earlier starts of this kind took, for the phases that they had."""
        history = self._file.read()
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

        def add(history: _File) -> None:
            starts = [*history.starts.get(key, []), start]
            put_last(history.starts, key, starts[-STARTS_PER_KEY:])

        return self._file.change(add)
