"""A server for as long as a block of a program runs: the launcher for programs.

    with serving({"preset": "nano", "port": free_port()}, name="mine") as record:
        print(record.base_url)

It is started as `up --detach` does, by a supervisor of its own, and stopped as `down` does.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from launcher.config.server_config import ServerConfig
from launcher.config.sources import resolve
from launcher.engines.launch import Command
from launcher.errors import StateError
from launcher.models.download.request import OnPullEvent, ignore
from launcher.preflight import prepare
from launcher.state.events import Event
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.state.store import RunStore
from launcher.supervision.detached import DetachedStart
from launcher.supervision.stop import clear_up, stop_server
from launcher.system.hardware import Hardware, probe_hardware


def configure(fields: Mapping[str, Any], *, hardware: Hardware | None = None) -> ServerConfig:
    """The configuration that some fields make, over a preset, as `up` would.

    The environment is left out: a program says what it wants.

    Args:
        fields: of `ServerConfig`; None unsets what the preset has set. `preset` among them, or the
            machine decides.
        hardware: what the machine has; None looks.

    Raises:
        ConfigError: they make no sense.
    """
    named = dict(fields)
    preset = named.pop("preset", None)
    here = hardware or probe_hardware()
    return resolve(preset=preset, flags=named, probe=lambda: here).config


def command_of(config: ServerConfig) -> Command:
    """The command that would start it, checked against SGLang's parser; starts nothing.

    Raises:
        LauncherError: SGLang would not take it, or this machine cannot serve it.
    """
    secrets_file = RunStore(config.name).secrets_file
    return prepare.plan_command(config, probe_hardware(), secrets_file=secrets_file)


@contextlib.contextmanager
def serving(
    fields: Mapping[str, Any],
    *,
    name: str,
    tell: Callable[[Event], None] = lambda _: None,
    report: OnPullEvent = ignore,
) -> Iterator[RunRecord]:
    """Serve while the block runs; nothing is left of the server when it is over.

    Args:
        fields: see `configure`; `name` is set to the argument.
        name: of the server, under which `status` and `logs` find it too.
        tell: is told each event of the start.
        report: is told of a download.

    Yields:
        The record of a server that has generated a token.

    Raises:
        AlreadyRunningError: a server of that name runs.
        LauncherError: it cannot be served here, the start failed, or the stop did.
    """
    config = configure({**fields, "name": name})
    store = RunStore(name)
    former = store.read_or_set_aside()
    if former is not None and former.is_running:
        raise already_running(former, name)
    # What a supervisor that was killed has left.
    clear_up(store)
    launch = prepare.prepare(
        config, probe_hardware(), secrets_file=store.secrets_file, detached=True, report=report
    )
    started = DetachedStart(launch, store)
    try:
        started.begin()
        started.wait_until_ready(tell)
        yield _record(store)
    except BaseException:
        # Whoever cannot wait, or does not come back from the block, does not want the server.
        started.cancel()
        raise
    stop_server(store)
    # It has ended; whoever has started it still has to take note.
    started.cancel()


def _record(store: RunStore) -> RunRecord:
    record = store.read()
    if record is None:
        raise StateError(
            f"The record {store.record_file} was removed while the server started.",
            action=f"`python -m launcher down --name {store.name}`, then start it again.",
        )
    return record


def free_port() -> int:
    """A port of loopback that nobody listens on now; somebody may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
