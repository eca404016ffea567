"""A typed Python function as a tool: its schema, and the check of a call's arguments. No I/O."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticUserError

from clients.errors import ConfigurationError
from clients.tools.schema import inlined

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A section of a google style docstring, and one argument in it.
_SECTION = re.compile(r"^(\w[\w ]*):\s*$")
_ARGUMENT = re.compile(r"^ {4}\*{0,2}(\w+)(?: \([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Tool(Generic[P, R]):
    """A function that a model may call. Still callable as the function it was.

    Attributes:
        name: what the model calls it.
        description: what the model is told, from the docstring.
        arguments: pydantic model of the parameters, descriptions from the docstring's `Args`.
        function: the function; may be a coroutine function, for the async client.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    function: Callable[P, R] = field(repr=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the parameters without a default."""
        fields = self.arguments.model_fields.items()
        return tuple(name for name, info in fields if info.is_required())

    def definition(self) -> dict[str, object]:
        """Give the tool as the OpenAI API has it, nested types in their places (`schema`)."""
        schema = inlined(self.arguments.model_json_schema())
        schema.pop("title", None)
        schema.pop("description", None)
        for parameter in schema.get("properties", {}).values():
            parameter.pop("title", None)
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


def tool(function: Callable[P, R]) -> Tool[P, R]:
    """Make a tool of a typed function.

    Args:
        function: each parameter has a type that pydantic knows, and a name. The docstring, in
            google style, says what it does and what each argument is.

    Returns:
        The tool.

    Raises:
        ConfigurationError: a parameter has no type, or one without a schema, or no name of its
            own (`*args`), or the function's name is none that the API takes.
    """
    name = getattr(function, "__name__", "")
    if inspect.isclass(function):
        raise ConfigurationError(
            f"{name} is a class, and a tool is a function.",
            action=f"For an answer of that type: parse(messages, {name}).",
        )
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"Not a name for a tool: {name!r}.", action="Use a named function."
        )
    summary, described = _docstring(inspect.getdoc(function) or "")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"Tool {name!r}: a type cannot be resolved: {error}.",
            action="Import what its annotations name where the function is defined.",
        ) from error
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise ConfigurationError(f"Tool {name!r}: {parameter} cannot be given by name.")
        if parameter.name not in hints:
            raise ConfigurationError(
                f"Tool {name!r}: parameter {parameter.name!r} has no type.",
                action=f"Write one, for example `{parameter.name}: str`.",
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        # A description in the annotation stays where the docstring has none.
        known: dict[str, Any] = (
            {"description": text} if (text := described.get(parameter.name)) else {}
        )
        fields[parameter.name] = (hints[parameter.name], Field(default, **known))
    config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, arbitrary_types_allowed=False)
    try:
        arguments = create_model(f"{name}_arguments", __config__=config, **fields)
        arguments.model_json_schema()
    except (PydanticUserError, NameError) as error:
        raise ConfigurationError(f"Tool {name!r} has no schema: {error}.") from error
    return Tool(name, summary, arguments, function)


def as_tool(given: object) -> Tool[..., Any]:
    """Give a tool as it is, and make one of a plain function.

    Raises:
        ConfigurationError: it is neither, or see `tool`.
    """
    if isinstance(given, Tool):
        return given
    if callable(given):
        return tool(given)
    action = "Give a function whose parameters have types."
    if isinstance(given, Mapping):
        action += " A tool that is only described can be offered with chat(tools=...)."
    raise ConfigurationError(
        f"A {type(given).__name__} is no tool: there is no function to call.", action=action
    )


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a google style docstring into what stands before its sections, and its arguments."""
    summary: list[str] = []
    described: dict[str, str] = {}
    section: str | None = None
    current: str | None = None
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section, current = heading[1], None
        elif section is None:
            summary.append(line)
        elif section in {"Args", "Arguments"}:
            if argument := _ARGUMENT.match(line):
                current = argument[1]
                described[current] = argument[2]
            elif current is not None and line.strip():
                described[current] += f" {line.strip()}"
    return "\n".join(summary).strip(), described
