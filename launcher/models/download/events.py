"""What happens in a download, as frozen values: `pull --json` prints one a line.

Names and fields are stable. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Final

from launcher.state.events import JsonEvent, time_of_day

# Over so long the rate is an average.
WINDOW_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullEvent(JsonEvent):
    """Base of all events of a download."""

    at: str = field(default_factory=time_of_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullWaits(PullEvent):
    """Another process downloads the same model; it has this number, where that is known."""

    kind: ClassVar[str] = "pull.waits"
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResolved(PullEvent):
    """The revision is a commit, and what is needed of it is known."""

    kind: ClassVar[str] = "pull.resolved"
    repository: str
    revision: str
    commit: str
    endpoint: str
    folder: str
    files: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWrong(PullEvent):
    """A file is not what the hub has; it is fetched again, and it alone."""

    kind: ClassVar[str] = "pull.file_wrong"
    path: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerified(PullEvent):
    """A file has the hub's size and hash. `fetched_bytes` came in this run."""

    kind: ClassVar[str] = "pull.file"
    path: str
    size_bytes: int
    digest: str
    fetched_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProgress:
    """How much of a file in work is here."""

    path: str
    done_bytes: int
    total_bytes: int
    bytes_per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress(PullEvent):
    """How much is here, of all that is needed and of each file in work."""

    kind: ClassVar[str] = "pull.progress"
    done_bytes: int
    total_bytes: int
    bytes_per_second: float | None
    seconds_left: float | None
    files: tuple[FileProgress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRetries(PullEvent):
    """An attempt failed; there is another after the pause."""

    kind: ClassVar[str] = "pull.retries"
    path: str | None
    problem: str
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFinished(PullEvent):
    """The model is here.

    `by_hash` says whether each file was held against the hub's hash; without the hub and without
    a record of it only sizes can be checked.
    """

    kind: ClassVar[str] = "pull.finished"
    repository: str
    revision: str
    commit: str
    folder: str
    files: int
    total_bytes: int
    fetched_bytes: int
    seconds: float
    by_hash: bool


class Meter:
    """Rate and time left, from what has come. Pure: it is told the time, in seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, done_bytes: int) -> None:
        """So much is here now."""
        self._samples.append((now, done_bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float | None:
        """The average over the last seconds; None where nothing is known yet."""
        if len(self._samples) < 2:
            return None
        (then, before), (now, done) = self._samples[0], self._samples[-1]
        # What turned out wrong is taken away again.
        return max(0, done - before) / (now - then) if now > then else None

    def seconds_left(self, left_bytes: int) -> float | None:
        """At that rate; None where nothing moves.

        Formula: bytes left / bytes per second
        """
        rate = self.bytes_per_second
        return left_bytes / rate if rate else None
