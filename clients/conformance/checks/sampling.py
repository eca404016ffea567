"""Stop words, log probabilities, several choices, and what greedy decoding promises."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from clients.conformance import sources
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import VerdictError, model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.answer import Answer, Choice
    from clients.conformance.probe import Probe

_TOP = 3
_TOKENS = 5
_N_TOKENS = 16
_SAMPLED = 0.7
_ROOM_TOKENS = 512
_NEVER = "\u2603never\u2603"


async def _reference(probe: Probe) -> str:
    """The answer without stop words, long enough to be stopped in."""
    text = first_choice(await probe.whole(probe.body(HELLO))).content.strip()
    if len(text.split()) < 3:
        raise model_fault(f"too short an answer to stop in: {quote(text)}")
    return text


async def _stopped(probe: Probe, word: str, stop: str | list[str]) -> str:
    """Ask with stop words, of which `word` is the one that occurs."""
    reference = await _reference(probe)
    expected = reference[: reference.index(word)].rstrip()
    for name, choice in await probe.both(probe.body(HELLO, stop=stop)):
        got = choice.content.strip()
        if word in choice.content:
            raise server_fault(f"{name}: {quote(word)} is in the answer: {quote(choice.content)}")
        if got == expected and choice.finish == "stop":
            continue
        await probe.must_be_steady(probe.body(HELLO))
        if choice.finish != "stop":
            raise server_fault(f"{name}: finish_reason {quote(choice.finish)}")
        if expected.startswith(got):
            raise server_fault(f"{name}: {quote(got)}, which lacks a part of {quote(expected)}")
        raise server_fault(f"{name}: {quote(got)}, expected {quote(expected)}")
    return f"stopped before {quote(word)}: {quote(expected, 60)}"


@check(
    "stop.word",
    sent="the greedy prompt with a word of its answer as stop, whole and streamed",
    contract="The answer ends before the stop word, which is not in it; finish_reason is stop.",
    source=sources.CHAT,
)
async def stop_word(probe: Probe) -> str:
    """The last word of the answer, without its mark."""
    word = (await _reference(probe)).split()[-1]
    return await _stopped(probe, word, word)


@check(
    "stop.list",
    sent="the same with a list, of which the second occurs",
    contract="stop may be a list of up to 4 texts; the first that occurs ends the answer.",
    source=sources.CHAT,
)
async def stop_list(probe: Probe) -> str:
    """A list, of which one never occurs."""
    word = (await _reference(probe)).split()[-1]
    return await _stopped(probe, word, [_NEVER, word])


@check(
    "stop.spanning",
    sent="the same with a text from the middle of one word into the next",
    contract="A stop text need not begin or end with a token; nothing of it is streamed.",
    source=sources.CHAT,
)
async def stop_spanning(probe: Probe) -> str:
    """It begins and ends within words, and so within tokens of most tokenizers."""
    words = (await _reference(probe)).split(" ")
    left, right = next(
        ((left, right) for left, right in pairwise(words[1:]) if len(left) > 1 and len(right) > 1),
        (words[-2], words[-1]),
    )
    text = f"{left[len(left) // 2 :]} {right[: max(1, len(right) // 2)]}"
    return await _stopped(probe, text, text)


@check(
    "stop.newline",
    sent='"Hello" with stop ["\\n"]',
    contract="The answer's first line comes back: a line break that the chat template sets before "
    "the answer is no part of it and does not stop it.",
    source=sources.CHAT,
)
async def stop_newline(probe: Probe) -> str:
    """A common stop word of evaluations."""
    line = (await _reference(probe)).split("\n", 1)[0].rstrip()
    got = first_choice(await probe.whole(probe.body(HELLO, stop=["\n"])))
    if got.content.strip() != line:
        await probe.must_be_steady(probe.body(HELLO))
        raise server_fault(f"{quote(got.content)}, expected {quote(line)}")
    return quote(line, 60)


async def _scored(probe: Probe, *, streamed: bool) -> tuple[Answer, Choice]:
    """An answer with its scores; where reasoning used all tokens up, one with room for it.

    Raises:
        VerdictError: no scores came, or nothing that they could be of.
    """
    for limit in (_TOKENS, _ROOM_TOKENS):
        body = probe.body(HELLO, logprobs=True, top_logprobs=_TOP, max_tokens=limit)
        got = await (probe.stream(body) if streamed else probe.whole(body))
        choice = first_choice(got)
        if choice.logprobs:
            return got, choice
        if choice.content.strip() or not choice.reasoning.strip():
            raise server_fault("logprobs were asked for, and none came")
    raise not_judged(f"it reasons, and no answer begins within {_ROOM_TOKENS} tokens")


def _least_scores(got: Answer, count: int) -> int:
    """How many of the tokens must have a score.

    Raises:
        VerdictError: it reasoned, and how many tokens that took is not said.
    """
    choice = first_choice(got)
    # The token that ends an answer may be left out.
    least = count - (choice.finish == "stop")
    if not choice.reasoning:
        return least
    usage = got.usage or {}
    details = usage.get("completion_tokens_details")
    thought = (details if isinstance(details, dict) else usage).get("reasoning_tokens")
    if not isinstance(thought, int):
        raise not_judged("it reasoned, and usage does not say with how many of the tokens")
    # Servers that score the answer alone leave the tags out, too.
    return least - thought - 2


def _as_probability(entry: dict[str, Any]) -> float:
    """Its probability.

    Raises:
        VerdictError: it has none.
    """
    value = entry.get("logprob")
    if not isinstance(value, int | float) or math.isnan(value) or value > 1e-6:
        raise server_fault(f"logprob {quote(value)} of token {quote(entry.get('token'))}")
    return math.exp(max(value, -1e4))


@check(
    "logprobs.values",
    sent=f'"Hello" with logprobs, top_logprobs {_TOP}, max_tokens {_TOKENS}',
    contract="Each token has a logprob of at most 0 and its top_logprobs, whose probabilities sum "
    "to at most 1; the greedy token is the likeliest.",
    source=sources.OBJECT,
)
async def logprob_values(probe: Probe) -> str:
    """Numbers, and what they may add up to."""
    _, choice = await _scored(probe, streamed=False)
    largest = 0.0
    for entry in choice.logprobs:
        own = _as_probability(entry)
        top = entry.get("top_logprobs")
        if not isinstance(top, list) or not 1 <= len(top) <= _TOP:
            raise server_fault(f"top_logprobs {quote(top)}, {_TOP} asked for")
        likely = [_as_probability(other) for other in top if isinstance(other, dict)]
        largest = max(largest, sum(likely))
        if sum(likely) > 1.001:
            raise server_fault(f"probabilities of {quote(entry.get('token'))} sum to {sum(likely)}")
        if own < max(likely) - 1e-3:
            raise server_fault(f"{quote(entry.get('token'))} was drawn, and is not the likeliest")
    return f"{len(choice.logprobs)} tokens, each the likeliest; the largest sum {largest:.4f}"


@check(
    "logprobs.count",
    sent=f'"Hello" with logprobs, max_tokens {_TOKENS}, whole and streamed',
    contract="There is one entry for each token that was generated, streamed or not; those of the "
    "reasoning may be left out.",
    source=sources.OBJECT,
)
async def logprob_count(probe: Probe) -> str:
    """Under speculation several tokens come in a chunk, and each has its entry."""
    for streamed in (False, True):
        got, choice = await _scored(probe, streamed=streamed)
        count = got.tokens("completion_tokens")
        if count is None:
            raise not_judged("usage is missing: see usage.adds-up and stream.usage")
        if not _least_scores(got, count) <= len(choice.logprobs) <= count:
            name = "streamed" if streamed else "whole"
            raise server_fault(f"{name}: {len(choice.logprobs)} entries for {count} tokens")
    return f"{len(choice.logprobs)} entries for {count} tokens both ways"


@check(
    "logprobs.bytes",
    sent=f'"Hello" with logprobs, max_tokens {_TOKENS}',
    contract="bytes is null or a list of the token's bytes; joined they are the answer's text.",
    source=sources.OBJECT,
)
async def logprob_bytes(probe: Probe) -> str:
    """Tokens of half a character can be told by their bytes alone."""
    _, choice = await _scored(probe, streamed=False)
    for entry in choice.logprobs:
        given = entry.get("bytes")
        if given is not None and not (
            isinstance(given, list) and all(isinstance(b, int) and 0 <= b < 256 for b in given)
        ):
            raise server_fault(f"bytes {quote(given)} of {quote(entry.get('token'))}")
    text = choice.content.strip()
    if text not in choice.raw:
        raise server_fault(f"the bytes read {quote(choice.raw)}, the content {quote(text)}")
    return quote(choice.raw, 60)


async def _two(probe: Probe, *, streamed: bool) -> Answer:
    """An answer of two choices: greedy, or sampled where greedy ones are refused, as by vLLM."""
    ask = probe.stream if streamed else probe.whole
    try:
        return await ask(probe.body(HELLO, n=2, max_tokens=_N_TOKENS))
    except VerdictError as error:
        if error.outcome != "not offered":
            raise
        sampled = probe.body(HELLO, n=2, max_tokens=_N_TOKENS, temperature=_SAMPLED)
        return await ask(sampled)


def _all_choices(got: Answer) -> list[Choice]:
    indexes = sorted(str(choice.index) for choice in got.choices)
    if indexes != ["0", "1"]:
        raise server_fault(f"2 choices asked for; indexes that came: {quote(indexes)}")
    for choice in got.choices:
        if not choice.finish_reasons or choice.is_empty:
            raise server_fault(
                f"choice {choice.index} is empty, or has no finish_reason of its own"
            )
    return got.choices


@check(
    "n.whole",
    sent='"Hello" with n 2',
    contract="Two choices come, with indexes 0 and 1, each with an answer and a finish_reason.",
    source=sources.CHAT,
)
async def n_whole(probe: Probe) -> str:
    """Not one choice, and not the same one twice."""
    choices = _all_choices(await _two(probe, streamed=False))
    return ", ".join(quote(choice.content, 40) for choice in choices)


@check(
    "n.streamed",
    sent='"Hello" with n 2, streamed',
    contract="The chunks of both choices are told apart by their index; each is whole.",
    source=sources.CHUNK,
)
async def n_streamed(probe: Probe) -> str:
    """The same, in pieces."""
    choices = _all_choices(await _two(probe, streamed=True))
    return ", ".join(quote(choice.content, 40) for choice in choices)


@check(
    "n.id",
    sent='"Hello" with n 2, streamed',
    contract="Each chunk has the same id, whichever choice it belongs to.",
    source=sources.CHUNK,
)
async def n_id(probe: Probe) -> str:
    """Clients put the pieces of an answer together by its id."""
    got = await _two(probe, streamed=True)
    if len(got.ids) != 1:
        raise server_fault(f"{len(got.ids)} ids: {quote(sorted(map(str, got.ids)))}")
    return "one id"


@check(
    "n.usage",
    sent='"Hello" with n 2, whole and streamed, and with n 1',
    contract="completion_tokens counts the tokens of all choices.",
    source=sources.OBJECT,
)
async def n_usage(probe: Probe) -> str:
    """Two choices that read as the one alone cost twice as much."""
    alone = await probe.whole(probe.body(HELLO, max_tokens=_N_TOKENS))
    single, cost = first_choice(alone), alone.tokens("completion_tokens")
    for name, streamed in (("whole", False), ("streamed", True)):
        got = await _two(probe, streamed=streamed)
        count = got.tokens("completion_tokens")
        if count is None or cost is None:
            raise not_judged("usage is missing: see usage.adds-up and stream.usage")
        if [choice.index for choice in got.choices] not in ([0, 1], [1, 0]):
            raise not_judged("not two choices: see n.whole and n.streamed")
        if all(choice.finish == "length" for choice in got.choices):
            due = 2 * _N_TOKENS
        elif all(_said(choice) == _said(single) for choice in got.choices):
            due = 2 * cost
        elif count <= cost:
            raise not_judged(f"{name}: other answers than with n 1, {count} tokens for both")
        else:
            due = count
        if count != due:
            raise server_fault(f"{name}: {count} completion tokens for 2 choices of {due // 2}")
    return f"{count} completion tokens for both choices, {cost} for one alone"


def _said(choice: Choice) -> tuple[object, ...]:
    return (choice.summary(), choice.reasoning.strip())


@check(
    "greedy.repeated",
    sent="the same greedy request twice, one after the other",
    contract="At temperature 0 with the same seed the same request gives the same answer (best "
    "effort: batching may change the last bits).",
    source=sources.SEED,
)
async def repeated(probe: Probe) -> str:
    """Speculation must not change what greedy decoding gives."""
    body = probe.body(HELLO)
    first = first_choice(await probe.whole(body))
    second = first_choice(await probe.whole(body, again=True))
    if (first.summary(), first.reasoning) != (second.summary(), second.reasoning):
        raise server_fault(f"{quote(first.content, 70)}, then {quote(second.content, 70)}")
    return quote(first.content, 60)


@check(
    "greedy.streamed",
    sent="the same greedy request, whole and streamed",
    contract="A stream adds up to the answer that comes in one piece: content, finish_reason.",
    source=sources.CHUNK,
    required=True,
)
async def streamed_equal(probe: Probe) -> str:
    """Outer white space is not compared: `chat.line-break` is about that."""
    body = probe.body(HELLO)
    (_, whole), (_, stream) = await probe.both(body)
    if whole.summary() != stream.summary():
        await probe.must_be_steady(body)
        raise server_fault(
            f"whole {quote(whole.content, 70)}, streamed {quote(stream.content, 70)}"
        )
    return quote(whole.content, 60)


CHECKS = (
    *(stop_word, stop_list, stop_spanning, stop_newline),
    *(logprob_values, logprob_count, logprob_bytes),
    *(n_whole, n_streamed, n_id, n_usage, repeated, streamed_equal),
)
