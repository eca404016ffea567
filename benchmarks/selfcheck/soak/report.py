"""What a soak measures: one kill, all kills, and how both are shown."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Final

from rich.table import Table

ANY_MEMBER: Final = "any member"
STAND_BY: Final = "stand-by"
TARGETS: Final = ("server", "scheduler", "detokenizer", "collector", "supervisor", ANY_MEMBER)
IDLE, IN_FLIGHT, START = KILL_MOMENTS = ("idle", "in flight", "start")
# The process is not killed but stopped (SIGSTOP): it is there, and does nothing.
FROZEN_IDLE, FROZEN_IN_FLIGHT = FREEZE_MOMENTS = ("frozen, idle", "frozen, in flight")
# A supervisor that stands still is seen by nobody but systemd; what else there is may do without.
PAIRS: Final = (
    *product(TARGETS, KILL_MOMENTS),
    *product(("server", "scheduler", "detokenizer", "collector"), FREEZE_MOMENTS),
)
# Where a process stands by for the next run; it may die, and nothing follows.
STAND_BY_PAIRS: Final = (*product((STAND_BY,), (IDLE, IN_FLIGHT)),)
# What may come of a kill: another run of the server; the same one with another supervisor, or with
# another collector; the same one as it was, which did without the process; nothing.
NEW_RUN, ADOPTED, REPLACED, KEPT = "new run", "adopted", "replaced", "kept"
NOT_RECOVERED: Final = "not recovered"
GROUPS = SERVING, FROZEN, STARTING, BY_UP, NEW_COLLECTOR = (
    "a new run, killed while it served",
    "a new run, frozen while it served",
    "a new run, killed while it started",
    "by `up`, after the supervisor was killed",
    "a new collector",
)
FIGURES: Final = ("detected_seconds", "added_seconds")


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill and what came of it. Times run from the signal, by the monotonic clock.

    Formula: added = time until READY - the new run's own start, or the time until the server was
    adopted or its collector replaced; no value where the server went on as it was.

    Attributes:
        number: which in the row.
        target: what was to be killed; a fallback is `ANY_MEMBER`.
        title: what the process calls itself.
        moment: of `KILL_MOMENTS`, or of `FREEZE_MOMENTS`: then it was stopped.
        phase: of the start in which it was killed.
        outcome: what became of the server.
        detected_seconds: until the supervisor's first event about it.
        recovered_seconds: until READY, or until all was as before.
        answered_seconds: until a request was answered.
        start_seconds: how long the new run itself took to be READY.
        added_seconds: see above.
        finished_requests: of those in flight.
        broken_requests: of those in flight.
        longest_request_seconds: until the last of those in flight ended, one way or the other.
        problems: what ought not to be; empty where all went well.
    """

    number: int
    target: str
    title: str
    moment: str
    phase: str | None
    outcome: str
    detected_seconds: float | None = None
    recovered_seconds: float | None = None
    answered_seconds: float | None = None
    start_seconds: float | None = None
    added_seconds: float | None = None
    finished_requests: int = 0
    broken_requests: int = 0
    longest_request_seconds: float | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """Some values in one line. The 90th percentile is the nearest rank: one of the values."""

    count: int
    median: float
    p90: float
    least: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None where there are none."""
        if not values:
            return None
        ordered = sorted(values)
        p90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
        return cls(len(ordered), statistics.median(ordered), p90, ordered[0], ordered[-1])


@dataclass(frozen=True, slots=True)
class SoakReport:
    """A whole soak.

    Attributes:
        left: what ought not to be there any more, in words.
        temporary_files: other names in the temporary folder, in words; they are no failure.
    """

    seed: int
    asked_kills: int
    machine: dict[str, Any]
    seconds: float
    kills: list[Kill] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    temporary_files: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every recovery succeeded and nothing is left."""
        return not self.left and not any(kill.problems for kill in self.kills)

    def spread(self, figure: str, group: str) -> Spread | None:
        """A figure of all kills of a group, by its name in `GROUPS`."""
        return _spread([kill for kill in self.kills if group_of(kill) == group], figure)

    def to_json(self) -> str:
        """For programs."""
        spreads = {
            group: {
                figure: asdict(spread)
                for figure in FIGURES
                if (spread := self.spread(figure, group)) is not None
            }
            for group in GROUPS
        }
        return json.dumps(asdict(self) | {"spreads": spreads, "clean": self.is_clean}, indent=2)


def group_of(kill: Kill) -> str | None:
    """Kills whose times can be compared; None where there is nothing to measure."""
    if kill.target == "supervisor":
        return BY_UP if kill.added_seconds is not None else None
    if kill.moment in FREEZE_MOMENTS:
        return FROZEN if kill.outcome == NEW_RUN else None
    if kill.outcome == NEW_RUN:
        return SERVING if kill.phase is None else STARTING
    return NEW_COLLECTOR if kill.outcome == REPLACED else None


def show(report: SoakReport) -> Iterator[Table | str]:
    """The report for people."""
    table = Table(box=None, header_style="dim")
    for title in ("KILLED", "WHEN", "KILLS", "THEN", "DETECTED AFTER S", "ADDED S"):
        table.add_column(title, justify="left" if title in {"KILLED", "WHEN", "THEN"} else "right")
    for target, moment in PAIRS:
        kills = [one for one in report.kills if (one.target, one.moment) == (target, moment)]
        for outcome in sorted({kill.outcome for kill in kills}):
            same = [kill for kill in kills if kill.outcome == outcome]
            figures = [_describe(_spread(same, figure)) for figure in FIGURES]
            table.add_row(target, moment, str(len(same)), outcome, *figures)
    yield table
    for group in GROUPS:
        if (spread := report.spread("added_seconds", group)) is not None:
            yield (
                f"{group}: {spread.count} times, added median {spread.median:.2f} s, 90th "
                f"percentile {spread.p90:.2f} s, {spread.least:.2f} to {spread.largest:.2f} s"
            )
    for kill in report.kills:
        yield from (f"Kill {kill.number} ({kill.target}): {one}" for one in kill.problems)
    yield from [f"Left: {what}" for what in report.left] or ["Left: nothing"]
    others = ", ".join(report.temporary_files) or "nothing"
    yield f"In the temporary folder, and no failure: {others}"


def _spread(kills: Sequence[Kill], figure: str) -> Spread | None:
    values = [getattr(kill, figure) for kill in kills]
    return Spread.of([value for value in values if value is not None])


def _describe(spread: Spread | None) -> str:
    """Median and range."""
    if spread is None:
        return "-"
    if spread.count == 1:
        return f"{spread.median:.2f}"
    return f"{spread.median:.2f} ({spread.least:.2f} to {spread.largest:.2f})"
