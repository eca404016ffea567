"""Five hundred streams at once, and time-outs, over real sockets to a server of its own process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clients import AsyncChatClient, ChatClient, ContentDelta, StreamTimeoutError, Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = 500
CHUNKS = 20
# Each stream repeats its own prompt, so that mixed-up streams would show. The prompt `silent`
# gets one chunk and then nothing; `drip` gets one for ever.
SERVER = """
import asyncio, json, sys

def event(text, reason=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    body = json.dumps({"id": "r", "model": "m", "choices": [choice]})
    data = f"data: {body}\\n\\n".encode()
    return b"%x\\r\\n%s\\r\\n" % (len(data), data)

async def handle(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\\r\\n")
                          if line.startswith(b"content-length"))
            prompt = json.loads(await reader.readexactly(length))["messages"][0]["content"]
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n"
                         b"transfer-encoding: chunked\\r\\n\\r\\n")
            number = 0
            while prompt == "drip" or number < (1 if prompt == "silent" else int(sys.argv[1])):
                writer.write(event(f"{prompt}.{number} "))
                await writer.drain()
                await asyncio.sleep(0.05 if prompt == "drip" else 0)
                number += 1
            if prompt == "silent":
                await asyncio.sleep(60)
            writer.write(event("", "stop") + b"e\\r\\ndata: [DONE]\\n\\n\\r\\n0\\r\\n\\r\\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    import os; os._exit(0)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-c", SERVER, str(CHUNKS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def test_five_hundred_streams_end_whole_and_in_order(url: str) -> None:
    async def one(client: AsyncChatClient, name: str) -> bool:
        async with await client.stream(name) as stream:
            texts = [event.text async for event in stream if isinstance(event, ContentDelta)]
        assert (await stream.reply()).finish_reason == "stop"
        return texts == [f"{name}.{number} " for number in range(CHUNKS)]

    async def together() -> list[bool]:
        async with AsyncChatClient(url, model="m") as client:
            return await asyncio.gather(*(one(client, f"s{n}") for n in range(STREAMS)))

    assert asyncio.run(together()) == [True] * STREAMS


@pytest.mark.parametrize(
    ("prompt", "timeouts", "kind"),
    [
        ("silent", Timeouts(between_tokens_seconds=0.3), "between_tokens"),
        ("drip", Timeouts(total_seconds=0.5), "total"),
        ("silent", Timeouts(total_seconds=0.5), "total"),
    ],
)
def test_a_stream_that_is_too_slow_says_at_what(
    url: str, prompt: str, timeouts: Timeouts, kind: str
) -> None:
    with (
        ChatClient(url, model="m", timeouts=timeouts) as client,
        client.stream(prompt) as stream,
        pytest.raises(StreamTimeoutError) as caught,
    ):
        list(stream)
    assert caught.value.kind == kind
    assert caught.value.partial.content.startswith(f"{prompt}.0 ")
