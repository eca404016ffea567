"""When a gateway has taken up a server: a script in the place of smg, whose pauses vary."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from launcher.engines.smg.discovery import change_listed
from launcher.errors import FleetError
from launcher.fleet.routing import known_servers, wait_until_routed
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from tests.unit.launcher.examples import make_record

GATEWAY = "fleet-gateway"
FIRST, SECOND = "http://127.0.0.1:1", "http://127.0.0.1:2"


class _Gateway(BaseHTTPRequestHandler):
    """Says each answer in turn, the last one for ever."""

    answers: ClassVar[list[dict[str, str]]] = []
    ready: ClassVar[int] = 200

    def do_GET(self) -> None:
        if self.path == "/workers":
            known = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            workers = [{"url": url, "status": status} for url, status in known.items()]
            self._answer(200, {"workers": workers})
        else:
            self._answer(self.ready, {})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def gateway(*answers: dict[str, str], ready: int = 200) -> Iterator[type[_Gateway]]:
    """A record of a gateway that runs, and what answers at its address."""
    kind = type("Gateway", (_Gateway,), {"answers": list(answers), "ready": ready})
    store = RunStore(GATEWAY)
    store.create()
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server, store.lock():
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        store.write(make_record(store.folder, name=GATEWAY, state=ServerState.READY, base_url=url))
        try:
            yield kind
        finally:
            server.shutdown()


@pytest.fixture
def discovery_file(tmp_path: Path) -> Path:
    file = tmp_path / "discovery.json"
    change_listed(file, add=(FIRST, SECOND))
    return file


def test_it_waits_until_each_is_ready(discovery_file: Path) -> None:
    answers = (
        {FIRST: "ready"},
        {FIRST: "ready", SECOND: "not_ready"},
        {FIRST: "ready", SECOND: "ready"},
    )
    with gateway(*answers) as kind:
        wait_until_routed(GATEWAY, discovery_file, (FIRST, SECOND))
        assert len(kind.answers) == 1


def test_one_that_left_the_file_is_not_waited_for(discovery_file: Path) -> None:
    change_listed(discovery_file, remove=(SECOND,))
    with gateway({FIRST: "ready"}):
        wait_until_routed(GATEWAY, discovery_file, (FIRST, SECOND), seconds=0)


def test_one_that_it_never_takes_up_is_named(discovery_file: Path) -> None:
    with (
        gateway({FIRST: "ready", SECOND: "draining"}),
        pytest.raises(FleetError, match=f"does not send requests to {SECOND} after 0 s"),
    ):
        wait_until_routed(GATEWAY, discovery_file, (FIRST, SECOND), seconds=0)


def test_a_gateway_without_any_server_is_named(discovery_file: Path) -> None:
    with gateway({}, ready=503), pytest.raises(FleetError, match=r"has no server.*status 503"):
        wait_until_routed(GATEWAY, discovery_file, (), seconds=0)


def test_a_gateway_that_does_not_run_is_not_waited_for(discovery_file: Path) -> None:
    wait_until_routed(GATEWAY, discovery_file, (FIRST, SECOND))
    assert known_servers(None) == ({}, "it does not run")
