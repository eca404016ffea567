"""Every way the client can fail, one class for each cause.

Behind some stands the exit code of `python -m clients ask`; the others inherit theirs.

ClientError                   80
├── ConfigurationError         2  an argument or an environment variable makes no sense
├── EngineLacksError          84  the engine that serves has no such route
├── ServerLookupError         81  no URL was given, and no run record led to one
│   ├── ServerNotFoundError         there is no record of that name
│   ├── ServerGoneError             there is one, and its server and supervisor have ended
│   ├── ServerNotReadyError   82    there is one, and its state is not READY
│   │   ├── ServerStartingError         STARTING, or about to be started again
│   │   └── ServerUnhealthyError        it lives, and generates nothing
│   └── RunRecordError              it, or its key file, cannot be read
├── TransportError            85  no whole answer came back
│   ├── ServerUnreachableError 83   no connection: refused, unknown host
│   │   └── NotThatServerError          another than the record's server listens there
│   ├── ConnectionLostError         connected, then cut before the answer began
│   ├── RequestTimeoutError   86    too slow before the answer began: of which kind
│   ├── MalformedReplyError         an answer that is not a chat completion
│   ├── AnswerTooLargeError    89   it is larger than allowed (`AnswerLimits`)
│   └── BrokenStreamError           the stream began and did not end; keeps what had arrived
│       └── StreamTimeoutError 86       it was too slow: of which kind
├── StatusError               84  the server said no; keeps its status, message and body
│   ├── RedirectError               3xx: it sent us elsewhere, and that is not followed
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

from clients.errors.answer import (
    AnswerError,
    EmptyAnswerError,
    MissingToolCallError,
    StructuredOutputError,
)
from clients.errors.base import (
    ClientError,
    ConfigurationError,
    EngineLacksError,
    StreamClosedError,
)
from clients.errors.lookup import (
    RunRecordError,
    ServerGoneError,
    ServerLookupError,
    ServerNotFoundError,
    ServerNotReadyError,
    ServerStartingError,
    ServerUnhealthyError,
)
from clients.errors.status import (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    InternalServerError,
    ModelNotFoundError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    RequestTooLargeError,
    ServiceUnavailableError,
    StatusError,
    UnprocessableEntityError,
)
from clients.errors.transport import (
    AnswerTooLargeError,
    BreakReason,
    BrokenStreamError,
    ConnectionLostError,
    MalformedReplyError,
    NotThatServerError,
    RequestTimeoutError,
    ServerUnreachableError,
    StreamTimeoutError,
    TimeoutKind,
    TransportError,
)

__all__ = [
    "AnswerError",
    "AnswerTooLargeError",
    "AuthenticationError",
    "BadRequestError",
    "BreakReason",
    "BrokenStreamError",
    "ClientError",
    "ConfigurationError",
    "ConnectionLostError",
    "ContextLengthError",
    "EmptyAnswerError",
    "EngineLacksError",
    "InternalServerError",
    "MalformedReplyError",
    "MissingToolCallError",
    "ModelNotFoundError",
    "NotFoundError",
    "NotThatServerError",
    "PermissionDeniedError",
    "RateLimitError",
    "RedirectError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "RunRecordError",
    "ServerGoneError",
    "ServerLookupError",
    "ServerNotFoundError",
    "ServerNotReadyError",
    "ServerStartingError",
    "ServerUnhealthyError",
    "ServerUnreachableError",
    "ServiceUnavailableError",
    "StatusError",
    "StreamClosedError",
    "StreamTimeoutError",
    "StructuredOutputError",
    "TimeoutKind",
    "TransportError",
    "UnprocessableEntityError",
]
