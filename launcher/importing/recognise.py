"""Which kind a file is, and the servers that are started in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from launcher.config.config_file import BoundedLoader, TooMuchError
from launcher.importing import compose, kubernetes, skypilot, systemd
from launcher.importing.definition import Definition, refuse
from launcher.importing.wrappers import find_in_container, find_in_script, find_launches

Launches = list[tuple[str, Definition]]
"""An engine, and the definition whose `argv` are that engine's arguments."""

_GIVE_COMMAND: Final = "Give the command itself: `python -m launcher config import -- COMMAND`."
LARGEST_FILE_BYTES: Final = 1024**2
_MOST_PAIRS: Final = 10_000
_MOST_VALUES: Final = 200_000
_NODES: Final = re.compile(r"^#SBATCH\s+(?:--nodes[= ]|-N\s*)(\d+)", re.MULTILINE)
_TEMPLATE: Final = re.compile(r"\{\{.*\}\}", re.DOTALL)
_UNIT: Final = re.compile(r"^\[Service\]\s*$", re.MULTILINE)
_MAPPING: Final = re.compile(
    r"^(?:---[ \t]*\n)?(?:#[^\n]*\n|[ \t]*\n)*['\"]?[\w.-]+['\"]?:(?:\s|$)"
)


class _Loader(BoundedLoader):
    """Manifests are nested deeper than a configuration."""

    deepest_levels = 64
    most_nodes = 100_000

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge `<<`; a mapping that doubles itself at each level is refused."""
        super().flatten_mapping(node)
        if len(node.value) > _MOST_PAIRS:
            raise TooMuchError(problem="has a mapping with too many keys")


def launches_of_command(argv: list[str], variables: Mapping[str, str], folder: Path) -> Launches:
    """The servers that a command starts, as a shell has expanded it.

    Args:
        argv: its words.
        variables: of the shell.
        folder: where it was typed.
    """
    return list(find_launches(Definition(tuple(argv), folder=str(folder)), variables))


def launches_of_file(
    text: str, name: str, variables: Mapping[str, str], folder: Path | None
) -> Launches:
    """The servers that a file starts.

    Args:
        text: of the file.
        name: of the file; its ending is a hint, no more.
        variables: that fill in what the file leaves to its surroundings.
        folder: of the file; None for standard input.

    Raises:
        UnimportableError: it cannot be read, or starts what the launcher does not serve.
    """
    if name.endswith(".service") or _UNIT.search(text):
        return _of_unit(text, name)
    if name.endswith((".yaml", ".yml", ".json")) or _MAPPING.match(text):
        return _of_documents(_load(text, name), variables, folder, name)
    return _of_script(text, variables, folder)


def choose(found: Launches, service: str | None) -> tuple[str, Definition]:
    """The one server that is meant.

    Args:
        found: all that are started.
        service: the name of the one that is meant; None where there is one alone.

    Raises:
        UnimportableError: there is none, or several.
    """
    named = [one for one in found if service is None or one[1].name == service]
    if len(named) == 1:
        return named[0]
    if not found:
        raise refuse(
            "Nothing in it starts an SGLang or vLLM server.",
            "Put the command itself after `--`; it is looked for behind wrappers such as env, "
            "numactl, srun and docker run.",
        )
    names = ", ".join(dict.fromkeys(one.name for _, one in found if one.name))
    if service is not None and not named:
        known = f"; those in it: {names}" if names else "; the server in it has no name"
        raise refuse(f"No server {service!r} is started in it{known}.", "Check --service.")
    count = len(named)
    if not names:
        raise refuse(
            f"{count} servers are started in it, and they have no names.",
            "Put the command of the one that you mean after `--`.",
        )
    raise refuse(
        f"{count} servers are started in it, as several services: {names}.",
        "Choose one by --service NAME, or put its command after `--`.",
    )


def _of_unit(text: str, name: str) -> Launches:
    try:
        unit = systemd.definition(text, name.removesuffix(".service"))
    except ValueError as error:
        raise refuse(f"The unit {name} cannot be read: {error}.", "Balance its quotes.") from None
    return list(find_launches(unit, unit.environment))


def _of_script(text: str, variables: Mapping[str, str], folder: Path | None) -> Launches:
    nodes = _NODES.search(text)
    if nodes is not None and int(nodes[1]) > 1:
        raise refuse(
            f"The job takes {nodes[1]} nodes, and the launcher watches a server on one machine.",
            "Import a definition for one machine, or keep this one as it is.",
        )
    dropped = tuple(
        f"{line}: the job's; reserve what the server needs yourself"
        for line in re.findall(r"^#SBATCH\s+(--(?:gres|gpus|mem|time|partition)\S*)", text, re.M)
    )
    where = Definition((), folder="" if folder is None else str(folder), dropped=dropped)
    return list(find_in_script(text, where, variables))


def _load(text: str, name: str) -> list[Any]:
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))  # safe, and bounded
    except TooMuchError as error:
        raise refuse(f"{name} {error.problem}.", _GIVE_COMMAND) from None
    except (
        *(yaml.YAMLError, RecursionError, ValueError),
        *(LookupError, AttributeError, TypeError, ArithmeticError),
    ) as error:
        if _TEMPLATE.search(text):
            raise refuse(
                f"{name} is a template, with values that somebody else fills in.",
                "Render it first: `helm template ... > rendered.yaml`.",
            ) from None
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        raise refuse(f"{name}{where} is not YAML.", "Mend that line.") from None
    left = [documents]
    for _ in range(_MOST_VALUES):
        if not left:
            return documents
        node: Any = left.pop()
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    raise refuse(
        f"{name} has more than {_MOST_VALUES:,} values once its aliases are written out.",
        _GIVE_COMMAND,
    )


def _of_documents(
    documents: list[Any], variables: Mapping[str, str], folder: Path | None, name: str
) -> Launches:
    found: Launches = []
    known = False
    for document in documents:
        if not isinstance(document, dict):
            continue
        if isinstance(document.get("services"), dict):
            known = True
            for service in compose.definitions(document, variables, folder):
                found += find_in_container(service, {})
        elif skypilot.is_task(document):
            known = True
            script, task = skypilot.definition(document)
            found += find_in_script(script, task, {})
    if any(True for _ in kubernetes.pods(documents)):
        known = True
        for pod in kubernetes.definitions(documents):
            found += find_in_container(pod, {})
    if not known:
        raise refuse(
            f"{name} is no compose file, no Kubernetes manifest and no SkyPilot task.",
            _GIVE_COMMAND,
        )
    return found
