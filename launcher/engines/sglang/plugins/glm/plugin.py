"""The SGLang plugin that puts our parsers in the place of SGLang's own for GLM-4.5's format.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`). It does
nothing unless the launcher has asked for it (`glm_parsers`).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.engines.sglang.plugins.glm.settings import CALL_PARSERS, REASONING_PARSERS
from launcher.engines.sglang.version import VERIFIED_VERSION
from launcher.names import GLM_PARSERS_VARIABLE

_RENDER: Final = (
    "sglang.srt.entrypoints.openai.serving_chat.OpenAIServingChat._render_and_encode_chat_template"
)


def activate() -> None:
    """Register the parsers, and hook the prompt.

    Raises:
        SystemExit: this version of SGLang keeps its parsers elsewhere.
    """
    if os.environ.get(GLM_PARSERS_VARIABLE) != "1" or not hooks.in_first_process():
        return
    try:
        register()
        hooks.install({_RENDER: (begin_answer, "AFTER")})
    except Exception as error:
        raise SystemExit(
            f"specserve: the parsers for GLM could not be set up: {type(error).__name__}: {error}. "
            f"They are written for sglang {VERIFIED_VERSION}; `--glm-parsers sglang` leaves "
            "SGLang's own in place."
        ) from error


def register() -> None:
    """Put our parsers under the names of SGLang's.

    Raises:
        KeyError, ImportError: this version of SGLang has no such parser, or keeps it elsewhere.
    """
    from sglang.srt.function_call.function_call_parser import FunctionCallParser  # noqa: PLC0415
    from sglang.srt.parser.reasoning_parser import ReasoningParser  # noqa: PLC0415

    from launcher.engines.sglang.plugins.glm.detectors import (  # noqa: PLC0415
        CallDetector,
        ReasoningDetector,
    )

    for table, names, parser in (
        (FunctionCallParser.ToolCallParserEnum, CALL_PARSERS, CallDetector),
        (ReasoningParser.DetectorMap, REASONING_PARSERS, ReasoningDetector),
    ):
        for name in names:
            if name not in table:
                raise KeyError(name)
            table[name] = parser


def begin_answer(
    result: tuple[list[int], str | None], serving: Any, *_args: object, **_kwargs: object
) -> tuple[list[int], str | None]:
    r"""Write the line break into the prompt with which GLM-4.5 begins each answer.

    Where thinking is off the prompt ends with `<think></think>`, and the model was trained to write
    `\n` next, always. Left to the model, a stop text of one line break ends the answer before it
    begins, and a grammar that forbids the line break forces the model off its way.

    Args:
        result: of `_render_and_encode_chat_template`: the prompt's tokens, and its text if a cache
            keeps that.
        serving: SGLang's `OpenAIServingChat`.
    """
    prompt, text = result
    ends, line_break = _tokens_of_format(serving.tokenizer_manager.tokenizer)
    if list(prompt[-2:]) != ends or len(line_break) != 1:
        return result
    return [*prompt, *line_break], None if text is None else text + "\n"


@lru_cache(maxsize=1)
def _tokens_of_format(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens of the empty tags and of a line break; a server has one tokenizer."""
    tags = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    return list(tags), list(tokenizer.encode("\n", add_special_tokens=False))
