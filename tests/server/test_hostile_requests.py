"""No request and no connection ends the server, or keeps it from the others."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from launcher.engines.sglang.plugins.guard.bounds import BODY_BYTES, HEADER_BYTES
from launcher.state.record import RunRecord
from launcher.system.members import find_members

CHAT = {"model": "nano", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
COMPLETION = {"model": "nano", "prompt": "hi", "max_tokens": 1}
GENERATE = {"text": "hi", "sampling_params": {"max_new_tokens": 1}}
# As it would stand in a body: JSON of Python knows NaN, and SGLang's parsers may.
VALUES = (
    "0", "-1", str(2**31 - 1), str(2**31), str(2**63), str(2**64), "1e308", "NaN", '"x"', "true",
    "[]", "{}", "[1000000000]", "[-1]",
)  # fmt: skip
CHAT_FIELDS = (
    "top_k", "n", "max_tokens", "min_tokens", "seed", "top_logprobs", "temperature",
    "repetition_penalty", "logit_bias", "stop_token_ids", "input_ids", "priority", "bootstrap_room",
    "routed_dp_rank", "session_params", "custom_params", "response_format", "rid",
)  # fmt: skip
COMPLETION_FIELDS = ("prompt", "logprobs", "top_k", "n", "min_tokens")
GENERATE_FIELDS = (
    "input_ids", "input_embeds", "top_logprobs_num", "token_ids_logprob", "logprob_start_len",
    "positional_embed_overrides", "multi_item_delimiter_indices", "token_indices_to_pool",
    "http_worker_ipc", "received_time", "max_dynamic_patch", "return_hidden_states",
    "return_logprob", "return_sampling_mask", "custom_logit_processor", "lora_path", "extra_key",
    "image_data", "sampling_params",
)  # fmt: skip


@pytest.fixture(scope="module")
def http(eagle: RunRecord) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=root(eagle), timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(autouse=True)
def _outlives(eagle: RunRecord, http: httpx.Client) -> Iterator[None]:
    """The same processes before and after each test, and an answer."""
    before = members(eagle)
    yield
    answer = http.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200, answer.text
    assert members(eagle) == before


def root(record: RunRecord) -> str:
    return record.base_url.removesuffix("/v1")


def members(record: RunRecord) -> set[int]:
    assert record.server is not None
    return {process.pid for process in find_members(record.server, record.run_id)}


def post(http: httpx.Client, route: str, body: dict[str, Any], field: str, value: str) -> int:
    """Post a body with one field that holds just these characters; returns the status."""
    rest = json.dumps({name: given for name, given in body.items() if name != field})
    text = f'{rest[:-1]}, "{field}": {value}}}'
    headers = {"content-type": "application/json"}
    return http.post(route, content=text, headers=headers).status_code


@pytest.mark.parametrize("field", CHAT_FIELDS)
def test_a_field_of_a_chat_ends_nothing_whatever_it_holds(http: httpx.Client, field: str) -> None:
    more = {"logprobs": True, "stop_token_ids": [5], "min_tokens": 1}
    for value in VALUES:
        status = post(http, "/v1/chat/completions", CHAT | more, field, value)
        assert status in {200, 400}, (field, value)


@pytest.mark.parametrize("field", COMPLETION_FIELDS)
def test_nor_does_one_of_a_completion(http: httpx.Client, field: str) -> None:
    for value in VALUES:
        status = post(http, "/v1/completions", COMPLETION, field, value)
        assert status in {200, 400}, (field, value)


@pytest.mark.parametrize("field", GENERATE_FIELDS)
def test_nor_does_one_of_sglang_s_own_route(http: httpx.Client, field: str) -> None:
    # A prompt of text would be taken instead of its tokens.
    body = {
        name: given for name, given in GENERATE.items() if (name, field[:5]) != ("text", "input")
    }
    for value in VALUES:
        status = post(http, "/generate", body | {"return_logprob": True}, field, value)
        assert status in {200, 400}, (field, value)


@pytest.mark.parametrize(
    "body",
    [
        CHAT | {"top_k": 2**31},
        CHAT | {"min_tokens": 1, "stop_token_ids": [10**9]},
        CHAT | {"logprobs": True, "top_logprobs": 10**6},
        CHAT | {"n": 5_000},
        CHAT | {"response_format": 5},
        CHAT | {"stop_regex": "("},
        CHAT | {"rid": []},
        CHAT | {"chat_template_kwargs": {"return_dict": True}},
        CHAT | {"messages": [{"role": "user", "content": "a" * 5_000_000}]},
        [],
        5,
    ],
    ids=lambda body: str(body)[-60:],
)
def test_what_cannot_be_given_is_refused_in_words(http: httpx.Client, body: object) -> None:
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_a_key_with_other_letters_is_a_wrong_one_at_most(http: httpx.Client) -> None:
    answer = http.get("/v1/models", headers=[(b"Authorization", b"Bearer \xe9")])
    assert answer.status_code in {200, 401}


POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        pytest.param(b"GET /v1/models HTTP/1.1\r\nX: ", b"a" * 4096, 431, id="a header"),
        pytest.param(b"GET /v1/models HTTP/1.1\r\n", b"X: a\r\n" * 512, 431, id="headers"),
        pytest.param(b"GET /", b"a" * 4096, 431, id="a request line"),
        pytest.param(b"", b"\r\n" * 2048, 431, id="line breaks"),
        pytest.param(CHUNKED + b"1\r\n{\r\n0\r\nX: ", b"a" * 4096, 431, id="a trailer"),
        pytest.param(CHUNKED + b"1;x=", b"a" * 4096, 431, id="a chunk's extension"),
        pytest.param(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n", 413, id="a body"),
        pytest.param(POST + b"Content-Length: 99999999999\r\n\r\n", b" ", 413, id="a length"),
    ],
)
def test_what_never_ends_is_refused(
    eagle: RunRecord, begin: bytes, more: bytes, status: int
) -> None:
    host, port = root(eagle).removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(begin)
        sent = 0
        # The server reads on for a while, so that its answer arrives, and then closes.
        try:
            while sent < 4 * BODY_BYTES:
                connection.sendall(more)
                sent += len(more)
                # The loop may read four times the bound at once, together with what begins it.
                if sent > 8 * HEADER_BYTES and status == 431:
                    break
        except OSError:
            pass
        answer = connection.recv(4096)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/generate", GENERATE | {"text": ""}),
        ("/generate", GENERATE | {"text": [""]}),
        ("/generate", GENERATE | {"text": ["hi", ""]}),
        ("/generate", {"input_ids": [], "sampling_params": {"max_new_tokens": 1}}),
        ("/generate", {"input_ids": [[]], "sampling_params": {"max_new_tokens": 0}}),
        ("/generate", {"input_ids": [[5], []], "sampling_params": {"max_new_tokens": 1}}),
        ("/generate", {"text": "hi", "sampling_params": {"n": None}}),
        ("/v1/completions", COMPLETION | {"prompt": ""}),
        ("/v1/completions", COMPLETION | {"prompt": [""]}),
        ("/v1/completions", COMPLETION | {"prompt": [[], [5]]}),
        ("/v1/score", {"model": "nano", "query": "", "items": [""], "label_token_ids": [1]}),
        ("/v1/score", {"model": "nano", "query": [], "items": [[]], "label_token_ids": [1]}),
    ],
)
def test_a_prompt_without_a_token_is_refused(
    http: httpx.Client, route: str, body: dict[str, Any]
) -> None:
    """Found by somebody who had not seen the bounds: the scheduler does not survive it."""
    assert http.post(route, json=body).status_code == 400


def test_three_endless_headers_at_once_keep_nobody_waiting(
    eagle: RunRecord, http: httpx.Client
) -> None:
    host, port = root(eagle).removeprefix("http://").split(":")
    connections = [socket.create_connection((host, int(port)), timeout=60) for _ in range(3)]
    for connection in connections:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nX: ")
        connection.sendall(b"a" * (HEADER_BYTES - 1024))
    assert http.post("/v1/chat/completions", json=CHAT).status_code == 200
    for connection in connections:
        connection.close()


def test_headers_that_may_be_long_are_taken(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json=CHAT, headers={"X": "a" * 60_000})
    assert answer.status_code == 200


def test_a_client_s_text_makes_no_line_of_the_log(eagle: RunRecord, http: httpx.Client) -> None:
    mark = f"ZZ{time.monotonic_ns()}"
    forged = f"x\n{mark} RuntimeError: No CUDA GPUs are available\n"

    def schema(schema: dict[str, object]) -> dict[str, object]:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        return CHAT | {"response_format": form}

    for route, body in (
        ("/v1/chat/completions", schema({"type": forged})),
        ("/v1/chat/completions", schema({"$ref": forged})),
        ("/v1/chat/completions", schema({"type": "string", "format": forged})),
        ("/v1/chat/completions", CHAT | {"ebnf": forged}),
        ("/v1/chat/completions", CHAT | {"regex": f"({forged}"}),
        ("/v1/chat/completions", CHAT | {"rid": forged}),
        ("/generate", GENERATE | {"session_params": {"id": forged}}),
        ("/separate_reasoning", {"text": "x", "reasoning_parser": forged}),
        ("/open_session", {"capacity_of_str_len": 10, "session_id": forged}),
        ("/close_session", {"session_id": forged}),
    ):
        http.post(route, json=body)
    printed = eagle.log_file.read_text("utf-8", "replace")
    assert mark in printed
    assert not [line for line in printed.splitlines() if line.startswith(mark)]
