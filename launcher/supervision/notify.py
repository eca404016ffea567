"""What a service tells systemd about itself: the protocol of sd_notify(3).

A datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Without that variable
nothing is sent, so callers need not ask whether they run under systemd.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from typing import Final

# Meant for the process that systemd started and for none of its children: one that found them would
# speak in its parent's name.
VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
# systemd drops a datagram longer than its buffer, NOTIFY_BUFFER_MAX, which is 4096 bytes.
LONGEST_STATUS_BYTES: Final = 1024
# How much more time for the start each beat asks for. Beats come far more often; this much silence
# is a hang.
START_EXTENSION_SECONDS: Final = 120.0
_MICROSECONDS: Final = 1_000_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


class Notifier:
    """Tells systemd how the service is. Nothing raises, nothing blocks. For one thread.

    What the socket does not take, since its queue is full or systemd is just being replaced, goes
    out with the next message; of each kind of message only the newest is kept. So a READY=1 is not
    lost as long as `watchdog` or `extend_timeout` is called later.

    Args:
        address: the socket: a path, or `@` and an abstract name; None or another kind of address:
            nothing is sent.
        watchdog_seconds: see the attribute.

    Attributes:
        watchdog_seconds: how often `watchdog` has to be called, or None where systemd does not
            wait for it.
    """

    def __init__(self, address: str | None, *, watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds
        self._address = _socket_address(address)
        self._is_starting = True
        self._unsent: dict[str, str] = {}

    @classmethod
    def from_environment(
        cls, environ: MutableMapping[str, str], *, unset: bool = False
    ) -> Notifier:
        """The notifier that systemd asks for by `VARIABLES`.

        Args:
            environ: where the variables are looked for, such as `os.environ`.
            unset: remove them from it, so that no child inherits them.
        """
        notifier = cls(
            environ.get("NOTIFY_SOCKET"), watchdog_seconds=_watchdog_seconds(environ, os.getpid())
        )
        if unset:
            for variable in VARIABLES:
                environ.pop(variable, None)
        return notifier

    @property
    def is_connected(self) -> bool:
        """Whether there is somebody to tell."""
        return self._address is not None

    def ready(self) -> None:
        """The service is up: units that wait for it may start."""
        self._is_starting = False
        self._send(READY="1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; a longer or broken one is cut and joined."""
        line = _CONTROL.sub(" ", text).encode(errors="replace")[:LONGEST_STATUS_BYTES]
        self._send(STATUS=line.decode(errors="ignore"))

    def stopping(self) -> None:
        """The service itself is about to end.

        Not for a server that is stopped to be started again: from here on systemd counts the time
        for the stop, and at its end kills everything.
        """
        self._is_starting = False
        self._send(STOPPING="1")

    def watchdog(self) -> None:
        """The service still turns; to be called every `watchdog_seconds`.

        Until `ready` this asks for more time for the start too, for systemd has no watchdog then:
        how long a start may take is for the service to say, and whether it hangs for systemd.
        """
        if self._is_starting:
            self.extend_timeout(START_EXTENSION_SECONDS)
        self._send(WATCHDOG="1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for so much time from now for the start, or the stop, that is going on."""
        self._send(EXTEND_TIMEOUT_USEC=str(int(seconds * _MICROSECONDS)))

    def _send(self, **variables: str) -> None:
        if self._address is None:
            return
        self._unsent |= variables
        message = "\n".join(f"{key}={text}" for key, text in self._unsent.items())
        try:
            # A socket for each message: there is none to keep out of children, and one whose
            # other end was replaced would refuse for ever.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(0)  # not blocking
                connection.sendto(message.encode(), self._address)
        except OSError:
            return
        self._unsent.clear()


def _socket_address(address: str | None) -> str | None:
    """The address as the kernel takes it; None for one that is not a Unix socket's."""
    if address is None or len(address) < 2 or address[0] not in "/@":
        return None
    # The kernel marks a name without a file by a leading zero byte: unix(7).
    return "\0" + address[1:] if address[0] == "@" else address


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """Half of the time after which systemd takes the service for hung.

    Source: sd_watchdog_enabled(3): half of WATCHDOG_USEC is recommended, and it is meant for the
    process of WATCHDOG_PID alone, where that is set.
    """
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    allowed = environ.get("WATCHDOG_USEC", "")
    if not (allowed.isascii() and allowed.isdecimal()) or int(allowed) == 0:
        return None
    return int(allowed) / _MICROSECONDS / 2
