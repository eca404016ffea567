"""An SGLang plugin for what OpenAI's clients take for granted and SGLang does otherwise.

- `metadata` of an answer holds strings. SGLang puts a list there, the versions of the weights
  (sglang/srt/utils/weight_versions.py), and clients that validate answers refuse all that are not
  streamed: pydantic-ai 2 does.
- Each chunk of a stream has the same `id`. SGLang gives each choice one of its own
  (entrypoints/openai/serving_chat.py, `_generate_chat_stream`).
- A model that is not there is refused with 404. SGLang answers under any name, so a mistyped one
  is never noticed. `--any-model-name` leaves it so, for clients whose name for the model cannot be
  changed; `/v1/messages` always does, since its clients have none but Anthropic's.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import ANY_MODEL_NAME_VARIABLE, RUN_ID_VARIABLE

_PLACE: Final = "sglang.srt.entrypoints.openai"
_METADATA: Final = tuple(
    f"{_PLACE}.{module}.build_endpoint_weight_version_metadata"
    for module in ("serving_chat", "serving_completions")
)
_STREAM: Final = f"{_PLACE}.serving_chat.OpenAIServingChat._generate_chat_stream"
_REQUEST: Final = f"{_PLACE}.serving_base.OpenAIServingBase.handle_request"
_STRICT_ROUTES: Final = frozenset({"/v1/chat/completions", "/v1/completions"})
# SGLang's own name for a request that names no model (entrypoints/openai/protocol.py).
_UNNAMED: Final = "default"
_CHUNK_ID: Final = re.compile(r'^data: \{"id":"([^"]*)"')


def activate() -> None:
    """Hook the server, where the launcher has started it.

    Without the hooks most clients are as well served as before, so a version of SGLang that has no
    such functions is none to stop for.
    """
    if RUN_ID_VARIABLE not in os.environ or not hooks.in_first_process():
        return
    wanted: dict[str, hooks.Hook] = dict.fromkeys(_METADATA, (only_strings, "AFTER"))
    wanted[_STREAM] = (one_id, "AFTER")
    if os.environ.get(ANY_MODEL_NAME_VARIABLE) != "1":
        wanted[_REQUEST] = (refuse_unknown_model, "AROUND")
    hooks.install_if_possible(wanted, "the API stays as SGLang has it")


def only_strings(metadata: dict[str, Any], *_args: object, **_kwargs: object) -> dict[str, str]:
    """The field, with JSON for each value that is no string."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in metadata.items()
    }


def one_id(
    stream: AsyncIterator[str], _serving: object, _adapted: object, request: Any, *_args: object
) -> AsyncIterator[str]:
    """The stream, with the first chunk's id in all of them."""
    return stream if (request.n or 1) == 1 else _with_first_id(stream)


async def _with_first_id(stream: AsyncIterator[str]) -> AsyncIterator[str]:
    first: str | None = None
    async for chunk in stream:
        found = _CHUNK_ID.match(chunk)
        if found is None:
            yield chunk
            continue
        first = found[1] if first is None else first
        yield f'data: {{"id":"{first}"{chunk[found.end() :]}'


async def refuse_unknown_model(
    handle: Callable[..., Awaitable[Any]], serving: Any, request: Any, raw_request: Any
) -> Any:
    """Answer a request for a model that is there, and refuse any other."""
    path = getattr(getattr(raw_request, "url", None), "path", None)
    if path in _STRICT_ROUTES and not is_served(request.model, serving):
        return serving.create_error_response(
            f"The model {request.model!r} does not exist; this server has "
            f"{serving.tokenizer_manager.served_model_name!r}.",
            err_type="NotFoundError",
            status_code=404,
            param="model",
        )
    return await handle(serving, request, raw_request)


def is_served(name: str, serving: Any) -> bool:
    """Whether a name is the model's, its path, or that of an adapter."""
    manager = serving.tokenizer_manager
    base, adapter = serving._parse_model_parameter(name)  # noqa: SLF001 - SGLang's own rule
    if base in {manager.served_model_name, manager.model_path, _UNNAMED}:
        return True
    registry = getattr(manager, "lora_registry", None)
    return adapter is None and registry is not None and name in registry.get_all_adapters()
