"""The arms differ by what they say, and the summary is what its formula says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.running.resources import cpu_seconds
from benchmarks.selfcheck.start_time import ARMS, BASELINE, Start, summarise
from launcher.config.sources import resolve
from launcher.engines.launch import Command
from launcher.preflight import prepare
from launcher.system.hardware import GIB, Hardware


@pytest.fixture
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    hardware = Hardware((), "none", (0, 1), 16 * GIB)
    return prepare.plan_command(
        resolve(preset="nano").config, hardware, secrets_file=tmp_path_factory.mktemp("s") / "s"
    )


def test_the_baseline_is_the_launchers_own_command(command: Command, tmp_path: Path) -> None:
    assert ARMS[BASELINE](command, tmp_path) is command


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != BASELINE])
def test_every_other_arm_takes_one_cut_back(command: Command, arm: str, tmp_path: Path) -> None:
    changed = ARMS[arm](command, tmp_path)
    assert changed != command
    variables = set(changed.environment.items()) ^ set(command.environment.items())
    arguments = set(changed.argv) ^ set(command.argv)
    assert bool(variables) != bool(arguments)


def test_arms_are_compared_within_a_round() -> None:
    other = "compiled helpers"
    starts = [
        Start(0, BASELINE, 20, 30), Start(0, other, 21, 33),
        Start(1, BASELINE, 40, 31), Start(1, other, 43, 32),  # a slow round, for both
        Start(2, BASELINE, 22, 30), Start(2, other, 24, 36),
    ]  # fmt: skip
    base, compared = summarise(starts)
    assert base.arm == BASELINE
    assert base.extra_wall_seconds == base.extra_cpu_seconds == 0
    assert list(compared.wall_seconds) == [24, 21, 43]
    assert compared.extra_wall_seconds == 2
    assert compared.extra_cpu_seconds == 3


def test_cpu_time_is_that_of_the_process() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.05:
        sum(range(100_000))
    used = os.times()
    assert cpu_seconds(os.getpid()) == pytest.approx(
        used.user + used.system + used.children_user + used.children_system, abs=0.1
    )
    assert cpu_seconds(2**22 + 1) == 0.0
