"""A workload: prompts in a fixed order, with a hash that two reports can compare. Pure: no I/O."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from benchmarks.errors import WorkloadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One request to send.

    Attributes:
        id: unique in its workload; requests of different arms pair up by it.
        messages: in the OpenAI format.
        max_tokens: of the answer, the most.
        ignore_eos: the answer has `max_tokens` tokens, whatever the model would say. SGLang's.
        tools: in the OpenAI format; empty for none.
        options: further fields of the request, such as `response_format`, `tool_choice` or
            `chat_template_kwargs`.
    """

    id: str
    messages: tuple[dict[str, Any], ...]
    max_tokens: int
    ignore_eos: bool = False
    tools: tuple[dict[str, Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def to_request(self, model: str, *, stream: bool = True) -> dict[str, Any]:
        """The body of a chat completion: greedy, with usage and SGLang's counts of speculation."""
        body: dict[str, Any] = {
            "model": model,
            "messages": list(self.messages),
            "max_tokens": self.max_tokens,
            "temperature": 0.0,
            "return_spec_tokens_details": True,
            **self.options,
        }
        if self.ignore_eos:
            body["ignore_eos"] = True
        if self.tools:
            body["tools"] = list(self.tools)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def to_json(self) -> dict[str, Any]:
        """For a line of a JSONL file; what has its default value is left out."""
        value: dict[str, Any] = {
            "id": self.id,
            "messages": list(self.messages),
            "max_tokens": self.max_tokens,
        }
        if self.ignore_eos:
            value["ignore_eos"] = True
        if self.tools:
            value["tools"] = list(self.tools)
        if self.options:
            value["options"] = self.options
        return value


@dataclass(frozen=True)
class Workload:
    """Prompts under a name.

    Attributes:
        name: letters, digits, dashes.
        description: one line: what it stands for.
        prompts: shape [prompts], in the order in which they are sent.
        source: where they come from: `built in, seed 7`, or a file's name and format.
    """

    name: str
    description: str
    prompts: tuple[Prompt, ...]
    source: str

    def __post_init__(self) -> None:
        """Refuse what could not be paired.

        Raises:
            WorkloadError: no prompt, or two with one id.
        """
        ids = Counter(prompt.id for prompt in self.prompts)
        if not ids:
            raise WorkloadError(
                f"The workload {self.name!r} has no prompt.", action="Give it at least one."
            )
        if twice := sorted(one for one, count in ids.items() if count > 1):
            raise WorkloadError(
                f"The workload {self.name!r} has the prompt {twice[0]!r} twice.",
                action="Give each line an `id` of its own, or none.",
            )

    def to_jsonl(self) -> bytes:
        """The prompts, a line each, the same bytes for the same prompts.

        Keys keep their order: a schema's decides what a grammar allows first, and that of a tool
        is part of the text that a model reads. Sorted, a stored workload would be another one.
        """
        return b"".join(
            json.dumps(prompt.to_json(), ensure_ascii=False).encode() + b"\n"
            for prompt in self.prompts
        )

    @cached_property
    def sha256(self) -> str:
        """Of `to_jsonl`, in hexadecimal: two reports with one hash measured the same prompts."""
        return hashlib.sha256(self.to_jsonl()).hexdigest()

    def first(self, count: int) -> Self:
        """The same with its first prompts only."""
        return type(self)(self.name, self.description, self.prompts[:count], self.source)
