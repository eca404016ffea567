"""What an answer is refused for: no text, or no call where one was demanded. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients.errors import EmptyAnswerError, MissingToolCallError
from clients.reply import why_empty

if TYPE_CHECKING:
    from clients.reply import ChatReply
    from clients.request import Demand


def empty_answer(reply: ChatReply, base_url: str, *, tries: int = 1) -> EmptyAnswerError:
    """Give the error that names the true cause.

    Args:
        reply: the last answer, which is empty.
        base_url: where it came from.
        tries: how often it was asked for.
    """
    why, action = why_empty(reply)
    again = "" if tries == 1 else f", asked {tries} times"
    return EmptyAnswerError(
        f"The answer from {base_url} is empty{again}: {why}.", reply=reply, action=action
    )


def check_demand(reply: ChatReply, demand: Demand | None) -> None:
    """See that a call that was demanded has come.

    Raises:
        MissingToolCallError: it has not.
    """
    if demand is None or any(demand.name in {None, call.name} for call in reply.tool_calls):
        return
    called = ", ".join(call.name for call in reply.tool_calls)
    if called:
        came, action = f"{called} was called instead", None
    elif reply.empty_cause is not None:
        came, action = why_empty(reply)
    elif reply.finish_reason == "length":
        came, action = "it was cut off at its token limit", "Allow more with max_tokens."
    else:
        came, action = f"the model answered in text ({len(reply.content):,} characters)", None
    raise MissingToolCallError(
        f"tool_choice demanded a call of {demand.name or 'a tool'}, and none came: {came}.",
        reply=reply,
        action=action,
    )
