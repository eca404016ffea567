"""What `extra_args` hand to the engine, option by option, and what they say of fields. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from launcher.errors import ConfigError


def options_of(arguments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each option with its value, in order; '' where none follows, as behind a switch.

    Args:
        arguments: as a command line has them, `--flag value` or `--flag=value`.
    """
    found = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, attached = argument.partition("=")
        if name.startswith("--"):
            behind = "" if following.startswith("--") else following
            found.append((name, attached if equals else behind))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class TakenField:
    """A field that an option of the engine's own sets.

    Attributes:
        field: of `ServerConfig`.
        value: as written; True of a switch.
        spelled: the option as written, for a message.
    """

    field: str
    value: str | bool
    spelled: str


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What the engine's own arguments come to.

    Attributes:
        fields: what they say of fields, in their order.
        left: arguments that have no field.
        refused: an error for each of these that the engine is not given.
    """

    fields: tuple[TakenField, ...]
    left: tuple[str, ...]
    refused: tuple[ConfigError, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnOption:
    """An option of the engine's own.

    Attributes:
        option: its first spelling.
        field: the field that it sets; None where the launcher has none.
    """

    option: str
    field: str | None


TakeOver = Callable[[Sequence[str]], TakenOver]
"""How an engine reads its own arguments: `launcher.engines.engine.Engine.take_over`."""
