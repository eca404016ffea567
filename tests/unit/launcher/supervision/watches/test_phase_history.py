"""Durations of earlier starts: what is kept, what is forgotten, and files that are not as ours."""

from __future__ import annotations

import fcntl
import json
import math
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.config.server_config import ServerConfig
from launcher.engines.launch import history_key
from launcher.engines.phases import Phase
from launcher.state import kept
from launcher.state.kept import LARGEST_FILE_BYTES, MOST_KEYS
from launcher.supervision.watches.phase_history import (
    STARTS_PER_KEY,
    PhaseHistory,
    PhaseTimes,
    history_file,
    phase_deadline_seconds,
)
from launcher.system.hardware import read_cpu_model

KEY = "0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "phase_times.json"


def test_nothing_is_usual_before_the_first_start(file: Path) -> None:
    assert PhaseHistory(file).usual(KEY) == {}
    assert not file.parent.exists()


def test_the_median_and_the_longest_of_earlier_starts_are_known(file: Path) -> None:
    for seconds in (10.0, 40.0, 12.0):
        assert PhaseHistory(file).add(KEY, {Phase.WEIGHTS: seconds})
    assert PhaseHistory(file).add(KEY, {Phase.GRAPHS: 3.0})

    assert PhaseHistory(file).usual(KEY) == {
        Phase.WEIGHTS: PhaseTimes(median_seconds=12.0, longest_seconds=40.0, count=3),
        Phase.GRAPHS: PhaseTimes(median_seconds=3.0, longest_seconds=3.0, count=1),
    }


def test_starts_of_another_kind_do_not_count(file: Path) -> None:
    PhaseHistory(file).add("another", {Phase.WEIGHTS: 10.0})

    assert PhaseHistory(file).usual(KEY) == {}


def test_the_last_ten_starts_are_kept(file: Path) -> None:
    for seconds in range(STARTS_PER_KEY + 5):
        PhaseHistory(file).add(KEY, {Phase.WEIGHTS: float(seconds)})

    times = PhaseHistory(file).usual(KEY)[Phase.WEIGHTS]
    assert times == PhaseTimes(median_seconds=9.5, longest_seconds=14.0, count=10)


def test_of_too_many_kinds_the_one_started_longest_ago_is_forgotten(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_KEYS == 200
    monkeypatch.setattr(kept, "MOST_KEYS", 3)
    history = PhaseHistory(file)
    for key in ("a", "b", "c", "a", "d"):
        history.add(key, {Phase.WEIGHTS: 1.0})

    assert {key for key in "abcd" if history.usual(key)} == {"a", "c", "d"}


@given(
    starts=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.dictionaries(st.sampled_from(Phase), st.floats(0, 1e6), min_size=1),
        ),
        max_size=30,
    )
)
def test_what_is_usual_is_what_the_last_starts_took(
    tmp_path_factory: pytest.TempPathFactory, starts: list[tuple[str, dict[Phase, float]]]
) -> None:
    history = PhaseHistory(tmp_path_factory.mktemp("history") / "phase_times.json")
    for key, durations in starts:
        assert history.add(key, durations)

    for key in "abc":
        last = [durations for name, durations in starts if name == key][-STARTS_PER_KEY:]
        usual = history.usual(key)
        assert set(usual) == {phase for start in last for phase in start}
        for phase, times in usual.items():
            seconds = [start[phase] for start in last if phase in start]
            assert times.count == len(seconds)
            assert times.longest_seconds == pytest.approx(max(seconds), abs=0.001)
            assert min(seconds) - 0.001 <= times.median_seconds <= max(seconds) + 0.001


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1.0])
def test_what_is_no_duration_is_not_kept(file: Path, seconds: float) -> None:
    history = PhaseHistory(file)

    assert not history.add(KEY, {Phase.WEIGHTS: seconds})
    assert not history.add(KEY, {})
    assert history.add(KEY, {Phase.WEIGHTS: seconds, Phase.GRAPHS: 2.0})

    assert set(history.usual(KEY)) == {Phase.GRAPHS}


def test_the_file_is_for_its_owner_alone(file: Path) -> None:
    PhaseHistory(file).add(KEY, {Phase.WEIGHTS: 1.0})

    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_file_is_in_the_users_state_folder() -> None:
    assert history_file() == Path(os.environ["XDG_STATE_HOME"]) / "specserve" / "phase_times.json"


# --- files that are not as ours ----------------------------------------------------------------

BROKEN = {
    "empty": b"",
    "torn": b'{"schema_version": 1, "starts": {"0123456789abcdef": [{"loading we',
    "not text": b"\xff\xfe\x00\x01",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "words for numbers": b'{"schema_version":1,"starts":{"0123456789abcdef":[{"graphs":"x"}]}}',
    "negative": b'{"schema_version":1,"starts":{"0123456789abcdef":[{"graphs":-1}]}}',
    "infinite": b'{"schema_version":1,"starts":{"0123456789abcdef":[{"graphs":1e999}]}}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_empty_and_is_replaced(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    history = PhaseHistory(file)

    assert history.usual(KEY) == {}
    assert history.add(KEY, {Phase.WEIGHTS: 1.0})

    assert set(history.usual(KEY)) == {Phase.WEIGHTS}


@given(content=st.binary(max_size=200))
def test_no_content_makes_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("history") / "phase_times.json"
    file.write_bytes(content)

    assert PhaseHistory(file).usual(KEY) == {}


def test_a_file_too_large_to_be_ours_is_not_read(file: Path) -> None:
    PhaseHistory(file).add(KEY, {Phase.WEIGHTS: 1.0})
    with file.open("ab") as padding:
        padding.write(b" " * LARGEST_FILE_BYTES)

    assert PhaseHistory(file).usual(KEY) == {}


def test_the_file_of_another_version_is_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    text = json.dumps({"schema_version": 2, "starts": {KEY: [{"loading weights": 1.0}]}})
    file.write_text(text)
    history = PhaseHistory(file)

    assert history.usual(KEY) == {}
    assert not history.add(KEY, {Phase.WEIGHTS: 1.0})

    assert file.read_text() == text


def test_phases_that_another_version_has_are_kept_and_passed_over(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({"schema_version": 1, "starts": {KEY: [{"a new phase": 5.0}]}}))
    history = PhaseHistory(file)
    history.add(KEY, {Phase.WEIGHTS: 1.0})

    assert set(history.usual(KEY)) == {Phase.WEIGHTS}
    assert "a new phase" in file.read_text()


def test_a_folder_in_place_of_the_file_is_no_error(file: Path) -> None:
    file.mkdir(parents=True)
    history = PhaseHistory(file)

    assert history.usual(KEY) == {}
    assert not history.add(KEY, {Phase.WEIGHTS: 1.0})


def test_a_file_in_place_of_the_folder_is_no_error(file: Path) -> None:
    file.parent.write_text("")

    assert PhaseHistory(file).usual(KEY) == {}
    assert not PhaseHistory(file).add(KEY, {Phase.WEIGHTS: 1.0})


def test_a_pipe_in_place_of_the_file_holds_nobody_up(file: Path) -> None:
    file.parent.mkdir()
    os.mkfifo(file)

    assert PhaseHistory(file).usual(KEY) == {}
    assert not PhaseHistory(file).add(KEY, {Phase.WEIGHTS: 1.0})


# --- several servers ---------------------------------------------------------------------------

ADD = """
import sys
from pathlib import Path
from launcher.supervision.watches.phase_history import PhaseHistory
from launcher.engines.phases import Phase
file, name = sys.argv[1:]
for number in range(20):
    assert PhaseHistory(Path(file)).add(f"{name}-{number}", {Phase.WEIGHTS: 1.0})
"""


def test_servers_that_write_at_once_lose_nothing(file: Path) -> None:
    def add(name: str) -> None:
        subprocess.run([sys.executable, "-c", ADD, str(file), name], check=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(add, ("a", "b", "c")))

    history = PhaseHistory(file)
    assert all(history.usual(f"{name}-{number}") for name in "abc" for number in range(20))


def test_a_writer_that_stands_still_does_not_hold_up_another(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LOCK_TIMEOUT_SECONDS", 0.05)
    history = PhaseHistory(file)
    history.add(KEY, {Phase.WEIGHTS: 1.0})
    with file.with_suffix(".lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        assert not history.add(KEY, {Phase.WEIGHTS: 2.0})
        assert history.usual(KEY)[Phase.WEIGHTS].count == 1

    assert history.add(KEY, {Phase.WEIGHTS: 2.0})


# --- keys and deadlines ------------------------------------------------------------------------


def key_of(
    *,
    gpu_names: tuple[str, ...] = ("NVIDIA H100 80GB HBM3",) * 2,
    cpu_model: str = "Intel(R) Xeon(R)",
    cpus: int = 8,
    engine_version: str = "0.5.23",
    **fields: Any,
) -> str:
    config = ServerConfig(**{"model_path": "zai/model", "served_model_name": "m", **fields})
    return history_key(
        config, gpu_names=gpu_names, cpu_model=cpu_model, cpus=cpus, engine_version=engine_version
    )


@pytest.mark.parametrize(
    "change",
    [
        {"model_path": "zai/another"},
        {"revision": "abc"},
        {"device": "cpu"},
        {"tp_size": 2},
        {"dtype": "bfloat16"},
        {"speculative_algorithm": "EAGLE"},
        {"speculative_draft_model_path": "zai/draft"},
        {"gpu_names": ("NVIDIA H100 80GB HBM3",)},
        {"gpu_names": ("NVIDIA H200", "NVIDIA H200")},
        {"engine_version": "0.5.24"},
    ],
    ids=str,
)
def test_what_decides_the_times_decides_the_key(change: dict[str, Any]) -> None:
    assert key_of(**change) != key_of()


@pytest.mark.parametrize(
    "change", [{"port": 8001}, {"name": "b"}, {"cpus": 4}, {"cpu_model": "another"}], ids=str
)
def test_what_does_not_decide_the_times_leaves_the_key(change: dict[str, Any]) -> None:
    assert key_of(**change) == key_of()


@pytest.mark.parametrize("change", [{"cpus": 4}, {"cpu_model": "another"}], ids=str)
def test_on_a_processor_that_decides(change: dict[str, Any]) -> None:
    assert key_of(device="cpu", **change) != key_of(device="cpu")
    assert key_of(device="cpu", gpu_names=()) == key_of(device="cpu")


def test_the_processors_name_is_read(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Intel(R) Xeon(R): 8481C\nflags\t: amx\n")

    assert read_cpu_model(cpuinfo) == "Intel(R) Xeon(R): 8481C"
    assert read_cpu_model(tmp_path / "none") == "unknown"
    cpuinfo.write_text("processor\t: 0\n")
    assert read_cpu_model(cpuinfo) == "unknown"


def test_a_phase_may_take_three_times_the_longest_and_half_a_minute() -> None:
    times = PhaseTimes(median_seconds=12.0, longest_seconds=40.0, count=3)

    assert phase_deadline_seconds(times) == 150.0
    assert phase_deadline_seconds(None) is None
