"""What is to be exported: a configuration, checked for a place where nobody has this machine. Pure.

Whatever a manifest cannot say is refused here, before anything is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.engines.engine import ContainerEngine
from launcher.engines.launch import Command
from launcher.engines.select import container_engine_of
from launcher.errors import UnexportableError
from launcher.exporting.refusals import (
    refuse_commits,
    refuse_machines,
    refuse_places,
    refuse_ranks,
)
from launcher.models.files import COMMIT
from launcher.system.hardware import GIB

# The download's own files and the kernels that the engine compiles; a guess, on the large side.
_BESIDE_WEIGHTS_GIB: Final = 16
_MARGIN: Final = 1.05
_STEP_GIB: Final = 10
# A label of DNS (RFC 1123) has 63 characters; suffixes and the ordinals of pods come behind.
_LONGEST_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class Choices:
    """What a manifest needs beside a configuration, as the command's options say it.

    Attributes:
        replicas: servers, or groups of machines, each with the whole model.
        image: of the engine; None: the one of the verified version.
        gateway_image: of the gateway before several replicas.
        policy: how the gateway chooses a replica.
        storage_gib: of the volume for the weights; None: by the model's size.
        storage_class: of that volume in a cluster; None: the cluster's default.
        run_as: the account's number in the container; None: the image's own.
        interface: of the network between machines.
        gpu: the GPU's name where the place has several kinds.
    """

    replicas: int = 1
    image: str | None = None
    gateway_image: str = ""
    policy: str = ""
    storage_gib: int | None = None
    storage_class: str | None = None
    run_as: int | None = None
    interface: str = ""
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """A repository to download; `revision` None: its main branch, whatever that is on the day."""

    repository: str
    revision: str | None

    @property
    def is_pinned(self) -> bool:
        """Whether every download brings the same files."""
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True, slots=True)
class Export:
    """A checked request.

    Attributes:
        name: of the server, as a label of DNS.
        config: what to serve, its revision the known commit where it named none.
        choices: the rest.
        gpus: of each machine.
        ranks: of each machine.
        storage_gib: of each volume for weights, in GiB.
        weights: of the model, and of the draft model where it has a repository of its own.
    """

    name: str
    config: ServerConfig
    choices: Choices
    gpus: int
    ranks: int
    storage_gib: int
    weights: tuple[Weights, ...]

    @property
    def engine(self) -> ContainerEngine:
        """What serves it."""
        return container_engine_of(self.config)

    @property
    def image(self) -> str:
        """Of the engine."""
        return self.choices.image or self.engine.image

    @property
    def has_keys(self) -> bool:
        """Whether clients need a key."""
        return not self.config.insecure

    @property
    def start_seconds(self) -> int:
        """How long a start may take, from the first process to the first token."""
        return math.ceil(self.config.start_timeout_seconds)


def make_export(
    config: ServerConfig,
    choices: Choices,
    *,
    commits: Mapping[str, str],
    sizes_bytes: Mapping[str, int],
    restarts_always: bool,
    of_groups: bool,
) -> Export:
    """Check a request, and count what it takes.

    Args:
        config: what to serve.
        choices: where, and how often.
        commits: of repositories whose main branch is known here, for those without a revision.
        sizes_bytes: of the weights of repositories, where they are known.
        restarts_always: the place restarts whatever ends, and knows nothing else.
        of_groups: the manifest is one for several machines that serve a copy together.

    Raises:
        UnexportableError: the manifest could not say it.
        SecretInArgumentsError, UnknownFlagError, ConfigError: `up` would refuse the arguments.
    """
    refuse_machines(config, of_groups=of_groups)
    refuse_places(config, restarts_always=restarts_always)
    engine = container_engine_of(config)
    config = _pinned(engine, config, commits)
    _check_arguments(engine, config)
    ranks = ranks_of(config)
    refuse_ranks(ranks)
    weights = _weights_of(engine, config)
    refuse_commits(
        [one.repository for one in weights if not one.is_pinned],
        replicas=choices.replicas,
        nodes=config.nnodes,
    )
    return Export(
        name=dns_label(config.name),
        config=config,
        choices=choices,
        # With --base-gpu-id the first ones are there, too, and not used.
        gpus=max(ranks.gpu_ids) + 1,
        ranks=ranks.count_here,
        storage_gib=choices.storage_gib or _storage_gib(weights, sizes_bytes),
        weights=weights,
    )


def dns_label(name: str) -> str:
    """A server's name as clusters take one: small letters, digits and dashes.

    Raises:
        UnexportableError: nothing of it is left, or too much.
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not label or not label[0].isalpha() or len(label) > _LONGEST_NAME:
        raise UnexportableError(
            f"The name {name!r} makes no name of a cluster's objects: it has {len(label)} letters, "
            f"digits and dashes; 1 to {_LONGEST_NAME} are allowed, a letter first.",
            action="Give another --name.",
        )
    return label


def _check_arguments(engine: ContainerEngine, config: ServerConfig) -> None:
    """Hold the command against the parser of the version that the image has."""
    launch = engine.container_launch(config, keys_file=None)
    command = Command((*launch.program, *launch.arguments), launch.environment)
    engine.check_command(command, config, engine.verified_version)


def _pinned(
    engine: ContainerEngine, config: ServerConfig, commits: Mapping[str, str]
) -> ServerConfig:
    """The configuration with the commits that are known, where it names none itself."""
    if config.revision is None and (known := commits.get(config.model_path)) is not None:
        config = config.model_copy(update={"revision": known})
    draft = config.draft_repository
    if draft is None or engine.draft_revision(config) is not None:
        return config
    known = config.revision if draft == config.model_path else commits.get(draft)
    return config if known is None else engine.with_draft_revision(config, known)


def _weights_of(engine: ContainerEngine, config: ServerConfig) -> tuple[Weights, ...]:
    made = [Weights(config.model_path, config.revision)]
    draft = config.draft_repository
    if draft is not None and draft != config.model_path:
        made.append(Weights(draft, engine.draft_revision(config)))
    return tuple(made)


def _storage_gib(weights: tuple[Weights, ...], sizes_bytes: Mapping[str, int]) -> int:
    """Room for the weights and what comes with them, in GiB.

    Formula: weights x 1.05 + 16 GiB, rounded up to 10 GiB.

    Raises:
        UnexportableError: a size is not known.
    """
    unknown = [one.repository for one in weights if one.repository not in sizes_bytes]
    if unknown:
        raise UnexportableError(
            f"The size of {' and '.join(unknown)} is not known here, so neither is that of the "
            "volume for the weights.",
            action="Say it: --storage-gib NUMBER, the size of the files that the hub shows and "
            f"{_BESIDE_WEIGHTS_GIB} GiB more.",
        )
    total = sum(sizes_bytes[one.repository] for one in weights)
    wanted = total * _MARGIN / GIB + _BESIDE_WEIGHTS_GIB
    return math.ceil(wanted / _STEP_GIB) * _STEP_GIB
