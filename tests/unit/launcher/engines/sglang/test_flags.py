"""SGLang's command line, checked without SGLang."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.engines.common.flags import FlagTable
from launcher.engines.sglang.options import flags
from launcher.engines.sglang.options.dump_flags import describe
from launcher.engines.sglang.options.flags import ask_sglang, load_flag_table
from launcher.engines.sglang.version import VERIFIED_VERSION, installed_sglang_version
from launcher.errors import EngineBrokenError, EngineMissingError, UnknownFlagError
from tests.unit.launcher.examples import SECRET

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def sglang() -> FlagTable:
    return load_flag_table(VERIFIED_VERSION)


class RaisingParser(argparse.ArgumentParser):
    """A parser of the kind that SGLang fills, which raises where it would exit."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def an_engine_parser() -> RaisingParser:
    parser = RaisingParser()
    parser.add_argument("--model-path", "--model", type=str, required=False)
    parser.add_argument("--port", type=int)
    parser.add_argument("--fraction", type=float)
    parser.add_argument("--override", type=json.loads)
    parser.add_argument("--level", type=int, choices=[1, 2, 10])
    parser.add_argument("--dtype", choices=["half", "float"])
    parser.add_argument("--enable-metrics", action="store_true")
    parser.add_argument("--cache", action=argparse.BooleanOptionalAction)
    parser.add_argument("--ids", type=int, nargs="+")
    parser.add_argument("--names", nargs="*")
    parser.add_argument("--checksum", nargs="?", const="")
    parser.add_argument("-q", action="store_true")
    return parser


ENGINE = FlagTable(version="9.9", options=tuple(describe(an_engine_parser())))


# --- describing a parser -----------------------------------------------------------------------


def test_a_parser_is_described_by_spellings_values_types_and_choices() -> None:
    described = {entry["options"][0]: entry for entry in describe(an_engine_parser())}

    assert described["--model-path"] == {"options": ["--model-path", "--model"]}
    assert described["--port"] == {"options": ["--port"], "type": "int"}
    assert described["--fraction"]["type"] == "float"
    assert described["--override"]["type"] == "json"
    assert described["--level"] == {
        "options": ["--level"],
        "type": "int",
        "choices": ["1", "10", "2"],
    }
    assert described["--enable-metrics"] == {"options": ["--enable-metrics"], "nargs": 0}
    assert described["--cache"]["options"] == ["--cache", "--no-cache"]
    assert described["--ids"]["nargs"] == "+"
    assert "-h" not in described
    assert json.loads(json.dumps(list(described.values()))) == list(described.values())


def test_what_takes_no_option_is_not_described() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("free")

    assert describe(parser) == []


WORDS = st.sampled_from(
    [
        *("--model-path", "--model", "--mod", "--port", "--port=1", "--port=x", "--p", "--fr"),
        *("--fraction", "--override", "--override={}", "--level", "--dtype", "--enable-metrics"),
        *("--enable-metrics=1", "--cache", "--no-cache", "--ids", "--names", "--checksum", "-q"),
        *("--c", "--unknown", "1", "2", "10", "0.5", "half", "{}", "{", "x", "-1", "a b", "[1]"),
    ]
)


@given(st.lists(WORDS, max_size=6))
def test_the_table_takes_exactly_what_the_parser_takes(arguments: list[str]) -> None:
    try:
        an_engine_parser().parse_args(arguments)
        accepted = True
    except ValueError:
        accepted = False

    try:
        ENGINE.check(arguments)
    except UnknownFlagError:
        assert not accepted
    else:
        assert accepted


# --- refusals ----------------------------------------------------------------------------------


def test_the_command_line_of_the_large_preset_is_taken(sglang: FlagTable) -> None:
    sglang.check(
        [
            *("--model-path", "zai-org/GLM-4.5-Air-FP8", "--tp-size", "2", "--port", "8000"),
            *("--speculative-algorithm", "EAGLE", "--speculative-num-steps", "3"),
            *("--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", "4"),
            *("--mem-fraction-static", "0.7", "--tool-call-parser", "glm45"),
            *("--reasoning-parser", "glm45", "--enable-metrics", "--log-requests-level", "2"),
            *("--cuda-graph-bs-decode", "1", "2", "4"),
        ]
    )


def test_an_unknown_option_is_refused_with_the_nearest(sglang: FlagTable) -> None:
    with pytest.raises(UnknownFlagError) as caught:
        sglang.check([f"--speculative-num-step-s={SECRET}"])

    assert caught.value.problem == (
        f"The command line of SGLang {VERIFIED_VERSION} has no option --speculative-num-step-s "
        "(did you mean '--speculative-num-steps'?)."
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", SECRET], "argument --port: the value is not of type int"),
        ([f"--port={SECRET}"], "argument --port: the value is not of type int"),
        (["--fraction", SECRET], "argument --fraction: the value is not of type float"),
        (["--override", f"{{{SECRET}"], "argument --override: the value is not of type json"),
        (["--level", "3"], "argument --level: the value is none of 1, 10, 2"),
        (["--dtype", SECRET], "argument --dtype: the value is none of float, half"),
        (["--ids", "1", SECRET], "argument --ids: the value is not of type int"),
        (["--ids"], "argument --ids: expected at least one argument"),
        (["--port"], "argument --port: expected one argument"),
        ([f"--enable-metrics={SECRET}"], "argument --enable-metrics: ignored explicit argument"),
        (["--enable-metrics", SECRET], "takes no free-standing value, and 1 were given"),
        ([SECRET, SECRET], "takes no free-standing value, and 2 were given"),
        ([f"--c={SECRET}"], "takes --c for any of --cache, --checksum"),
    ],
)
def test_a_wrong_value_is_refused_without_being_echoed(
    arguments: list[str], complaint: str
) -> None:
    with pytest.raises(UnknownFlagError) as caught:
        ENGINE.check(arguments)

    assert complaint in caught.value.problem
    assert caught.value.problem.startswith("The command line of SGLang 9.9 ")
    assert SECRET not in caught.value.problem + caught.value.action


# --- spellings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "option"),
    [
        ("--model-path", "--model-path"),
        ("--model", "--model-path"),
        ("--model=/x", "--model-path"),
        ("--mod", "--model-path"),
        ("--no-c", "--cache"),
        ("-q", "-q"),
        ("--c", None),
        ("--unknown", None),
        ("-m", None),
        ("value", None),
        ("", None),
    ],
)
def test_every_spelling_of_an_option_means_its_first(argument: str, option: str | None) -> None:
    assert ENGINE.canonical(argument) == option


def test_every_spelling_in_the_shipped_table_means_its_own_option(sglang: FlagTable) -> None:
    assert {
        option["options"][0]: {sglang.canonical(name) for name in option["options"]}
        for option in sglang.options
    } == {option["options"][0]: {option["options"][0]} for option in sglang.options}
    assert {"--tp-size", "--tensor-parallel-size"} <= sglang.names


# --- where the table comes from ----------------------------------------------------------------


def test_the_installed_version_is_read_from_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"version of {name}")

    assert installed_sglang_version() == "version of sglang"


def test_a_missing_engine_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])

    with pytest.raises(EngineMissingError, match="SGLang is not installed") as caught:
        installed_sglang_version()

    assert "uv sync" in caught.value.action


@pytest.mark.usefixtures("unasked")
def test_the_table_of_the_pinned_version_ships_with_the_launcher(tmp_path: Path) -> None:
    assert load_flag_table(VERIFIED_VERSION, cache=tmp_path).version == VERIFIED_VERSION
    assert list(tmp_path.iterdir()) == []


def python_that(monkeypatch: pytest.MonkeyPatch, folder: Path, does: str) -> Path:
    """An interpreter that does something else, and notes each time that it was asked."""
    python, asked = folder / "python", folder / "asked"
    python.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{does}\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return asked


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise AssertionError("SGLang must not be asked")

    monkeypatch.setattr(flags, "ask_sglang", refuse)


TABLE: dict[str, Any] = {"sglang": "9.9", "options": [{"options": ["--port"], "type": "int"}]}


def test_another_version_is_asked_once_and_then_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = python_that(monkeypatch, tmp_path, f"echo '{json.dumps(TABLE)}'")

    for _ in range(2):
        table = load_flag_table("9.9", cache=tmp_path / "cache")
        assert table == FlagTable("9.9", tuple(TABLE["options"]))

    assert asked.read_text() == "-m launcher.engines.sglang.options.dump_flags\n"


def test_the_table_is_remembered_in_the_cache_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_that(monkeypatch, tmp_path, f"echo '{json.dumps(TABLE)}'")

    load_flag_table("9.9")

    [kept] = (tmp_path / "xdg_cache_home").rglob("*.json")
    assert kept.name == "sglang_flags_9.9.json"
    assert json.loads(kept.read_text()) == TABLE


def test_a_torn_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python_that(monkeypatch, tmp_path, f"echo '{json.dumps(TABLE)}'")
    (tmp_path / "sglang_flags_9.9.json").write_text('{"sglang": "9.')

    assert load_flag_table("9.9", cache=tmp_path).version == "9.9"
    assert json.loads((tmp_path / "sglang_flags_9.9.json").read_text()) == TABLE


def test_a_cache_that_cannot_be_kept_does_not_stop_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_that(monkeypatch, tmp_path, f"echo '{json.dumps(TABLE)}'")
    (tmp_path / "cache").write_text("a file, where a folder should be")

    assert load_flag_table("9.9", cache=tmp_path / "cache").version == "9.9"


def test_an_engine_that_cannot_be_imported_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_that(monkeypatch, tmp_path, "for i in 1 2 3 4 5 6; do echo line $i >&2; done; exit 3")

    with pytest.raises(EngineBrokenError, match=r"cannot be imported \(exit code 3\)") as caught:
        ask_sglang()

    assert caught.value.evidence == tuple(f"line {number}" for number in range(2, 7))


def test_an_engine_that_prints_no_table_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_that(monkeypatch, tmp_path, "echo hello")

    with pytest.raises(EngineBrokenError, match="did not describe its options"):
        load_flag_table("9.9", cache=tmp_path / "cache")

    assert not (tmp_path / "cache").exists()


def test_an_engine_whose_import_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_that(monkeypatch, tmp_path, "exec sleep 60")
    monkeypatch.setattr(flags, "DUMP_TIMEOUT_SECONDS", 0.05)

    with pytest.raises(EngineBrokenError, match="could not be imported within"):
        ask_sglang()
