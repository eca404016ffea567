"""Reasoning, on and off: in a field of its own, without tags, the same both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients.conformance import sources
from clients.conformance.answer import REASONING_FIELDS, Choice, text_of
from clients.conformance.checks.chat import must_keep_limit
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import (
    VerdictError,
    model_fault,
    not_judged,
    not_offered,
    server_fault,
)

if TYPE_CHECKING:
    from clients.conformance.probe import Probe

_TAGS = ("<think>", "</think>", "<|channel|>", "[THINK]")
_SENT = '"Hello" with thinking on, whole and streamed'
_TIGHT_TOKENS = 4


async def _thoughts(probe: Probe) -> tuple[tuple[str, Choice], tuple[str, Choice]]:
    """Both answers, of which one at least has reasoning.

    Raises:
        VerdictError: there is none.
    """
    both = await probe.both(probe.body(HELLO, think=True))
    if not any(choice.reasoning for _, choice in both):
        if any(tag in choice.content for _, choice in both for tag in _TAGS):
            raise not_judged("the reasoning is in the content: see reasoning.field")
        raise not_offered("no reasoning came: not a reasoning model, or one that did not reason")
    return both


@check(
    "reasoning.field",
    sent=_SENT,
    contract="Reasoning comes in reasoning_content (SGLang) or reasoning (vLLM), not in content.",
    source=sources.REASONING,
)
async def own_field(probe: Probe) -> str:
    """Both ways have it, in the same field."""
    try:
        both = await _thoughts(probe)
    except VerdictError as error:
        if error.outcome == "not judged":
            raise server_fault("the reasoning is in the content, with its tags") from None
        raise
    fields = [choice.reasoning_field for _, choice in both]
    if fields[0] != fields[1]:
        raise server_fault(f"whole in {quote(fields[0])}, streamed in {quote(fields[1])}")
    return f"{fields[0]}: {quote(both[0][1].reasoning, 60)}"


@check(
    "reasoning.tags",
    sent=_SENT,
    contract="The tags that set reasoning apart are in neither field.",
    source=sources.REASONING,
)
async def no_tags(probe: Probe) -> str:
    """Neither `<think>` nor `</think>` is left."""
    for name, choice in await _thoughts(probe):
        for field, text in (("reasoning", choice.reasoning), ("content", choice.content)):
            if found := [tag for tag in _TAGS if tag in text]:
                raise server_fault(f"{name}: {found[0]} in the {field}: {quote(text, 60)}")
    return "none in reasoning or content"


@check(
    "reasoning.line-break",
    sent=_SENT,
    contract="The reasoning does not begin with the line break of the chat template.",
    source=sources.REASONING,
)
async def no_line_break(probe: Probe) -> str:
    """The thought begins with the thought."""
    for name, choice in await _thoughts(probe):
        if choice.reasoning.startswith(("\n", "\r")):
            raise server_fault(f"{name}: reasoning {quote(choice.reasoning, 40)}")
    return "none at its beginning"


@check(
    "reasoning.same-streamed",
    sent=_SENT,
    contract="The same greedy request reasons the same, streamed or not.",
    source=sources.REASONING,
)
async def same(probe: Probe) -> str:
    """Compared without tags and outer white space, which have checks of their own."""
    (_, whole), (_, streamed) = await _thoughts(probe)
    if _bare(whole) != _bare(streamed):
        await probe.must_be_steady(probe.body(HELLO, think=True))
        raise server_fault(
            f"whole {quote(_bare(whole)[0], 60)}, streamed {quote(_bare(streamed)[0], 60)}"
        )
    return f"{len(_bare(whole)[0])} characters of reasoning both ways"


def _bare(choice: Choice) -> tuple[str, str]:
    reasoning, content = choice.reasoning, choice.content
    for tag in _TAGS:
        reasoning, content = reasoning.replace(tag, ""), content.replace(tag, "")
    return reasoning.strip(), content.strip()


@check(
    "reasoning.order",
    sent='"Hello" with thinking on, streamed',
    contract="In a stream all reasoning comes before the content.",
    source=sources.REASONING,
)
async def order(probe: Probe) -> str:
    """Reasoning does not come back once the answer has begun."""
    await _thoughts(probe)
    spoke = False
    for chunk in (await probe.stream(probe.body(HELLO, think=True))).chunks:
        for entry in chunk.get("choices") or []:
            delta = entry.get("delta") or {}
            if spoke and any(text_of(delta.get(name)) for name in REASONING_FIELDS):
                raise server_fault(f"reasoning after content: {quote(delta)}")
            spoke = spoke or bool(text_of(delta.get("content")).strip())
    return "reasoning, then content"


@check(
    "reasoning.off",
    sent='"Hello" with chat_template_kwargs enable_thinking false',
    contract="Thinking turned off by the template's switch gives content and no reasoning.",
    source=sources.REASONING,
)
async def off(probe: Probe) -> str:
    """The answer is not taken for a thought."""
    await _thoughts(probe)
    if not probe.can_switch_thinking:
        raise not_offered("chat_template_kwargs is refused")
    for name, choice in await probe.both(probe.body(HELLO)):
        if choice.reasoning.strip():
            if not choice.content.strip():
                raise server_fault(f"{name}: the answer is in the reasoning, the content empty")
            raise model_fault(f"{name}: it reasoned all the same: {quote(choice.reasoning, 60)}")
    return "content, and no reasoning"


@check(
    "reasoning.cut-off",
    sent=f'"Hello" with thinking on and max_tokens {_TIGHT_TOKENS}, whole and streamed',
    contract="Reasoning that is cut off stays in its field, the content is empty, and "
    "finish_reason is length.",
    source=sources.REASONING,
)
async def cut_off(probe: Probe) -> str:
    """Half a thought is not an answer."""
    full = (await _thoughts(probe))[0][1]
    free = await probe.whole(probe.body(HELLO, think=True))
    body = probe.body(HELLO, think=True, max_tokens=_TIGHT_TOKENS)
    for name, got in (("whole", await probe.whole(body)), ("streamed", await probe.stream(body))):
        must_keep_limit(name, got, _TIGHT_TOKENS, free)
        content = first_choice(got).content.strip()
        if content and content in _bare(full)[0]:
            raise server_fault(f"{name}: the thought came as content: {quote(content, 60)}")
    return "in its field, length"


CHECKS = (own_field, no_tags, no_line_break, same, order, off, cut_off)
