"""What a flow asks its client to do: frozen values, each with the answer that it waits for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from clients.errors import TimeoutKind
from clients.events import StreamEvent
from clients.http.streams.stream import OpenStream
from clients.reply import ToolCall
from clients.tools.calls import ArgumentsLost, ToolResult
from clients.tools.tool import Tool

RunEvent = StreamEvent | ToolResult | ArgumentsLost
"""What `on_event` of `run_tools` is given."""


@dataclass(frozen=True, slots=True)
class SendChat:
    """Send a chat request. Answer: the response of a stream, unread; else the body.

    Attributes:
        arguments: of the SDK's `create`.
        stream: whether the answer is streamed.
        timeout: for each step up to the answer's first byte.
        read_kind: which time-out a wait for that byte is.
        deadline_ns: until when the body must have come.
    """

    arguments: dict[str, Any]
    stream: bool
    timeout: httpx.Timeout
    read_kind: TimeoutKind
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send any other request. Answer: the response, read."""

    method: str
    path: str
    timeout: httpx.Timeout
    read_kind: TimeoutKind = "total"
    body: dict[str, object] | None = None
    key: str | None = field(default=None, repr=False)
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait. Answer: nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadOn:
    """Read a stream to its end. Answer: the reply."""

    opened: OpenStream
    on_event: Callable[[RunEvent], object]


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the caller; an async one may await. Answer: nothing."""

    event: RunEvent
    on_event: Callable[[RunEvent], object]


@dataclass(frozen=True, slots=True)
class RunCalls:
    """Call tools, at once where the client can. Answer: a result for each, in order."""

    calls: tuple[ToolCall, ...]
    tools: Mapping[str, Tool[..., Any]]


Effect = SendChat | Send | Sleep | ReadOn | Tell | RunCalls
A = TypeVar("A")
Flow = Generator[Effect, Any, A]
