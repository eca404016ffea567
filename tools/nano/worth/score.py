"""What an answer is worth: well formed, the right number, the right calls."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tools.nano.text.dialogue import Call

_NUMBER = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as a client sees it.

    Attributes:
        reasoning: what it thought.
        content: what it said.
        calls: names and arguments of its tool calls; None where one could not be parsed.
        ended: whether it ended by itself.
    """

    reasoning: str
    content: str
    calls: list[Call] | None
    ended: bool


def read_calls(written: Iterable[tuple[str, str]]) -> list[Call] | None:
    """Read calls whose arguments are text; None if those of one are no JSON object."""
    calls: list[Call] = []
    for name, text in written:
        try:
            arguments = json.loads(text)
        except json.JSONDecodeError:
            return None
        if not isinstance(arguments, dict):
            return None
        calls.append((name, arguments))
    return calls


def well_formed(answer: Answer) -> bool:
    """Say whether an answer ended by itself, says or calls something, and left no mark open."""
    if not answer.ended or answer.calls is None:
        return False
    marks = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<arg_", "</arg_", "<|")
    clean = not any(mark in answer.content + answer.reasoning for mark in marks)
    return clean and bool(answer.calls or answer.content.strip())


def right_number(answer: Answer, number: int) -> bool:
    """Say whether the last number of an answer is the wanted one."""
    # The sign of "5 -3" is a minus between: only a number's own stands behind "= ".
    found = _NUMBER.findall(answer.content.split("=")[-1])
    return bool(found) and int(found[-1]) == number


def same(first: Any, second: Any) -> bool:
    """Say whether two JSON values are equal, with their types."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and bool(first == second)


def right_calls(answer: Answer, calls: list[Call]) -> bool:
    """Say whether an answer makes the wanted calls, in order, and no other."""
    if answer.calls is None or len(answer.calls) != len(calls):
        return False
    return all(
        name == wanted and same(given, arguments)
        for (name, given), (wanted, arguments) in zip(answer.calls, calls, strict=True)
    )
