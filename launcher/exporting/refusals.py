"""What no manifest can say, or what would not work where it is applied. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from launcher.config.ranks import Ranks
from launcher.config.server_config import REPOSITORY_PATTERN, ServerConfig
from launcher.errors import UnexportableError
from launcher.nano.folder import model_path as nano_path

# A folder or file of this machine: from the root, from here, or from home; behind `name=` too.
_PATH: Final = re.compile(r"(?:[^=,:]*=)?(?:/|~|\.\.?/)[^\s]*")


def refuse_places(config: ServerConfig, *, restarts_always: bool) -> None:
    """Refuse what lies on this machine, or runs on none but with this launcher.

    Raises:
        UnexportableError: there is something.
    """
    if config.model_path == str(nano_path()):
        raise UnexportableError(
            "The nano model is embedded in this launcher, which the engine's image is without.",
            action="Export a model of the hub: --preset glm-4.5-air-fp8, or --model-path "
            "OWNER/NAME --device cuda.",
        )
    if config.device != "cuda":
        raise UnexportableError(
            f"The device is {config.device}, and the engine's image serves on NVIDIA GPUs: without "
            "one, SGLang runs by plugins of this launcher, which the image has not.",
            action="Give --device cuda.",
        )
    for field in ("model_path", "speculative_draft_model_path"):
        value = getattr(config, field)
        used = field == "model_path" or config.speculative_algorithm is not None
        if value and used and re.fullmatch(REPOSITORY_PATTERN, value) is None:
            raise UnexportableError(
                f"{field} is {value!r}, which is on this machine alone; a manifest can name a "
                "repository of the hub.",
                action=f"Give --{field.replace('_', '-')} OWNER/NAME.",
            )
    for field in (
        "gpu_ids",
        "discovery_file",
        "dist_init_addr",
        "network_interface",
        "speculative_adaptive_config",
    ):
        if getattr(config, field) is not None:
            raise UnexportableError(
                f"{field} is set, which names something of this machine alone.",
                action=f"Leave --{field.replace('_', '-')} out.",
            )
    for where, path in _paths(config):
        raise UnexportableError(
            f"{where} names {path!r}, a path of this machine, which the container has not.",
            action="Leave it out, or build an image that has it and add it to the manifest.",
        )
    if restarts_always and config.restart == "never":
        raise UnexportableError(
            "restart is never, and what keeps a number of pods up restarts each that ends.",
            action="Leave --restart out, or export compose.",
        )


def _paths(config: ServerConfig) -> Iterator[tuple[str, str]]:
    """Paths of this machine among what is passed through, each with where it stands."""
    option = "extra_args"
    for word in config.extra_args:
        value = word
        if word.startswith("--"):
            option, _, value = word.partition("=")
        if _is_path(value):
            yield option, value
    for name, value in config.variables.items():
        if _is_path(value):
            yield f"The variable {name}", value


def _is_path(value: str) -> bool:
    return "://" not in value and _PATH.fullmatch(value) is not None


def refuse_machines(config: ServerConfig, *, of_groups: bool) -> None:
    """Refuse another number of machines than a manifest is for.

    Raises:
        UnexportableError: it is for one and several are asked for, or the other way round.
    """
    if of_groups and config.nnodes == 1:
        raise UnexportableError(
            "nnodes is 1, and a LeaderWorkerSet is for two machines or more.",
            action="Give --nnodes NUMBER, or export kubernetes.",
        )
    if not of_groups and config.nnodes > 1:
        raise UnexportableError(
            f"nnodes is {config.nnodes}, and this manifest is for servers of one machine each.",
            action="Leave --nnodes out; or use `export leaderworkerset`, which is for several.",
        )
    if config.is_follower:
        raise UnexportableError(
            f"node_rank is {config.node_rank}, and a manifest is for all machines.",
            action="Leave --node-rank out.",
        )


def refuse_ranks(ranks: Ranks) -> None:
    """Refuse GPUs that a machine of a group has not.

    Raises:
        UnexportableError: some are named.
    """
    if ranks.nodes > 1 and (ranks.first_gpu or ranks.gpu_step > 1):
        raise UnexportableError(
            f"{ranks.describe()}: a machine of a group has just the GPUs that it uses.",
            action="Leave --base-gpu-id and --gpu-id-step out.",
        )


def refuse_commits(unpinned: Sequence[str], *, replicas: int, nodes: int) -> None:
    """Refuse several machines that might download different weights.

    Raises:
        UnexportableError: they might.
    """
    if unpinned and replicas * nodes > 1:
        raise UnexportableError(
            f"No commit of {' and '.join(unpinned)} is named, and {replicas * nodes} machines "
            "download it: a change at the hub in between would give them different weights.",
            action="Give --revision COMMIT, 40 digits; `python -m launcher pull` of the model here "
            "finds it out as well, of a draft model, too.",
        )
