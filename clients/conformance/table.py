"""All checks, in the order in which they run and are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clients.conformance.checks import (
    chat,
    errors,
    load,
    messages,
    reasoning,
    sampling,
    stream,
    structured,
    tool_choice,
    tool_values,
    tools,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clients.conformance.contract import Check

# `errors` ends with a look whether the server lives, so `load` comes before it.
ALL: Final[tuple[Check, ...]] = (
    *chat.CHECKS,
    *messages.CHECKS,
    *stream.CHECKS,
    *reasoning.CHECKS,
    *tools.CHECKS,
    *tool_choice.CHECKS,
    *tool_values.CHECKS,
    *structured.CHECKS,
    *sampling.CHECKS,
    *load.CHECKS,
    *errors.CHECKS,
)


def choose(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """The checks that are asked for.

    Args:
        only: ids or groups; all checks if empty.
        skip: ids or groups.

    Raises:
        ValueError: a name is neither an id nor a group, or nothing is left.
    """
    names = {check.id for check in ALL} | {check.group for check in ALL}
    if unknown := [name for name in (*only, *skip) if name not in names]:
        groups = ", ".join(dict.fromkeys(check.group for check in ALL))
        raise ValueError(f"No check or group {unknown[0]!r}. Groups: {groups}.")
    chosen = [
        check
        for check in ALL
        if (not only or {check.id, check.group} & set(only))
        and not {check.id, check.group} & set(skip)
    ]
    if not chosen:
        raise ValueError("No check is left.")
    return chosen
