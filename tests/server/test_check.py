"""`python -m clients check` against the real server, speculation on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from clients.conformance.table import ALL
from tests.server.known_faults import KNOWN_FAULTS

if TYPE_CHECKING:
    from launcher.state.record import RunRecord


def run_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clients", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)


@pytest.fixture(scope="module")
def document(eagle: RunRecord) -> dict[str, Any]:
    """The whole run, found by the run record."""
    done = run_check("--name", eagle.name, "--json", "--timeout-seconds", "300")
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == told["exit_code"]
    return told


def test_the_server_is_to_blame_for_what_is_known_and_for_nothing_else(
    document: dict[str, Any],
) -> None:
    blamed = {line["id"]: line["seen"] for line in document["checks"] if line["blame"] == "server"}
    assert set(blamed) == set(KNOWN_FAULTS), blamed
    assert document["exit_code"] == (1 if KNOWN_FAULTS else 0)


def test_every_line_is_judged_and_no_check_fails_itself(document: dict[str, Any]) -> None:
    assert [line["id"] for line in document["checks"]] == [check.id for check in ALL]
    assert document["model"] == "nano"
    unjudged = {"client", "not judged", "not run"}
    lines = [line for line in document["checks"] if line["outcome"] in unjudged]
    # It takes a model that calls what it was not offered.
    assert [line for line in lines if line["id"] != "tools.unknown"] == []


def test_each_line_holds_what_was_sent_and_received(document: dict[str, Any]) -> None:
    for line in document["checks"]:
        assert line["exchanges"], line["id"]
        assert all(exchange["status"] for exchange in line["exchanges"]), line["id"]
    assert len(json.dumps(document)) < 2_000_000


def test_a_part_of_it_is_enough_for_a_pipe(eagle: RunRecord) -> None:
    done = run_check("--only", "models,limits", "--name", eagle.name)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["ok", "models.list:"],
        ["ok", "limits.max-tokens:"],
        ["ok", "limits.max-completion-tokens:"],
    ]
    assert "\x1b" not in done.stdout
