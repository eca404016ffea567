"""What an answer to a written request is worth: the calls, the text or the JSON that it wants.

The requests were written without sight of the training (README.md has the format).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from tools.nano.text.dialogue import Call
from tools.nano.worth.score import Answer, same, well_formed

MOST_CHARACTERS: Final = 800
"""Of an answer in words: more is no sane sentence of a model this small."""


def right(want: Mapping[str, Any], answer: Answer) -> bool:
    """Say whether an answer is what a request wants."""
    if not well_formed(answer):
        return False
    if "calls" in want:
        return _right_calls(want["calls"], answer.calls or [])
    if answer.calls:
        return False
    if "json" in want:
        return _right_object(want["json"], answer.content)
    return _right_text(want["text"], answer.content)


def _right_text(want: Mapping[str, Any], content: str) -> bool:
    if len(content) > MOST_CHARACTERS or _parsed(content) is not None:
        return False
    text = content.casefold()
    if any(str(part).casefold() not in text for part in want.get("contains", ())):
        return False
    choices = [str(part).casefold() for part in want.get("contains_one_of", ())]
    return not choices or any(part in text for part in choices)


def _right_object(want: Mapping[str, Any], content: str) -> bool:
    value = _parsed(content)
    return isinstance(value, dict) and all(key in value for key in want.get("keys", ()))


def _parsed(content: str) -> Any:
    """Read JSON that is an object or a list; None for any other text."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict | list) else None


def _right_calls(wanted: list[Mapping[str, Any]], calls: list[Call]) -> bool:
    """Match calls with what is wanted, in any order."""
    if len(wanted) != len(calls):
        return False
    left = list(calls)
    for one in wanted:
        for call in left:
            if call[0] == one["name"] and _right_arguments(one["arguments"], call[1]):
                left.remove(call)
                break
        else:
            return False
    return True


def _right_arguments(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    if wanted.get("any") is True and len(wanted) == 1:
        return True
    if set(given) - set(wanted):
        return False
    return all(_right_value(want, name in given, given.get(name)) for name, want in wanted.items())


def _right_value(want: Any, is_given: bool, value: Any) -> bool:  # noqa: FBT001 - of one call
    choices, optional = [want], False
    if isinstance(want, dict) and len(want) == 1:
        ((key, inner),) = want.items()
        if key in {"optional", "optional_one_of"}:
            choices, optional = inner if key == "optional_one_of" else [inner], True
        elif key == "one_of":
            choices = inner
    if not is_given:
        return optional
    return any(_alike(choice, value) for choice in choices)


def _alike(wanted: Any, given: Any) -> bool:
    """Compare two values; a whole number may be written as 4 or as 4.0 where it is a number."""
    numbers = (int, float)
    if isinstance(wanted, numbers) and isinstance(given, numbers):
        booleans = isinstance(wanted, bool) or isinstance(given, bool)
        return wanted is given if booleans else wanted == given
    if isinstance(wanted, dict) and isinstance(given, dict):
        return _right_arguments(wanted, given)
    return same(wanted, given)
