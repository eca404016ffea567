"""One answer of the loopback server: its bytes, written when its schedule says so."""

from __future__ import annotations

import asyncio
import math
import time
from functools import lru_cache
from typing import Any, Protocol

from pydantic_core import to_json

from benchmarks.selfcheck.loopback.schedule import Schedule, Truth

MODEL = "loopback"
_DEFAULT_MAX_TOKENS = 48
_HEAD = {"id": "r" * 32, "object": "chat.completion.chunk", "created": 1, "model": MODEL}
_DRAFT_STEPS = 3


class Outlet(Protocol):
    """What a stream needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send."""

    def commit(self, fault: str, *, has_begun: bool) -> bool:
        """Let a fault happen; say whether it ends the answer."""

    def finish(self, truth: Truth, *, close: bool) -> None:
        """Note a whole answer."""


def head(framing: str, length: int) -> bytes:
    """Give the head of a stream; the length counts for the framing `length` only."""
    how = {
        "chunked": b"Transfer-Encoding: chunked\r\n",
        "length": b"content-length: %d\r\n" % length,
        "close": b"connection: close\r\n",
    }[framing]
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n%s\r\n" % how


def event(payload: dict[str, Any]) -> bytes:
    """Give one server-sent event."""
    return b"data: " + to_json({**_HEAD, **payload}) + b"\n\n"


@lru_cache
def text_event(text: str | None, *, role: bool = False, reason: str | None = None) -> bytes:
    """Give a chunk as SGLang sends it."""
    delta: dict[str, Any] = {"reasoning_content": None}
    if role:
        delta["role"] = "assistant"
    if text is not None:
        delta["content"] = text
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return event({"choices": [{**choice, "matched_stop": None}]})


@lru_cache
def closing_events(tokens: int, verify_rounds: int, accepted: int) -> bytes:
    """Give what follows the last text: the counts, and the end mark."""
    histogram = [0] * (_DRAFT_STEPS + 1)
    histogram[min(accepted, _DRAFT_STEPS)] = verify_rounds
    details = {
        "spec_accept_rate": accepted / _DRAFT_STEPS,
        "spec_accept_length": accepted + 1.0,
        "spec_num_correct_drafts": verify_rounds * accepted,
        "spec_num_proposed_drafts": verify_rounds * _DRAFT_STEPS,
        "spec_verify_ct": verify_rounds,
        "spec_correct_drafts_histogram": histogram,
    }
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": tokens + 5}
    return (
        event({"choices": [], "usage": None, "sglext": {"spec_tokens_details": details}})
        + event({"choices": [], "usage": {**usage, "prompt_tokens_details": None}})
        + b"data: [DONE]\n\n"
    )


@lru_cache
def frame(framing: str, data: bytes) -> bytes:
    """Give data as the body of an answer has it."""
    return b"%x\r\n%s\r\n" % (len(data), data) if framing == "chunked" else data


class Stream:
    """One answer on its way out.

    Args:
        outlet: where it goes.
        schedule: of this request.
        number: of the request.
        key: by which its truth is known.
        max_tokens: that the request asks for; None if it leaves it open.
        received_ns: when the request's last byte arrived.
    """

    def __init__(
        self,
        outlet: Outlet,
        schedule: Schedule,
        *,
        number: int,
        key: str,
        max_tokens: int | None,
        received_ns: int,
    ) -> None:
        self._key = key
        self._outlet = outlet
        self._schedule = schedule
        size = schedule.tokens_per_chunk
        if schedule.chunks is None:
            self._tokens = max_tokens or _DEFAULT_MAX_TOKENS
            self._chunks = math.ceil(self._tokens / size)
        else:
            self._chunks = schedule.chunks
            self._tokens = self._chunks * size
        self._received_ns = received_ns
        self._loop = asyncio.get_running_loop()
        # The loop's clock is the same monotonic one.
        self._began = received_ns / 1e9
        self._first_seconds, self._gap_seconds = schedule.offsets_seconds(number)
        self._text = text_event("word " * size)
        reason = None if schedule.fault == "no finish reason" else "length"
        self._last = text_event(None, reason=reason)
        self._last += closing_events(self._tokens, self._chunks, min(size - 1, _DRAFT_STEPS))
        if schedule.fault == "no end mark":
            self._last = self._last.removesuffix(b"data: [DONE]\n\n")
        self._framed_text = frame(schedule.framing, self._text)
        self._written = 0
        self._first_ns = 0
        self._timer = self._loop.call_at(self._began + self._first_seconds, self._tick)

    def cancel(self) -> None:
        """Write no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        fault = self._schedule.fault
        if (
            fault is not None
            and self._written == self._schedule.fault_after_chunks
            and self._outlet.commit(fault, has_begun=self._written > 0)
        ):
            return
        now_ns = time.monotonic_ns()
        write = self._outlet.write
        is_last = self._written == self._chunks - 1
        if self._written == 0:
            self._first_ns = now_ns
            first = text_event("", role=True) + self._text
            begin = head(self._schedule.framing, self._length())
            write(begin + frame(self._schedule.framing, first) + (self._end() if is_last else b""))
        else:
            write(self._framed_text + self._end() if is_last else self._framed_text)
        self._written += 1
        if is_last:
            truth = Truth(
                key=self._key,
                received_ns=self._received_ns,
                first_ns=self._first_ns,
                last_ns=now_ns,
                tokens=self._tokens,
                chunks=self._chunks,
            )
            self._outlet.finish(truth, close=self._schedule.framing == "close")
            return
        # By the schedule, not by the last tick: a late one makes none after it late.
        due = self._began + self._first_seconds + self._written * self._gap_seconds
        self._timer = self._loop.call_at(due, self._tick)

    def _length(self) -> int:
        return len(text_event("", role=True)) + self._chunks * len(self._text) + len(self._last)

    def _end(self) -> bytes:
        end = b"0\r\n\r\n" if self._schedule.framing == "chunked" else b""
        return frame(self._schedule.framing, self._last) + end
