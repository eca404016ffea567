"""`tune` over loopback servers whose speeds are known: what it tries, writes and shows."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.cli import tune as cli_tune
from benchmarks.errors import ArmFailedError
from benchmarks.plan import Arm
from benchmarks.running.arms import parse_arm
from benchmarks.running.servers import ServedArm, configuration, connect
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import loopback
from launcher.serving import configure
from tests.unit.benchmarks.command_line import bench

Speeds = Callable[..., None]


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> Speeds:
    """Seconds per token of each arm by its name; an arm without them does not start."""

    def set_speeds(**known: float) -> None:
        @contextlib.contextmanager
        def opened(
            arm: Arm, shared: dict[str, Any], *, round_number: int, **_: object
        ) -> Iterator[ServedArm]:
            assert configuration(arm, shared).model_path
            seconds = known.get(arm.name.replace("-", "_"))
            if seconds is None:
                raise ArmFailedError(f"Arm {arm.name!r} did not start.", action="Mend it.")
            with loopback(Schedule(tokens_per_chunk=2, chunks=4, gap_seconds=seconds)) as server:
                yield connect(arm, server.base_url, round_number=round_number)

        monkeypatch.setattr(cli_tune, "open_arm", opened)

    return set_speeds


def tune(here: Path, *more: str) -> int:
    arms = ("plain", "eagle:2/1/3", "eagle:5/4/8")
    return bench(
        "tune", "--preset", "nano", *(part for arm in arms for part in ("--arm", arm)),
        "--write", str(here / "tuned.yaml"), "--output", str(here / "r"), *more,
    )  # fmt: skip


def test_the_fastest_is_written_so_that_up_takes_it_and_run_compares_it(
    speeds: Speeds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds(plain=0.03, eagle_2_1_3=0.02, eagle_5_4_8=0.001)

    assert tune(tmp_path) == 0
    said = capsys.readouterr().out

    text = (tmp_path / "tuned.yaml").read_text()
    assert "# Written by `python -m benchmarks tune`: eagle-5-4-8 for chat" in text
    fields = yaml.safe_load(text)
    config = configure(fields)
    assert fields["preset"] == "nano"
    assert (config.speculative_num_steps, config.speculative_num_draft_tokens) == (5, 8)
    assert "The fastest: eagle-5-4-8." in said
    (compare,) = [line for line in said.splitlines() if line.startswith("Compare:")]
    words = shlex.split(compare)
    assert parse_arm(words[-1]) == parse_arm("eagle:5/4/8")
    assert words[words.index("--config") + 1] == str(tmp_path / "tuned.yaml")
    # With the shared fields of that file plain decoding is still plain.
    plain = {**fields, **parse_arm("plain").fields}
    assert configure(plain).speculative_algorithm is None
    # The two fastest met a second time.
    assert said.count("eagle-2-1-3") == 2


def test_a_candidate_that_does_not_start_is_shown_and_the_others_go_on(
    speeds: Speeds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds(plain=0.001, eagle_2_1_3=0.02)

    assert tune(tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)

    assert said["best"] == "plain"
    failed = [one for one in said["trials"] if one["arm"] == "eagle-5-4-8"]
    assert "did not start" in failed[0]["failure"]
    assert failed[0]["seconds_per_output_token"] is None
    assert yaml.safe_load((tmp_path / "tuned.yaml").read_text())["speculative_algorithm"] is None


def test_where_none_can_be_measured_nothing_is_written(
    speeds: Speeds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds()

    assert tune(tmp_path) == 72

    assert "None of 3 candidates could be measured" in capsys.readouterr().err
    assert not (tmp_path / "tuned.yaml").exists()
