"""From the bytes of an answer to a record. Runs after the answer has ended. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from benchmarks.load.connection import TOO_LARGE
from benchmarks.records import RequestRecord
from clients.http.chunk import (
    END_MARK,
    cached_tokens_in,
    inner,
    parts_of_calls,
    reasoning_in,
    reasoning_tokens_in,
    speculation_in,
    text_of,
)
from clients.http.sse import EventDecoder, EventTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.connection import HttpAnswer
    from benchmarks.records import Cell, Outcome

PIECES_A_STEP = 8
# As records have always held a call's arguments, so that old and new ones can be compared.
_COMPACT = (",", ":")
_SHOWN_CHARACTERS = 300
_ABORTED = "abort"
"""SGLang's finish reason for an answer that it gave up on."""


class AnswerReader:
    """Adds up the pieces of one body.

    Attributes:
        chunk_ns: shape [chunks with text].
        began: a chunk of a chat completion was read.
    """

    def __init__(self) -> None:
        self.chunk_ns: list[int] = []
        self.began = False
        self.has_done_mark = False
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] = {}
        self.speculation: dict[str, Any] = {}
        self.failure: str | None = None
        self.last_ns: int | None = None
        self._decoder = EventDecoder()
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[str]] = {}

    def feed(self, piece: bytes, at_ns: int) -> None:
        """Read the next piece.

        Args:
            piece: cut anywhere.
            at_ns: when it arrived: the time of each event that it completes.
        """
        try:
            self._take(self._decoder.feed(piece), at_ns)
        except EventTooLargeError as error:
            self.failure = self.failure or f"StreamError: {error}"
        self.last_ns = at_ns

    def end(self) -> None:
        """Read what a body that ended without an empty line still held."""
        if self.last_ns is not None:
            self._take(self._decoder.end(), self.last_ns)

    @property
    def text(self) -> str:
        """The whole answer; a text without reasoning and tool calls is just itself.

        GLM's template has a line break before each of the two, which SGLang takes away and vLLM
        leaves; it is no part of what was said.
        """
        content = "".join(self._content).removeprefix("\n")
        reasoning = "".join(self._reasoning).removeprefix("\n")
        parts = [content] if content else []
        if reasoning:
            parts.append(f"--- reasoning ---\n{reasoning}")
        parts += ["--- tool call ---\n" + "".join(call) for _, call in sorted(self._calls.items())]
        return "\n".join(parts)

    def _take(self, payloads: list[bytes], at_ns: int) -> None:
        for payload in payloads:
            if self.failure is not None or self.has_done_mark:
                return
            if payload == END_MARK:
                self.has_done_mark = True
                return
            try:
                if self._read(from_json(payload)):
                    self.chunk_ns.append(at_ns)
            except (AttributeError, KeyError, TypeError, ValueError):
                shown = _shorten(payload.decode(errors="replace"))
                self.failure = f"StreamError: no chunk of a chat completion: {shown}"

    def _read(self, chunk: dict[str, Any]) -> bool:
        """Add a chunk up, and say whether it holds text."""
        if error := chunk.get("error") or (chunk.get("object") == "error" and chunk):
            message = error.get("message") if isinstance(error, dict) else error
            self.failure = f"ServerError: {_shorten(str(message))}"
            return False
        has_text = False
        for choice in chunk["choices"]:
            if choice.get("index"):
                continue
            has_text |= self._add(choice.get("delta") or {})
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.began = True
        self.usage = inner(chunk, "usage") or self.usage
        self.speculation = speculation_in(chunk) or self.speculation
        return has_text

    def _add(self, delta: dict[str, Any]) -> bool:
        if reasoning := text_of(reasoning_in(delta)):
            self._reasoning.append(reasoning)
        if content := text_of(delta.get("content")):
            self._content.append(content)
        calls = delta.get("tool_calls")
        return bool((calls and self._add_calls(calls)) or reasoning or content)

    def _add_calls(self, calls: list[dict[str, Any]]) -> bool:
        has_text = False
        for index, _, function in parts_of_calls(calls):
            call = self._calls.setdefault(int(index), [])
            if name := text_of(function.get("name")):
                call.append(f"{name}\n")
            if arguments := text_of(function.get("arguments"), _COMPACT):
                call.append(arguments)
            has_text = has_text or bool(name or arguments)
        return has_text


def to_record(
    answer: HttpAnswer,
    reader: AnswerReader,
    *,
    cell: Cell,
    prompt_id: str,
    due_ns: int,
    api_key: str | None = None,
) -> RequestRecord:
    """Judge an answer.

    It is successful with a finish reason and either the stream's own end mark or a clean end of
    its body, whatever the connection did afterwards.

    Args:
        answer: as it arrived.
        reader: has read all of its pieces, and its end.
        cell: where it belongs.
        prompt_id: what was asked.
        due_ns: when it ought to have been sent.
        api_key: taken out of what a server says of a failure.

    Returns:
        The record; `ended_ns` of a successful one is the arrival of the last byte of its body.
    """
    outcome, error = _judge(answer, reader)
    if error is not None and api_key:
        error = error.replace(api_key, "***")
    successful = outcome == "successful"
    usage, counts = reader.usage, reader.speculation
    ended_ns = reader.last_ns if successful and reader.last_ns is not None else answer.ended_ns
    return RequestRecord(
        cell=cell,
        prompt_id=prompt_id,
        outcome=outcome,
        due_ns=due_ns,
        sent_ns=answer.sent_ns,
        first_byte_ns=answer.piece_ns[0] if answer.piece_ns else None,
        chunk_ns=tuple(reader.chunk_ns),
        ended_ns=ended_ns,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(reasoning_tokens_in(usage)),
        cached_tokens=_count(cached_tokens_in(usage)),
        verify_rounds=_count(counts.get("spec_verify_ct")) or None,
        proposed_draft_tokens=_count(counts.get("spec_num_proposed_drafts")),
        correct_draft_tokens=_count(counts.get("spec_num_correct_drafts")),
        accepted_histogram=_counts(counts.get("spec_correct_drafts_histogram")),
        finish_reason=reader.finish_reason,
        answer=reader.text,
        status=answer.status,
        error=error,
    )


def read_in_steps(
    answer: HttpAnswer, reader: AnswerReader, *, pieces: int = PIECES_A_STEP
) -> Iterator[None]:
    """Read an answer that has ended, pausing now and then.

    Args:
        answer: ended; its pieces but the first are let go once they are read.
        reader: a new one.
        pieces: read between two pauses.

    Yields:
        Nothing, where something else may be done.
    """
    if answer.status == 200:
        for number, (piece, at_ns) in enumerate(zip(answer.pieces, answer.piece_ns, strict=True)):
            if number and number % pieces == 0:
                yield
            reader.feed(piece, at_ns)
        reader.end()
        del answer.pieces[1:]
        del answer.piece_ns[1:]


def _judge(answer: HttpAnswer, reader: AnswerReader) -> tuple[Outcome, str | None]:
    if answer.status is not None and answer.status != 200 and not answer.is_cut_off:
        body = _shorten(b"".join(answer.pieces).decode(errors="replace"))
        return "errored", f"StatusError: {answer.status}: {body}"
    if reader.failure is None and reader.finish_reason == _ABORTED:
        return "incomplete", "StreamError: the server aborted the answer"
    if (
        reader.failure is None
        and reader.finish_reason is not None
        and (reader.has_done_mark or answer.is_whole)
    ):
        return "successful", None
    if answer.is_cut_off and reader.failure is None:
        return "incomplete", "CutOff: it was still running when the time was over"
    return "incomplete" if reader.began else "errored", _why(answer, reader)


def _why(answer: HttpAnswer, reader: AnswerReader) -> str:
    if answer.failure is not None and answer.failure.startswith(TOO_LARGE):
        # Where it was cut, its last event is no JSON.
        return answer.failure
    if error := reader.failure or answer.failure:
        return error
    if not reader.began:
        body = _shorten(b"".join(answer.pieces[:1]).decode(errors="replace"))
        return f"StreamError: no stream of chunks: {body}"
    return "StreamError: it ended without a finish reason"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    counts = tuple(count for one in value if (count := _count(one)) is not None)
    return counts if len(counts) == len(value) else ()
