"""Draft steps that SGLang changes while it serves, without a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import ChatClient
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from tests.server.conftest import assert_nothing_is_left, server

NAME = "adaptive"
PROMPTS = [f"Tell me a story about {count} sheep." for count in range(12)]
BUILT = re.compile(r"Built adaptive runtime state steps=(\d+)")
SWITCHED = re.compile(r"Switch adaptive runtime state: steps (\d+) -> (\d+)")


@pytest.fixture(scope="module")
def adaptive() -> Iterator[RunRecord]:
    with server(NAME, "--speculative-adaptive") as record:
        yield record
    assert_nothing_is_left(NAME)


def stories(url: str, *, at_once: int) -> list[str]:
    with ChatClient(url) as client, ThreadPoolExecutor(at_once) as pool:
        replies = pool.map(
            lambda prompt: client.chat(prompt, thinking=False, max_tokens=160, temperature=0),
            PROMPTS,
        )
        return [reply.content for reply in replies]


def test_the_steps_change_and_the_answers_do_not(adaptive: RunRecord, eagle: RunRecord) -> None:
    expected = stories(eagle.base_url, at_once=1)
    assert stories(adaptive.base_url, at_once=1) == expected
    stories(adaptive.base_url, at_once=12)
    log = RunStore(NAME).log_file.read_text()
    # Beside the 3 that it begins with.
    assert {0, 1, 5, 7} <= {int(steps) for steps in BUILT.findall(log)}
    assert SWITCHED.findall(log)
