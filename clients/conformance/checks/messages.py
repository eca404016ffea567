"""Messages that are easily lost: roles other than the user's, and the second part of a list.

Judged by the prompt's tokens: whether the model heeds what it was told is its own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clients.conformance import sources
from clients.conformance.contract import check
from clients.conformance.probe import HELLO, Json
from clients.conformance.verdicts import model_fault, not_judged, server_fault

if TYPE_CHECKING:
    from clients.conformance.probe import Probe

_SHORT: Final = "Be brief."
_LONG: Final = f"{_SHORT} {'You keep the books of a small library by the sea. ' * 4}"
# The words that _LONG has more than _SHORT; hardly a tokenizer makes less of two words than one.
_LEAST_TOKENS: Final = 20


async def _prompt_tokens(probe: Probe, messages: list[Json]) -> int:
    got = await probe.whole(probe.body(messages, max_tokens=8))
    count = got.tokens("prompt_tokens")
    if count is None:
        raise not_judged("usage is missing: see usage.adds-up")
    return count


async def _grown(probe: Probe, short: list[Json], long: list[Json]) -> tuple[bool, str]:
    """Whether the longer messages make the longer prompt, and both counts in words."""
    counts = [await _prompt_tokens(probe, messages) for messages in (short, long)]
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


CHECKS = (system, developer, two_parts)
