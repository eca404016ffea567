"""The exact command of a server, and what it may not hold."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import requests
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from launcher.config.presets import GLM_AIR_FP8, PRESETS, Preset
from launcher.config.server_config import ServerConfig
from launcher.engines.common.flags import FlagTable
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.sglang.command import (
    MODULE,
    NODE_FIELDS,
    SECRET_FLAGS,
    SWITCH_FLAGS,
    VALUE_FLAGS,
    build_command,
    check_arguments,
)
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.engines.sglang.version import VERIFIED_VERSION
from launcher.errors import ConfigError, LauncherError, SecretInArgumentsError, UnknownFlagError
from launcher.names import FREEZE_GC_VARIABLE, GLM_PARSERS_VARIABLE, SHARED_IMPORTS_VARIABLE
from launcher.nodes.network import NodeNetwork
from tests.unit.launcher.examples import SECRET, configs, make_config

SGLANG = load_flag_table(VERIFIED_VERSION)


def build(config: ServerConfig, *, upstream_cpu_kernels: bool = False, **options: Any) -> Command:
    target = CommandTarget(**{"python": "/env/bin/python", "cpus": (0, 1, 2, 3), **options})
    return build_command(config, target, upstream_cpu_kernels=upstream_cpu_kernels)


def pairs(arguments: tuple[str, ...]) -> dict[str, str]:
    """Each flag with the argument after it."""
    return {
        flag: value
        for flag, value in zip(arguments, [*arguments[1:], ""], strict=True)
        if flag.startswith("--")
    }


def test_a_machine_of_several_is_told_where_the_others_are() -> None:
    config = make_config(
        device="cpu",
        tp_size=4,
        nnodes=2,
        node_rank=1,
        dist_init_addr="10.0.0.1:25000",
        environment=("NCCL_SOCKET_IFNAME=ib0",),
    )
    command = build(config, network=NodeNetwork("eth1", "10.0.0.2"))
    check_arguments(command, (), SGLANG)
    given = pairs(command.server_arguments)
    assert given["--nnodes"] == "2"
    assert given["--node-rank"] == "1"
    assert given["--dist-init-addr"] == "10.0.0.1:25000"
    assert given["--dist-timeout"] == "600"
    # What the user names himself stays.
    assert command.environment["NCCL_SOCKET_IFNAME"] == "ib0"
    assert command.environment["GLOO_SOCKET_IFNAME"] == "eth1"
    named = build(config.model_copy(update={"environment": ()}), network=NodeNetwork("e", "a"))
    assert named.environment["NCCL_SOCKET_IFNAME"] == "=e"
    assert command.environment["SGLANG_HOST_IP"] == "10.0.0.2"
    # Two ranks are here, and no detokenizer.
    assert command.environment["SGLANG_CPU_OMP_THREADS_BIND"] == "0,1|2,3"
    assert command.environment[SHARED_IMPORTS_VARIABLE] == "2"


def test_one_machine_is_told_of_no_others() -> None:
    command = build(make_config(dist_init_addr="10.0.0.1:25000", network_interface="eth0"))
    assert not any("dist" in word or "node" in word for word in command.argv)
    assert "SGLANG_HOST_IP" not in command.environment


def test_the_large_preset_becomes_the_command_that_one_would_type() -> None:
    command = build(ServerConfig.model_validate({**GLM_AIR_FP8.fields, "preset": GLM_AIR_FP8.name}))

    assert command.shell() == (
        "PYTHONFAULTHANDLER=1 \\\n"
        "SPT_NOENV=1 \\\n"
        "SPECSERVE_GLM_PARSERS=1 \\\n"
        "/env/bin/python -m sglang.launch_server \\\n"
        "  --model-path zai-org/GLM-4.5-Air-FP8 \\\n"
        "  --served-model-name glm-4.5-air \\\n"
        "  --host 127.0.0.1 \\\n"
        "  --port 8000 \\\n"
        "  --device cuda \\\n"
        "  --tp-size 2 \\\n"
        "  --dtype auto \\\n"
        "  --mem-fraction-static 0.7 \\\n"
        "  --speculative-algorithm EAGLE \\\n"
        "  --speculative-num-steps 3 \\\n"
        "  --speculative-eagle-topk 1 \\\n"
        "  --speculative-num-draft-tokens 4 \\\n"
        "  --tool-call-parser glm45 \\\n"
        "  --reasoning-parser glm45 \\\n"
        "  --constrained-json-disable-any-whitespace \\\n"
        "  --enable-cache-report \\\n"
        "  --enable-metrics"
    )
    assert command.environment == {
        "PYTHONFAULTHANDLER": "1",
        "SPT_NOENV": "1",
        "SPECSERVE_GLM_PARSERS": "1",
    }


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"tool_call_parser": "glm45"}, True),
        ({"tool_call_parser": "glm"}, True),
        ({"reasoning_parser": "glm45"}, True),
        ({"tool_call_parser": "glm45", "glm_parsers": "sglang"}, False),
        ({"tool_call_parser": "qwen", "reasoning_parser": "qwen3"}, False),
        ({}, False),
    ],
)
def test_our_parsers_read_what_is_in_glms_format(
    fields: dict[str, Any],
    asked: bool,  # noqa: FBT001
) -> None:
    environment = build(make_config(**fields)).environment
    assert (environment.get(GLM_PARSERS_VARIABLE) == "1") is asked


def test_who_leaves_the_warm_up_out_has_the_launcher_freeze_the_collectors() -> None:
    flag = ("--skip-server-warmup",)
    assert build(make_config(extra_args=flag)).environment[FREEZE_GC_VARIABLE] == "1"
    assert FREEZE_GC_VARIABLE not in build(make_config()).environment


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_sglang_takes_the_command_of_every_preset(preset: Preset) -> None:
    own = {"model_path": "/models/tiny", "served_model_name": "tiny"}
    config = ServerConfig.model_validate({**own, **preset.fields})

    check_arguments(build(config, secrets_file=Path("/s/secrets.yaml")), (), SGLANG)


@settings(max_examples=20)  # SGLang's parser has some 500 options
@given(configs())
def test_sglang_takes_the_command_of_every_configuration(fields: dict[str, Any]) -> None:
    # The parser is one of SGLang's; the other words are free, but an option begins with a dash.
    assume(not any(str(value).startswith("-") for value in fields.values()))
    config = ServerConfig.model_validate({**fields, "extra_args": [], "tool_call_parser": "glm45"})

    command = build(config)

    check_arguments(command, (), SGLANG)
    given_flags = pairs(command.server_arguments)
    for field, flag in VALUE_FLAGS.items():
        value = getattr(config, field)
        if field == "attention_backend" and config.device == "cpu":
            value = value or "intel_amx"
        if field in NODE_FIELDS and config.nnodes == 1:
            value = None
        assert given_flags.get(flag) == (None if value is None else str(value))


def test_every_flag_that_the_launcher_sets_is_one_of_sglang() -> None:
    flags = {*VALUE_FLAGS.values(), *SWITCH_FLAGS.values(), *SECRET_FLAGS}

    assert flags <= SGLANG.names
    assert {*VALUE_FLAGS, *SWITCH_FLAGS} <= set(ServerConfig.model_fields)


def test_plain_decoding_leaves_every_flag_of_speculation_out() -> None:
    config = make_config(speculative_num_steps=3, speculative_draft_model_path="/draft")

    assert "--spec" not in " ".join(build(config).argv)


def test_a_switch_is_there_or_not() -> None:
    assert "--enable-metrics" in build(make_config()).argv
    assert "--enable-metrics" not in build(make_config(enable_metrics=False)).argv


def test_keys_are_handed_over_by_a_file_and_never_by_argument() -> None:
    config = make_config(api_key_file="/keys/key")

    argv = build(config, secrets_file=Path("/state/secrets.yaml")).argv

    assert argv[3:5] == ("--config", "/state/secrets.yaml")
    assert "/keys/key" not in " ".join(argv)
    assert "--config" not in build(config).argv


def test_a_model_that_is_here_needs_no_hub() -> None:
    here, there = make_config(), make_config(model_path="owner/name")

    assert build(here).environment["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in build(there).environment


def test_a_server_on_a_cpu_gets_what_the_cpu_engine_says() -> None:
    config = make_config(device="cpu", tp_size=2)

    command = build(config, python_path="/mine")

    assert pairs(command.server_arguments).items() >= {("--device", "cpu")}
    assert command.server_arguments.count("--device") == 1
    assert set(cpu_settings.server_arguments()) <= set(command.server_arguments)
    assert command.environment == {
        "HF_HUB_OFFLINE": "1",
        "PYTHONFAULTHANDLER": "1",
        "SPT_NOENV": "1",
        FREEZE_GC_VARIABLE: "1",
        SHARED_IMPORTS_VARIABLE: "3",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        **cpu_settings.server_environment((0, 1, 2, 3), 2, python_path="/mine"),
    }


def test_upstream_kernels_keep_ours_out() -> None:
    command = build(make_config(device="cpu"), upstream_cpu_kernels=True)

    assert cpu_settings.ENVIRONMENT_SWITCH not in command.environment


@pytest.mark.parametrize(
    "extra", [("--attention-backend", "torch_native"), ("--attention-backend=torch_native",)]
)
def test_what_the_user_says_replaces_what_the_cpu_engine_would(extra: tuple[str, ...]) -> None:
    config = make_config(device="cpu", extra_args=extra)

    arguments = build(config).server_arguments

    assert arguments[-len(extra) :] == extra
    assert sum(argument.startswith("--attention-backend") for argument in arguments) == 1
    assert "intel_amx" not in arguments


def test_a_backend_for_attention_replaces_the_cpu_engine_s() -> None:
    config = make_config(device="cpu", attention_backend="torch_native")

    arguments = build(config).server_arguments

    assert pairs(arguments)["--attention-backend"] == "torch_native"
    assert "intel_amx" not in arguments


def test_the_options_of_a_launch_definition_become_flags() -> None:
    config = make_config(
        trust_remote_code=True,
        tp_size=4,
        pp_size=2,
        dp_size=2,
        ep_size=4,
        enable_dp_attention=True,
        quantization="fp8",
        attention_backend="flashinfer",
        chunked_prefill_size=-1,
        kv_cache_dtype="bf16",
    )
    command = build(config)

    check_arguments(command, (), SGLANG)
    given_flags = pairs(command.server_arguments)
    assert "--trust-remote-code" in given_flags
    assert "--enable-dp-attention" in given_flags
    assert {flag: given_flags[flag] for flag in ("--pp-size", "--dp-size", "--ep-size")} == {
        "--pp-size": "2",
        "--dp-size": "2",
        "--ep-size": "4",
    }
    assert given_flags["--quantization"] == "fp8"
    assert given_flags["--attention-backend"] == "flashinfer"
    assert given_flags["--chunked-prefill-size"] == "-1"
    assert given_flags["--kv-cache-dtype"] == "bf16"


def test_none_of_them_is_passed_where_nobody_asks() -> None:
    arguments = build(make_config()).server_arguments

    for field in ("pp_size", "dp_size", "ep_size", "quantization", "attention_backend"):
        assert VALUE_FLAGS[field] not in arguments
    assert "--trust-remote-code" not in arguments


def test_a_quantization_that_sglang_does_not_know_is_refused() -> None:
    with pytest.raises(UnknownFlagError, match="--quantization"):
        check_arguments(build(make_config(quantization="q4_0")), (), SGLANG)


@pytest.mark.parametrize("flag", ["--dp-size", "--data-parallel-size", "--trust-remote-code"])
def test_what_has_an_option_of_its_own_is_not_taken_behind_the_dashes(flag: str) -> None:
    with pytest.raises(ConfigError, match="repeats what the launcher sets itself"):
        check_arguments(build(make_config()), (flag, "2"), SGLANG)


def test_every_type_of_kv_cache_that_sglang_takes_is_taken() -> None:
    (choices,) = (
        option["choices"] for option in SGLANG.options if "--kv-cache-dtype" in option["options"]
    )

    for choice in choices:
        check_arguments(build(make_config(kv_cache_dtype=choice)), (), SGLANG)


def test_variables_of_the_configuration_come_under_the_launcher_s_own() -> None:
    config = make_config(environment={"NCCL_DEBUG": "INFO", "HF_HUB_OFFLINE": "0"})

    command = build(config)

    assert command.environment["NCCL_DEBUG"] == "INFO"
    # Everything is here, and so ours would be 1.
    assert command.environment["HF_HUB_OFFLINE"] == "0"
    assert command.shell().startswith("NCCL_DEBUG=INFO")


def test_extra_arguments_come_last_and_unchanged() -> None:
    extra = ("--log-level", "debug", "--json-model-override-args", '{"a": "b c"}')

    assert build(make_config(extra_args=extra)).argv[-4:] == extra


def test_a_command_cannot_be_changed() -> None:
    environment: Any = build(make_config()).environment

    with pytest.raises(TypeError):
        environment["PATH"] = "/"


@given(
    st.lists(st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]))),
    st.dictionaries(
        st.from_regex(r"[A-Z_]{1,8}", fullmatch=True),
        st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"])),
        max_size=3,
    ),
)
def test_a_shell_reads_the_printed_command_as_it_is(
    arguments: list[str], environment: dict[str, str]
) -> None:
    command = Command(
        ("/my env/bin/python", "-m", MODULE, *arguments), MappingProxyType(environment)
    )

    words = shlex.split(command.shell().replace(" \\\n", " "))

    assert words == [f"{key}={value}" for key, value in environment.items()] + list(command.argv)


# --- what may stand after `--` -------------------------------------------------------------------


def spellings(flag: str) -> list[str]:
    """A flag, and every beginning of it that means nothing else."""
    begins = [flag[:length] for length in range(3, len(flag) + 1)]
    return [begin for begin in begins if SGLANG.canonical(begin) == SGLANG.canonical(flag)]


def refusal(*extra: str, table: FlagTable = SGLANG) -> LauncherError:
    config = make_config(extra_args=extra)
    with pytest.raises(LauncherError) as caught:
        check_arguments(build(config), config.extra_args, table)
    return caught.value


@pytest.mark.parametrize("flag", sorted(SECRET_FLAGS))
def test_a_key_among_the_arguments_is_refused_in_every_spelling_and_not_echoed(flag: str) -> None:
    assert len(spellings(flag)) > 1
    for spelling in spellings(flag):
        for extra in ((spelling, SECRET), (f"{spelling}={SECRET}",)):
            error = refusal(*extra)
            assert isinstance(error, SecretInArgumentsError)
            assert error.problem.startswith(flag)
            assert SECRET not in error.problem + error.action


def test_a_spelling_that_may_mean_a_key_or_something_else_is_refused_and_not_echoed() -> None:
    error = refusal(f"--a={SECRET}")

    assert isinstance(error, UnknownFlagError)
    assert "--api-key" in error.problem
    assert SECRET not in error.problem + error.action


@pytest.mark.parametrize(
    ("extra", "flag", "option"),
    [
        (("--port", "1"), "--port", "--port"),
        (("--tp-size=4",), "--tp-size", "--tp-size"),
        (("--tensor-parallel-size", "4"), "--tp-size", "--tp-size"),
        (("--served-model", "x"), "--served-model-name", "--served-model-name"),
        (("--enable-metrics",), "--enable-metrics", "--enable-metrics"),
    ],
)
def test_what_the_launcher_sets_itself_is_refused_with_its_own_option(
    extra: tuple[str, ...], flag: str, option: str
) -> None:
    error = refusal(*extra)

    assert isinstance(error, ConfigError)
    assert error.problem == f"{flag} after `--` repeats what the launcher sets itself."
    assert f"launcher's own {option} " in error.action


def test_a_second_config_file_is_refused() -> None:
    assert "--config after `--` is SGLang's own config file" in refusal("--config", "x").problem


@pytest.mark.parametrize(
    "extra",
    [("--tokenizer-worker-num", "2"), ("--tokenizer-worker-num=4",), ("--tokenizer-w", "3")],
)
def test_tokenizer_workers_that_check_no_key_are_refused(extra: tuple[str, ...]) -> None:
    error = refusal(*extra)
    assert isinstance(error, ConfigError)
    assert "checks no API key" in error.problem


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--delete-ckpt-after-loading",), "removes the model's files"),
        (("--delete-ckpt-a",), "removes the model's files"),
        (("--weight-cache-mode", "client"), "takes weights that are in memory"),
        (("--enable-ssl-refresh",), "cannot watch"),
        (("--gated-launch-port", "1"), "cannot watch"),
        (("--debug-tensor-dump-input-file", "x"), "cannot watch"),
    ],
)
def test_what_harms_or_cannot_be_watched_is_refused(extra: tuple[str, ...], said: str) -> None:
    error = refusal(*extra)
    assert isinstance(error, ConfigError)
    assert said in error.problem


def test_what_sglang_would_refuse_is_refused() -> None:
    assert isinstance(refusal("--log-levels", "debug"), UnknownFlagError)
    assert isinstance(refusal("--log-requests-level", "9"), UnknownFlagError)


def test_a_value_may_look_like_anything() -> None:
    config = make_config(extra_args=("--log-level", "port", "--lora-paths", "a=b", "c"))

    check_arguments(build(config), config.extra_args, SGLANG)


@pytest.mark.parametrize(
    ("given", "host", "hosts"),
    [
        ("", "127.0.0.1", "127.0.0.1,localhost,::1"),
        ("corp.example", "10.0.0.5", "corp.example,127.0.0.1,localhost,::1,10.0.0.5"),
        ("localhost, corp.example", "0.0.0.0", "localhost,corp.example,127.0.0.1,::1,0.0.0.0"),  # noqa: S104
    ],
)
def test_requests_to_itself_go_round_the_callers_proxies(given: str, host: str, hosts: str) -> None:
    command = build(make_config(host=host, insecure=True), no_proxy=given)

    assert command.environment["NO_PROXY"] == hosts
    assert command.environment["no_proxy"] == hosts


def test_the_library_that_sglang_warms_up_with_goes_round_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    for name, value in build(make_config(), no_proxy="").environment.items():
        monkeypatch.setenv(name, value)

    assert requests.utils.get_environ_proxies("http://127.0.0.1:8000/model_info") == {}
    assert requests.utils.get_environ_proxies("http://hub.example/")


def test_without_a_proxy_the_environment_is_left_as_it_is() -> None:
    assert "NO_PROXY" not in build(make_config()).environment
