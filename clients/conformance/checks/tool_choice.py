"""Calls that are forced, forbidden, handed back, or of a tool that nobody offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clients.conformance import sources
from clients.conformance.answer import TOOL_MARKS, Choice
from clients.conformance.checks.tools import (
    CLOCK,
    ONE,
    TWO,
    WEATHER,
    function,
    must_have_one_name,
    must_have_sound_calls,
    shown_calls,
    tokens_lost,
)
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, Json, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import VerdictError, model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.probe import Probe

HISTORY: list[Json] = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 20 degrees"},
]


@check(
    "tools.choice-none",
    sent="a question for the weather with a tool, tool_choice none",
    contract="The model calls no tool; the answer is text.",
    source=sources.CHAT,
)
async def choice_none(probe: Probe) -> str:
    """Neither a call nor the marks of one."""
    got = await probe.whole(probe.body(ONE[0], tools=[WEATHER], tool_choice="none"))
    choice = first_choice(got)
    if choice.calls:
        raise server_fault(f"a call: {shown_calls(choice)}")
    must_have_sound_calls(choice, "whole")
    return quote(choice.content, 60)


async def _forced(
    probe: Probe, choice: Any, tools: list[Json], said: str | list[Json], **options: Any
) -> list[Choice]:
    """Answers whole and streamed to a request that must end in a call."""
    limit = {"max_tokens": 512 if options.get("think") else 256}
    body = probe.body(said, tools=tools, tool_choice=choice, **{**limit, **options})
    answers = []
    for name, got in await probe.both(body):
        if got.finish == "length":
            raise model_fault(f"{name}: cut off at the limit: {shown_calls(got)}")
        if mark := next((mark for mark in TOOL_MARKS if mark in got.content), None):
            raise server_fault(f"{name}: {mark} in the content: {quote(got.content, 80)}")
        if not got.calls:
            raise server_fault(f"{name}: no call, content {quote(got.content, 80)}")
        for call in got.calls:
            if not isinstance(call.parsed(), dict):
                raise server_fault(f"{name}: arguments {quote(call.arguments, 80)}")
        answers.append(got)
    return answers


@check(
    "tools.required",
    sent=f'"{HELLO}" with two tools, tool_choice required, whole and streamed',
    contract="At least one call of a tool that was offered, with finish_reason tool_calls; a "
    "stream gives its name once.",
    source=sources.CHAT,
)
async def required(probe: Probe) -> str:
    """Forced by a grammar, so it does not depend on the model."""
    answers = await _forced(probe, "required", [WEATHER, CLOCK], HELLO)
    must_have_one_name(answers[1])
    for choice in answers:
        if choice.finish != "tool_calls":
            raise server_fault(f"finish_reason {quote(choice.finish)}")
        if others := {str(call.name) for call in choice.calls} - {"get_weather", "get_time"}:
            raise server_fault(f"called {quote(others)}, which was not offered")
    return shown_calls(answers[0])


@check(
    "tools.named",
    sent="a question for the weather with two tools, tool_choice get_time, whole and streamed",
    contract="The named tool is called; finish_reason is stop or tool_calls.",
    source=sources.CHAT,
)
async def named(probe: Probe) -> str:
    """Whatever the question suggests."""
    choice = {"type": "function", "function": {"name": "get_time"}}
    answers = await _forced(probe, choice, [WEATHER, CLOCK], ONE[0])
    for got in answers:
        if {call.name for call in got.calls} != {"get_time"}:
            raise server_fault(f"called {shown_calls(got)}")
        if got.finish not in {"stop", "tool_calls"}:
            raise server_fault(f"finish_reason {quote(got.finish)}")
    return shown_calls(answers[0])


@check(
    "tools.thinking",
    sent="a question for the weather with a tool, tool_choice required, with thinking on, whole "
    "and streamed",
    contract="A call that is demanded comes with thinking on, too: behind the reasoning, in "
    "tool_calls.",
    source=f"{sources.CHAT}; {sources.REASONING}",
)
async def thinking(probe: Probe) -> str:
    """Two parsers, one behind the other."""
    answers = await _forced(probe, "required", [WEATHER], ONE[0], think=True)
    for choice in answers:
        if others := {str(call.name) for call in choice.calls} - {"get_weather"}:
            raise server_fault(f"called {quote(others)}, which was not offered")
    thought = "with reasoning" if answers[0].reasoning else "without reasoning"
    return f"{shown_calls(answers[0])}, {thought}"


@check(
    "tools.parallel-false",
    sent="a question for the weather in two cities, tool_choice required, parallel_tool_calls "
    "false, whole and streamed",
    contract="With parallel_tool_calls false an answer has one call at most.",
    source=sources.TOOLS,
)
async def parallel_false(probe: Probe) -> str:
    """Where a call is demanded, the grammar holds it to one."""
    answers = await _forced(probe, "required", [WEATHER], TWO[0], parallel_tool_calls=False)
    for choice in answers:
        if len(choice.calls) > 1:
            raise server_fault(f"{len(choice.calls)} calls: {shown_calls(choice)}")
    return shown_calls(answers[0])


@check(
    "tools.new-id",
    sent="a call that is demanded; then its result and a second question, a call demanded again",
    contract="A call has an id that no other call of its conversation has.",
    source=sources.TOOLS,
)
async def new_id(probe: Probe) -> str:
    """Results are told apart by the ids, and conversations keep all of them."""
    first = (await _forced(probe, "required", [WEATHER], ONE[0]))[0].calls[0]
    if not isinstance(first.id, str) or not first.id:
        raise not_judged("the first call has no id: see tools.one")
    call = {"name": str(first.name), "arguments": str(first.arguments)}
    messages: list[Json] = [
        {"role": "user", "content": ONE[0]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": first.id, "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": first.id, "content": "sunny, 20 degrees"},
        {"role": "user", "content": "What is the weather in Rome?"},
    ]
    seen = ""
    for choice in await _forced(probe, "required", [WEATHER], messages):
        ids = [given.id for given in choice.calls]
        if first.id in ids:
            raise server_fault(f"first id {quote(first.id)}, then {quote(ids)}")
        seen = quote(ids)
    return f"{quote(first.id)}, then {seen}"


@check(
    "tools.no-parameters",
    sent="a tool without parameters, tool_choice required, whole and streamed",
    contract="The call of a tool without parameters has the arguments {}, which is JSON.",
    source=sources.TOOLS,
)
async def no_parameters(probe: Probe) -> str:
    """Left out, and empty: both mean that there are none."""
    empty = function("get_time", "Get the current time.", {})
    for tool in (CLOCK, empty):
        for choice in await _forced(probe, "required", [tool], "What time is it?"):
            if choice.calls[0].parsed():
                raise model_fault(f"it invented some: {quote(choice.calls[0].arguments, 60)}")
    return f"arguments {quote(choice.calls[0].arguments, 20)}"


@check(
    "tools.result",
    sent="a conversation with a call and its result",
    contract="A result that is handed back (role tool, content null beside the call) is taken, and "
    "the model goes on.",
    source=sources.TOOLS,
)
async def result(probe: Probe) -> str:
    """The second half of every use of tools."""
    got = await probe.whole(probe.body(HISTORY, tools=[WEATHER]))
    choice = first_choice(got)
    must_have_sound_calls(choice, "whole")
    if lost := tokens_lost(got):
        raise server_fault(f"an empty answer, though the model wrote {quote(lost, 80)}")
    if choice.is_empty:
        raise model_fault("an empty answer")
    if "20" not in choice.content and "sunny" not in choice.content:
        raise model_fault(f"it does not say the result: {shown_calls(choice)}")
    return quote(choice.content, 60)


def _unknown_prompts() -> list[tuple[list[Json], list[Json]]]:
    """Conversations in which a model may call what is not offered, with the tools that are."""
    other = function("getWeather", "Get the weather of a city.", {"city": {"type": "string"}})
    order = function("order", "Order something.", {"count": {"type": "integer"}})
    again = "What is the weather in London?"
    asked = [*HISTORY, {"role": "assistant", "content": "It is sunny."}]
    return [
        ([*asked, {"role": "user", "content": again}], [order]),
        ([{"role": "user", "content": ONE[0]}], [other]),
        ([{"role": "user", "content": "Call get_weather with city Paris."}], [order]),
    ]


@check(
    "tools.unknown",
    sent="conversations in which get_weather was called and is not offered any more, with logprobs",
    contract="What the model generates does not vanish: the call of a tool that was not offered is "
    "a call, or text; not an empty answer.",
    source=sources.TOOLS,
)
async def unknown(probe: Probe) -> str:
    """Told by the tokens: they are there, and the answer is empty."""
    shown = ""
    for messages, tools in _unknown_prompts():
        body = probe.body(messages, tools=tools)
        try:
            got = await probe.whole({**body, "logprobs": True})
        except VerdictError as error:
            if error.outcome != "not offered":
                raise
            got = await probe.whole(body)
        if lost := tokens_lost(got):
            raise server_fault(f"an empty answer, though the model wrote {quote(lost, 90)}")
        choice = first_choice(got)
        offered = {tool["function"]["name"] for tool in tools}
        marked = any(mark in choice.content for mark in TOOL_MARKS)
        if marked or any(call.name not in offered for call in choice.calls):
            shown = shown_calls(choice)
    if not shown:
        raise not_judged("the model called nothing that was not offered")
    return f"shown: {shown}"


CHECKS = (
    *(choice_none, required, named, thinking, parallel_false),
    *(new_id, no_parameters, result, unknown),
)
