"""Some of the cases with real processes: what the generator runs in its own, as users run it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.launcher.examples import dead_process
from tests.unit.launcher.state.hostile.cases import COMMANDS, SEED, Case, cases
from tests.unit.launcher.state.hostile.test_hostile_state import DOCUMENTED
from tests.unit.launcher.state.hostile.world import World

PATIENCE_SECONDS = 60
PROCESSES = 30


def chosen() -> list[Case]:
    """A few of each command of the launcher."""
    chance = random.Random(SEED)  # noqa: S311  # no secret
    of_all = [case for command in COMMANDS if command != "client" for case in cases(command)]
    return chance.sample(of_all, PROCESSES)


@pytest.mark.parametrize("case", chosen(), ids=lambda case: case.command.replace(" ", "-"))
def test_a_real_command_ends_with_a_documented_code(case: Case, tmp_path: Path) -> None:
    world = World(tmp_path, dead_process())
    with world.of(case):
        before = world.sentinel()
        done = subprocess.run(
            [sys.executable, "-m", "launcher", *COMMANDS[case.command]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "XDG_STATE_HOME": str(world.state)},
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode in DOCUMENTED, (case.wrongs, done.stderr)
        assert b"Traceback" not in done.stderr, case.wrongs
        assert world.sentinel() == before, case.wrongs
