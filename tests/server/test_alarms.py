"""Speculation that goes wrong on the real server is told, once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
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


# Nano's drafts fit its stories, and little of what a grammar holds it to.
SCHEMA = {
    "type": "object",
    "properties": {
        name: {"type": "integer"} for name in ("alpha", "bravo", "charlie", "delta", "echo")
    },
    "required": ["alpha", "bravo", "charlie", "delta", "echo"],
    "additionalProperties": False,
}
HELD = {"type": "json_schema", "json_schema": {"name": "numbers", "schema": SCHEMA}}


def ask_until(record: RunRecord, done: threading.Event, held: Mapping[str, object] | None) -> None:
    """Keep the server busy with stories, or with JSON."""
    with ChatClient(record.base_url) as client, ThreadPoolExecutor(4) as pool:

        def ask(count: int) -> None:
            if not done.is_set():
                client.chat(
                    f"Tell me a story about {count} sheep.",
                    thinking=False,
                    max_tokens=120,
                    temperature=0.0,
                    response_format=held,
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
        busy = background.submit(ask_until, record, done, None)
        waiting.wait(30.0)
        assert judged() == []
        done.set()
        busy.result()
        done = threading.Event()
        busy = background.submit(ask_until, record, done, HELD)
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
