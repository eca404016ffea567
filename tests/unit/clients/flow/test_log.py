"""What `logging.getLogger("specserve")` hears, and what it never does."""

from __future__ import annotations

import logging
import subprocess
import sys

import httpx
import pytest

from clients import tool
from tests.unit.clients import wire
from tests.unit.clients.wire import Server, answered


@tool
def order(count: int) -> str:
    """Order some."""
    return f"{count} ordered"


def called(arguments: str) -> httpx.Response:
    calls = [wire.call(0, "c1", "order", arguments)]
    return answered(wire.completion("", tool_calls=calls, finish_reason="tool_calls"))


def test_repetitions_lost_and_repaired_arguments_are_told(caplog: pytest.LogCaptureFixture) -> None:
    busy = httpx.Response(503, json=wire.error_body(503, "You said: s3cret"))
    server = Server(
        busy, called("{}"), called('{"count": "2"}'), answered(wire.completion("s3cret"))
    )
    with caplog.at_level(logging.INFO, "specserve"):
        server.client(retries=1, api_key="k3y").run_tools("s3cret", [order])
    told = [record.getMessage() for record in caplog.records if record.name.startswith("specserve")]
    assert [line.split()[0] for line in told] == [
        "request.repeated",
        "arguments.lost",
        "arguments.repaired",
    ]
    assert "cause=ServiceUnavailableError status=503" in told[0]
    assert "tools=order" in told[1]
    assert "tool=order arguments=count" in told[2]
    assert not any(secret in line for line in told for secret in ("s3cret", "k3y"))


def test_a_second_question_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(
        answered(wire.completion("", thoughts="Hm.")), answered(wire.completion("42")),
        answered(wire.completion("x")), answered(wire.completion('{"answer": 1}')),
    )  # fmt: skip
    client = server.client()
    with caplog.at_level(logging.INFO, "specserve"):
        client.chat("Hi", on_empty="ask_again")
        client.parse("Hi", int)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("specserve")]
    assert told == [
        "answer.asked_again cause=reasoning",
        "answer.asked_again shape=int cause=stop",
    ]


def test_it_is_silent_by_default() -> None:
    program = (
        "import logging, clients; logging.getLogger('specserve.client').warning('loud');"
        "logging.getLogger('specserve').error('loud')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
