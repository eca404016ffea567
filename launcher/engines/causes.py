"""What a cause is to any engine: each one brings a table of what it prints, and what that means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeAlias, TypeVar

from launcher.config.server_config import ServerConfig
from launcher.engines.output import CONTINUES, PythonError, plain, python_errors
from launcher.engines.phases import Phase

# More of one line is neither searched nor quoted: an engine may print its whole table of models.
LONGEST_LINE_CHARACTERS: Final = 2_000
LONGEST_EVIDENCE_CHARACTERS: Final = 400


class Confidence(Enum):
    """How sure an answer is."""

    CERTAIN = "certain"  # the engine, or what it runs on, says it in so many words
    LIKELY = "likely"  # concluded from where and how it failed
    UNKNOWN = "unknown"


class Retry(Enum):
    """Whether another start with the same arguments makes sense."""

    NEVER = "never"  # the same arguments fail again
    ONCE_SERVED = "once served"  # worth another start if it has been READY before
    ALWAYS = "always"  # not the configuration's fault: killed from outside, a port collision


@dataclass(frozen=True, slots=True)
class ServerEnd:
    """What is known of a server that ended by itself or was ended.

    Args:
        returncode: as of `subprocess`, negative for a signal; None where it was not our child.
        phase: last phase of the start.
        served: it was READY in this run.
        lines: its last lines, oldest first, secrets removed.
        oom_kills: processes that the kernel killed for want of memory during the run, counted
            where the server lives; 0 where unknown. See `launcher.system.oom`.
        config: what was served.
    """

    returncode: int | None
    phase: Phase
    served: bool
    lines: tuple[str, ...]
    oom_kills: int
    config: ServerConfig

    @property
    def fields(self) -> dict[str, Any]:
        """What a sentence may name in braces."""
        return {"end": self, "config": self.config}


@dataclass(frozen=True, slots=True)
class LogMatch:
    """A line of the output that a pattern fits, with all that is around it."""

    end: ServerEnd
    found: re.Match[str]
    index: int

    def __getitem__(self, group: str) -> str:
        """What a named group of the pattern holds, or '' where it took no part."""
        return self.found[group] or ""

    @property
    def config(self) -> ServerConfig:
        """What was served."""
        return self.end.config

    @property
    def fields(self) -> dict[str, Any]:
        """What a sentence may name in braces: the pattern's groups too."""
        return self.end.fields | self.found.groupdict("")

    @property
    def error(self) -> PythonError | None:
        """The exception that the line tells, or whose traceback or message it is part of."""
        for error in python_errors(self.end.lines):
            if error.head <= self.index < error.end:
                return error
        return None

    @property
    def text(self) -> str:
        """The whole message that the line begins or is part of, or the line alone."""
        error = self.error
        return error.text if error is not None and self.index >= error.index else self.found.string

    def frames(self) -> Iterator[tuple[str, str]]:
        """File and function of each frame of the traceback that the line ends, outermost first."""
        error = self.error
        for frame in error.frames if error else ():
            yield frame.file, frame.function

    def came_through(self, file: str, function: str = "") -> bool:
        """Whether a frame lies in a file and function whose names hold these texts."""
        return any(file in place and function in name for place, name in self.frames())

    def came_through_path(self, *texts: str) -> bool:
        """Whether a frame lies in a path that holds one of these texts."""
        error = self.error
        paths = [frame.path for frame in error.frames] if error is not None else []
        return any(text in path for path in paths for text in texts)

    def in_folder(self, *names: str) -> bool:
        """Whether the innermost frame lies in a path that holds one of these texts."""
        error = self.error
        path = error.frames[-1].path if error is not None and error.frames else ""
        return any(name in path for name in names)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a server ended.

    Args:
        name: stable, for programs.
        summary: one sentence on what happened, with the numbers of the log.
        action: one sentence on what to change.
        evidence: the lines it was concluded from, each cut at `LONGEST_EVIDENCE_CHARACTERS`; none
            where the way it ended is all there is.
        retry: whether another start makes sense.
        broken_engine: the installed engine itself does not work.
        confidence: how sure that is; never `UNKNOWN`.
    """

    name: str
    summary: str
    action: str
    evidence: tuple[str, ...]
    retry: Retry
    broken_engine: bool = False
    confidence: Confidence = Confidence.CERTAIN


@dataclass(frozen=True, slots=True)
class ErrorSign:
    """An exception that ended the server.

    Args:
        end: what else is known.
        error: the exception.
        stage: what the engine was doing, as a clause; empty where the traceback does not tell.
    """

    end: ServerEnd
    error: PythonError
    stage: str = ""

    @property
    def config(self) -> ServerConfig:
        """What was served."""
        return self.end.config

    @property
    def fields(self) -> dict[str, Any]:
        """What a sentence may name in braces."""
        return self.end.fields | {"headline": self.error.headline, "stage": self.stage}

    def came_through(self, path: str, function: str = "") -> bool:
        """Whether a frame lies in a file and function whose names hold these texts."""
        return any(path in frame.path and function in frame.function for frame in self.error.frames)


Sign = TypeVar("Sign", LogMatch, ServerEnd, ErrorSign)
# A text that names `fields` in braces, or a function where that is not enough.
Sentence: TypeAlias = str | Callable[[Sign], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCause(Generic[Sign]):
    """All that is known of one cause, but its name, which is its key in the table.

    Args:
        summary: becomes the cause's.
        action: becomes the cause's.
        retry: becomes the cause's.
        applies: a condition on the sign.
        broken_engine: becomes the cause's.
        looks: the sign, for the documentation, where a sample does not show it.
        remedy: what to do, for the documentation, where `action` is a function.
        confidence: becomes the cause's.
    """

    summary: Sentence[Sign]
    action: Sentence[Sign]
    retry: Retry = Retry.NEVER
    applies: Callable[[Sign], bool] = lambda _: True
    broken_engine: bool = False
    looks: str = ""
    remedy: str = ""
    confidence: Confidence = Confidence.CERTAIN

    def conclude(self, name: str, sign: Sign, *evidence: str) -> Cause | None:
        """The cause of that name, where the sign is one of it."""
        if not self.applies(sign):
            return None
        summary, action = (
            sentence.format(**sign.fields) if isinstance(sentence, str) else sentence(sign)
            for sentence in (self.summary, self.action)
        )
        return Cause(
            name, summary, action, evidence, self.retry, self.broken_engine, self.confidence
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCause(KnownCause[LogMatch]):
    """A cause that a line of the output tells.

    Args:
        pattern: searched in each line.
        sample: lines of which each tells it, or one traceback; empty where lines are not enough.
    """

    pattern: str
    sample: str = ""

    def find_in(self, name: str, end: ServerEnd, index: int) -> Cause | None:
        """The cause of that name, where the line with this number fits."""
        line = plain(end.lines[index]).removeprefix(CONTINUES)
        found = re.search(self.pattern, line[:LONGEST_LINE_CHARACTERS])
        if found is None:
            return None
        evidence = line[:LONGEST_EVIDENCE_CHARACTERS].strip()
        return self.conclude(name, LogMatch(end, found, index), evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentCause(KnownCause[ServerEnd]):
    """A cause of a server that said nothing: the way it ended is all there is, and no evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCause(KnownCause[ErrorSign]):
    """A cause that the kind, the place or the advice of an exception tells, whatever its text.

    It is looked for where no line of the output is known.
    """

    def find_in(self, name: str, sign: ErrorSign) -> Cause | None:
        """The cause of that name, where the exception is one of it."""
        return self.conclude(name, sign, *quote_error(sign.error))


def quote_error(error: PythonError) -> tuple[str, ...]:
    """The evidence of an exception: where it was raised, and its first lines.

    Each is a part of a printed line.
    """
    first, *more = error.text.split("\n")
    quoted = (f"{error.kind}: {first.strip()}" if first.strip() else error.kind, *more)
    quoted = tuple(line.strip() for line in quoted if line.strip())[:4]
    return tuple(line[:LONGEST_EVIDENCE_CHARACTERS] for line in quoted)


_NEVER: Final = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class OutputSigns:
    """What lines of one engine's output say of its life. Patterns, searched in each line.

    An engine that prints no such line leaves the pattern out: it fits nothing then.

    Args:
        deadly: before a traceback, that the engine does not survive it.
        alive: that it works: a server that prints such a line after an exception has survived it.
        harmless: that what the line says did not end anything.
        begins: that a process of the engine begins, so that what stands above is of an earlier one.
        arguments: that it prints its whole configuration, once a start.
        ends: that the engine ends itself.
        gone: that its first process kills itself, the last that a start prints.
        asked: that it ends since it was asked to.
        unhealthy: that it was asked to since it did not answer any more.
        boilerplate: where a message goes over into what is appended to any of its kind.
        stages: what it does in a file, the first that fits; see `ErrorSign.stage`.
    """

    deadly: re.Pattern[str]
    alive: re.Pattern[str]
    harmless: re.Pattern[str]
    begins: re.Pattern[str] = _NEVER
    arguments: re.Pattern[str] = _NEVER
    ends: re.Pattern[str] = _NEVER
    gone: re.Pattern[str] = _NEVER
    asked: re.Pattern[str] = _NEVER
    unhealthy: re.Pattern[str] = _NEVER
    boilerplate: re.Pattern[str] = _NEVER
    stages: tuple[tuple[re.Pattern[str], str], ...] = ()

    def stage_of(self, error: PythonError) -> str:
        """What the engine was doing when it raised an exception, by its innermost frame."""
        for frame in reversed(error.frames):
            for pattern, stage in self.stages:
                if pattern.search(f"{frame.path}:{frame.function}"):
                    return stage
        return ""


@dataclass(frozen=True, slots=True)
class CauseTable:
    """Every cause that one engine has, by name, in the order of the search.

    Args:
        errors: what is an error by itself.
        general: what the kind or the place of an exception tells.
        echoes: what only follows another failure, such as "crashed with exit code -9".
        silent: the way a server ended that said nothing.
        signs: how its output is read.
    """

    errors: Mapping[str, LogCause]
    general: Mapping[str, ErrorCause]
    echoes: Mapping[str, LogCause]
    silent: Mapping[str, SilentCause]
    signs: OutputSigns


def raised(texts: str) -> str:
    """A pattern for the line that ends a traceback: an exception's class, then one of the texts.

    Anchored there since libraries mention like words in passing.
    """
    return rf"^[\w.]*(?:Error|Exception|NotFound): (?:{texts})"
