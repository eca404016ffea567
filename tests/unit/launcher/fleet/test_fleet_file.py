"""A fleet's file: what is read from it, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import (
    ConfigError,
    ConfigFileError,
    InvalidValueError,
    LauncherError,
    UnknownKeyError,
)
from launcher.fleet.fleet_file import FleetConfig, read_fleet_file


def write(folder: Path, text: str) -> Path:
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_an_empty_mapping_is_a_fleet_of_two(tmp_path: Path) -> None:
    fleet = read_fleet_file(write(tmp_path, "name: chat\n"))
    assert (fleet.name, fleet.replicas, fleet.gateway.port) == ("chat", 2, 8000)


def test_everything_that_a_fleet_has(tmp_path: Path) -> None:
    fleet = read_fleet_file(
        write(
            tmp_path,
            "name: chat\nreplicas: 3\nserver: {preset: nano, tp_size: 1}\n"
            "gateway: {host: 0.0.0.0, port: 9000, policy: round_robin, metrics_port: 9500,\n"
            "          extra_args: [--queue-size, '200']}\n"
            "remotes: ['http://10.0.0.5:8000/', 'https://gpu7:443']\n",
        )
    )
    assert fleet.server == {"preset": "nano", "tp_size": 1}
    assert fleet.gateway.extra_args == ("--queue-size", "200")
    assert fleet.remotes == ("http://10.0.0.5:8000", "https://gpu7:443")
    assert FleetConfig.model_validate_json(fleet.model_dump_json()) == fleet


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("replica: 2\n", UnknownKeyError, "'replica' names nothing of a fleet.*replicas"),
        ("gateway: {prot: 1}\n", UnknownKeyError, "'prot' names nothing of a gateway.*port"),
        ("replicas: two\n", InvalidValueError, "replicas: "),
        ("replicas: 65\n", InvalidValueError, "replicas: "),
        ("replicas: 2\nreplicas: 3\n", ConfigFileError, "'replicas' stands twice"),
        ("gateway: {port: 1, port: 2}\n", ConfigFileError, "'port' stands twice"),
        ("gateway: {port: 010000}\n", ConfigFileError, "leading zero"),
        ("gateway: {policy: fastest}\n", InvalidValueError, "gateway.policy"),
        ("name: ../up\n", InvalidValueError, "name"),
        ("name: " + "n" * 49 + "\n", InvalidValueError, "name"),
        ("remotes: [localhost:8000]\n", InvalidValueError, "number 1 is not http://HOST:PORT"),
        ("remotes: ['http://a/v1']\n", InvalidValueError, "number 1"),
        ("remotes: ['http://a', 'http://a/']\n", InvalidValueError, "twice"),
        ("remotes: ['http://a:99999']\n", InvalidValueError, "number 1"),
        ("remotes: ['http://a:x']\n", InvalidValueError, "number 1"),
        ("- replicas\n", ConfigFileError, "no mapping"),
        ("", ConfigFileError, "no mapping"),
        ("a: [\n", ConfigFileError, "not YAML"),
        ("server: &x [*x]\n", ConfigFileError, "an alias within"),
        ("a: " + "[" * 40 + "]" * 40, ConfigFileError, "not YAML"),
        ("name: 2026-13-45\n", ConfigFileError, "cannot read"),
        ("? [a]\n: 1\n", ConfigFileError, "a key is no word"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, text: str, kind: type[LauncherError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        read_fleet_file(write(tmp_path, text))


@pytest.mark.parametrize("before", ["me:hunter2", ":hunter2", "hunter2"])
def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path: Path, before: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        read_fleet_file(write(tmp_path, f"remotes: ['http://{before}@host:8000']\n"))
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"no\.yaml cannot be read"):
        read_fleet_file(tmp_path / "no.yaml")


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = write(tmp_path_factory.mktemp("fleet"), text)
    try:
        read_fleet_file(file)
    except ConfigError:
        return
