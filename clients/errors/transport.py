"""No whole answer came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from clients.errors.base import ClientError

if TYPE_CHECKING:
    from clients.reply import ChatReply

TimeoutKind = Literal["connect", "write", "pool", "first_token", "between_tokens", "total"]
BreakReason = Literal["connection_lost", "timeout", "server_error", "malformed", "incomplete"]


class TransportError(ClientError):
    """No whole answer came back from `url`."""

    exit_code = 85

    def __init__(self, problem: str, *, url: str, action: str | None = None) -> None:
        super().__init__(problem, action=action)
        self.url = url


class ServerUnreachableError(TransportError):
    """No connection could be made: refused, or no such host."""

    default_action = "Look whether it still runs with: python -m launcher status"
    exit_code = 83


class NotThatServerError(ServerUnreachableError):
    """What listens at a run record's address is not known to be that record's server."""

    default_action = (
        "See `python -m launcher status`, and who has the port: `ss -ltnp`. Where the server runs "
        "in another container, pass base_url and api_key."
    )


class ConnectionLostError(TransportError):
    """The connection was cut before the answer began."""

    default_action = "Look for a crash with: python -m launcher logs"


class RequestTimeoutError(TransportError):
    """The server was too slow before its answer began; `kind` says at what (`Timeouts`)."""

    default_action = "Allow more with timeouts, or ask for fewer tokens."
    exit_code = 86

    def __init__(self, problem: str, *, url: str, kind: TimeoutKind) -> None:
        super().__init__(problem, url=url)
        self.kind = kind


class MalformedReplyError(TransportError):
    """What came back is not what the endpoint promises, so it may be another server."""

    default_action = "Check that base_url is that of a chat server: SGLang, or vLLM."


class AnswerTooLargeError(TransportError):
    """What came back is larger than `AnswerLimits` allows; the rest was not read.

    Attributes:
        limit: the field of `AnswerLimits`; `headers` for the head, which has a fixed bound.
        allowed: its value.
        measured: what had come when it was given up; at least so much.
        partial: what had arrived of a stream; `None` of an answer in one piece.
    """

    default_action = (
        "No model answers so much, so see what serves there. Where it is meant, allow more with "
        "limits=AnswerLimits(...)."
    )
    exit_code = 89

    def __init__(
        self,
        *,
        url: str,
        limit: str,
        allowed: int,
        measured: int,
        partial: ChatReply | None = None,
    ) -> None:
        super().__init__(
            f"The answer from {url} is too large: {limit} is {allowed:,}, and {measured:,} came.",
            url=url,
        )
        self.limit = limit
        self.allowed = allowed
        self.measured = measured
        self.partial = partial


class BrokenStreamError(TransportError):
    """A stream began and did not end.

    Attributes:
        reason: why it stopped.
        partial: what had arrived, with no finish reason.
        status: the HTTP status that the server put into its error event, if it sent one.
    """

    default_action = "What had arrived is in .partial; nothing was repeated."

    def __init__(
        self,
        problem: str,
        *,
        url: str,
        reason: BreakReason,
        partial: ChatReply,
        status: int | None = None,
    ) -> None:
        super().__init__(problem, url=url)
        self.reason = reason
        self.partial = partial
        self.status = status

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, once a first chunk had arrived."""
        return self.partial.request_id or None


class StreamTimeoutError(BrokenStreamError):
    """A stream began and was too slow then; `kind` says at what (`Timeouts`)."""

    exit_code = 86

    def __init__(self, problem: str, *, url: str, partial: ChatReply, kind: TimeoutKind) -> None:
        super().__init__(problem, url=url, reason="timeout", partial=partial)
        self.kind = kind
