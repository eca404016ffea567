"""A typed client for a chat server that SGLang or vLLM runs.

    from clients import ChatClient

    with ChatClient() as client:  # finds the server that the launcher started
        print(client.chat("Hello", thinking=False, max_tokens=48).content)

What lives here: `ChatClient` and `AsyncChatClient` over the openai SDK, tools and structured
output, the frozen replies and stream events that they return, the errors that they raise, and the
reader of the run record by which they find a running server. An app needs the base dependencies
only: no engine, no torch.

    config -> plan -> command -> process -> readiness -> client -> benchmark

Which way imports go: `benchmarks` may import `clients`; `clients` never imports `launcher`. The
two share a file, the run record, and no code.
"""

import logging

from clients.async_chat import AsyncChatClient
from clients.chat import ChatClient
from clients.errors import (
    AnswerError,
    AnswerTooLargeError,
    AuthenticationError,
    BadRequestError,
    BrokenStreamError,
    ClientError,
    ConfigurationError,
    ConnectionLostError,
    ContextLengthError,
    EmptyAnswerError,
    EngineLacksError,
    InternalServerError,
    MalformedReplyError,
    MissingToolCallError,
    ModelNotFoundError,
    NotFoundError,
    NotThatServerError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    RequestTimeoutError,
    RequestTooLargeError,
    RunRecordError,
    ServerGoneError,
    ServerLookupError,
    ServerNotFoundError,
    ServerNotReadyError,
    ServerStartingError,
    ServerUnhealthyError,
    ServerUnreachableError,
    ServiceUnavailableError,
    StatusError,
    StreamClosedError,
    StreamTimeoutError,
    StructuredOutputError,
    TransportError,
    UnprocessableEntityError,
)
from clients.events import (
    Acceptance,
    ContentDelta,
    Done,
    ReasoningDelta,
    Restarted,
    Started,
    StreamEvent,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
    Usage,
)
from clients.flow.effects import RunEvent
from clients.http.engines import EngineInfo
from clients.http.local.run_record import RunRecord, read_run_record, run_record_path
from clients.http.retry import RetryPolicy
from clients.http.server_side import Health, ServerInfo, ServerMetrics
from clients.http.streams.stream import AsyncChatStream, ChatStream
from clients.http.timeouts import Timeouts
from clients.http.transport import AnswerLimits
from clients.reply import ChatReply, EmptyCause, ReplyBuilder, Timings, ToolCall
from clients.request import AskOptions, ChatOptions, EmptyAnswer, Message, Messages, ToolLike
from clients.tools.arguments import Repair
from clients.tools.calls import ArgumentsLost, ToolResult, ToolRoundsError, ToolRun
from clients.tools.tool import Tool, tool

__all__ = [
    "Acceptance",
    "AnswerError",
    "AnswerLimits",
    "AnswerTooLargeError",
    "ArgumentsLost",
    "AskOptions",
    "AsyncChatClient",
    "AsyncChatStream",
    "AuthenticationError",
    "BadRequestError",
    "BrokenStreamError",
    "ChatClient",
    "ChatOptions",
    "ChatReply",
    "ChatStream",
    "ClientError",
    "ConfigurationError",
    "ConnectionLostError",
    "ContentDelta",
    "ContextLengthError",
    "Done",
    "EmptyAnswer",
    "EmptyAnswerError",
    "EmptyCause",
    "EngineInfo",
    "EngineLacksError",
    "Health",
    "InternalServerError",
    "MalformedReplyError",
    "Message",
    "Messages",
    "MissingToolCallError",
    "ModelNotFoundError",
    "NotFoundError",
    "NotThatServerError",
    "PermissionDeniedError",
    "RateLimitError",
    "ReasoningDelta",
    "RedirectError",
    "Repair",
    "ReplyBuilder",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "Restarted",
    "RetryPolicy",
    "RunEvent",
    "RunRecord",
    "RunRecordError",
    "ServerGoneError",
    "ServerInfo",
    "ServerLookupError",
    "ServerMetrics",
    "ServerNotFoundError",
    "ServerNotReadyError",
    "ServerStartingError",
    "ServerUnhealthyError",
    "ServerUnreachableError",
    "ServiceUnavailableError",
    "Started",
    "StatusError",
    "StreamClosedError",
    "StreamEvent",
    "StreamTimeoutError",
    "StructuredOutputError",
    "Timeouts",
    "Timings",
    "Tool",
    "ToolArgumentsDelta",
    "ToolCall",
    "ToolCallDone",
    "ToolCallStarted",
    "ToolLike",
    "ToolResult",
    "ToolRoundsError",
    "ToolRun",
    "TransportError",
    "UnprocessableEntityError",
    "Usage",
    "read_run_record",
    "run_record_path",
    "tool",
]

# Silent until the app sets up logging: what stands there is in docs/clients.md.
logging.getLogger("specserve").addHandler(logging.NullHandler())
