"""A client in front of vLLM: what that tells and lacks. Wire data as vllm 0.32.0 sends it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients import (
    AsyncChatClient,
    BrokenStreamError,
    ChatClient,
    ContextLengthError,
    EngineLacksError,
    ModelNotFoundError,
    NotFoundError,
    ServerMetrics,
)
from tests.unit.clients.wire import MODEL, Server, answered, streamed

if TYPE_CHECKING:
    from collections.abc import Callable

NO_ROUTE = httpx.Response(404, json={"detail": "Not Found"})
MODELS = httpx.Response(
    200, json={"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "vllm"}]}
)
OF_SGLANG = httpx.Response(
    200, json={"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "sglang"}]}
)
VERSION = httpx.Response(200, json={"version": "0.32.0"})
METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="nano"}} 2.0
vllm:num_requests_running{{engine="1",model_name="nano"}} 1.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="nano"}} 0.25
# HELP vllm:request_success Count of successfully processed requests.
# TYPE vllm:request_success counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="nano"}} 113.0
vllm:request_success_total{{engine="0",finished_reason="length",model_name="nano"}} 24.0
# HELP vllm:spec_decode_num_drafts Number of spec decoding drafts.
# TYPE vllm:spec_decode_num_drafts counter
vllm:spec_decode_num_drafts_total{{engine="0",model_name="nano"}} {drafts}
# HELP vllm:spec_decode_num_draft_tokens Number of draft tokens.
# TYPE vllm:spec_decode_num_draft_tokens counter
vllm:spec_decode_num_draft_tokens_total{{engine="0",model_name="nano"}} {proposed}
# HELP vllm:spec_decode_num_accepted_tokens Number of accepted tokens.
# TYPE vllm:spec_decode_num_accepted_tokens counter
vllm:spec_decode_num_accepted_tokens_total{{engine="0",model_name="nano"}} {accepted}
# HELP vllm:spec_decode_num_accepted_tokens_per_pos Accepted tokens per draft position.
# TYPE vllm:spec_decode_num_accepted_tokens_per_pos counter
vllm:spec_decode_num_accepted_tokens_per_pos_total{{engine="0",position="1"}} 493.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{{engine="0",position="0"}} 612.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{{engine="0",position="10"}} 1.0
"""


def metrics(drafts: int = 712, proposed: int = 2006, accepted: int = 1584) -> ServerMetrics:
    return ServerMetrics.from_text(
        METRICS.format(drafts=drafts, proposed=proposed, accepted=accepted)
    )


def chunk(delta: dict[str, Any], finish: str | None = None, stop: str | None = None) -> str:
    """A chunk as vLLM sends it; `stop_reason` is where SGLang has `matched_stop`."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    if finish is not None:
        choice["stop_reason"] = stop
    body = {
        "id": "chatcmpl-8a2e",
        "object": "chat.completion.chunk",
        "created": 1796031404,
        "model": MODEL,
        "choices": [choice],
    }
    return f"data: {json.dumps(body)}\n\n"


def test_an_engine_is_recognised_by_what_it_answers() -> None:
    engine = Server(MODELS, VERSION).client().engine()

    assert (engine.name, engine.version, str(engine)) == ("vllm", "0.32.0", "vLLM 0.32.0")


def test_sglang_tells_its_version_by_another_route() -> None:
    server = Server(OF_SGLANG, httpx.Response(200, json={"version": "0.5.23"}))

    assert str(server.client().engine()) == "SGLang 0.5.23"
    assert [request.url.path for request in server.requests] == ["/v1/models", "/server_info"]


def test_an_engine_that_tells_no_version_has_a_name_all_the_same() -> None:
    assert str(Server(MODELS, NO_ROUTE).client().engine()) == "vLLM"


@pytest.mark.parametrize("route", ["/server_info", "/abort_request"])
def test_what_vllm_lacks_is_an_error_that_says_so(route: str) -> None:
    answers = [NO_ROUTE, NO_ROUTE] if route == "/server_info" else [NO_ROUTE]
    client = Server(*answers, MODELS, VERSION).client()

    ask: Callable[[], object] = (
        client.server_info if route == "/server_info" else lambda: client.abort("one")
    )

    with pytest.raises(EngineLacksError, match=r"vLLM 0\.32\.0 at .* has no route") as caught:
        ask()

    assert (caught.value.engine, caught.value.route) == ("vllm", route)
    assert caught.value.action


def test_a_route_that_another_engine_lacks_is_not_put_down_to_vllm() -> None:
    with pytest.raises(NotFoundError, match="close the stream"):
        Server(NO_ROUTE, OF_SGLANG, VERSION).client().abort("one")


def test_it_takes_requests_while_its_core_lives() -> None:
    alive = Server(NO_ROUTE, httpx.Response(200))

    assert alive.client().ready()
    assert [request.url.path for request in alive.requests] == ["/ready", "/health"]
    assert not Server(NO_ROUTE, NO_ROUTE).client().ready()
    assert not Server(NO_ROUTE, httpx.Response(503)).client().ready()


def test_metrics_have_the_same_fields_and_the_counters_of_speculation() -> None:
    seen = metrics()

    assert (seen.running_requests, seen.kv_cache_used_fraction, seen.requests) == (3, 0.25, 137)
    assert (seen.verify_rounds, seen.draft_tokens, seen.accepted_tokens) == (712, 2006, 1584)
    assert seen.accepted_per_position == (612, 493, 1)  # by number, not by text
    assert seen.acceptance_length == pytest.approx(1 + 1584 / 712)
    assert seen.acceptance_rate == pytest.approx(1584 / 2006)
    assert seen.generation_tokens_per_second is None


def test_acceptance_is_the_difference_of_two_looks() -> None:
    before, after = metrics(), metrics(712 + 4, 2006 + 12, 1584 + 10)

    acceptance = after.acceptance_since(before)

    assert acceptance is not None
    assert acceptance.length == 1 + 10 / 4
    assert acceptance.rate == pytest.approx(10 / 12)
    assert acceptance.verify_rounds == 4


@given(st.tuples(*[st.integers(0, 10_000)] * 6))
def test_what_counters_cannot_say_is_no_acceptance(counts: tuple[int, ...]) -> None:
    before, after = metrics(*counts[:3]), metrics(*counts[3:])

    acceptance = after.acceptance_since(before)

    if acceptance is not None:
        assert counts[3] > counts[0]
        assert acceptance.length >= 1
        assert acceptance.rate >= 0
    assert before.acceptance_since(before) is None
    assert ServerMetrics().acceptance_since(before) is None


CUT = (
    chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hel"}) + "data: [DONE]\n\n"
).encode()


def test_a_stream_that_is_cut_short_and_says_its_end_is_broken() -> None:
    stream = Server(streamed(CUT)).client().stream("Hello")

    with pytest.raises(BrokenStreamError) as caught:
        stream.reply()

    assert caught.value.reason == "incomplete"
    assert caught.value.partial.content == "Hel"


def test_so_it_is_for_asyncio() -> None:
    async def read() -> None:
        async def answer(request: httpx.Request) -> httpx.Response:  # noqa: ARG001
            return httpx.Response(200, content=CUT, headers={"content-type": "text/event-stream"})

        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        async with AsyncChatClient("http://vllm.test", model=MODEL, http_client=http) as client:
            await client.stream("Hello").reply()

    with pytest.raises(BrokenStreamError, match="finish reason"):
        asyncio.run(read())


def test_its_reasoning_and_the_stop_text_that_ended_it_are_read() -> None:
    body = (
        chunk({"role": "assistant", "content": ""})
        + chunk({"reasoning": "\nGre"})
        + chunk({"reasoning": "et."})
        + chunk({"content": "\nHel"}, "stop", "lo")
        + "data: [DONE]\n\n"
    )

    reply = Server(streamed(body.encode())).client().stream("Hello", stop=["lo"]).reply()

    assert (reply.reasoning, reply.content, reply.matched_stop) == ("Greet.", "Hel", "lo")


def test_the_mark_before_its_reasoning_is_taken_off_in_one_piece_too() -> None:
    message = {"role": "assistant", "content": "Hi", "reasoning": "\n<think>Greet."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "stop_reason": None}
    body = {"id": "chatcmpl-1", "model": MODEL, "choices": [choice], "usage": None}

    assert Server(answered(body)).client().chat("Hello").reasoning == "Greet."


PROMPT = (
    "This model's maximum context length is 8192 tokens. However, your prompt contains "
    "{what}, which exceeds this limit even without any output tokens. Please reduce the length of "
    "the input prompt. (parameter=input_tokens, value=8193)"
)

ANSWER = (
    "max_completion_tokens=9000 cannot be greater than max_model_len=8192. Please request fewer."
)
OLDER = "This model's maximum context length is 8192 tokens. However, you requested 9001 tokens."


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        (PROMPT.format(what="at least 8193 input tokens"), 8193),
        (PROMPT.format(what="9000 input tokens"), 9000),
        (PROMPT.format(what="1800034 characters (more than 1310720 characters)"), None),
        (ANSWER, 9000),
        (OLDER, 9001),
    ],
)
def test_a_request_that_is_too_long_tells_both_lengths(message: str, asked: int | None) -> None:
    refused = answered({"error": {"message": message, "type": "BadRequestError", "code": 400}}, 400)

    with pytest.raises(ContextLengthError) as caught:
        Server(refused).client().chat("Hello")

    assert (caught.value.asked_tokens, caught.value.context_tokens) == (asked, 8192)


def test_a_model_that_it_has_not_is_told_from_a_route_that_it_has_not() -> None:
    error = {"message": "The model `x` does not exist.", "param": "model", "code": 404}

    with pytest.raises(ModelNotFoundError):
        Server(answered({"error": error}, 404)).client().chat("Hello")
    with pytest.raises(NotFoundError) as caught:
        Server(NO_ROUTE).client().chat("Hello")
    assert not isinstance(caught.value, ModelNotFoundError)


def test_there_is_one_client_for_both() -> None:
    assert {"engine", "metrics", "ready"} <= set(dir(ChatClient)) & set(dir(AsyncChatClient))
