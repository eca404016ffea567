"""Machine 0: waits for the others, compares, starts together with them, ends together with them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from launcher.nodes import events, messages
from launcher.nodes.connection import Connection
from launcher.nodes.events import NodesEvent
from launcher.nodes.facts import NodeFacts, differences
from launcher.nodes.messages import MOST_PROBLEMS, Message, shortened

_BACKLOG: Final = 64
RETRY_SECONDS: Final = 0.5
HELLO_SECONDS: Final = 10
MOST_STRANGERS: Final = 64
STARTS_ANEW: Final = "machine 0 starts anew"


@dataclass(slots=True)
class _Node:
    """A machine that has said hello."""

    connection: Connection
    host: str
    waits: bool = False


class Leader:
    """See `launcher.nodes.group.Group`.

    Args:
        host: where to listen, an address of this machine.
        port: likewise.
        facts: of this machine.
    """

    def __init__(self, host: str, port: int, facts: NodeFacts) -> None:
        self._host = host
        self._port = port
        self._facts = facts
        self._lock = threading.RLock()
        self._nodes: dict[int, _Node] = {}
        self._meets = False
        self._post: Callable[[NodesEvent], None] = lambda _: None
        self._listener: socket.socket | None = None
        # Connections that have not said hello yet.
        self._strangers = threading.BoundedSemaphore(MOST_STRANGERS)

    def meet(self, post: Callable[[NodesEvent], None]) -> None:
        """Wait until all the others wait as well."""
        with self._lock:
            self._post, self._meets = post, True
        self._listen()
        with self._lock:
            for node in self._nodes.values():
                if not node.waits:
                    node.connection.send(messages.Ended(problem=STARTS_ANEW))
            self._begin_if_all_wait()

    def leave(self) -> None:
        """Start nobody: this machine is not ready any more."""
        with self._lock:
            self._meets = False

    def resume(self, post: Callable[[NodesEvent], None]) -> None:
        """Hear of the others again."""
        with self._lock:
            self._post, self._meets = post, False
        self._listen()

    def tell_moving(self) -> None:
        """To all."""
        self._tell(messages.Moving())

    def tell_stopping(self, *, again: bool) -> None:
        """To all: they stop, or restart, as this one does."""
        self._tell(messages.Stopping(again=again))

    def tell_ended(self, problem: str) -> None:
        """To all."""
        self._tell(messages.Ended(problem=shortened(problem)))

    def close(self, problem: str | None) -> None:
        """Let the others know, and listen no more."""
        if problem is None:
            self._tell(messages.Stopping(again=False))
        else:
            self._tell(messages.GaveUp(problem=shortened(problem)))
        with self._lock:
            listener, self._listener = self._listener, None
            nodes = list(self._nodes.values())
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for node in nodes:
            node.connection.close()

    def _tell(self, message: Message) -> None:
        with self._lock:
            nodes = list(self._nodes.values())
        for node in nodes:
            node.connection.send(message)

    def _listen(self) -> None:
        with self._lock:
            if self._listener is not None:
                return
            family, kind, protocol, _, address = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(_BACKLOG)
            except OSError:
                listener.close()
                raise
            self._listener = listener
            try:
                threading.Thread(
                    target=self._accept, args=(listener,), name="nodes", daemon=True
                ).start()
            except RuntimeError:
                self._listener = None
                listener.close()
                raise

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connected, address = listener.accept()
            except OSError:
                if self._listener is not listener:
                    return
                # No descriptor is free, or a peer had gone already: the next one may do.
                time.sleep(RETRY_SECONDS)
                continue
            if not self._strangers.acquire(blocking=False):
                connected.close()
                continue
            try:
                threading.Thread(
                    target=self._attend,
                    args=(Connection(connected), str(address[0])),
                    name="node",
                    daemon=True,
                ).start()
            except (OSError, RuntimeError):
                connected.close()
                self._strangers.release()

    def _attend(self, connection: Connection, host: str) -> None:
        """One machine, from its hello on."""
        incoming = connection.messages()
        # Whoever says nothing is not waited for.
        connection.wait_at_most(HELLO_SECONDS)
        hello = next(incoming, None)
        connection.wait_at_most(None)
        self._strangers.release()
        if isinstance(hello, messages.Hello) and self._welcome(hello.facts, connection, host):
            rank = hello.facts.rank
            for message in incoming:
                with self._lock:
                    self._take(rank, connection, message)
            with self._lock:
                self._lose(rank, connection)
        connection.close()

    def _welcome(self, facts: NodeFacts, connection: Connection, host: str) -> bool:
        """Take a machine in, or tell it why not."""
        with self._lock:
            known = self._nodes.get(facts.rank)
            problems = differences(self._facts, facts)
            if known is not None and known.host != host:
                both = f"{known.host} and on {host}"
                problems = (f"node_rank is {facts.rank} on {both}, and each has one of its own",)
            if problems:
                connection.send(
                    messages.Refused(problems=tuple(map(shortened, problems[:MOST_PROBLEMS])))
                )
                if self._meets:
                    self._post(events.Disagreed(problems))
                return False
            if known is not None:
                known.connection.close()
            self._nodes[facts.rank] = _Node(connection, host)
            if self._meets:
                # Whatever it serves is of a start that is over.
                connection.send(messages.Ended(problem=STARTS_ANEW))
            return True

    def _take(self, rank: int, connection: Connection, message: Message) -> None:
        node = self._nodes.get(rank)
        if node is None or node.connection is not connection:
            return
        match message:
            case messages.Waiting():
                node.waits = True
                if self._meets:
                    self._begin_if_all_wait()
                else:
                    self._post(events.NodeEnded(rank, "it has no server, and waits for a start"))
            case messages.Ended(problem=problem):
                if not self._meets:
                    self._post(events.NodeEnded(rank, problem))
            case messages.Stopping():
                if not self._meets:
                    # Without it nothing is served: what is in flight ends, and then all wait.
                    self._post(events.StopAsked(again=True))
            case messages.Moving():
                self._post(events.Moved())
                # What waits for that machine does not hang on the others either.
                for other, one in self._nodes.items():
                    if other != rank:
                        one.connection.send(message)

    def _begin_if_all_wait(self) -> None:
        missing = tuple(
            rank
            for rank in range(1, self._facts.nodes)
            if rank not in self._nodes or not self._nodes[rank].waits
        )
        self._post(events.Joined(missing))
        if missing:
            self._tell(messages.Missing(ranks=missing))
            return
        self._meets = False
        for node in self._nodes.values():
            node.waits = False
            node.connection.send(messages.Start())
        self._post(events.AllHere())

    def _lose(self, rank: int, connection: Connection) -> None:
        """A connection ended. Its machine comes back, or its server's end is noticed."""
        node = self._nodes.get(rank)
        if node is not None and node.connection is connection:
            del self._nodes[rank]
            if self._meets:
                self._begin_if_all_wait()
