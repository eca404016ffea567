"""The SGLang plugin that puts the bounds in place, in the process that answers HTTP.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.engines.sglang.plugins.guard import prompts, requests
from launcher.engines.sglang.plugins.guard.bounds import BoundError
from launcher.names import RUN_ID_VARIABLE

_MANAGER: Final = "sglang.srt.managers.tokenizer_manager.TokenizerManager.__init__"
# All that is to be computed passes here, in the process that answers HTTP.
_NORMALIZE: Final = tuple(
    f"sglang.srt.managers.io_struct.{kind}.normalize_batch_and_arguments"
    for kind in ("GenerateReqInput", "EmbeddingReqInput")
)
# Each prompt passes here when it has been cut into tokens.
_PROMPT: Final = "sglang.srt.managers.tokenizer_manager.TokenizerManager._validate_one_request"
_OPENAI: Final = "sglang.srt.entrypoints.openai"
# Before a prompt is rendered and cut into tokens.
_VALIDATE: Final = (
    f"{_OPENAI}.serving_chat.OpenAIServingChat._validate_request",
    f"{_OPENAI}.serving_completions.OpenAIServingCompletion._validate_request",
)
_AUTHORIZE: Final = "sglang.srt.utils.auth.decide_request_auth"
_PROTOCOL: Final = "launcher.engines.sglang.plugins.guard.connections:BoundedProtocol"


def activate() -> None:
    """Hook the server, where the launcher has started it.

    Each is for itself: a version of SGLang that lacks one of the functions is served without that
    bound, and the log says so.
    """
    if RUN_ID_VARIABLE not in os.environ or not hooks.in_first_process():
        return
    of_requests: dict[str, hooks.Hook] = dict.fromkeys(_NORMALIZE, (requests.check_first, "AROUND"))
    of_requests[_MANAGER] = (requests.learn, "AFTER")
    bounds: tuple[tuple[dict[str, hooks.Hook], str], ...] = (
        (of_requests, "requests are not bounded"),
        ({_PROMPT: (requests.check_prompt, "AROUND")}, "an empty prompt ends the scheduler"),
        (dict.fromkeys(_VALIDATE, (prompts.check_first, "AROUND")), "prompts are not bounded"),
        ({_AUTHORIZE: (decide, "AROUND")}, "a key that is no ASCII is answered with 500"),
    )
    for wanted, otherwise in bounds:
        hooks.install_if_possible(wanted, otherwise)
    bound_connections()
    answer_malformed_requests()


def bound_connections() -> None:
    """Have uvicorn speak HTTP by our protocol.

    It is looked up by this name where the server names none (uvicorn/config.py, `Config.load`).
    """
    from uvicorn.config import HTTP_PROTOCOLS  # noqa: PLC0415

    HTTP_PROTOCOLS["auto"] = _PROTOCOL


def answer_malformed_requests() -> None:
    """Have 400 answered to what SGLang's own checks stumble over, or what no route of its catches.

    A check that takes a number for an object raises an AttributeError (entrypoints/openai/
    protocol.py, the validators of `ChatCompletionRequest`), which is answered with 500.
    """
    from sglang.srt.entrypoints.http_server import app  # noqa: PLC0415

    for kind in (AttributeError, TypeError, KeyError, ValueError):
        app.add_exception_handler(kind, answer_malformed)


async def answer_malformed(_request: Any, error: Exception) -> Any:
    """Answer an exception that a request has caused by its form.

    Raises:
        Exception: the one that was given, where it comes from elsewhere.
    """
    from fastapi.responses import JSONResponse  # noqa: PLC0415

    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, BoundError):
        problem = str(error)
    elif frames and frames[-1].filename.endswith("/protocol.py"):
        problem = "The request has not the form that this route takes: a field is of a wrong type."
    elif frames and frames[-1].filename.endswith("/reasoning_parser.py"):
        problem = str(error)
    else:
        raise error
    return JSONResponse(
        {"object": "error", "message": problem, "type": "BadRequestError", "code": 400}, 400
    )


def decide(decide_auth: Callable[..., Any], **facts: Any) -> Any:
    """Decide on a key; one with characters that no key has is nobody's.

    SGLang compares it by a function that takes ASCII only (utils/auth.py).
    """
    header = facts.get("authorization_header")
    if header is not None and not header.isascii():
        facts["authorization_header"] = None
    return decide_auth(**facts)
