"""A log of any server, started by whomever, turned into a diagnosis. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from launcher.config.server_config import ServerConfig
from launcher.diagnosis.prefixes import own_lines
from launcher.diagnosis.search import deadly_errors, find_cause
from launcher.diagnosis.secrets import remove_secrets
from launcher.diagnosis.unexplained import engines_words
from launcher.engines.causes import Cause, Confidence, OutputSigns, Retry, ServerEnd
from launcher.engines.engine import Engine
from launcher.engines.output import python_errors
from launcher.engines.phases import Phase
from launcher.system.process import describe_exit

UNKNOWN: Final = "unknown"
NO_FAILURE: Final = "no-failure"
# Of one start: its beginning has the arguments, its end the failure.
_FIRST_LINES: Final = 1_500
_LAST_LINES: Final = 4_500
# The outermost function of a traceback of a program that could not be imported.
_OF_MODULES: Final = ("<module>", "_run_module_as_main")
_LONGEST_LINE_CHARACTERS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a log tells.

    Attributes:
        cause: a name of docs/diagnoses.md, `unknown` or `no-failure`.
        confidence: how sure that is.
        problem: one sentence or two on what happened.
        action: one sentence on what to change.
        evidence: the lines it was concluded from, secrets removed.
        retry: whether another start makes sense; None where nothing failed.
    """

    cause: str
    confidence: Confidence
    problem: str
    action: str
    evidence: tuple[str, ...]
    retry: Retry | None


def diagnose_output(
    lines: Sequence[str], engine: Engine, *, exit_code: int | None = None, oom_killed: bool = False
) -> Diagnosis:
    """What a log tells of its last start. Never raises, whatever the lines.

    Args:
        lines: of the whole log or its end, with whatever prefixes, oldest first.
        engine: whose output it is.
        exit_code: of the first process, as a shell or a container gives it (137 is SIGKILL), or
            negative for a signal; None where it is not known, or it still runs.
        oom_killed: the kernel killed a process of it for want of memory.
    """
    signs = engine.causes.signs
    # Of the lines that are left anything may be quoted, and of no others.
    own = remove_secrets(_bounded(last_start(own_lines(lines), signs), signs))
    config = engine.read_config(own)
    phase, served = _progress(own, engine, config)
    end = ServerEnd(
        returncode=None if exit_code is None else as_returncode(exit_code),
        phase=phase,
        served=served,
        lines=own,
        oom_kills=int(oom_killed),
        config=config,
    )
    cause = find_cause(end, engine.causes)
    if not _has_failed(end, signs, cause):
        return _no_failure(end, signs)
    found = _unknown(end, engine) if cause is None else _known(cause, end, signs)
    return Diagnosis(
        found.cause,
        found.confidence,
        engine.in_own_words(found.problem),
        engine.in_own_words(found.action),
        found.evidence,
        found.retry,
    )


def as_returncode(exit_code: int) -> int:
    """A shell's exit code as that of `subprocess`: 137 is -9."""
    return 128 - exit_code if 128 < exit_code < 128 + 65 else exit_code


def last_start(lines: tuple[str, ...], signs: OutputSigns) -> tuple[str, ...]:
    """The lines of the last start alone."""
    marks = [number for number, line in enumerate(lines) if signs.begins.search(line)]
    begin = marks[-1] if marks else 0
    # What is printed before the arguments belongs to the same start, unless something ended since.
    for mark in reversed(marks[:-1]):
        between = lines[mark:begin]
        if signs.arguments.search(lines[mark]) or any(signs.ends.search(line) for line in between):
            break
        begin = mark
    rest = lines[begin:]
    ended = next((number for number, line in enumerate(rest) if signs.gone.search(line)), len(rest))
    # A start that failed before it printed its arguments: nothing but an exception of a module.
    for error in python_errors(rest):
        if error.head > ended and error.frames and error.frames[0].function in _OF_MODULES:
            return rest[error.head :]
    return rest


def _bounded(lines: tuple[str, ...], signs: OutputSigns) -> tuple[str, ...]:
    """The lines without those of each batch, and of those no more than can be searched quickly."""
    alive = [bool(signs.alive.search(line)) for line in lines]
    kept = [
        # The arguments are read whole.
        line if signs.arguments.search(line) else line[:_LONGEST_LINE_CHARACTERS]
        for number, line in enumerate(lines)
        # The first and the last of a run of such lines tell as much as all of them.
        if not (
            alive[number]
            and 0 < number < len(lines) - 1
            and alive[number - 1]
            and alive[number + 1]
        )
    ]
    if len(kept) > _FIRST_LINES + _LAST_LINES:
        kept = [*kept[:_FIRST_LINES], *kept[-_LAST_LINES:]]
    return tuple(kept)


def _progress(lines: Sequence[str], engine: Engine, config: ServerConfig) -> tuple[Phase, bool]:
    """The last phase of the start, and whether it has served."""
    log = engine.start_log(config)
    for line in lines:
        log.feed(line)
    served = log.fired_up or any(engine.shows_progress(line) for line in lines)
    return log.progress.phase, served


def _has_failed(end: ServerEnd, signs: OutputSigns, cause: Cause | None) -> bool:
    """Whether anything at all speaks of a failure; `cause` is what was found in the output."""
    if end.oom_kills:
        return True
    asked = _was_asked(end, signs)
    if deadly_errors(end.lines, signs):
        return not (end.returncode == 0 and asked)
    if asked and end.returncode in {None, 0, -15}:
        return False
    if end.returncode:
        return True
    ended = signs.ends, signs.unhealthy
    if any(sign.search(line) for sign in ended for line in end.lines):
        return True
    return end.returncode is None and cause is not None


def _was_asked(end: ServerEnd, signs: OutputSigns) -> bool:
    if any(signs.unhealthy.search(line) for line in end.lines):
        return False
    return any(signs.asked.search(line) for line in end.lines)


def _no_failure(end: ServerEnd, signs: OutputSigns) -> Diagnosis:
    if _was_asked(end, signs):
        how = "The server was asked to stop, and did."
    elif end.served:
        how = "The server came up and served; nothing in its log ended it."
    elif not end.lines:
        how = "The log is empty."
    else:
        how = (
            f"The log shows no failure; it ends in the phase {end.phase.value!r}, where the start "
            "may still be under way, or hang."
        )
    certain = bool(end.lines) and (end.served or end.returncode == 0)
    return Diagnosis(
        NO_FAILURE,
        Confidence.CERTAIN if certain else Confidence.LIKELY,
        how,
        "If it is gone all the same, give its exit code: --exit-code, and --oom-killed where the "
        "container says so.",
        (),
        None,
    )


def _when(end: ServerEnd, signs: OutputSigns) -> str:
    """In which part of its life it failed, as a clause: by its phases, else by the traceback."""
    if end.served:
        return "while it served"
    errors = deadly_errors(end.lines, signs) if end.phase is Phase.IMPORTING else ()
    stage = signs.stage_of(errors[0]) if errors else ""
    return f"while it {stage}" if stage else f"in the phase {end.phase.value!r}"


def _known(cause: Cause, end: ServerEnd, signs: OutputSigns) -> Diagnosis:
    when = _when(end, signs)
    how = "" if end.returncode is None else f": {describe_exit(end.returncode)}"
    return Diagnosis(
        cause.name,
        cause.confidence,
        f"{cause.summary} The server ended {when}{how}.",
        cause.action,
        cause.evidence,
        cause.retry,
    )


def _unknown(end: ServerEnd, engine: Engine) -> Diagnosis:
    words = engines_words(end, engine.causes)
    when = _when(end, engine.causes.signs)
    how = "" if end.returncode is None else f" ({describe_exit(end.returncode)})"
    return Diagnosis(
        UNKNOWN,
        Confidence.UNKNOWN,
        f"The server failed {when}{how}, and why is not known. {words.headline}".strip(),
        "Look for that text in the engine's issues; leave out special options one by one.",
        words.evidence or end.lines[-3:],
        Retry.ONCE_SERVED,
    )
