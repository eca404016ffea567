"""Requests that are wrong: each must be refused in a way that a client can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients.conformance import sources
from clients.conformance.contract import check
from clients.conformance.probe import CHAT, HELLO, Json, answer_in, encode, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.probe import Probe
    from clients.conformance.wire import Exchange

_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_MOST_CONTEXT_TOKENS = 1_000_000
_UNKNOWN_CONTEXT_TOKENS = 300_000
_NO_MODEL = "no-such-model-of-anyone"
_HALF = b'{"model": "x", "messages": ['
_SHAPE = "with a body that says what is wrong (error.message)"


def _refused(exchange: Exchange, *statuses: int) -> str:
    """Whether it is one of the statuses, or any of 400 to 499 if none is named."""
    if exchange.failure:
        raise server_fault(exchange.failure)
    status = exchange.status or 0
    said = f"status {status}: {quote(exchange.message, 100)}"
    if status == 429:
        raise not_judged(said)
    if status == 200:
        body = exchange.received[:300].decode(errors="replace")
        raise server_fault(f"status 200: {quote(body, 100)}")
    if status not in (statuses or range(400, 500)):
        raise server_fault(said)
    if not exchange.message:
        raise server_fault(f"status {status} without a message")
    return said


@check(
    "errors.model",
    sent="a chat with a model that is not served",
    contract=f"404, {_SHAPE}; never an answer by another model.",
    source=sources.ERRORS,
)
async def unknown_model(probe: Probe) -> str:
    """A typing error in a name must not go unnoticed."""
    body = probe.body(HELLO, model=_NO_MODEL, max_tokens=4)
    # 400 is what OpenAI itself gives where the name cannot be one.
    return _refused(await probe.post(body), 404, 400)


def _too_long(probe: Probe) -> Json:
    tokens = probe.context_tokens or _UNKNOWN_CONTEXT_TOKENS
    if tokens > _MOST_CONTEXT_TOKENS:
        raise not_judged(f"a context of {tokens} tokens is more than this check would fill")
    return probe.body("hello " * (tokens + 16), max_tokens=4)


@check(
    "errors.context-length",
    sent="a prompt longer than the context",
    contract=f"400, {_SHAPE}; the prompt is not cut silently.",
    source=sources.ERRORS,
)
async def context_length(probe: Probe) -> str:
    """A prompt that is cut silently gives a wrong answer."""
    return _refused(await probe.post(_too_long(probe)), 400, 413, 422)


@check(
    "errors.streamed",
    sent="a prompt longer than the context, streamed",
    contract=f"400 before the stream begins, {_SHAPE}; not status 200.",
    source=sources.ERRORS,
)
async def streamed(probe: Probe) -> str:
    """What is known before the first token is told by the status."""
    return _refused(await probe.post({**_too_long(probe), "stream": True}), 400, 413, 422)


@check(
    "errors.malformed",
    sent="half a JSON document",
    contract=f"A status of 400 to 499, {_SHAPE}.",
    source=sources.ERRORS,
)
async def malformed(probe: Probe) -> str:
    """The client's fault is not a fault of the server."""
    return _refused(await probe.send("POST", CHAT, _HALF))


@check(
    "errors.no-messages",
    sent="a chat without messages",
    contract=f"A status of 400 to 499, {_SHAPE}.",
    source=sources.ERRORS,
)
async def no_messages(probe: Probe) -> str:
    """A field that is required."""
    return _refused(await probe.send("POST", CHAT, encode({"model": probe.model})))


@check(
    "errors.body",
    sent="the three requests of errors.model, errors.malformed and errors.no-messages",
    contract="The body of an error is an object in which error is an object with message, not text "
    "(or message stands at the top, as in older servers): clients read error.message.",
    source=sources.ERRORS,
)
async def error_body(probe: Probe) -> str:
    """Statuses are the other lines'; this one is about the shape."""
    judged = 0
    for exchange in (
        await probe.post(probe.body(HELLO, model=_NO_MODEL, max_tokens=4)),
        await probe.send("POST", CHAT, _HALF),
        await probe.send("POST", CHAT, encode({"model": probe.model})),
    ):
        if exchange.failure or not 400 <= (exchange.status or 0) < 500 or exchange.status == 429:
            continue
        judged += 1
        _must_have_message(exchange)
    if not judged:
        raise not_judged("no error came: see the other lines of errors")
    return f"{judged} errors, each an object with its message"


def _must_have_message(exchange: Exchange) -> None:
    try:
        body = exchange.json()
    except ValueError:
        text = exchange.received[:300].decode(errors="replace")
        raise server_fault(f"status {exchange.status}, and no JSON: {quote(text, 100)}") from None
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        kind = f"error is {type(error).__name__}, no object" if error else "no error in it"
        raise server_fault(f"status {exchange.status}, {kind}: {quote(body, 100)}")
    if not isinstance(error.get("message"), str) or not error["message"]:
        raise server_fault(f"status {exchange.status} without a message: {quote(body, 100)}")


@check(
    "errors.max-tokens",
    sent="max_tokens -5",
    contract=f"A status of 400 to 499, {_SHAPE}.",
    source=sources.ERRORS,
)
async def negative_limit(probe: Probe) -> str:
    """A number out of range."""
    return _refused(await probe.post(probe.body(HELLO, max_tokens=-5)))


@check(
    "errors.temperature",
    sent='temperature "hot"',
    contract=f"A status of 400 to 499, {_SHAPE}.",
    source=sources.ERRORS,
)
async def wrong_type(probe: Probe) -> str:
    """A value of another type."""
    return _refused(await probe.post(probe.body(HELLO, temperature="hot")))


@check(
    "errors.schema",
    sent="response_format json_schema of a type that does not exist",
    contract=f"A status of 400 to 499, {_SHAPE}.",
    source=f"{sources.STRUCTURED}; {sources.SCHEMA}",
)
async def bad_schema(probe: Probe) -> str:
    """The grammar's compiler may fail, the server may not."""
    schema = {"name": "answer", "strict": True, "schema": {"type": "no-such-type"}}
    wanted = {"type": "json_schema", "json_schema": schema}
    return _refused(await probe.post(probe.body(HELLO, response_format=wanted, max_tokens=16)))


@check(
    "errors.tool-history",
    sent="an earlier tool call whose arguments are not JSON",
    contract="An answer, or a status of 400 to 499; not a failure of the server.",
    source=sources.TOOLS,
)
async def tool_history(probe: Probe) -> str:
    """Models write such calls, and clients send them back."""
    function = {"name": "get_time", "arguments": "{not json"}
    call = {"id": "call_1", "type": "function", "function": function}
    messages: list[Json] = [
        {"role": "user", "content": HELLO},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    ]
    return _answered_or_refused(await probe.post(probe.body(messages, max_tokens=8)))


def _answered_or_refused(exchange: Exchange) -> str:
    if exchange.status != 200:
        return _refused(exchange)
    answer_in(exchange, streamed=False)
    return "status 200: answered"


@check(
    "errors.image",
    sent="an image of one pixel",
    contract=f"An answer by a model that can see; else a status of 400 to 499, {_SHAPE}, not 500.",
    source=sources.ERRORS,
)
async def image(probe: Probe) -> str:
    """A text model has no eyes, and says so."""
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": _PIXEL}},
    ]
    body = probe.body([{"role": "user", "content": content}], max_tokens=8)
    return _answered_or_refused(await probe.post(body))


@check(
    "errors.embeddings",
    sent="POST /v1/embeddings with the chat model",
    contract=f"Embeddings if it has them; else a status of 400 to 499 or 501, {_SHAPE}.",
    source=sources.EMBEDDINGS,
)
async def embeddings(probe: Probe) -> str:
    """A chat model has none."""
    exchange = await probe.post({"model": probe.model, "input": HELLO}, "/v1/embeddings")
    if exchange.status == 200 and b'"embedding"' in exchange.received:
        return "status 200: embeddings"
    # A route that does not exist may be told in any words.
    if exchange.status in {404, 405}:
        return f"status {exchange.status}: no such route"
    return _refused(exchange, *range(400, 500), 501)


@check(
    "errors.alive",
    sent='"Hello", after all of the above',
    contract="Wrong requests do no harm to right ones.",
    source=sources.CHAT,
    required=True,
)
async def alive(probe: Probe) -> str:
    """Some kill the scheduler."""
    got = await probe.whole(probe.body(HELLO), again=True)
    return f"answered: {quote(first_choice(got).content, 60)}"


CHECKS = (
    *(unknown_model, context_length, streamed, malformed, no_messages, error_body),
    *(negative_limit, wrong_type, bad_schema, tool_history, image, embeddings, alive),
)
