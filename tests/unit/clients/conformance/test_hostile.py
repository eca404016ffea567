"""Servers that are broken or mean: bounded, cleaned, and never followed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from clients.conformance import wire as wire_module
from clients.conformance.report import document
from clients.conformance.run import Run
from clients.conformance.table import choose
from clients.conformance.text import clean, quote
from clients.conformance.verdicts import CannotCheckError
from clients.conformance.wire import Wire
from tests.unit.clients.conformance.standin import Handler, standin

if TYPE_CHECKING:
    from clients.conformance.contract import Finding

KEY = "sk-a-secret-of-ours"


def run_against(
    handler: type[Handler],
    *names: str,
    timeout_seconds: float = 30,
    key: str | None = None,
    faults: tuple[str, ...] = (),
) -> tuple[Run, dict[str, Finding]]:
    with standin(*faults, handler=handler) as (url, _):
        sender = Wire(url, key, timeout_seconds=timeout_seconds, loopback=True)
        run = Run(sender, "standin", choose(names, ()))
        run.carry_out()
    return run, {finding.check.id: finding for finding in run.findings}


class Lying(Handler):
    """Right, but for streams and whole answers that `lie` makes."""

    def _chat(self, body: dict[str, Any], *, again: bool) -> None:
        if body.get("stream"):
            self.lie()
        else:
            super()._chat(body, again=again)

    def lie(self) -> None:
        raise NotImplementedError


class Endless(Lying):
    """A stream of comments that never ends."""

    def lie(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while not self.closing.is_set():
            self.wfile.write(b": nothing\n" * 1000)


class Silent(Lying):
    """Takes a request and says nothing."""

    def lie(self) -> None:
        self.closing.wait(60)


class Deep(Lying):
    """Lists in lists, deeper than any parser."""

    def lie(self) -> None:
        self._send(200, b"data: " + b"[" * 200_000 + b"\n\n", "text/event-stream")


class Elsewhere(Lying):
    """Sends the client, and its key, to another place."""

    def lie(self) -> None:
        self.send_response(307)
        self.send_header("Location", "http://127.0.0.1:9/v1/chat/completions")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Escapes(Lying):
    """Gives the key back, among sequences that clear a terminal."""

    def lie(self) -> None:
        self._refuse(500, f"\x1b[2Jgone \u202e\x07 {self.headers.get('Authorization')}")


class Queueing(Handler):
    """Each request waits long for its turn, and then goes faster than can be timed."""

    pauses = (0.0, 0.0)

    def _chat(self, body: dict[str, Any], *, again: bool) -> None:
        self.closing.wait(1.1)
        super()._chat(body, again=again)


class Refusing(Handler):
    """Takes no key."""

    def _is_refused(self, body: dict[str, Any]) -> bool:
        self._refuse(401, f"wrong key in {body['model']}")
        return True


def test_an_endless_stream_is_left_at_a_bound_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "MOST_BYTES", 2**20)
    _, found = run_against(Endless, "stream.done")
    assert found["stream.done"].outcome == "server"
    assert "more than 1 MiB" in found["stream.done"].seen
    assert len(found["stream.done"].exchanges[0].received) == 2**20


def test_a_silent_server_is_left_after_three_time_outs() -> None:
    run, found = run_against(Silent, "stream", timeout_seconds=0.5)
    assert [finding.outcome for finding in run.findings[:3]] == ["server"] * 3
    assert {finding.outcome for finding in run.findings[3:]} == {"not run"}
    assert "within 0.5 s" in found["stream.content-type"].seen
    assert run.exit_code == 1


def test_json_that_is_too_deep_is_the_servers_fault_and_no_crash() -> None:
    _, found = run_against(Deep, "stream.events")
    assert found["stream.events"].outcome == "server"


def test_a_long_wait_and_a_fast_stream_are_no_stream_that_is_held_back() -> None:
    # In one piece, as if nothing of the stream took any time.
    _, found = run_against(Queueing, "stream.spread", faults=("burst",))
    assert found["stream.spread"].outcome == "not judged"
    assert "one token alone takes" in found["stream.spread"].seen


def test_a_redirect_is_told_and_not_followed() -> None:
    _, found = run_against(Elsewhere, "stream.done")
    assert found["stream.done"].outcome == "server"
    assert "not followed" in found["stream.done"].seen


def test_neither_escapes_nor_the_key_reach_what_is_shown() -> None:
    run, found = run_against(Escapes, "stream.done", key=KEY)
    seen = found["stream.done"].seen
    assert "gone" in seen
    assert seen.isascii()
    assert seen.isprintable()
    told = json.dumps(document(run, "http://127.0.0.1"))
    assert KEY not in told + seen
    assert "[key]" in told


def test_a_refused_key_ends_the_run_before_it_begins() -> None:
    with pytest.raises(CannotCheckError, match="refuses the key") as caught:
        run_against(Refusing, "stream.done", key=KEY)
    assert "SPECSERVE_API_KEY" in caught.value.action


def test_an_interrupted_run_keeps_what_it_found() -> None:
    with standin() as (url, _):
        begun: list[str] = []

        def on_check(check: Any) -> None:
            begun.append(check.id)
            if len(begun) == 3:
                raise KeyboardInterrupt

        checks = choose(("chat", "usage"), ())
        run = Run(Wire(url, None, timeout_seconds=30, loopback=True), None, checks,
                  on_check=on_check)  # fmt: skip
        run.carry_out()
    assert [f.outcome for f in run.findings[:2]] == ["kept", "kept"]
    assert {f.outcome for f in run.findings[2:]} == {"not run"}
    assert run.exit_code == 130


def test_no_server_is_told_as_that() -> None:
    run = Run(Wire("http://127.0.0.1:9", None, timeout_seconds=5, loopback=True), None,
              choose((), ()))  # fmt: skip
    with pytest.raises(CannotCheckError, match="connection failed"):
        run.carry_out()


def test_text_is_made_safe_for_one_line() -> None:
    assert clean("a\x1b[0m\u202eb\nc") == "a\\x1b[0m\\u202eb\\nc"
    assert quote("x" * 500, 10) == f"'{'x' * 10}…'"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "too deep" in quote(deep)
    # Taken apart by hand: its own destructor would be as deep.
    while deep:
        deep = deep[0]


def test_an_answer_larger_than_the_pipe_is_still_whole() -> None:
    async def send() -> bytes:
        with standin() as (url, _):
            sender = Wire(url, None, timeout_seconds=30, loopback=True)
            exchange = await sender.send("GET", "/v1/models")
            await sender.close()
            return exchange.received

    assert b"standin" in asyncio.run(send())
