"""A start as a person or a program at the command line sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import click

from launcher.cli.display import consoles
from launcher.cli.display.progress import StartDisplay, show_ready
from launcher.cli.display.unhurried import STREAMS, Teller
from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Launch
from launcher.engines.phases import Phase
from launcher.errors import NotRunningError
from launcher.models.download.events import PullEvent
from launcher.models.download.request import OnPullEvent
from launcher.state.events import Event, EventReader, ServerFailed, ServerReady, ServerStopped
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.detached import (
    DetachedStart,
    Patience,
    follow_start,
    supervisor_died,
    wait_until_ready,
)
from launcher.supervision.notify import Notifier
from launcher.supervision.supervisor import Outcome, Supervisor
from launcher.system import private

# Events come every half second while bytes come, and none while a large file is hashed.
DOWNLOAD_EXTENSION_SECONDS: Final = 600.0

# How long a terminal or a pipe that nobody reads keeps a process whose server has ended: by itself,
# so that whoever comes back sees why; by a stop, for which somebody may be waiting.
ENDED_SECONDS: Final = 60.0
STOPPED_SECONDS: Final = 3.0

# Tells of a download, if there is one, and returns what to launch, or raises why it cannot be.
Check = Callable[[OnPullEvent], Launch]


def events_writer(store: RunStore) -> Callable[[Event], None]:
    """Appends each event to the events file. A full disk must not end a server that serves."""
    torn = False

    def write(event: Event) -> None:
        nonlocal torn
        # What a full disk cut stays on its own line.
        line = ("\n" if torn else "") + event.to_json() + "\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            descriptor = private.open_file(store.events_file, flags)
        except OSError:
            return
        try:
            written = os.write(descriptor, line.encode())
            torn = written < len(line.encode())
        except OSError:
            return
        finally:
            os.close(descriptor)

    return write


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How a start is shown, and whether it is one.

    Args:
        as_json: print events for a program on standard output.
        log_json: print them on standard error, instead of the picture for people.
        adopted: the record of a server that runs, whose supervisor was killed.
    """

    as_json: bool = False
    log_json: bool = False
    adopted: RunRecord | None = None


def run_in_foreground(
    config: ServerConfig, store: RunStore, check: Check, options: StartOptions
) -> bool:
    """Check, then supervise in this process until the server ends.

    Args:
        config: what `check` will check.
        store: where its state goes; untouched if the check fails.
        check: what must hold before anything is started.
        options: how to show it, and what to take over.

    Returns:
        False if it was cancelled before it was ready.

    Raises:
        LauncherError: the check failed, or the server did; see `Supervisor.run`.
    """
    shown = _Shown(config, store, options, hint="Ctrl-C stops it.")
    write = events_writer(store)

    def emit(event: Event) -> None:
        write(event)
        shown.feed(event)

    STREAMS.install()
    with shown.showing():
        launch = shown.check(check)
        store.create()
        with store.lock():
            _check_adoption(store, options, shown)
            supervisor = Supervisor(launch, store, emit, adopted=options.adopted)
            supervisor.handle_signals()
            try:
                return supervisor.run() is not Outcome.CANCELLED
            finally:
                STREAMS.hurry(STOPPED_SECONDS if supervisor.stop_was_asked else ENDED_SECONDS)


def run_detached(
    config: ServerConfig, store: RunStore, check: Check, options: StartOptions
) -> None:
    """Check, start a supervisor in the background, and wait until its server is ready.

    Raises:
        LauncherError: the check or the start failed; nothing is left running.
        StateError: likewise, or the start can be followed by nobody, and goes on.
        KeyboardInterrupt: the person cancelled; the server is stopped.
    """
    shown = _Shown(config, store, options, hint=_stop_hint(store))
    with shown.showing():
        launch = shown.check(check)
        start = DetachedStart(launch, store, adopt=options.adopted is not None)
        try:
            start.begin(lambda: _check_adoption(store, options, shown))
            start.wait_until_ready(shown.feed)
        except KeyboardInterrupt:
            # Whoever cancels the wait does not want the server either.
            start.cancel()
            raise
    shown.raise_refused()


def _check_adoption(store: RunStore, options: StartOptions, shown: _Shown) -> None:
    """Look again, under the lock: somebody else may have stopped or taken over the server."""
    for sentence in store.was_set_aside():
        shown.say(sentence)
    record = store.read()
    if options.adopted is not None and (record is None or not record.can_be_adopted):
        raise NotRunningError(
            f"The server {store.name!r} ended while it was to be taken over.",
            action="Run the same command again: it starts one.",
        )


def restart_supervised(
    record: RunRecord, config: ServerConfig, store: RunStore, *, as_json: bool
) -> None:
    """Ask a living supervisor to restart its server, and wait until that is ready.

    Raises:
        StartTimeoutError: the supervisor does not do it.
        LauncherError: the new start failed.
    """
    shown = _Shown(config, store, StartOptions(as_json=as_json), hint=_stop_hint(store))
    reader = EventReader(store.events_file)
    record.supervisor.send_signal(signal.SIGUSR1)
    # One that somebody has stopped would not hear of it; for any other it means nothing.
    record.supervisor.send_signal(signal.SIGCONT)
    events = follow_start(
        reader,
        store,
        Patience(record.supervisor.pid, config, restarts=record.run_id),
        record.supervisor.is_alive,
        is_current=lambda now: now.run_id != record.run_id,
        dead=lambda: supervisor_died(store),
    )
    with shown.showing():
        later = (one for one in events if one.run_id != record.run_id or _is_the_end(one))
        wait_until_ready(later, shown.feed)
    shown.raise_refused()


def _is_the_end(event: Event) -> bool:
    """Whether no start follows."""
    return isinstance(event, ServerFailed) or (
        isinstance(event, ServerStopped) and not event.restarting
    )


def _stop_hint(store: RunStore) -> str:
    return f"`python -m launcher down --name {store.name}` stops it."


class _Shown:
    """Events as JSON lines for programs, or as a picture for people, in a thread of its own."""

    def __init__(
        self, config: ServerConfig, store: RunStore, options: StartOptions, *, hint: str
    ) -> None:
        self._display = StartDisplay(consoles.err(), quiet=options.as_json or options.log_json)
        self._teller = Teller(on_dropped=self._show_dropped)
        self._config = config
        self._log_file = store.log_file
        self._options = options
        self._hint = hint
        self._was_ready = False

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Show what comes until the block is left; an error leaves its mark on the phase."""
        self._teller.start()
        self._teller.tell(self._display.start)
        try:
            yield
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                STREAMS.hurry(STOPPED_SECONDS)
            self._teller.tell(self._display.fail)
            raise
        finally:
            self._teller.tell(self._display.stop)
            self._teller.finish()

    def raise_refused(self) -> None:
        """Say what could not be said, once the block is left.

        Raises:
            OSError: standard output or error does not take it, as on a full device.
        """
        if self._teller.refused is not None:
            raise self._teller.refused

    def feed(self, event: Event) -> None:
        """Show an event, soon; whoever closed the terminal or the pipe is not told any more.

        A server must not die, nor be killed instead of stopped, since nobody looks on; nor wait
        since nobody reads.
        """
        self._teller.tell(lambda: self._show(event))

    def say(self, sentence: str) -> None:
        """Print a sentence for people."""
        self._teller.tell(
            lambda: consoles.err().print(sentence, soft_wrap=True, highlight=False, markup=False)
        )

    def _show(self, event: Event) -> None:
        self._print_line(event.to_json())
        if self._options.as_json:
            return
        self._display.feed(event)
        # A server that comes back needs no second introduction.
        if isinstance(event, ServerReady) and not self._was_ready:
            self._was_ready = True
            show_ready(
                consoles.out(),
                event,
                config=self._config,
                log_file=self._log_file,
                hint=self._hint,
            )

    def _print_line(self, line: str) -> None:
        if self._options.log_json:
            click.echo(line, err=True)
        if self._options.as_json:
            click.echo(line)

    def _show_dropped(self, count: int) -> None:
        # A person sees the newest picture in any case.
        self._print_line(json.dumps({"event": "output.dropped", "events": count}))

    def check(self, check: Check) -> Launch:
        """Show that the checks run, and run them."""
        self._teller.tell(lambda: self._display.enter(Phase.CHECKING.value))
        return check(self._feed_download)

    def _feed_download(self, event: PullEvent) -> None:
        # systemd would end a start that takes longer than it was told.
        Notifier.from_environment(os.environ).extend_timeout(DOWNLOAD_EXTENSION_SECONDS)
        self._teller.tell(lambda: self._show_download(event))

    def _show_download(self, event: PullEvent) -> None:
        self._print_line(event.to_json())
        if not self._options.as_json:
            self._display.feed_download(event)
