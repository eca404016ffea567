"""The beginning of a run on several machines: none starts before all are ready."""

from __future__ import annotations

import time
from typing import Final

from launcher.diagnosis import failures
from launcher.diagnosis import nodes as words
from launcher.diagnosis.conclusion import Failed, Stopped
from launcher.engines.causes import Retry
from launcher.engines.phases import Phase
from launcher.nodes import events
from launcher.nodes.group import Group
from launcher.state.events import PhaseProgress
from launcher.state.states import ServerState
from launcher.supervision.mailbox import Item, Request, Timer
from launcher.supervision.run.context import RunContext
from launcher.supervision.run.messages import NodesHeard, asked_elsewhere

# Whoever follows the start hears of it as often.
TELL_SECONDS: Final = 20.0
NODE_MISSING: Final = "node-missing"


def meet(context: RunContext, group: Group) -> Stopped | Failed | None:
    """Wait for the other machines.

    Returns:
        None: all are ready, start now. Otherwise why there is no start.
    """
    try:
        group.meet(lambda event: post(context, event))
    except OSError as error:
        return Failed(words.cannot_listen(context.config, error), Retry.ONCE_SERVED)
    except RuntimeError as error:
        return Failed(failures.out_of_means(error), Retry.ONCE_SERVED)
    early = _Meeting(context).wait(group)
    if early is not None:
        group.leave()
    return early


def post(context: RunContext, event: events.NodesEvent) -> None:
    """Put what is heard of the other machines into the mailbox; called in their threads."""
    context.mailbox.put(NodesHeard(context.run_id, event))


class _Meeting:
    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._missing = tuple(
            rank for rank in range(context.config.nnodes) if rank != context.config.node_rank
        )
        self._began = time.monotonic()
        self._is_overdue = False

    def wait(self, group: Group) -> Stopped | Failed | None:
        context, mailbox = self._context, self._context.mailbox
        self._tell()
        mailbox.set(Timer.START, context.config.dist_timeout_seconds)
        while True:
            mailbox.set(Timer.LOOK, TELL_SECONDS)
            item = self._next()
            if item is None:
                return self._missed()
            if item is Request.STOP or asked_elsewhere(item) is Request.STOP:
                return self._stop(group)
            if item is Timer.LOOK:
                self._tell()
            elif isinstance(item, NodesHeard):
                # What ends the group holds, in whichever run it was said.
                if isinstance(item.event, events.LeaderGaveUp):
                    return Failed(words.leader_gave_up(item.event.problem), Retry.NEVER)
                if item.run_id != context.run_id:
                    continue
                if self._is_all_here(item):
                    mailbox.clear()
                    return None
                if (failed := self._hear(item.event)) is not None:
                    return failed

    def _next(self) -> Item | None:
        """What is next; None: the time is over, and nothing that came in time is left."""
        mailbox = self._context.mailbox
        if not self._is_overdue:
            item = mailbox.next()
            if item is not Timer.START:
                return item
            # Timers come first, and the last machine may have come just now.
            self._is_overdue = True
        return mailbox.poll()

    def _is_all_here(self, item: Item | None) -> bool:
        return (
            isinstance(item, NodesHeard)
            and item.run_id == self._context.run_id
            and isinstance(item.event, events.AllHere)
        )

    def _hear(self, event: events.NodesEvent) -> Failed | None:
        match event:
            case events.Joined(missing=missing):
                self._missing = missing
                self._tell()
            case events.Disagreed(problems=problems):
                return Failed(words.disagree(problems), Retry.NEVER, "nodes-disagree")
        return None

    def _missed(self) -> Failed:
        waited = time.monotonic() - self._began
        error = words.missing(self._context.config, self._missing, seconds=waited)
        return Failed(error, Retry.ONCE_SERVED, NODE_MISSING)

    def _tell(self) -> None:
        nodes = self._context.config.nnodes
        self._context.journal.tell(
            PhaseProgress,
            phase=Phase.JOINING.value,
            done=nodes - len(self._missing),
            total=nodes,
        )

    def _stop(self, group: Group) -> Stopped:
        self._context.mailbox.clear()
        self._context.stopping = Request.STOP
        group.tell_stopping(again=False)
        self._context.journal.move(ServerState.STOPPING)
        return Stopped(killed=False, restart=False, served=False)
