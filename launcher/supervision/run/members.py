"""The processes of a running server: which they are, what they share, and which of them ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from launcher.state.events import ProcessLost
from launcher.supervision.mailbox import Timer
from launcher.supervision.run.context import RunContext
from launcher.supervision.run.messages import MemberEnded
from launcher.supervision.server.end import ServerResources, end_server
from launcher.supervision.server.scratch import remove_scratch
from launcher.supervision.watches.members import MemberWatch
from launcher.system.activity import EngineChild
from launcher.system.members import find_members, reap_orphans
from launcher.system.process import ProcessIdentity
from launcher.system.shared_memory import Segment, segments_of


class Members:
    """Everything that descends from the server's first process.

    Args:
        context: of the run.
        leader: the first process.
        segments: shared memory that the server was seen to use before.
    """

    def __init__(
        self, context: RunContext, leader: ProcessIdentity, segments: Iterable[Segment]
    ) -> None:
        self._context = context
        self._leader = leader
        self._segments = frozenset(segments)
        self._watch: MemberWatch | None = None
        self._watched: frozenset[EngineChild] = frozenset()
        self._lost = False

    def find(self) -> list[ProcessIdentity]:
        """Those that live; waits for no lock of a process that may hang."""
        return find_members(self._leader, self._context.run_id)

    def look(self) -> list[ProcessIdentity]:
        """Those that live; the shared memory that they use is remembered."""
        members = self.find()
        found = self._segments | segments_of(members)
        if found != self._segments:
            self._segments = found
            ordered = tuple(sorted(found, key=lambda one: one.name))
            self._context.journal.update(segments=ordered)
        return members

    @property
    def has_lost(self) -> bool:
        """Whether one of them has ended that the server cannot do without."""
        return self._lost

    @property
    def essential(self) -> frozenset[ProcessIdentity]:
        """Those without any of which the server is broken, as far as they are known."""
        return frozenset({self._leader, *(identity for identity, _ in self._watched)})

    def watch(self, members: list[ProcessIdentity]) -> None:
        """Hear of the end of each process that has a title by now."""
        context = self._context
        children = context.engine.children(members)
        if self._watched.issuperset(children):
            return
        self.stop_watch()
        self._watch = MemberWatch(
            children,
            on_end=lambda identity, title: context.mailbox.put(
                MemberEnded(context.run_id, identity, title)
            ),
        )
        # A server that serves is not ended since the system has no descriptor or thread left.
        with contextlib.suppress(OSError, RuntimeError):
            self._watch.start()
            self._watched = frozenset(children)

    def lose(self, lost: MemberEnded) -> None:
        """Give the engine its time to explain itself; the rest ends with it."""
        context = self._context
        if context.stopping is not None or self._lost:
            return
        self._lost = True
        context.last_words = f"{lost.title} (process {lost.identity.pid}) ended"
        context.journal.tell(ProcessLost, pid=lost.identity.pid, title=lost.title)
        served = context.ready_at is not None
        seconds = context.engine.fallout_seconds(context.config, served=served)
        context.mailbox.set(Timer.FALLOUT, seconds)

    def end(self) -> None:
        """Kill those that live, and see that nothing that they held is left.

        Raises:
            StopError: something is left.
        """
        config = self._context.config
        resources = ServerResources(config.host, config.port, on_gpus=config.device == "cuda")
        try:
            end_server(self._leader, self._context.run_id, resources, self._segments)
            remove_scratch(self._context.run_id, self._context.journal.record.environment)
        finally:
            reap_orphans(self._leader)

    def stop_watch(self) -> None:
        """Hear of no end any more."""
        if self._watch is not None:
            self._watch.stop()
