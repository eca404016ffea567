"""One member of a fleet: is it here as it should be, start it, take it over, stop it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from launcher.config.gateway_config import GatewayConfig
from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Launch
from launcher.errors import AlreadyRunningError, NotRunningError, StateError
from launcher.models.download.request import OnPullEvent, ignore
from launcher.preflight import prepare
from launcher.state.events import POLL_SECONDS, Event
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.detached import DetachedStart
from launcher.supervision.stop import clear_up
from launcher.system.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Prepared:
    """A member that every check has passed, and that is not started yet.

    Attributes:
        store: of its server.
        launch: what will run; None where it runs already, as it should.
        adopt: its server runs, and its supervisor was killed.
    """

    store: RunStore
    launch: Launch | None
    adopt: bool = False


def prepare_member(
    config: ServerConfig, hardware: Hardware, report: OnPullEvent = ignore
) -> Prepared:
    """Check a member against the machine, and see whether it runs already.

    Raises:
        AlreadyRunningError: a server of that name runs with another configuration.
        LauncherError: it cannot be served here; see `prepare.prepare`.
    """
    store = RunStore(config.name)
    record = store.read_or_set_aside()
    if record is not None and record.elsewhere is not None:
        raise already_running(record, config.name)
    if record is not None and (record.is_supervised or record.can_be_adopted):
        _check_same(record, config)
        if record.state is ServerState.STOPPING and not record.restarting:
            raise AlreadyRunningError(
                f"The server {config.name!r} is being stopped.",
                action="Wait until it has ended, then run this command again.",
            )
        if record.is_supervised:
            return Prepared(store, None)
        launch = prepare.prepare_adoption(
            record, hardware, secrets_file=store.secrets_file, detached=True
        )
        return Prepared(store, launch, adopt=True)
    # What a supervisor that was killed has left holds the port.
    clear_up(store)
    launch = prepare.prepare(
        config, hardware, secrets_file=store.secrets_file, detached=True, report=report
    )
    return Prepared(store, launch)


def held_gpus(names: Iterable[str]) -> dict[str, str]:
    """The GPUs of each server that runs, as its configuration names them.

    Args:
        names: of the servers; one that does not run, or not on named GPUs, is left out.
    """
    held = {}
    for name in names:
        with contextlib.suppress(StateError):
            record = RunStore(name).read()
            if record is not None and record.is_running and record.config.get("gpu_ids"):
                held[name] = str(record.config["gpu_ids"])
    return held


def serves(name: str) -> bool:
    """Whether a server answers requests now, supervised or not."""
    record = RunStore(name).read()
    return record is not None and record.live_state in {"READY", "ORPHANED"}


def start_all(members: list[Prepared], tell: Callable[[str, Event], None]) -> list[DetachedStart]:
    """Start members at once, and wait until all are ready.

    Args:
        members: those that run already are left as they are, and waited for.
        tell: is given the name of a member and what it does.

    Returns:
        What was started, for whoever has to take it back.

    Raises:
        LauncherError: one failed; all that this call has started are stopped.
        KeyboardInterrupt: likewise.
    """
    started: list[DetachedStart] = []
    try:
        waited = []
        for member in members:
            if member.launch is None:
                continue
            start = DetachedStart(member.launch, member.store, adopt=member.adopt)
            if not member.adopt:
                # A server that served before is left to its new supervisor, whatever happens.
                started.append(start)
            start.begin()
            waited.append((member.store.name, start))
        for name, start in waited:
            start.wait_until_ready(partial(tell, name))
        for member in members:
            if member.launch is None:
                _wait_for(member.store)
    except BaseException:
        cancel_all(started)
        raise
    return started


def _wait_for(store: RunStore) -> None:
    """Wait until a server that somebody else has started is ready.

    Raises:
        NotRunningError: it ended, or has not become ready in the time that its own start may take.
    """
    record = store.read()
    limit = 0.0 if record is None else record.read_config().start_timeout_seconds
    deadline = time.monotonic() + limit
    while True:
        record = store.read()
        if record is not None and record.state is ServerState.READY:
            return
        ended = record is None or not record.is_running
        if ended or time.monotonic() > deadline:
            state = "gone" if record is None else record.live_state
            why = "" if record is None or record.last_failure is None else f" {record.last_failure}"
            raise NotRunningError(
                f"The server {store.name!r} was there, and is {state} instead of READY.{why}",
                action=f"`python -m launcher logs --name {store.name}` shows its output; "
                "`fleet up` starts it again once it has ended.",
            )
        time.sleep(POLL_SECONDS)


def cancel_all(started: list[DetachedStart]) -> None:
    """Stop what was started, the last one first; what fails to stop keeps nobody else up.

    Raises:
        LauncherError: the first that did not stop.
    """
    failures: list[BaseException] = []
    for start in reversed(started):
        try:
            start.cancel()
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
    if failures:
        raise failures[0]


def _check_same(record: RunRecord, config: ServerConfig) -> None:
    known = record.read_config()
    differing = [
        field
        for field in type(config).model_fields
        if getattr(known, field, None) != getattr(config, field)
    ]
    if differing:
        raise AlreadyRunningError(
            f"The server {record.name!r} runs, and its configuration is another one: "
            f"{', '.join(differing)} differ.",
            action="A gateway is changed by `python -m launcher fleet down` and `fleet up`."
            if isinstance(config, GatewayConfig)
            else "`python -m launcher fleet roll FLEET.yaml` changes the servers of a fleet, one "
            "after the other, also where a roll was broken off; `fleet down` stops it.",
        )
