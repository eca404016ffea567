"""A launch definition said as a configuration, and what of it could not be said so."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from launcher.config.fields.secret_names import is_secret_name
from launcher.config.server_config import REPOSITORY_PATTERN, ServerConfig
from launcher.config.sources import resolve
from launcher.engines.launch import CommandTarget
from launcher.engines.select import default_engine, read_launch, version_of
from launcher.errors import ConfigError
from launcher.importing.container import moved, outside_of
from launcher.importing.definition import UNKNOWN, Container, Definition, refuse, unknowns
from launcher.importing.variables import holds_secret, sort_out

_MODELS: Final = ("model_path", "speculative_draft_model_path")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # what definitions say
# Where no shell reads the words, a variable stays as it is; in a template all do.
_UNFILLED: Final = re.compile(r"\{\{.*?\}\}|\$\{\w[^{}]*\}|\$\([\w.-]+\)|\$[A-Za-z_]\w*")
_CACHES: Final = ("huggingface", "hub", "huggingface/hub")


@dataclass(frozen=True, slots=True)
class Imported:
    """A configuration, and the account of where it came from.

    Attributes:
        fields: of `ServerConfig`, in its order.
        taken: what of the definition became a field or an argument.
        added: what the launcher adds that the definition did not have.
        dropped: what was not taken over, and what to do.
    """

    fields: Mapping[str, Any]
    taken: tuple[str, ...]
    added: tuple[str, ...]
    dropped: tuple[str, ...]

    def as_yaml(self) -> str:
        """The config file for `up --config`."""
        return yaml.safe_dump(dict(self.fields), sort_keys=False, allow_unicode=True, width=10_000)


def translate(engine: str, definition: Definition) -> Imported:
    """Say a definition as a configuration.

    Args:
        engine: whose command line it is.
        definition: with the engine's arguments alone.

    Raises:
        UnimportableError: it says what the launcher does not serve, or does not say enough.
    """
    launch = read_launch(engine, definition.argv)
    if launch.refused:
        raise refuse(
            f"This definition cannot be taken over. {launch.refused}.",
            "Keep it as it is, or import one that serves a whole model on one machine.",
        )
    fields, dropped = launch.fields, [*launch.dropped]
    _refuse_unknown(fields, [*launch.extra, *_public_words(definition.argv)])
    if not fields.get("model_path"):
        raise refuse("The command names no model.", "Add --model-path to it.")
    if fields.get("speculative_algorithm") is None:
        for field in [name for name in fields if name.startswith("speculative_")]:
            dropped.append(f"{field}: without an algorithm it does nothing")
            del fields[field]
    dropped += _find_models(fields, definition)
    extra, secret = _without_secrets(_settled_paths(launch.extra, definition))
    dropped += secret
    if definition.container is not None:
        dropped += _publish(fields, definition.container)
    own = default_engine()
    # An exported manifest sets them for its orchestrator's probes; the launcher has its own.
    variables = sort_out(
        {
            name: value
            for name, value in definition.environment.items()
            if name not in own.container_variables
        },
        definition.used,
        own.name,
        own.why_unread,
        on_cpu=str(fields.get("device")) == "cpu",
    )
    dropped += variables.dropped
    if variables.kept:
        fields["environment"] = dict(variables.kept)
    if definition.restart:
        fields["restart"] = definition.restart
    if definition.restart_delay_seconds is not None:
        fields["restart_delay_seconds"] = definition.restart_delay_seconds
    if extra:
        fields["extra_args"] = extra
    made = _checked(fields)
    if made["host"] not in _LOOPBACK:
        dropped.append(
            f"host {made['host']}: others reach it, so it needs api_key_file, or insecure: true, "
            "before it starts"
        )
    notes = dict.fromkeys([*dropped, *definition.dropped])
    shown = {name: made[name] for name in ServerConfig.model_fields if name in made}
    return Imported(shown, tuple(launch.taken), _added(made), tuple(notes))


def _refuse_unknown(fields: Mapping[str, Any], extra: list[str]) -> None:
    """Refuse what nobody filled in, all of it in one message."""
    texts = [str(value) for value in fields.values()] + extra
    found = dict.fromkeys(
        one
        for text in texts
        for one in (*unknowns(text), *_UNFILLED.findall(UNKNOWN.sub("", text)))
    )
    if not found:
        return
    several = "are" if len(found) > 1 else "is"
    raise refuse(
        f"{', '.join(found)} {several} not filled in: the definition does not say the value.",
        "Set it in the environment of this command, or import the command itself from inside the "
        "script, where the shell has filled it in: `python -m launcher config import -- COMMAND`.",
    )


def _public_words(argv: Sequence[str]) -> list[str]:
    """Words of a command that are no values of secret options: those are never written anyway."""
    pairs = zip(argv, ("", *argv), strict=False)
    return [
        word
        for word, before in pairs
        if not is_secret_name(word.partition("=")[0])
        and not (before.startswith("-") and is_secret_name(before))
    ]


def _find_models(fields: dict[str, Any], definition: Definition) -> list[str]:
    """Turn paths of a container, or of another folder, into this machine's; say what remains."""
    notes: list[str] = []
    for field in _MODELS:
        typed = str(fields.get(field) or "")
        if not typed:
            continue
        path = _as_path(typed, definition.folder)
        if path is None:
            continue
        fields[field] = path
        if definition.container is None:
            continue
        mount = outside_of(path, definition.container.mounts)
        if mount is not None and mount.outside:
            fields[field] = moved(path, mount)
            told = f"; clients know {fields['served_model_name']}" if field == _MODELS[0] else ""
            if fields[field] != path:
                notes.append(f"path {path} is {fields[field]} outside{told}")
        else:
            where = f"in {mount.note}" if mount is not None else "inside the container"
            notes.append(f"path {path} lies {where}: set {field} to where it is on this machine")
    if definition.container is not None:
        for mount in definition.container.mounts:
            if mount.inside.rstrip("/").endswith(_CACHES):
                outside = mount.outside or mount.note
                notes.append(
                    f"the hub's cache {mount.inside} is {outside} outside: start `up` with HF_HOME "
                    "set to it"
                )
    return notes


def _as_path(typed: str, folder: str) -> str | None:
    """A path, made absolute where the folder is known; None for a repository."""
    if typed.startswith("/"):
        return posixpath.normpath(typed)
    if "://" in typed:
        return None
    if typed.startswith("~"):
        return str(Path(typed).expanduser())
    is_repository = re.fullmatch(REPOSITORY_PATTERN, typed) is not None
    if not folder or (is_repository and not Path(folder, typed).exists()):
        return None
    return posixpath.normpath(posixpath.join(folder, typed))


def _settled_paths(extra: list[str], definition: Definition) -> list[str]:
    """Arguments with a container's paths, and relative ones, turned into this machine's."""
    if definition.container is None:
        return [
            posixpath.normpath(posixpath.join(definition.folder, word))
            if definition.folder and word.startswith(("./", "../"))
            else word
            for word in extra
        ]
    settled = []
    for word in extra:
        flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        # `--lora-paths name=folder`
        name, named, path = value.rpartition("=")
        mount = outside_of(path, definition.container.mounts) if path.startswith("/") else None
        if mount is not None and mount.outside:
            path = moved(path, mount)
        settled.append(f"{flag}{equals}{name}{named}{path}")
    return settled


def _without_secrets(extra: list[str]) -> tuple[list[str], list[str]]:
    """Arguments whose values hold no secret, and a line for each of the others."""
    kept: list[str] = []
    notes: list[str] = []
    option: list[str] = []
    for word in [*extra, "--"]:
        if word.startswith("--") and option:
            name = option[0].partition("=")[0]
            if holds_secret(" ".join(option)):
                notes.append(f"{name}: its value holds a secret, not written")
            else:
                kept += option
            option = []
        option.append(word)
    return kept, notes


def _publish(fields: dict[str, Any], container: Container) -> list[str]:
    """Set host and port as others reach the container; say what cannot be."""
    notes: list[str] = []
    inside = str(fields["port"])
    published = [one for one in container.published if str(one.inside) == inside]
    if published:
        one = published[0]
        fields["port"] = one.outside
        host = one.address or _EVERYWHERE
        typed = fields.get("host", "127.0.0.1")
        if typed in _LOOPBACK:
            notes.append(
                f"host {typed} inside the container: nobody outside reached it by port "
                f"{one.outside}; now they do"
            )
        elif typed != host:
            notes.append(f"{typed} inside, published on {host}")
        fields["host"] = host
        notes += [f"port {other.outside}: published as well; not taken over"
                  for other in published[1:]]  # fmt: skip
    elif not container.host_network and not container.cluster:
        notes.append(f"port {inside}: published nowhere, so only other containers reached it")
    elif container.cluster and not container.host_network:
        notes.append(
            f"port {inside}: others reach it by the cluster's services; here it is this machine's"
        )
    if container.gpus:
        ids = container.gpus.strip("'\"").removeprefix("device=")
        notes.append(
            f"GPUs {ids}: start `up` with CUDA_VISIBLE_DEVICES={ids}"
            if "device=" in container.gpus
            else f"GPUs {ids}: the launcher takes as many as the ranks need"
        )
    return notes


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as a configuration takes them.

    Raises:
        UnimportableError: a configuration does not take them.
    """
    try:
        resolved = resolve(flags=fields, preset="custom")
    except ConfigError as error:
        raise refuse(
            f"SGLang's arguments make no configuration. {error.problem}", error.action
        ) from None
    target = CommandTarget("python", (0,), (), Path("secrets.yaml"))
    engine = default_engine()
    try:
        command = engine.make_command(resolved.config, target)
        engine.check_command(command, resolved.config, version_of(engine))
    except ConfigError as error:
        raise refuse(f"SGLang would refuse the arguments. {error.problem}", error.action) from None
    checked = resolved.config.model_dump(mode="json")
    made = {name: checked[name] for name in fields if name in checked}
    # A mapping, as people write it.
    kept = {"environment": fields["environment"]} if "environment" in fields else {}
    return {**made, "host": checked["host"], **kept}


def _added(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """What `up` adds to the command, and why."""
    added = ["an admin key: the routes that change the server want it"]
    for field, why in (
        ("enable_metrics", "the launcher's own status reads the metrics"),
        ("enable_cache_report", "clients get the cached tokens of the OpenAI API"),
        ("constrained_json_disable_any_whitespace", "JSON under a grammar always ends"),
    ):
        if field not in fields:
            added.append(f"--{field.replace('_', '-')}: {why}")
    return tuple(added)
