"""Runs one cell: a closed loop of workers, or an open loop of arrivals that wait for nobody."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.load.connection import HttpAnswer
from benchmarks.load.pool import Pool
from benchmarks.load.reading import AnswerReader, read_in_steps, to_record
from benchmarks.records import CellRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.load.target import Target
    from benchmarks.records import Cell, RequestRecord
    from benchmarks.workloads.workload import Prompt

HELD_BYTES = 256 * 1024 * 1024
"""Answers that wait to be read may hold this much; beyond it they are read while others stream,
a few pieces at a time."""
_OPEN_LOOP_CONNECTIONS = 64
_LOST_IN_A_ROW_PER_WORKER = 3
_EARLY_SECONDS = 0.001
"""asyncio's timers are up to a millisecond late, as epoll counts in milliseconds."""


async def run_cell(
    target: Target,
    cell: Cell,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    timeout_seconds: float,
    on_answered: Callable[[], None] | None = None,
) -> tuple[CellRecord, list[RequestRecord]]:
    """Send every prompt once, at the cell's load.

    Nothing is decoded while answers stream, so that one stream's text does not delay another's
    time stamp: the records are made after the last answer. The garbage collector rests meanwhile.
    A server that is gone ends the cell early: after as many lost connections in a row as three for
    each worker.

    Args:
        target: the server.
        cell: which; its load is followed, the rest is copied into the records.
        prompts: in the order in which they are sent.
        seed: of the arrivals of an open loop: the same seed gives the same arrivals.
        timeout_seconds: of the cell. What still runs then is closed, and incomplete; what was not
            sent has no record, and the cell is not complete.
        on_answered: called as each request ends, well or not, between time stamps: it must be
            quick. What is cut off at the end of the time has not ended.

    Returns:
        The cell, and its records in the order in which the requests ended.

    Raises:
        PlanError: the target's URL or key cannot be used.
        asyncio.CancelledError: at Ctrl-C; no task and no socket is left.
    """
    run = _Run(Pool(target), target, cell, prompts, on_answered)
    async with run.pool:
        await run.pool.warm(min(run.workers, len(prompts)))
        with _resting_collector():
            began_cpu_seconds = time.process_time()
            began_wall_ns = time.time_ns()
            began_ns = time.monotonic_ns()
            in_time = await run.until(timeout_seconds, began_ns, seed)
            records = run.records(target.api_key)
            cpu_seconds = time.process_time() - began_cpu_seconds
    return CellRecord(
        cell=cell,
        began_ns=began_ns,
        ended_ns=max((one.ended_ns for one in records), default=time.monotonic_ns()),
        began_wall_ns=began_wall_ns,
        is_complete=in_time and len(records) == len(prompts),
        generator_cpu_seconds=cpu_seconds,
    ), records


def arrivals(rate_per_second: float, count: int, seed: int) -> list[int]:
    """Draw when requests arrive.

    Formula: gaps are exponential with mean 1 / rate, so arrivals are a Poisson process.
    Source: Kingman, Poisson Processes, section 4.1 (Oxford, 1993).

    Args:
        rate_per_second: above 0.
        count: of arrivals.
        seed: the same seed gives the same arrivals.

    Returns:
        Nanoseconds after the beginning, ascending, shape [count].
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    due_ns, at = [], 0.0
    for _ in range(count):
        at += draw.expovariate(rate_per_second)
        due_ns.append(round(at * 1e9))
    return due_ns


class _Request:
    """One prompt on its way."""

    __slots__ = ("answer", "data", "due_ns", "prompt_id", "reader", "steps")

    def __init__(self, prompt_id: str, data: bytes) -> None:
        self.prompt_id = prompt_id
        self.data = data
        self.due_ns = 0
        self.answer = HttpAnswer()
        self.reader = AnswerReader()
        self.steps = read_in_steps(self.answer, self.reader)


class _Run:
    """The state of one cell while it runs."""

    def __init__(
        self,
        pool: Pool,
        target: Target,
        cell: Cell,
        prompts: Sequence[Prompt],
        on_answered: Callable[[], None] | None,
    ) -> None:
        self.pool = pool
        self._on_answered = on_answered
        self.workers = cell.load.concurrency or _OPEN_LOOP_CONNECTIONS
        self._cell = cell
        # Encoded before the cell begins.
        self._waiting = deque(
            _Request(one.id, pool.encode(one.to_request(target.model))) for one in prompts
        )
        self._ended: list[_Request] = []
        self._lost_in_a_row = 0
        self._unread: deque[_Request] = deque()
        self._unread_bytes = 0
        self._is_catching_up = False

    async def until(self, timeout_seconds: float, began_ns: int, seed: int) -> bool:
        """Run for so long at most; say whether all ended within it. No task is left behind."""
        try:
            async with asyncio.timeout(timeout_seconds), asyncio.TaskGroup() as group:
                if (rate := self._cell.load.rate_per_second) is not None:
                    await self._arrive(group, began_ns, arrivals(rate, len(self._waiting), seed))
                else:
                    for _ in range(min(self.workers, len(self._waiting))):
                        group.create_task(self._work(group, began_ns))
        except TimeoutError:
            return False
        return True

    def records(self, api_key: str | None) -> list[RequestRecord]:
        """Read what is not read yet, and judge all, in the order in which they ended."""
        for request in self._unread:
            for _ in request.steps:
                pass
        return [
            to_record(
                request.answer,
                request.reader,
                cell=self._cell,
                prompt_id=request.prompt_id,
                due_ns=request.due_ns,
                api_key=api_key,
            )
            for request in self._ended
        ]

    @property
    def _goes_on(self) -> bool:
        limit = _LOST_IN_A_ROW_PER_WORKER * self.workers
        return bool(self._waiting) and self._lost_in_a_row < limit

    async def _work(self, group: asyncio.TaskGroup, began_ns: int) -> None:
        """Closed loop: take the next prompt when the last one ended."""
        free_ns = began_ns
        while self._goes_on:
            free_ns = await self._send(group, free_ns)

    async def _arrive(self, group: asyncio.TaskGroup, began_ns: int, after_ns: list[int]) -> None:
        """Open loop: send each prompt when it is due, whatever has become of those before it."""
        for due_ns in (began_ns + after for after in after_ns):
            await _sleep_until(due_ns)
            if not self._goes_on:
                return
            group.create_task(self._send(group, due_ns))

    async def _send(self, group: asyncio.TaskGroup, due_ns: int) -> int:
        """Send the next prompt; return when its place became free."""
        request = self._waiting.popleft()
        request.due_ns = due_ns
        answer = request.answer
        try:
            await self.pool.send(request.data, answer)
        finally:
            self._ended.append(request)
            self._unread.append(request)
        if answer.is_heard:
            self._lost_in_a_row = 0
        else:
            self._lost_in_a_row += 1
        if self._on_answered is not None:
            self._on_answered()
        self._unread_bytes += sum(map(len, answer.pieces))
        if self._unread_bytes > HELD_BYTES and not self._is_catching_up:
            self._is_catching_up = True
            group.create_task(self._catch_up())
        return answer.ended_ns

    async def _catch_up(self) -> None:
        """Read while others stream: a little at a time, since it delays their time stamps."""
        while self._unread:
            request = self._unread[0]
            read_bytes = sum(map(len, request.answer.pieces))
            for _ in request.steps:
                await asyncio.sleep(0)
            self._unread.popleft()
            self._unread_bytes -= read_bytes
        self._is_catching_up = False


async def _sleep_until(due_ns: int) -> None:
    """Sleep until just before, then let others run until it is time."""
    await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9 - _EARLY_SECONDS))
    while time.monotonic_ns() < due_ns:
        await asyncio.sleep(0)


@contextmanager
def _resting_collector() -> Iterator[None]:
    """Keep the garbage collector still: a full collection takes longer than a token."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.unfreeze()
