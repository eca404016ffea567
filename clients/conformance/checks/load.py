"""Many at once, and clients that go away."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

from clients.conformance import sources
from clients.conformance.checks.structured import forced
from clients.conformance.contract import check
from clients.conformance.probe import (
    CHAT,
    HELLO,
    Json,
    answer_in,
    encode,
    first_choice,
    refusal,
)
from clients.conformance.text import quote
from clients.conformance.verdicts import VerdictError, model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.answer import Choice
    from clients.conformance.probe import Probe
    from clients.conformance.wire import Exchange

MANY: Final = 50
LEAVING: Final = 40
"""More streams than most servers run at once: if they are not ended, the next one waits."""

_LONG_TOKENS: Final = 2000
_BASE_SECONDS: Final = 5.0
_TIMES_ALONE: Final = 4.0
_RUNNING = re.compile(
    r"^(?:sglang:num_running_reqs|vllm:num_requests_running)(?:\{[^}]*\})? +(\S+)", re.MULTILINE
)


def _tag(number: int) -> str:
    return f"tag-{number:02d}"


def _tagged(probe: Probe, number: int, *, grammar: bool) -> Json:
    """A request of which every right answer holds its tag, and half are streams."""
    tag = _tag(number)
    options: Json = {"max_tokens": 64}
    if grammar:
        options["response_format"] = forced({"tag": {"type": "string", "enum": [tag]}})
    body = probe.body(f"Say {tag}", **options)
    if number % 2:
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    return body


@check(
    "load.at-once",
    sent=f"{MANY} requests at once, half of them streamed, each with a schema of its own",
    contract="Each gets its own whole answer, with an id of its own; 429 is a clean refusal.",
    source=sources.CHAT,
)
async def at_once(probe: Probe) -> str:
    """A grammar makes each answer name its request, so that a model cannot mix them up."""
    first = await probe.post(_tagged(probe, 0, grammar=True))
    grammar = first.status == 200 and _tag(0) in first.received.decode(errors="replace")
    began = time.monotonic()
    exchanges = await asyncio.gather(
        *(probe.post(_tagged(probe, n, grammar=grammar)) for n in range(MANY))
    )
    seconds = time.monotonic() - began
    silent: dict[int, Choice] = {}
    ids: set[object] = set()
    for number, exchange in enumerate(exchanges):
        own = _examined(number, exchange, silent)
        if shared := own & ids:
            raise server_fault(f"request {number}: id {quote(shared)} is another answer's, too")
        ids |= own
    if silent:
        raise _silence(silent, grammar=grammar)
    return f"all whole, each its own, in {seconds:.1f} s"


def _silence(silent: dict[int, Choice], *, grammar: bool) -> VerdictError:
    """What it means that answers do not hold what their schema leaves no choice but to say."""
    said = f"{len(silent)} of {MANY} do not name their request"
    if not grammar:
        return model_fault(f"{said}; no grammar to force it")
    ended = {n: choice for n, choice in silent.items() if choice.finish != "length"}
    if not ended:
        return model_fault(f"{said}; all were cut off at the limit")
    streams = sum(number % 2 for number in ended)
    number, choice = next(iter(ended.items()))
    return server_fault(
        f"{said}, though a schema forces it; {streams} of these are streams; request {number}: "
        f"content {quote(choice.content, 60)}, finish_reason {quote(choice.finish)}"
    )


def _examined(number: int, exchange: Exchange, silent: dict[int, Choice]) -> set[object]:
    """Hold one answer against its request; returns its ids."""
    if exchange.status == 429:
        raise not_judged(f"request {number}: {refusal(exchange).seen}")
    try:
        answer = answer_in(exchange, streamed=bool(number % 2))
    except VerdictError as error:
        raise server_fault(f"request {number} of {MANY}: {error.seen}") from None
    choice = first_choice(answer)
    tags = set(re.findall(r"tag-\d\d", choice.content))
    if tags - {_tag(number)}:
        raise server_fault(f"request {number} got the answer {quote(choice.content)}")
    if not choice.finish_reasons:
        raise server_fault(f"request {number}: not whole: {quote(choice.content)}")
    if not tags:
        silent[number] = choice
    return answer.ids


async def _running(probe: Probe) -> float | None:
    """How many requests the server says that it runs, by its metrics; `None` if it does not."""
    text = (await probe.send("GET", "/metrics")).received.decode(errors="replace")
    counts = _RUNNING.findall(text)
    try:
        return sum(map(float, counts)) if counts else None
    except ValueError:
        return None


async def _leave(probe: Probe, options: Json) -> int:
    """Open many long streams and close them once they run.

    Returns:
        How many pieces had come by then.

    Raises:
        VerdictError: none of them began.
    """
    begun = asyncio.Event()
    pieces = 0

    def arrived(_: bytes) -> None:
        nonlocal pieces
        pieces += 1
        begun.set()

    bodies = [
        encode({**probe.body(f"Count to {1000 + n}"), "stream": True, **options})
        for n in range(LEAVING)
    ]
    tasks = [
        asyncio.create_task(probe.wire.send("POST", CHAT, content, on_bytes=arrived))
        for content in bodies
    ]
    ended = asyncio.gather(*tasks, return_exceptions=True)
    try:
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait(
            (waiting, *tasks),
            timeout=probe.wire.timeout_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        waiting.cancel()
        # Long enough for the others to get their slots.
        await asyncio.sleep(0.5)
        refused = next((task.result() for task in tasks if _is_refusal(task)), None)
    finally:
        for task in tasks:
            task.cancel()
        await ended
    if refused is not None:
        probe.used.append(refused)
        raise refusal(refused)
    if not pieces:
        raise not_judged("no stream had begun within the time-out")
    return pieces


def _is_refusal(task: asyncio.Task[Exchange]) -> bool:
    return task.done() and not task.cancelled() and task.result().status not in {None, 200}


@check(
    "cancel.frees-slot",
    sent=f"{LEAVING} long streams that are closed once they run, then one short request",
    contract="A request whose client has gone is ended, and its place is free at once (bound: "
    f"{_BASE_SECONDS:g} s and {_TIMES_ALONE:g} times what the short request takes alone; where "
    "/metrics says what runs, nothing does by then).",
    source=sources.ABORT,
)
async def frees_slot(probe: Probe) -> str:
    """Measured by the next request's time, and by the server's own count."""
    body = probe.body(HELLO, max_tokens=16)
    # The first may pay for what the second finds warm.
    await probe.whole(body, again=True)
    alone = (await probe.whole(body, again=True)).exchange.seconds
    bound = _BASE_SECONDS + _TIMES_ALONE * alone
    try:
        await _leave(probe, {"max_tokens": _LONG_TOKENS, "ignore_eos": True})
    except VerdictError as error:
        if error.outcome != "not offered":
            raise
        # Not an extension that this server knows; then the answers are as long as they are.
        await _leave(probe, {"max_tokens": _LONG_TOKENS})
    began = time.monotonic()
    after = (await probe.whole(body, again=True)).exchange.seconds
    said = f"the next took {after:.2f} s, alone {alone:.2f} s, bound {bound:.1f} s"
    if after > bound:
        raise server_fault(said)
    running = await _running(probe)
    while running and time.monotonic() - began < bound:
        await asyncio.sleep(0.25)
        running = await _running(probe)
    if running:
        raise server_fault(f"{running:g} still run after {bound:.1f} s by /metrics; {said}")
    counted = "no count in /metrics" if running is None else "nothing runs by /metrics"
    return f"{said}; {counted}"


CHECKS = (at_once, frees_slot)
