"""Rows and probes of `python -m launcher doctor`, and how they are run.

A probe looks at one thing and gives rows. It may raise and it may hang: either is a row too, and
no other probe waits for it. All probes are in `launcher.doctor.table`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar

Status = Literal["green", "amber", "red"]
Group = Literal["GPU", "driver", "host", "limits", "packages", "hub", "model"]

GROUPS: Final[tuple[Group, ...]] = ("GPU", "driver", "host", "limits", "packages", "hub", "model")
# For each of three rounds: the GPUs, what is to be served, and all the rest. A healthy NVML
# answers in tenths of a second, a hub far away in one.
DEADLINE_SECONDS: Final = 5.0
_WORST_LAST: Final[tuple[Status, ...]] = ("green", "amber", "red")

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of what the doctor reports.

    Attributes:
        subject: what was looked at, as people call it.
        status: green: as wanted; amber: serves, and not as well as it could, or was not told;
            red: what was asked for cannot be served until this is mended.
        measured: what was found.
        wanted: what it is held against.
        action: one thing to do; None where it is green.
    """

    subject: str
    status: Status
    measured: str
    wanted: str
    action: str | None = None

    @classmethod
    def judged(
        cls,
        subject: str,
        measured: str,
        wanted: str,
        *,
        amber: bool = False,
        red: bool = False,
        action: str | None = None,
    ) -> Row:
        """A row that is red or amber where that holds, with what to do then; else green."""
        status: Status = "red" if red else "amber" if amber else "green"
        return cls(subject, status, measured, wanted, None if status == "green" else action)


# Called with what `examine` was given: the `ServingTarget` and the `Readers` of this machine.
Look = Callable[..., "Row | Iterable[Row]"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One look, which is one row of docs/doctor.md.

    Attributes:
        name: stable, for programs.
        group: the heading that its rows stand under.
        look: gives a row or several; may raise, may hang.
        amber: when it is amber, for the documentation.
        red: when it is red, for the documentation.
        remedy: what helps, for the documentation; the row says it with names and numbers.
        source: where the thresholds come from, for the documentation.
    """

    name: str
    group: Group
    look: Look
    amber: str = "-"
    red: str = "-"
    remedy: str = "-"
    source: str = "-"

    def rows(self, *arguments: Any) -> tuple[Row, ...]:
        """What it finds."""
        found = self.look(*arguments)
        return (found,) if isinstance(found, Row) else tuple(found)


def probe(group: Group, name: str, **words: str) -> Callable[[Look], Probe]:
    """Make a probe of the function below; `words` are the other fields of `Probe`."""
    return lambda look: Probe(name, group, look, **words)


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """A row, and the probe that gave it."""

    probe: str
    group: Group
    row: Row

    def as_json(self) -> dict[str, str | None]:
        """The keys that programs may rely on."""
        return {
            "probe": self.probe,
            "group": self.group,
            "subject": self.row.subject,
            "status": self.row.status,
            "measured": self.row.measured,
            "wanted": self.row.wanted,
            "action": self.row.action,
        }


@dataclass(frozen=True, slots=True)
class CallOutcome(Generic[_T]):
    """What came of a call: a value, or in words why there is none.

    Attributes:
        values: the value alone; empty where there is none.
        failure: why there is none.
        hung: it was still at it when the time was over.
        error: what it raised.
    """

    values: tuple[_T, ...] = ()
    failure: str = ""
    hung: bool = False
    error: BaseException | None = None

    def value_or(self, other: _T) -> _T:
        """The value, or another one where there is none."""
        return self.values[0] if self.values else other


class NoAnswerError(Exception):
    """What a probe wanted to judge could not be read."""


def ask(
    calls: Mapping[_K, Callable[[], Any]], *, deadline_seconds: float = DEADLINE_SECONDS
) -> dict[_K, CallOutcome[Any]]:
    """Make all calls at once, and wait for each until the deadline, which is one for all.

    A call that hangs is left behind in a daemon thread, which ends with this process.
    """
    outcomes: dict[_K, CallOutcome[Any]] = {}

    def run(name: _K, call: Callable[[], Any]) -> None:
        outcomes[name] = _outcome_of(call)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in calls.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + deadline_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hung: CallOutcome[Any] = CallOutcome(
        failure=f"no answer within {deadline_seconds:g} s", hung=True
    )
    return {name: outcomes.get(name, hung) for name in calls}


def _outcome_of(call: Callable[[], Any]) -> CallOutcome[Any]:
    try:
        return CallOutcome((call(),))
    except NoAnswerError as error:
        return CallOutcome(failure=str(error), error=error)
    # Whatever goes wrong in a look at a machine is one of its findings.
    except BaseException as error:  # noqa: BLE001
        return CallOutcome(failure=_words(error), error=error)


def examine(
    probes: Sequence[Probe], *arguments: Any, deadline_seconds: float = DEADLINE_SECONDS
) -> tuple[ProbeFinding, ...]:
    """The rows of all probes, in the order of the groups and then of the probes. Never raises.

    Args:
        probes: those to run, all at once.
        arguments: what each of them is called with.
        deadline_seconds: one for all of them.
    """
    # The rows are read inside the thread: a generator runs only then.
    calls = dict(enumerate(partial(each.rows, *arguments) for each in probes))
    outcomes = ask(calls, deadline_seconds=deadline_seconds)
    findings = [
        ProbeFinding(each.name, each.group, row)
        for each, outcome in zip(probes, outcomes.values(), strict=True)
        for row in outcome.value_or((_unanswered(each, outcome),))
    ]
    return tuple(sorted(findings, key=lambda finding: GROUPS.index(finding.group)))


def worst(findings: Iterable[ProbeFinding]) -> Status:
    """The status of the whole: that of its worst row."""
    return max((finding.row.status for finding in findings), key=_WORST_LAST.index, default="green")


def _unanswered(probe: Probe, outcome: CallOutcome[Any]) -> Row:
    action = "Nothing else depends on it; where it seems wrong, please report it with these words."
    if outcome.hung:
        action = "See what it waits for: `dmesg`, `mount`, `nvidia-smi`. Nothing else waited."
    return Row(probe.name, "amber", outcome.failure, "an answer", action)


def dotted(version: tuple[int, int]) -> str:
    """As people write it: '12.8'."""
    return f"{version[0]}.{version[1]}"


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
