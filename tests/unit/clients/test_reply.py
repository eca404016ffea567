"""Events into a reply: the same one, however the text was split."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import (
    ChatReply,
    ContentDelta,
    Done,
    ReasoningDelta,
    ReplyBuilder,
    Started,
    StreamEvent,
    Timings,
    ToolArgumentsDelta,
    ToolCall,
    ToolCallDone,
    ToolCallStarted,
    Usage,
)

USAGE = Usage(prompt_tokens=5, completion_tokens=9, total_tokens=14)


def build(*events: StreamEvent) -> ChatReply:
    builder = ReplyBuilder()
    for event in events:
        builder.add(event)
    return builder.build(started_ns=0, first_token_ns=None, ended_ns=1)


@st.composite
def split(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text anywhere, also into empty pieces."""
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=6))
    return [text[start:end] for start, end in pairwise([0, *sorted(cuts), len(text)])]


@settings(deadline=None)
@given(st.data(), st.text(), st.text(), st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_any_split_gives_the_same_reply(
    data: st.DataObject, reasoning: str, content: str, calls: list[tuple[str, str]]
) -> None:
    lanes: list[list[StreamEvent]] = [
        [ReasoningDelta(piece) for piece in data.draw(split(reasoning))],
        [ContentDelta(piece) for piece in data.draw(split(content))],
    ]
    for index, (name, arguments) in enumerate(calls):
        lane: list[StreamEvent] = [ToolCallStarted(index, f"call_{index}", name)]
        lane += [ToolArgumentsDelta(index, piece) for piece in data.draw(split(arguments))]
        lanes.append([*lane, ToolCallDone(index, f"call_{index}", name, arguments)])
    # The parts may also arrive interleaved, each in its own order.
    order = data.draw(st.permutations([n for n, lane in enumerate(lanes) for _ in lane]))
    events = [lanes[n].pop(0) for n in order]

    reply = build(Started("id", "model"), *events, USAGE, Done("stop"))

    assert reply == ChatReply(
        content=content,
        reasoning=reasoning,
        tool_calls=tuple(ToolCall(f"call_{n}", *call) for n, call in enumerate(calls)),
        finish_reason="stop",
        usage=USAGE,
        timings=Timings(1e-9),
        model="model",
        request_id="id",
    )


def test_no_events_give_an_empty_reply() -> None:
    reply = build()
    assert (reply.content, reply.reasoning, reply.tool_calls) == ("", "", ())
    assert (reply.finish_reason, reply.usage, reply.request_id) == (None, None, "")


def test_last_usage_counts() -> None:
    assert build(Usage(5, 1, 6), USAGE).usage == USAGE


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().content = "x"  # type: ignore[misc]


def test_time_per_output_token_leaves_the_first_token_out() -> None:
    timings = Timings.from_ns(
        started_ns=10_000_000_000,
        first_token_ns=12_000_000_000,
        ended_ns=16_000_000_000,
        completion_tokens=9,
    )
    assert timings == Timings(
        total_seconds=6.0, time_to_first_token_seconds=2.0, time_per_output_token_seconds=0.5
    )


@pytest.mark.parametrize("completion_tokens", [None, 0, 1])
def test_time_per_output_token_needs_two_tokens(completion_tokens: int | None) -> None:
    timings = Timings.from_ns(
        started_ns=0, first_token_ns=1, ended_ns=2, completion_tokens=completion_tokens
    )
    assert timings.time_per_output_token_seconds is None
    assert timings.time_to_first_token_seconds == 1e-9


def test_without_a_first_token_there_is_a_total_only() -> None:
    timings = Timings.from_ns(started_ns=0, first_token_ns=None, ended_ns=2, completion_tokens=9)
    assert timings == Timings(total_seconds=2e-9)
