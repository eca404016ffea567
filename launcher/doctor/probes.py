"""Rows and probes of `python -m launcher doctor`, and how they are run.

A probe looks at one thing and gives rows. It may raise and it may hang: either is a row too, and
no other probe waits for it. What the probes are is in the `doctor_*` modules.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

Status = Literal["green", "amber", "red"]
Group = Literal["GPU", "driver", "host", "limits", "packages", "hub", "model"]

GROUPS: Final[tuple[Group, ...]] = ("GPU", "driver", "host", "limits", "packages", "hub", "model")
# For each of three rounds: the GPUs, what is to be served, and all the rest. A healthy NVML
# answers in tenths of a second, a hub far away in one.
DEADLINE_SECONDS: Final = 5.0
_WORST_LAST: Final[tuple[Status, ...]] = ("green", "amber", "red")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Row:
    """One finding.

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


@dataclass(frozen=True, slots=True)
class Probe:
    """One look, which is one row of docs/doctor.md.

    Attributes:
        name: stable, for programs.
        group: the heading that its rows stand under.
        look: gives the rows; may raise, may hang.
        amber: when it is amber, for the documentation.
        red: when it is red, for the documentation.
        remedy: what helps, for the documentation; the row says it with names and numbers.
        source: where the thresholds come from, for the documentation.
    """

    name: str
    group: Group
    look: Callable[[], Iterable[Row]]
    amber: str = "-"
    red: str = "-"
    remedy: str = "-"
    source: str = "-"


@dataclass(frozen=True, slots=True)
class Finding:
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
class Answer(Generic[_T]):
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


class NoAnswerError(Exception):
    """What a probe wanted to judge could not be read."""


def ask(
    calls: Mapping[str, Callable[[], Any]], *, deadline_seconds: float = DEADLINE_SECONDS
) -> dict[str, Answer[Any]]:
    """Make all calls at once, and wait for each until the deadline, which is one for all.

    A call that hangs is left behind in a daemon thread, which ends with this process.
    """
    pending = {name: _Pending(call) for name, call in calls.items()}
    for each in pending.values():
        threading.Thread(target=each.run, daemon=True).start()
    deadline = time.monotonic() + deadline_seconds
    answers: dict[str, Answer[Any]] = {}
    for name, each in pending.items():
        if each.done.wait(max(0.0, deadline - time.monotonic())):
            answers[name] = each.answer
        else:
            failure = f"no answer within {deadline_seconds:g} s"
            answers[name] = Answer(failure=failure, hung=True)
    return answers


@dataclass(slots=True)
class _Pending:
    call: Callable[[], Any]
    answer: Answer[Any] = field(default_factory=Answer)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            self.answer = Answer((self.call(),))
        except NoAnswerError as error:
            self.answer = Answer(failure=str(error), error=error)
        # Whatever goes wrong in a look at a machine is one of its findings.
        except BaseException as error:  # noqa: BLE001
            self.answer = Answer(failure=_words(error), error=error)
        finally:
            self.done.set()


def examine(
    probes: Sequence[Probe], *, deadline_seconds: float = DEADLINE_SECONDS
) -> tuple[Finding, ...]:
    """The rows of all probes, in the order of the groups and then of the probes. Never raises."""
    calls = {str(number): _rows_of(probe) for number, probe in enumerate(probes)}
    answers = ask(calls, deadline_seconds=deadline_seconds)
    findings = []
    for number, probe in enumerate(probes):
        answer = answers[str(number)]
        rows = answer.values[0] if answer.values else (_unanswered(probe, answer),)
        findings += [Finding(probe.name, probe.group, row) for row in rows]
    return tuple(sorted(findings, key=lambda finding: GROUPS.index(finding.group)))


def worst(findings: Iterable[Finding]) -> Status:
    """The status of the whole: that of its worst row."""
    return max((finding.row.status for finding in findings), key=_WORST_LAST.index, default="green")


def _rows_of(probe: Probe) -> Callable[[], tuple[Row, ...]]:
    # Inside the thread: a generator runs only when it is read.
    return lambda: tuple(probe.look())


def _unanswered(probe: Probe, answer: Answer[Any]) -> Row:
    if answer.hung:
        action = "See what it waits for: `dmesg`, `mount`, `nvidia-smi`. Nothing else waited."
        return Row(probe.name, "amber", answer.failure, "an answer", action)
    action = "Nothing else depends on it; where it seems wrong, please report it with these words."
    return Row(probe.name, "amber", answer.failure, "an answer", action)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
