"""Readiness, against an HTTP server that misbehaves on purpose."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from launcher.engines.sglang.watching.prober import HttpProber
from launcher.memory.report import ReportedMemory
from launcher.serving import free_port
from launcher.supervision.watches import readiness
from launcher.supervision.watches.readiness import ReadinessWatch
from tests.unit.launcher.examples import SECRET

PATIENCE_SECONDS = 30.0
TOKEN = json.dumps({"text": "a", "meta_info": {"completion_tokens": 1}})


@dataclass
class Faults:
    """What the server answers, and what it was asked."""

    ready: int = 200
    info_status: int = 404
    info: bytes = b""
    status: int = 200
    body: bytes = TOKEN.encode()
    promised_bytes: int | None = None
    location: str | None = None
    hang: threading.Event | None = None
    hanging: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    """Answers as its faults say."""

    faults: Faults

    def do_GET(self) -> None:
        if self.path == "/server_info":
            self._answer(self.faults.info_status, self.faults.info, None)
        else:
            self._answer(self.faults.ready, b"", None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        if self.faults.hang is not None:
            self.faults.hanging.set()
            self.faults.hang.wait(PATIENCE_SECONDS)
        self._answer(self.faults.status, self.faults.body, body)

    def _answer(self, status: int, body: bytes, request: object) -> None:
        faults = self.faults
        faults.asked.append((self.command, self.path, dict(self.headers), request))
        self.send_response(status)
        if faults.location:
            self.send_header("Location", faults.location)
        length = len(body) if faults.promised_bytes is None else faults.promised_bytes
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    """A client that hangs up is what some of these tests are about, and no news."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture
def faults() -> Iterator[Faults]:
    faults = Faults()
    handler = type("FaultyHandler", (Handler,), {"faults": faults})
    with QuietServer(("127.0.0.1", 0), handler) as server:
        faults.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield faults
        server.shutdown()
        thread.join()


# --- one probe ---------------------------------------------------------------------------------


def test_a_server_that_answers_is_up_and_one_that_gave_a_token_is_ready(faults: Faults) -> None:
    prober = HttpProber(faults.url)

    assert prober.is_up()
    assert prober.generate(8, timeout_seconds=30)

    (get, ready, _, _), (post, generate, headers, request) = faults.asked
    assert (get, ready) == ("GET", "/ready")
    assert (post, generate) == ("POST", "/generate")
    assert request["sampling_params"]["max_new_tokens"] == 8
    assert "Authorization" not in headers


def test_a_key_is_sent_as_a_bearer_token(faults: Faults) -> None:
    prober = HttpProber(faults.url, api_key=SECRET)

    assert prober.generate(8, timeout_seconds=30)

    assert faults.asked[0][2]["Authorization"] == f"Bearer {SECRET}"


def test_a_server_that_is_warm_freezes_its_collectors_by_the_admin_key(faults: Faults) -> None:
    assert HttpProber(faults.url, api_key="other", admin_key=SECRET).settle()

    ((method, path, headers, _),) = faults.asked
    assert (method, path) == ("POST", "/freeze_gc")
    assert headers["Authorization"] == f"Bearer {SECRET}"
    faults.status = 404
    assert not HttpProber(faults.url).settle()
    assert not HttpProber(f"http://127.0.0.1:{free_port()}").settle()


def test_a_port_that_nobody_listens_on_is_not_up() -> None:
    prober = HttpProber(f"http://127.0.0.1:{free_port()}")

    assert not prober.is_up()
    assert not prober.generate(8, timeout_seconds=30)


@pytest.mark.parametrize("status", [204, 301, 401, 404, 500, 503])
def test_only_200_means_up(faults: Faults, status: int) -> None:
    faults.ready = status

    assert not HttpProber(faults.url).is_up()


@pytest.mark.parametrize("status", [201, 401, 500, 503])
def test_only_200_means_ready(faults: Faults, status: int) -> None:
    faults.status = status

    assert not HttpProber(faults.url).generate(8, timeout_seconds=30)


def test_a_redirect_is_not_followed(faults: Faults) -> None:
    faults.ready, faults.status, faults.location = 302, 307, f"{faults.url}/elsewhere"
    prober = HttpProber(faults.url)

    assert not prober.is_up()
    assert not prober.generate(8, timeout_seconds=30)
    assert faults.paths == ["/ready", "/generate"]


def test_a_proxy_is_not_asked(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")

    assert HttpProber(faults.url).is_up()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'{"meta_info": null}',
        b'{"meta_info": {}}',
        b'{"meta_info": {"completion_tokens": null}}',
        b'{"meta_info": {"completion_tokens": "many"}}',
        b'{"meta_info": {"completion_tokens": [1]}}',
        b'{"meta_info": {"completion_tokens": 0}}',
    ],
)
def test_200_without_a_token_is_not_ready(faults: Faults, body: bytes) -> None:
    faults.body = body

    assert not HttpProber(faults.url).generate(8, timeout_seconds=30)


def test_an_answer_that_breaks_off_is_not_ready(faults: Faults) -> None:
    faults.promised_bytes = len(TOKEN) + 10

    assert not HttpProber(faults.url).generate(8, timeout_seconds=30)


def test_what_answers_with_something_else_than_http_is_not_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                connection.shutdown(socket.SHUT_WR)
                connection.recv(65536)

        thread = threading.Thread(target=answer)
        thread.start()
        assert not HttpProber(f"http://127.0.0.1:{server.getsockname()[1]}").is_up()
        thread.join()


def test_a_server_that_hangs_is_given_up(faults: Faults) -> None:
    faults.hang = threading.Event()

    assert not HttpProber(faults.url).generate(8, timeout_seconds=0.05)
    faults.hang.set()


def test_our_patience_is_longer_than_the_server_s() -> None:
    # SGLang gives up a probe of its own after 20 s, and does not abort one whose client left.
    assert readiness.PROBE_TIMEOUT_SECONDS > 25


def test_the_server_tells_its_memory(faults: Faults) -> None:
    usage = {"weight": 1.5, "kvcache": 2.0, "token_capacity": 1000, "graph": {}}
    faults.info_status = 200
    faults.info = json.dumps({"internal_states": [{"memory_usage": usage}]}).encode()

    memory = HttpProber(faults.url, api_key=SECRET).memory()

    assert memory is not None
    assert (memory.kv_cache_tokens, memory.weights_bytes) == (1000, 3 * 2**29)
    ((method, path, headers, _),) = faults.asked
    assert (method, path) == ("GET", "/server_info")
    assert headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"{}"), (200, b"no JSON"), (200, b"[]"), (200, b"{}")]
)
def test_a_server_that_does_not_tell_its_memory_is_no_failure(
    faults: Faults, status: int, body: bytes
) -> None:
    faults.info_status, faults.info = status, body

    assert HttpProber(faults.url).memory() is None


# --- the watch ---------------------------------------------------------------------------------


class Watched:
    """A watch that counts how often it called back."""

    def __init__(self, faults: Faults) -> None:
        self.ready = threading.Event()
        self.calls = 0
        self.watch = ReadinessWatch(HttpProber(faults.url), self._on_ready)
        self.watch.start()

    def _on_ready(self, memory: ReportedMemory | None) -> None:
        assert memory is None  # the stand-in has no /server_info
        self.calls += 1
        self.ready.set()

    def join(self) -> None:
        self.watch._thread.join(PATIENCE_SECONDS)
        assert not self.watch._thread.is_alive()


@pytest.fixture
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0.01)


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So slow that only a hurry, or a stop, brings the next probe within the test."""
    monkeypatch.setattr(readiness, "POLL_SECONDS", 10 * PATIENCE_SECONDS)


def wait_for(condition: Any) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("nothing happened")


@pytest.mark.usefixtures("_fast")
def test_the_watch_calls_back_once_when_there_is_a_token(faults: Faults) -> None:
    faults.ready = 503
    watched = Watched(faults)
    wait_for(lambda: faults.paths.count("/ready") > 2)
    # Nobody asks a server for a token that says that it is not up.
    assert "/generate" not in faults.paths

    faults.status = 500
    faults.ready = 200
    wait_for(lambda: faults.paths.count("/generate") > 2)
    assert watched.calls == 0

    faults.status = 200
    assert watched.ready.wait(PATIENCE_SECONDS)
    watched.join()

    assert watched.calls == 1


@pytest.mark.usefixtures("_slow")
def test_a_hurry_asks_for_a_token_at_once(faults: Faults) -> None:
    watched = Watched(faults)

    watched.watch.hurry()

    assert watched.ready.wait(PATIENCE_SECONDS)
    watched.join()
    assert faults.paths == ["/generate", "/freeze_gc", "/server_info"]


@pytest.mark.usefixtures("_fast")
def test_a_hurry_that_came_too_early_is_asked_again(faults: Faults) -> None:
    faults.ready, faults.status = 503, 500
    watched = Watched(faults)

    watched.watch.hurry()
    wait_for(lambda: faults.paths.count("/generate") > 2)
    assert watched.calls == 0
    faults.status = 200

    assert watched.ready.wait(PATIENCE_SECONDS)
    watched.join()


@pytest.mark.usefixtures("_slow")
def test_a_watch_that_is_stopped_asks_no_more(faults: Faults) -> None:
    watched = Watched(faults)

    watched.watch.stop()
    watched.join()

    assert faults.asked == []
    assert watched.calls == 0


@pytest.mark.usefixtures("_slow")
def test_a_stop_ends_the_pause_after_a_hurry_that_came_too_early(faults: Faults) -> None:
    faults.status = 500
    watched = Watched(faults)
    watched.watch.hurry()
    wait_for(lambda: "/generate" in faults.paths)

    watched.watch.stop()
    watched.join()

    assert watched.calls == 0


@pytest.mark.usefixtures("_fast")
def test_a_token_that_comes_after_the_stop_is_not_reported(faults: Faults) -> None:
    faults.hang = threading.Event()
    watched = Watched(faults)
    assert faults.hanging.wait(PATIENCE_SECONDS)

    watched.watch.stop()
    faults.hang.set()
    watched.join()

    assert watched.calls == 0
