"""What answers of a server mean to whoever watches it, whatever the engine and its routes."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from launcher.engines.prober import Completion

# Of an answer that is none, in a message.
REFUSAL_BYTES: Final = 200
Send: TypeAlias = Callable[[], tuple[int, bytes]]
"""Sends a request; returns status and body, or raises as `launcher.engines.common.asking.ask`."""


def succeeds(send: Send) -> bool:
    """Whether the answer is 200."""
    try:
        status, _ = send()
    except (OSError, http.client.HTTPException):
        return False
    return status == http.client.OK


def why_no_token(send: Send, read_tokens: Callable[[Any], Any]) -> str | None:
    """Why an answer holds no token; None where it holds one.

    Args:
        send: the request for some.
        read_tokens: gets their number out of the answer's JSON.
    """
    try:
        status, body = send()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    try:
        generated = int(read_tokens(json.loads(body)))
    except (ValueError, KeyError, TypeError):
        generated = 0
    if status == http.client.OK and generated >= 1:
        return None
    return f"status {status}: {body[:REFUSAL_BYTES].decode('utf-8', 'replace')}"


def completion(send: Send, read: Callable[[Any], Completion]) -> Completion:
    """What an answer completes.

    Args:
        send: the request.
        read: gets it out of the answer's JSON.

    Raises:
        OSError: there is none.
    """
    try:
        status, body = send()
        if status != http.client.OK:
            raise OSError(None, f"status {status}")
        return read(json.loads(body))
    except (ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException) as bad:
        raise OSError(None, f"no completion: {type(bad).__name__}") from bad


def seconds_since_output(send: Send) -> float | None:
    """What the route says that we add to an engine's; see `launcher.engines.prober.Prober`."""
    try:
        status, body = send()
        seconds = json.loads(body)["seconds_ago"] if status == http.client.OK else None
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return math.inf
    if status != http.client.OK:
        return None
    return seconds if isinstance(seconds, int | float) else math.inf
