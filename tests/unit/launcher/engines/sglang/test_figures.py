"""What SGLang's metrics say of its work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from launcher.engines.prober import ServingFigures
from launcher.engines.sglang.prober import ask_figures, read_figures
from launcher.fleet.figures import ask_all

# As SGLang 0.5.23 writes them: counters of requests by whether they were streamed.
COUNTERS = """
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{is_streaming="false",model_name="nano"} 3000.0
sglang:generation_tokens_total{is_streaming="true",model_name="nano"} 300.0
# TYPE sglang:spec_verify_calls_total counter
sglang:spec_verify_calls_total{model_name="nano"} 1000.0
"""


def gauges(rank: int, dp_rank: int, running: int, waiting: int) -> str:
    labels = f'dp_rank="{dp_rank}",tp_rank="{rank}",pid="{100 + rank}",moe_ep_rank="{rank}"'
    return (
        f"sglang:num_running_reqs{{{labels}}} {running}.0\n"
        f"sglang:num_queue_reqs{{{labels}}} {waiting}.0\n"
    )


def test_acceptance_is_that_of_all_requests() -> None:
    figures = read_figures(COUNTERS + gauges(0, 0, 3, 7))
    assert figures == ServingFigures(3, 7, 3.3)


def test_ranks_of_one_scheduler_count_once_and_schedulers_are_added() -> None:
    text = gauges(0, 0, 3, 1) + gauges(1, 0, 3, 1) + gauges(2, 1, 2, 0) + gauges(3, 1, 2, 0)
    assert read_figures(text) == ServingFigures(5, 1, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sglang:spec_verify_calls_total 0.0\nsglang:generation_tokens_total 0.0\n",
        "sglang:generation_tokens_total 10.0\n",
        "sglang:num_running_reqs NaN\n",
    ],
)
def test_what_is_not_told_is_unknown(text: str) -> None:
    assert read_figures(text) == ServingFigures()


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
    told = ask_all((well, drips, "http://127.0.0.1:9"), seconds=0.5)
    assert told == {well: ServingFigures(None, None, 3.3)}


def test_what_is_no_answer_is_none(urls: tuple[str, str]) -> None:
    assert ask_figures(f"{urls[0]}/no", timeout_seconds=1) is None
    assert ask_figures("http://127.0.0.1:9", timeout_seconds=1) is None
