"""The proof that what listens at a run record's address is that record's server.

A server dies, and its port is free: whoever takes it would be sent the prompt, the API key and the
admin key. So a client that found its server by a record looks before its first request, and again
at each connection that was made, before anything is sent over it. The connection came first: it
leads to whoever listened then, and the server's own socket was bound once.

Where the kernel does not tell (another container, or no Linux), nothing is proven and nothing sent.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clients.errors import ClientError, NotThatServerError
from clients.http.local.processes import is_held_at, listening_sockets, socket_paths
from clients.http.local.run_record import RunRecord, read_run_record

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTED = "connection.connect_tcp.complete"
"""httpcore's name for the moment at which a connection was made and nothing is sent yet."""


class OwnServer:
    """A server that was found by its run record. Safe to share between threads.

    A server that was started again at the same address is the same server: the record is read
    again where it does not fit any more.

    Args:
        record: of the server.
        read: reads the record of a name.
    """

    def __init__(
        self, record: RunRecord, *, read: Callable[[str], RunRecord] = read_run_record
    ) -> None:
        self.name = record.name
        self.base_url = record.base_url
        self._record = record
        self._read = read
        # Where each socket was found: the next look is one call.
        self._paths: dict[int, str] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Look whether the server itself listens.

        Raises:
            NotThatServerError: it does not, or nothing proves that it does.
        """
        with self._lock:
            why = self._why_not()
            if why is not None and self._is_renewed():
                why = self._why_not()
        if why is not None:
            raise NotThatServerError(
                f"What answers at {self.base_url} is not known to be server {self.name!r}: {why}. "
                "Nothing was sent.",
                url=self.base_url,
            )

    def when_connected(self, event: str, info: dict[str, Any]) -> None:
        """Check a connection that was made; for httpcore's extension `trace`.

        Raises:
            NotThatServerError: as `check` does; the connection is closed then.
        """
        if event == CONNECTED:
            try:
                self.check()
            except NotThatServerError:
                info["return_value"].close()
                raise

    async def when_connected_async(self, event: str, info: dict[str, Any]) -> None:
        """The same for asyncio. A look takes a fraction of a millisecond, and is not awaited."""
        if event == CONNECTED:
            try:
                self.check()
            except NotThatServerError:
                await info["return_value"].aclose()
                raise

    def _is_renewed(self) -> bool:
        """Whether the record tells of a later start at the same address."""
        try:
            again = self._read(self.name)
        except ClientError:
            return False
        if again.server == self._record.server or again.base_url != self.base_url:
            return False
        self._record = again
        self._paths.clear()
        return True

    def _why_not(self) -> str | None:
        server = self._record.server
        if server is None:
            return "its record names no process"
        if not server.is_alive():
            return f"its process {server.pid} has ended, or cannot be seen from here"
        address = urlsplit(self.base_url)
        # Twice: a look may miss a process that is handing over to a child just then.
        for _ in range(2):
            sockets = listening_sockets(address.hostname or "", address.port or 0)
            if not sockets:
                return "nobody listens there"
            if any(not is_held_at(self._paths.get(inode, ""), inode) for inode in sockets):
                self._paths = socket_paths(server.pid, sockets)
            if sockets <= self._paths.keys():
                return None
        return "another process than its own listens there"
