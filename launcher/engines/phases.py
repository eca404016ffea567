"""The phases of a start, whatever the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """What a start is doing, in order. The value is what people read."""

    CHECKING = "checking"
    JOINING = "joining machines"
    IMPORTING = "importing the engine"
    WEIGHTS = "loading weights"
    DRAFT_WEIGHTS = "loading draft weights"
    KV_CACHE = "KV cache"
    GRAPHS = "graphs"
    WARM_UP = "warm-up"
    READY = "ready"


ORDER: Final = {phase: number for number, phase in enumerate(Phase)}


@dataclass(frozen=True, slots=True)
class Progress:
    """A phase, with its count where it has one."""

    phase: Phase
    done: int | None = None
    total: int | None = None


def advanced(now: Progress, following: Progress | None) -> Progress | None:
    """What follows in a start, where it is anything else than now, and in no earlier phase."""
    if following is None or following == now or ORDER[following.phase] < ORDER[now.phase]:
        return None
    return following
