"""Speculation that goes wrong on the real server is told, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import ChatClient
from launcher.state.events import SpeculationJudged, parse_event
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from tests.server.conftest import record_of, server

NAME = "alarms"
PATIENCE_SECONDS = 180.0


def judged() -> list[SpeculationJudged]:
    lines = RunStore(NAME).events_file.read_text().splitlines()
    found = [parse_event(line) for line in lines]
    return [event for event in found if isinstance(event, SpeculationJudged)]


# Nano's drafts fit almost all of what it says to the one, and half of what it says to the other.
EASY = ("zxq {} vkjw pqo: write random letters", 1.0)
HARD = ("Tell me {} qq", 5.0)


def ask_until(record: RunRecord, done: threading.Event, text: str, temperature: float) -> None:
    """Keep the server busy with answers that are easy, or hard, to draft."""
    with ChatClient(record.base_url) as client, ThreadPoolExecutor(4) as pool:

        def ask(count: int) -> None:
            if not done.is_set():
                client.chat(
                    text.format(count),
                    thinking=False,
                    max_tokens=120,
                    temperature=temperature,
                )

        for begin in range(0, 10_000, 8):
            if done.is_set():
                return
            list(pool.map(ask, range(begin, begin + 8)))


@pytest.mark.costly
def test_a_decay_is_told_once_and_in_status() -> None:
    waiting = threading.Event()
    windows = ("--acceptance-window-seconds", "10", "--acceptance-baseline-seconds", "15")
    with server(NAME, *windows) as record, ThreadPoolExecutor(1) as background:
        done = threading.Event()
        busy = background.submit(ask_until, record, done, *EASY)
        waiting.wait(30.0)
        assert judged() == []
        done.set()
        busy.result()
        done = threading.Event()
        busy = background.submit(ask_until, record, done, *HARD)
        for _ in range(int(PATIENCE_SECONDS)):
            if judged():
                break
            waiting.wait(1.0)
        # Once, however long it lasts.
        waiting.wait(15.0)
        done.set()
        busy.result()
        told = judged()
        assert [event.alarm for event in told] == ["acceptance decayed"], told
        assert record_of(NAME).speculation_alarm == told[0].sentence
