"""Variables for a server's processes: what they may be, and that nothing shows their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from launcher.config.config_file import read_config_file
from launcher.config.fields.variables import SET_ALWAYS, SET_ON_CPU
from launcher.config.sources import read_environment, resolve
from launcher.engines.launch import CommandTarget
from launcher.engines.sglang.command import build_command
from launcher.errors import ConfigFileError, InvalidValueError
from tests.unit.launcher.examples import SECRET, make_config


def refusal(environment: Any, **fields: Any) -> str:
    with pytest.raises(InvalidValueError) as caught:
        resolve(
            preset="custom",
            flags={
                "model_path": "OWNER/NAME",
                "device": "cuda",
                "environment": environment,
                **fields,
            },
        )
    return f"{caught.value.problem} {caught.value.action}"


def test_a_mapping_is_kept_as_texts_that_can_be_hashed_and_read_back() -> None:
    config = make_config(environment={"NCCL_DEBUG": "INFO", "A": 1, "B": True, "EMPTY": ""})

    assert config.environment == ("NCCL_DEBUG=INFO", "A=1", "B=true", "EMPTY=")
    assert dict(config.variables) == {"NCCL_DEBUG": "INFO", "A": "1", "B": "true", "EMPTY": ""}
    assert hash(config) == hash(make_config(environment=config.environment))
    assert type(config).model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "name",
    [
        *(
            "HF_TOKEN",
            "hf_token",
            "TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "MY_SECRET_VALUE",
            "PGPASSWORD",
        ),
        *("OPENAI_API_KEY", "DB_PASSWORD_FILE", "HF_TOKEN_VALUE", "SGLANG_API_KEY", "MY_TOKEN"),
    ],
)
def test_a_secret_is_refused_by_its_name_and_never_shown(name: str) -> None:
    said = refusal({name: SECRET})

    assert f"{name} is or holds a secret" in said
    assert "export it in the shell" in said
    assert SECRET not in said


def test_a_secret_within_an_address_is_refused() -> None:
    said = refusal({"HTTPS_PROXY": f"http://me:{SECRET}@proxy:3128"})

    assert "HTTPS_PROXY is or holds a secret" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "name",
    [
        *("TOKENIZERS_PARALLELISM", "SGLANG_INIT_NEW_TOKEN_RATIO", "SGLANG_LOG_DECODE_GRAPH_KEY"),
        *("NCCL_DEBUG", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "CUDA_DEVICE_ORDER", "_x", "no_proxy"),
    ],
)
def test_what_only_sounds_like_a_secret_or_tunes_a_gpu_server_is_taken(name: str) -> None:
    assert make_config(device="cuda", environment={name: "1"}).environment == (f"{name}=1",)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("CUDA_VISIBLE_DEVICES", "goes by"),
        ("TMPDIR", "goes by"),
        ("SPECSERVE_REDACT", "set by the launcher"),
        ("SPECSERVE_ANYTHING", "set by the launcher"),
        ("PYTHONFAULTHANDLER", "set by the launcher"),
        ("SGLANG_PLUGINS", "own plugins"),
        ("LD_PRELOAD", "which code"),
        ("LD_LIBRARY_PATH", "which code"),
        ("PYTHONPATH", "which code"),
    ],
)
def test_what_is_the_launcher_s_own_or_loads_code_is_refused(name: str, why: str) -> None:
    assert why in refusal({name: "x"})


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_every_variable_that_the_launcher_sets_is_refused(device: str) -> None:
    config = make_config(device=device, shared_imports=True, model_path="OWNER/NAME")
    target = CommandTarget("python", (0, 1), secrets_file=Path("/s"), python_path="/p")
    own = build_command(config, target).environment

    # These are the user's to say, or are refused for what they do.
    for name in own.keys() - {"PYTHONPATH"}:
        with pytest.raises(ValidationError, match=name):
            make_config(device=device, environment={name: "1"})
    assert own.keys() >= SET_ALWAYS
    assert device == "cuda" or own.keys() >= SET_ON_CPU


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ([SECRET], "entry 1 of the environment is not NAME=VALUE"),
        (["A=1", f"{SECRET}=1"], "the name in entry 2"),
        (["1A=1"], "the name in entry 1"),
        (["=1"], "the name in entry 1"),
        (["A=1", "A=2"], "A stands twice"),
        ({"A": [SECRET]}, "holds a list or a mapping"),
        ({"A": {"B": SECRET}}, "holds a list or a mapping"),
        ({"A": None}, "A has no value"),
        ({"A": 1.5}, "A has a fraction"),
        ({"A": 10**5000}, "no text"),
        ({"A": "a\nb"}, "a line break"),
        ({"A": "a\0b"}, "a control character"),
        ("A=1", "valid tuple"),
    ],
)
def test_what_is_no_variable_is_refused_without_its_value(environment: Any, why: str) -> None:
    said = refusal(environment)

    assert why in said
    assert SECRET not in said


def test_yaml_numbers_and_words_stay_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "port: &port 8123\nenvironment:\n  RATIO: 1.10\n  ON: yes\n  MODE: 0o17\n  TIME: 1:30\n"
        "  DAY: 2026-11-28\n  PORT: *port\n  LEADING: 010\n  TEXT: 'a b'\n"
    )
    config = resolve(
        preset="custom", config_file=file, flags={"model_path": "O/N", "device": "cuda"}
    ).config

    assert config.port == 8123
    assert config.environment == (
        *("RATIO=1.10", "ON=yes", "MODE=0o17", "TIME=1:30", "DAY=2026-11-28", "PORT=8123"),
        *("LEADING=010", "TEXT=a b"),
    )


def test_toml_has_tables_of_variables(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[environment]\nNCCL_DEBUG = "INFO"\nNCCL_P2P_DISABLE = 1\nX = true\n')
    config = resolve(
        preset="custom", config_file=file, flags={"model_path": "O/N", "device": "cuda"}
    ).config

    assert config.environment == ("NCCL_DEBUG=INFO", "NCCL_P2P_DISABLE=1", "X=true")


def test_a_variable_twice_in_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"environment:\n  A: {SECRET}\n  A: 2\n")

    with pytest.raises(ConfigFileError, match="line 3.*'A' stands twice") as caught:
        read_config_file(file)
    assert SECRET not in caught.value.problem


def test_a_variable_of_variables_is_split_as_a_shell_would() -> None:
    variables = {"SPECSERVE_ENVIRONMENT": "NCCL_DEBUG=INFO NAME='two words'"}

    assert read_environment(variables) == {"environment": ("NCCL_DEBUG=INFO", "NAME=two words")}
