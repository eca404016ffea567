"""Snapshots to show, and servers that answer with metrics."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from launcher.live.snapshot import GpuUse, ServerSnapshot, Snapshot, Usage
from launcher.metrics.figures import Acceptance, Figures, Quantiles, Totals
from launcher.metrics.history import Course
from launcher.metrics.verdict import Verdict

AT = "2026-11-30T10:00:00.000+00:00"
SENTENCE = (
    "Speculation pays 1.7 times here at 9 requests, by this machine's benchmark of 2026-11-29; "
    "plain decoding wins from about 24; 9 are running."
)
PAYS = Verdict(
    kind="pays",
    sentence=SENTENCE,
    speedup=1.7,
    needed_acceptance_length=1.82,
    crossover=24.0,
    baseline_acceptance_length=2.45,
    baseline="benchmark",
    benchmark="report.json",
)
BUSY = Figures(
    window_seconds=60.0,
    running_requests=9,
    waiting_requests=3,
    expected_wait_seconds=1.5,
    requests_per_second=2.0,
    prompt_tokens_per_second=45.2,
    output_tokens_per_second=312.4,
    acceptance=Acceptance(latest=2.4, window=2.41, since_start=2.5, verify_steps=4000),
    draft_steps=3,
    draft_tokens=4,
    time_to_first_token_seconds=Quantiles(0.066, 0.12, 1.18),
    time_per_output_token_seconds=Quantiles(0.0213, 0.025, 0.031),
    queue_time_seconds=Quantiles(0.0005, 0.002, 0.01),
    kv_total_tokens=65536,
    kv_used_fraction=0.23,
    kv_evictable_fraction=0.12,
    prefix_hit_fraction=0.45,
    retractions=2,
    totals=Totals(requests=400, output_tokens=21_000, retractions=5),
)


def server(**changed: Any) -> ServerSnapshot:
    """A busy server, with something else about it."""
    known = ServerSnapshot(
        name="one",
        fleet="",
        role="server",
        engine="SGLang",
        model="nano",
        url="http://127.0.0.1:8000",
        state="READY",
        seconds_since_start=850.0,
        speculation="EAGLE 3/1/4",
        origin="files",
        age_seconds=0.0,
        figures=BUSY,
        course=Course(20.0, (None, 2.4, 2.6, 2.2), (4, 9, 9, 8), (100.0, 300.0, 320.0, 310.0)),
        verdict=PAYS,
        usage=Usage(
            cpu_cores=1.8, gpus=(GpuUse(0, "NVIDIA H200", 65 << 30, 140 << 30, 0.97, 512.3),)
        ),
    )
    return replace(known, **changed)


def snapshot(*servers: ServerSnapshot, problems: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(AT, servers, problems)


class _Metrics(BaseHTTPRequestHandler):
    text: ClassVar[str] = ""
    status: ClassVar[int] = 200
    asked: ClassVar[int] = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = self.text.encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class MetricServer:
    """Answers each route with the same metrics; `asked` counts."""

    def __init__(self, text: str, status: int = 200) -> None:
        members = {"text": text, "status": status, "asked": 0}
        self._handler: type[_Metrics] = type("Handler", (_Metrics,), members)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def say(self, text: str) -> None:
        """Answer so from now on."""
        self._handler.text = text

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return self._handler.asked

    @contextlib.contextmanager
    def running(self) -> Iterator[MetricServer]:
        """For as long as a block runs."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
