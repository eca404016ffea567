"""Processes that were forked ahead do for `multiprocessing` what spawned ones do.

Each test is a program of its own: what is forked must have one thread, and pytest has more.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launcher.system.process import wait_until_gone
from tests.unit.launcher.engines.sglang.sharing import children

PROGRAM = Path(children.__file__)


def told_by(scene: str, *, code: int = 0, **environment: str) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), scene],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **environment},
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return {**told, "stderr": ran.stderr}


def test_a_child_is_one_of_the_process_that_starts_it() -> None:
    told = told_by("one")
    child = told["child"]
    assert child["parent"] == told["pid"]
    assert child["pid"] == told["forked"][0]
    assert child["has_parent_process"]
    assert child["name"] == "worker"
    assert child["method"] == "spawn"


def test_a_child_gets_the_environment_and_the_descriptors_of_its_start() -> None:
    child = told_by("one", GONE="soon")["child"]
    assert child["environment"] == {"NEW": "1", "GONE": None}
    assert child["received"] == "through a pipe that was made after the fork"


def test_a_childs_end_and_exit_code_are_seen() -> None:
    told = told_by("exit")
    assert told["codes"] == [7, -9, 1]
    assert told["sentinels_rang"] == 3
    assert "ValueError: on purpose" in told["stderr"]


def test_where_none_rests_a_child_is_spawned() -> None:
    told = told_by("two of one")
    first, second = told["children"]
    assert first["pid"] == told["forked"][0]
    assert second["pid"] not in told["forked"]
    assert second["parent"] == told["pid"]


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "PYTHONPATH"])
def test_what_the_loader_reads_needs_a_new_process(variable: str) -> None:
    told = told_by("loader", VARIABLE=variable)
    assert told["child"]["pid"] not in told["forked"]


def test_one_that_was_killed_at_rest_is_passed_over() -> None:
    told = told_by("killed")
    assert told["child"]["pid"] == told["forked"][1]


def test_those_that_nobody_needs_end() -> None:
    assert told_by("release")["alive"] == []


def test_they_end_with_their_parent() -> None:
    told = told_by("orphans", code=-signal.SIGTERM)
    for identity in told["resting"]:
        process = children.identity(identity)
        assert wait_until_gone(process, timeout_seconds=10)


def test_each_draws_other_random_numbers() -> None:
    drawn = told_by("draws")["drawn"]
    assert len({tuple(one) for one in drawn}) == len(drawn) == 2


def test_nothing_is_forked_beside_a_thread() -> None:
    assert "2 threads" in told_by("thread")["refused"]


def test_a_child_has_none_of_the_others_descriptors() -> None:
    told = told_by("descriptors")
    # Those of the standard streams, of the parent's data and of the pipe that it was given.
    assert [link for link in told["links"] if "socket" in link] == []
