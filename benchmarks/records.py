"""What is measured: one frozen record for each request, and one for each cell. Pure: no I/O.

A cell is one arm, one workload, one load, in one round. All times are of the monotonic clock
(`time.monotonic_ns`), in nanoseconds, of the process that measured; they mean something only as
differences within one run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from pydantic import TypeAdapter

Outcome = Literal["successful", "errored", "incomplete"]
"""`errored`: refused, or no answer began. `incomplete`: an answer began and did not end: cut off,
or still running when the cell's time was over."""


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """How requests are offered: exactly one of the two is set.

    Attributes:
        concurrency: closed loop: requests in flight at once; the next is sent when one ends.
        rate_per_second: open loop: arrivals of a Poisson process, sent whether or not earlier ones
            have ended. Latency counts from the moment at which a request was due.
    """

    concurrency: int | None = None
    rate_per_second: float | None = None

    def __post_init__(self) -> None:
        """Refuse both and neither.

        Raises:
            ValueError: not exactly one is set, or it is not positive.
        """
        given = [v for v in (self.concurrency, self.rate_per_second) if v is not None]
        if len(given) != 1 or not given[0] > 0:
            raise ValueError("a load is a concurrency or a rate, above 0")

    @property
    def order(self) -> tuple[bool, float]:
        """To sort by: closed loops by concurrency, then open loops by rate."""
        return self.concurrency is None, self.concurrency or self.rate_per_second or 0.0

    @property
    def label(self) -> str:
        """For tables and file names: `c8` or `r2.5`."""
        return f"c{self.concurrency}" if self.concurrency else f"r{self.rate_per_second:g}"

    @property
    def words(self) -> str:
        """For people."""
        if self.concurrency:
            return f"concurrency {self.concurrency}"
        return f"{self.rate_per_second:g} requests/s"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One arm, one workload, one load, in one round; rounds count from 0."""

    arm: str
    workload: str
    load: Load
    round: int

    @property
    def place(self) -> Place:
        """What is measured once a round."""
        return self.arm, self.workload, self.load


Place = tuple[str, str, Load]
"""Arm, workload and load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request and what came of it.

    Attributes:
        cell: where it belongs.
        prompt_id: of the workload; the same in all arms and rounds, so that requests pair up.
        outcome: only `successful` ones enter metrics of latency.
        due_ns: when it ought to have been sent; in a closed loop, when a place became free.
        sent_ns: just before its first byte was written, for the first time if it was sent twice;
            None if no connection was had.
        first_byte_ns: the first byte of the answer's body.
        chunk_ns: shape [chunks]; arrival of each chunk that holds text of the answer, reasoning or
            a tool call. A verify step puts several tokens into one chunk: these are not tokens.
        ended_ns: the last byte, or the failure.
        prompt_tokens: by the server's usage; None where it gave none.
        completion_tokens: by the server's usage, all kinds; None where it gave none.
        reasoning_tokens: of them.
        cached_tokens: of the prompt.
        verify_rounds: verify steps of the target model; None without speculation.
        proposed_draft_tokens: that the draft model proposed.
        correct_draft_tokens: that the target model accepted.
        accepted_histogram: shape [draft steps + 1]; [k] is the number of verify steps in which
            exactly k drafts were accepted.
        finish_reason: the server's word.
        answer: content, then reasoning and tool calls where there are any: what equality compares.
        status: of HTTP.
        error: class and message; None if successful.
    """

    cell: Cell
    prompt_id: str
    outcome: Outcome
    due_ns: int
    sent_ns: int | None
    first_byte_ns: int | None = None
    chunk_ns: tuple[int, ...] = ()
    ended_ns: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    verify_rounds: int | None = None
    proposed_draft_tokens: int | None = None
    correct_draft_tokens: int | None = None
    accepted_histogram: tuple[int, ...] = ()
    finish_reason: str | None = None
    answer: str = ""
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """One GPU while a cell ran; None where the driver does not say."""

    index: int
    name: str
    peak_memory_bytes: int | None
    mean_utilisation: float | None
    mean_power_watts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeculationCounts:
    """What a server counts of speculation, where its answers do not tell.

    Attributes:
        verify_rounds: verify steps of the target model.
        proposed: draft tokens in them.
        accepted: of these.
        accepted_by_position: shape [draft steps]; of the first draft of each step, the second, ...
    """

    verify_rounds: int
    proposed: int
    accepted: int
    accepted_by_position: tuple[int, ...] = ()

    def since(self, before: SpeculationCounts) -> SpeculationCounts | None:
        """What came after an earlier look; None for a server that was started again in between."""
        then = before.accepted_by_position or (0,) * len(self.accepted_by_position)
        if len(then) != len(self.accepted_by_position):
            return None
        found = SpeculationCounts(
            verify_rounds=self.verify_rounds - before.verify_rounds,
            proposed=self.proposed - before.proposed,
            accepted=self.accepted - before.accepted,
            accepted_by_position=tuple(
                now - early for now, early in zip(self.accepted_by_position, then, strict=True)
            ),
        )
        counts = (found.verify_rounds, found.proposed, found.accepted, *found.accepted_by_position)
        return found if min(counts) >= 0 else None

    @property
    def histogram(self) -> tuple[int, ...]:
        """Shape [draft steps + 1]: `accepted_histogram` of a request; empty where it is not known.

        Formula: h_0 = steps - accepted_1; h_k = accepted_k - accepted_(k+1). A draft is accepted
        only where all before it were.
        """
        if not self.accepted_by_position:
            return ()
        reached = (self.verify_rounds, *self.accepted_by_position, 0)
        steps = tuple(a - b for a, b in pairwise(reached))
        return steps if min(steps) >= 0 else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """One cell: when it ran, and what it used.

    Attributes:
        cell: which.
        began_ns: just before the first request was due.
        ended_ns: the last request's end.
        began_wall_ns: the same moment as `began_ns` by the wall clock: what puts cells in order
            when the machine was started anew between them.
        is_complete: every prompt of the workload was sent and ended, well or not.
        cache_flushed: the prefix cache was emptied before; None where the server did not let us.
        server_cpu_seconds: of all the server's processes; None for a server elsewhere.
        generator_cpu_seconds: of the process that measured.
        speculation: of all requests of the cell, by the server's counters before and after it; None
            where it counts none, as a server whose answers tell.
        gpus: what NVML said, sampled.
    """

    cell: Cell
    began_ns: int
    ended_ns: int
    is_complete: bool
    began_wall_ns: int | None = None
    cache_flushed: bool | None = None
    server_cpu_seconds: float | None = None
    generator_cpu_seconds: float | None = None
    speculation: SpeculationCounts | None = None
    gpus: tuple[GpuUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken:
    """One token of an answer, with the likeliest alternatives at its place.

    Attributes:
        text: of the token, or its bytes where they are no whole character.
        log_probability: natural logarithm.
        alternatives: text to log-probability of the likeliest tokens, itself included.
    """

    text: str
    log_probability: float
    alternatives: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswer:
    """A greedy answer token by token, asked for outside of the timed cells, one at a time.

    Attributes:
        arm: which server.
        workload: which.
        prompt_id: of the workload.
        repetition: 0 and up; plain decoding answers twice, which gives the noise floor.
        tokens: shape [completion tokens].
    """

    arm: str
    workload: str
    prompt_id: str
    repetition: int
    tokens: tuple[ScoredToken, ...]


REQUEST: TypeAdapter[RequestRecord] = TypeAdapter(RequestRecord)
CELL: TypeAdapter[CellRecord] = TypeAdapter(CellRecord)
SCORED: TypeAdapter[ScoredAnswer] = TypeAdapter(ScoredAnswer)


def to_line(record: Any, adapter: TypeAdapter[Any]) -> bytes:
    """One line of JSON, newline included. A NaN is refused by whoever reads it: none is made."""
    return adapter.dump_json(record) + b"\n"


def to_lines(cell: CellRecord, requests: Iterable[RequestRecord]) -> bytes:
    """A cell on the first line, and a request on each other."""
    return b"".join([to_line(cell, CELL), *(to_line(one, REQUEST) for one in requests)])


def read_lines(content: bytes) -> tuple[CellRecord, list[RequestRecord]]:
    """Read what `to_lines` made.

    Raises:
        ValueError: it is not that.
    """
    first, *others = content.splitlines() or [b""]
    return CELL.validate_json(first), [REQUEST.validate_json(line) for line in others]
