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

# As the SDK has them: httpx's own allow 100 requests at once, and let the others wait.
_CONNECTION_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_CUSTOM_HEADERS = "OPENAI_CUSTOM_HEADERS"
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
    key = endpoint.api_key
    return {
        "base_url": f"{endpoint.base_url}/v1",
        # openai 3 wants a key: this is none, and is not sent (`_headers`).
        "api_key": key or "none",
        "default_headers": {**_left_out(os.environ.get(_CUSTOM_HEADERS, "")), **_headers(key)},
        # Ours are the flows': the SDK repeats a 500, and what was cut in the middle.
        "max_retries": 0,
    }


def transport_arguments(endpoint: Endpoint) -> dict[str, Any]:
    """Give what the transport of a client is made with, where the caller has passed none.

    It is httpx's own client, which every version of the SDK takes; that of openai 3 is httpx2's.
    """
    return {
        # HTTP_PROXY alone would send requests for this machine to the proxy's own loopback.
        "trust_env": not endpoint.is_loopback,
        "limits": _CONNECTION_LIMITS,
        "follow_redirects": True,
    }


def call_arguments(endpoint: Endpoint, send: Send) -> tuple[str, dict[str, Any]]:
    """Give the URL and the arguments of the SDK's `get` or `post`."""
    options: dict[str, Any] = {
        "timeout": send.timeout,
        "headers": _headers(send.key or endpoint.api_key),
    }
    arguments: dict[str, Any] = {"cast_to": httpx.Response, "options": options}
    if send.body is not None:
        arguments["body"] = send.body
    return f"{endpoint.base_url}{send.path}", arguments


def chat_arguments(endpoint: Endpoint, send: SendChat) -> dict[str, Any]:
    """Give the arguments of the SDK's `create`."""
    headers = _headers(endpoint.api_key)
    return {**send.arguments, "timeout": send.timeout, "extra_headers": headers}


def _left_out(custom_headers: str) -> dict[str, Any]:
    """Leave out the headers that OPENAI_CUSTOM_HEADERS has, one a line."""
    names = (line.partition(":")[0].strip() for line in custom_headers.split("\n"))
    return {name: openai.Omit() for name in names if name}


def _headers(key: str | None) -> dict[str, Any]:
    """Give the headers that say who asks, and leave out what is meant for another service.

    They win over OPENAI_ADMIN_KEY, OPENAI_ORG_ID and OPENAI_CUSTOM_HEADERS. The SDK reads those
    when it is made, and openai 3 accepts a missing key only where each request says so; hence
    they stand both among its default headers and with each request.
    """
    return {
        "Authorization": f"Bearer {key}" if key else openai.Omit(),
        "OpenAI-Organization": openai.Omit(),
        "OpenAI-Project": openai.Omit(),
    }


def failure_of(error: openai.APIError, effect: Send | SendChat) -> ClientError:
    """Name the cause of what the SDK raised."""
    streams = isinstance(effect, SendChat) and effect.stream
    kind: TimeoutKind = "first_token" if streams else "total"
    return request_failure(error, read_kind=kind, now=datetime.now(UTC))
