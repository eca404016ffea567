"""A server's launch as some file or command describes it, in the same terms for all kinds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from launcher.errors import UnimportableError

# A private-use character: no text that people write has one, so that it can mark a place.
_MARK: Final = "\ue000"
_LONGEST_CHARACTERS: Final = 65_536
_USE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)")
_COMMAND: Final = re.compile(r"(\$\(|`)\s*(\w[\w.-]*)[^\n]*", re.DOTALL)
UNKNOWN: Final = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}")


def unknown(written: str) -> str:
    """A place in a text whose value is not known: an unset variable, a command's output."""
    return f"{_MARK}{written}{_MARK}"


def unknowns(text: str) -> list[str]:
    """What stands in the places of a text whose values are not known, as it was written."""
    return [_shortened(one) for one in UNKNOWN.findall(text)]


def as_written(text: str) -> str:
    """A text for people, its unknown places as they were written."""
    return UNKNOWN.sub(lambda found: _shortened(found[1]), text)


def _shortened(written: str) -> str:
    """A command without its arguments, which may hold a secret."""
    return _COMMAND.sub(r"\1\2 ...)", written)


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine inside a container.

    Attributes:
        inside: where the server sees it.
        outside: where it lies; "" where that is not a folder of this machine (a named volume).
        note: what it is where it is no folder.
    """

    inside: str
    outside: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A port of a container that others reach.

    Attributes:
        inside: in the container.
        outside: on this machine.
        address: of this machine on which it listens; "" for all.
    """

    inside: int
    outside: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """What stands between the server and this machine.

    Attributes:
        mounts: folders.
        published: ports.
        host_network: whether it shares this machine's network, so that ports are the same.
        cluster: whether others reach it by a network of its own, such as a pod's.
        gpus: what of the GPUs it is given, as written; "" for nothing said.
    """

    mounts: tuple[Mount, ...] = ()
    published: tuple[Published, ...] = ()
    host_network: bool = False
    cluster: bool = False
    gpus: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """One launch.

    Attributes:
        argv: the command, from the interpreter on, as the kind's own rules fill it in.
        environment: variables of the server; a secret's value, or one that is not known, is marked.
        container: where it runs in one.
        folder: where it runs; "" where nothing says.
        name: of the service, container or unit; "" where it has none.
        restart: `restart` as the launcher has it, where the definition says so.
        restart_delay_seconds: its pause.
        dropped: what the kind has beside the command, and what becomes of it.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    container: Container | None = None
    folder: str = ""
    name: str = ""
    restart: str = ""
    restart_delay_seconds: float | None = None
    dropped: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    """Names of variables that the command itself is filled in with."""


def names_used(text: str) -> frozenset[str]:
    """Names of the variables that a command, as written, is filled in with."""
    return frozenset(_USE.findall(text))


def bounded(text: str) -> str:
    """A text that was filled in, where it has a size that people write.

    Raises:
        UnimportableError: it is longer: variables of variables double with each line.
    """
    if len(text) > _LONGEST_CHARACTERS:
        raise refuse(
            f"A value has more than {_LONGEST_CHARACTERS:,} characters once it is filled in.",
            "Give the command itself: `python -m launcher config import -- COMMAND`.",
        )
    return text


def refuse(problem: str, action: str) -> UnimportableError:
    """The error for a definition that becomes no configuration."""
    return UnimportableError(as_written(problem), action=action)
