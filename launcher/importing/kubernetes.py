"""Kubernetes: any document in which a pod is described, whatever its kind.

Source: Kubernetes API, PodSpec v1; "Define a Command and Arguments for a Container" for `$(NAME)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from launcher.importing.container import as_text, mapping, sequence
from launcher.importing.definition import (
    Container,
    Definition,
    Mount,
    Published,
    bounded,
    refuse,
    unknown,
)

_VARIABLE: Final = re.compile(r"\$(\$)?\(([A-Za-z_][\w.-]*)\)")
# Keys of a container that become fields, or that a process of this machine has anyhow.
_NEEDLESS: Final = frozenset(
    {"name", "image", "imagePullPolicy", "command", "args", "env", "ports", "volumeMounts",
     "resources", "workingDir", "securityContext", "tty", "stdin", "terminationMessagePath",
     "terminationMessagePolicy"}
)  # fmt: skip


Pod = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""The name of what a pod belongs to, its labels, and its specification."""


def pods(node: Any, name: str = "", labels: Mapping[str, Any] | None = None) -> Iterator[Pod]:
    """Every pod that a document describes."""
    if isinstance(node, dict):
        metadata = node.get("metadata")
        if isinstance(metadata, dict):
            name = as_text(metadata.get("name")) or name
            own = metadata.get("labels")
            labels = own if isinstance(own, dict) else labels
        containers = node.get("containers")
        if isinstance(containers, list) and all(isinstance(one, dict) for one in containers):
            yield name, labels or {}, node
            return
        for key, value in node.items():
            if key != "metadata":
                yield from pods(value, name, labels)
    elif isinstance(node, list):
        for value in node:
            yield from pods(value, name, labels)


def _selects(service: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether a service sends its requests to pods with these labels."""
    selector = mapping(service.get("spec")).get("selector")
    return isinstance(selector, dict) and bool(selector) and selector.items() <= labels.items()


def _with_services(
    made: Definition, container: Mapping[str, Any], services: Sequence[Mapping[str, Any]]
) -> Definition:
    """A container, published as its services have it: by their port, or by the nodes' own."""
    names = {
        as_text(one.get("name")): one.get("containerPort")
        for one in sequence(container.get("ports"))
        if isinstance(one, dict)
    }
    # A port of the machine itself is the first way in.
    published = [
        Published(one["containerPort"], one["hostPort"])
        for one in sequence(container.get("ports"))
        if isinstance(one, dict) and one.keys() >= {"containerPort", "hostPort"}
    ]
    for service in services:
        for port in map(mapping, sequence(mapping(service.get("spec")).get("ports"))):
            inside = port.get("targetPort", port.get("port"))
            inside = names.get(inside, inside)
            outside = port.get("nodePort", port.get("port"))
            if isinstance(inside, int) and isinstance(outside, int):
                published.append(Published(inside, outside))
    whole = made.container or Container()
    return replace(made, container=replace(whole, published=tuple(published)))


def definitions(documents: Sequence[Any]) -> Iterator[Definition]:
    """One for each container, with the ports by which the services beside it are reached.

    Raises:
        UnimportableError: a group of pods serves one model together.
    """
    maps = _config_maps(documents)
    services = [one for one in documents if isinstance(one, dict) and one.get("kind") == "Service"]
    for document in documents:
        _refuse_groups(document)
        copies = _copies(document)
        for name, labels, pod in pods(document):
            reached = [one for one in services if _selects(one, labels)]
            for container in pod["containers"]:
                made = _definition(name, pod, container, maps)
                made = replace(made, dropped=(*made.dropped, *copies))
                yield _with_services(made, container, reached)


def _refuse_groups(document: Any) -> None:
    template = document.get("spec", {}) if isinstance(document, dict) else {}
    template = template.get("leaderWorkerTemplate") if isinstance(template, dict) else None
    size = template.get("size", 1) if isinstance(template, dict) else 1
    if isinstance(size, int) and size > 1:
        raise refuse(
            f"A LeaderWorkerSet of size {size} serves one model from {size} nodes, and the "
            "launcher watches a server on one machine.",
            "Import a definition for one machine, or keep this one as it is.",
        )


def _copies(document: Any) -> tuple[str, ...]:
    """What to say of several copies of a pod."""
    spec = document.get("spec") if isinstance(document, dict) else None
    count = spec.get("replicas", 1) if isinstance(spec, dict) else 1
    if not isinstance(count, int) or count < 2:
        return ()
    return (
        f"replicas {count}: one server is made; start others with names and ports of their own",
    )


def _config_maps(documents: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """Data of the ConfigMaps beside, by their names."""
    return {
        as_text(one["metadata"].get("name")): mapping(one.get("data"))
        for one in documents
        if isinstance(one, dict) and one.get("kind") == "ConfigMap"
        and isinstance(one.get("metadata"), dict)
    }  # fmt: skip


def _definition(
    name: str,
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    maps: Mapping[str, Mapping[str, Any]],
) -> Definition:
    environment, dropped = _environment(container, maps)
    argv = [
        _filled_in(as_text(one), environment)
        for key in ("command", "args")
        for one in sequence(container.get(key))
    ]
    dropped += [
        f"{key}: the cluster's; the launcher probes and stops the server itself"
        for key in container
        if key not in _NEEDLESS and key != "envFrom"
    ]
    dropped += [
        f"initContainers {as_text(one.get('name'))}: not run"
        for one in sequence(pod.get("initContainers"))
        if isinstance(one, dict)
    ]
    if container.get("image"):
        image = as_text(container["image"])
        dropped.append(f"image {image}: the launcher serves with the SGLang beside it")
    limits = mapping(mapping(container.get("resources")).get("limits"))
    return Definition(
        argv=tuple(argv),
        environment=environment,
        container=Container(
            _mounts(pod, container),
            host_network=bool(pod.get("hostNetwork")),
            cluster=True,
            gpus=next(
                (as_text(n) for key, n in limits.items() if as_text(key).endswith("gpu")), ""
            ),
        ),
        folder=as_text(container.get("workingDir")),
        used=frozenset(
            name
            for key in ("command", "args")
            for one in sequence(container.get(key))
            for _, name in _VARIABLE.findall(as_text(one))
        ),
        name=as_text(container.get("name")) or name,
        restart={"Never": "never", "OnFailure": "on-failure"}.get(
            as_text(pod.get("restartPolicy")), ""
        ),
        dropped=tuple(dropped),
    )


def _environment(
    container: Mapping[str, Any], maps: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, str], list[str]]:
    """Variables of a container, later ones filled in with earlier ones."""
    environment: dict[str, str] = {}
    dropped: list[str] = []
    for source in sequence(container.get("envFrom")):
        reference = source.get("configMapRef") if isinstance(source, dict) else None
        name = as_text(reference.get("name")) if isinstance(reference, dict) else ""
        if name in maps:
            environment |= {str(key): as_text(value) for key, value in maps[name].items()}
        else:
            dropped.append("envFrom: its variables are not in the file")
    for one in sequence(container.get("env")):
        if isinstance(one, dict) and "name" in one:
            name = as_text(one["name"])
            environment[name] = _value(name, one, environment, maps)
    return environment, dropped


def _value(
    name: str,
    one: Mapping[str, Any],
    environment: Mapping[str, str],
    maps: Mapping[str, Mapping[str, Any]],
) -> str:
    origin = one.get("valueFrom")
    if not isinstance(origin, dict):
        return _filled_in(as_text(one.get("value")), environment)
    if "secretKeyRef" in origin:
        return unknown("a secret of the cluster")
    reference = origin.get("configMapKeyRef")
    if isinstance(reference, dict):
        data = maps.get(as_text(reference.get("name")), {})
        if reference.get("key") in data:
            return as_text(data[reference["key"]])
    return unknown(f"$({name})")


def _filled_in(text: str, environment: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        # The cluster leaves a name that it does not know as it is; a shell inside may know it.
        return found[0][1:] if found[1] else environment.get(found[2], found[0])

    return bounded(_VARIABLE.sub(value, text))


def _mounts(pod: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[Mount, ...]:
    volumes = {
        as_text(one.get("name")): one
        for one in sequence(pod.get("volumes"))
        if isinstance(one, dict)
    }
    made = []
    for one in sequence(container.get("volumeMounts")):
        if not isinstance(one, dict):
            continue
        volume = volumes.get(as_text(one.get("name")), {})
        host = volume.get("hostPath")
        inside, below = as_text(one.get("mountPath")), as_text(one.get("subPath"))
        if isinstance(host, dict):
            path = as_text(host.get("path")).rstrip("/")
            made.append(Mount(inside, f"{path}/{below}" if below else path or "/"))
        else:
            made.append(Mount(inside, "", f"the volume {as_text(one.get('name'))}"))
    return tuple(made)
