"""Asking a server, again where that makes sense, and what it says of itself. Generators; no I/O.

See `flows.py`, which has what a client asks for on top of it.
"""

from __future__ import annotations

import logging
import random
import reprlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import from_json

from clients.errors import (
    ClientError,
    EngineLacksError,
    MalformedReplyError,
    NotFoundError,
    RequestTimeoutError,
    ServiceUnavailableError,
    StatusError,
    TimeoutKind,
    TransportError,
)
from clients.flow.effects import A, Flow, Send, SendChat, Sleep
from clients.http.endpoint import Endpoint
from clients.http.engines import VLLM, VLLM_LACKS, EngineInfo, owner_of, version_of
from clients.http.retry import RetryPolicy, retry_pause_seconds
from clients.http.server_side import Health, ServerInfo, ServerMetrics
from clients.http.timeouts import Timeouts
from clients.http.transport import AnswerLimits

NS_PER_SECOND = 1_000_000_000
# Never told there: a key, or what a message, an argument or an answer says.
_log = logging.getLogger("specserve.client")
# SGLang's own limit for a health check is 20 s. Whoever gives up sooner and asks again piles up
# checks on a server that is only busy.
HEALTH_TIMEOUT_SECONDS = 25.0
_HEALTH = "/health"


@dataclass(slots=True)
class Asking:
    """One server, and how patiently it is asked."""

    endpoint: Endpoint
    model: str | None
    admin_key: Callable[[], str | None] = field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    limits: AnswerLimits
    report_acceptance: bool
    clock_ns: Callable[[], int] = time.monotonic_ns
    fraction: Callable[[], float] = random.random

    def models(self) -> Flow[tuple[str, ...]]:
        """Ask for the names of the models."""
        return self._get("/v1/models", _model_names)

    def health(self, path: str, timeout_seconds: float) -> Flow[Health]:
        """Ask once whether the server generates, or takes requests."""
        try:
            yield Send("GET", path, httpx.Timeout(timeout_seconds))
        except (ServiceUnavailableError, RequestTimeoutError) as error:
            unreachable = isinstance(error, RequestTimeoutError) and error.kind == "connect"
            return "unreachable" if unreachable else "unhealthy"
        except TransportError:
            return "unreachable"
        except NotFoundError:
            # vLLM has one route for both.
            if path == _HEALTH:
                return "unhealthy"
            return (yield from self.health(_HEALTH, timeout_seconds))
        except ClientError:
            return "unhealthy"
        return "healthy"

    def engine(self) -> Flow[EngineInfo]:
        """Ask which engine answers, by what `/v1/models` says, and of which version."""
        name = yield from self._get("/v1/models", lambda answer: owner_of(answer.content))
        route = "/version" if name == VLLM else "/server_info"
        try:
            version = yield from self._get(route, lambda answer: version_of(answer.content))
        except (StatusError, MalformedReplyError):
            version = None
        return EngineInfo(name, version)

    def server_info(self) -> Flow[ServerInfo]:
        """Ask how the model is served; a gateway tells of one of its servers."""
        try:
            return (
                yield from self._get_either(
                    "/server_info",
                    "/get_server_info",
                    lambda answer: ServerInfo.from_body(answer.content),
                )
            )
        except NotFoundError as error:
            raise (yield from self._lacking("/server_info", error)) from error

    def metrics(self) -> Flow[ServerMetrics]:
        """Ask for load and counters; a gateway tells those of all its servers."""
        return self._get_either(
            "/metrics", "/engine_metrics", lambda answer: ServerMetrics.from_text(answer.text)
        )

    def abort(self, request_id: str) -> Flow[None]:
        """Ask the server to end a request."""
        limits = self.timeouts.of_request(stream=True, remaining_seconds=HEALTH_TIMEOUT_SECONDS)
        try:
            yield Send(
                "POST",
                "/abort_request",
                *limits,
                body={"rid": request_id},
                key=self.admin_key(),
                is_admin=True,
            )
        except NotFoundError as error:
            raise (yield from self._lacking("/abort_request", error)) from error

    def _lacking(self, route: str, error: NotFoundError) -> Flow[ClientError]:
        """The error for a route that is not there: the engine's, where it is known to lack it."""
        try:
            engine = yield from self.engine()
        except ClientError:
            return error
        if engine.name != VLLM:
            return error
        return EngineLacksError(
            f"{engine} at {self.endpoint.base_url} has no route {route}.",
            engine=engine.name,
            route=route,
            action=VLLM_LACKS[route],
        )

    def _get_either(
        self, path: str, of_gateway: str, read: Callable[[httpx.Response], A]
    ) -> Flow[A]:
        """Ask a server, or a gateway, which has another route for the same."""
        try:
            return (yield from self._get(path, read))
        except NotFoundError:
            return (yield from self._get(of_gateway, read))

    def _get(self, path: str, read: Callable[[httpx.Response], A]) -> Flow[A]:
        response, _ = yield from self.exchange(
            lambda limits: Send("GET", path, *limits[:2]), stream=True, reads_only=True
        )
        try:
            return read(response)
        except ValueError as error:
            raise self.malformed(error) from error
        except (AttributeError, KeyError, TypeError) as error:
            said = reprlib.repr(response.text)
            raise self.malformed(f"no answer of {path}: {said}") from error

    def exchange(
        self,
        request: Callable[[tuple[httpx.Timeout, TimeoutKind, int]], SendChat | Send],
        *,
        stream: bool,
        reads_only: bool = False,
        deadline_ns: int | None = None,
    ) -> Flow[tuple[Any, int]]:
        """Send, and send again what may be. Gives what came, and the request's deadline."""
        if deadline_ns is None:
            deadline_ns = self.clock_ns() + int(self.timeouts.total_seconds * NS_PER_SECOND)
        attempt = 0
        while True:
            left = max((deadline_ns - self.clock_ns()) / NS_PER_SECOND, 0.001)
            timeout, kind = self.timeouts.of_request(stream=stream, remaining_seconds=left)
            effect = request((timeout, kind, deadline_ns))
            try:
                response = yield effect
            except ClientError as error:
                pause = retry_pause_seconds(
                    error,
                    attempt=attempt,
                    policy=self.retry,
                    reads_only=reads_only,
                    fraction=self.fraction(),
                )
                if pause is None or self.clock_ns() + pause * NS_PER_SECOND > deadline_ns:
                    raise
                _log_repeated(effect, error, attempt=attempt + 1, pause_seconds=pause)
            else:
                return response, deadline_ns
            attempt += 1
            yield Sleep(pause)

    def malformed(self, detail: object) -> MalformedReplyError:
        """The error for an answer of which nothing can be made."""
        url = self.endpoint.base_url
        return MalformedReplyError(f"{url} did not answer as a chat server: {detail}.", url=url)


def _log_repeated(
    effect: SendChat | Send, error: ClientError, *, attempt: int, pause_seconds: float
) -> None:
    # Not the error's text: a server may quote the request in it.
    status = error.status if isinstance(error, StatusError) else None
    _log.warning(
        "request.repeated path=%s attempt=%d pause_seconds=%.3f cause=%s status=%s",
        effect.path if isinstance(effect, Send) else "/v1/chat/completions",
        attempt,
        pause_seconds,
        type(error).__name__,
        status,
    )


def _model_names(answer: httpx.Response) -> tuple[str, ...]:
    return tuple(str(model["id"]) for model in from_json(answer.content)["data"])
