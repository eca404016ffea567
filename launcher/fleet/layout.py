"""A fleet on a machine: a name, a port and GPUs for each of its members. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from launcher.config.gateway_config import GatewayConfig
from launcher.config.gpus import chosen_gpus, named_gpus, needs_known
from launcher.config.presets import PRESETS, describe_gpus
from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.config.sources import resolve
from launcher.errors import InvalidValueError, NoGpuError
from launcher.fleet.fleet_file import FleetConfig
from launcher.system.hardware import Gpu, Hardware

# What a fleet gives each of its members, or its members are not, so that its file may not.
_GIVEN: Final = {
    "name": "each server has the fleet's, with a number",
    "port": "the first server has the gateway's port + 1, the next one more",
    "discovery_file": "the fleet has its own",
    "nnodes": "a fleet's servers are on one machine each",
}
METRICS_OFFSET: Final = 100
LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Layout:
    """The members of a fleet.

    Attributes:
        gateway: the one address.
        replicas: the servers behind it on this machine.
        remotes: addresses of those elsewhere.
        server: what the servers have in common, with a name and a port of nobody's.
    """

    gateway: GatewayConfig
    replicas: tuple[ServerConfig, ...]
    remotes: tuple[str, ...]
    server: ServerConfig


def replica_name(fleet: str, number: int) -> str:
    """What a fleet's server is called."""
    return f"{fleet}-{number}"


def replica_names(fleet: FleetConfig) -> list[str]:
    """What all of its servers are called."""
    return [replica_name(fleet.name, number) for number in range(fleet.replicas)]


def gateway_name(fleet: str) -> str:
    """What a fleet's gateway is called."""
    return f"{fleet}-gateway"


def lay_out(
    fleet: FleetConfig,
    hardware: Hardware,
    discovery_file: Path,
    held: Mapping[str, str] = MappingProxyType({}),
) -> Layout:
    """Give each member of a fleet what is its own.

    Args:
        fleet: as its file says.
        hardware: of this machine.
        discovery_file: in which the members that serve are to stand.
        held: the GPUs of each server of the fleet that runs, by its name: they are not free, and
            are its own.

    Raises:
        ConfigError: the fields of the servers make no sense, or hold what the fleet gives.
        NoGpuError: the GPUs do not suffice, or one is named twice.
    """
    for field, why in _GIVEN.items():
        if field in fleet.server:
            raise InvalidValueError(
                f"server.{field} is not for a fleet file: {why}.",
                action="Leave it out.",
            )
    server = _configure(fleet.server, hardware)
    names = replica_names(fleet)
    shares = _shares(server, names, hardware, held)
    port = fleet.gateway.port
    metrics_port = fleet.gateway.metrics_port or port + METRICS_OFFSET
    if max(port + fleet.replicas, metrics_port) > LARGEST_PORT:
        raise InvalidValueError(
            f"gateway.port {port} leaves no room for {fleet.replicas} servers and the gateway's "
            f"metrics below {LARGEST_PORT + 1}.",
            action=f"Take one below {LARGEST_PORT - max(fleet.replicas, METRICS_OFFSET)}.",
        )
    if port <= metrics_port <= port + fleet.replicas:
        raise InvalidValueError(
            f"gateway.metrics_port {metrics_port} is the port of a member: they have {port} to "
            f"{port + fleet.replicas}.",
            action="Take another one.",
        )
    given = [
        {
            "name": names[number],
            "port": port + 1 + number,
            "discovery_file": discovery_file,
            **({"gpu_ids": share} if share else {}),
        }
        for number, share in enumerate(shares)
    ]
    replicas = tuple(_configure({**fleet.server, **own}, hardware) for own in given)
    gateway = GatewayConfig(
        name=gateway_name(fleet.name),
        # It has none of its own; the field must say something.
        model_path=server.served_model_name,
        served_model_name=server.served_model_name,
        host=fleet.gateway.host,
        port=port,
        metrics_port=metrics_port,
        policy=fleet.gateway.policy,
        extra_args=fleet.gateway.extra_args,
        api_key_file=server.api_key_file,
        insecure=server.insecure,
        device="cpu",
        shared_imports=False,
        stand_by=False,
        discovery_file=discovery_file,
        # What is in flight has as long as behind it.
        drain_timeout_seconds=server.drain_timeout_seconds,
        stop_timeout_seconds=server.stop_timeout_seconds,
        die_with_launcher=False,
    )
    return Layout(gateway, replicas, fleet.remotes, server)


def _configure(fields: dict[str, Any], hardware: Hardware) -> ServerConfig:
    """The configuration of one server, as `up` would make it of these fields."""
    named = {key.replace("-", "_"): value for key, value in fields.items()}
    preset = named.pop("preset", None)
    return resolve(
        preset=preset, flags=named, flags_are="server, in the fleet file", probe=lambda: hardware
    ).config


def _shares(
    server: ServerConfig, names: Sequence[str], hardware: Hardware, held: Mapping[str, str]
) -> list[str]:
    """The GPUs of each server, as `gpu_ids` has them; "" on a CPU."""
    if server.device == "cpu":
        return [""] * len(names)
    taken = {uuid for name in names for uuid in held.get(name, "").split(",")}
    free = [gpu for gpu in _pool(server, hardware) if gpu.uuid not in taken]
    each = ranks_of(server).count
    new = [name for name in names if name not in held]
    if len(free) < len(new) * each:
        raise NoGpuError(
            f"{len(new)} servers of {each} GPUs need {len(new) * each} with room; {len(free)} of "
            f"these have it: {describe_gpus(hardware)}.",
            action=f"Set `replicas: {len(names) - len(new) + len(free) // each}`, or free the GPUs "
            "(`nvidia-smi` shows who uses them).",
        )
    shares = dict(held)
    for name in new:
        share, free = free[:each], free[each:]
        shares[name] = ",".join(gpu.uuid for gpu in share)
    return [shares[name] for name in names]


def _pool(server: ServerConfig, hardware: Hardware) -> tuple[Gpu, ...]:
    """The GPUs that the fleet may use: those that its file names, or those with room."""
    if server.gpu_ids is None:
        return _roomy(server, hardware)
    pool = named_gpus(server.gpu_ids, hardware)
    named = server.gpu_ids.split(",")
    if len(pool) < len(named):
        raise NoGpuError(
            f"server.gpu_ids names {len(named)} GPUs; {len(pool)} different ones of them are "
            f"here: {describe_gpus(hardware)}.",
            action="Name each once, and only those that `nvidia-smi -L` lists.",
        )
    return pool


def _roomy(server: ServerConfig, hardware: Hardware) -> tuple[Gpu, ...]:
    """The GPUs that a server could be put on; all, where it is not known what it needs."""
    preset = PRESETS.get(server.preset)
    if preset is None or not needs_known(server, preset):
        return hardware.gpus
    found: list[Gpu] = []
    left = hardware
    # As many with room as there are: one server alone would take the first of these.
    while share := chosen_gpus(server, left):
        found += share
        taken = {gpu.uuid for gpu in share}
        left = replace(left, gpus=tuple(gpu for gpu in left.gpus if gpu.uuid not in taken))
    return tuple(found)
