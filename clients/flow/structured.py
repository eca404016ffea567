"""A Python type as the shape of an answer. Pure: no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import isroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json, to_json

from clients.errors import ConfigurationError
from clients.reply import why_empty
from clients.tools.arguments import described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clients.reply import ChatReply

T = TypeVar("T")
_WRAPPED = "answer"
# What the OpenAI API takes for the name of a schema.
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """A type that an answer must have.

    Attributes:
        name: of the type, for people.
        adapter: checks a value.
        schema: JSON schema of the answer, an object at its top, as the OpenAI API wants it.
        is_wrapped: whether the value stands under `answer` in that object, since it is none.
    """

    name: str
    adapter: TypeAdapter[T]
    schema: dict[str, Any]
    is_wrapped: bool

    @classmethod
    def of(cls, given: Any) -> Shape[T]:
        """Make one of whatever pydantic knows: model, dataclass, TypedDict, list, union, int.

        Raises:
            ConfigurationError: pydantic has no JSON schema for it, or it is no type.
        """
        name = getattr(given, "__name__", None)
        name = repr(given).replace("typing.", "") if name is None or _arguments(given) else name
        if isinstance(given, str | list | dict | tuple) or given is None or isroutine(given):
            action = "Give a type: a pydantic model, a dataclass, a TypedDict, list[str], int."
            if isinstance(given, dict):
                action += " A JSON schema of your own goes into response_format of chat()."
            raise ConfigurationError(f"{given!r} is no type.", action=action)
        try:
            adapter: TypeAdapter[T] = TypeAdapter(given)
            schema = adapter.json_schema()
        except (PydanticUserError, NameError, TypeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ConfigurationError(
                f"{name} has no JSON schema: {reason}.",
                action="Give a type that pydantic knows, for example a BaseModel.",
            ) from error
        definitions = schema.pop("$defs", {})
        top = definitions.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"), schema)
        is_wrapped = top.get("type") != "object"
        if is_wrapped:
            top = {
                "type": "object",
                "properties": {_WRAPPED: schema},
                "required": [_WRAPPED],
                "additionalProperties": False,
            }
        whole = {**top, "$defs": definitions} if definitions else dict(top)
        return cls(name, adapter, whole, is_wrapped)

    def response_format(self) -> dict[str, object]:
        """Give it as `response_format` of the API: SGLang decodes under its JSON schema."""
        name = _NO_NAME.sub("_", self.name).strip("_")[:_LONGEST_NAME] or _WRAPPED
        schema = {"name": name, "schema": self.schema, "strict": True}
        return {"type": "json_schema", "json_schema": schema}

    def read(self, reply: ChatReply) -> Value[T] | str:
        """Read an answer.

        Args:
            reply: whole.

        Returns:
            The value, or what is wrong with the answer, in words for the model.
        """
        if reply.finish_reason == "length":
            return "The answer was cut off at its token limit. Answer more briefly."
        if reply.empty_cause is not None:
            return f"The answer is empty: {why_empty(reply)[0]}. Answer with the JSON object alone."
        try:
            return Value(self.adapter.validate_json(self._inner(reply.content)))
        except ValidationError as error:
            problems = described(error, "the answer")
            return f"The answer does not fit: {problems}. Answer again with the whole JSON object."

    def _inner(self, content: str) -> str | bytes:
        """Take the value out of its object; a server without grammars may have left that out."""
        if not self.is_wrapped:
            return content
        try:
            whole = from_json(content)
        except ValueError:
            return content
        if isinstance(whole, dict) and whole.keys() == {_WRAPPED}:
            return to_json(whole[_WRAPPED])
        return content


@dataclass(frozen=True, slots=True)
class Value(Generic[T]):
    """A value of the type, which may itself be a text."""

    value: T


def asked_again(reply: ChatReply, problem: str) -> list[Mapping[str, object]]:
    """Give the two messages by which the model learns what was wrong."""
    return [
        {"role": "assistant", "content": reply.content},
        {"role": "user", "content": problem},
    ]


def _arguments(given: object) -> object:
    return getattr(given, "__args__", None)
