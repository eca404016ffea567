"""Supervisors in the background: starting one, and following what one says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Final

from launcher import errors
from launcher.config.server_config import ServerConfig
from launcher.diagnosis import failures
from launcher.diagnosis.failures import EVIDENCE_LINES
from launcher.engines.launch import Launch
from launcher.errors import LauncherError, NotRunningError, ServerError
from launcher.names import KEY_VARIABLES
from launcher.state.events import Event, ServerFailed, ServerReady, ServerStopped
from launcher.state.store import RunStore
from launcher.supervision.stop import SUPERVISOR_MARGIN_SECONDS
from launcher.system.files import open_private

_OUTLIVING: Final[list[subprocess.Popen[bytes]]] = []


def start_detached(
    launch: Launch, store: RunStore, lock: int, *, adopt: bool = False
) -> subprocess.Popen[bytes]:
    """Start a supervisor that outlives this process and its terminal.

    Args:
        launch: what to supervise; goes through standard input, since it holds the keys.
        store: where its state goes.
        lock: descriptor of the held lock, which the supervisor inherits and holds from then on.
        adopt: take over the server of the record instead of starting one.
    """
    with open_private(store.supervisor_log_file) as log:
        supervisor = subprocess.Popen(
            [
                *(sys.executable, "-m", "launcher", "supervise", "--name", store.name),
                *(["--adopt"] if adopt else []),
            ],
            stdin=subprocess.PIPE,
            env={name: text for name, text in os.environ.items() if name not in KEY_VARIABLES},
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[lock],
            cwd=store.folder,
            start_new_session=True,
        )
    # A Popen that is thrown away while its child lives is taken for a mistake.
    _OUTLIVING.append(supervisor)
    assert supervisor.stdin is not None  # noqa: S101  # we asked for a pipe
    # One that died at once has said why in its log, which whoever follows it will show.
    with contextlib.suppress(BrokenPipeError), supervisor.stdin as pipe:
        pipe.write(launch.to_json().encode())
    return supervisor


def wait_until_ready(events: Iterator[Event], feed: Callable[[Event], None]) -> None:
    """Follow a start to its end, good or bad.

    Args:
        events: of a supervisor in another process.
        feed: is told each of them.

    Raises:
        LauncherError: the start failed, or somebody stopped it.
    """
    for event in events:
        feed(event)
        if isinstance(event, ServerFailed):
            raise failure_of(event)
        if isinstance(event, ServerStopped):
            raise NotRunningError(
                "The server was stopped before it was ready.",
                action="Start it again with `python -m launcher up`.",
            )
        if isinstance(event, ServerReady):
            return


def cancel_start(supervisor: subprocess.Popen[bytes], config: ServerConfig) -> None:
    """Stop a detached start; a second Ctrl-C ends it at once, as in the foreground.

    Raises:
        StopError: the supervisor does not end.
    """
    patience_seconds = config.stop_seconds + SUPERVISOR_MARGIN_SECONDS
    while supervisor.poll() is None:
        supervisor.send_signal(signal.SIGINT)
        try:
            supervisor.wait(patience_seconds)
        except KeyboardInterrupt:
            continue
        except subprocess.TimeoutExpired as error:
            raise failures.supervisor_stays(supervisor.pid, seconds=patience_seconds) from error


def supervisor_died(store: RunStore) -> ServerError:
    """The error for a supervisor that ended without saying why."""
    lines: list[str] = []
    if store.supervisor_log_file.exists():
        text = store.supervisor_log_file.read_text(encoding="utf-8", errors="replace")
        lines = text.strip().splitlines()
    return ServerError(
        "The supervisor ended without a word on the server.",
        action=f"`python -m launcher down --name {store.name}` clears up; the lines below are its "
        "last.",
        evidence=tuple(lines[-EVIDENCE_LINES:]),
    )


def failure_of(event: ServerFailed) -> LauncherError:
    """The error that a supervisor in another process ended with."""
    kind = getattr(errors, event.error, None)
    if not isinstance(kind, type) or not issubclass(kind, LauncherError):
        kind = ServerError  # of another version of this project
    error: LauncherError = kind(event.problem, action=event.action, evidence=event.evidence)
    return error
