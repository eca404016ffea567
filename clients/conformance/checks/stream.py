"""A stream: its events, their order, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clients.conformance import sources
from clients.conformance.answer import REASONING_FIELDS, text_of
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import VerdictError, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.answer import Answer
    from clients.conformance.probe import Probe

_LEAST_EVENTS: Final = 20
_LEAST_SECONDS: Final = 1.0
_EARLY: Final = 0.5
_LATE: Final = 0.9
_FEW_TOKENS: Final = 64
_MANY_TOKENS: Final = 512
_SENT = '"Hello", streamed, stream_options include_usage'


async def _hello(probe: Probe) -> Answer:
    return await probe.stream(probe.body(HELLO))


def _parts(got: Answer) -> list[dict[str, Any]]:
    """The chunks' entries for choice 0, in order."""
    entries = [
        entry
        for chunk in got.chunks
        if isinstance(chunk.get("choices"), list)
        for entry in chunk["choices"]
        if isinstance(entry, dict)
    ]
    return [entry for entry in entries if not entry.get("index")]


def _delta(entry: dict[str, Any]) -> dict[str, Any]:
    delta = entry.get("delta")
    return delta if isinstance(delta, dict) else {}


@check(
    "stream.content-type",
    sent=_SENT,
    contract="The content type of a stream is text/event-stream.",
    source=sources.SSE,
    required=True,
)
async def content_type(probe: Probe) -> str:
    """Browsers and proxies treat it as a stream by this alone."""
    given = (await _hello(probe)).exchange.content_type
    if not given.lower().startswith("text/event-stream"):
        raise server_fault(f"content type {quote(given)}")
    return given


@check(
    "stream.events",
    sent=_SENT,
    contract="Lines of UTF-8 are fields of events, each event's data is JSON or [DONE], an empty "
    "line ends each, and each is a chat.completion.chunk.",
    source=sources.SSE,
    required=True,
)
async def events(probe: Probe) -> str:
    """It is a stream of events, and of chunks."""
    got = await _hello(probe)
    if got.problems:
        raise server_fault(f"{quote(got.problems[0])}; {len(got.problems)} in all")
    kinds = {quote(chunk.get("object")) for chunk in got.chunks}
    if kinds != {"'chat.completion.chunk'"}:
        raise server_fault(f"objects: {', '.join(sorted(kinds))}")
    return f"{len(got.chunks)} chunks"


@check(
    "stream.role",
    sent=_SENT,
    contract="The first chunk of a choice has the role assistant; no other role follows.",
    source=sources.CHUNK,
    required=True,
)
async def role(probe: Probe) -> str:
    """Role first."""
    roles = [_delta(entry).get("role") for entry in _parts(await _hello(probe))]
    if roles[0] != "assistant":
        raise server_fault(f"the first delta has role {quote(roles[0])}")
    if others := {str(given) for given in roles if given} - {"assistant"}:
        raise server_fault(f"roles {quote(sorted(others))} follow")
    return "assistant, in the first chunk"


@check(
    "stream.finish",
    sent=_SENT,
    contract="Each choice has exactly one finish_reason.",
    source=sources.CHUNK,
    required=True,
)
async def finish(probe: Probe) -> str:
    """Exactly once."""
    reasons = first_choice(await _hello(probe)).finish_reasons
    if len(reasons) != 1:
        raise server_fault(f"{len(reasons)} finish reasons: {quote(reasons)}")
    return quote(reasons[0])


@check(
    "stream.order",
    sent=_SENT,
    contract="Nothing of a choice follows its finish_reason.",
    source=sources.CHUNK,
    required=True,
)
async def order(probe: Probe) -> str:
    """Clients stop reading at the finish."""
    finished = False
    for entry in _parts(await _hello(probe)):
        delta = _delta(entry)
        texts = [text_of(delta.get(name)) for name in ("content", *REASONING_FIELDS)]
        if finished and (any(texts) or delta.get("tool_calls")):
            raise server_fault(f"after the finish_reason: {quote(delta)}")
        finished = finished or entry.get("finish_reason") is not None
    return "nothing after the finish_reason"


@check(
    "stream.done",
    sent=_SENT,
    contract="A stream ends with one data: [DONE], and nothing follows.",
    source=sources.CHAT,
    required=True,
)
async def done(probe: Probe) -> str:
    """The mark by which a whole stream is told from a broken one."""
    got = await _hello(probe)
    if got.done != 1 or got.after_done:
        raise server_fault(f"{got.done} times [DONE], {got.after_done} events after it")
    return "once, at the end"


@check(
    "stream.id",
    sent=_SENT,
    contract="All chunks of an answer have the same id, the same model, and the same created.",
    source=sources.CHUNK,
    required=True,
)
async def one_id(probe: Probe) -> str:
    """One answer, one id."""
    got = await _hello(probe)
    models = {quote(chunk.get("model")) for chunk in got.chunks}
    if len(got.ids) != 1 or not all(isinstance(name, str) and name for name in got.ids):
        raise server_fault(f"{len(got.ids)} ids: {quote(sorted(map(str, got.ids)))}")
    if len(models) != 1:
        raise server_fault(f"{len(models)} models: {', '.join(sorted(models))}")
    times = dict.fromkeys(quote(chunk.get("created")) for chunk in got.chunks)
    if len(times) != 1:
        raise server_fault(f"{len(times)} values of created: {quote(', '.join(times))}")
    return f"{quote(next(iter(got.ids)))} throughout"


@check(
    "stream.usage",
    sent=_SENT,
    contract="With include_usage one more chunk comes last, with the usage and no choices; in the "
    "others usage is null.",
    source=sources.CHAT,
    required=True,
)
async def usage(probe: Probe) -> str:
    """Tokens cannot be counted by chunks."""
    got = await _hello(probe)
    carrying = [chunk for chunk in got.chunks if chunk.get("usage")]
    if len(carrying) != 1:
        raise server_fault(f"{len(carrying)} chunks with usage")
    if carrying[0].get("choices") or carrying[0] is not got.chunks[-1]:
        raise server_fault("the chunk with usage has choices, or is not the last")
    total = [got.tokens(f"{name}_tokens") for name in ("prompt", "completion", "total")]
    if None in total or (total[0] or 0) + (total[1] or 0) != total[2]:
        raise server_fault(f"usage {quote(got.usage)}")
    return f"{total[0]} + {total[1]} = {total[2]}, in the last chunk"


@check(
    "stream.no-usage",
    sent='"Hello", streamed, no stream_options',
    contract="Without include_usage no chunk comes with empty choices: clients read choices[0].",
    source=sources.CHAT,
    required=True,
)
async def no_usage(probe: Probe) -> str:
    """Old clients index into the choices of every chunk."""
    got = await probe.stream(probe.body(HELLO, stream_options=None))
    empty = [chunk for chunk in got.chunks if not chunk.get("choices")]
    if empty:
        raise server_fault(f"{len(empty)} chunks without choices: {quote(empty[0])}")
    return f"{len(got.chunks)} chunks, each with a choice"


async def _long(probe: Probe, tokens: int) -> Answer:
    """A stream of that many tokens, if the server lets a request ask for them."""
    body = probe.body("Count to 1000", max_tokens=tokens)
    try:
        return await probe.stream({**body, "ignore_eos": True}, again=True)
    except VerdictError as error:
        if error.outcome != "not offered":
            raise
        return await probe.stream(body, again=True)


def _begun(got: Answer) -> float:
    """The share of the whole time after which a tenth of the bytes had come.

    Not the first bytes: a proxy may let the headers and the role through and hold back the rest.
    """
    exchange = got.exchange
    return exchange.seconds_to(0.1) / exchange.seconds if exchange.seconds else 0.0


@check(
    "stream.spread",
    sent=f"a stream of {_FEW_TOKENS} tokens; where most of it comes at its end, two of "
    f"{_MANY_TOKENS} and an answer of one token",
    contract="Chunks are sent as they are generated and not held back until the end (found where a "
    f"stream takes more than {_LEAST_SECONDS:g} s, nine tenths of its bytes come in the last tenth "
    "of that time, and one token alone takes less than half of it).",
    source=sources.CHAT,
)
async def spread(probe: Probe) -> str:
    """Shares of one server's own times: a fast server, or a long queue, is no fault."""
    share = _begun(await _long(probe, _FEW_TOKENS))
    if share < _EARLY:
        return f"a tenth had come after {share:.0%} of the time"
    least = share
    for _ in range(2):
        got = await _long(probe, _MANY_TOKENS)
        seconds = got.exchange.seconds
        least = min(least, _begun(got))
        if least < _LATE:
            return f"a tenth had come after {least:.0%} of the time"
        if len(got.chunks) <= _LEAST_EVENTS or seconds <= _LEAST_SECONDS:
            raise not_judged(f"{len(got.chunks)} chunks in {seconds:.2f} s: too few or too fast")
    body = probe.body("Count to 1000", max_tokens=1)
    alone = (await probe.whole(body, again=True)).exchange.seconds
    said = f"{least:.0%} of {seconds:.2f} s passed until a tenth of {len(got.chunks)} chunks came"
    if alone > seconds / 2:
        raise not_judged(f"{said}; one token alone takes {alone:.2f} s")
    raise server_fault(
        f"{said}, though one token alone takes {alone:.2f} s: the server, or a proxy before it, "
        "holds the stream back"
    )


CHECKS = (
    *(content_type, events, role, finish, order, done, one_id, usage, no_usage),
    *(spread,),
)
