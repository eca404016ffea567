"""How both clients put a request to the openai SDK, and read what it raises. No I/O."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

import httpx
import openai

from clients.flow.effects import Send, SendChat
from clients.flow.flows import Flows
from clients.http.endpoint import Endpoint, resolve_endpoint
from clients.http.failures import request_failure
from clients.http.retry import RetryPolicy
from clients.http.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.errors import ClientError, TimeoutKind

ADMIN_KEY_VARIABLE = "SPECSERVE_ADMIN_KEY"


class ClientOptions(TypedDict, total=False):
    """What both clients are made with beside URL and transport; see `ChatClient`."""

    api_key: str | None
    admin_key: str | None
    model: str | None
    server: str
    timeouts: Timeouts | None
    retry: RetryPolicy | None
    report_acceptance: bool
    clock_ns: Callable[[], int]


def make_flows(
    base_url: str | None,
    *,
    api_key: str | None = None,
    admin_key: str | None = None,
    model: str | None = None,
    server: str = "default",
    timeouts: Timeouts | None = None,
    retry: RetryPolicy | None = None,
    report_acceptance: bool = True,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> Flows:
    """Find the server and give the flows of a client; raises as `resolve_endpoint` does."""
    endpoint = resolve_endpoint(base_url, api_key, server=server, environ=os.environ)
    return Flows(
        endpoint=endpoint,
        model=model or endpoint.model,
        admin_key=admin_key or os.environ.get(ADMIN_KEY_VARIABLE) or endpoint.api_key,
        timeouts=timeouts or Timeouts(),
        retry=retry or RetryPolicy(),
        report_acceptance=report_acceptance,
        clock_ns=clock_ns,
    )


def sdk_arguments(endpoint: Endpoint) -> dict[str, Any]:
    """Give what both of the SDK's clients are made with."""
    return {
        "base_url": f"{endpoint.base_url}/v1",
        # Empty, so that no header is sent; None would send the user's OPENAI_API_KEY.
        "api_key": endpoint.api_key or "",
        # Ours are the flows': the SDK repeats a 500, and what was cut in the middle.
        "max_retries": 0,
    }


def call_arguments(endpoint: Endpoint, send: Send) -> tuple[str, dict[str, Any]]:
    """Give the URL and the arguments of the SDK's `get` or `post`."""
    options: dict[str, Any] = {"timeout": send.timeout}
    if send.key is not None:
        options["headers"] = {"Authorization": f"Bearer {send.key}"}
    arguments: dict[str, Any] = {"cast_to": httpx.Response, "options": options}
    if send.body is not None:
        arguments["body"] = send.body
    return f"{endpoint.base_url}{send.path}", arguments


def failure_of(error: openai.APIError, effect: Send | SendChat) -> ClientError:
    """Name the cause of what the SDK raised."""
    streams = isinstance(effect, SendChat) and effect.stream
    kind: TimeoutKind = "first_token" if streams else "total"
    return request_failure(error, read_kind=kind, now=datetime.now(UTC))
