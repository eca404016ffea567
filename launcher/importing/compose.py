"""Compose files. Source: the Compose Specification, chapters services, volumes, interpolation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from launcher.importing.container import (
    as_text,
    environment_of,
    read_ports,
    read_volume,
    restart_of,
)
from launcher.importing.definition import Container, Definition, Mount, Published, unknown

_VARIABLE: Final = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<operator>:?[-+?])(?P<word>(?:[^{}]|\{[^{}]*\})*))?\})"
)
# What a container needs and a process of this machine has anyhow.
_NEEDLESS: Final = frozenset(
    {"image", "build", "container_name", "command", "entrypoint", "environment", "ports", "volumes",
     "network_mode", "restart", "working_dir", "deploy", "ipc", "shm_size", "ulimits", "privileged",
     "runtime", "hostname", "stdin_open", "tty", "init", "cap_add", "security_opt", "labels",
     "logging", "pull_policy", "platform", "expose", "networks", "extends", "profiles", "devices",
     "gpus", "pid", "env_file", "scale"}
)  # fmt: skip


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Fill in `$NAME`, `${NAME}`, `${NAME:-default}` and their like; `$$` is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        name, operator = found["plain"] or found["name"], found["operator"] or ""
        given = name in variables and (variables[name] != "" or not operator.startswith(":"))
        if operator.endswith("+"):
            return fill_in(found["word"], variables) if given else ""
        if given:
            return variables[name]
        if operator.endswith("-"):
            return fill_in(found["word"], variables)
        return unknown(f"${{{name}}}")

    return _VARIABLE.sub(value, text)


def filled_in(node: Any, variables: Mapping[str, str]) -> Any:
    """The same for all texts of a document."""
    if isinstance(node, str):
        return fill_in(node, variables)
    if isinstance(node, list):
        return [filled_in(one, variables) for one in node]
    if isinstance(node, dict):
        return {key: filled_in(one, variables) for key, one in node.items()}
    return node


def definitions(
    document: Mapping[str, Any], variables: Mapping[str, str], folder: Path | None
) -> Iterator[Definition]:
    """One for each service; most have nothing to do with a server.

    Args:
        document: of the file.
        variables: that fill in `${NAME}`.
        folder: of the file, to which its paths are relative; None where it has none.
    """
    for name, service in filled_in(document.get("services") or {}, variables).items():
        if isinstance(service, dict):
            yield _definition(str(name), service, folder)


def _definition(name: str, service: Mapping[str, Any], folder: Path | None) -> Definition:
    ports = [one for given in service.get("ports") or () for one in _ports(given)]
    mounts = [_mount(given, folder) for given in service.get("volumes") or ()]
    dropped = [f"{key}: compose's; the launcher has none" for key in service if _is_said(key)]
    dropped += [
        f"env_file {as_text(one)}: not read; put what the server needs into `environment`"
        for one in _listed(service.get("env_file"))
    ]
    environment = dict(environment_of(service.get("environment")))
    deploy = service.get("deploy")
    copies = deploy.get("replicas") if isinstance(deploy, dict) else None
    if (copies or service.get("scale") or 1) not in {0, 1}:
        dropped.append(
            "replicas: one server is made; start others with names and ports of their own"
        )
    if service.get("image"):
        image = as_text(service["image"])
        dropped.append(f"image {image}: the launcher serves with the SGLang beside it")
    return Definition(
        argv=(*_words(service.get("entrypoint")), *_words(service.get("command"))),
        environment=environment,
        container=Container(
            tuple(mounts),
            tuple(ports),
            host_network=service.get("network_mode") == "host",
            gpus=_gpus(service),
        ),
        folder=as_text(service.get("working_dir")),
        name=name,
        restart=restart_of(as_text(service.get("restart"))),
        dropped=tuple(dropped),
    )


def _is_said(key: object) -> bool:
    return str(key) not in _NEEDLESS and not str(key).startswith("x-")


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given] if given else []


def _words(given: Any) -> list[str]:
    """A command: a list, or a text that is split as a shell would, and not run by one."""
    if isinstance(given, str):
        try:
            return shlex.split(given)
        except ValueError:
            return given.split()
    return [as_text(one) for one in given or ()]


def _ports(given: Any) -> Iterator[Published]:
    if isinstance(given, dict):
        inside, outside = as_text(given.get("target")), as_text(given.get("published"))
        yield from read_ports(f"{as_text(given.get('host_ip'))}:{outside}:{inside}".lstrip(":"))
    else:
        yield from read_ports(as_text(given))


def _mount(given: Any, folder: Path | None) -> Mount:
    if isinstance(given, dict):
        source, target = as_text(given.get("source")), as_text(given.get("target"))
        mount = read_volume(f"{source}:{target}" if source else target)
    else:
        mount = read_volume(as_text(given))
    if mount.outside.startswith(".") and folder is not None:
        return Mount(mount.inside, str((folder / mount.outside).absolute()))
    if mount.outside.startswith("~"):
        return Mount(mount.inside, str(Path(mount.outside).expanduser()))
    return mount


def _gpus(service: Mapping[str, Any]) -> str:
    """What of the GPUs a service is given."""
    if service.get("gpus"):
        return as_text(service["gpus"])
    node: Any = service.get("deploy")
    for key in ("resources", "reservations", "devices"):
        node = node.get(key) if isinstance(node, dict) else None
    for device in node if isinstance(node, list) else ():
        if not isinstance(device, dict):
            continue
        if device.get("device_ids"):
            return "device=" + ",".join(as_text(one) for one in device["device_ids"])
        if device.get("count"):
            return as_text(device["count"])
    return ""
