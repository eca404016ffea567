"""Supervisors in the background: starting one, and following what one says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from launcher import errors
from launcher.config.server_config import ServerConfig, describe_speculation
from launcher.diagnosis import failures
from launcher.diagnosis.failures import EVIDENCE_LINES
from launcher.engines.launch import Launch
from launcher.errors import LauncherError, NotRunningError, ServerError, StateError
from launcher.names import KEY_VARIABLES
from launcher.state.events import (
    POLL_SECONDS,
    Event,
    EventReader,
    ServerCrashed,
    ServerFailed,
    ServerReady,
    ServerStopped,
    parse_event,
)
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.stop import SUPERVISOR_MARGIN_SECONDS, clear_up
from launcher.system import private
from launcher.system.files import cannot_write, open_private

# What a pipe takes without a reader.
_LAST_WORD_BYTES: Final = 4096
# How often the record is asked for what no event has said.
_LOOK_SECONDS: Final = 1.0
# How long nothing at all may be known of a start.
_UNWRITTEN_SECONDS: Final = 60.0
_LARGEST_LOG_BYTES: Final = 4 * 1024**2
_OUTLIVING: Final[list[subprocess.Popen[bytes]]] = []
# By pid: the pipe by which a supervisor says what it ends with where no file takes that.
_LAST_WORDS: Final[dict[int, int]] = {}


def start_detached(
    launch: Launch, store: RunStore, lock: int, *, adopt: bool = False
) -> subprocess.Popen[bytes]:
    """Start a supervisor that outlives this process and its terminal.

    Args:
        launch: what to supervise; goes through standard input, since it holds the keys.
        store: where its state goes.
        lock: descriptor of the held lock, which the supervisor inherits and holds from then on.
        adopt: take over the server of the record instead of starting one.

    Raises:
        StateError: its log cannot be written.
        SpawnError: the system starts no more processes.
    """
    try:
        log = open_private(store.supervisor_log_file)
    except OSError as error:
        raise cannot_write(store.supervisor_log_file, error) from error
    reading, writing = os.pipe()
    with log, os.fdopen(writing, "wb") as last_word:
        try:
            supervisor = subprocess.Popen(
                [
                    *(sys.executable, "-m", "launcher", "supervise", "--name", store.name),
                    *(["--adopt"] if adopt else []),
                ],
                stdin=subprocess.PIPE,
                env={n: text for n, text in os.environ.items() if n not in KEY_VARIABLES},
                stdout=last_word,
                stderr=log,
                pass_fds=[lock],
                cwd=store.folder,
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            raise failures.not_spawned(error) from error
    # A Popen that is thrown away while its child lives is taken for a mistake.
    _OUTLIVING.append(supervisor)
    _LAST_WORDS[supervisor.pid] = reading
    assert supervisor.stdin is not None  # noqa: S101  # we asked for a pipe
    # One that died at once has said why in its log, which whoever follows it will show.
    with contextlib.suppress(BrokenPipeError), supervisor.stdin as pipe:
        pipe.write(launch.to_json().encode())
    return supervisor


class DetachedStart:
    """A start by a supervisor of its own, begun here and followed from here.

    Args:
        launch: what to run; every check has passed.
        store: where its state goes.
        adopt: take over the server of the record instead of starting one.
    """

    def __init__(self, launch: Launch, store: RunStore, *, adopt: bool = False) -> None:
        self._launch = launch
        self._store = store
        self._adopt = adopt
        self._supervisor: subprocess.Popen[bytes] | None = None

    def begin(self, check: Callable[[], None] = lambda: None) -> None:
        """Start the supervisor; `check` looks once more, where nobody else starts one.

        Raises:
            AlreadyRunningError: somebody else starts or supervises a server of that name.
            StateError, SpawnError: see `start_detached`.
        """
        self._store.create()
        self._reader = EventReader(self._store.events_file)
        with self._store.lock() as lock:
            check()
            self._supervisor = start_detached(self._launch, self._store, lock, adopt=self._adopt)

    def wait_until_ready(self, tell: Callable[[Event], None]) -> None:
        """Follow the start to its end; `tell` is given each event.

        Raises:
            LauncherError: it failed, or somebody stopped it.
        """
        supervisor = self._supervisor
        assert supervisor is not None  # noqa: S101  # it was begun
        events = follow_start(
            self._reader,
            self._store,
            Patience(supervisor.pid, self._launch.config),
            lambda: supervisor.poll() is None,
            is_current=lambda record: record.supervisor.pid == supervisor.pid,
            dead=lambda: supervisor_died(self._store, supervisor),
        )
        wait_until_ready(events, tell)

    def cancel(self) -> None:
        """Stop it, where it was begun; a second Ctrl-C ends it at once, as in the foreground.

        Raises:
            StopError: something is left.
        """
        supervisor = self._supervisor
        patience_seconds = self._launch.config.stop_seconds + SUPERVISOR_MARGIN_SECONDS
        while supervisor is not None and supervisor.poll() is None:
            supervisor.send_signal(signal.SIGINT)
            try:
                supervisor.wait(patience_seconds)
            except KeyboardInterrupt:
                continue
            except subprocess.TimeoutExpired:
                supervisor.kill()
                supervisor.wait()
                clear_up(self._store)


class Patience:
    """How long a supervisor in another process may tell of nothing while it starts a server.

    It ends each start itself, at its own deadline; it is only one that stands still, or that has
    lost its way, which tells of nothing for longer.

    Args:
        pid: of the supervisor that is waited for.
        config: what it serves.
        restarts: the run that it is to end first; None where it starts one at once.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pid: int,
        config: ServerConfig,
        *,
        restarts: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid = pid
        self._config = config
        self._restarts = restarts
        self._clock = clock
        self._since = clock()
        self._start_seconds = config.join_seconds + config.start_timeout_seconds
        begins = self._start_seconds if restarts is None else config.stop_seconds
        self._allowed_seconds = begins + SUPERVISOR_MARGIN_SECONDS

    def heard(self, event: Event) -> None:
        """Take an event; what the run tells that is to be ended changes nothing."""
        if event.run_id == self._restarts:
            return
        self._since = self._clock()
        pause = event.restart_in_seconds if isinstance(event, ServerCrashed) else 0.0
        self._allowed_seconds = self._start_seconds + SUPERVISOR_MARGIN_SECONDS + pause

    def check(self) -> None:
        """Look at the clock.

        Raises:
            StartTimeoutError: it has told of nothing for too long.
        """
        if self._clock() - self._since > self._allowed_seconds:
            raise failures.supervisor_silent(
                self._pid, self._config.name, seconds=self._allowed_seconds
            )


def follow_start(
    reader: EventReader,
    store: RunStore,
    patience: Patience,
    is_alive: Callable[[], bool],
    *,
    is_current: Callable[[RunRecord], bool],
    dead: Callable[[], LauncherError],
) -> Iterator[Event]:
    """The events of a start that another process supervises; what no event says, its record does.

    A full disk takes no event, and still the record (`launcher.state.spare`).

    Args:
        reader: of its events, made before it began.
        store: of its server.
        patience: with a supervisor that tells of nothing.
        is_alive: whether the supervisor lives.
        is_current: whether a record is that of this start, and no earlier one's.
        dead: makes the error for a supervisor that is gone, once all was read.

    Raises:
        StateError: neither events nor record can be written, so that nobody can follow the start.
        StartTimeoutError: the supervisor has told of nothing for too long.
        LauncherError: what `dead` makes.
    """
    look_at = time.monotonic() + _LOOK_SECONDS
    said: Event | None = None
    unwritten_at: float | None = None
    while True:
        alive = is_alive()
        for event in reader.read():
            patience.heard(event)
            yield event
        if not alive:
            raise dead()
        patience.check()
        if (now := time.monotonic()) >= look_at:
            look_at = now + _LOOK_SECONDS
            record = None
            with contextlib.suppress(StateError):
                record = store.read()
            if record is None or not is_current(record):
                continue
            # An event comes at the latest with the next look, where the disk takes it.
            outcome = _outcome_of(record)
            if outcome is not None and said is not None:
                yield outcome
            said = outcome
            if record.unwritten_since is None:
                unwritten_at = None
            elif unwritten_at is None:
                unwritten_at = now
            elif now - unwritten_at > _UNWRITTEN_SECONDS:
                raise _cannot_be_followed(record)
        time.sleep(POLL_SECONDS)


def _outcome_of(record: RunRecord) -> Event | None:
    """The end of a start, good or bad, as its record tells it; None before that."""
    elapsed = record.ready_seconds or 0.0
    match record.state:
        case ServerState.READY | ServerState.UNHEALTHY:
            planned = record.memory.planned
            return ServerReady(
                run_id=record.run_id,
                elapsed_seconds=elapsed,
                base_url=record.base_url,
                served_model_name=record.served_model_name,
                context_length_tokens=record.context_length_tokens,
                kv_cache_tokens=record.kv_cache_tokens,
                max_running_requests=record.max_running_requests,
                speculation=describe_speculation(record.read_config()),
                planned_kv_cache_tokens=planned.kv_cache_tokens if planned else None,
            )
        case ServerState.FATAL | ServerState.EXITED:
            return ServerFailed(
                run_id=record.run_id,
                elapsed_seconds=elapsed,
                error=ServerError.__name__,
                exit_code=ServerError.exit_code,
                problem=record.last_failure or "The server failed.",
                action=f"Read its output: `python -m launcher logs --name {record.name}`.",
                evidence=(),
            )
        case ServerState.STOPPED:
            return ServerStopped(run_id=record.run_id, elapsed_seconds=elapsed, killed=False)
    return None


def _cannot_be_followed(record: RunRecord) -> StateError:
    return StateError(
        f"The start of {record.name!r} cannot be followed: neither its events nor its record could "
        f"be written for {_UNWRITTEN_SECONDS:.0f} s (is the disk of {record.events_file.parent} "
        "full?). It goes on in the background.",
        action=f"Free space, then look: `python -m launcher status --name {record.name}`; "
        f"`python -m launcher down --name {record.name}` stops it.",
    )


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


def supervisor_died(
    store: RunStore, supervisor: subprocess.Popen[bytes] | None = None
) -> LauncherError:
    """The error for a supervisor that ended without an event that says why.

    Args:
        store: of its server.
        supervisor: where it is our child: then it may have said why on its standard output, as
            it does where the disk took no event.
    """
    if supervisor is not None and (said := _last_word(supervisor)) is not None:
        return said
    lines: list[str] = []
    with contextlib.suppress(OSError):
        with private.open_to_read(store.supervisor_log_file) as file:
            text = file.read(_LARGEST_LOG_BYTES).decode("utf-8", "replace")
        lines = text.strip().splitlines()
    return ServerError(
        "The supervisor ended without a word on the server.",
        action=f"`python -m launcher down --name {store.name}` clears up; the lines below are its "
        "last.",
        evidence=tuple(lines[-EVIDENCE_LINES:]),
    )


def say_last_word(error: LauncherError) -> None:
    """Tell whoever started this supervisor, and still waits for it, what it ends with."""
    failed = ServerFailed(
        run_id="",
        elapsed_seconds=0.0,
        error=type(error).__name__,
        exit_code=error.exit_code,
        problem=error.problem,
        action=error.action,
        evidence=error.evidence,
    )
    # Mostly nobody waits any more.
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), failed.to_json().encode()[:_LAST_WORD_BYTES])


def _last_word(supervisor: subprocess.Popen[bytes]) -> LauncherError | None:
    reading = _LAST_WORDS.pop(supervisor.pid, None)
    if reading is None:
        return None
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        # It has ended; should a child of it live on, nothing more comes.
        os.set_blocking(reading, False)  # its own form
        said = pipe.read(_LAST_WORD_BYTES) or b""
    with contextlib.suppress(ValueError):
        event = parse_event(said.decode("utf-8", "replace"))
        if isinstance(event, ServerFailed):
            return failure_of(event)
    return None


def failure_of(event: ServerFailed) -> LauncherError:
    """The error that a supervisor in another process ended with."""
    kind = getattr(errors, event.error, None)
    if not isinstance(kind, type) or not issubclass(kind, LauncherError):
        kind = ServerError  # of another version of this project
    error: LauncherError = kind(event.problem, action=event.action, evidence=event.evidence)
    return error
