"""What the threads of a run put into the mailbox."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.engines.phases import Progress
from launcher.memory.report import ReportedMemory
from launcher.metrics.alarms import Alarm
from launcher.nodes.events import NodesEvent, StopAsked
from launcher.supervision.mailbox import Item, Request, RunMessage
from launcher.supervision.watches.health import ProbeResult
from launcher.system.process import ProcessIdentity


@dataclass(frozen=True, slots=True)
class Progressed(RunMessage):
    """The start entered a phase, or counted on in it."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class CollectorReplaced(RunMessage):
    """The log's collector ended, and another has taken its place."""

    collector: ProcessIdentity


class CollectorLost(RunMessage):
    """The log's collector ended, and none can take its place."""


class ProcessEnded(RunMessage):
    """The server's first process ended."""


@dataclass(frozen=True, slots=True)
class TokenGenerated(RunMessage):
    """The server has generated its first token."""

    memory: ReportedMemory | None


@dataclass(frozen=True, slots=True)
class MemberEnded(RunMessage):
    """A process ended without which the server is broken."""

    identity: ProcessIdentity
    title: str


@dataclass(frozen=True, slots=True)
class PortTaken(RunMessage):
    """Somebody listens on the server's port who is none of its processes."""

    holder: str


@dataclass(frozen=True, slots=True)
class Probed(RunMessage):
    """A health probe came back, or did not."""

    result: ProbeResult


@dataclass(frozen=True, slots=True)
class AlarmChanged(RunMessage):
    """Speculation went wrong, or does not any more."""

    alarm: Alarm | None


@dataclass(frozen=True, slots=True)
class NodesHeard(RunMessage):
    """Something happened on another machine that serves with this one."""

    event: NodesEvent


def asked_elsewhere(item: Item | None, *, run_id: str | None = None) -> Request | None:
    """What somebody asks for on another machine that serves with this one; None if nothing.

    Args:
        item: out of the mailbox.
        run_id: of the run that it has to be for; None: any.
    """
    if (
        isinstance(item, NodesHeard)
        and isinstance(item.event, StopAsked)
        and run_id in (None, item.run_id)
    ):
        return Request.RESTART if item.event.again else Request.STOP
    return None
