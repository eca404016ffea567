"""What the machines give for the text that they take. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Content:
    """Text of the answer: it is no call, or cannot be read as one."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call begins; the events up to the next of these belong to it.

    Attributes:
        name: of the tool as the model wrote it, offered or not.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """More of the JSON text of the call's arguments."""

    text: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is whole; the texts of its `Arguments` are one JSON object."""


Event: TypeAlias = Content | CallStarted | Arguments | CallEnded


def partial_length(text: str, tag: str) -> int:
    """How many characters at the end of a text may be the beginning of a tag."""
    for length in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:length]):
            return length
    return 0
