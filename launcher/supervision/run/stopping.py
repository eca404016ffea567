"""The end of a run that somebody asked for: drain, deadline, kill."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Final

from launcher.diagnosis.conclusion import EndReason
from launcher.state.states import ServerState
from launcher.supervision.mailbox import Request, Timer
from launcher.supervision.run.context import RunContext
from launcher.supervision.run.members import Members
from launcher.system.process import ProcessIdentity

ABORT_REPEAT_SECONDS: Final = 1.0


def stop(
    context: RunContext, leader: ProcessIdentity, members: Members, request: Request
) -> EndReason | None:
    """TERM to the server's first process, which drains; a second request ends it at once.

    Only the first process gets the TERM: an engine treats children that die before it as a crash.
    """
    if context.stopping is not None:
        return _stop_again(context, request)
    context.stopping = request
    # systemd would end the whole unit at its own deadline, a restarted server included.
    if request is Request.STOP:
        context.journal.say_goodbye()
        context.stand_by.end()
    restarting = request is Request.RESTART
    if context.group is not None:
        context.group.tell_stopping(again=restarting)
    if context.journal.record.state is ServerState.STOPPING:
        # Its own supervisor had begun to stop it, and was killed.
        context.journal.update(restarting=restarting)
    else:
        context.journal.move(ServerState.STOPPING, restarting=restarting)
    members.look()
    if leader.is_stopped():
        # So it was to be killed: it drains nothing any more.
        return EndReason.KILLED
    context.mailbox.clear()
    # A server that has never been READY stands in no gateway's file.
    leave_seconds = 0.0 if context.ready_at is None else context.journal.leave_seconds
    if leave_seconds == 0.0:
        drain(context, leader)
    else:
        context.mailbox.set(Timer.TERM, leave_seconds)
        context.mailbox.set(Timer.KILL, leave_seconds + context.config.stop_seconds)
    return None


def drain(context: RunContext, leader: ProcessIdentity) -> None:
    """Let the server end what it has, and then itself; set the deadlines of both."""
    leader.send_signal(signal.SIGTERM)
    context.mailbox.set(Timer.DRAIN, context.config.drain_timeout_seconds)
    context.mailbox.set(Timer.KILL, context.config.stop_seconds)


def _stop_again(context: RunContext, request: Request) -> EndReason | None:
    if request is Request.RESTART:
        return None
    if context.stopping is Request.STOP:
        return EndReason.KILLED
    # What is in flight ends as it would have with the restart.
    context.stopping = request
    context.journal.say_goodbye()
    context.stand_by.end()
    context.journal.update(restarting=False)
    return None


def abort_requests(context: RunContext) -> None:
    """End what is in flight; the server may take new requests until it ends, so again and again."""
    with contextlib.suppress(RuntimeError):
        threading.Thread(target=context.prober.abort_requests, daemon=True).start()
    context.mailbox.set(Timer.DRAIN, ABORT_REPEAT_SECONDS)
