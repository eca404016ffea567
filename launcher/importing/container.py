"""Containers: the options of `docker run`, and what images start by themselves. Pure.

Source: Docker's reference of `docker container run`; images' own Dockerfiles (vllm/vllm-openai
starts its API server, lmsysorg/sglang starts nothing).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from launcher.config.server_config import REPOSITORY_PATTERN
from launcher.importing.definition import Container, Definition, Mount, Published, refuse, unknown

_SWITCHES: Final = frozenset(
    {"--rm", "--detach", "--interactive", "--tty", "--privileged", "--init", "--read-only",
     "--publish-all", "--no-healthcheck", "--oom-kill-disable", "--sig-proxy", "--quiet", "--help",
     "--disable-content-trust", "--replace", "--rootless", "--writable-tmpfs", "--containall",
     "--cleanenv", "--no-home", "--contain", "--writable", "--fakeroot"}
)  # fmt: skip
_SHORT_WITH_VALUE: Final = frozenset("pveuwhmclaeBH")
_LONG: Final = {
    "-p": "--publish", "-v": "--volume", "-e": "--env", "-w": "--workdir", "-h": "--hostname",
    "-u": "--user", "-m": "--memory", "-c": "--cpu-shares", "-l": "--label", "-a": "--attach",
    "--net": "--network", "--device-cgroup-rule": "--device",
}  # fmt: skip
# What a container needs and a process of this machine has anyhow.
_NEEDLESS: Final = frozenset(
    {"--ipc", "--shm-size", "--ulimit", "--runtime", "--pull", "--platform", "--label", "--device",
     "--cap-add", "--security-opt", "--hostname", "--group-add", "--add-host", "--pid", "--attach",
     "--log-driver", "--log-opt", "--stop-timeout", "--dns", "--userns", "--uts", "--cidfile"}
)  # fmt: skip
_ENGINES: Final = ((re.compile(r"(?:^|/)vllm-openai"), "vllm"),)
# A colon that is followed by whole marked places alone.
_COLON: Final = re.compile(r":(?=(?:[^\ue000]*\ue000[^\ue000]*\ue000)*[^\ue000]*$)")


def options(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Cut `docker run`'s words into its options, by their long names, and what follows them."""
    found: list[tuple[str, str]] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if not name.startswith("--") and len(word) > 2:
            # -it, -p8000:8000, -itp 8000:8000
            letters = word[1:]
            place = next((i for i, one in enumerate(letters) if one in _SHORT_WITH_VALUE), None)
            if place is None:
                continue
            name = f"-{letters[place]}"
            value = letters[place + 1 :] or (rest.pop(0) if rest else "")
        elif name in _SWITCHES or (len(name) == 2 and name[1] not in _SHORT_WITH_VALUE):
            continue
        elif not equals:
            value = rest.pop(0) if rest else ""
        found.append((_LONG.get(name, name), value))
    return found, rest


def read_run(words: Sequence[str], outer: Definition) -> Definition:
    """The definition of what `docker run` starts.

    Args:
        words: behind `run`.
        outer: what stands around the command.

    Raises:
        UnimportableError: it names no image.
    """
    given, rest = options(words)
    if not rest:
        raise refuse("The `docker run` names no image.", "Give the whole command.")
    image, *command = rest
    environment: dict[str, str] = {}
    dropped = list(outer.dropped)
    values: dict[str, list[str]] = {}
    for name, value in given:
        values.setdefault(name, []).append(value)
    for one in values.get("--env", []):
        variable, equals, text = one.partition("=")
        environment[variable] = text if equals else unknown(f"${{{variable}}}")
    dropped += [
        f"--env-file {file}: not read; put what the server needs into `environment`"
        for file in values.get("--env-file", [])
    ]
    entry = values.get("--entrypoint", [""])[-1]
    mounts = [read_volume(text) for text in values.get("--volume", [])]
    mounts += [read_mount(text) for text in values.get("--mount", [])]
    published = [one for text in values.get("--publish", []) for one in read_ports(text)]
    handled = {"--env", "--env-file", "--entrypoint", "--volume", "--mount", "--publish", "--name",
               "--network", "--gpus", "--restart", "--workdir"}  # fmt: skip
    dropped += [
        f"{name}: a container's; none is made" for name in values if name not in handled | _NEEDLESS
    ]
    return replace(
        outer,
        argv=(*entry.split(), *command),
        environment=environment,
        container=Container(
            tuple(mounts),
            tuple(published),
            host_network=values.get("--network", [""])[-1] == "host",
            gpus=values.get("--gpus", [""])[-1].strip("'\""),
        ),
        folder=values.get("--workdir", [""])[-1],
        name=values.get("--name", [outer.name])[-1],
        restart=restart_of(values.get("--restart", [""])[-1]) or outer.restart,
        dropped=(*dropped, f"image {image}: the launcher serves with the SGLang beside it"),
    )


def read_exec(words: Sequence[str], outer: Definition) -> Definition:
    """The definition of what `apptainer exec` or `run` starts, on the network of its machine.

    Args:
        words: behind its name.
        outer: what stands around the command.
    """
    words = list(words[1:] if list(words[:1]) in (["exec"], ["run"]) else words)
    given, rest = options([word for word in words if word not in {"--nv", "--rocm"}])
    mounts = [
        read_volume(one)
        for name, value in given
        if name in {"--bind", "-B", "--mount"}
        for one in value.split(",")
    ]
    environment = dict(
        one.partition("=")[::2]
        for name, value in given
        if name == "--env"
        for one in value.split(",")
    )
    return replace(
        outer,
        argv=tuple(rest[1:]),
        environment={**outer.environment, **environment},
        container=Container(tuple(mounts), host_network=True),
        dropped=(*outer.dropped, f"image {''.join(rest[:1])}: the launcher serves on this machine"),
    )


def engine_of(definition: Definition) -> str | None:
    """The engine that an image starts by itself, given nothing but arguments; None if none does."""
    image = next((one for one in definition.dropped if one.startswith("image ")), "")
    name = image.removeprefix("image ").partition(": ")[0]
    first = definition.argv[0] if definition.argv else "-"
    if not first.startswith(("-", "/")) and re.fullmatch(REPOSITORY_PATTERN, first) is None:
        return None
    return next((engine for pattern, engine in _ENGINES if pattern.search(name)), None)


def restart_of(policy: str) -> str:
    """A container's restart policy in the launcher's words; "" where it has none."""
    return {
        "always": "always", "unless-stopped": "always", "on-failure": "on-failure", "no": "never",
    }.get(policy.partition(":")[0], "")  # fmt: skip


def read_volume(text: str) -> Mount:
    """`SOURCE:TARGET[:OPTIONS]`, or a target alone."""
    parts = split_outside(text)
    if len(parts) == 1:
        return Mount(parts[0], "", "a volume of its own")
    source, inside = parts[0], parts[1]
    if source.startswith(("/", "~", ".")) or "\ue000" in source:
        return Mount(inside, source)
    return Mount(inside, "", f"the named volume {source}")


def split_outside(text: str) -> list[str]:
    """Split at colons, but not inside a place whose value is not known."""
    return _COLON.split(text)


def read_mount(text: str) -> Mount:
    """`type=bind,source=...,target=...`."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    source = fields.get("source") or fields.get("src") or ""
    inside = fields.get("target") or fields.get("dst") or fields.get("destination") or ""
    return read_volume(f"{source}:{inside}" if source else inside)


def read_ports(text: str) -> Iterator[Published]:
    """`[ADDRESS:]OUTSIDE:INSIDE[/tcp]`, with ranges; what is no number is left out."""
    parts = split_outside(text.partition("/")[0].replace("[", "").replace("]", ""))
    if len(parts) < 2:
        return
    address = ":".join(parts[:-2])
    for outside, inside in zip(_range(parts[-2]), _range(parts[-1]), strict=False):
        yield Published(inside, outside, address)


def _range(text: str) -> Sequence[int]:
    first, _, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        return ()
    return range(int(first), min(int(last or first), int(first) + 1000) + 1)


def outside_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount in which a path of the container lies, the innermost one, or None."""
    inside = [
        mount
        for mount in mounts
        if path == mount.inside or path.startswith(mount.inside.rstrip("/") + "/")
    ]
    return max(inside, key=lambda mount: len(mount.inside), default=None)


def moved(path: str, mount: Mount) -> str:
    """A path of the container as this machine has it."""
    return posixpath.normpath(posixpath.join(mount.outside, posixpath.relpath(path, mount.inside)))


def environment_of(given: object) -> Mapping[str, str]:
    """Variables as compose and others write them: a mapping, or a list of `NAME=VALUE`."""
    if isinstance(given, dict):
        return {str(name): as_text(value) for name, value in given.items()}
    if isinstance(given, list):
        pairs = (str(one).partition("=") for one in given)
        # Without a value it is the caller's own.
        return {name: value if equals else unknown(f"${{{name}}}") for name, equals, value in pairs}
    return {}


def as_text(value: object) -> str:
    """A scalar of YAML as a program gets it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def mapping(given: object) -> Mapping[str, Any]:
    """A node of a document where a mapping is expected; nothing where it is none."""
    return given if isinstance(given, dict) else {}


def sequence(given: object) -> Sequence[Any]:
    """A node where a list is expected: a single value is a list of one."""
    if given is None:
        return ()
    return given if isinstance(given, list) else (given,)
