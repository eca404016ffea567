"""Which source of a field wins, and how each one is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings

from launcher.config.config_file import FIELD_NAMES, read_config_file
from launcher.config.server_config import ServerConfig
from launcher.config.sources import (
    OTHER_VARIABLES,
    ResolvedConfig,
    read_environment,
    resolve,
)
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.errors import (
    ConfigFileError,
    InvalidValueError,
    LauncherError,
    UnknownKeyError,
    UnknownPresetError,
)
from launcher.names import RUN_ID_VARIABLE
from launcher.system.hardware import GIB, Gpu, Hardware
from tests.unit.launcher.examples import SECRET, configs

if TYPE_CHECKING:
    from pathlib import Path


def without_gpu() -> Hardware:
    return Hardware(gpus=(), gpu_note="no driver", cpus=(0, 1), available_memory_bytes=8 * GIB)


def with_two_gpus() -> Hardware:
    gpus = tuple(
        Gpu(index, f"GPU-{index}", "H100", 80 * GIB, 79 * GIB, (9, 0)) for index in range(2)
    )
    return Hardware(gpus=gpus, gpu_note="all", cpus=(0,), available_memory_bytes=8 * GIB)


def never_probe() -> Hardware:
    raise AssertionError("the machine must not be looked at")


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def said(error: LauncherError) -> str:
    return "\n".join([error.problem, error.action, *error.evidence])


# --- the order of strength ---------------------------------------------------------------------


def test_a_flag_beats_the_environment_beats_the_file_beats_the_preset(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", "port: 1001\ntp_size: 2\nserved_model_name: from-file\n")

    resolved = resolve(
        preset="nano",
        config_file=file,
        environment={"SPECSERVE_PORT": "1002", "SPECSERVE_TP_SIZE": "3", "HOME": "/"},
        flags={"port": "1003"},
        probe=never_probe,
    )

    config = resolved.config
    assert (config.port, config.tp_size, config.served_model_name) == (1003, 3, "from-file")
    assert config.dtype == "float32"
    assert resolved.preset_reason == "asked for"
    assert {
        field: resolved.sources[field]
        for field in ("port", "tp_size", "served_model_name", "dtype", "host", "preset")
    } == {
        "port": "flag",
        "tp_size": "environment",
        "served_model_name": f"file {file}",
        "dtype": "preset nano",
        "host": "default",
        "preset": "flag",
    }
    assert set(resolved.sources) == FIELD_NAMES


@pytest.mark.parametrize(
    ("probe", "preset"), [(without_gpu, "nano"), (with_two_gpus, "glm-4.5-air-fp8")]
)
def test_the_machine_decides_where_nobody_names_a_preset(probe: Any, preset: str) -> None:
    resolved = resolve(probe=probe)

    assert resolved.config.preset == preset
    assert resolved.sources["preset"] == f"preset {preset}"
    assert resolved.preset_reason != "asked for"


@pytest.mark.parametrize(
    ("in_file", "in_environment", "on_the_line", "chosen"),
    [
        ("nano", None, None, "nano"),
        ("nano", "glm-4.5-air-fp8", None, "glm-4.5-air-fp8"),
        ("nano", "nano", "glm-4.5-air-fp8", "glm-4.5-air-fp8"),
        ("nano", "", "", "nano"),
    ],
)
def test_the_strongest_source_that_names_a_preset_decides(
    tmp_path: Path,
    in_file: str,
    in_environment: str | None,
    on_the_line: str | None,
    chosen: str,
) -> None:
    environment = {} if in_environment is None else {"SPECSERVE_PRESET": in_environment}

    resolved = resolve(
        preset=on_the_line,
        config_file=write(tmp_path, "a.yml", f"preset: {in_file}\n"),
        environment=environment,
        probe=never_probe,
    )

    assert resolved.config.preset == chosen


@pytest.mark.parametrize("environment", [{"SPECSERVE_PRESET": ""}, {}])
def test_an_empty_preset_is_no_preset(environment: dict[str, str]) -> None:
    resolved = resolve(environment=environment, probe=without_gpu)

    assert resolved.config.preset == "nano"
    assert resolved.sources["preset"] == "preset nano"


@pytest.mark.parametrize(
    ("device", "tokens"),
    [("cuda", None), ("cpu", 65_536), ("", None)],  # emptied: its default
)
def test_what_a_preset_says_of_its_own_device_is_not_said_of_another(
    device: str, tokens: int | None
) -> None:
    environment = {"SPECSERVE_DEVICE": device}

    named = resolve(environment=environment, flags={"model_path": "owner/model"}, probe=without_gpu)
    large = resolve(preset="glm-4.5-air-fp8", environment=environment, probe=never_probe)

    assert named.config.max_total_tokens == large.config.max_total_tokens == tokens
    assert large.config.mem_fraction_static == (0.7 if tokens is None else None)
    assert named.sources["device"] == "environment"


def test_what_is_asked_for_beside_another_device_stands() -> None:
    config = nano(flags={"device": "cuda", "max_total_tokens": 4096}).config

    assert (config.device, config.max_total_tokens, config.dtype) == ("cuda", 4096, "auto")


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownPresetError, match="did you mean 'nano'"):
        resolve(environment={"SPECSERVE_PRESET": "nanno"}, probe=never_probe)


def test_an_empty_value_brings_the_default_back(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", "port: 1001\ncontext_length: 512\nrandom_seed:\n")

    resolved = nano(
        config_file=file,
        environment={"SPECSERVE_PORT": "", "SPECSERVE_CONTEXT_LENGTH": ""},
        flags={"speculative_algorithm": None},
    )

    config = resolved.config
    assert (config.port, config.context_length, config.random_seed) == (8000, None, None)
    assert config.speculative_algorithm is None
    assert resolved.sources["port"] == "environment"
    assert resolved.sources["speculative_algorithm"] == "flag"


def test_a_required_field_cannot_be_emptied() -> None:
    with pytest.raises(InvalidValueError, match=r"model_path \(environment\): Field required"):
        nano(environment={"SPECSERVE_MODEL_PATH": ""})


def test_what_was_resolved_cannot_be_changed() -> None:
    sources: Any = nano().sources

    with pytest.raises(TypeError):
        sources["port"] = "elsewhere"


def test_an_invalid_value_is_named_with_its_source_and_not_echoed() -> None:
    with pytest.raises(InvalidValueError) as caught:
        nano(environment={"SPECSERVE_PORT": SECRET}, flags={"tp_size": SECRET})

    assert "port (environment): Input should be a valid integer" in caught.value.problem
    assert "tp_size (flag): Input should be a valid integer" in caught.value.problem
    assert SECRET not in said(caught.value)


def test_fields_that_do_not_go_together_are_told_in_words() -> None:
    with pytest.raises(InvalidValueError) as caught:
        nano(flags={"speculative_algorithm": "STANDALONE"})

    assert caught.value.problem == (
        "The configuration is not valid: STANDALONE needs speculative_draft_model_path."
    )


# --- the environment ---------------------------------------------------------------------------


def test_a_variable_that_names_no_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownKeyError) as caught:
        read_environment({"SPECSERVE_PROT": SECRET})

    assert "SPECSERVE_PROT names no field (did you mean 'port'?)" in caught.value.problem
    assert SECRET not in said(caught.value)


def test_variables_without_the_prefix_and_those_read_elsewhere_are_passed_over() -> None:
    assert read_environment({"PORT": "1", **dict.fromkeys(OTHER_VARIABLES, SECRET)}) == {}


def test_what_the_launcher_sets_for_a_server_does_not_stop_a_launcher_inside_it() -> None:
    variables = {cpu_settings.ENVIRONMENT_SWITCH: "1", RUN_ID_VARIABLE: "0123"}

    assert read_environment(variables) == {}


def test_extra_arguments_are_split_as_a_shell_would() -> None:
    variables = {
        "SPECSERVE_EXTRA_ARGS": "--log-level debug --json-model-override-args '{\"a\": 1}'"
    }

    assert read_environment(variables) == {
        "extra_args": ("--log-level", "debug", "--json-model-override-args", '{"a": 1}')
    }


@pytest.mark.parametrize("value", [f"'{SECRET}", f'"{SECRET}', f"{SECRET}\\"])
def test_extra_arguments_with_an_open_quotation_are_refused(value: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        read_environment({"SPECSERVE_EXTRA_ARGS": value})

    assert "SPECSERVE_EXTRA_ARGS" in caught.value.problem
    assert SECRET not in said(caught.value)


# --- files -------------------------------------------------------------------------------------


@settings(max_examples=30)  # each writes a file
@given(configs())
def test_a_configuration_can_be_written_as_yaml_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    file = write(tmp_path_factory.mktemp("yaml"), "a.yaml", yaml.safe_dump(fields))

    read = read_config_file(file)

    assert ServerConfig.model_validate(read) == ServerConfig.model_validate(fields)


@settings(max_examples=30)  # each writes a file
@given(configs())
def test_a_configuration_can_be_written_as_toml_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    # JSON's strings, numbers, booleans and lists are TOML's too; TOML wants a point in a float.
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    text = "\n".join(re.sub(r"= (\d+)e", r"= \1.0e", line) for line in lines)
    file = write(tmp_path_factory.mktemp("toml"), "a.toml", text)

    read = read_config_file(file)

    assert ServerConfig.model_validate(read) == ServerConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "tp-size: 2\nextra-args: [--a, b]\n"),
        ("a.toml", "tp-size = 2\nextra-args = ['--a', 'b']"),
    ],
)
def test_keys_may_be_spelled_as_the_flags_are(tmp_path: Path, name: str, text: str) -> None:
    assert read_config_file(write(tmp_path, name, text)) == {
        "tp_size": 2,
        "extra_args": ["--a", "b"],
    }


def test_yaml_anchors_reach_from_one_field_to_another(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", "model_path: &it /models/a\nserved_model_name: *it\n")

    assert read_config_file(file) == {"model_path": "/models/a", "served_model_name": "/models/a"}


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.toml"])
def test_an_empty_file_sets_nothing(tmp_path: Path, name: str) -> None:
    assert read_config_file(write(tmp_path, name, "# nothing yet\n")) == {}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (f"port: 1\nname: '{SECRET}\n", 3, 1),
        (f"port: 1\n  name: {SECRET}\n", 2, 7),
        (f"name: [{SECRET}\nport: 1\n", 2, 5),
        (f"name: {{{SECRET}\n", 2, 1),
        (f"name: @{SECRET}\n", 1, 7),
        (f'name: "{SECRET}\\q"\n', 1, 43),
        (f"port: 1\nname: *{SECRET}\n", 2, 7),
        (f"port: 1\nname: !{SECRET} x\n", 2, 7),
        (f"port: 1\nname: !!python/object:{SECRET} x\n", 2, 7),
        (f"name: !x!{SECRET} y\n", 1, 7),
        (f"port: 1\n---\nname: {SECRET}\n", 2, 1),
        (f"port: 1\nname: {SECRET}\x07\n", 2, 41),
        (f"port: !!int {SECRET}\n", 1, 7),
        ("port: 1\nname: 2026-13-45\n", 2, 7),
        (f"port: 1\n? [{SECRET}]\n: 1\n", 2, 3),
        ("port: 1\n\tname: x\n", 2, 1),
    ],
)
def test_malformed_yaml_is_told_by_line_and_column_without_the_value(
    tmp_path: Path, text: str, line: int, column: int
) -> None:
    file = write(tmp_path, "a.yaml", text)

    with pytest.raises(ConfigFileError) as caught:
        read_config_file(file)

    assert str(file) in caught.value.problem
    assert f"line {line}, column {column}" in caught.value.problem
    assert SECRET not in said(caught.value)


def test_what_was_wrong_with_the_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="mapping values are not allowed here"):
        read_config_file(write(tmp_path, "a.yaml", "port: 1\n  name: x\n"))
    with pytest.raises(ConfigFileError, match="found character '@' that cannot start any token"):
        read_config_file(write(tmp_path, "a.yaml", "name: @x\n"))
    with pytest.raises(ConfigFileError, match="but got '<block end>'|but got '<stream end>'"):
        read_config_file(write(tmp_path, "a.yaml", "name: [x\n"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"port = 1\nname = '{SECRET}\n", "line 3, column 1"),
        (f"port = 1\nname {SECRET}\n", "line 2, column 6"),
        (f"port = 1\nname = {SECRET}\n", "line 2, column 8"),
        (f"name = '{SECRET}'\nname = '{SECRET}'\n", "line 2, column 44"),
        ("port = 2026-11-23T25:00:00\n", "line 1, column 18"),
    ],
)
def test_malformed_toml_is_told_by_line_and_column_without_the_value(
    tmp_path: Path, text: str, place: str
) -> None:
    file = write(tmp_path, "a.toml", text)

    with pytest.raises(ConfigFileError) as caught:
        read_config_file(file)

    assert str(file) in caught.value.problem
    assert place in caught.value.problem
    assert SECRET not in said(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.yaml", "port: 1\nprot: {}\n", ", line 2, column 1: the key 'prot'"),
        ("a.yaml", "port: 1\n12: {}\n", ", line 2, column 1: the key '12'"),
        ("a.toml", "port = 1\nprot = '{}'\n", ": the key 'prot'"),
        ("a.toml", "[prot]\nx = '{}'\n", ": the key 'prot'"),
    ],
)
def test_an_unknown_key_is_refused_where_it_stands(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    file = write(tmp_path, name, text.format(SECRET))

    with pytest.raises(UnknownKeyError) as caught:
        read_config_file(file)

    assert f"{file}{place} names no field" in caught.value.problem
    assert SECRET not in said(caught.value)


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownKeyError, match="did you mean 'tp_size'"):
        read_config_file(write(tmp_path, "a.yaml", "tp-sizes: 2\n"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "tp_size: 1\ntp_size: 2\n"),
        ("a.yaml", "tp_size: 1\ntp-size: 2\n"),
        ("a.toml", "tp_size = 1\ntp-size = 2\n"),
    ],
)
def test_a_key_may_stand_once_only(tmp_path: Path, name: str, text: str) -> None:
    file = write(tmp_path, name, text)

    with pytest.raises(ConfigFileError, match="stands twice") as caught:
        read_config_file(file)

    assert name != "a.yaml" or "line 2, column 1" in caught.value.problem


@pytest.mark.parametrize("text", ["- port\n", "port\n", "8000\n"])
def test_yaml_without_fields_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigFileError, match="no mapping of fields to values"):
        read_config_file(write(tmp_path, "a.yaml", text))


@pytest.mark.parametrize(("name", "ending"), [("a.json", "'.json'"), ("config", "'nothing'")])
def test_other_formats_are_refused(tmp_path: Path, name: str, ending: str) -> None:
    with pytest.raises(ConfigFileError, match=f"ends in {ending}"):
        read_config_file(write(tmp_path, name, "{}"))


def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="No such file"):
        read_config_file(tmp_path / "missing.yaml")
    with pytest.raises(ConfigFileError, match="Is a directory"):
        read_config_file(tmp_path)
    binary = tmp_path / "a.yaml"
    binary.write_bytes(b"port: \xff\xfe")
    with pytest.raises(ConfigFileError, match="not UTF-8"):
        read_config_file(binary)


def nano(**sources: Any) -> ResolvedConfig:
    return resolve(preset="nano", probe=never_probe, **sources)


def test_the_path_of_a_folder_becomes_absolute_and_a_repository_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server runs in another folder than the one where it was asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "here").mkdir(parents=True)

    def path_of(given: str) -> str:
        return resolve(preset="nano", flags={"model_path": given}).config.model_path

    assert path_of("owner/here") == str(tmp_path / "owner" / "here")
    assert path_of("owner/there") == "owner/there"
    assert path_of("nowhere") == str(tmp_path / "nowhere")
    assert path_of("./owner") == str(tmp_path / "owner")


def test_another_model_is_not_served_under_the_presets_name() -> None:
    resolved = resolve(preset="nano", flags={"model_path": "/models/tiny"})
    assert resolved.config.served_model_name == "tiny"

    named = resolve(
        preset="nano", flags={"model_path": "/models/tiny", "served_model_name": "mine"}
    )
    assert named.config.served_model_name == "mine"


def test_a_presets_numbers_do_not_go_to_another_algorithm() -> None:
    numbers = ("speculative_num_steps", "speculative_eagle_topk", "speculative_num_draft_tokens")

    def shown(**flags: Any) -> list[Any]:
        config = resolve(preset="nano", flags=flags).config
        return [getattr(config, field) for field in numbers]

    assert shown(speculative_algorithm="NGRAM") == [None, None, None]
    assert shown(speculative_algorithm=None) == [None, None, None]
    assert shown(speculative_algorithm="NGRAM", speculative_num_draft_tokens=8) == [None, None, 8]
    assert shown(speculative_algorithm="EAGLE") == [3, 1, 4]
