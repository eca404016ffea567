"""What `extra_args` hand to the engine, option by option. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest


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
