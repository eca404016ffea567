"""Another machine than 0: finds machine 0, starts when that says so, ends when that ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Final

from launcher.nodes import events, messages
from launcher.nodes.connection import Connection
from launcher.nodes.events import NodesEvent
from launcher.nodes.facts import NodeFacts
from launcher.nodes.messages import Message, shortened

CONNECT_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.5


class Follower:
    """See `launcher.nodes.group.Group`.

    A connection that is lost is made anew, for as long as it takes: the server goes on meanwhile.

    Args:
        host: of machine 0.
        port: of its supervisor.
        facts: of this machine.
    """

    def __init__(self, host: str, port: int, facts: NodeFacts) -> None:
        self._host = host
        self._port = port
        self._facts = facts
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._waits = False
        self._was_told = False
        self._told_to_stop = False
        # The last word of a machine 0 that has given up.
        self._over: NodesEvent | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._post: Callable[[NodesEvent], None] = lambda _: None

    def meet(self, post: Callable[[NodesEvent], None]) -> None:
        """Wait for the word of machine 0."""
        with self._lock:
            self._post, self._waits, self._was_told = post, True, False
            self._told_to_stop = False
            connection, over = self._connection, self._over
        self._begin()
        if connection is not None:
            connection.send(messages.Waiting())
        if over is not None:
            post(over)

    def leave(self) -> None:
        """Start nothing: this machine is not ready any more."""
        with self._lock:
            self._waits = False

    def resume(self, post: Callable[[NodesEvent], None]) -> None:
        """Hear of machine 0 again."""
        with self._lock:
            self._post, self._waits, self._was_told = post, False, False
        self._begin()

    def tell_moving(self) -> None:
        """To machine 0."""
        self._tell(messages.Moving())

    def tell_stopping(self, *, again: bool) -> None:
        """To machine 0, unless the word came from there."""
        if not self._was_told:
            self._tell(messages.Stopping(again=again))

    def tell_ended(self, problem: str) -> None:
        """To machine 0."""
        self._tell(messages.Ended(problem=shortened(problem)))

    def close(self, problem: str | None) -> None:
        """Connect no more. Machine 0 notices who is missing."""
        del problem
        self._closed.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.close()

    def _tell(self, message: Message) -> None:
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.send(message)

    def _begin(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="nodes", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                connected = socket.create_connection(
                    (self._host, self._port), timeout=CONNECT_SECONDS
                )
            except OSError:
                self._closed.wait(PAUSE_SECONDS)
                continue
            self._attend(Connection(connected))
            self._closed.wait(PAUSE_SECONDS)

    def _attend(self, connection: Connection) -> None:
        """One connection, until it ends."""
        connection.send(messages.Hello(facts=self._facts))
        with self._lock:
            if self._closed.is_set():
                connection.close()
                return
            self._connection = connection
            self._over = None
            waits = self._waits
        if waits:
            connection.send(messages.Waiting())
        for message in connection.messages():
            with self._lock:
                self._take(message)
        with self._lock:
            self._connection = None
        connection.close()

    def _take(self, message: Message) -> None:
        match message:
            case messages.Start() if self._waits:
                self._waits = self._was_told = False
                self._post(events.AllHere())
            case messages.Missing(ranks=ranks) if self._waits:
                self._post(events.Joined(ranks))
            case messages.Refused(problems=problems):
                self._post(events.Disagreed(problems))
            case messages.Ended(problem=problem):
                if not self._waits:
                    self._post(events.NodeEnded(0, problem))
            case messages.Stopping(again=again):
                # One that waits for a start anyway has nothing to restart. What is said again is no
                # second wish, which would end what is in flight.
                if not (again and self._waits) and not self._told_to_stop:
                    self._was_told, self._told_to_stop = True, not again
                    self._post(events.StopAsked(again))
            case messages.GaveUp(problem=problem):
                self._over = events.LeaderGaveUp(problem)
                self._post(self._over)
            case messages.Moving():
                self._post(events.Moved())
