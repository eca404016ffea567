"""What a supervisor hears of the other machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Joined:
    """Another number of machines is ready to start.

    Attributes:
        missing: the numbers of those that are not, as far as this machine knows.
    """

    missing: tuple[int, ...]


class AllHere:
    """All machines are ready to start: now."""


@dataclass(frozen=True, slots=True)
class Disagreed:
    """Machines differ in what has to be the same."""

    problems: tuple[str, ...]


class Moved:
    """The start goes on, on another machine."""


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """The server of another machine has ended.

    Attributes:
        rank: of that machine.
        problem: why, in its own words.
    """

    rank: int
    problem: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """On another machine somebody stops the server, or restarts it."""

    again: bool


@dataclass(frozen=True, slots=True)
class LeaderGaveUp:
    """Machine 0 starts no more."""

    problem: str


NodesEvent: TypeAlias = Joined | AllHere | Disagreed | Moved | NodeEnded | StopAsked | LeaderGaveUp
