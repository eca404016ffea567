"""The overhead benchmark runs, and its stream is one that both sides read alike."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.selfcheck.client_overhead import stream_body
from clients.events import ContentDelta, Done, Usage
from clients.http.wire import AnswerFold


def test_the_stream_is_sglangs() -> None:
    fold = AnswerFold()
    events = [event for part in stream_body(5) for event in fold.feed(part)]
    assert sum(isinstance(event, ContentDelta) for event in events) == 5
    assert any(isinstance(event, Usage) for event in events)
    assert isinstance(events[-1], Done)


def test_a_small_run_gives_every_figure() -> None:
    small = ["--pairs", "1", "--chunks", "20", "--requests", "2", "--batches", "2"]
    command = [sys.executable, "-m", "benchmarks.selfcheck.client_overhead", *small]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    figures = json.loads(done.stdout)
    for name in ("stream_cpu_ratio", "import_cpu_ratio"):
        assert 0 < figures[name]["least"] <= figures[name]["median"] <= figures[name]["most"]
    assert set(figures["request_cpu_above_ms"]) == {"median", "least", "most"}
    assert len(figures["peak_bytes_after_each_batch"]) == 2
