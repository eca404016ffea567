"""How both clients put a request to the openai SDK, and read what it raises. No I/O."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

import httpx
import openai

from clients.errors import ConfigurationError
from clients.flow.effects import Send, SendChat
from clients.flow.flows import Flows
from clients.http.endpoint import Endpoint, find_admin_key, resolve_endpoint
from clients.http.failures import request_failure
from clients.http.retry import RetryPolicy
from clients.http.timeouts import Timeouts
from clients.http.transport import AnswerLimits, Rules
from clients.request import check_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.errors import ClientError

# As the SDK has them: httpx's own allow 100 requests at once, and let the others wait.
_CONNECTION_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_CUSTOM_HEADERS = "OPENAI_CUSTOM_HEADERS"


class ClientOptions(TypedDict, total=False):
    """What both clients are made with beside URL and transport; see `ChatClient`."""

    api_key: str | None
    admin_key: str | None
    model: str | None
    server: str
    timeouts: Timeouts | None
    retry: RetryPolicy | None
    limits: AnswerLimits | None
    report_acceptance: bool
    clock_ns: Callable[[], int]


def make_flows(client: str, base_url: str | None, options: ClientOptions) -> Flows:
    """Find the server and give the flows of a client.

    Args:
        client: name of its class, for what is wrong with its arguments.
        base_url: of the server, if the caller gave one.
        options: what the caller gave beside it.

    Raises:
        ConfigurationError: an argument or a variable makes no sense.
        ServerLookupError: as `resolve_endpoint` does.
        TypeError: there is no such option.
    """
    known = ClientOptions.__optional_keys__
    check_options(client, options, known | {"base_url", "http_client"})
    kinds = (("timeouts", Timeouts), ("retry", RetryPolicy), ("limits", AnswerLimits))
    for name, wanted in kinds:
        value = options.get(name)
        if not isinstance(value, wanted | None):
            first = fields(wanted)[-1 if wanted is Timeouts else 0].name
            raise ConfigurationError(
                f"{name} is {value!r}; it is a {wanted.__name__}.",
                action=f"For example {name}={wanted.__name__}({first}={value!r}).",
            )
    return _make_flows(base_url, **options)


def _make_flows(
    base_url: str | None,
    *,
    api_key: str | None = None,
    admin_key: str | None = None,
    model: str | None = None,
    server: str = "default",
    timeouts: Timeouts | None = None,
    retry: RetryPolicy | None = None,
    limits: AnswerLimits | None = None,
    report_acceptance: bool = True,
    clock_ns: Callable[[], int] = time.monotonic_ns,
) -> Flows:
    endpoint = resolve_endpoint(base_url, api_key, server=server, environ=os.environ)
    return Flows(
        endpoint=endpoint,
        model=model or endpoint.model,
        # Read when it is needed: few ask for it, and another start of the server has another.
        admin_key=lambda: find_admin_key(endpoint, admin_key, environ=os.environ),
        timeouts=timeouts or Timeouts(),
        retry=retry or RetryPolicy(),
        limits=limits or AnswerLimits(),
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


def transport_arguments(flows: Flows, given: httpx.Client | httpx.AsyncClient | None) -> Any:
    """Give what the transport of a client is made with.

    It is httpx's own client, which every version of the SDK takes; that of openai 3 is httpx2's.

    Args:
        flows: of the client.
        given: what the caller has passed for a transport.
    """
    endpoint = flows.endpoint
    # One that sends nothing, as the given one does: it would read the system's certificates.
    unused = (
        httpx.AsyncBaseTransport if isinstance(given, httpx.AsyncClient) else httpx.BaseTransport
    )
    return {
        "transport": None if given is None else unused(),
        "rules": Rules(flows.limits, endpoint.own),
        "given": given,
        # HTTP_PROXY alone would send requests for this machine to the proxy's own loopback.
        "trust_env": given is None and endpoint.own is None and not endpoint.is_loopback,
        "limits": _CONNECTION_LIMITS,
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
    return request_failure(
        error,
        read_kind=effect.read_kind,
        now=datetime.now(UTC),
        is_admin=isinstance(effect, Send) and effect.is_admin,
    )
