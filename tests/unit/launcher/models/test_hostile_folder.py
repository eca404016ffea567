"""A model folder that somebody else wrote: any file of it may hold anything."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.errors import LauncherError, ModelIncompleteError, ModelNotFoundError
from launcher.models import store
from launcher.models.folder import INDEX_NAME, check_model_folder
from launcher.models.places import CachePlace
from launcher.nano.folder import model_path
from launcher.preflight.facts import ServingFacts
from launcher.preflight.fit import find_shape
from launcher.system.foreign import DEEPEST_JSON_LEVELS, parse_json, read_foreign
from launcher.system.hardware import GIB, Hardware
from tests.unit.launcher.examples import make_config

LAPTOP = Hardware((), "no driver", (0, 1), 16 * GIB)
HANG_SECONDS = 60
NANO: dict[str, Any] = json.loads((model_path() / "config.json").read_text("utf-8"))


class HungError(BaseException):
    """Nothing came of it."""


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    def ring(*_: object) -> NoReturn:
        raise HungError

    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(NANO))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return tmp_path


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, -1, 0, 1, 2**63, 10**400, 1e308, float("inf"), float("nan"), 0.5),
        *("", "x", "8", "\0", "\ud800", "fp8", "bfloat16", [], {}, [1], ["x"], {"a": 1}, [[]]),
        *([None], {"rope_type": 1}, {"quant_method": 1}, {"quant_method": "fp8"}),
    ]
)


@settings(max_examples=500, suppress_health_check=[*HealthCheck])
@given(st.dictionaries(st.sampled_from(sorted(NANO)), ODD, min_size=1, max_size=3), st.data())
def test_a_configuration_of_a_model_with_odd_values_is_planned_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, odd: dict[str, Any], data: st.DataObject
) -> None:
    signal.alarm(HANG_SECONDS)
    folder = tmp_path_factory.mktemp("model")
    content: Any = NANO | odd
    if data.draw(st.integers(0, 9)) == 0:
        content = data.draw(ODD)
    (folder / "config.json").write_text(json.dumps(content))
    config = make_config(model_path=str(folder), device="cpu", max_total_tokens=1000)
    try:
        found = find_shape(str(folder))
        ServingFacts(config, LAPTOP).plan_with(found)
    except LauncherError:
        return


@pytest.mark.parametrize("name", ["config.json", INDEX_NAME])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"[" * 100_000, "is nested too deep"),
        (b'{"a":' * 20_000, "is nested too deep"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "is nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"\0" * 100, "is not JSON"),
        (b"null", "is not a JSON object"),
    ],
)
def test_json_that_nobody_expects_is_named_with_its_file(
    folder: Path, name: str, content: bytes, what: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelIncompleteError, match=f"{name} {what}"):
        check_model_folder(folder)


def _pipe(file: Path) -> None:
    os.mkfifo(file)


def _endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _large(file: Path) -> None:
    with file.open("wb") as content:
        content.truncate(2**30)


@pytest.mark.parametrize("make", [_pipe, _endless, _large, Path.mkdir])
def test_what_is_no_file_of_a_model_is_never_waited_for(
    folder: Path, make: Callable[[Path], None]
) -> None:
    (folder / "config.json").unlink()
    make(folder / "config.json")
    with pytest.raises(ModelNotFoundError, match=r"config.json cannot be read"):
        check_model_folder(folder)
    with pytest.raises(ModelNotFoundError):
        find_shape(str(folder))


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 40_000,
        b'{"a": {"data_offsets": [0, NaN]}}',
        b'{"a": {"data_offsets": [0, 1e999]}}',
        b'{"a": {"data_offsets": [0, ' + b"9" * 5000 + b"]}}",
        b'{"a": {"data_offsets": {}}}',
        b'{"a": 5}',
    ],
)
def test_a_header_that_nobody_expects_is_none(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelIncompleteError, match="has no safetensors header"):
        check_model_folder(folder)


@pytest.mark.parametrize("name", ["x" * 300, "\0", "..", "/etc/passwd", "a/b", "\ud800"])
def test_an_index_that_names_what_no_file_is_called(folder: Path, name: str) -> None:
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(ModelIncompleteError):
        check_model_folder(folder)


def test_json_is_read_down_to_the_deepest_level_and_no_further() -> None:
    assert parse_json("[" * DEEPEST_JSON_LEVELS + "]" * DEEPEST_JSON_LEVELS)
    with pytest.raises(ValueError, match="deeper than 64 levels"):
        parse_json("[" * (DEEPEST_JSON_LEVELS + 2) + "]" * (DEEPEST_JSON_LEVELS + 2))


def test_a_file_that_says_that_it_is_empty_is_bounded_too() -> None:
    with pytest.raises(OSError, match="it has more, and 10 B are read at most"):
        read_foreign(Path("/proc/self/status"), most_bytes=10)


def test_a_reference_of_the_cache_that_is_no_file_or_no_commit_is_none(tmp_path: Path) -> None:
    place = CachePlace(tmp_path, "owner/model")
    refs = place.root / "refs"
    refs.mkdir(parents=True)
    _pipe(refs / "main")
    _endless(refs / "endless")
    (refs / "deep").write_text("../../../etc")
    (refs / "not a name").write_text("a" * 40)
    (refs / "right").write_text("a" * 40 + "\n")
    assert [place.commit_of(name) for name in ("main", "endless", "deep")] == [None] * 3
    assert place.names_of("a" * 40) == ["right"]


def test_a_record_of_a_model_that_is_a_pipe_is_none(tmp_path: Path) -> None:
    record = store.records_folder()
    record.mkdir(parents=True)
    for kind in (_pipe, _endless):
        file = record / f"{hashlib.sha256(os.fsencode(tmp_path)).hexdigest()[:32]}.json"
        kind(file)
        assert store.read_record(tmp_path) is None
        file.unlink()
