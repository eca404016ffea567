"""What a check is, and what came of it. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients.conformance.probe import Probe
    from clients.conformance.verdicts import Outcome
    from clients.conformance.wire import Exchange


@dataclass(frozen=True, slots=True)
class Check:
    """One contract and how it is tested.

    Attributes:
        id: group and name, such as `stream.usage`.
        sent: what is sent, in words.
        contract: what every server owes, in one sentence.
        source: where that is written.
        required: whether a refusal is the server's fault, and not a feature it lacks.
        test: asks the server; returns what came back, raises `VerdictError`.
    """

    id: str
    sent: str
    contract: str
    source: str
    test: Callable[[Probe], Awaitable[str]]
    required: bool = False

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check.

    Attributes:
        check: which.
        outcome: kept, or who is to blame.
        seen: what came back, in one line, safe to print.
        seconds: how long it took.
        exchanges: all that was sent and received for it; answers may be shared between checks.
    """

    check: Check
    outcome: Outcome
    seen: str
    seconds: float = 0.0
    exchanges: tuple[Exchange, ...] = field(default=(), repr=False)


def check(
    check_id: str, *, sent: str, contract: str, source: str, required: bool = False
) -> Callable[[Callable[[Probe], Awaitable[str]]], Check]:
    """Make a `Check` of the function that tests it."""

    def wrap(test: Callable[[Probe], Awaitable[str]]) -> Check:
        return Check(check_id, sent, contract, source, test, required)

    return wrap
