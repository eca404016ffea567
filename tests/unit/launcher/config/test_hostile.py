"""Configuration that nobody sane would write is refused in words, or served as it is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, example, given, settings

from launcher.config.config_file import LARGEST_FILE_BYTES, MOST_NODES, read_config_file
from launcher.config.fields.outside import LONGEST_TEXT_CHARACTERS, flaw_of
from launcher.config.keys import read_keys
from launcher.config.sources import resolve
from launcher.errors import ConfigFileError, InvalidValueError
from launcher.system import hardware
from tests.unit.launcher.config import hostile
from tests.unit.launcher.config.hostile import Case
from tests.unit.launcher.examples import make_config

# A hang is an error here, not a wait for the whole run's time limit.
HANG_SECONDS = 60


class HungError(BaseException):
    """Nothing came of it; no handler of errors may take it for one."""


@pytest.fixture(autouse=True)
def nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def ring(*_: object) -> NoReturn:
        raise HungError

    laptop = hardware.Hardware((), "no driver", (0, 1), 16 * hardware.GIB)
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: laptop)
    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


@settings(
    max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, *HealthCheck]
)
@example(Case(file=b"port: 80\0"))
@example(Case(file=b'served_model_name: "a\\0b"'))
@example(Case(file=b"? " * 20_000))
@example(Case(file=b"port = " + b"[" * 20_000, ending=".toml"))
@example(Case(file=b"enable_metrics: !!bool x"))
@example(Case(file=b"model_path: !!timestamp 9"))
@example(Case(file=b"port: !!int ''"))
@example(Case(arguments=("--", "--json-model-override-args", "[" * 20_000)))
@example(Case(arguments=("--tool-call-parser", "a\tb")))
@example(Case(environment={"SPECSERVE_\x1b[2J": "1"}))
@given(hostile.CASES)
def test_what_is_drawn_at_random_is_refused_in_words_or_can_be_started(
    tmp_path: Path, case: Case
) -> None:
    signal.alarm(HANG_SECONDS)
    assert hostile.flaw(case, tmp_path) is None


@pytest.mark.parametrize("kind", hostile.SPECIAL_KINDS)
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    case = Case(file=b"", kind=kind)
    assert hostile.flaw(case, tmp_path) is None


def test_a_large_file_is_named_with_its_size_and_the_bound(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"#" * (LARGEST_FILE_BYTES + 1))
    with pytest.raises(ConfigFileError, match="it has 1.0 MiB, and 1.0 MiB are read at most"):
        read_config_file(file)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.yaml", "extra_args: " + "[" * 20_000, "is nested deeper than 16 levels"),
        ("a.yaml", "extra_args: [" + "a, " * MOST_NODES + "]", "has more than 10,000 values"),
        ("a.toml", "extra_args = " + "[" * 20_000, "is nested deeper than a configuration is"),
        ("a.yaml", "port: 010", "a leading zero or a colon"),
        ("a.yaml", "port: 80:30", "a leading zero or a colon"),
        ("a.yaml", "extra_args: [--seed, 0755]", "a leading zero or a colon"),
        ("a.yaml", "port: !!int ''", "a value that YAML cannot read"),
        ("a.yaml", "port: " + "1" * 5000, "a value that YAML cannot read"),
    ],
)
def test_what_yaml_and_toml_would_stumble_over_is_told(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigFileError, match=problem):
        read_config_file(file)


def test_the_mark_that_editors_begin_a_file_with_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbfport = 8123\n")
    assert read_config_file(file) == {"port": 8123}


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ("a\0b", "holds a control character (U+0000) at character 2"),
        ("a\nb", "holds a line break (U+000A) at character 2"),
        ("\x1b[2J", "holds a control character (U+001B) at character 1"),
        ("a\u2028", "holds a line break (U+2028) at character 2"),
        ("a\u202eb", "holds a control of the writing direction (U+202E) at character 2"),
        ("\udcff", "holds bytes that are no text in UTF-8 at character 1"),
        ("x" * (LONGEST_TEXT_CHARACTERS + 1), "has 32,769 characters, and 32,768 are taken"),
        (["a", "b\0"], "holds a control character (U+0000) at character 2"),
        (["a"] * 1001, "has 1,001 entries, and 1,000 are taken at most"),
        ({"a": 1}, "holds a list or a mapping where one value is expected"),
        ([["a"]], "holds a list or a mapping where one value is expected"),
        (b"a", "is binary data, not text"),
    ],
)
def test_each_flaw_of_a_value_is_told_without_the_value(value: object, flaw: str) -> None:
    assert (flaw_of(value) or "").startswith(flaw)


@pytest.mark.parametrize("value", ["GLM-4.5 \u00e9\u4e2d", "", "a b", 1, 1.5, True, None, ["a"]])
def test_what_people_write_has_no_flaw(value: object) -> None:
    assert flaw_of(value) is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"port": True}, "port (flag): is read as true or false, which it does not take"),
        ({"served_model_name": False}, "served_model_name (flag): is read as true or false"),
        ({"insecure": 1}, "insecure (flag): is a number where true or false is expected"),
        ({"max_total_tokens": 10**13}, "max_total_tokens (flag): is above 1,000,000,000,000"),
        ({"start_timeout_seconds": 1e10}, "start_timeout_seconds (flag): is above 1,000,000,000"),
        ({"served_model_name": "a\0"}, "served_model_name (flag) holds a control character"),
        ({"extra_args": ("a\nb",)}, "extra_args (flag) holds a line break"),
    ],
)
def test_a_value_that_no_field_takes_is_refused_with_the_field_and_its_source(
    fields: dict[str, object], problem: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        resolve(preset="nano", flags=fields)
    assert problem in caught.value.problem


def test_a_variable_of_words_may_say_yes_with_a_digit() -> None:
    resolved = resolve(preset="nano", environment={"SPECSERVE_INSECURE": "1"})
    assert resolved.config.insecure


def test_a_key_file_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "key"
    hostile.make_pipe(pipe)
    with pytest.raises(InvalidValueError, match="it is a pipe, a socket or a device"):
        read_keys(make_config(api_key_file=pipe), {})
