"""What a killed supervisor has left of its server, ended as that supervisor would have ended it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from launcher.config.keys import read_kept_admin_key
from launcher.config.server_config import ServerConfig
from launcher.diagnosis.conclusion import Failed
from launcher.engines.launch import Command, Launch
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.journal import Journal
from launcher.supervision.mailbox import Mailbox, Request
from launcher.supervision.notify import Notifier
from launcher.supervision.run.context import Dependencies
from launcher.supervision.run.loop import Run


def end_orphan(store: RunStore, record: RunRecord, served: dict[str, Any]) -> None:
    """Drain it, abort what outlasts that, kill what outlasts both; then it is STOPPED.

    This process is its supervisor meanwhile: the same loop, with nothing to do but to stop.

    Args:
        store: its folder; the caller holds the lock.
        record: of a server whose supervisor is dead, in any state.
        served: the fields of its configuration that stopping needs, checked.

    Raises:
        StopError: something is left.
    """
    # Those fields alone: another version may have served more.
    config = ServerConfig.model_validate(
        {"model_path": record.model_path, "served_model_name": record.served_model_name, **served}
    )
    key = read_kept_admin_key(record.admin_key_file)
    launch = Launch(
        config,
        Command(record.command, record.environment),
        {} if key is None else {"admin-api-key": key},
        record.versions,
        record.detached,
    )
    journal = Journal(store, lambda _: None, Notifier.from_environment({}))
    mailbox = Mailbox(chore=journal.catch_up)
    mailbox.put(Request.STOP)
    run = Run(launch, store, journal, mailbox, Dependencies(), adopted=record, ends=True)
    end = run.supervise()
    if isinstance(end, Failed):
        # Whoever supervised it is still the one that died: what is left must be found again, and
        # why it is left must be told, not that a supervisor died once.
        journal.move(
            ServerState.FATAL,
            supervisor=record.supervisor,
            last_failure=end.error.problem,
            last_failure_at=datetime.now(UTC),
        )
        raise end.error
    journal.move(ServerState.STOPPED)
