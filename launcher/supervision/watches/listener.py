"""Whether what listens on the server's port is the server: before it is asked, with a key or not.

Between our look at the port and the server's own bind, which a large model reaches minutes later,
somebody else may begin to listen there. He would get the keys, and could be called READY.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from launcher.engines.prober import Prober
from launcher.memory.report import ReportedMemory
from launcher.system.ports import describe_listener, is_listening, listening_sockets, sockets_of
from launcher.system.process import ProcessIdentity

NOBODY: Final = "connection refused: nobody listens on port {port}"


class GuardedProber:
    """Asks only the server itself.

    It looks once before the first request, and again after each that failed: a look costs some
    milliseconds, more where there are many connections.

    Args:
        prober: asks.
        host: where the server listens.
        port: likewise.
        members: finds the server's processes.
        on_stranger: told who listens there instead, in the thread that was about to ask.
    """

    def __init__(
        self,
        prober: Prober,
        *,
        host: str,
        port: int,
        members: Callable[[], list[ProcessIdentity]],
        on_stranger: Callable[[str], None],
    ) -> None:
        self._prober = prober
        self._host = host
        self._port = port
        self._members = members
        self._on_stranger = on_stranger
        self._is_own = False
        # What the last probe that failed was told, or why nobody was asked.
        self.last_refusal: str | None = None

    def is_up(self) -> bool:
        """See `Prober`."""
        return self._ask(self._prober.is_up)

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """See `Prober`."""
        return self._ask(lambda: self._prober.generate(tokens, timeout_seconds=timeout_seconds))

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:
        """See `Prober`."""
        if not self._look():
            return math.inf
        return self._prober.seconds_since_output(timeout_seconds=timeout_seconds)

    def memory(self) -> ReportedMemory | None:
        """See `Prober`."""
        return self._prober.memory() if self._look() else None

    def abort_requests(self) -> bool:
        """See `Prober`."""
        return self._ask(self._prober.abort_requests)

    def settle(self) -> bool:
        """See `Prober`."""
        return self._ask(self._prober.settle)

    def _ask(self, question: Callable[[], bool]) -> bool:
        if not self._look():
            return False
        answer = question()
        if not answer:
            self.last_refusal = self._prober.last_refusal
        # Whoever did not answer as it should may be another by now.
        self._is_own = answer
        return answer

    def _look(self) -> bool:
        """Whether the server may be asked."""
        if self._is_own:
            return True
        # A connection first: during a start nobody listens, and that is soon known.
        if not is_listening(self._host, self._port):
            self.last_refusal = NOBODY.format(port=self._port)
            return False
        # Twice: a look may miss a process that is handing over to a child just then.
        for _ in range(2):
            sockets = listening_sockets(self._host, self._port)
            if sockets and sockets <= sockets_of(self._members()):
                self._is_own = True
                return True
        # It may have let go of the port just now.
        if sockets:
            holder = describe_listener(self._port)
            self.last_refusal = (
                f"port {self._port} is held by {holder}, which is none of the server's"
            )
            self._on_stranger(holder)
        return False
