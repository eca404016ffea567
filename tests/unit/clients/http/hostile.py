"""A server on loopback that answers with any bytes, without end where it is told so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Send = Callable[[bytes], None]
Answer = Callable[[Send, bool], None]
"""Writes an answer, head and body; is told whether a stream was asked for."""


class Hostile:
    """One that accepts connections until the block ends.

    Attributes:
        port: where it listens.
        requests: head and body of each that came.
        sent: bytes that the other side took before it left.
        url: of it.
    """

    def __init__(self, answer: Answer, host: str = "127.0.0.1", port: int = 0) -> None:
        self.requests: list[bytes] = []
        self.sent = 0
        self._answer = answer
        self._listening = socket.create_server((host, port))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        """Answer until the listening socket is closed."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._converse, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop accepting, and wait for what is under way."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _converse(self, connection: socket.socket) -> None:
        # Nobody in a test answers more slowly; one that has left is noticed at once.
        connection.settimeout(30)
        with connection, contextlib.suppress(OSError):
            request = _read_request(connection)
            if not request:
                return
            self.requests.append(request)

            def send(data: bytes) -> None:
                connection.sendall(data)
                self.sent += len(data)

            self._answer(send, b'"stream": true' in request or b'"stream":true' in request)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := connection.recv(65536)):
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def hostile(answer: Answer, host: str = "127.0.0.1", port: int = 0) -> Iterator[Hostile]:
    """Serve while the block runs."""
    server = Hostile(answer, host, port)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def head(status: int = 200, *lines: str, kind: str = "application/json") -> bytes:
    """The head of an answer whose body ends with the connection."""
    first = (f"HTTP/1.1 {status} Any", f"Content-Type: {kind}", "Connection: close", *lines)
    return ("\r\n".join(first) + "\r\n\r\n").encode("latin-1")


def whole(body: bytes, status: int = 200, *lines: str) -> bytes:
    """An answer that ends."""
    return head(status, f"Content-Length: {len(body)}", *lines) + body


def endless(part: bytes, first: bytes) -> Answer:
    """Write `first`, and then a part again and again until the other side has gone."""

    def answer(send: Send, _: bool) -> None:  # noqa: FBT001 - as `Answer` has it
        send(first)
        while True:
            send(part)

    return answer
