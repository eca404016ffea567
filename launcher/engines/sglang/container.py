"""SGLang in a container: the same options, without what only this launcher's own processes read.

Pure. SGLang's own image has none of the launcher's plugins, so none is switched on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from launcher.config.arguments.options import options_of
from launcher.config.fields.variables import LAUNCHER_PREFIX, SET_ALWAYS
from launcher.config.server_config import ServerConfig, names_repository
from launcher.engines.containers import ContainerLaunch, MachineGroup, ProbePaths
from launcher.engines.launch import CommandTarget
from launcher.engines.sglang.command import (
    CONFIG_FLAG,
    HOST_VARIABLE,
    INTERFACE_VARIABLES,
    MODULE,
    build_command,
)
from launcher.engines.sglang.version import VERIFIED_VERSION

IMAGE: Final = f"lmsysorg/sglang:v{VERIFIED_VERSION}"
REQUIREMENT: Final = f"sglang=={VERIFIED_VERSION}"
# The name tells `config import` that the file holds keys, and no other settings.
KEYS_NAME: Final = "specserve-keys.yaml"
_PYTHON: Final = "python3"
_DRAFT_REVISION: Final = "--speculative-draft-model-revision"
# A pod has an address of its own, and nobody else's interfaces.
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104
# Source: sglang 0.5.23, srt/entrypoints/http_server.py. `/health` and `/health_generate` are one
# function, which sleeps for a second, takes any output since for an answer, and gives up after
# HEALTH_CHECK_TIMEOUT, 20 s. With this variable set to false `/health` answers at once, where the
# server is up. srt/utils/auth.py: no route that begins so wants a key; `/ping` does.
PROBES: Final = ProbePaths(
    generates="/health_generate", answers="/health", joined="/health", answer_seconds=20
)
_CHEAP_HEALTH: Final = "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"
# Set here for an orchestrator: where the launcher itself watches a server, they mean nothing.
CONTAINER_VARIABLES: Final = frozenset({_CHEAP_HEALTH, HOST_VARIABLE})


def container_launch(
    config: ServerConfig, *, keys_file: str | None, group: MachineGroup | None = None
) -> ContainerLaunch:
    """Turn a configuration into what a container runs.

    Args:
        config: what to serve; on GPUs.
        keys_file: path inside of the container of the file of keys; None where there is no key.
        group: the machines that serve it together; None for one alone.
    """
    target = CommandTarget(_PYTHON, (), secrets_file=None if keys_file is None else Path(keys_file))
    # Which machine it is, the orchestrator says.
    alone = {"host": _EVERYWHERE, "nnodes": 1, "node_rank": 0}
    command = build_command(config.model_copy(update=alone), target)
    kept = {
        name: value
        for name, value in command.environment.items()
        if name not in SET_ALWAYS and not name.startswith(LAUNCHER_PREFIX)
    }
    environment: Mapping[str, str] = MappingProxyType({**kept, _CHEAP_HEALTH: "false"})
    return ContainerLaunch(
        program=(_PYTHON, "-m", MODULE),
        arguments=(*command.server_arguments, *(_group_arguments(group) if group else ())),
        environment=environment,
        host_variable=HOST_VARIABLE,
        interface_variables=INTERFACE_VARIABLES,
        keys_option=CONFIG_FLAG,
        is_offline=not any(map(names_repository, config.extra_args)),
    )


def draft_revision(config: ServerConfig) -> str | None:
    """The revision of the draft model's repository that `extra_args` names."""
    return dict(options_of(config.extra_args)).get(_DRAFT_REVISION) or None


def with_draft_revision(config: ServerConfig, revision: str) -> ServerConfig:
    """The configuration with that argument."""
    return config.model_copy(update={"extra_args": (*config.extra_args, _DRAFT_REVISION, revision)})


def is_keys_file(path: str) -> bool:
    """Whether a file is one of keys alone, by the name that an exported manifest gives it."""
    return PurePosixPath(path).name == KEYS_NAME


def _group_arguments(group: MachineGroup) -> tuple[str, ...]:
    """Source: sglang 0.5.23, srt/arg_groups/fields/parallel.py."""
    return (
        *("--nnodes", str(group.size), "--node-rank", group.rank),
        *("--dist-init-addr", group.address, "--dist-timeout", str(group.timeout_seconds)),
    )
