"""One server, or several behind the gateway, as a compose file for one machine. Pure.

Source: the Compose Specification; `docker-compose config` 1.29 reads what is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, Literal

from pydantic import Field

from launcher.exporting import gateway
from launcher.exporting.document import Node
from launcher.exporting.download import download_command, offline
from launcher.exporting.keys import read_api_key
from launcher.exporting.request import Export
from launcher.exporting.timing import STARTING_PERIOD_SECONDS, timing_of

_DATA: Final = "/var/lib/specserve"
# What compilers keep below HOME lies on the volume as well, so that the next start finds it.
_PLACES: Final = {"HOME": f"{_DATA}/home", "HF_HOME": f"{_DATA}/huggingface"}
_SECRETS: Final = "/run/secrets"
_STORAGE: Final = "storage"
_KEYS: Final = "keys"
KEYS_VARIABLE: Final = "SPECSERVE_KEYS_FILE"
_SHARED_MEMORY: Final = "16gb"
_DONE: Final = "service_completed_successfully"
_HEALTHY: Final = "service_healthy"


class GpuRequest(Node):
    """A device request: so many GPUs, or these."""

    driver: Literal["nvidia"] = "nvidia"
    count: int | None = None
    device_ids: list[str] | None = None
    capabilities: list[str] = Field(default=["gpu"])


class Reservations(Node):
    """`deploy.resources.reservations`."""

    devices: list[GpuRequest]


class ResourceLimits(Node):
    """`deploy.resources`."""

    reservations: Reservations


class Deploy(Node):
    """`deploy`."""

    resources: ResourceLimits


class HealthCheck(Node):
    """`healthcheck`; times are texts such as `10s`."""

    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str


class Dependency(Node):
    """One of `depends_on`."""

    condition: Literal["service_completed_successfully", "service_healthy"]


class SecretUse(Node):
    """One of a service's `secrets`."""

    source: str
    target: str


class SecretFile(Node):
    """One of the file's `secrets`."""

    file: str


class ServiceNode(Node):
    """A service."""

    image: str
    entrypoint: list[str]
    command: list[str]
    restart: str
    depends_on: dict[str, Dependency] | None = None
    environment: dict[str, str] | None = None
    secrets: list[SecretUse] | None = None
    ports: list[str] | None = None
    volumes: list[str] | None = None
    shm_size: str | None = None
    security_opt: list[str] = Field(default=["no-new-privileges:true"])
    stop_grace_period: str | None = None
    deploy: Deploy | None = None
    healthcheck: HealthCheck | None = None


class ComposeFile(Node):
    """A compose file; volumes without settings are written as an empty mapping."""

    services: dict[str, ServiceNode]
    volumes: dict[str, dict[str, str]]
    secrets: dict[str, SecretFile] | None = None


def compose_file(export: Export) -> ComposeFile:
    """The whole file."""
    return ComposeFile(
        services=dict(_services(export)),
        volumes={_STORAGE: {}},
        secrets={_KEYS: SecretFile(file=_required(KEYS_VARIABLE, "the file of keys"))}
        if export.has_keys
        else None,
    )


def literal(text: str) -> str:
    """A text in which compose fills in nothing."""
    return text.replace("$", "$$")


def _required(variable: str, what: str) -> str:
    return f"${{{variable}:?set {variable} to {what}}}"


def _services(export: Export) -> Iterator[tuple[str, ServiceNode]]:
    names: dict[str, Dependency] = {}
    for number, weights in enumerate(export.weights):
        name = "download-draft" if number else "download"
        program, *arguments = download_command(weights, export)
        names[name] = Dependency(condition=_DONE)
        yield (
            name,
            ServiceNode(
                image=export.image,
                entrypoint=[program],
                command=[literal(one) for one in arguments],
                restart="on-failure",
                environment={**_PLACES, "HF_TOKEN": "${HF_TOKEN:-}"},
                volumes=[f"{_STORAGE}:{_DATA}"],
            ),
        )
    several = export.choices.replicas > 1
    servers = [f"server-{one}" for one in range(export.choices.replicas)] if several else ["server"]
    for place, name in enumerate(servers):
        yield name, _server(export, names, None if not several else place)
    if several:
        yield "gateway", _gateway(export, servers)


def _server(export: Export, downloads: dict[str, Dependency], place: int | None) -> ServiceNode:
    """One server.

    Args:
        export: what is served.
        downloads: what has to be done before.
        place: of one of several, counted from 0; None of the only one, which is published.
    """
    timing = timing_of(export)
    keys_file = f"{_SECRETS}/{export.engine.keys_name}" if export.has_keys else None
    launch = export.engine.container_launch(export.config, keys_file=keys_file)
    given = {**_PLACES, **offline(launch), **launch.environment}
    url = f"http://127.0.0.1:{export.config.port}{export.engine.probes.generates}"
    return ServiceNode(
        image=export.image,
        entrypoint=list(launch.program),
        command=[literal(one) for one in launch.arguments],
        restart=_restart(export),
        depends_on=downloads,
        environment={name: literal(value) for name, value in given.items()},
        secrets=_secrets(export),
        ports=None if place is not None else [_published(export)],
        volumes=[f"{_STORAGE}:{_DATA}"],
        shm_size=_SHARED_MEMORY,
        stop_grace_period=f"{timing.stop}s",
        deploy=_gpus(export, place),
        # A failure only marks it: compose neither restarts a server for that nor hides it.
        healthcheck=HealthCheck(
            test=_asks(url, timing.timeout),
            interval=f"{max(timing.period, STARTING_PERIOD_SECONDS)}s",
            timeout=f"{timing.timeout + 1}s",
            retries=timing.failures,
            start_period=f"{export.start_seconds}s",
        ),
    )


def _secrets(export: Export) -> list[SecretUse] | None:
    """The file of keys, where there are any."""
    if not export.has_keys:
        return None
    return [SecretUse(source=_KEYS, target=export.engine.keys_name)]


def _asks(url: str, timeout_seconds: int) -> list[str]:
    """A command that ends with 0 where a URL answers 200: both images have Python."""
    script = f"import urllib.request as r; r.urlopen({json.dumps(url)}, timeout={timeout_seconds})"
    return ["CMD", "python3", "-c", script]


def _restart(export: Export) -> str:
    return {"always": "always", "on-failure": "on-failure", "never": "no"}[export.config.restart]


def _published(export: Export) -> str:
    """On this machine alone, unless the configuration listens to others."""
    config = export.config
    address = "127.0.0.1" if config.is_loopback else config.host
    address = f"[{address}]" if ":" in address else address
    return f"{address}:{config.port}:{config.port}"


def _gpus(export: Export, place: int | None) -> Deploy:
    """Any of them for a single server; several get their own, in the order of the driver."""
    if place is None:
        request = GpuRequest(count=export.gpus)
    else:
        first = place * export.gpus
        request = GpuRequest(device_ids=[str(first + one) for one in range(export.gpus)])
    return Deploy(resources=ResourceLimits(reservations=Reservations(devices=[request])))


def _gateway(export: Export, servers: list[str]) -> ServiceNode:
    port, timing = export.config.port, timing_of(export)
    words = [
        *gateway.PROGRAM,
        *gateway.gateway_arguments(export),
        *("--worker-urls", *(f"http://{name}:{port}" for name in servers)),
    ]
    entrypoint, command = words[:1], words[1:]
    if export.has_keys:
        # Only an argument takes the key. The file that the servers read has it, too, and a variable
        # of this file would show it in `docker inspect`.
        file = f"{_SECRETS}/{export.engine.keys_name}"
        script = (
            f"key=$({read_api_key(file)}); "
            'exec "$0" "$@" --api-key "${key:?no api-key in the file of keys}"'
        )
        entrypoint, command = ["sh", "-c", script], words
    return ServiceNode(
        image=export.choices.gateway_image,
        entrypoint=[literal(one) for one in entrypoint],
        command=[literal(one) for one in command],
        restart="always" if export.config.restart == "always" else "on-failure",
        depends_on={name: Dependency(condition=_HEALTHY) for name in servers},
        secrets=_secrets(export),
        ports=[_published(export)],
        stop_grace_period=f"{timing.drain + gateway.STOP_MARGIN_SECONDS}s",
        healthcheck=HealthCheck(
            test=_asks(f"http://127.0.0.1:{port}{gateway.READY_PATH}", 5),
            interval="5s",
            timeout="6s",
            retries=3,
            start_period="60s",
        ),
    )
