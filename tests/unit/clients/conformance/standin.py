"""A server that answers right, with a switch for each thing that real servers did wrong.

Its model knows what the checks ask it for. Its tokens are short pieces of text.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.unit.clients.conformance.standin_answer import Answering
from tests.unit.clients.conformance.standin_model import Json

CONTEXT_TOKENS = 2000
SLOTS = 32
HELD_SECONDS = 6.0
TIMED_TOKENS = 512


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    disable_nagle_algorithm = True
    wbufsize = -1

    faults: ClassVar[frozenset[str]] = frozenset()
    slots: ClassVar[threading.Semaphore]
    running: ClassVar[Counter[str]]
    seen: ClassVar[Counter[bytes]]
    received: ClassVar[list[Json]]
    headers_seen: ClassVar[list[Json]]
    numbers: ClassVar[Iterator[int]]
    closing: ClassVar[threading.Event]
    pauses: ClassVar[tuple[float, float]] = (0.003, 0.02)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            entry = {"id": "standin", "object": "model", "max_model_len": CONTEXT_TOKENS}
            self._json(200, {"object": "list", "data": [entry]})
        elif self.path == "/metrics":
            text = f'vllm:num_requests_running{{model="standin"}} {self.running["now"]}\n'
            self._send(200, text.encode(), "text/plain")
        else:
            self._refuse(404, "no such route")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        self.headers_seen.append(dict(self.headers.items()))
        if self.path == "/v1/embeddings":
            self._refuse(500 if "embeddings-500" in self.faults else 400, "no embeddings")
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self._refuse(500 if "malformed-500" in self.faults else 400, "not JSON")
            return
        self.received.append(body)
        if self._is_refused(body):
            return
        self.seen[raw] += 1
        with self.slots:
            self.running["now"] += 1
            try:
                self._chat(body, again=self.seen[raw] > 2)
            except ConnectionError:
                if "slot-held" in self.faults:
                    self.closing.wait(HELD_SECONDS)
            finally:
                self.running["now"] -= 1

    def _is_refused(self, body: Json) -> bool:
        faults = self.faults
        words = len(json.dumps(body.get("messages", "")).split())
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        if body["model"] != "standin":
            if "model-200" in faults:
                self._json(200, {"error": {"message": "no such model", "code": 404}})
            elif "model-any" in faults:
                return False
            else:
                self._refuse(500 if "model-500" in faults else 404, "no such model")
        elif "messages" not in body:
            self._refuse(422, "messages are missing")
        elif words > CONTEXT_TOKENS and "length-cut" not in faults:
            self._refuse(400, f"{words} words are too many")
        elif body.get("max_tokens", 1) < 0 or isinstance(body["temperature"], str):
            self._refuse(400, "out of range")
        elif schema.get("type") == "no-such-type":
            self._refuse(400, "no such type")
        elif "developer-500" in faults and body["messages"][0]["role"] == "developer":
            self._refuse(500, "no such role")
        elif "image_url" in json.dumps(body["messages"]):
            self._refuse(500 if "image-500" in faults else 400, "no images")
        elif ("no-n" in faults and body.get("n", 1) > 1) or (
            "no-logprobs" in faults and body.get("logprobs")
        ):
            self._refuse(400, "not supported")
        else:
            return False
        return True

    def _refuse(self, status: int, message: str) -> None:
        error = {"message": message, "type": "invalid_request_error"}
        self._json(status, {"error": message if "error-text" in self.faults else error})

    def _json(self, status: int, body: Json) -> None:
        kind = "text/html" if "whole-html" in self.faults else "application/json"
        self._send(status, json.dumps(body, ensure_ascii=False).encode(), kind)

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chat(self, body: Json, *, again: bool) -> None:
        answer = Answering(self.faults, body, next(self.numbers), again=again)
        if not body.get("stream"):
            self._json(200, answer.whole())
            return
        self.send_response(200)
        html = "stream-html" in self.faults
        self.send_header("Content-Type", "text/html" if html else "text/event-stream")
        self.end_headers()
        # A stream that is to be left runs for long; one that is only timed, for a second or two.
        pause = self.pauses[body.get("max_tokens", 0) > TIMED_TOKENS]
        held: list[bytes] = []
        for event in answer.stream():
            text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
            data = f"data: {text}\n\n".encode()
            if "burst" in self.faults and held:
                held.append(data)
            else:
                self.wfile.write(data)
                held = [b""]
            if body.get("ignore_eos"):
                self.wfile.flush()
                time.sleep(pause)
        self.wfile.write(b"".join(held))


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # A client that leaves is what some checks are about.


@contextlib.contextmanager
def standin(*faults: str, handler: type[Handler] = Handler) -> Iterator[tuple[str, type[Handler]]]:
    """Serve for as long as the block runs; gives the URL and what was received."""
    closing = threading.Event()
    own = type(
        "Own",
        (handler,),
        {
            "faults": frozenset(faults),
            "slots": threading.Semaphore(SLOTS),
            "running": Counter(),
            "seen": Counter(),
            "received": [],
            "headers_seen": [],
            "numbers": itertools.count(1),
            "closing": closing,
        },
    )
    server = _Server(("127.0.0.1", 0), own)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", own
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
