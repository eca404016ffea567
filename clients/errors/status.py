"""The server said no."""

from __future__ import annotations

from clients.errors.base import ClientError


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


class RedirectError(StatusError):
    """3xx: the server sends its clients elsewhere. Prompt and key go to the named server alone."""

    default_action = "If you trust the other address, give that as base_url."


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

    default_action = "Check that base_url is that of a chat server: SGLang, or vLLM."


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
