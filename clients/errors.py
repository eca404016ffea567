"""Every way the client can fail, one class for each cause.

Behind some stands the exit code of `python -m clients ask`; the others inherit theirs.

ClientError                   80
├── ConfigurationError         2  an argument or an environment variable makes no sense
├── ServerLookupError         81  no URL was given, and no run record led to one
│   ├── ServerNotFoundError         there is no record of that name
│   ├── ServerNotReadyError   82    there is one, and its state is not READY
│   │   ├── ServerStartingError         STARTING, or about to be started again
│   │   └── ServerUnhealthyError        it lives, and generates nothing
│   └── RunRecordError              it, or its key file, cannot be read
├── TransportError            85  no whole answer came back
│   ├── ServerUnreachableError 83   no connection: refused, unknown host
│   ├── ConnectionLostError         connected, then cut before the answer began
│   ├── RequestTimeoutError   86    too slow before the answer began: of which kind
│   ├── MalformedReplyError         an answer that is not a chat completion
│   └── BrokenStreamError           the stream began and did not end; keeps what had arrived
│       └── StreamTimeoutError 86       it was too slow: of which kind
├── StatusError               84  the server said no; keeps its status, message and body
│   ├── BadRequestError             400: not valid
│   │   └── ContextLengthError          longer than the context, with both lengths
│   ├── AuthenticationError         401
│   ├── PermissionDeniedError       403: this route wants the admin key
│   ├── NotFoundError               404: no such route
│   │   └── ModelNotFoundError          no such model
│   ├── RequestTooLargeError        413
│   ├── UnprocessableEntityError    422
│   ├── RateLimitError              429
│   └── InternalServerError   85    5xx
│       └── ServiceUnavailableError 82  503: starting, draining, or its queue is full
├── AnswerError               88  a whole answer came, and cannot be used; keeps the reply
│   ├── EmptyAnswerError      87    it has no text, and the error says why
│   ├── MissingToolCallError        a call was demanded by tool_choice, and none came
│   ├── StructuredOutputError       it does not fit the asked-for model, try after try
│   └── ToolRoundsError             the model still calls tools after the last round (`tools.calls`)
└── StreamClosedError             a stream was left early, then asked for its whole reply
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from clients.reply import ChatReply, EmptyCause

TimeoutKind = Literal["connect", "write", "pool", "first_token", "between_tokens", "total"]
BreakReason = Literal["connection_lost", "timeout", "server_error", "malformed", "incomplete"]


class ClientError(Exception):
    """A failure: what went wrong, and one thing to do next.

    Args:
        problem: what failed, with the evidence (URL, status, path).
        action: one sentence on what to do next; the class has a default.
    """

    default_action: ClassVar[str] = ""
    exit_code: ClassVar[int] = 80

    def __init__(self, problem: str, *, action: str | None = None) -> None:
        self.problem = problem
        self.action = self.default_action if action is None else action
        super().__init__(f"{problem} {self.action}".strip())


class ConfigurationError(ClientError, ValueError):
    """An argument or an environment variable makes no sense."""

    exit_code = 2


class ServerLookupError(ClientError):
    """No URL was given, and the run record at `path` did not lead to one.

    Attributes:
        path: of the record.
        running: names of the servers that do run on this machine.
    """

    exit_code = 81

    def __init__(
        self,
        problem: str,
        *,
        path: Path,
        action: str | None = None,
        running: tuple[str, ...] = (),
    ) -> None:
        super().__init__(problem, action=action)
        self.path = path
        self.running = running


class ServerNotFoundError(ServerLookupError):
    """There is no run record of that name."""

    default_action = "Start one with: python -m launcher up"


class ServerNotReadyError(ServerLookupError):
    """There is a run record, and its `state` is not READY."""

    default_action = "See how far it is with: python -m launcher status"
    exit_code = 82

    def __init__(
        self,
        problem: str,
        *,
        path: Path,
        state: str,
        action: str | None = None,
        running: tuple[str, ...] = (),
    ) -> None:
        super().__init__(problem, path=path, action=action, running=running)
        self.state = state


class ServerStartingError(ServerNotReadyError):
    """The server is being started, or will be started again in a moment."""

    default_action = "Wait for it; see how far it is with: python -m launcher status"


class ServerUnhealthyError(ServerNotReadyError):
    """The server lives and generates nothing; the launcher will start it again."""

    default_action = "Look for the cause with: python -m launcher logs"


class RunRecordError(ServerLookupError):
    """The run record, or the key file it names, cannot be read."""

    default_action = "Start the server again with: python -m launcher restart"


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

    default_action = "Check that base_url is that of an SGLang server."


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


class StatusError(ClientError):
    """The server answered with an error status.

    Attributes:
        url: what was asked.
        status: HTTP status, or the one in the error event of a stream.
        server_message: the server's own words, whole; empty if it said nothing.
        request_id: from the `x-request-id` header. SGLang sends none, gateways do.
        body: the decoded body, or its text.
        retry_after_seconds: what the server asks to wait, from its Retry-After header.
    """

    exit_code = 84

    def __init__(
        self,
        problem: str,
        *,
        url: str,
        status: int,
        server_message: str,
        request_id: str | None,
        body: object,
        retry_after_seconds: float | None = None,
        action: str | None = None,
    ) -> None:
        super().__init__(problem, action=action)
        self.url = url
        self.status = status
        self.server_message = server_message
        self.request_id = request_id
        self.body = body
        self.retry_after_seconds = retry_after_seconds


class BadRequestError(StatusError):
    """400: the request is not valid."""


class ContextLengthError(BadRequestError):
    """The request is longer than the context.

    Attributes:
        asked_tokens: prompt and, if it was limited, answer together; `None` if not told.
        context_tokens: the model's limit; `None` if not told.
    """

    default_action = "Shorten the conversation, or ask for fewer tokens with max_tokens."
    asked_tokens: int | None = None
    context_tokens: int | None = None


class AuthenticationError(StatusError):
    """401: the key is missing or wrong."""

    default_action = "Pass api_key, or set SPECSERVE_API_KEY."


class PermissionDeniedError(StatusError):
    """403: the key does not open this route."""


class NotFoundError(StatusError):
    """404: no such route."""

    default_action = "Check that base_url is that of an SGLang server."


class ModelNotFoundError(NotFoundError):
    """404: the server has no model of that name."""

    default_action = "Ask models() for the names."


class RequestTooLargeError(StatusError):
    """413: the body is larger than the server, or a proxy before it, takes."""

    default_action = "Send less: shorten the conversation, or its images."


class UnprocessableEntityError(StatusError):
    """422: well-formed, and still not acceptable."""


class RateLimitError(StatusError):
    """429: too many requests."""

    default_action = "Send fewer at once, or try again later."


class InternalServerError(StatusError):
    """5xx: the server failed."""

    exit_code = 85

    default_action = "Look for the cause with: python -m launcher logs"


class ServiceUnavailableError(InternalServerError):
    """503: the server is starting, draining, or its queue is full."""

    default_action = "Try again in a moment."
    exit_code = 82


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


class StreamClosedError(ClientError):
    """A stream was left before its end and then asked for its whole reply."""

    default_action = "Use partial() for what had arrived."
