"""A whole answer came, and cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients.errors.base import ClientError

if TYPE_CHECKING:
    from clients.reply import ChatReply, EmptyCause


class AnswerError(ClientError):
    """A whole answer came back and cannot be used; `reply` is the last one."""

    exit_code = 88

    def __init__(self, problem: str, *, reply: ChatReply, action: str | None = None) -> None:
        super().__init__(problem, action=action)
        self.reply = reply

    @property
    def request_id(self) -> str | None:
        """The server's id of the last request."""
        return self.reply.request_id or None


class EmptyAnswerError(AnswerError):
    """The answer has no text; `reply.reasoning` has what the model thought.

    Attributes:
        cause: see `ChatReply.empty_cause`.
    """

    exit_code = 87

    @property
    def cause(self) -> EmptyCause | None:
        """Why the last answer is empty."""
        return self.reply.empty_cause


class MissingToolCallError(AnswerError):
    """`tool_choice` demanded a call of a tool, and the answer has none.

    An error and no mark on the reply: whoever demands a call goes on to read it.
    """

    default_action = "Ask again, or leave the choice to the model with tool_choice='auto'."


class StructuredOutputError(AnswerError):
    """No answer fitted the model class; `tries` were made."""

    default_action = "Allow more with max_tokens or retries, or make the schema simpler."

    def __init__(self, problem: str, *, reply: ChatReply, tries: int) -> None:
        super().__init__(problem, reply=reply)
        self.tries = tries
