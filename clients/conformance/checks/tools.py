"""Tool calls: whether they come, in all forms of `tool_choice`, whole and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clients.conformance import sources
from clients.conformance.answer import TOOL_MARKS, Answer, Call, Choice
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, Json, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import VerdictError, model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.probe import Probe


def function(
    name: str, description: str, properties: Json | None = None, required: list[str] | None = None
) -> Json:
    """A tool; without properties it has no parameters at all."""
    described: Json = {"name": name, "description": description}
    if properties is not None:
        described["parameters"] = {
            "type": "object",
            "properties": properties,
            "required": list(properties) if required is None else required,
        }
    return {"type": "function", "function": described}


WEATHER = function(
    "get_weather",
    "Get the weather of a city.",
    {"city": {"type": "string"}, "days": {"type": "integer"}},
    ["city"],
)
CLOCK = function("get_time", "Get the current time.")
ONE = (
    "What is the weather in Paris for 3 days?",
    "Call get_weather with city Paris.",
    "Use the tool get_weather to get the weather in Paris.",
)
TWO = (
    "What is the weather in Paris and in London?",
    "Call get_weather twice: with city Paris, and with city London.",
)


def tokens_lost(got: Answer) -> str:
    """What the model wrote though nothing of it can be seen; empty if there is no such thing.

    By the tokens' bytes where they came, else by their number: the token that ends an answer, a
    line break and a tag are nothing that must be seen.
    """
    choice = first_choice(got)
    if not choice.is_empty:
        return ""
    if choice.raw:
        return choice.raw if any(mark in choice.raw for mark in TOOL_MARKS) else ""
    count = got.tokens("completion_tokens") or 0
    return f"{count} tokens" if count > 5 else ""


def must_have_sound_calls(choice: Choice, name: str) -> None:
    """Hold what is there against the finish reason and the text.

    Raises:
        VerdictError: calls without their finish reason or the other way round, or marks in text.
    """
    if mark := next((mark for mark in TOOL_MARKS if mark in choice.content), None):
        raise server_fault(f"{name}: {mark} in the content: {quote(choice.content, 80)}")
    if choice.finish == "tool_calls" and not choice.calls:
        raise server_fault(f"{name}: finish_reason tool_calls, and no call")
    if choice.calls and choice.finish not in {"tool_calls", "length"}:
        raise server_fault(f"{name}: calls, and finish_reason {quote(choice.finish)}")


def must_have_one_name(choice: Choice) -> None:
    """Hold the parts of each call against how clients join them: name to name, text to text.

    Raises:
        VerdictError: a name came more than once.
    """
    for call in choice.calls:
        if len(call.names) > 1:
            raise server_fault(
                f"streamed: {len(call.names)} names of one call: {quote(call.names, 80)}"
            )


async def _called(probe: Probe, wordings: tuple[str, ...], calls: int = 1) -> tuple[Json, Answer]:
    """Do as `_find_call`, for checks that are about something else than whether calls are found."""
    try:
        return await _find_call(probe, wordings, calls)
    except VerdictError as error:
        if error.outcome == "server":
            raise not_judged(f"see tools.one: {error.seen}") from None
        raise


async def _find_call(
    probe: Probe, wordings: tuple[str, ...], calls: int = 1
) -> tuple[Json, Answer]:
    """Ask in one wording after the other until the model calls often enough.

    Returns:
        The request that did it, and the whole answer.

    Raises:
        VerdictError: it never did.
    """
    seen = ""
    for wording in wordings:
        body = probe.body(wording, tools=[WEATHER])
        got = await probe.whole(body)
        choice = first_choice(got)
        if len(choice.calls) >= calls:
            return body, got
        if mark := next((mark for mark in TOOL_MARKS if mark in choice.content), None):
            raise server_fault(f"{mark} in the content, no call: {quote(choice.content, 80)}")
        if choice.finish == "tool_calls" and not choice.calls:
            raise server_fault("finish_reason tool_calls, and no call")
        seen = f"{len(choice.calls)} calls, content {quote(choice.content, 60)}"
    raise model_fault(f"in {len(wordings)} wordings: {seen}")


@check(
    "tools.one",
    sent="a question for the weather with a tool for it, tool_choice auto",
    contract="The call is in tool_calls with id, type function and a name that was offered; "
    "finish_reason is tool_calls; no mark of a call is in the content.",
    source=sources.TOOLS,
)
async def one(probe: Probe) -> str:
    """The parser finds what the model wrote."""
    _, got = await _find_call(probe, ONE)
    choice = first_choice(got)
    must_have_sound_calls(choice, "whole")
    for given in got.exchange.json()["choices"][0]["message"]["tool_calls"]:
        if given.get("type") != "function" or not isinstance(given.get("id"), str):
            raise server_fault(f"id or type of {quote(given)}")
    if choice.calls[0].name != "get_weather":
        raise model_fault(f"it called {quote(choice.calls[0].name)}")
    return f"get_weather({quote(choice.calls[0].arguments, 60)})"


def _arguments(call: Call, name: str) -> dict[str, Any]:
    """The arguments.

    Raises:
        VerdictError: they are not the text of a JSON object.
    """
    if not isinstance(call.arguments, str):
        kind = type(call.arguments).__name__
        raise server_fault(f"{name}: arguments are {kind}, not text: {quote(call.arguments, 60)}")
    value = call.parsed()
    if not isinstance(value, dict):
        raise server_fault(f"{name}: not the text of a JSON object: {quote(call.arguments, 80)}")
    return value


@check(
    "tools.arguments",
    sent="the same, whole and streamed",
    contract="arguments is the text of a JSON object; streamed, its parts join to one.",
    source=sources.OBJECT,
)
async def arguments(probe: Probe) -> str:
    """Text, never an object, never half of one."""
    body, got = await _called(probe, ONE)
    streamed = first_choice(await probe.stream(body))
    for name, choice in (("whole", first_choice(got)), ("streamed", streamed)):
        if choice.finish == "length":
            raise model_fault(f"{name}: cut off at the limit")
        for call in choice.calls:
            _arguments(call, name)
    return quote(first_choice(got).calls[0].arguments, 60)


@check(
    "tools.same-streamed",
    sent="the same, whole and streamed",
    contract="A stream gives the same calls as the whole answer: names, arguments, finish_reason.",
    source=sources.CHUNK,
)
async def same_streamed(probe: Probe) -> str:
    """One call, and two in one answer; where they differ the whole answer is asked for again."""
    seen = []
    for wordings in (ONE, TWO):
        body, got = await _called(probe, wordings)
        whole, streamed = first_choice(got), first_choice(await probe.stream(body))
        if whole.summary() != streamed.summary():
            await probe.must_be_steady(body)
            raise server_fault(f"whole {shown_calls(whole)}, streamed {shown_calls(streamed)}")
        seen.append(f"{len(whole.calls)}")
    return f"{' and '.join(seen)} calls, the same both ways"


def shown_calls(choice: Choice) -> str:
    """The calls, the content beside them and the finish reason, for one line."""
    said = ", ".join(f"{call.name}({call.arguments})" for call in choice.calls)
    return f"{quote(said, 80)} {quote(choice.content.strip(), 40)} {choice.finish}"


@check(
    "tools.several",
    sent="a question for two cities, whole",
    contract="Several calls in one answer come as several entries, each with an id of its own.",
    source=sources.TOOLS,
)
async def several(probe: Probe) -> str:
    """Two calls, two entries."""
    _, got = await _called(probe, TWO, calls=2)
    choice = first_choice(got)
    must_have_sound_calls(choice, "whole")
    ids = [call.id for call in choice.calls]
    if len(set(map(str, ids))) != len(ids):
        raise server_fault(f"ids {quote(ids)}")
    return ", ".join(quote(call.arguments, 40) for call in choice.calls)


@check(
    "tools.indexes",
    sent="a question for two cities, streamed",
    contract="The parts of the calls carry index 0, 1, …; each call has one id, which comes first "
    "with its name, once, and no other call has it.",
    source=sources.CHUNK,
)
async def indexes(probe: Probe) -> str:
    """By these alone a client can tell which call a part belongs to."""
    body, _ = await _called(probe, TWO, calls=2)
    got = await probe.stream(body)
    parts = [
        part
        for chunk in got.chunks
        for entry in chunk.get("choices") or []
        for part in (entry.get("delta") or {}).get("tool_calls") or []
    ]
    given = [part.get("index") for part in parts]
    calls = first_choice(got).calls
    if [call.index for call in calls] != list(range(len(calls))):
        raise server_fault(f"indexes in order of arrival: {quote(given)}")
    opening = [part for part in parts if part.get("id")]
    names = [(part.get("function") or {}).get("name") for part in opening]
    ids = [part.get("id") for part in opening]
    if [part.get("index") for part in opening] != sorted(set(given)):
        raise server_fault(f"{len(ids)} ids under indexes {quote(given)}: each call has one")
    if len(set(map(str, ids))) != len(ids) or not all(names):
        raise server_fault(f"ids {quote(ids)}, names {quote(names)}")
    must_have_one_name(first_choice(got))
    return f"indexes 0 to {len(calls) - 1}, in order"


@check(
    "tools.none-needed",
    sent=f'"{HELLO}" with a tool, tool_choice auto',
    contract="An answer without a call is content; nothing that was generated vanishes.",
    source=sources.TOOLS,
)
async def none_needed(probe: Probe) -> str:
    """Having tools is no reason to call one."""
    got = await probe.whole(probe.body(HELLO, tools=[WEATHER]))
    choice = first_choice(got)
    must_have_sound_calls(choice, "whole")
    if choice.calls:
        raise model_fault(f"it called {shown_calls(choice)}")
    if lost := tokens_lost(got):
        raise server_fault(f"an empty answer, though the model wrote {quote(lost, 80)}")
    return quote(choice.content, 60)


CHECKS = (one, arguments, same_streamed, several, indexes, none_needed)
