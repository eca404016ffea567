"""One connection between two supervisors."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Final

from launcher.nodes.messages import LARGEST_LINE_BYTES, Message, decode, encode

# A machine that lost its power is gone after a minute and a quarter, whether something was on its
# way to it (the last one) or not. A cable that is out for less cuts nothing.
_KEEPALIVE: Final = (
    (socket.TCP_KEEPIDLE, 15),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 6),
    (socket.TCP_USER_TIMEOUT, 75_000),
)
_SEND_SECONDS: Final = 5


class Connection:
    """Messages over a socket. Reads in one thread; writes from any."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lock = threading.Lock()
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        # A peer that reads nothing keeps no supervisor waiting.
        timeval = struct.pack("ll", _SEND_SECONDS, 0)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def send(self, message: Message) -> None:
        """Send a message; one that is not taken closes the connection, which the reader notices."""
        with self._lock:
            try:
                self._socket.sendall(encode(message))
            except OSError:
                self.close()

    def wait_at_most(self, seconds: int | None) -> None:
        """Bound each wait for something to come in; None: not at all."""
        timeval = struct.pack("ll", seconds or 0, 0)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def messages(self) -> Iterator[Message]:
        """What comes in, until the connection ends, or what comes is no message."""
        rest = b""
        while True:
            try:
                received = self._socket.recv(4096)
            except OSError:
                return
            if not received or len(rest) > LARGEST_LINE_BYTES:
                return
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                try:
                    yield decode(line)
                except ValueError:
                    return

    def close(self) -> None:
        """End it; the reader comes back."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()
