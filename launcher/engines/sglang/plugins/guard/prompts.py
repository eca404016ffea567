"""What is looked at before a prompt is rendered and cut into tokens, which takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from launcher.engines.sglang.plugins.guard import grammars, requests
from launcher.engines.sglang.plugins.guard.bounds import CHOICES, BoundError, ModelBounds

# Arguments of the tokenizer's own function, which SGLang gives itself (serving_chat.py,
# `apply_chat_template`) or whose answer it could not take.
NOT_FOR_TEMPLATES: Final = frozenset(
    {
        *("messages", "conversation", "tools", "tokenize", "add_generation_prompt"),
        *("return_dict", "return_tensors", "return_assistant_tokens_mask"),
        *("padding", "truncation", "max_length", "tokenizer_kwargs"),
    }
)
_TOOLS: Final = 512
# Parts of a message that are no text: images and the like, as addresses or base64.
_MEDIA: Final = ("image_url", "video_url", "audio_url", "input_audio")


def check_first(validate: Callable[..., str | None], serving: Any, request: Any) -> str | None:
    """Look at a request of OpenAI's API before SGLang does.

    Returns:
        What is wrong with it; it is answered with 400 then.
    """
    model = requests.model_bounds()
    try:
        if model is not None:
            check(request, model)
    except BoundError as error:
        return str(error)
    return validate(serving, request)


def check(request: Any, model: ModelBounds) -> None:
    """Look at the sizes of a request of OpenAI's API, a model of pydantic.

    Raises:
        BoundError: one of them is beyond its bound.
    """
    choices = getattr(request, "n", None)
    if choices is not None and not 1 <= choices <= CHOICES:
        raise BoundError("n", f"must be in [1, {CHOICES}]", choices)
    for name in getattr(request, "chat_template_kwargs", None) or {}:
        if name in NOT_FOR_TEMPLATES:
            raise BoundError("chat_template_kwargs", "is for the template alone", name)
    tools = getattr(request, "tools", None) or []
    if len(tools) > _TOOLS:
        raise BoundError("tools", f"must be at most {_TOOLS}", len(tools))
    schemas = [tool.function.parameters for tool in tools if tool.function is not None]
    grammars.check_schema("tools", schemas)
    form = getattr(request, "response_format", None)
    if form is not None:
        grammars.check_schema("response_format", form.model_dump())
    for name in ("regex", "ebnf"):
        if isinstance(text := getattr(request, name, None), str):
            grammars.check_text(name, text)
    size = sum(map(requests.utf8_bytes, _texts(getattr(request, "messages", None) or [])))
    if size > model.text_bytes:
        raise BoundError(
            "messages", f"must be at most {model.text_bytes} bytes for this context", size
        )


def _texts(value: Any) -> Iterator[str]:
    """Every text in the messages, but what stands for an image, a sound or a video."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            stack += [one for name, one in part.items() if name not in _MEDIA]
        elif isinstance(part, list | tuple):
            stack += part
        elif hasattr(part, "__dict__"):
            stack += [one for name, one in vars(part).items() if name not in _MEDIA]
