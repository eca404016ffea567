"""Answers as SGLang 0.5.23 sends them, and a server that plays bytes back."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.load.target import Target
from benchmarks.records import Cell, Load
from benchmarks.workloads.workload import Prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Json = dict[str, Any]
CELL = Cell("eagle", "chat", Load(concurrency=1), 0)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
ENVELOPE: Json = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m"}
# As a real server gave it.
SPECULATION: Json = {
    "spec_accept_rate": 0.6666666666666666,
    "spec_accept_length": 3.0,
    "spec_cap_length": 0.0,
    "spec_num_correct_drafts": 8,
    "spec_num_proposed_drafts": 12,
    "spec_verify_ct": 4,
    "spec_correct_drafts_histogram": [1, 0, 1, 2],
    "spec_cap_lens_histogram": [],
}
USAGE: Json = {
    "prompt_tokens": 19,
    "total_tokens": 31,
    "completion_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 7},
    "reasoning_tokens": 5,
    "completion_tokens_details": {"reasoning_tokens": 5},
}
DONE = b"data: [DONE]\n\n"


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def chunk(reason: str | None = None, /, **delta: object) -> bytes:
    """One chunk with one choice."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return event({**ENVELOPE, "choices": [choice]})


ROLE = chunk(role="assistant", content="", reasoning_content=None)
COUNTS = event({**ENVELOPE, "choices": [], "sglext": {"spec_tokens_details": SPECULATION}}) + event(
    {**ENVELOPE, "choices": [], "usage": USAGE}
)
GOOD_EVENTS = (
    ROLE,
    chunk(reasoning_content="Ich weiß "),
    chunk(content="Grüße, "),
    chunk(content="世界 🌍"),
    chunk("stop", reasoning_content=None),
    COUNTS,
    DONE,
)
GOOD = b"".join(GOOD_EVENTS)
GOOD_TEXT = "Grüße, 世界 🌍\n--- reasoning ---\nIch weiß "


def chunked(*parts: bytes) -> bytes:
    """A whole answer, each part in an HTTP chunk of its own."""
    frames = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + frames + b"0\r\n\r\n"


def with_length(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def prompts(count: int, **options: object) -> list[Prompt]:
    """Prompts whose ids the loopback server knows them by too."""
    return [
        Prompt(
            id=f"p{number}",
            messages=({"role": "user", "content": f"Count to {number}."},),
            max_tokens=6,
            options={"loopback": {"key": f"p{number}", **options}},
        )
        for number in range(count)
    ]


@asynccontextmanager
async def playing(
    handle: Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Target]:
    """A server in this loop; `handle` gets the number of the connection."""
    count = 0
    open_ones: set[asyncio.StreamWriter] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        open_ones.add(writer)
        try:
            await handle(count - 1, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield Target(f"http://127.0.0.1:{port}", "m", api_key="key-of-the-server")
    finally:
        server.close()
        for writer in open_ones:
            writer.close()
        await asyncio.sleep(0)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, Json]:
    """The head and the body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    return head, json.loads(await reader.readexactly(length))
