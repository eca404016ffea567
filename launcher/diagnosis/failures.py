"""Errors for a server that ended, or would not: one sentence each, evidence, what to do. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.diagnosis.suspects import describe_suspects
from launcher.diagnosis.unexplained import Unexplained
from launcher.engines.causes import Cause, Confidence
from launcher.engines.phases import Phase
from launcher.errors import (
    CrashLoopError,
    EngineBrokenError,
    LauncherError,
    PortInUseError,
    ServerExitedError,
    ServerHungError,
    SpawnError,
    StartTimeoutError,
    StopError,
)
from launcher.text import human_seconds

EVIDENCE_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run that failed.

    Args:
        name: the server's name, for the next command.
        how: how its first process ended, as a clause.
        phase: the last phase of its start.
        served: it was READY before.
        seconds: time since its start.
        evidence: its last lines.
        last_words: what the supervisor saw itself before it ended; may be empty.
        variables: names of those that may have broken it; see `launcher.diagnosis.suspects`.
    """

    name: str
    how: str
    phase: Phase
    served: bool
    seconds: float
    evidence: tuple[str, ...]
    last_words: str = ""
    variables: tuple[str, ...] = ()

    @property
    def when(self) -> str:
        """In which part of its life it failed, as a clause."""
        return "while it served" if self.served else f"in the phase {self.phase.value!r}"

    @property
    def all_evidence(self) -> tuple[str, ...]:
        """The last lines, and what the supervisor saw."""
        return _with_last_words(self.evidence, self)


def not_spawned(error: OSError | ValueError) -> SpawnError:
    """The error for a process that the system does not start."""
    if isinstance(error, ValueError):
        # The value itself is not told: it may be any variable of the environment.
        return SpawnError(
            f"The server's process cannot be started: {error} in an argument or a variable.",
            action="Look at the arguments after `--`, and at `env`, for characters that do not "
            "belong there.",
        )
    return SpawnError(
        f"The server's process cannot be started: {error.strerror}.",
        action="Look at the limits on processes and open files: `ulimit -u -n`.",
    )


def out_of_means(error: OSError | RuntimeError) -> SpawnError:
    """The error for a supervisor to which the system gives no descriptor or thread."""
    refused = SpawnError(
        f"The system refuses the supervisor a file or a thread: {error}.",
        action="Look at the limits on processes and open files: `ulimit -u -n`.",
    )
    # It is not raised here: `launcher.supervision.restarts` looks for what was refused.
    refused.__cause__ = error
    return refused


def exited(facts: Facts, cause: Cause | None, unexplained: Unexplained) -> LauncherError:
    """The error for a server that ended by itself.

    Args:
        facts: what is known of its run.
        cause: None where it is unknown.
        unexplained: what the engine itself said, for that case.
    """
    ended = (
        f"The server ended by itself {facts.when}, after {human_seconds(facts.seconds)}: "
        f"{facts.how}."
    )
    if cause is None:
        said = unexplained.headline or "Its last lines are below."
        evidence = unexplained.evidence or facts.evidence
        return ServerExitedError(
            f"{ended} The cause is unknown. {said}",
            action=f"Read the whole output: `python -m launcher logs --name {facts.name}`."
            f"{describe_suspects(facts.variables)}",
            evidence=_with_last_words(evidence, facts),
        )
    kind = EngineBrokenError if cause.broken_engine else ServerExitedError
    evidence = _with_last_words(cause.evidence or facts.evidence, facts)
    likely = "Most likely: " if cause.confidence is Confidence.LIKELY else ""
    return kind(f"{likely}{cause.summary} {ended}", action=cause.action, evidence=evidence)


def _with_last_words(evidence: tuple[str, ...], facts: Facts) -> tuple[str, ...]:
    return (*evidence, facts.last_words) if facts.last_words else evidence


def timed_out(facts: Facts, *, allowed_seconds: float, refusal: str | None) -> StartTimeoutError:
    """The error for a server that was not ready in time; `refusal` is what its last probe heard."""
    evidence = facts.all_evidence
    return StartTimeoutError(
        f"The server generated no token within {facts.seconds:.0f} s "
        f"(allowed: {allowed_seconds:.0f} s); it was in the phase {facts.phase.value!r}.",
        action="Raise --start-timeout-seconds, or read the output with `logs`.",
        evidence=(*evidence, f"readiness probe: {refusal}") if refusal else evidence,
    )


def start_hung(facts: Facts, *, allowed_seconds: float) -> ServerHungError:
    """The error for a start in which nothing moved."""
    return ServerHungError(
        f"The start hangs in the phase {facts.phase.value!r}: nothing moved for "
        f"{human_seconds(allowed_seconds)}; {human_seconds(facts.seconds)} after its begin it was "
        "ended.",
        action="The log holds the stack of each thread: `python -m launcher logs --name "
        f"{facts.name}`; where the start is slow rather than hung, raise --hang-timeout-seconds.",
        evidence=facts.all_evidence,
    )


def hung(facts: Facts, *, failures: int) -> ServerHungError:
    """The error for a server that has been ready and generates nothing any more."""
    return ServerHungError(
        f"The server lives and does not answer: {failures} health probes in a row generated no "
        "token, and no request advanced meanwhile.",
        action="The log holds the stack of each thread: `python -m launcher logs --name "
        f"{facts.name}`; where it is slow rather than hung, raise --health-timeout-seconds.",
        evidence=facts.all_evidence,
    )


def lost(facts: Facts) -> ServerExitedError:
    """The error for a server that lives on without a process that it cannot do without."""
    return ServerExitedError(
        f"{facts.last_words} {facts.when}, after {human_seconds(facts.seconds)}; the server cannot "
        "go on without it and was ended.",
        action=f"Read the whole output: `python -m launcher logs --name {facts.name}`.",
        evidence=facts.evidence,
    )


def port_taken(host: str, port: int, holder: str) -> PortInUseError:
    """The error for a port that somebody else took while the server started."""
    return PortInUseError(
        f"Port {port} on {host} was taken by {holder} while the server started; it was sent no "
        "key, and the start was ended.",
        action="Stop that process, or choose another port with --port.",
    )


def crash_loop(last: LauncherError, *, failures: int) -> CrashLoopError:
    """The error for a server that failed too often; `last` is what happened last."""
    return CrashLoopError(
        f"The server failed {failures} times in a row and is given up. Last: {last.problem}",
        action=last.action,
        evidence=last.evidence,
    )


def survived(pids: Sequence[int], *, seconds: float, freezer: Path | None = None) -> StopError:
    """The error for processes that SIGKILL did not end; `freezer` is the cgroup that holds them."""
    what = "process" if len(pids) == 1 else "processes"
    return StopError(
        f"{len(pids)} {what} of the server survived SIGKILL for {seconds:.0f} s: "
        f"{', '.join(str(pid) for pid in pids)}.",
        action=f"The cgroup {freezer} is frozen. Thaw it; then `python -m launcher down` again."
        if freezer
        else "It hangs in the kernel, usually in a driver: see `dmesg`, and its `/proc/PID/wchan`.",
    )


def supervisor_stays(pid: int, *, seconds: float) -> StopError:
    """The error for a supervisor that did not end when it was asked, nor by SIGKILL."""
    return StopError(
        f"The supervisor (process {pid}) is still there after {seconds:.0f} s, although it was "
        "killed (SIGKILL).",
        action="It hangs in the kernel: see `dmesg`, and its `/proc/PID/wchan`. Once it has gone, "
        "`python -m launcher down` stops the server without it.",
    )


def supervisor_silent(pid: int, name: str, *, seconds: float) -> StartTimeoutError:
    """The error for a supervisor that lives, was to do something, and tells of nothing."""
    return StartTimeoutError(
        f"The supervisor (process {pid}) of {name!r} has told of nothing for {seconds:.0f} s, "
        "longer than what it was to do may take.",
        action=f"`python -m launcher status --name {name}` shows what it says; `python -m launcher "
        f"down --name {name}` ends the server, with or without it.",
    )


def port_still_open(port: int, holder: str) -> StopError:
    """The error for a port that accepts connections although the server is gone."""
    return StopError(
        f"Port {port} still accepts connections after the server ended: {holder} listens there.",
        action="That process was not started by this launcher; look at it before you end it.",
    )


def gpu_still_held(pids: Sequence[int], *, seconds: float) -> StopError:
    """The error for GPU memory that the driver still counts to processes that are gone."""
    return StopError(
        f"{seconds:.0f} s after the server ended the driver still lists its processes "
        f"{', '.join(map(str, pids))} as holding GPU memory.",
        action="Look at `nvidia-smi`; a GPU reset gives the memory back where nothing else does.",
    )
