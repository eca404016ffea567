"""What a diagnosis is made of: an ending goes in, an entry of the table fits, a cause comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from launcher.config.server_config import ServerConfig
from launcher.engines.phases import Phase

# More of one line is neither searched nor quoted: SGLang prints its whole table of models in one.
LONGEST_LINE_CHARACTERS: Final = 2_000
LONGEST_EVIDENCE_CHARACTERS: Final = 400
# A traceback longer than this has lost its head anyway: only the last lines are known.
_LONGEST_TRACEBACK_LINES: Final = 120
_TRACEBACK: Final = "Traceback (most recent call last)"
_FRAME: Final = re.compile(r'^\s*File "[^"]*?(?P<place>[^"/]+)", line \d+, in (?P<function>\S+)')


class Retry(Enum):
    """Whether another start with the same arguments makes sense."""

    NEVER = "never"  # the same arguments fail again
    ONCE_SERVED = "once served"  # worth another start if it has been READY before
    ALWAYS = "always"  # not the configuration's fault: killed from outside, a port collision


@dataclass(frozen=True, slots=True)
class Ending:
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
    """

    name: str
    summary: str
    action: str
    evidence: tuple[str, ...]
    retry: Retry


@dataclass(frozen=True, slots=True)
class Finding:
    """A line that fits an entry, with all that is around it."""

    ending: Ending
    match: re.Match[str]
    index: int

    def __getitem__(self, group: str) -> str:
        """What a named group of the pattern holds, or '' where it took no part."""
        return self.match[group] or ""

    @property
    def config(self) -> ServerConfig:
        """What was served."""
        return self.ending.config

    def frames(self) -> Iterator[tuple[str, str]]:
        """File and function of each frame of the traceback that the line ends, outermost first."""
        first = max(0, self.index - _LONGEST_TRACEBACK_LINES)
        above = self.ending.lines[first : self.index]
        starts = [number for number, line in enumerate(above) if _TRACEBACK in line]
        for line in above[starts[-1] :] if starts else ():
            frame = _FRAME.match(line)
            if frame is not None:
                yield frame["place"], frame["function"]

    def came_through(self, file: str, function: str = "") -> bool:
        """Whether a frame lies in a file and function whose names hold these texts."""
        return any(file in place and function in name for place, name in self.frames())


class Words(NamedTuple):
    """What an entry says of its finding."""

    summary: str
    action: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table.

    Args:
        name: becomes the cause's.
        retry: becomes the cause's.
        looks: the sign in the output, for the documentation.
        remedy: what to do, for the documentation.
        pattern: searched in each line.
        explain: the cause's summary and action.
        applies: a further condition on what is around the line.
    """

    name: str
    retry: Retry
    looks: str
    remedy: str
    pattern: re.Pattern[str]
    explain: Callable[[Finding], Words]
    applies: Callable[[Finding], bool] = lambda _: True

    def find_in(self, ending: Ending, index: int) -> Cause | None:
        """The cause, where the line with this number fits."""
        match = self.pattern.search(ending.lines[index][:LONGEST_LINE_CHARACTERS])
        if match is None:
            return None
        finding = Finding(ending, match, index)
        if not self.applies(finding):
            return None
        words = self.explain(finding)
        return Cause(self.name, *words, (quote(ending.lines[index]),), self.retry)


@dataclass(frozen=True, slots=True)
class SilentEntry:
    """One row of the table for a server that said nothing: the way it ended is all there is.

    Args:
        name: becomes the cause's.
        retry: becomes the cause's.
        looks: the sign, for the documentation.
        remedy: what to do, for the documentation.
        applies: whether it ended that way.
        explain: the cause's summary and action.
    """

    name: str
    retry: Retry
    looks: str
    remedy: str
    applies: Callable[[Ending], bool]
    explain: Callable[[Ending], Words]

    def find_in(self, ending: Ending) -> Cause | None:
        """The cause, where it ended that way; no line is evidence of it."""
        if not self.applies(ending):
            return None
        return Cause(self.name, *self.explain(ending), (), self.retry)


def quote(line: str) -> str:
    """As much of a line as one quotes."""
    return line[:LONGEST_EVIDENCE_CHARACTERS].strip()


def sglang_option(config: ServerConfig, flag: str) -> str | None:
    """The value that `extra_args` give to one of SGLang's own flags; the last one counts."""
    value = None
    for position, argument in enumerate(config.extra_args):
        name, equals, attached = argument.partition("=")
        if name == flag:
            following = config.extra_args[position + 1 : position + 2]
            value = attached if equals else "".join(following)
    return value


def more_gpus(config: ServerConfig) -> str:
    """The clause that spreads the model over twice the GPUs."""
    return f"raise --tp-size from {config.tp_size} to {2 * config.tp_size}"
