"""Models, a plain answer, its usage, and limits of its length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clients.conformance import sources
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.answer import Answer
    from clients.conformance.probe import Probe

_LIMIT = 3


@check(
    "models.list",
    sent="GET /v1/models",
    contract="A list of objects, each with an id; the model that is checked is one of them.",
    source=sources.MODELS,
    required=True,
)
async def listed(probe: Probe) -> str:
    """The list names the model."""
    exchange = await probe.send("GET", "/v1/models")
    try:
        body: Any = exchange.json()
        names = [entry["id"] for entry in body["data"]]
    except (ValueError, TypeError, KeyError):
        raise server_fault(f"status {exchange.status}, and no list of models") from None
    if exchange.status != 200 or body.get("object") != "list":
        raise server_fault(f"status {exchange.status}, object {quote(body.get('object'))}")
    if probe.model not in names:
        raise server_fault(f"{quote(probe.model)} is served and not in {quote(names)}")
    return f"{len(names)} listed, {quote(probe.model)} among them"


@check(
    "chat.answer",
    sent='"Hello", not streamed, temperature 0',
    contract="A chat.completion with id, model, one choice of index 0, role assistant, a finish "
    "reason and an answer.",
    source=sources.OBJECT,
    required=True,
)
async def answer(probe: Probe) -> str:
    """The object has the parts that every client reads."""
    got = await probe.whole(probe.body(HELLO))
    body = got.exchange.json()
    choice = first_choice(got)
    wrong = [
        f"{name} {quote(value)}"
        for name, value, right in (
            ("object", body.get("object"), body.get("object") == "chat.completion"),
            ("id", body.get("id"), isinstance(body.get("id"), str) and body["id"]),
            ("model", body.get("model"), isinstance(body.get("model"), str)),
            ("choices", len(got.choices), len(got.choices) == 1),
            ("index", choice.index, choice.index == 0),
            ("role", choice.role, choice.role == "assistant"),
            ("finish_reason", choice.finish, choice.finish in {"stop", "length"}),
        )
        if not right
    ]
    if wrong:
        raise server_fault(", ".join(wrong))
    if choice.is_empty:
        raise _emptiness(got)
    return f"{quote(choice.content, 60)}, {choice.finish}"


def _emptiness(got: Answer) -> Exception:
    count = got.tokens("completion_tokens") or 0
    if count > 3:
        return server_fault(f"{count} tokens generated, and nothing of them in the answer")
    return model_fault("an empty answer")


@check(
    "chat.content-type",
    sent='"Hello", not streamed',
    contract="The content type of a whole answer is application/json.",
    source=sources.JSON,
    required=True,
)
async def content_type(probe: Probe) -> str:
    """JSON is called JSON."""
    exchange = (await probe.whole(probe.body(HELLO))).exchange
    if not exchange.content_type.lower().startswith("application/json"):
        raise server_fault(f"content type {quote(exchange.content_type)}")
    return exchange.content_type


@check(
    "chat.line-break",
    sent='"Hello", whole and streamed, with thinking off and on',
    contract="The content is the answer; the line break with which a chat template sets it apart "
    "is no part of it (exact matches fail).",
    source=sources.OBJECT,
    required=True,
)
async def line_break(probe: Probe) -> str:
    """The content does not begin with a line break."""
    for think in (False, True):
        for name, choice in await probe.both(probe.body(HELLO, think=think)):
            if choice.content.startswith(("\n", "\r")):
                raise server_fault(f"{name}: content {quote(choice.content, 60)}")
    return "none at its beginning"


@check(
    "chat.text-parts",
    sent='"Hello" as a list of one text part',
    contract="The content of a message may be a list of parts; text parts read as their text.",
    source=sources.CHAT,
)
async def text_parts(probe: Probe) -> str:
    """Both ways of writing a message mean the same."""
    plain = first_choice(await probe.whole(probe.body(HELLO)))
    parts = [{"role": "user", "content": [{"type": "text", "text": HELLO}]}]
    got = await probe.whole(probe.body(parts))
    first = (await probe.whole(probe.body(HELLO))).tokens("prompt_tokens")
    if got.tokens("prompt_tokens") != first:
        raise server_fault(f"prompt of {got.tokens('prompt_tokens')} tokens, as text {first}")
    return f"{quote(first_choice(got).content, 40)}, as text {quote(plain.content, 40)}"


@check(
    "usage.adds-up",
    sent='"Hello", not streamed',
    contract="usage has prompt_tokens, completion_tokens and total_tokens, which is their sum.",
    source=sources.OBJECT,
    required=True,
)
async def adds_up(probe: Probe) -> str:
    """The counts are there and add up."""
    got = await probe.whole(probe.body(HELLO))
    prompt, completion, total = (
        got.tokens(f"{name}_tokens") for name in ("prompt", "completion", "total")
    )
    if prompt is None or completion is None or total is None:
        raise server_fault(f"usage {quote(got.usage)}")
    if prompt < 1 or completion < 1 or prompt + completion != total:
        raise server_fault(f"{prompt} + {completion} given as {total}")
    details = (got.usage or {}).get("completion_tokens_details") or {}
    thought = details.get("reasoning_tokens") if isinstance(details, dict) else None
    if isinstance(thought, int) and thought > completion:
        raise server_fault(f"{thought} reasoning tokens of {completion} in all")
    return f"{prompt} + {completion} = {total}"


@check(
    "usage.same-streamed",
    sent='"Hello", whole and streamed, with thinking off and on',
    contract="The same greedy answer costs the same, streamed or not; the tokens of reasoning are "
    "among the completion tokens.",
    source=sources.CHUNK,
    required=True,
)
async def same_streamed(probe: Probe) -> str:
    """Usage does not depend on streaming, and the tokens of reasoning count both ways."""
    seen = ""
    for think in (False, True):
        body = probe.body(HELLO, think=think)
        whole, streamed = await probe.whole(body), await probe.stream(body)
        if whole.usage is None or streamed.usage is None:
            raise not_judged("usage is missing: see usage.adds-up and stream.usage")
        one, other = first_choice(whole), first_choice(streamed)
        if (one.summary(), one.reasoning) != (other.summary(), other.reasoning):
            line = "reasoning.same-streamed" if think else "greedy.streamed"
            raise not_judged(f"the two answers differ: see {line}")
        counts = [
            tuple(got.tokens(f"{name}_tokens") for name in ("prompt", "completion"))
            for got in (whole, streamed)
        ]
        if counts[0] != counts[1]:
            raise server_fault(
                f"thinking {'on' if think else 'off'}: prompt and completion tokens: "
                f"whole {counts[0]}, stream {counts[1]}"
            )
        seen += f"{', thinking ' if think else ''}{counts[0][0]} and {counts[0][1]}"
    return f"{seen}, both ways"


def must_keep_limit(name: str, got: Answer, limit: int, without: Answer) -> str:
    """Hold an answer against its limit of tokens.

    Args:
        name: which answer it is, in words.
        got: the answer to the request with the limit.
        limit: in tokens.
        without: the answer to the same request with room to end by itself.

    Raises:
        VerdictError: it is longer, or does not say that it was cut off.
    """
    finish, count = first_choice(got).finish, got.tokens("completion_tokens")
    room, of = without.tokens("completion_tokens"), f"{limit} asked for"
    if count is not None and count > limit:
        raise server_fault(f"{name}: {count} tokens, {of}")
    if finish == "length":
        return f"{name}: {'no count of' if count is None else count} tokens, length"
    if room is None:
        raise not_judged(f"{name}: no count of tokens: see usage.adds-up")
    if room <= limit or (count is not None and count < limit):
        raise model_fault(f"{name}: it ended by itself after {count or room} tokens, {of}")
    raise server_fault(f"{name}: finish_reason {quote(finish)} at the limit of {limit} tokens")


async def _limited(probe: Probe, name: str) -> str:
    body = probe.body(HELLO)
    without = await probe.whole(body)
    del body["max_tokens"]
    body[name] = _LIMIT
    seen = []
    for which, got in (("whole", await probe.whole(body)), ("streamed", await probe.stream(body))):
        seen.append(must_keep_limit(which, got, _LIMIT, without))
        count = got.tokens("completion_tokens")
        if count is not None and count != _LIMIT:
            raise server_fault(f"{which}: {count} tokens, length, {_LIMIT} asked for")
    return "; ".join(seen)


@check(
    "limits.max-tokens",
    sent=f'"Hello" with max_tokens {_LIMIT}, whole and streamed',
    contract="The answer has that many tokens at most; cut off, its finish_reason is length.",
    source=sources.CHAT,
    required=True,
)
async def max_tokens(probe: Probe) -> str:
    """The old name of the limit."""
    return await _limited(probe, "max_tokens")


@check(
    "limits.max-completion-tokens",
    sent=f'"Hello" with max_completion_tokens {_LIMIT}, whole and streamed',
    contract="max_completion_tokens is the newer name of max_tokens, and does the same.",
    source=sources.CHAT,
)
async def max_completion_tokens(probe: Probe) -> str:
    """The new name of the limit."""
    return await _limited(probe, "max_completion_tokens")


CHECKS = (
    *(listed, answer, content_type, line_break, text_parts),
    *(adds_up, same_streamed, max_tokens, max_completion_tokens),
)
