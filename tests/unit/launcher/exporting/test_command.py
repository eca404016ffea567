"""The command around the manifests: files, notes, JSON, help, completion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from launcher.cli import main
from launcher.errors import ConfigFileError, InvalidValueError, UnexportableError
from tests.unit.launcher.exporting.scenes import KINDS, NEEDED, PINNED, exported, run

DIVIDED = (*PINNED, "--tp-size", "2")


@pytest.mark.parametrize("kind", KINDS)
def test_standard_output_has_the_manifest_and_nothing_else(kind: str) -> None:
    done = run(kind, *DIVIDED)
    assert list(yaml.safe_load_all(done.stdout))
    assert "Note: " in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_gives_the_same_text(kind: str) -> None:
    assert exported(kind, *DIVIDED) == exported(kind, *DIVIDED)


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_says_who_made_it_and_what_is_to_be_done(kind: str) -> None:
    head = [line for line in exported(kind, *DIVIDED).splitlines() if line.startswith("#")]
    text = " ".join(line.removeprefix("#").strip() for line in head)
    assert f"python -m launcher export {kind} {' '.join(NEEDED.get(kind, ()))}".strip() in text
    assert "openssl rand -hex 32" in text
    assert "Nothing else is left to fill in." in text


def test_a_line_break_does_not_leave_the_head(tmp_path: Path) -> None:
    file = tmp_path / "a\nkind: Secret\nb.yaml"
    file.write_text("preset: glm-4.5-air-fp8\n", encoding="utf-8")
    text = exported("compose", "--config", str(file))
    assert "kind: Secret" in text
    assert re.search(r"^kind: Secret", text, re.MULTILINE) is None


def test_a_file_is_written_once_and_replaced_by_force(tmp_path: Path) -> None:
    file = tmp_path / "made.yaml"
    done = run("compose", *PINNED, "--output", str(file))
    assert f"Wrote {file}" in done.stdout
    first = file.read_text(encoding="utf-8")
    with pytest.raises(ConfigFileError, match="exists"):
        run("compose", *PINNED, "--port", "9000", "--output", str(file))
    assert file.read_text(encoding="utf-8") == first
    run("compose", *PINNED, "--port", "9000", "--output", str(file), "--force")
    assert "9000" in file.read_text(encoding="utf-8")


def test_what_is_refused_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnexportableError):
        run("compose", "--preset", "nano", "--output", str(tmp_path / "made.yaml"))
    with pytest.raises(ConfigFileError, match="to hold YAML"):
        run("compose", *PINNED, "--output", str(tmp_path / "made.txt"))
    with pytest.raises(InvalidValueError, match="There is no folder"):
        run("compose", *PINNED, "--output", str(tmp_path / "no" / "made.yaml"))
    assert list(tmp_path.glob("*.y*")) == []


def test_where_it_goes_is_not_part_of_it(tmp_path: Path) -> None:
    text = exported("compose", *PINNED)
    for number, words in enumerate((["-o", "{}"], ["--output={}"], ["-o{}"], ["--output", "{}"])):
        file = tmp_path / f"{number}.yaml"
        run("compose", *(word.format(file) for word in words), *PINNED)
        assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--trust-remote-code",), "trust_remote_code is on"),
        (("--image", "mine/sglang:1"), "the image is one of your own"),
        (("--insecure",), "whoever reaches the port"),
        (("--api-key-file", "/nowhere/key"), "are not read"),
    ],
)
def test_what_one_may_not_expect_is_told(arguments: tuple[str, ...], said: str) -> None:
    done = run("kubernetes", *PINNED, *arguments)
    assert said in done.stderr
    head = done.stdout.partition("apiVersion")[0]
    assert said in " ".join(head.replace("#", " ").split())


def test_an_option_of_another_kind_is_told_where_it_belongs() -> None:
    done = run("kubernetes", "--interface", "eth1")
    assert done.exit_code == 2
    assert "--interface is an option of `export leaderworkerset`" in done.output
    assert "`export skypilot`" in run("compose", "--gpu=H100").output


def test_force_alone_is_a_slip() -> None:
    assert run("compose", *PINNED, "--force").exit_code == 2


@pytest.mark.parametrize("kind", KINDS)
def test_programs_get_json(kind: str) -> None:
    done = run(kind, *DIVIDED, "--json")
    made = json.loads(done.stdout)
    assert made["manifest"].startswith("# Made by")
    assert made["documents"] == list(yaml.safe_load_all(made["manifest"]))
    assert all(isinstance(note, str) for note in made["notes"])


def test_the_configuration_comes_from_files_and_variables_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("preset: glm-4.5-air-fp8\nport: 9001\n", encoding="utf-8")
    monkeypatch.setenv("SPECSERVE_CONTEXT_LENGTH", "4096")
    text = exported("compose", "--config", str(file))
    assert "127.0.0.1:9001:9001" in text
    (document,) = yaml.safe_load_all(text)
    command = document["services"]["server"]["command"]
    assert command[command.index("--context-length") + 1] == "4096"


def test_without_a_model_the_preset_for_gpus_is_taken_and_told() -> None:
    done = run("kubernetes")
    assert "Preset glm-4.5-air-fp8" in done.stderr
    assert "zai-org/GLM-4.5-Air-FP8" in done.stdout


def test_the_engines_spellings_are_understood() -> None:
    assert "nvidia.com/gpu: '4'" in exported("kubernetes", *PINNED, "--tp", "4")


def test_the_command_line_knows_it() -> None:
    group = main.cli.get_command(click.Context(main.cli), "export")
    assert isinstance(group, click.Group)
    assert set(group.commands) == {*KINDS, "grafana"}
    for kind in KINDS:
        done = CliRunner().invoke(main.cli, ["export", kind, "--help"])
        assert done.exit_code == 0
        assert "--replicas" in done.output
