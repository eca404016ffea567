"""Wire data as SGLang sends it, and a transport that plays it back.

The shapes were printed by SGLang's own classes: `build_sse_content` for role, text and finish
chunks (fields left out, `reasoning_content` always there), `ChatCompletionStreamResponse` for
tool calls, text beside tools, and usage (every field there, mostly null).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from clients import ChatClient, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

URL = "http://sglang.test:8000"
MODEL = "glm-4.5-air"
REQUEST_ID = "9d6f2c1c0e0b4f6f8a3f5b7c2d1e4a60"
USAGE: dict[str, Any] = {
    "prompt_tokens": 11,
    "total_tokens": 18,
    "completion_tokens": 7,
    "prompt_tokens_details": None,
    "reasoning_tokens": 3,
    "completion_tokens_details": {"reasoning_tokens": 3},
}
Json = dict[str, Any]


def chunk(*choices: Json, **fields: object) -> Json:
    """Give the envelope of a chunk."""
    envelope = {
        "id": REQUEST_ID,
        "object": "chat.completion.chunk",
        "created": 1763910000,
        "model": MODEL,
        "choices": list(choices),
    }
    return {**envelope, **fields}


def choice(delta: Json, finish_reason: str | None = None, *, index: int = 0) -> Json:
    """Give the one choice of a chunk."""
    stop = 151336 if finish_reason == "stop" else None
    return {
        "index": index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": finish_reason,
        "matched_stop": stop,
    }


def role() -> Json:
    """Give the first chunk: it goes out together with the first token's."""
    return chunk(choice({"reasoning_content": None, "role": "assistant", "content": ""}))


def reasoning(text: str, *, name: str = "reasoning_content") -> Json:
    """Give a chunk of reasoning."""
    return chunk(choice({name: text}))


def content(text: str) -> Json:
    """Give a chunk of the answer."""
    return chunk(choice({"reasoning_content": None, "content": text}))


def content_beside_tools(text: str) -> Json:
    """Give a chunk of the answer as it looks when the request has tools."""
    return chunk(
        choice({"role": None, "content": text, "reasoning_content": None}),
        usage=None,
    )


def call(
    index: int | None, call_id: str | None = None, name: str | None = None, arguments: object = ""
) -> Json:
    """Give one entry of `tool_calls`."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "index": index, "type": "function", "function": function}


def calls(*entries: Json) -> Json:
    """Give a chunk of tool calls."""
    delta = {"role": None, "content": None, "reasoning_content": None, "tool_calls": list(entries)}
    return chunk(choice(delta), usage=None)


def finish(reason: str = "stop") -> Json:
    """Give the chunk that ends the answer."""
    return chunk(choice({"reasoning_content": None}, reason))


def usage(counts: Json = USAGE) -> Json:
    """Give the last chunk: no choices, all counts."""
    return chunk(usage=counts)


def spec_details() -> Json:
    """Give the extension chunk that `return_spec_tokens_details` asks for."""
    details = {"spec_accept_rate": 0.5, "spec_accept_length": 2.5, "spec_verify_ct": 4}
    return chunk(usage=None, sglext={"spec_tokens_details": details})


def error_event(code: int = 503, message: str = "Scheduler hit an exception.") -> Json:
    """Give the event that stands in a stream for a failure; `[DONE]` still follows it."""
    error = {
        "object": "error",
        "message": message,
        "type": "SERVICE_UNAVAILABLE",
        "param": None,
        "code": code,
    }
    return {"error": error}


def error_body(code: int, message: str, kind: str = "BadRequestError") -> Json:
    """Give the body of an error status: flat, unlike OpenAI's."""
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def sse(*events: Json, done: bool = True) -> bytes:
    """Give the body of a stream."""
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def completion(
    text: str = "Hello.",
    *,
    thoughts: str | None = None,
    tool_calls: list[Json] | None = None,
    finish_reason: str | None = "stop",
    counts: Json | None = USAGE,
) -> Json:
    """Give an answer in one piece."""
    message: Json = {"role": "assistant", "content": text, "reasoning_content": thoughts}
    if tool_calls is not None:
        message["tool_calls"] = tool_calls
    only = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason,
        "matched_stop": None,
    }
    return {
        "id": REQUEST_ID,
        "object": "chat.completion",
        "created": 1763910000,
        "model": MODEL,
        "choices": [only],
        "usage": counts,
        "metadata": {"weight_version": "default"},
    }


class Body(httpx.SyncByteStream):
    """The body of a stream: its parts, then an exception if there is one."""

    def __init__(self, parts: Iterable[bytes], failure: Exception | None = None) -> None:
        self.parts = parts
        self.failure = failure
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self.closed = True


class Server:
    """Answers each request with the next of its answers, the last one again and again."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def body(self) -> Json:
        """The last request's body."""
        decoded: Json = json.loads(self.requests[-1].content)
        return decoded

    def client(
        self,
        *,
        base_url: str | None = URL,
        api_key: str | None = None,
        model: str | None = MODEL,
        retries: int = 0,
        clock_ns: Callable[[], int] = lambda: 0,
    ) -> ChatClient:
        """Give a client that talks to this server."""
        return ChatClient(
            base_url,
            api_key=api_key,
            model=model,
            retry=RetryPolicy(retries=retries, first_pause_seconds=0.001),
            report_acceptance=False,
            http_client=httpx.Client(transport=httpx.MockTransport(self)),
            clock_ns=clock_ns,
        )


def streamed(body: Body | bytes) -> httpx.Response:
    """Give a response that streams."""
    stream = Body([body]) if isinstance(body, bytes) else body
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)


def answered(body: object, status: int = 200) -> httpx.Response:
    """Give a response in one piece."""
    return httpx.Response(status, json=body)
