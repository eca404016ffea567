"""Where SGLang and vLLM put the parts of a chunk of their streams.

Read by the client, which makes events of them, and by the benchmarks, which add them up for every
chunk of every stream; so nothing is built here. Pure: no I/O.

Sources: `entrypoints/openai/serving_chat.py`, `sse_utils.py` and `protocol.py` of SGLang.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

END_MARK = b"[DONE]"
"""The payload that ends a stream; it is no JSON."""
REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Where SGLang, and where vLLM, puts reasoning."""


def reasoning_in(delta: dict[str, Any]) -> Any:
    """The reasoning in a delta, if there is any."""
    # The first that holds text: some gateways send the same text under both names.
    first, second = REASONING_FIELDS
    return delta.get(first) or delta.get(second)


def parts_of_calls(
    calls: list[dict[str, Any]],
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Of each entry in a delta's `tool_calls`: which call, the entry, and its function."""
    for place, part in enumerate(calls):
        # SGLang declares the index optional; without one the place in the list stands in.
        index = part.get("index")
        yield place if index is None else index, part, part.get("function") or {}


def text_of(value: object, separators: tuple[str, str] | None = None) -> str:
    """What stands where text is expected, as text.

    SGLang declares a call's `arguments` as text or an object, and null in a delta that has only
    a name.

    Args:
        value: what stands there.
        separators: of JSON, where it is an object; None: those of Python's `json`.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=separators)


def reasoning_tokens_in(usage: dict[str, Any]) -> Any:
    """The count of reasoning tokens: SGLang has it beside the others, OpenAI in the details."""
    tokens = usage.get("reasoning_tokens")
    return (
        inner(usage, "completion_tokens_details").get("reasoning_tokens")
        if tokens is None
        else tokens
    )


def cached_tokens_in(usage: dict[str, Any]) -> Any:
    """The count of prompt tokens that came from the prefix cache."""
    return inner(usage, "prompt_tokens_details").get("cached_tokens")


def speculation_in(chunk: dict[str, Any]) -> dict[str, Any]:
    """What SGLang says of how speculation went; empty in most chunks."""
    return inner(inner(chunk, "sglext"), "spec_tokens_details")


def matched_stop_in(choice: dict[str, Any]) -> str | None:
    """The stop text that ended a choice: SGLang's `matched_stop`, vLLM's `stop_reason`."""
    # For a token of the model's own it is a number.
    found = choice.get("matched_stop", choice.get("stop_reason"))
    return found if isinstance(found, str) else None


def inner(value: dict[str, Any], name: str) -> dict[str, Any]:
    """The object that stands under a name; an empty one if there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}
