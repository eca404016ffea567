"""How a run ended: what was seen last, turned into an error and whether another start is any use.

Pure: it looks at nothing itself.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum, auto

from launcher.config.server_config import ServerConfig
from launcher.diagnosis import failures, nodes
from launcher.diagnosis.search import find_cause
from launcher.diagnosis.unexplained import engines_words
from launcher.engines.causes import CauseTable, Retry, ServerEnd
from launcher.engines.phases import Phase
from launcher.errors import LauncherError
from launcher.system.process import describe_exit


class EndReason(Enum):
    """How a server ended, or why it is ended."""

    EXITED = auto()
    KILLED = auto()  # it did not end in time after it was asked to
    TIMED_OUT = auto()
    START_HUNG = auto()
    HUNG = auto()
    PROCESS_LOST = auto()
    PORT_TAKEN = auto()  # by somebody else, before the server listened there
    NODE_ENDED = auto()  # the server of another machine that it serves with


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a run ended that was asked to."""

    killed: bool
    restart: bool
    served: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """How a run ended that nobody asked to. Nothing of it is left, unless `error` is a StopError.

    `clean` says that the server ended itself as after a request to stop: exit code 0 or SIGTERM.
    `elsewhere` says that another machine failed, which counts it.
    """

    error: LauncherError
    retry: Retry
    cause: str | None = None
    clean: bool = False
    served_seconds: float = 0.0
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class FinalState:
    """What was known of a server when it had ended.

    Args:
        name: the server's.
        config: what it served.
        returncode: of its first process; None where it was nobody's child here.
        phase: of its start.
        seconds: since the run began, or was adopted.
        served_seconds: since it was READY; None where it never was.
        lines: its last output.
        last_words: what was found before it was ended, or empty.
        oom_kills: that the kernel counted meanwhile.
        failures: health probes that failed in a row.
        refusal: what its last probe was told.
        variables: names of those of the user's that may have broken it.
    """

    name: str
    config: ServerConfig
    returncode: int | None
    phase: Phase
    seconds: float
    served_seconds: float | None
    lines: tuple[str, ...]
    last_words: str
    oom_kills: int
    failures: int
    refusal: str | None
    variables: tuple[str, ...] = ()


def conclude(reason: EndReason, seen: FinalState, causes: CauseTable) -> Failed:
    """The failure of a run that nobody asked to end; `causes` are the engine's."""
    served = seen.served_seconds is not None
    served_seconds = seen.served_seconds or 0.0
    end = ServerEnd(
        # What we killed ourselves tells nothing by its exit.
        returncode=seen.returncode if reason is EndReason.EXITED else None,
        phase=seen.phase,
        served=served,
        lines=seen.lines,
        oom_kills=seen.oom_kills,
        config=seen.config,
    )
    cause = find_cause(end, causes)
    facts = _facts(seen)
    match reason:
        case EndReason.TIMED_OUT:
            error: LauncherError = failures.timed_out(
                facts, allowed_seconds=seen.config.start_timeout_seconds, refusal=seen.refusal
            )
            return Failed(error, Retry.ONCE_SERVED, "start-timeout")
        case EndReason.START_HUNG:
            error = failures.start_hung(facts, allowed_seconds=seen.config.hang_timeout_seconds)
            return Failed(error, Retry.ONCE_SERVED, "start-hung")
        case EndReason.PORT_TAKEN:
            error = failures.port_taken(seen.config.host, seen.config.port, seen.last_words)
            return Failed(error, Retry.ONCE_SERVED, "port-taken")
        case EndReason.HUNG:
            error = failures.hung(facts, failures=seen.failures)
            return Failed(error, Retry.ALWAYS, "hung", served_seconds=served_seconds)
        case EndReason.PROCESS_LOST if cause is None:
            error = failures.lost(facts)
            retry = Retry.ALWAYS if served else Retry.ONCE_SERVED
            return Failed(error, retry, "process-lost", served_seconds=served_seconds)
    return Failed(
        failures.exited(facts, cause, engines_words(end, causes)),
        cause.retry if cause else Retry.ONCE_SERVED,
        cause.name if cause else None,
        clean=served and seen.returncode in {0, -signal.SIGTERM} and not _ended_itself(end, causes),
        served_seconds=served_seconds,
    )


def conclude_with(node: int, problem: str, seen: FinalState) -> Failed:
    """The failure of a run that was ended with another machine's.

    Args:
        node: the number of that machine.
        problem: why its server ended, in its words.
        seen: here.
    """
    served = seen.served_seconds is not None
    return Failed(
        nodes.ended(_facts(seen), node, problem),
        Retry.ALWAYS if served else Retry.ONCE_SERVED,
        "node-ended",
        served_seconds=seen.served_seconds or 0.0,
        elsewhere=seen.config.is_follower,
    )


def _facts(seen: FinalState) -> failures.Facts:
    return failures.Facts(
        name=seen.name,
        how=describe_end(seen.returncode),
        phase=seen.phase,
        served=seen.served_seconds is not None,
        seconds=seen.seconds,
        evidence=seen.lines[-failures.EVIDENCE_LINES :],
        last_words=seen.last_words,
        variables=seen.variables,
    )


def _ended_itself(end: ServerEnd, causes: CauseTable) -> bool:
    """Whether the engine said that it gives up: vLLM's exit code is 0 then, too."""
    return any(causes.signs.ends.search(line) for line in end.lines)


def describe_end(returncode: int | None) -> str:
    """An exit code in words; None is that of a process that was nobody's child here."""
    return "an unknown exit code" if returncode is None else describe_exit(returncode)
