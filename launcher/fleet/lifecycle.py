"""A whole fleet: up, down, more or fewer replicas."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from launcher.config.keys import read_keys
from launcher.config.server_config import ServerConfig
from launcher.config.sources import KEY_FILE_FIELDS, MODEL_PATH_FIELDS
from launcher.engines.smg.discovery import change_listed, read_listed
from launcher.errors import (
    InvalidValueError,
    LauncherError,
    RemoteServerError,
)
from launcher.fleet.check import check_memory, check_some, is_running, lay_out_here, refuse_fewer
from launcher.fleet.fleet_file import MOST_REPLICAS, FleetConfig
from launcher.fleet.layout import Layout, gateway_name, replica_name, replica_names
from launcher.fleet.members import (
    Prepared,
    cancel_all,
    prepare_member,
    serves,
    start_all,
)
from launcher.fleet.remotes import check_remotes, models_of
from launcher.fleet.routing import wait_until_routed
from launcher.fleet.store import FleetStore
from launcher.models.download.request import OnPullEvent, ignore
from launcher.state.events import Event
from launcher.state.store import RunStore
from launcher.supervision.stop import StopReport, stop_server
from launcher.system.hardware import Hardware

Tell = Callable[[str, Event], None]


@dataclass(frozen=True, slots=True)
class FleetUp:
    """A fleet that is up.

    Attributes:
        layout: its members.
        started: names of those that this command has started; the others were there.
    """

    layout: Layout
    started: tuple[str, ...]


def bring_up(
    fleet: FleetConfig,
    store: FleetStore,
    hardware: Hardware,
    tell: Tell,
    report: OnPullEvent = ignore,
) -> FleetUp:
    """Start what of a fleet does not run yet: the servers, then the gateway.

    Everything is checked before anything is started. Where a part fails, what this call has
    started is stopped; what ran before runs on.

    Args:
        fleet: as its file says.
        store: of its name; the caller holds the lock.
        hardware: of this machine.
        tell: is given the name of a member and what it does.
        report: is told of a download.

    Raises:
        LauncherError: a part cannot be started here, or failed.
    """
    return _bring_up(fleet, store.read(), store, hardware, tell=tell, report=report)


def _bring_up(
    fleet: FleetConfig,
    before: FleetConfig | None,
    store: FleetStore,
    hardware: Hardware,
    *,
    tell: Tell,
    report: OnPullEvent,
) -> FleetUp:
    check_some(fleet)
    refuse_fewer(fleet, before)
    layout = lay_out_here(fleet, before, store.discovery_file, hardware)
    key = read_keys(layout.gateway, os.environ).get("api-key")
    # Those that it had before may be away for now: the gateway leaves them out.
    new = [url for url in layout.remotes if before is None or url not in before.remotes]
    check_remotes(new, model=layout.gateway.served_model_name, api_key=key)
    gateway = prepare_member(layout.gateway, hardware)
    replicas = [prepare_member(config, hardware, report) for config in layout.replicas]
    _check_memory(layout.replicas, replicas, hardware)
    _check_key(layout, key)
    store.write(settled(fleet, layout))
    _forget_strangers(store, layout)
    started = start_all(replicas, tell)
    try:
        change_listed(store.discovery_file, add=layout.remotes)
        started += start_all([gateway], tell)
        own = [config.base_url for config in layout.replicas]
        wait_until_routed(layout.gateway.name, store.discovery_file, own)
    except BaseException:
        cancel_all(started)
        raise
    names = [one.store.name for one in (*replicas, gateway) if one.launch is not None]
    return FleetUp(layout, tuple(names))


def take_down(store: FleetStore) -> list[StopReport]:
    """Stop a fleet: the gateway first, which lets requests end, then the servers.

    Args:
        store: of its name; the caller holds the lock.

    Raises:
        FleetError: no such fleet is known.
        LauncherError: a member does not stop; the others are stopped all the same.
    """
    fleet = store.require()
    reports = []
    failures: list[LauncherError] = []
    for name in members_of(fleet):
        try:
            reports.append(stop_server(RunStore(name)))
        except LauncherError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    store.forget()
    return reports


def scale(
    replicas: int,
    store: FleetStore,
    hardware: Hardware,
    tell: Tell,
    report: OnPullEvent = ignore,
) -> tuple[tuple[str, ...], list[StopReport]]:
    """Change how many servers a fleet has: new ones are started, the last ones are stopped.

    Args:
        replicas: how many there shall be.
        store: of the fleet's name; the caller holds the lock.
        hardware: of this machine.
        tell: is given the name of a member and what it does.
        report: is told of a download.

    Returns:
        The names of the servers that were started, and what was stopped.

    Raises:
        FleetError: no such fleet is known.
        LauncherError: as of `bring_up` and `take_down`.
    """
    before = store.require()
    if not 0 <= replicas <= MOST_REPLICAS:
        raise InvalidValueError(
            f"A fleet has 0 to {MOST_REPLICAS} servers on a machine; asked for: {replicas}.",
            action="More machines: docs/scaling.md.",
        )
    after = before.model_copy(update={"replicas": replicas})
    check_some(after)
    stopped = []
    for number in reversed(range(replicas, before.replicas)):
        stopped.append(stop_server(RunStore(replica_name(before.name, number))))
        # What is stopped is no member any more, even where the next one does not stop.
        store.write(before.model_copy(update={"replicas": number}))
    if replicas < before.replicas:
        return (), stopped
    try:
        up = _bring_up(after, before, store, hardware, tell=tell, report=report)
    except BaseException:
        # What was started is stopped, so it is no member; one that does not stop still is.
        left = [
            number for number in range(replicas) if is_running(replica_name(before.name, number))
        ]
        kept = max([before.replicas, *(number + 1 for number in left)])
        store.write(before.model_copy(update={"replicas": kept}))
        raise
    return up.started, stopped


def settled(fleet: FleetConfig, layout: Layout) -> FleetConfig:
    """A fleet that means the same in any folder and at any time, to be kept."""
    paths = {
        field: str(value)
        for field in (*MODEL_PATH_FIELDS, *KEY_FILE_FIELDS)
        if field in fleet.server and (value := getattr(layout.server, field)) is not None
    }
    chosen = {"preset": layout.server.preset, "device": layout.server.device}
    return fleet.model_copy(update={"server": {**fleet.server, **chosen, **paths}})


def members_of(fleet: FleetConfig) -> list[str]:
    """The names of a fleet's members on this machine, in the order in which they are stopped."""
    return [gateway_name(fleet.name), *replica_names(fleet)]


def _forget_strangers(store: FleetStore, layout: Layout) -> None:
    """Take out of the gateway's file what a former fleet of that name has left there."""
    own = {*layout.remotes, *(config.base_url for config in layout.replicas)}
    listed = read_listed(store.discovery_file)
    strange = [url for url in listed.servers if url not in own]
    change_listed(store.discovery_file, remove=strange, release=listed.held)


def _check_key(layout: Layout, key: str | None) -> None:
    """Hold the fleet's key against the servers that run: one of another key would answer 401.

    Raises:
        InvalidValueError: one has another key.
    """
    for config in layout.replicas:
        if not serves(config.name):
            continue
        try:
            models_of(config.base_url, key)
        except RemoteServerError as error:
            raise InvalidValueError(
                f"The server {config.name!r} runs, and does not take the fleet's key as it is now: "
                f"{error.problem}",
                action="Give the key that the fleet was brought up with (`server.api_key_file`, "
                "LAUNCHER_API_KEY). With a new one: `fleet down`, then `fleet up`.",
            ) from error


def _check_memory(
    configs: tuple[ServerConfig, ...], members: list[Prepared], hardware: Hardware
) -> None:
    """Hold the memory of all that are to be started against the machine's; one alone has room.

    Raises:
        InsufficientMemoryError: they do not fit together.
    """
    check_memory(
        [
            config
            for config, member in zip(configs, members, strict=True)
            if member.launch is not None and not member.adopt
        ],
        hardware,
    )
