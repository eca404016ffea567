"""Tensor parallel size 2 on a CPU; then a restart, and a scheduler that dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import ChatClient, ServerNotReadyError
from launcher.state.record import RunRecord
from launcher.system.members import find_members
from launcher.system.process import wait_until_gone
from tests.server.conftest import assert_nothing_is_left, record_of, run_cli, server
from tests.server.greedy import PROMPT_TOKENS, greedy_texts

NAME = "ranks"
# SGLang takes a while to notice a dead child; then it dumps and exits.
CRASH_PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def two_ranks() -> Iterator[RunRecord]:
    with server(NAME, "--tp-size", "2", "--restart", "never") as record:
        yield record


def schedulers(record: RunRecord) -> list[int]:
    assert record.server is not None
    return [
        member.pid
        for member in find_members(record.server, record.run_id)
        if b"sglang::scheduler" in Path(f"/proc/{member.pid}/cmdline").read_bytes()
    ]


def test_two_ranks_serve_with_speculation(two_ranks: RunRecord) -> None:
    texts = greedy_texts(two_ranks)
    assert {len(ids) for ids in texts.token_ids} == {PROMPT_TOKENS}
    assert 0 < texts.verify_rounds < texts.tokens
    with ChatClient(server=NAME) as client:
        assert client.chat("Hello", max_tokens=8, thinking=False).content


def test_each_rank_keeps_to_its_own_cores(two_ranks: RunRecord) -> None:
    cores = [os.sched_getaffinity(pid) for pid in schedulers(two_ranks)]
    assert len(cores) == 2
    if len(os.sched_getaffinity(0)) > 1:
        assert not cores[0] & cores[1]


def test_a_restart_is_a_new_run_at_the_same_place(two_ranks: RunRecord) -> None:
    assert run_cli("restart", "--name", NAME) == 0
    after = record_of(NAME)
    assert after.state == "READY"
    assert after.run_id != two_ranks.run_id
    assert (after.base_url, after.config) == (two_ranks.base_url, two_ranks.config)
    assert two_ranks.server is not None
    assert not two_ranks.server.is_alive()
    with ChatClient(server=NAME) as client:
        assert client.chat("Hello", max_tokens=4).usage is not None


def test_a_server_whose_scheduler_dies_is_cleared_up_and_reported(two_ranks: RunRecord) -> None:
    before = record_of(NAME)
    os.kill(schedulers(before)[0], signal.SIGKILL)
    assert wait_until_gone(two_ranks.supervisor, timeout_seconds=CRASH_PATIENCE_SECONDS)
    after = record_of(NAME)
    assert after.state == "EXITED"
    assert after.exit is not None
    assert_nothing_is_left(NAME)
    with pytest.raises(ServerNotReadyError):
        ChatClient(server=NAME)
