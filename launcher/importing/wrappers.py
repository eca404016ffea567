"""The server's own command, inside what people put around it. Pure.

`env`, `nohup`, `numactl`, `srun`, `docker exec`, `uv run` and their like: the command is looked for
behind them, so that a wrapper need not be known. Two change what the words mean: `bash -c` holds a
script, `docker run` a container.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from launcher.importing import container
from launcher.importing.definition import Definition, refuse
from launcher.importing.shell.script import commands

MODULES: Final = {
    "sglang.launch_server": "sglang",
    "sglang.srt.entrypoints.http_server": "sglang",
    "vllm.entrypoints.openai.api_server": "vllm",
}
_PYTHON: Final = re.compile(r"python[\d.]*")
_SHELL: Final = frozenset({"bash", "sh", "zsh", "dash", "ash"})
_SANDBOXES: Final = frozenset({"apptainer", "singularity"})
_CONTAINERS: Final = frozenset({"docker", "podman", "nvidia-docker", "nerdctl"})
# Wrappers whose meaning is lost without them, and what to do instead.
_BINDINGS: Final = {
    "numactl": "the launcher does not bind the server to processors: start `up` under numactl",
    "taskset": "the launcher does not bind the server to processors: start `up` under taskset",
    "sudo": "the launcher runs as the user who starts it",
    "timeout": "the launcher ends no server after a time of its own",
    "nice": "start `up` under nice, which the server inherits",
    "ssh": "it ran on another machine",
    "chroot": "the launcher serves from this machine's own folders",
}
# Commands of scripts that do nothing to a server.
_OF_THE_SHELL: Final = frozenset(
    {"set", "echo", "printf", "exit", "wait", "trap", "true", ":", "shift", "unset", "ulimit", "[",
     "[[", "test", "return", "break", "eval", "shopt", "date", "hostname", "cat", "tail"}
)  # fmt: skip
_ROUTERS: Final = ("sglang_router", "sglang-router")
_PLAIN: Final = re.compile(r"[a-z][a-z-]{0,15}")
_LAUNCH: Final = re.compile(r"\b(?:sglang|vllm)\b")
DEEPEST: Final = 6


def launch_at(argv: Sequence[str]) -> tuple[str, int] | None:
    """The engine whose server a command starts, and where its arguments begin; None for others."""
    name = posixpath.basename(argv[0])
    if name in {"sglang", "vllm"} and list(argv[1:2]) == ["serve"]:
        return name, 2
    if name == "launch_server.py":
        return "sglang", 1
    return _module_at(argv) if _PYTHON.fullmatch(name) else None


def _module_at(argv: Sequence[str]) -> tuple[str, int] | None:
    """The same for a Python interpreter's command."""
    for place, word in enumerate(argv[1:], 1):
        if argv[place - 1] in {"-W", "-X"}:
            continue
        if word == "-m" and argv[place + 1 : place + 2]:
            engine = MODULES.get(argv[place + 1])
            return None if engine is None else (engine, place + 2)
        if word.endswith("launch_server.py"):
            return "sglang", place + 1
        if not word.startswith("-"):
            break
    return None


def find_launches(
    definition: Definition, variables: Mapping[str, str], depth: int = 0
) -> Iterator[tuple[str, Definition]]:
    """Look for the server's command in another command.

    Args:
        definition: with the command.
        variables: that a script inside of it would see.
        depth: how many commands it stands in.

    Yields:
        The engine, and the definition with the engine's arguments alone.

    Raises:
        UnimportableError: a script in it cannot be read.
    """
    argv = definition.argv
    if argv and posixpath.basename(argv[0]) in _OF_THE_SHELL:
        return
    for place in range(len(argv)):
        name = posixpath.basename(argv[place])
        if name.startswith(_ROUTERS):
            raise refuse(
                f"{name} is a router in front of several servers, and the launcher watches one.",
                "Import each server by its own command, and keep the router.",
            )
        if (found := launch_at(argv[place:])) is not None:
            engine, begin = found
            yield engine, _inside(definition, argv[:place], argv[place + begin :])
            return
        if depth < DEEPEST and name in _CONTAINERS and "run" in argv[place + 1 : place + 8]:
            start = argv.index("run", place) + 1
            inner = container.read_run(argv[start:], _inside(definition, argv[:place], argv))
            yield from find_in_container(inner, variables, depth + 1)
            return
        if depth < DEEPEST and name in _SANDBOXES:
            inner = container.read_exec(argv[place + 1 :], _inside(definition, argv[:place], argv))
            yield from find_in_container(inner, variables, depth + 1)
            return
        if depth < DEEPEST and name in _SHELL and (script := _script(argv[place + 1 :])):
            outer = _inside(definition, argv[:place], argv)
            yield from find_in_script(script, outer, variables, depth + 1)
            return
    if depth < DEEPEST:
        # `tmux new-session 'cd x && sglang serve'`, `su -c`, `screen`
        for place, word in enumerate(argv):
            if " " in word and _LAUNCH.search(word):
                outer = _inside(definition, argv[:place], argv)
                yield from find_in_script(word, outer, variables, depth + 1)


def find_in_container(
    definition: Definition, variables: Mapping[str, str], depth: int = 0
) -> Iterator[tuple[str, Definition]]:
    """The same for a container's command, which may be an image's own entry point's arguments."""
    seen = {name: value for name, value in variables.items() if name not in {"HOME", "PWD"}}
    every = list(find_launches(definition, {**seen, **definition.environment}, depth))
    if not every and (engine := container.engine_of(definition)) is not None:
        every = [(engine, definition)]
    yield from every


def find_in_script(
    text: str, definition: Definition, variables: Mapping[str, str], depth: int = 0
) -> Iterator[tuple[str, Definition]]:
    """The same for a script.

    Args:
        text: of the script.
        definition: what is known of where it runs.
        variables: that it sees.
        depth: how many commands it stands in.
    """
    try:
        runs = list(commands(text, {**variables, **definition.environment}))
    except ValueError as error:
        raise refuse(
            f"The script cannot be read: {error}.", "Balance its quotes and brackets."
        ) from None
    found: list[tuple[str, Definition]] = []
    beside: dict[str, None] = {}
    for run in runs:
        inner = replace(
            definition,
            argv=run.argv,
            environment={**definition.environment, **run.environment},
            folder=posixpath.join(definition.folder, run.folder),
            used=definition.used | run.used,
        )
        launches = list(find_launches(inner, {**variables, **inner.environment}, depth))
        found += launches
        if not launches and (name := posixpath.basename(run.argv[0])) not in _OF_THE_SHELL:
            # Its other arguments may hold secrets.
            plain = [word for word in run.argv[1:2] if _PLAIN.fullmatch(word)]
            beside[" ".join((name, *plain))] = None
    note = (f"beside it, not run: {', '.join(beside)}",) if beside else ()
    for engine, one in found:
        yield engine, replace(one, dropped=(*one.dropped, *note))


def _script(words: Sequence[str]) -> str:
    """The script of `bash -c SCRIPT`, in any spelling; "" where there is none."""
    for place, word in enumerate(words):
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            return words[place + 1] if place + 1 < len(words) else ""
        if not word.startswith(("-", "+")):
            break
    return ""


def _inside(definition: Definition, before: Sequence[str], argv: Sequence[str]) -> Definition:
    """A definition without the wrappers in front; what they mean is kept or named."""
    environment = dict(definition.environment)
    dropped = list(definition.dropped)
    if "exec" in before and any(posixpath.basename(word) in _CONTAINERS for word in before):
        dropped.append("docker exec: paths are a container's; set them to this machine's")
    exports = [word.removeprefix("--export=") for word in before if word.startswith("--export=")]
    for word in (*before, *(part for one in exports for part in one.split(","))):
        name, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", name):
            environment[name] = value
        elif (note := _BINDINGS.get(posixpath.basename(word))) is not None:
            dropped.append(f"{posixpath.basename(word)}: {note}")
    return replace(definition, argv=tuple(argv), environment=environment, dropped=tuple(dropped))
