"""How a run begins: the first record, and a server that is started or taken over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from launcher.diagnosis import failures
from launcher.engines.launch import Command
from launcher.errors import StateError
from launcher.logs import files as log_files
from launcher.logs.adopted import AdoptedOutput
from launcher.logs.collector_process import CollectorSettings
from launcher.logs.output import Output, ServerOutput
from launcher.memory.report import MemoryRecord
from launcher.state.events import ServerAdopted
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.supervision.run.context import RunContext
from launcher.supervision.run.messages import CollectorLost, CollectorReplaced
from launcher.supervision.server.end import KILL_TIMEOUT_SECONDS
from launcher.supervision.server.process import AdoptedProcess, ServerProcess
from launcher.supervision.server.scratch import remove_scratch, with_scratch
from launcher.system.hardware import MIB
from launcher.system.ports import check_port_is_free
from launcher.system.process import ProcessIdentity


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run that nobody wanted ended, and when."""

    problem: str
    at: datetime


def first_record(context: RunContext, *, restarts: int, last_failure: Failure | None) -> RunRecord:
    """The record of a server that is about to be started."""
    launch, config, store = context.launch, context.config, context.store
    return RunRecord(
        name=store.name,
        run_id=context.run_id,
        state=ServerState.STARTING,
        detached=launch.detached,
        base_url=config.base_url,
        served_model_name=config.served_model_name,
        model_path=config.model_path,
        model_commit=launch.model_commit,
        api_key_file=config.api_key_file,
        admin_key_file=config.admin_key_file
        or (store.admin_key_file if _made_key(context) else None),
        started_at=datetime.now(UTC),
        restarts=restarts,
        last_failure=last_failure.problem if last_failure else None,
        last_failure_at=last_failure.at if last_failure else None,
        memory=MemoryRecord(planned=launch.planned),
        supervisor=ProcessIdentity.of(os.getpid()),
        command=launch.command.argv,
        environment=dict(launch.command.environment),
        versions=launch.versions,
        config=config.model_dump(mode="json"),
        log_file=store.log_file,
        events_file=store.events_file,
    )


def adopted_record(context: RunContext, adopted: RunRecord, *, ends: bool) -> RunRecord:
    """The record of a server that runs, with this process as its supervisor.

    Args:
        context: of the run.
        adopted: as the supervisor left it that was killed.
        ends: the server is only taken over to be ended.
    """
    changes: dict[str, object] = {
        "stand_by": None,
        # Whoever watches from now on judges anew.
        "speculation_alarm": None,
        "supervisor": ProcessIdentity.of(os.getpid()),
        "detached": context.launch.detached,
        "server": adopted.leader,
    }
    if ends:
        changes |= {"state": ServerState.STOPPING, "restarting": False, "next_start_at": None}
    return adopted.model_copy(update=changes)


def launch_server(
    context: RunContext, on_line: Callable[[str], None]
) -> tuple[ServerProcess, Output]:
    """Start the server and the collector of its output.

    Raises:
        PortInUseError: somebody took the port during a pause.
        SpawnError: the system does not start one of them.
        StateError: the keys or the log cannot be written.
    """
    config, store, mailbox = context.config, context.store, context.mailbox
    # Whoever has taken the port would be asked with our key.
    check_port_is_free(config.host, config.port)
    store.create()
    store.write_secrets(context.launch.keys)
    if made := _made_key(context):
        store.write_admin_key(made)
    log_files.begin(store.log_file, config.log_keep_files)
    try:
        output = ServerOutput(
            log_file=store.log_file,
            secrets=context.launch.keys.values(),
            on_line=on_line,
            on_restart=lambda new: mailbox.put(CollectorReplaced(context.run_id, new)),
            rotate_bytes=config.log_rotate_mib * MIB,
            keep_files=config.log_keep_files,
        )
    except OSError as error:
        raise failures.not_spawned(error) from error
    command = context.launch.command
    environment = with_scratch(context.run_id, command.environment)
    context.journal.update(environment=environment)
    try:
        process = context.stand_by.take(
            environment, output.write_end
        ) or context.dependencies.spawner(
            Command(command.argv, environment),
            run_id=context.run_id,
            cwd=store.folder,
            output=output.write_end,
            die_with_parent=context.launch.dies_with_launcher,
        )
    except (OSError, ValueError) as error:
        remove_scratch(context.run_id, environment)
        output.close_write_end()
        output.join(KILL_TIMEOUT_SECONDS)
        raise failures.not_spawned(error) from error
    output.close_write_end()
    context.journal.update(server=process.identity, collector=output.collector)
    return process, output


def _made_key(context: RunContext) -> str | None:
    """The admin key that was made for this server, where the user has named none."""
    return None if context.config.admin_key_file else context.launch.keys.get("admin-api-key")


def take_over(context: RunContext, on_line: Callable[[str], None]) -> tuple[ServerProcess, Output]:
    """Follow a server whose supervisor was killed."""
    record, config, mailbox = context.journal.record, context.config, context.mailbox
    assert record.server is not None  # noqa: S101  # it is alive, so it was found
    # One that is only to be ended needs no other collector.
    ends = record.state is ServerState.STOPPING
    output = AdoptedOutput(
        CollectorSettings(
            context.store.log_file.absolute(),
            tuple(context.launch.keys.values()),
            config.log_rotate_mib * MIB,
            config.log_keep_files,
        ),
        record.collector,
        None if ends else record.server,
        on_line=on_line,
        on_restart=lambda new: mailbox.put(CollectorReplaced(context.run_id, new)),
        on_lost=lambda: mailbox.put(CollectorLost(context.run_id)),
        began_at=record.started_at.timestamp(),
    )
    if made := _made_key(context):
        # So that it is put back where somebody removes it.
        with contextlib.suppress(StateError):
            context.store.write_admin_key(made)
    context.journal.tell(ServerAdopted, pid=record.server.pid)
    return AdoptedProcess(record.server), output
