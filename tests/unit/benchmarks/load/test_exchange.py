"""One request and its answer, however it is cut and however it fails."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import PlanError
from benchmarks.load.connection import BUFFER_BYTES, Connection, HttpAnswer
from benchmarks.load.pool import Pool
from benchmarks.load.reading import AnswerReader, read_in_steps, to_record
from benchmarks.load.target import Target
from benchmarks.records import REQUEST, RequestRecord, to_line
from tests.unit.benchmarks.load.wire import (
    CELL,
    COUNTS,
    DONE,
    ENVELOPE,
    GOOD,
    GOOD_EVENTS,
    GOOD_TEXT,
    HEAD,
    ROLE,
    chunk,
    chunked,
    event,
    playing,
    read_request,
    with_length,
)

TEXT = chunk(content="Hello")
STOP = chunk("stop")
NOT_TO_THE_END = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def record_of(answer: HttpAnswer, *, steps: int = 8, api_key: str | None = None) -> RequestRecord:
    reader = AnswerReader()
    for _ in read_in_steps(answer, reader, pieces=steps):
        pass
    return to_record(answer, reader, cell=CELL, prompt_id="p", due_ns=1, api_key=api_key)


class _Socketless(asyncio.Transport):
    """Takes what is written and notes that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    def write(self, data: object) -> None:
        """Send it nowhere."""

    def close(self) -> None:
        self.is_closed = True

    abort = close


def receive(data: bytes, cuts: list[int], *, then_lost: bool = False) -> tuple[HttpAnswer, bool]:
    """The answer that reads of these lengths make; whether the connection can go on."""

    async def run() -> tuple[HttpAnswer, bool]:
        connection = Connection(memoryview(bytearray(BUFFER_BYTES)))
        connection.connection_made(_Socketless())
        answer = HttpAnswer()
        exchange = asyncio.ensure_future(connection.exchange(b"", answer))
        await asyncio.sleep(0)
        edges = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
        for begin, end in pairwise(edges):
            connection.get_buffer(-1)[: end - begin] = data[begin:end]
            connection.buffer_updated(end - begin)
        if then_lost:
            connection.connection_lost(None)
        await exchange
        return answer, connection.is_usable

    return asyncio.run(run())


async def exchanged(data: bytes, *, close: bool = True) -> RequestRecord:
    """The record of one request over a real socket."""

    async def handle(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        if close:
            writer.close()

    async with playing(handle) as target, Pool(target) as pool:
        answer = HttpAnswer()
        await pool.send(pool.encode({"model": "m"}), answer)
        return record_of(answer, api_key=target.api_key)


def timeless(record: RequestRecord) -> RequestRecord:
    """The record without its times but the number of chunks."""
    return replace(
        record, sent_ns=0, first_byte_ns=0, ended_ns=0, chunk_ns=(0,) * len(record.chunk_ns)
    )


def test_a_whole_answer_gives_text_and_all_counts() -> None:
    answer, usable = receive(chunked(*GOOD_EVENTS), [])

    record = record_of(answer)

    assert record.outcome == "successful"
    assert record.error is None
    assert record.answer == GOOD_TEXT
    assert (record.prompt_tokens, record.completion_tokens) == (19, 12)
    assert (record.reasoning_tokens, record.cached_tokens) == (5, 7)
    assert (record.verify_rounds, record.proposed_draft_tokens) == (4, 12)
    assert (record.correct_draft_tokens, record.accepted_histogram) == (8, (1, 0, 1, 2))
    assert (record.finish_reason, record.status) == ("stop", 200)
    assert len(record.chunk_ns) == 3
    assert usable


def test_the_line_break_of_the_template_is_no_part_of_what_was_said() -> None:
    text = [chunk(reasoning_content="\nWell.\n"), chunk(content="\n"), chunk(content="\nHi\n")]
    answer, _ = receive(chunked(ROLE, *text, STOP, DONE), [])

    assert record_of(answer).answer == "\nHi\n\n--- reasoning ---\nWell.\n"


@given(
    cuts=st.lists(st.integers(0, 10_000), max_size=40),
    frames=st.lists(st.integers(0, len(GOOD)), max_size=20),
    steps=st.integers(1, 9),
    framing=st.sampled_from(["chunked", "length", "close"]),
)
def test_any_split_of_the_answer_gives_the_same_record(
    cuts: list[int], frames: list[int], steps: int, framing: str
) -> None:
    edges = [0, *sorted(frames), len(GOOD)]
    parts = [GOOD[a:b] for a, b in pairwise(edges)]
    data = {
        "chunked": chunked(*parts),
        "length": with_length(GOOD),
        "close": HEAD + b"\r\n" + GOOD,
    }[framing]

    answer, _ = receive(data, cuts, then_lost=framing == "close")
    record = record_of(answer, steps=steps)

    whole, _ = receive(chunked(*GOOD_EVENTS), [])
    assert timeless(record) == timeless(record_of(whole))
    assert list(record.chunk_ns) == sorted(record.chunk_ns)
    assert record.first_byte_ns is not None
    assert record.first_byte_ns <= record.chunk_ns[0]
    assert record.chunk_ns[-1] <= record.ended_ns <= answer.ended_ns


def test_each_chunk_has_the_time_of_the_read_that_completed_it() -> None:
    events = [ROLE + TEXT, TEXT[:20], TEXT[20:] + TEXT, STOP + COUNTS + DONE]
    answer = HttpAnswer(sent_ns=1, status=200, is_heard=True, is_whole=True, ended_ns=99)
    answer.pieces = list(events)
    answer.piece_ns = [10, 20, 30, 40]

    record = record_of(answer)

    assert record.chunk_ns == (10, 30, 30)
    assert (record.first_byte_ns, record.ended_ns) == (10, 40)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_whatever_bytes_arrive_there_is_a_record(data: bytes, cuts: list[int]) -> None:
    answer, _ = receive(data or b"\0", cuts, then_lost=True)

    assert record_of(answer).outcome == "errored"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "usage",
                    "sglext",
                    "index",
                    "tool_calls",
                    "error",
                    "function",
                    "arguments",
                    "spec_tokens_details",
                    "finish_reason",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_json_stands_in_an_event_the_record_can_be_stored(first: Any, last: Any) -> None:
    body = TEXT + event(first) + event({**ENVELOPE, "choices": [last]}) + STOP + DONE
    answer, _ = receive(chunked(body), [])

    record = record_of(answer)

    assert REQUEST.validate_json(to_line(record, REQUEST)) == record


@pytest.mark.parametrize(
    ("data", "outcome", "error"),
    [
        (chunked(TEXT, STOP, DONE), "successful", None),
        (chunked(TEXT, STOP), "successful", None),
        (NOT_TO_THE_END + chunked(TEXT, STOP, DONE)[len(NOT_TO_THE_END) : -5], "successful", None),
        (chunked(STOP, DONE), "successful", None),
        (HEAD + b"\r\n" + TEXT + STOP, "successful", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(TEXT, STOP, DONE), "successful", None),
        (b"HTTP/1.0 200 OK\r\n\r\n" + TEXT + STOP + DONE, "successful", None),
        (chunked(TEXT, DONE), "incomplete", "StreamError: it ended without a finish reason"),
        (chunked(TEXT), "incomplete", "StreamError: it ended without a finish reason"),
        (chunked(TEXT)[:-5], "incomplete", "ConnectionLost: the server closed the connection"),
        (chunked(TEXT, STOP)[:-5], "incomplete", "ConnectionLost: "),
        (chunked(TEXT, chunk("abort"), DONE), "incomplete", "the server aborted the answer"),
        (chunked(event({"error": {"message": "full"}}), DONE), "errored", "ServerError: full"),
        (chunked(TEXT, event({"error": {"message": "full"}})), "incomplete", "ServerError: full"),
        (chunked(TEXT, event({"error": "full"})), "incomplete", "ServerError: full"),
        (chunked(event({"object": "error", "message": "no"})), "errored", "ServerError: no"),
        (chunked(b"data: {no\n\n"), "errored", "StreamError: no chunk of a chat completion: {no"),
        (chunked(TEXT, b"data: {no\n\n"), "incomplete", "StreamError: no chunk"),
        (chunked(b"data: 7\n\n"), "errored", "StreamError: no chunk of a chat completion: 7"),
        (chunked(b"<html>hello</html>"), "errored", "StreamError: no stream of chunks: <html>"),
        (with_length(b'{"choices": []}'), "errored", "StreamError: no stream of chunks: "),
        (chunked(), "errored", "StreamError: no stream of chunks"),
        (chunked(DONE), "errored", "StreamError: no stream of chunks: data: [DONE]"),
        (with_length(b"busy", b"503 No"), "errored", "StatusError: 503: busy"),
        (with_length(b"", b"302 Found"), "errored", "StatusError: 302: "),
        (
            with_length(b"your key-of-the-server", b"401 No"),
            "errored",
            "StatusError: 401: your ***",
        ),
        (b"220 smtp.test ESMTP\r\n", "errored", "HttpParserError: not HTTP/1.1: "),
        (chunked(TEXT)[:-5] + b"zz\r\n", "incomplete", "HttpParserError: not HTTP/1.1: "),
        (NOT_TO_THE_END, "errored", "ConnectionLost: the server closed the connection"),
        (b"", "errored", "ConnectionLost: the server closed the connection"),
    ],
)
def test_each_end_has_its_outcome_and_its_reason(
    data: bytes, outcome: str, error: str | None
) -> None:
    record = asyncio.run(exchanged(data))

    assert record.outcome == outcome
    assert (record.error is None) == (error is None)
    assert (error or "") in (record.error or "")
    assert record.sent_ns is not None
    assert record.sent_ns <= record.ended_ns


def test_a_long_body_of_a_refusal_is_kept_short() -> None:
    record = asyncio.run(exchanged(with_length(b"x" * 100_000, b"500 No")))

    assert record.error is not None
    assert len(record.error) < 400


def test_a_tool_call_is_part_of_the_answer_and_its_parts_are_chunks() -> None:
    body = [
        chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "add", "arguments": ""}}]),
        chunk(tool_calls=[{"index": 0, "function": {"name": None, "arguments": '{"a": 1'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
        chunk(tool_calls=[{"index": 1, "id": "b", "function": {"name": "now", "arguments": "{}"}}]),
        chunk(tool_calls=[{"index": 1, "function": {}}]),
        chunk("tool_calls"),
    ]
    answer, _ = receive(chunked(*body, DONE), [])

    record = record_of(answer)

    assert record.answer == '--- tool call ---\nadd\n{"a": 1}\n--- tool call ---\nnow\n{}'
    assert len(record.chunk_ns) == 4
    assert record.outcome == "successful"


def test_a_server_without_speculation_and_usage_leaves_the_counts_open() -> None:
    nothing = event({**ENVELOPE, "choices": [], "usage": None, "sglext": None})
    answer, _ = receive(chunked(TEXT, STOP, nothing, DONE), [])

    record = record_of(answer)

    assert record.outcome == "successful"
    assert record.answer == "Hello"
    assert record.completion_tokens is None
    assert record.verify_rounds is None
    assert record.accepted_histogram == ()


def test_a_request_is_what_a_server_expects() -> None:
    async def run() -> tuple[bytes, dict[str, Any]]:
        seen = []

        async def handle(
            _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            seen.append(await read_request(reader))
            writer.write(chunked(*GOOD_EVENTS))

        async with playing(handle) as target, Pool(target) as pool:
            await pool.send(pool.encode({"model": "ü"}), HttpAnswer())
        return seen[0]

    head, body = asyncio.run(run())

    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer key-of-the-server\r\n" in head
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert body == {"model": "ü"}


def test_requests_share_a_connection_which_has_no_delay_of_small_packets() -> None:
    async def run() -> tuple[int, bool]:
        connections = 0

        async def handle(
            _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            nonlocal connections
            connections += 1
            while True:
                await read_request(reader)
                writer.write(chunked(*GOOD_EVENTS))

        async with playing(handle) as target, Pool(target) as pool:
            for _ in range(5):
                answer = HttpAnswer()
                await pool.send(pool.encode({}), answer)
                assert answer.is_whole
            transport = pool._idle[0]._transport
            assert transport is not None
            option = transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY
            )
        return connections, bool(option)

    assert asyncio.run(run()) == (1, True)


@pytest.mark.parametrize(
    ("first_answer", "connections"),
    [
        (HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n", 2),
        (with_length(GOOD), 1),
        (with_length(GOOD) + b"HTTP/1.1 200 OK\r\n\r\n", 2),
    ],
)
def test_a_connection_that_cannot_go_on_is_not_used_again(
    first_answer: bytes, connections: int
) -> None:
    async def run() -> int:
        count = 0

        async def handle(
            number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            nonlocal count
            count = number + 1
            while True:
                await read_request(reader)
                writer.write(first_answer if number == 0 else chunked(*GOOD_EVENTS))

        async with playing(handle) as target, Pool(target) as pool:
            await pool.send(pool.encode({}), HttpAnswer())
            await pool.send(pool.encode({}), answer := HttpAnswer())
            assert answer.failure is None
        return count

    assert asyncio.run(run()) == connections


@pytest.mark.parametrize(
    ("what_the_second_gets", "asked", "outcome"),
    [
        (b"", [2, 1], "successful"),
        (HEAD, [2], "errored"),
        (chunked(TEXT)[:-5], [2], "incomplete"),
        (b"HTTP", [2], "errored"),
    ],
)
def test_a_request_is_sent_again_only_if_nothing_of_an_answer_had_come(
    what_the_second_gets: bytes, asked: list[int], outcome: str
) -> None:
    """The first connection answers once, then ends with the second request on its way."""

    async def run() -> tuple[list[int], RequestRecord]:
        counts: list[int] = []

        async def handle(
            number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            counts.append(0)
            while True:
                await read_request(reader)
                counts[number] += 1
                if number == 0 and counts[0] == 2:
                    writer.write(what_the_second_gets)
                    writer.close()
                    return
                writer.write(chunked(*GOOD_EVENTS))

        async with playing(handle) as target, Pool(target) as pool:
            await pool.send(pool.encode({}), HttpAnswer())
            await pool.send(pool.encode({}), answer := HttpAnswer())
        return counts, record_of(answer)

    counts, record = asyncio.run(run())

    assert counts == asked
    assert record.outcome == outcome


def test_the_time_of_a_request_that_is_sent_twice_is_of_the_first() -> None:
    arrived_ns: list[int] = []

    async def run() -> RequestRecord:
        async def handle(
            number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            while True:
                await read_request(reader)
                arrived_ns.append(time.monotonic_ns())
                if (number, len(arrived_ns)) == (0, 2):
                    writer.close()
                    return
                writer.write(chunked(*GOOD_EVENTS))

        async with playing(handle) as target, Pool(target) as pool:
            await pool.send(pool.encode({}), HttpAnswer())
            await pool.send(pool.encode({}), answer := HttpAnswer())
        return record_of(answer)

    record = asyncio.run(run())

    assert len(arrived_ns) == 3
    assert record.outcome == "successful"
    assert record.sent_ns is not None
    assert arrived_ns[0] < record.sent_ns < arrived_ns[1]


def test_a_fresh_connection_that_ends_at_once_is_not_tried_again() -> None:
    async def run() -> int:
        count = 0

        async def handle(
            _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            nonlocal count
            count += 1
            await read_request(reader)
            writer.close()

        async with playing(handle) as target, Pool(target) as pool:
            await pool.send(pool.encode({}), HttpAnswer())
        return count

    assert asyncio.run(run()) == 1


def test_what_a_server_sends_unasked_is_never_taken_for_an_answer() -> None:
    async def run() -> RequestRecord:
        async def handle(
            number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            if number == 0:
                writer.write(chunked(chunk(content="stale"), STOP, DONE))
                await writer.drain()
            await read_request(reader)
            writer.write(chunked(*GOOD_EVENTS))

        async with playing(handle) as target, Pool(target) as pool:
            await pool.warm(1)
            while pool._idle[0].is_usable:
                await asyncio.sleep(0.001)
            await pool.send(pool.encode({}), answer := HttpAnswer())
        return record_of(answer)

    assert asyncio.run(run()).answer == GOOD_TEXT


def test_a_refused_connection_is_a_record_without_a_time_of_sending() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        async def run() -> RequestRecord:
            async with Pool(Target(url, "m")) as pool:
                await pool.warm(3)
                await pool.send(pool.encode({}), answer := HttpAnswer())
            return record_of(answer)

        record = asyncio.run(run())

    assert record.outcome == "errored"
    assert record.sent_ns is None
    assert record.error is not None
    assert "ConnectionRefusedError" in record.error


def test_an_answer_given_up_is_incomplete_whatever_it_had() -> None:
    answer = HttpAnswer(sent_ns=1, status=200, is_heard=True, pieces=[TEXT], piece_ns=[5])
    answer.cut_off()

    record = record_of(answer)

    assert record.outcome == "incomplete"
    assert record.answer == "Hello"
    assert record.error is not None
    assert record.error.startswith("CutOff")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:80", "ftp://a", "http://", "http://a:port", "http://ü", "http://[::1"]
)
def test_what_is_no_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(PlanError, match="is no URL of a server"):
        Pool(Target(url, "m"))


def test_a_key_that_would_break_the_head_is_refused_and_not_shown() -> None:
    with pytest.raises(PlanError) as caught:
        Pool(Target("http://a", "m", api_key="secret\r\nX: y"))

    assert "secret" not in f"{caught.value} {caught.value.action}"
    assert "secret" not in repr(Target("http://a", "m", api_key="secret"))


def test_a_body_is_encoded_as_json() -> None:
    request = Pool(Target("http://a/prefix", "m")).encode({"text": "ü\n"})

    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /prefix/v1/chat/completions HTTP/1.1\r\nHost: a\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert json.loads(body) == {"text": "ü\n"}
