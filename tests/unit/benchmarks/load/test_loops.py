"""Closed and open loops: what is sent when, and what is left when a cell ends."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from benchmarks.load import connection, loops
from benchmarks.load.loops import arrivals, run_cell
from benchmarks.load.target import Target
from benchmarks.records import Cell, CellRecord, Load, RequestRecord
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from tests.unit.benchmarks.load.wire import (
    GOOD_EVENTS,
    HEAD,
    chunked,
    playing,
    prompts,
    read_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.workloads.workload import Prompt


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


def closed(concurrency: int) -> Cell:
    return Cell("a", "w", Load(concurrency=concurrency), 0)


def open_loop(rate: float) -> Cell:
    return Cell("a", "w", Load(rate_per_second=rate), 0)


def run(
    server: Loopback | Target,
    cell: Cell,
    asked: Sequence[Prompt],
    *,
    seed: int = 1,
    timeout_seconds: float = 60,
) -> tuple[CellRecord, list[RequestRecord]]:
    target = server.target if isinstance(server, Loopback) else server
    return asyncio.run(run_cell(target, cell, asked, seed=seed, timeout_seconds=timeout_seconds))


def in_flight(records: Sequence[RequestRecord]) -> int:
    """The most requests that were under way at once."""
    edges = [(record.sent_ns or 0, 1) for record in records]
    edges += [(record.ended_ns, -1) for record in records]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


@pytest.mark.parametrize("concurrency", [1, 4, 100])
def test_a_closed_loop_sends_every_prompt_once_in_order(server: Loopback, concurrency: int) -> None:
    whole, records = run(server, closed(concurrency), prompts(20, first_seconds=0.002))

    assert whole.is_complete
    by_sending = sorted(records, key=lambda record: record.sent_ns or 0)
    assert [record.prompt_id for record in by_sending] == [f"p{n}" for n in range(20)]
    assert in_flight(records) <= concurrency
    assert {record.cell for record in records} == {whole.cell}
    assert {record.outcome for record in records} == {"successful"}


def test_a_place_is_due_when_the_answer_before_it_has_ended(server: Loopback) -> None:
    whole, records = run(server, closed(2), prompts(10, first_seconds=0.002))

    assert all(record.sent_ns and record.due_ns <= record.sent_ns for record in records)
    firsts = [record for record in records if record.due_ns == whole.began_ns]
    assert len(firsts) == 2
    ends = sorted(record.ended_ns for record in records)
    for record in records:
        if record not in firsts:
            assert any(end <= record.due_ns for end in ends)


def test_records_come_in_the_order_of_their_ends(server: Loopback) -> None:
    asked = [
        *prompts(1, first_seconds=0.3),
        *(prompts(3, first_seconds=0.01)[1:]),
    ]

    whole, records = run(server, closed(2), asked)

    assert [record.prompt_id for record in records] == ["p1", "p2", "p0"]
    assert whole.ended_ns == records[-1].ended_ns
    assert whole.generator_cpu_seconds is not None
    assert whole.generator_cpu_seconds > 0


def test_an_open_loop_sends_on_schedule_although_no_answer_comes(server: Loopback) -> None:
    asked = prompts(20, fault="stall", chunks=2)

    whole, records = run(server, open_loop(100), asked, timeout_seconds=2)

    assert not whole.is_complete
    assert len(records) == 20
    assert {record.outcome for record in records} == {"incomplete"}
    due = [record.due_ns for record in sorted(records, key=lambda one: one.sent_ns or 0)]
    assert [at - whole.began_ns for at in due] == arrivals(100, 20, seed=1)
    # All were sent with none ended.
    assert max(record.sent_ns or 0 for record in records) < min(r.ended_ns for r in records)


def test_nothing_is_sent_before_it_is_due_and_the_same_seed_gives_the_same_arrivals(
    server: Loopback,
) -> None:
    first, records = run(server, open_loop(200), prompts(20), seed=3)
    second, again = run(server, open_loop(200), prompts(20), seed=3)

    assert all(record.sent_ns and record.sent_ns >= record.due_ns for record in records)
    assert sorted(record.due_ns - first.began_ns for record in records) == sorted(
        record.due_ns - second.began_ns for record in again
    )
    assert first.is_complete


def test_arrivals_are_a_poisson_process() -> None:
    due = [0, *arrivals(50, 20_000, seed=5)]

    gaps = [(b - a) / 1e9 for a, b in pairwise(due)]

    # Mean and deviation of an exponential distribution are one; 5 standard errors.
    assert abs(statistics.mean(gaps) * 50 - 1) < 5 / 20_000**0.5
    assert abs(statistics.stdev(gaps) * 50 - 1) < 5 * 2**0.5 / 20_000**0.5
    below = sum(gap < 0.02 for gap in gaps) / len(gaps)
    assert abs(below - 0.632) < 0.02
    assert arrivals(50, 100, seed=1) != arrivals(50, 100, seed=2)


def test_what_was_not_sent_when_the_time_was_over_has_no_record(server: Loopback) -> None:
    asked = [*prompts(2), *(prompts(6, fault="stall", chunks=2)[2:])]

    whole, records = run(server, closed(2), asked, timeout_seconds=2)

    assert not whole.is_complete
    assert {record.prompt_id: record.outcome for record in records} == {
        "p0": "successful", "p1": "successful", "p2": "incomplete", "p3": "incomplete",
    }  # fmt: skip


def test_refusals_do_not_end_a_cell(server: Loopback) -> None:
    whole, records = run(server, closed(1), prompts(20, fault="refuse status"))

    assert whole.is_complete
    assert [record.outcome for record in records] == ["errored"] * 20


def test_a_server_that_dies_in_the_middle_ends_the_cell_early() -> None:
    asked = prompts(1_000, chunks=2)
    asked[10] = prompts(11, chunks=3, gap_seconds=0.01, fault="exit", fault_after_chunks=1)[10]
    with loopback() as server:
        whole, records = run(server, closed(4), asked)

    assert not whole.is_complete
    good = [record for record in records if record.outcome == "successful"]
    assert len(good) >= 7
    lost = [record for record in records if record.outcome != "successful"]
    # Those in flight when it died, and three in a row for each worker.
    assert 12 <= len(lost) <= 20
    assert all(record.error for record in lost)


@pytest.mark.parametrize(("cell", "most"), [(closed(2), 8), (open_loop(10_000), 200)])
def test_where_nothing_listens_a_cell_gives_up_soon(cell: Cell, most: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = Target(f"http://127.0.0.1:{taken.getsockname()[1]}", "m")

        whole, records = run(target, cell, prompts(1_000))

    assert not whole.is_complete
    assert 1 <= len(records) <= most
    assert {record.outcome for record in records} == {"errored"}
    assert {record.sent_ns for record in records} == {None}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not read


@pytest.mark.parametrize("cell", [closed(8), open_loop(500)])
@pytest.mark.parametrize("is_cancelled", [True, False])
def test_no_task_and_no_socket_is_left(server: Loopback, cell: Cell, *, is_cancelled: bool) -> None:
    async def go() -> tuple[list[float], int, int]:
        answered: list[float] = []
        server.forget()
        # The first thread stays, and keeps what it needs.
        await asyncio.to_thread(server.seen)
        before = descriptors()
        asked = [*prompts(4), *(prompts(20, fault="stall", chunks=2)[4:])]
        running = asyncio.ensure_future(
            run_cell(
                server.target, cell, asked, seed=1,
                timeout_seconds=60 if is_cancelled else 2,
                on_answered=lambda: answered.append(time.monotonic_ns()),
            )
        )  # fmt: skip
        if is_cancelled:
            while await asyncio.to_thread(lambda: len(server.truth())) < 4:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        else:
            _, records = await running
            assert {record.outcome for record in records} == {"successful", "incomplete"}
            # They are told of as they end, not when all is over.
            assert max(answered) < max(record.ended_ns for record in records)
        return answered, len(asyncio.all_tasks()) - 1, descriptors() - before

    answered, tasks, sockets = asyncio.run(go())

    assert (tasks, sockets) == (0, 0)
    # The other sixteen never ended.
    assert len(answered) == 4
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_callback_that_fails_ends_the_cell_and_leaves_nothing(server: Loopback) -> None:
    def broken() -> None:
        raise OSError("the terminal is gone")

    async def go() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await run_cell(
                server.target, closed(1), prompts(3), seed=0, timeout_seconds=9,
                on_answered=broken,
            )  # fmt: skip
        assert caught.group_contains(OSError, match="the terminal is gone")
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
    assert gc.isenabled()


def test_connections_are_there_before_the_first_request() -> None:
    order: list[str] = []

    async def handle(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order.append("connected")
        while True:
            await read_request(reader)
            order.append("asked")
            writer.write(chunked(*GOOD_EVENTS))

    async def go() -> None:
        async with playing(handle) as target:
            await run_cell(target, closed(5), prompts(9), seed=0, timeout_seconds=60)

    asyncio.run(go())

    assert order[:4].count("connected") >= 4
    assert order.count("connected") == 5
    assert order.count("asked") == 9


def test_answers_that_would_take_too_much_memory_are_read_while_others_stream(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = prompts(30, chunks=40, gap_seconds=0.0005)
    _, records = run(server, closed(4), asked)
    monkeypatch.setattr(loops, "HELD_BYTES", 20_000)
    held: list[int] = []
    catch_up = loops._Run._catch_up

    async def watched(self: loops._Run) -> None:
        held.append(self._unread_bytes)
        await catch_up(self)
        held.append(self._unread_bytes)

    monkeypatch.setattr(loops._Run, "_catch_up", watched)
    _, again = run(server, closed(4), asked)

    assert held[0] > 20_000
    assert min(held) < 20_000
    texts = {record.prompt_id: (record.answer, record.verify_rounds) for record in records}
    assert texts == {one.prompt_id: (one.answer, one.verify_rounds) for one in again}
    assert all(list(one.chunk_ns) == sorted(one.chunk_ns) for one in again)


@pytest.mark.parametrize("endless", ["head", "line", "events"])
def test_an_answer_without_end_is_given_up_at_its_bound(
    endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_ANSWER_BYTES", 1_000_000)
    parts = {
        "head": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536),
        "line": (HEAD + b"\r\ndata: ", b"a" * 65536),
        "events": (HEAD + b"\r\n", b"".join(GOOD_EVENTS[:4]) * 100),
    }

    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        first, part = parts[endless]
        writer.write(first)
        while True:
            writer.write(part)
            await writer.drain()

    async def inside() -> list[RequestRecord]:
        async with playing(answer) as target:
            _, records = await run_cell(target, closed(1), prompts(1), seed=1, timeout_seconds=60)
        return records

    (record,) = asyncio.run(inside())
    assert record.outcome != "successful"
    assert record.error is not None
    assert "AnswerTooLarge" in record.error
