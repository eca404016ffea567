"""Command lines of vLLM, said in fields of an SGLang server."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.engines.vllm.takeover.foreign_launch import read_launch


def fields(*arguments: str) -> dict[str, Any]:
    return read_launch(list(arguments)).fields


def test_the_defaults_are_vllms() -> None:
    assert fields("org/Model") == {
        "model_path": "org/Model", "served_model_name": "org/Model",
        "host": "0.0.0.0",  # noqa: S104  # vLLM's own default
        "port": 8000, "device": "cuda",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (("--model", "m"), "model_path", "m"),
        (("-tp", "4"), "tp_size", "4"),
        (("--tensor_parallel_size=4",), "tp_size", "4"),
        (("--max-model-len", "32k"), "context_length", "32000"),
        (("--max-model-len=32K",), "context_length", "32768"),
        (("--max-num-seqs", "9"), "max_running_requests", "9"),
        (("--kv-cache-dtype", "fp8"), "kv_cache_dtype", "fp8_e4m3"),
        (("--trust-remote-code", "m"), "trust_remote_code", True),
        (("--served-model-name", "a", "b"), "served_model_name", "a"),
    ],
)
def test_what_means_the_same_is_taken(
    arguments: tuple[str, ...], field: str, value: object
) -> None:
    assert fields(*arguments)[field] == value


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--gpu-memory-utilization", "0.9"), "not the same share"),
        (("--api-key", "hidden", "hidden2"), "api_key_file"),
        (("--hf-token", "hidden"), "--hf-token: vLLM alone has it"),
        (("--max-model-len", "-1"), "the model's own length"),
        (("--served-model-name", "a", "b"), "--served-model-name b: SGLang has one name"),
        (("--max-model-len", "auto"), "the model's own length"),
        (("--enable-prefix-caching",), "without an option"),
        (("--a-flag-of-tomorrow", "1"), "--a-flag-of-tomorrow: vLLM alone has it"),
    ],
)
def test_what_does_not_is_named(arguments: tuple[str, ...], told: str) -> None:
    notes = "\n".join(read_launch(["m", *arguments]).dropped)
    assert told in notes
    assert "hidden" not in notes


def test_switches_and_arguments_get_sglangs_names() -> None:
    made = read_launch(["m", "--enforce-eager", "--tokenizer", "t", "--no-enable-prefix-caching"])
    assert made.extra == ["--disable-cuda-graph", "--tokenizer-path", "t", "--disable-radix-cache"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--headless",), "several machines"),
        (("--task", "embed"), "no text"),
        (("--config", "x.yaml"), "config file"),
        (("--task", "generate"), ""),
    ],
)
def test_what_is_no_server_of_text_is_refused(arguments: tuple[str, ...], told: str) -> None:
    assert told in read_launch(["m", *arguments]).refused
    assert bool(read_launch(["m", *arguments]).refused) == bool(told)
