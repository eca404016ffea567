"""The plan against the server's own count, in four settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from launcher.run_store import RunRecord
from tests.server.conftest import (
    UNCAPPED,
    assert_planned,
    run_cli,
    server,
    wait_for_quiet_memory,
)


@pytest.mark.parametrize(
    "settings",
    [("--mem-fraction-static", "0.15"), ("--dtype", "bfloat16")],
    ids=["fraction", "bfloat16"],
)
def test_the_kv_cache_is_as_planned(settings: tuple[str, ...]) -> None:
    """The other settings, plain decoding and two ranks, are those of servers of other tests."""
    wait_for_quiet_memory()
    with server("planned", *UNCAPPED, *settings) as record:
        assert_planned(record)


def test_a_cap_on_the_tokens_is_planned_exactly(eagle: RunRecord) -> None:
    memory = eagle.memory

    assert memory.planned is not None
    assert memory.reported is not None
    assert memory.planned.kv_cache_tokens == memory.reported.kv_cache_tokens == 65_536
    assert memory.reported.max_running_requests == memory.planned.max_running_requests == 32


def test_what_does_not_fit_is_refused_before_anything_is_loaded() -> None:
    assert run_cli("up", "--preset", "nano", "--name", "none", "--max-total-tokens", "",
                   "--mem-fraction-static", "0.002") == 25  # fmt: skip


def test_the_plan_is_explained_beside_the_server_s_own_figures(eagle: RunRecord) -> None:
    command = [sys.executable, "-m", "launcher", "plan", "--explain", "--name", eagle.name]
    shown = subprocess.run(
        command, env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True, check=True
    )
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)

    assert "65,536" in shown.stdout
    assert "as planned" in shown.stdout
    assert json.loads(as_json.stdout)["reported"]["kv_cache_tokens"] == 65_536
