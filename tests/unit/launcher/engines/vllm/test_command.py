"""vLLM's command: what our fields become, what is refused, and what may not stand in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launcher.config.fields.served import ServedFields
from launcher.config.presets import GLM_AIR_FP8_VLLM, NANO_VLLM
from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.vllm.command import INSIDE, SECRETS_FLAG, SWITCH_FLAGS, VALUE_FLAGS
from launcher.engines.vllm.engine import VllmEngine
from launcher.engines.vllm.takeover.fields import LACKING
from launcher.engines.vllm.version import VERIFIED_VERSION
from launcher.errors import (
    ConfigError,
    InvalidValueError,
    LauncherError,
    SecretInArgumentsError,
    UnknownFlagError,
)
from launcher.system.hardware import Gpu
from tests.unit.launcher.examples import SECRET, make_config

ENGINE = VllmEngine("cuda", Path("/env/bin/python"))


def make(**fields: Any) -> ServerConfig:
    return make_config(engine="vllm", **fields)


def build(config: ServerConfig, **target: Any) -> Command:
    known: dict[str, Any] = {"python": "/env/bin/python", "cpus": (0, 1, 2, 3), **target}
    return ENGINE.make_command(config, CommandTarget(**known))


def pairs(command: Command) -> dict[str, str]:
    """Each flag with the argument after it."""
    words = command.server_arguments
    return {
        flag: value
        for flag, value in zip(words, (*words[1:], ""), strict=True)
        if flag.startswith("--")
    }


def refusal(config: ServerConfig) -> LauncherError:
    with pytest.raises(LauncherError) as caught:
        ENGINE.check_command(build(config), config, VERIFIED_VERSION)
    return caught.value


@pytest.mark.parametrize("preset", [GLM_AIR_FP8_VLLM, NANO_VLLM], ids=lambda one: one.name)
def test_vllms_own_parser_takes_the_presets(preset: Any) -> None:
    config = ServerConfig.model_validate({**preset.fields, "preset": preset.name})
    command = build(config, secrets_file=Path("/state/secrets.yaml"))

    ENGINE.check_command(command, config, VERIFIED_VERSION)

    given = pairs(command)
    assert json.loads(given["--speculative-config"]) == {
        "method": "mtp",
        "num_speculative_tokens": 3,
    }
    assert (given["--tool-call-parser"], given["--reasoning-parser"]) == ("glm45", "glm45")
    assert "--enable-auto-tool-choice" in given
    assert given["--shutdown-timeout"] == "30"
    assert command.environment["VLLM_ENFORCE_STRICT_TOOL_CALLING"] == "0"
    assert command.environment["VLLM_NO_USAGE_STATS"] == "1"


def test_with_drafts_on_a_cpu_requests_are_greedy_that_do_not_say_otherwise() -> None:
    fields = {"speculative_algorithm": "EAGLE", "device": "cpu"}
    given = pairs(build(make(**fields)))
    assert json.loads(given["--override-generation-config"]) == {"temperature": 0}
    for other in ({"speculative_algorithm": None}, {"device": "cuda"}):
        assert "--override-generation-config" not in pairs(build(make(**{**fields, **other})))
    own = ("--override-generation-config", '{"temperature":0.5}')
    assert build(make(**fields, extra_args=own)).argv.count(own[0]) == 1


def test_the_large_preset_is_tensor_parallel_on_the_gpus_that_were_chosen() -> None:
    config = ServerConfig.model_validate(GLM_AIR_FP8_VLLM.fields)
    gpus = tuple(
        Gpu(index=n, uuid=f"GPU-{n}", name="H100", total_bytes=80, free_bytes=80,
            compute_capability=(9, 0))
        for n in (2, 3)
    )  # fmt: skip
    command = build(config, gpus=gpus)

    assert pairs(command)["--tensor-parallel-size"] == "2"
    assert pairs(command)["--gpu-memory-utilization"] == "0.9"
    assert command.environment["CUDA_VISIBLE_DEVICES"] == "GPU-2,GPU-3"
    assert "--enforce-eager" not in command.argv


def test_the_command_names_the_file_of_the_keys_and_our_start_module_alone() -> None:
    command = build(make(device="cpu"), secrets_file=Path("/state/s.yaml"), python_path="/ours")

    assert command.argv[:5] == (
        *("/env/bin/python", "-m", "specserve_vllm"),
        *(SECRETS_FLAG, "/state/s.yaml"),
    )
    # Another environment's packages would stand before vLLM's own.
    assert command.environment["PYTHONPATH"] == str(INSIDE)
    assert {path.name for path in INSIDE.iterdir()} - {"__pycache__"} == {"specserve_vllm"}
    # What setproctitle would write over is what proves a process ours.
    assert command.environment["SPT_NOENV"] == "1"


def test_a_cpu_needs_no_compiler_and_has_a_kv_cache_of_a_size() -> None:
    given = pairs(build(make(device="cpu")))

    assert "--enforce-eager" in given
    assert given["--kv-cache-memory-bytes"] == str(1024**3)


@pytest.mark.parametrize(
    "fields",
    [
        {"gpu_memory_utilization": 0.2},
        {"environment": ("VLLM_CPU_KVCACHE_SPACE=2",)},
        {"extra_args": ("--kv-cache-memory-bytes", "5000")},
    ],
)
def test_a_kv_cache_that_the_user_sizes_is_not_sized_again(fields: dict[str, Any]) -> None:
    words = build(make(device="cpu", **fields)).argv

    assert words.count("--kv-cache-memory-bytes") == ("extra_args" in fields)


@pytest.mark.parametrize(
    ("cpus", "ranks", "threads"), [(1, 1, "1"), (2, 1, "1"), (8, 1, "7"), (9, 2, "4"), (2, 4, "1")]
)
def test_processors_are_divided_among_the_ranks(cpus: int, ranks: int, threads: str) -> None:
    command = build(make(device="cpu", tp_size=ranks), cpus=tuple(range(cpus)))

    assert command.environment["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"speculative_algorithm": "EAGLE"}, {"method": "mtp"}),
        ({"speculative_algorithm": "NEXTN"}, {"method": "mtp"}),
        (
            {
                "speculative_algorithm": "EAGLE3",
                "speculative_draft_model_path": "a/b",
                "speculative_num_steps": 2,
                "speculative_eagle_topk": 1,
                "speculative_num_draft_tokens": 3,
            },
            {"method": "eagle3", "model": "a/b", "num_speculative_tokens": 2},
        ),
        (
            {
                "speculative_algorithm": "STANDALONE",
                "speculative_draft_model_path": "a/b",
                "speculative_num_steps": 4,
                "speculative_eagle_topk": 1,
                "speculative_num_draft_tokens": 5,
            },
            {"method": "draft_model", "model": "a/b", "num_speculative_tokens": 4},
        ),
        (
            {"speculative_algorithm": "NGRAM", "speculative_num_draft_tokens": 6},
            {"method": "ngram", "num_speculative_tokens": 5},
        ),
    ],
)
def test_speculation_becomes_one_value(fields: dict[str, Any], said: dict[str, Any]) -> None:
    config = make(**fields)
    command = build(config)

    ENGINE.check_command(command, config, VERIFIED_VERSION)

    assert json.loads(pairs(command)["--speculative-config"]) == said
    # And back again, as somebody has it in a script.
    taken = ENGINE.take_over(("--speculative-config", json.dumps(said)), VERIFIED_VERSION)
    found = {one.field: one.value for one in taken.fields}
    expected = {name: str(value) for name, value in fields.items()}
    if "num_speculative_tokens" in said:
        assert found == expected
    else:
        assert taken.left[0] == "--speculative-config"


@pytest.mark.parametrize(
    ("fields", "nearest"),
    [
        ({"mem_fraction_static": 0.7}, "gpu_memory_utilization"),
        ({"max_total_tokens": 9000}, "gpu_memory_utilization"),
        ({"chunked_prefill_size": 4096}, "--max-num-batched-tokens"),
        ({"dp_size": 2, "tp_size": 2, "enable_dp_attention": True}, "ep_size"),
        ({"any_model_name": True}, "served_model_name"),
        ({"nnodes": 2, "tp_size": 2, "dist_init_addr": "10.0.0.1:5000"}, "one machine"),
        ({"ep_size": 2, "tp_size": 4}, "--ep-size 4"),
        ({"speculative_algorithm": "UNO"}, "EAGLE"),
        (
            {
                "speculative_algorithm": "EAGLE",
                "speculative_num_steps": 3,
                "speculative_eagle_topk": 4,
                "speculative_num_draft_tokens": 16,
            },
            "--speculative-eagle-topk 1",
        ),
    ],
)
def test_a_field_that_it_does_not_have_is_refused_with_the_nearest(
    fields: dict[str, Any], nearest: str
) -> None:
    error = refusal(make(**fields))

    assert isinstance(error, InvalidValueError)
    assert nearest in error.action


@pytest.mark.parametrize(
    ("arguments", "kind", "word"),
    [
        (("--api-key", SECRET), SecretInArgumentsError, "--api-key-file"),
        (("--hf-token", SECRET), SecretInArgumentsError, "HF_TOKEN"),
        (("--otlp-traces-endpoint", f"http://me:{SECRET}@host"), SecretInArgumentsError, "URL"),
        (("--max-model-lenn", "4"), UnknownFlagError, "--help"),
        (("--port", "1", "2"), ConfigError, "--help"),
        (("--uds", "/run/s"), ConfigError, "proxy"),
        (("--headless",), ConfigError, "proxy"),
        (("--runner", "pooling"), ConfigError, "proxy"),
        (("--api-server-count", "4"), ConfigError, "another server"),
        (("--config", "x.yaml"), ConfigError, "--config"),
        (("--block-size", "many"), UnknownFlagError, "--help"),
        (("stray",), UnknownFlagError, "--help"),
    ],
)
def test_arguments_that_are_not_passed_on(
    arguments: tuple[str, ...], kind: type[LauncherError], word: str
) -> None:
    error = refusal(make(extra_args=arguments))

    assert isinstance(error, kind)
    assert word in error.action
    assert SECRET not in f"{error.problem} {error.action}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--block-size", "32"),
        ("--no-enable-prefix-caching",),
        ("--compilation-config", '{"mode":3}'),
        ("--nnodes", "1"),
        ("--convert=none",),
        ("--speculative-config", '{"method":"suffix"}'),
    ],
)
def test_other_arguments_are_passed_on(arguments: tuple[str, ...]) -> None:
    config = make(extra_args=arguments)
    command = build(config)

    ENGINE.check_command(command, config, VERIFIED_VERSION)

    assert command.argv[-len(arguments) :] == arguments


def test_fields_are_taken_over_from_vllms_own_arguments() -> None:
    taken = ENGINE.take_over(
        (
            *("-tp", "2", "--max_model_len", "32k", "--gpu-memory-utilization=0.8"),
            *("--kv-cache-dtype", "fp8", "--trust-remote-code", "--shutdown-timeout", "5"),
            *("--block-size", "32"),
        ),
        VERIFIED_VERSION,
    )

    assert {one.field: one.value for one in taken.fields} == {
        "tp_size": "2",
        "context_length": "32000",
        "gpu_memory_utilization": "0.8",
        "kv_cache_dtype": "fp8_e4m3",
        "trust_remote_code": True,
        "drain_timeout_seconds": "5",
    }
    assert taken.left == ("--block-size", "32")


def test_speculation_said_twice_is_refused() -> None:
    words = ("--speculative-config", '{"method":"suffix"}')

    assert "both" in refusal(make(speculative_algorithm="EAGLE", extra_args=words)).action


def test_an_option_is_known_by_any_spelling() -> None:
    known = ENGINE.own_option("max_model_len", VERIFIED_VERSION)

    assert known is not None
    assert (known.option, known.field) == ("--max-model-len", "context_length")
    assert ENGINE.own_option("--mem-fraction-static", VERIFIED_VERSION) is None
    assert "--max-num-seqs" in ENGINE.near_options("--max-num-seq", VERIFIED_VERSION)


# Fields of what is served that say nothing to an engine, or that `command.py` reads one by one.
SPOKEN_FOR = {
    *("name", "preset", "engine", "engine_python", "verify_model", "insecure", "device", "gpu_ids"),
    *(
        "api_key_file",
        "admin_key_file",
        "extra_args",
        "environment",
        "ep_size",
        "strict_tool_calls",
    ),
    *("constrained_json_disable_any_whitespace", "enable_metrics", "dist_timeout_seconds"),
    *("speculative_algorithm", "speculative_draft_model_path", "speculative_num_steps"),
    *("speculative_eagle_topk", "speculative_num_draft_tokens"),
}


def test_each_field_of_what_is_served_is_taken_or_refused() -> None:
    """A new field must not be left out silently."""
    taken = {*VALUE_FLAGS, *SWITCH_FLAGS, *SPOKEN_FOR}

    assert set(ServedFields.model_fields) - taken - LACKING.keys() == set()
    assert not taken & LACKING.keys()
    assert LACKING.keys() <= set(ServerConfig.model_fields)
