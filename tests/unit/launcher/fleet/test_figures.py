"""What the servers of a fleet say of their work, asked all at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from launcher.fleet.figures import ask_all

# As SGLang 0.5.23 writes them: counters of requests by whether they were streamed.
COUNTERS = """
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{is_streaming="false",model_name="nano"} 3000.0
sglang:generation_tokens_total{is_streaming="true",model_name="nano"} 300.0
# TYPE sglang:spec_verify_calls_total counter
sglang:spec_verify_calls_total{model_name="nano"} 1000.0
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{model_name="nano"} 100.0
sglang:num_running_reqs{tp_rank="0"} 3.0
sglang:num_running_reqs{tp_rank="1"} 3.0
"""


class _Server(BaseHTTPRequestHandler):
    bodies: ClassVar[dict[str, bytes]] = {}
    hangs: ClassVar[threading.Event]

    def do_GET(self) -> None:
        body = COUNTERS.encode() if self.path == "/metrics" else b"\xff{"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Drip(_Server):
    """A byte now and then: no time-out of a read ever comes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.hangs.wait(0.05):
            self.wfile.write(b"#")


@pytest.fixture
def urls() -> Iterator[tuple[str, str]]:
    ended = threading.Event()
    servers = []
    for base in (_Server, _Drip):
        kind = type("Served", (base,), {"hangs": ended})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield tuple(f"http://127.0.0.1:{server.server_port}" for server in servers)  # type: ignore[misc]
    ended.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_one_that_answers_no_end_keeps_nobody_waiting(urls: tuple[str, str]) -> None:
    well, drips = urls
    told = ask_all((well, drips, "http://127.0.0.1:9", f"{well}/no"), seconds=0.5)
    assert list(told) == [well]
    # 3,300 tokens, of which each of 100 requests had its first from the prefill.
    assert told[well].acceptance.since_start == 3.2
    assert told[well].running_requests == 3
