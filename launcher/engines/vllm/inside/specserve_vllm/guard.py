"""A middleware before vLLM's routes: who may use them, and when the last output came.

vLLM itself asks for the key on routes that begin with `/v1` and a few others only
(entrypoints/serve/middleware/authenticate.py): `/tokenize`, `/invocations` and what plugins add
stay open. Here every route wants it, but those that tell of health and metrics, as SGLang has it.
"""

from __future__ import annotations

import functools
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

# Both are the launcher's: launcher/names.py, which cannot be imported here. A test compares them.
LAST_OUTPUT_ROUTE: Final = "/specserve/last_output"
OPEN_ROUTES: Final = ("/health", "/metrics")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class _State:
    """Of this process: vLLM makes the middleware itself, and passes it nothing."""

    key: bytes | None = None
    output_at: float | None = None
    notes_outputs = False


def require(key: str) -> None:
    """Ask for this key from now on."""
    _State.key = key.encode()


def note_outputs() -> None:
    """See each output that leaves the engine for a request.

    Where a version of vLLM has no such function the route is not there, and the launcher goes by
    the log.
    """
    try:
        from vllm.v1.engine.output_processor import OutputProcessor  # noqa: PLC0415

        process = OutputProcessor.process_outputs
    except (ImportError, AttributeError):
        return

    @functools.wraps(process)
    def noted(self: Any, outputs: Any, *rest: Any, **named: Any) -> Any:
        result = process(self, outputs, *rest, **named)
        if outputs:
            _State.output_at = time.monotonic()
        return result

    OutputProcessor.process_outputs = noted
    _State.notes_outputs = True


class Guard:
    """See the module. Pure ASGI, so that streams pass as they are."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] not in {"http", "websocket"} or scope.get("method") == "OPTIONS":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not _is_open(path) and not _is_allowed(scope):
            await _answer(send, 401, {"error": "Unauthorized"}, is_socket=_is_socket(scope))
        elif path == LAST_OUTPUT_ROUTE and _State.notes_outputs:
            at = _State.output_at
            ago = None if at is None else time.monotonic() - at
            await _answer(send, 200, {"seconds_ago": ago}, is_socket=_is_socket(scope))
        else:
            await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    return any(path == route or path.startswith(f"{route}/") for route in OPEN_ROUTES)


def _is_socket(scope: Message) -> bool:
    return bool(scope["type"] == "websocket")


def _is_allowed(scope: Message) -> bool:
    if _State.key is None:
        return True
    for name, value in scope.get("headers", ()):
        scheme, _, given = value.partition(b" ")
        if name.lower() == b"authorization" and scheme.lower() == b"bearer":
            return hmac.compare_digest(given.strip(), _State.key)
    return False


async def _answer(send: Send, status: int, content: Message, *, is_socket: bool) -> None:
    if is_socket:
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
