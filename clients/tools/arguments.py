"""The arguments of a call, checked against the tool's schema, and repaired where that is safe.

What the glm45 parser of SGLang is known to do to them (issues 11888, 30644, 35564, 37634): an
integer or a list comes as a string, `123_456` comes without quotes, and the arguments of a second
call are lost when one increment holds several calls. Pure: no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from pydantic_core import from_json, to_json, to_jsonable_python

if TYPE_CHECKING:
    from clients.reply import ToolCall
    from clients.tools.tool import Tool

# A member of an object whose value is digits with underscores: not JSON, and Python would take
# it for a number.
_BARE_UNDERSCORES = re.compile(r'("(?:[^"\\]|\\.)*"\s*:\s*)(-?\d+(?:_\d+)+)(?=\s*[,}])')


@dataclass(frozen=True, slots=True)
class Repair:
    """One argument that did not have its type and was read as what it was meant to be.

    Attributes:
        argument: name of the parameter.
        given: JSON text of what the server sent.
        used: JSON text of what the function gets.
    """

    argument: str
    given: str
    used: str


@dataclass(frozen=True, slots=True)
class CheckedArguments:
    """Arguments that fit.

    Attributes:
        values: for the function, by name.
        text: JSON of them, for the conversation.
        repairs: what was changed.
    """

    values: dict[str, Any]
    text: str
    repairs: tuple[Repair, ...]


class ArgumentsError(Exception):
    """Arguments that do not fit: `lost`, `malformed` (no JSON object) or `invalid`."""

    def __init__(self, kind: Literal["lost", "malformed", "invalid"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


def check_arguments(tool: Tool[..., Any], call: ToolCall) -> CheckedArguments:
    """Hold a call's arguments against the tool's schema.

    Args:
        tool: the function called.
        call: as the server sent it.

    Returns:
        The arguments, and what was repaired in them.

    Raises:
        ArgumentsError: they were lost, are no JSON object, or do not fit.
    """
    given, broken = _object(tool, call.arguments)
    try:
        checked = tool.arguments.model_validate_json(to_json(given), strict=True)
    except ValidationError as error:
        checked = _lenient(tool, given, error)
    values = {name: getattr(checked, name) for name in given}
    used: dict[str, Any] = to_jsonable_python(values)
    # A nested model fills in its defaults, and 1 becomes 1.0: no repair of what was sent.
    repairs = tuple(
        Repair(name, broken.get(name) or _text(value), _text(used[name]))
        for name, value in given.items()
        if name in broken
        or (
            (isinstance(value, str) or isinstance(used[name], str))
            and _text(used[name]) != _text(value)
        )
    )
    # Defaults come with the model, so that the function sees a checked value in each place.
    everything = {name: getattr(checked, name) for name in tool.arguments.model_fields}
    return CheckedArguments(everything, _text(used), repairs)


def are_lost(tool: Tool[..., Any], arguments: str) -> bool:
    """Say whether a call arrived without the arguments that its tool requires."""
    return bool(tool.required) and arguments.strip() in {"", "{}", "null"}


def _object(tool: Tool[..., Any], text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the JSON object; the second value names members that were no JSON, as they stood."""
    if are_lost(tool, text):
        names = ", ".join(tool.required)
        raise ArgumentsError("lost", f"The arguments of {tool.name} did not arrive: {names}.")
    broken: dict[str, str] = {}
    try:
        value = from_json(text.strip() or "{}")
    except ValueError as error:
        value, broken = _without_bare_underscores(text)
        if value is None:
            raise ArgumentsError("malformed", f"The arguments are no JSON: {error}.") from error
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ArgumentsError("malformed", "The arguments are no JSON object.")
    return value, broken


def _without_bare_underscores(text: str) -> tuple[Any, dict[str, str]]:
    found = _BARE_UNDERSCORES.findall(text)
    broken: dict[str, str] = {from_json(key.rstrip().rstrip(":")): digits for key, digits in found}
    try:
        return from_json(_BARE_UNDERSCORES.sub(r'\1"\2"', text)), broken
    except ValueError:
        return None, {}


def _lenient(tool: Tool[..., Any], given: dict[str, Any], strict: ValidationError) -> Any:
    """Read texts as the JSON that they hold, where the text itself did not fit."""
    read = dict(given)
    for problem in strict.errors(include_url=False, include_context=False):
        name = problem["loc"][0] if problem["loc"] else None
        if isinstance(name, str) and isinstance(given.get(name), str):
            try:
                inner = from_json(given[name])
            except ValueError:
                continue
            if not isinstance(inner, str):
                read[name] = inner
    for candidate in (read, given):
        try:
            return tool.arguments.model_validate_json(to_json(candidate))
        except ValidationError as error:
            failure = error
    problems = described(failure, "arguments")
    raise ArgumentsError("invalid", f"The arguments do not fit: {problems}.") from failure


def described(error: ValidationError, whole: str) -> str:
    """Say for the model what does not fit, and where; `whole` stands for all of it."""
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc']) or whole}: {each['msg']}"
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _text(value: object) -> str:
    return to_json(value).decode()
