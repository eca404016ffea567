"""Compose files. Source: the Compose Specification, chapters services, volumes, interpolation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from launcher.config.fields.secret_names import is_secret_name
from launcher.importing.container import (
    as_text,
    environment_of,
    mapping,
    read_ports,
    read_volume,
    restart_of,
    sequence,
)
from launcher.importing.definition import Container, Definition, Mount, Published, unknown
from launcher.system.foreign import read_foreign

LARGEST_ENV_BYTES: Final = 64 * 1024
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
    if folder is not None:
        variables = {**_beside(folder / ".env"), **variables}
    for name, service in filled_in(document.get("services") or {}, variables).items():
        if isinstance(service, dict):
            yield _definition(str(name), service, folder)


def _beside(file: Path) -> dict[str, str]:
    """Variables of the file that compose reads beside its own, but for secrets."""
    try:
        text = read_foreign(file, most_bytes=LARGEST_ENV_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {
        name.strip(): value.strip().strip("'\"")
        for name, equals, value in pairs
        if equals and not is_secret_name(name.strip())
    }


def _definition(name: str, service: Mapping[str, Any], folder: Path | None) -> Definition:
    ports = [one for given in sequence(service.get("ports")) for one in _ports(given)]
    mounts = [_mount(given, folder) for given in sequence(service.get("volumes"))]
    dropped = [f"{key}: compose's; the launcher has none" for key in service if _is_said(key)]
    dropped += [
        f"env_file {as_text(one)}: not read; put what the server needs into `environment`"
        for one in sequence(service.get("env_file"))
    ]
    environment = dict(environment_of(service.get("environment")))
    copies = mapping(service.get("deploy")).get("replicas") or service.get("scale")
    if isinstance(copies, int) and copies > 1:
        dropped.append(
            "replicas: one server is made; start others with names and ports of their own"
        )
    if service.get("extends"):
        dropped.append("extends: not followed; import what `docker compose config` prints")
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
        # YAML reads `no` as false.
        restart=restart_of(
            "no" if service.get("restart") is False else as_text(service.get("restart"))
        ),
        dropped=tuple(dropped),
    )


def _is_said(key: object) -> bool:
    return str(key) not in _NEEDLESS and not str(key).startswith("x-")


def _words(given: Any) -> list[str]:
    """A command: a list, or a text that is split as a shell would, and not run by one."""
    if isinstance(given, str):
        try:
            return shlex.split(given)
        except ValueError:
            return given.split()
    return [as_text(one) for one in sequence(given)]


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
