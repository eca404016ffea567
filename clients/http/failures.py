"""Which of our errors an exception of the openai SDK, or of httpx under it, stands for."""

from __future__ import annotations

import re
import textwrap
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
import openai

from clients.errors import (
    AuthenticationError,
    BadRequestError,
    BreakReason,
    BrokenStreamError,
    ClientError,
    ConnectionLostError,
    ContextLengthError,
    InternalServerError,
    ModelNotFoundError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    RequestTimeoutError,
    RequestTooLargeError,
    ServerUnreachableError,
    ServiceUnavailableError,
    StatusError,
    StreamTimeoutError,
    TimeoutKind,
    UnprocessableEntityError,
)
from clients.http.wire import ServerEventError

if TYPE_CHECKING:
    from datetime import datetime

    from clients.reply import ChatReply

_STATUS_ERRORS: dict[int, type[StatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: RequestTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}
_FIRST_SERVER_ERROR = 500
_NOT_FOUND = 404
_ADMIN_ACTION = (
    "This route wants the admin key, not the API key: pass admin_key, or set SPECSERVE_ADMIN_KEY. "
    "The user who started the server needs neither: ChatClient(server=NAME) finds it."
)
# What a gateway has no route for. The one such route that a client asks is that of an abort.
_NO_ABORT = (
    "A gateway passes no abort on: close the stream, by which the server learns to stop, or ask "
    "the server itself."
)
_ADMIN_ACTIONS = {401: _ADMIN_ACTION, 403: _ADMIN_ACTION, 404: _NO_ABORT}
_TIMEOUT_KINDS: dict[type[object], TimeoutKind] = {
    httpx.ConnectTimeout: "connect",
    httpx.WriteTimeout: "write",
    httpx.PoolTimeout: "pool",
}
# The words of `sglang/srt/managers/tokenizer_manager.py` at its checks of lengths, and of
# `vllm/renderers/params.py`, which stops to count where it is too much, and checks the answer's
# limit by itself; the last are OpenAI's own, and those of an older vLLM.
_TOO_LONG = re.compile(
    r"input \((?P<asked>\d+) tokens\) is longer than the model's context length "
    r"\((?P<limit>\d+) tokens\)"
    r"|maximum context length of (?P<limit_2>\d+) tokens\. You requested a total of "
    r"(?P<asked_2>\d+) tokens"
    r"|maximum context length is (?P<limit_3>\d+) tokens\. However, your prompt contains "
    r"(?:at least )?(?P<asked_3>\d+) (?:input tokens|characters)"
    r"|max(?:_completion)?_tokens=(?P<asked_4>\d+) cannot be greater than "
    r"max_model_len=(?P<limit_4>\d+)"
    r"|maximum context length is (?P<limit_5>\d+) tokens\. However, you requested "
    r"(?P<asked_5>\d+) "
)
# SGLang's validation errors repeat the whole request; all of it stays in `server_message`.
_MESSAGE_WIDTH = 500


def request_failure(
    error: openai.APIError, *, read_kind: TimeoutKind, now: datetime, is_admin: bool = False
) -> ClientError:
    """Name the cause of a request that got no answer, or an error status.

    Args:
        error: what the SDK raised. Its own cause, httpx's exception, tells more than its class.
        read_kind: which time-out a wait for the answer's first byte is.
        now: the time, against which a Retry-After date is held.
        is_admin: whether the request needed the admin key.

    Returns:
        The error to raise from it.
    """
    url = str(error.request.url)
    if isinstance(error.__cause__, ClientError):
        # Of our own transport, below the SDK.
        return error.__cause__
    if isinstance(error, openai.APIStatusError):
        if error.response.has_redirect_location:
            return _redirected(error, url)
        return _status_error(
            error.status_code,
            error.body,
            url=url,
            request_id=error.request_id,
            retry_after_seconds=retry_after_seconds(error.response.headers, now=now),
            action=_ADMIN_ACTIONS.get(error.status_code) if is_admin else None,
        )
    cause = error.__cause__
    if isinstance(error, openai.APITimeoutError):
        kind = _TIMEOUT_KINDS.get(type(cause), read_kind)
        return _timed_out(url, kind)
    if isinstance(cause, httpx.ConnectError):
        return ServerUnreachableError(f"No connection to {url}: {cause}.", url=url)
    detail = cause if cause is not None else error
    return ConnectionLostError(f"The connection to {url} was lost: {detail}.", url=url)


def _redirected(error: openai.APIStatusError, url: str) -> RedirectError:
    where = _short(error.response.headers["location"])
    return RedirectError(
        f"{url} answered {error.status_code}, a redirect to {where!r}, which is not followed.",
        url=url,
        status=error.status_code,
        server_message="",
        request_id=error.request_id,
        body=error.body,
    )


def body_failure(error: httpx.HTTPError, *, url: str) -> ClientError:
    """Name the cause of an answer in one piece that did not come whole."""
    if isinstance(error, httpx.TimeoutException):
        return _timed_out(url, "total")
    return ConnectionLostError(f"The connection to {url} was lost: {error}.", url=url)


def _timed_out(url: str, kind: TimeoutKind) -> RequestTimeoutError:
    return RequestTimeoutError(f"{url} timed out ({kind}).", url=url, kind=kind)


def retry_after_seconds(headers: httpx.Headers, *, now: datetime) -> float | None:
    """Read Retry-After: seconds, or a date; `None` if it says neither.

    Source: RFC 9110, section 10.2.3. `retry-after-ms` is what OpenAI's gateways send.
    """
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after", "").strip()
        if not value:
            return None
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None


def stream_failure(
    error: httpx.HTTPError | ServerEventError | ValueError,
    *,
    url: str,
    partial: ChatReply,
    started: bool,
) -> ClientError:
    """Name the cause of a stream that broke.

    Args:
        error: what was raised while the body was read.
        url: where the stream came from.
        partial: what had arrived.
        started: whether a first chunk had come.

    Returns:
        The error to raise from it. A refusal in the first event of a stream (SGLang has answered
        200 by then, for example when its queue is full) is the error that its code stands for.
    """
    status = None
    reason: BreakReason
    if isinstance(error, ServerEventError):
        status = _code(error.body)
        if status is not None and not started:
            return _status_error(status, error.body, url=url, request_id=None)
        reason, detail = "server_error", _server_message(error.body)
    elif isinstance(error, httpx.TimeoutException):
        return stalled(url, "between_tokens", partial)
    elif isinstance(error, httpx.HTTPError):
        reason, detail = "connection_lost", str(error)
    else:
        reason, detail = "malformed", str(error)
    return BrokenStreamError(
        f"The stream from {url} broke ({reason}): {_short(detail)}.",
        url=url,
        reason=reason,
        partial=partial,
        status=status,
    )


def stalled(url: str, kind: TimeoutKind, partial: ChatReply) -> StreamTimeoutError:
    """Give the error of a stream that was too slow."""
    problem = {
        "total": "took too long",
        "first_token": "brought no token for too long",
        "between_tokens": "stood still for too long",
    }[kind]
    return StreamTimeoutError(
        f"The stream from {url} {problem} ({kind}).", url=url, partial=partial, kind=kind
    )


def _status_error(
    status: int,
    body: object,
    *,
    url: str,
    request_id: str | None,
    retry_after_seconds: float | None = None,
    action: str | None = None,
) -> StatusError:
    message = _server_message(body)
    too_long = _TOO_LONG.search(message)
    error = _status_class(status, body, is_too_long=too_long is not None)(
        f"{url} answered {status}: {_short(message) or 'no message'}.",
        url=url,
        status=status,
        server_message=message,
        request_id=request_id,
        body=body,
        retry_after_seconds=retry_after_seconds,
        action=action,
    )
    if isinstance(error, ContextLengthError) and too_long is not None:
        error.asked_tokens, error.context_tokens = _lengths(too_long)
    return error


def _lengths(found: re.Match[str]) -> tuple[int | None, int | None]:
    """What was asked for and what is allowed, in tokens."""
    given = {name: value for name, value in found.groupdict().items() if value is not None}
    asked = next(int(value) for name, value in given.items() if name.startswith("asked"))
    limit = next(int(value) for name, value in given.items() if name.startswith("limit"))
    # vLLM measures a very long prompt by its characters alone.
    return (None if found[0].endswith("characters") else asked), limit


def _status_class(status: int, body: object, *, is_too_long: bool) -> type[StatusError]:
    code = body.get("code") if isinstance(body, dict) else None
    if is_too_long or code == "context_length_exceeded":
        return ContextLengthError
    # vLLM names the field that is wrong.
    param = body.get("param") if isinstance(body, dict) else None
    if code == "model_not_found" or (status == _NOT_FOUND and param == "model"):
        return ModelNotFoundError
    default = InternalServerError if status >= _FIRST_SERVER_ERROR else StatusError
    return _STATUS_ERRORS.get(status, default)


def _server_message(body: object) -> str:
    """Find the server's words.

    SGLang's shapes: a flat error object, `{"error": "Unauthorized"}` for a wrong key (the SDK
    has unpacked `error` by now), and FastAPI's `{"detail": ...}` for an unknown route.
    """
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or "")
    return str(body or "")


def _code(body: object) -> int | None:
    code = body.get("code") if isinstance(body, dict) else None
    return code if isinstance(code, int) else None


def _short(message: str) -> str:
    return textwrap.shorten(message, _MESSAGE_WIDTH, placeholder=" ...").rstrip(".")
