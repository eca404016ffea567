"""The machines that serve together, as one run of a supervisor sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from launcher.config.server_config import ServerConfig
from launcher.nodes.events import NodesEvent
from launcher.nodes.facts import NodeFacts
from launcher.nodes.follower import Follower
from launcher.nodes.leader import Leader
from launcher.nodes.network import meeting_place

Post = Callable[[NodesEvent], None]


class Group(Protocol):
    """This machine among the others. `post` is called from other threads."""

    def meet(self, post: Post) -> None:
        """Be ready to start; `AllHere` comes once all are.

        Raises:
            OSError: nobody can listen at the address; of machine 0 alone.
            RuntimeError: no thread is to be had.
        """

    def leave(self) -> None:
        """Not be ready any more, until the next `meet`."""

    def resume(self, post: Post) -> None:
        """Serve on: the server was taken over from a supervisor that was killed.

        Raises:
            OSError: see `meet`.
        """

    def tell_moving(self) -> None:
        """The start goes on here."""

    def tell_stopping(self, *, again: bool) -> None:
        """The server here is about to be stopped, or restarted."""

    def tell_ended(self, problem: str) -> None:
        """The server here has ended."""

    def close(self, problem: str | None) -> None:
        """Take part no more.

        Args:
            problem: why this machine gives up; None where it was stopped.
        """


def make_group(config: ServerConfig, facts: NodeFacts) -> Group:
    """Machine 0 leads, the others follow."""
    place = meeting_place(config)
    if config.node_rank == 0:
        return Leader(place.host, place.link_port, facts)
    return Follower(place.host, place.link_port, facts)
