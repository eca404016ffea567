"""Messages that are easily lost: roles other than the user's, results, second parts of a list.

Judged by the prompt's tokens: whether the model heeds what it was told is its own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clients.conformance import sources
from clients.conformance.checks.tool_choice import HISTORY
from clients.conformance.checks.tools import WEATHER
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, Json
from clients.conformance.verdicts import model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.probe import Probe

_SHORT: Final = "Be brief."
_LONG: Final = f"{_SHORT} {'You keep the books of a small library by the sea. ' * 4}"
# The words that _LONG has more than _SHORT; hardly a tokenizer makes less of two words than one.
_LEAST_TOKENS: Final = 20


async def _prompt_tokens(probe: Probe, messages: list[Json], **options: Any) -> int:
    got = await probe.whole(probe.body(messages, max_tokens=8, **options))
    count = got.tokens("prompt_tokens")
    if count is None:
        raise not_judged("usage is missing: see usage.adds-up")
    return count


async def _grown(
    probe: Probe, short: list[Json], long: list[Json], **options: Any
) -> tuple[bool, str]:
    """Whether the longer messages make the longer prompt, and both counts in words."""
    counts = [await _prompt_tokens(probe, messages, **options) for messages in (short, long)]
    said = f"prompt of {counts[0]} tokens with the short text, {counts[1]} with the long one"
    return counts[1] - counts[0] >= _LEAST_TOKENS, said


def _told(role: str, text: str) -> list[Json]:
    return [{"role": role, "content": text}, {"role": "user", "content": HELLO}]


@check(
    "messages.system",
    sent='a short and a long system message, each before "Hello"',
    contract="A system message reaches the model: a longer one makes the prompt longer.",
    source=sources.CHAT,
)
async def system(probe: Probe) -> str:
    """Short against long, not with against without: templates have a default of their own."""
    grown, said = await _grown(probe, _told("system", _SHORT), _told("system", _LONG))
    if not grown:
        raise server_fault(f"the system message is lost: {said}")
    return said


@check(
    "messages.developer",
    sent='a short and a long message of the role developer, each before "Hello"',
    contract="The role developer, the newer name of system, is taken, or refused cleanly.",
    source=sources.CHAT,
)
async def developer(probe: Probe) -> str:
    """A chat template that does not know the role may leave it out; that is the model's."""
    grown, said = await _grown(probe, _told("developer", _SHORT), _told("developer", _LONG))
    if not grown:
        if not (await _grown(probe, _told("system", _SHORT), _told("system", _LONG)))[0]:
            raise not_judged("system messages are lost, too: see messages.system")
        raise model_fault(f"its chat template leaves the developer message out: {said}")
    return said


@check(
    "messages.two-parts",
    sent='"Hello" with a short and with a long second text part in one list',
    contract="Each text part of a message's content reaches the model.",
    source=sources.CHAT,
)
async def two_parts(probe: Probe) -> str:
    """The first part alone is `chat.text-parts`."""
    messages = [
        [{"role": "user", "content": [{"type": "text", "text": said} for said in (HELLO, second)]}]
        for second in (_SHORT, _LONG)
    ]
    grown, said = await _grown(probe, *messages)
    if not grown:
        raise server_fault(f"the second part is lost: {said}")
    return said


@check(
    "messages.tool-result",
    sent="a conversation with a call and a short result, and with a long one",
    contract="The result of a call reaches the model.",
    source=sources.TOOLS,
)
async def tool_result(probe: Probe) -> str:
    """What the model makes of it is `tools.result`."""
    messages = [[*HISTORY[:-1], {**HISTORY[-1], "content": said}] for said in (_SHORT, _LONG)]
    grown, said = await _grown(probe, *messages, tools=[WEATHER])
    if not grown:
        raise server_fault(f"the result is lost: {said}")
    return said


CHECKS = (system, developer, two_parts, tool_result)
