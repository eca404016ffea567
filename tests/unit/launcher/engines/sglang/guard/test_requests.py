"""What a request may ask for, on SGLang's own classes of requests."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from launcher.engines.sglang.plugins.guard import grammars, prompts, requests
from launcher.engines.sglang.plugins.guard.bounds import (
    CHOICES,
    GRAMMAR_BYTES,
    INT32,
    SCHEMA_NODES,
    TOP_LOGPROBS,
    BoundError,
    ModelBounds,
)

io_struct = pytest.importorskip("sglang.srt.managers.io_struct")
MODEL = ModelBounds(vocabulary=1280, hidden_size=4, context_tokens=8192)


def check(**fields: Any) -> None:
    if not fields.keys() & {"text", "input_ids", "input_embeds"}:
        fields["text"] = "hi"
    requests.check(io_struct.GenerateReqInput(**fields), MODEL)


def sampling(**parameters: Any) -> None:
    check(sampling_params=parameters)


@pytest.mark.parametrize(
    "fields",
    [
        *({"input_ids": ids} for ids in ([10**9], [-1], [[5], [1280]], [True], [1.5], ["a"])),
        *({"token_ids_logprob": ids} for ids in ([1280], [[-1]])),
        *({"top_logprobs_num": number} for number in (TOP_LOGPROBS + 1, 10**7, -1, [3, 10**7])),
        {"input_embeds": []},
        {"input_embeds": [[]]},
        {"input_embeds": [[0.1]]},
        {"input_embeds": [[[0.1] * 4, [0.1] * 3]]},
        {"input_embeds": [[math.nan] * 4]},
        {"logprob_start_len": 2**31},
        {"bootstrap_room": 2**63},
        {"bootstrap_port": 65_536},
        {"priority": 2**63},
        {"rid": []},
        {"rid": [5]},
        {"http_worker_ipc": "ipc:///tmp/x"},
        {"positional_embed_overrides": {"a": 1}},
        {"positional_embed_overrides": [[1]]},
        {"positional_embed_overrides": []},
        {"sampling_params": []},
        {"session_params": {"id": "x", "offset": "y"}},
        {"session_params": {"id": "x", "unknown": 1}},
        {"session_params": {"id": 5}},
        {"text": ["a"] * 4097},
        {"text": "a" * (MODEL.text_bytes + 1)},
        {"images_config": {"a": [{"b": 2**64}]}},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_field_that_would_end_the_scheduler_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BoundError):
        check(**fields)


@pytest.mark.parametrize("name", sorted(requests.SAMPLING_RANGES))
def test_a_sampling_parameter_has_a_range_and_a_type(name: str) -> None:
    lowest, highest = requests.SAMPLING_RANGES[name]
    sampling(**{name: lowest})
    sampling(**{name: highest if isinstance(highest, int) else float(highest)})
    if name == "n":  # SGLang counts with it before it fills in a default
        with pytest.raises(BoundError):
            sampling(n=None)
    else:
        sampling(**{name: None})
    beyond: tuple[object, ...] = (
        highest + 1,
        lowest - 1,
        2**64,
        -(2**64),
        math.nan,
        math.inf,
        "x",
        [],
        {},
    )
    for value in beyond:
        with pytest.raises(BoundError):
            sampling(**{name: value})


@pytest.mark.parametrize(
    "parameters",
    [
        {"stop_token_ids": [1280]},
        {"stop_token_ids": [-(10**9)]},
        {"stop_token_ids": ["a"]},
        {"logit_bias": {"1280": 1}},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"abc": 1}},
        {"logit_bias": {"5": 1e308}},
        {"stop_regex": "("},
        {"custom_params": {"a": [[1]]}},
        {"zzz": 1},
        {"json_schema": "{"},
        {"regex": 5},
    ],
    ids=str,
)
def test_a_sampling_parameter_that_fits_nothing_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(BoundError):
        sampling(**parameters)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "hi", "top_logprobs_num": []},
        {"text": "hi", "top_logprobs_num": [3]},
        {"text": "hi", "return_logprob": [True]},
        {"text": "hi", "return_hidden_states": [False]},
        {"text": "hi", "rid": ["a"]},
        {"text": ["a", "b"], "top_logprobs_num": [3]},
        {"text": ["a", "b"], "lora_path": ["x"] * 3},
    ],
    ids=str,
)
def test_there_is_one_of_each_thing_for_each_sequence(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_known", [MODEL])
    request = io_struct.GenerateReqInput(**fields)
    normalize = io_struct.GenerateReqInput.normalize_batch_and_arguments
    with pytest.raises((BoundError, ValueError)):
        requests.check_first(normalize, request)
    whole = io_struct.GenerateReqInput(text=["a", "b"], sampling_params={"n": 2})
    requests.check_first(normalize, whole)
    assert len(whole.rid) == 4


def test_what_clients_send_is_taken() -> None:
    check(input_ids=[0, 1279], return_logprob=True, top_logprobs_num=20, logprob_start_len=-1)
    check(text=["a", "b"], sampling_params={"n": 2, "max_new_tokens": 8})
    check(input_embeds=[[0.1] * 4, [1] * 4], rid="x", session_params={"id": "s", "offset": 3})
    sampling(
        temperature=0, top_p=0.9, top_k=-1, min_p=0, max_new_tokens=INT32, stop=["\n"],
        stop_token_ids=[0], logit_bias={"5": -100}, stop_regex="a+", regex="(yes|no)",
        custom_params={"a": 1, "b": ["c"]},
    )  # fmt: skip


def test_the_message_names_the_value_and_the_bound() -> None:
    with pytest.raises(BoundError, match=r"top_k must be in \[-1, 2147483647\], got 2147483648"):
        sampling(top_k=2**31)
    with pytest.raises(BoundError, match="a number of 40000 bits"):
        sampling(top_k=1 << 39_999)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["v"] * SCHEMA_NODES},
        {"properties": {f"p{n}": {"type": "string"} for n in range(5_000)}},
        {"description": "x" * GRAMMAR_BYTES},
        json.loads('{"a":' * 65 + "1" + "}" * 65),
        {"$ref": "x\nRuntimeError: No CUDA GPUs are available"},
        {"properties": {"a": {"$dynamicRef": "x\u2028y"}}},
    ],
    ids=["values", "properties", "bytes", "depth", "a line", "a line below"],
)
def test_a_schema_is_bounded(schema: dict[str, Any]) -> None:
    with pytest.raises(BoundError):
        sampling(json_schema=json.dumps(schema))


def test_a_grammar_s_rules_are_counted() -> None:
    with pytest.raises(BoundError):
        grammars.check_text("ebnf", "\n".join(f'r{n} ::= "x"' for n in range(5_000)))
    with pytest.raises(BoundError):
        grammars.check_text("regex", "|".join(f"x{n}" for n in range(20_000)))


def chat(**fields: Any) -> None:
    protocol = pytest.importorskip("sglang.srt.entrypoints.openai.protocol")
    body = {"model": "nano", "messages": [{"role": "user", "content": "hi"}], **fields}
    prompts.check(protocol.ChatCompletionRequest(**body), MODEL)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 5_000},
        {"n": 2**63},
        {"chat_template_kwargs": {"tools": "x"}},
        {"chat_template_kwargs": {"return_dict": True}},
        {"messages": [{"role": "user", "content": "\U0001f468" * MODEL.text_bytes}]},
        {"messages": [{"role": "user", "content": "a"}] * 10 + [
            {"role": "user", "content": [{"type": "text", "text": "a" * MODEL.text_bytes}]}]},
        {"regex": "a" * (GRAMMAR_BYTES + 1)},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {
            "type": "object", "properties": {str(n): {} for n in range(5_000)}}}}]},
    ],
    ids=lambda fields: str(fields)[:40],
)  # fmt: skip
def test_a_prompt_is_bounded_before_it_is_rendered(fields: dict[str, Any]) -> None:
    with pytest.raises(BoundError):
        chat(**fields)


def test_a_prompt_of_many_parts_and_an_image_is_taken() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    text = {"type": "text", "text": "hi"}
    chat(messages=[{"role": "user", "content": [text, image]}] * 3, n=CHOICES)
    chat(chat_template_kwargs={"enable_thinking": False})
