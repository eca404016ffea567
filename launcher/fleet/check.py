"""Whether a fleet can be brought up here: all that is known before anything starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from launcher.config.keys import read_keys
from launcher.config.server_config import ServerConfig
from launcher.errors import FleetError, InsufficientMemoryError, InvalidValueError
from launcher.fleet.fleet_file import FleetConfig
from launcher.fleet.layout import Layout, lay_out, replica_name, replica_names
from launcher.fleet.members import held_gpus
from launcher.fleet.remotes import check_remotes
from launcher.fleet.store import FleetStore
from launcher.preflight import checks, prepare
from launcher.preflight.facts import ServingFacts
from launcher.state.store import RunStore
from launcher.system.hardware import Hardware
from launcher.text import human_bytes


@dataclass(frozen=True, slots=True)
class Fit:
    """A fleet that fits.

    Attributes:
        layout: its members.
        new: names of those that do not run yet.
        needed_bytes: of the host's memory, for the new servers; 0 where they are on GPUs.
        available_bytes: of the host's memory, now.
    """

    layout: Layout
    new: tuple[str, ...]
    needed_bytes: int
    available_bytes: int


def check_fit(fleet: FleetConfig, store: FleetStore, hardware: Hardware) -> Fit:
    """See whether `bring_up` would find what it needs; nothing is started, written or downloaded.

    A model that is not here yet is taken for what the hub's cache or the shapes that we know say of
    it: whether its files are whole shows only when they are fetched.

    Args:
        fleet: as its file says.
        store: of its name.
        hardware: of this machine.

    Raises:
        LauncherError: as of `bring_up`.
    """
    check_some(fleet)
    before = store.read()
    refuse_fewer(fleet, before)
    layout = lay_out_here(fleet, before, store.discovery_file, hardware)
    key = read_keys(layout.gateway, os.environ).get("api-key")
    away = [url for url in layout.remotes if before is None or url not in before.remotes]
    check_remotes(away, model=layout.gateway.served_model_name, api_key=key)
    members = (*layout.replicas, layout.gateway)
    new = [config for config in members if not is_running(config.name)]
    for config in new:
        secrets_file = RunStore(config.name).secrets_file
        prepare.check_start(config, hardware, secrets_file=secrets_file)
    servers = [config for config in new if config in layout.replicas]
    needed = check_memory(servers, hardware)
    names = tuple(config.name for config in new)
    return Fit(layout, names, needed, hardware.available_memory_bytes)


def lay_out_here(
    fleet: FleetConfig, before: FleetConfig | None, discovery_file: Path, hardware: Hardware
) -> Layout:
    """Lay a fleet out; what of it runs keeps its GPUs.

    A file that names neither preset nor model means what it meant when the fleet was brought up:
    the machine, full of the fleet's own servers, would choose otherwise now.

    Args:
        fleet: as its file says.
        before: as it was last brought up; None where it was not.
        discovery_file: in which the members that serve are to stand.
        hardware: of this machine.

    Raises:
        ConfigError, NoGpuError: see `lay_out`.
    """
    if before is not None and not {"preset", "model_path", "model-path"} & set(fleet.server):
        chosen = {key: before.server[key] for key in ("preset", "device") if key in before.server}
        fleet = fleet.model_copy(update={"server": {**chosen, **fleet.server}})
    return lay_out(fleet, hardware, discovery_file, held_gpus(replica_names(fleet)))


def check_some(fleet: FleetConfig) -> None:
    """Refuse a gateway before nothing.

    Raises:
        InvalidValueError: the fleet has no servers.
    """
    if not (fleet.replicas or fleet.remotes):
        raise InvalidValueError(
            "The fleet has no servers: `replicas` is 0, and there are no `remotes`.",
            action="Set `replicas: 2`, or name servers elsewhere; `fleet down` stops a fleet.",
        )


def refuse_fewer(fleet: FleetConfig, before: FleetConfig | None) -> None:
    """Refuse a file with fewer servers than run: those beyond would serve on, in nobody's care.

    Raises:
        FleetError: one of them runs.
    """
    for number in range(fleet.replicas, before.replicas if before else 0):
        name = replica_name(fleet.name, number)
        if is_running(name):
            raise FleetError(
                f"The file has {fleet.replicas} servers, and {name!r} runs as well.",
                action=f"`python -m launcher fleet scale {fleet.replicas} --name {fleet.name}` "
                "stops those beyond.",
            )


def is_running(name: str) -> bool:
    """Whether a server of that name runs, supervised or not."""
    record = RunStore(name).read()
    return record is not None and record.is_running


def check_memory(new: list[ServerConfig], hardware: Hardware) -> int:
    """Hold the memory of all servers that are to be started against the machine's.

    One alone has room: that was checked for each.

    Returns:
        What they need, in bytes; 0 on GPUs.

    Raises:
        InsufficientMemoryError: they do not fit together.
    """
    on_cpu = [config for config in new if config.device == "cpu"]
    needed = sum(checks.host_bytes_needed(ServingFacts(one, hardware), 0) for one in on_cpu)
    if needed > hardware.available_memory_bytes:
        raise InsufficientMemoryError(
            f"{len(on_cpu)} servers need about {human_bytes(needed)} of memory together; "
            f"{human_bytes(hardware.available_memory_bytes)} are available.",
            action="Lower `replicas`, or stop other programs.",
        )
    return needed
