"""The comment at the head of a manifest: who made it, and what is to be done before. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Literal

from launcher.config.server_config import describe_speculation
from launcher.exporting.compose import KEYS_VARIABLE
from launcher.exporting.keys import KEY_VARIABLE, NEW_KEY, read_api_key, write_keys
from launcher.exporting.kubernetes.server import API_KEY, HUB_TOKEN, hub_secret, keys_secret
from launcher.exporting.request import Export

Format = Literal["kubernetes", "leaderworkerset", "compose", "skypilot"]


def header(export: Export, made: Format, arguments: Sequence[str]) -> list[str]:
    """The paragraphs of the comment.

    Args:
        export: what is served.
        made: the kind of the manifest.
        arguments: of the command that made it.
    """
    command = shlex.join(["python", "-m", "launcher", "export", made, *arguments])
    return [
        f"Made by `{command}`.",
        _summary(export, made),
        *(f"Note: {note}" for note in notes(export, made)),
        "",
        *_before(export, made),
        "",
        "Nothing else is left to fill in. docs/exporting.md of the launcher explains each part.",
    ]


def notes(export: Export, made: Format) -> Iterator[str]:
    """What a person may not expect."""
    for weights in export.weights:
        if not weights.is_pinned:
            named = weights.revision or "the main branch"
            yield (
                f"{weights.repository} is not pinned: {named} at the time of the download is "
                "served. Give --revision COMMIT."
            )
    config = export.config
    readers = (config.tool_call_parser, config.reasoning_parser)
    if config.glm_parsers == "specserve" and any(one and one.startswith("glm") for one in readers):
        yield (
            "none of the launcher's plugins are there: SGLang's own parsers read GLM's format, "
            "and requests for any model's name are answered."
        )
    if not export.engine.container_launch(config, keys_file=None).is_offline:
        yield (
            "the arguments name another repository: the server itself fetches it from the hub at "
            "each start, without a token, whatever its main branch is then."
        )
    if config.trust_remote_code:
        yield f"trust_remote_code is on: Python code that comes with {config.model_path} will run."
    if export.choices.image is not None:
        version = f"{export.engine.name} {export.engine.verified_version}"
        yield f"the arguments are checked for {version}, and the image is one of your own."
    if made == "leaderworkerset":
        yield (
            "the machines of a group trust each other's data: their network has to be private. "
            "The NetworkPolicy holds only where the cluster's network enforces such policies."
        )
    if not export.has_keys:
        yield "whoever reaches the port may use the server: --insecure leaves out the key."
        return
    yield (
        f"{export.engine.name} prints its arguments when it starts, both keys among them: whoever "
        "may read the output of a server has its keys."
    )
    if config.api_key_file is not None or config.admin_key_file is not None:
        yield "the files of keys that the configuration names are not read: make them as follows."


def _summary(export: Export, made: Format) -> str:
    config, choices = export.config, export.choices
    what = f"{config.model_path}{f' at {config.revision}' if config.revision else ''}"
    machines = f" on each of {export.config.nnodes} machines" if export.config.nnodes > 1 else ""
    replicas = f"{choices.replicas} replicas of " if choices.replicas > 1 else ""
    program = export.engine.requirement if made == "skypilot" else export.image
    return (
        f"It serves {replicas}{what}, called {config.served_model_name}, with {program} on "
        f"{export.gpus} GPUs{machines}, speculation {describe_speculation(config)}, "
        f"{export.storage_gib} GiB for the weights."
    )


def _before(export: Export, made: Format) -> Iterator[str]:
    if made == "compose":
        yield from _before_compose(export)
    elif made == "skypilot":
        yield from _before_skypilot(export)
    else:
        yield from _before_cluster(export, made)


def _keys_file(export: Export) -> str:
    return f"  (umask 077; {write_keys(export.engine.keys_name)})"


def _before_cluster(export: Export, made: Format) -> Iterator[str]:
    file = export.engine.keys_name
    yield "Before `kubectl apply -f FILE`, once in its namespace:"
    if made == "leaderworkerset":
        yield "- the LeaderWorkerSet controller, 0.7 or newer, has to be in the cluster;"
    if export.has_keys:
        yield "- make the keys, the first for clients, the second for the admin routes:"
        yield _keys_file(export)
        yield f"  (umask 077; {read_api_key(file)} | tr -d '\\n' > {API_KEY})"
        yield (
            f"  kubectl create secret generic {keys_secret(export)} --from-file={API_KEY} "
            f"--from-file={file}"
        )
    yield f"- for a gated model alone, with the hub's token in the file {HUB_TOKEN}:"
    yield f"  kubectl create secret generic {hub_secret(export)} --from-file={HUB_TOKEN}"


def _before_compose(export: Export) -> Iterator[str]:
    if export.has_keys:
        yield "Make the keys, the first for clients, the second for the admin routes:"
        yield _keys_file(export)
        yield "Then start it, with HF_TOKEN in the environment if the model is gated:"
        yield f'  {KEYS_VARIABLE}="$PWD/{export.engine.keys_name}" docker compose -f FILE up -d'
    else:
        yield "Start it, with HF_TOKEN in the environment if the model is gated:"
        yield "  docker compose -f FILE up -d"


def _before_skypilot(export: Export) -> Iterator[str]:
    several = export.choices.replicas > 1
    start = f"sky serve up -n {export.name}" if several else f"sky launch -c {export.name}"
    if export.has_keys:
        yield "Make a key for clients, keep it, and start:"
        yield f"  export {KEY_VARIABLE}={NEW_KEY}"
        yield f"  {start} --secret {KEY_VARIABLE} FILE"
    else:
        yield "Start it:"
        yield f"  {start} FILE"
    yield "`--secret HF_TOKEN` beside it hands on the hub's token for a gated model."
