"""What the threads of a run put into the mailbox."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.engines.phases import Progress
from launcher.memory.report import ReportedMemory
from launcher.supervision.mailbox import RunMessage
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
