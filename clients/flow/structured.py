"""A pydantic model class as the shape of an answer. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from clients.tools.arguments import described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clients.reply import ChatReply

T = TypeVar("T", bound=BaseModel)


def response_format(shape: type[BaseModel]) -> dict[str, object]:
    """Give the class as `response_format` of the API: SGLang decodes under its JSON schema."""
    schema = {"name": shape.__name__, "schema": shape.model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def read_answer(reply: ChatReply, shape: type[T]) -> T | str:
    """Read an answer.

    Args:
        reply: whole.
        shape: the class asked for.

    Returns:
        The instance, or what is wrong with the answer, in words for the model.
    """
    if reply.finish_reason == "length":
        return "The answer was cut off at its token limit. Answer more briefly."
    if not reply.content:
        return "The answer was empty. Answer with the JSON object alone."
    try:
        return shape.model_validate_json(reply.content)
    except ValidationError as error:
        problems = described(error, "the answer")
        return f"The answer does not fit: {problems}. Answer again with the whole JSON object."


def asked_again(reply: ChatReply, problem: str) -> list[Mapping[str, object]]:
    """Give the two messages by which the model learns what was wrong."""
    return [
        {"role": "assistant", "content": reply.content},
        {"role": "user", "content": problem},
    ]
