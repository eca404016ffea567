"""What the client costs above the openai SDK: CPU per stream and per request, import, memory.

    python -m benchmarks.selfcheck.client_overhead [--pairs N] [--chunks N] [--requests N]

A loopback server in a process of its own sends a fixed stream. Both sides read it in turns in this
process, so that a noisy machine hits both; the figures are medians of paired runs, in CPU time of
this process alone. Memory is the peak of the resident set after
each of several batches.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import openai

from clients import ChatClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HEAD = {"id": "r" * 32, "object": "chat.completion.chunk", "created": 1, "model": "m"}
_USAGE = {"prompt_tokens": 5, "completion_tokens": 30000, "total_tokens": 30005}


def stream_body(chunks: int) -> Iterator[bytes]:
    """Give a stream as SGLang sends it, an event at a time."""
    for number in range(chunks):
        choice = {"index": 0, "delta": {"reasoning_content": None, "content": f"word {number} "},
                  "logprobs": None, "finish_reason": None, "matched_stop": None}  # fmt: skip
        yield b"data: " + json.dumps({**_HEAD, "choices": [choice]}).encode() + b"\n\n"
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield b"data: " + json.dumps({**_HEAD, "choices": [last]}).encode() + b"\n\n"
    yield b"data: " + json.dumps({**_HEAD, "choices": [], "usage": _USAGE}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def serve(chunks: int) -> None:
    """Serve until standard input closes; print the port."""
    events = list(stream_body(chunks))
    message = {"role": "assistant", "content": "Hello.", "reasoning_content": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = json.dumps({**_HEAD, "choices": [choice], "usage": _USAGE}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            if asked.get("stream"):
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in events:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


def cpu_seconds(action: Callable[[], object]) -> float:
    """Run, and give this process's CPU time, in seconds."""
    gc.collect()
    before = time.process_time()
    action()
    return time.process_time() - before


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], pairs: int
) -> list[tuple[float, float]]:
    """Run both in turns, the order alternating, after one warm-up of each."""
    ours()
    theirs()
    measured = []
    for number in range(pairs):
        if number % 2:
            mine = cpu_seconds(ours)
            measured.append((mine, cpu_seconds(theirs)))
        else:
            other = cpu_seconds(theirs)
            measured.append((cpu_seconds(ours), other))
    return measured


def import_seconds(module: str) -> float:
    """CPU time of a new Python that imports a module, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(url: str, *, pairs: int, requests: int, batches: int) -> dict[str, object]:
    """Measure everything against a server.

    Args:
        url: of the server that `serve` runs.
        pairs: how many of each pair.
        requests: in each batch without streaming.
        batches: how many batches the memory is watched over.

    Returns:
        Medians and ranges: ratios, milliseconds, bytes.
    """
    with (
        ChatClient(url, model="m") as ours,
        openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as sdk,
    ):

        def our_stream() -> None:
            with ours.stream("Hi") as stream:
                for _ in stream:
                    pass

        def their_stream() -> None:
            with sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}], stream=True,
                stream_options={"include_usage": True},
            ) as stream:  # fmt: skip
                for _ in stream:
                    pass

        def our_requests() -> None:
            for _ in range(requests):
                ours.chat("Hi")

        def their_requests() -> None:
            for _ in range(requests):
                sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])

        streams = paired(our_stream, their_stream, pairs)
        batch = paired(our_requests, their_requests, pairs)
        grown = []
        for _ in range(batches):
            our_requests()
            gc.collect()
            grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    imports = [(import_seconds("clients"), import_seconds("openai")) for _ in range(pairs)]
    return {
        "stream_cpu_ratio": summary([a / b for a, b in streams]),
        "stream_cpu_seconds": statistics.median(a for a, _ in streams),
        "request_cpu_above_ms": summary([(a - b) / requests * 1e3 for a, b in batch]),
        "import_cpu_ratio": summary([a / b for a, b in imports]),
        "peak_bytes_after_each_batch": grown,
        "requests_a_batch": requests,
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.chunks)
        return
    command = [sys.executable, "-m", "benchmarks.selfcheck.client_overhead", "--serve"]
    with subprocess.Popen(
        [*command, "--chunks", str(asked.chunks)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None  # noqa: S101 - a pipe was asked for
        assert server.stdin is not None  # noqa: S101
        port = int(server.stdout.readline())
        try:
            figures = measure(
                f"http://127.0.0.1:{port}",
                pairs=asked.pairs,
                requests=asked.requests,
                batches=asked.batches,
            )
        finally:
            server.stdin.close()
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
