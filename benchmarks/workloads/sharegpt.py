"""ShareGPT-format conversations: the first question of each, at its answer's length. Pure: no I/O.

As `sglang.bench_serving` does with this format (SGLang, `benchmark/datasets/sharegpt.py`):
one question, no history; the answer's length from the recorded answer, kept by `ignore_eos`; what
has fewer than two turns, or fewer than two tokens, is left out. Other than there, the length is
estimated without a tokenizer, a system turn is kept, and the question is the first turn of a human
that has an answer rather than the first turn of all.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from benchmarks.workloads.messages import LONGEST_ID, estimated_tokens
from benchmarks.workloads.workload import Prompt

HUMAN: Final = frozenset({"human", "user"})
MODEL: Final = frozenset({"gpt", "assistant", "chatgpt", "bing", "bard"})
KEYS: Final = ("conversations", "conversation")
FEWEST_TOKENS: Final = 2


class _Turn(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    speaker: str = Field(validation_alias="from")
    value: str


class Conversation(BaseModel):
    """One conversation, checked; keys that we have no use for are passed over.

    Attributes:
        id: text or number; need not be unique.
        turns: shape [turns].
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    id: Any = None
    turns: list[_Turn] = Field(validation_alias=AliasChoices(*KEYS))

    @field_validator("id")
    @classmethod
    def _printable(cls, value: Any) -> str | None:
        is_fit = isinstance(value, str | int) and str(value).isprintable()
        # Half of what a stored workload may have: a number may come behind it.
        return str(value)[: LONGEST_ID // 2] or None if is_fit else None


def is_sharegpt(value: Any) -> bool:
    """Whether a value of a file looks like one of its conversations."""
    return isinstance(value, dict) and any(key in value for key in KEYS)


def to_prompt(value: Any, default_id: str) -> Prompt | None:
    """Turn one conversation into a prompt.

    Args:
        value: one element of the file.
        default_id: where it gives none.

    Returns:
        The prompt; None where no turn of a human has an answer, or one of both is too short.

    Raises:
        pydantic.ValidationError: it is not like that.
    """
    conversation = Conversation.model_validate(value)
    messages: list[dict[str, Any]] = []
    turns = conversation.turns
    for turn, answer in itertools.pairwise(turns):
        if turn.speaker == "system":
            messages.append({"role": "system", "content": turn.value})
        if turn.speaker in HUMAN and answer.speaker in MODEL:
            tokens = estimated_tokens(answer.value)
            if min(tokens, estimated_tokens(turn.value)) < FEWEST_TOKENS:
                return None
            return Prompt(
                id=conversation.id or default_id,
                messages=(*messages, {"role": "user", "content": turn.value}),
                max_tokens=tokens,
                ignore_eos=True,
                options={"chat_template_kwargs": {"enable_thinking": False}},
            )
    return None
