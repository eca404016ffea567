"""A chat server on loopback for faults that the real one does not show: bytes that trickle."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    # Nobody waits for an answer that the test has left.
    daemon_threads = True
    block_on_close = False


Write = Callable[[bytes], None]


@contextlib.contextmanager
def serving(
    answer: Callable[[Write, bytes], None], *, content_type: str = "text/event-stream"
) -> Iterator[str]:
    """Answer every POST by a function that writes the body; gives the URL.

    Args:
        answer: gets what writes bytes at once, and the body of the request.
        content_type: of the answer.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.end_headers()

            def write(data: bytes) -> None:
                self.wfile.write(data)
                self.wfile.flush()

            with contextlib.suppress(OSError):
                answer(write, request)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def trickle(data: bytes, *, first: bytes = b"") -> Callable[[Write, bytes], None]:
    """Write `first`, and then some bytes again and again until the other side has gone."""

    def answer(write: Write, _: bytes) -> None:
        write(first)
        while True:
            write(data)
            time.sleep(0.02)

    return answer


def silence(first: bytes) -> Callable[[Write, bytes], None]:
    """Write `first`, and then nothing for longer than any test waits."""

    def answer(write: Write, _: bytes) -> None:
        write(first)
        time.sleep(5)

    return answer
