"""The plan against the server's own count, in four settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from launcher.state.record import RunRecord
from launcher.system.hardware import MIB
from tests.server.conftest import run_cli, server

TOLERANCE = 0.02
# What another program takes or gives back between the plan and SGLang's own look is in the
# difference, too: 400 MiB of 20 GiB are the whole tolerance.
ATTEMPTS = 3
QUIET_BYTES = 64 * MIB


def wait_for_quiet_memory() -> None:
    """Until free memory stands still: a server that was ended gives its memory back for a while."""
    deadline = time.monotonic() + 60
    before = psutil.virtual_memory().available
    while time.monotonic() < deadline:
        time.sleep(1)
        now = psutil.virtual_memory().available
        if abs(now - before) < QUIET_BYTES:
            return
        before = now


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("--mem-fraction-static", "0.15"), id="fraction"),
        pytest.param(
            ("--mem-fraction-static", "0.1", "--no-speculation"),
            id="plain",
            marks=pytest.mark.costly,
        ),
        pytest.param(
            ("--mem-fraction-static", "0.1", "--dtype", "bfloat16"),
            id="bfloat16",
            marks=pytest.mark.costly,
        ),
        pytest.param(
            ("--mem-fraction-static", "0.1", "--tp-size", "2"),
            id="two-ranks",
            marks=pytest.mark.costly,
        ),
    ],
)
def test_the_server_has_as_many_tokens_as_planned(settings: tuple[str, ...]) -> None:
    seen = []
    for _ in range(ATTEMPTS):
        wait_for_quiet_memory()
        with server("planned", "--max-total-tokens", "", *settings) as record:
            planned, reported = record.memory.planned, record.memory.reported
            assert planned is not None
            assert reported is not None
            assert reported.kv_cache_tokens == record.kv_cache_tokens
            assert reported.mem_fraction_static == planned.mem_fraction_static
            assert reported.kv_cache_bytes / reported.kv_cache_tokens == pytest.approx(
                planned.kv_cache_bytes / planned.kv_cache_tokens, rel=0.001
            )
        seen.append(reported.kv_cache_tokens / planned.kv_cache_tokens)
        if seen[-1] == pytest.approx(1.0, abs=TOLERANCE):
            return
    pytest.fail(f"tokens that the server has over those planned: {seen}")


def test_a_cap_on_the_tokens_is_planned_exactly(eagle: RunRecord) -> None:
    memory = eagle.memory

    assert memory.planned is not None
    assert memory.reported is not None
    assert memory.planned.kv_cache_tokens == memory.reported.kv_cache_tokens == 65_536
    assert memory.reported.max_running_requests == memory.planned.max_running_requests == 32


def test_what_does_not_fit_is_refused_before_anything_is_loaded() -> None:
    assert run_cli("up", "--preset", "nano", "--name", "none", "--max-total-tokens", "",
                   "--mem-fraction-static", "0.001") == 25  # fmt: skip


def test_the_plan_is_explained_beside_the_server_s_own_figures(eagle: RunRecord) -> None:
    command = [sys.executable, "-m", "launcher", "plan", "--explain", "--name", eagle.name]
    shown = subprocess.run(
        command, env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True, check=True
    )
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)

    assert "65,536" in shown.stdout
    assert "as planned" in shown.stdout
    assert json.loads(as_json.stdout)["reported"]["kv_cache_tokens"] == 65_536
