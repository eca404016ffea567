"""All that a preflight asks of the engine: the command, and what it cannot do here."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from launcher.config.ranks import check_ranks_on_cpu
from launcher.config.server_config import ServerConfig
from launcher.engines.engine import Engine
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.select import version_of
from launcher.errors import (
    EngineMissingError,
    InvalidValueError,
    SpeculationError,
    UnsupportedSystemError,
)
from launcher.models.folder import check_model_folder
from launcher.preflight.facts import ServedModels, ServingFacts
from launcher.system.hardware import Gpu


def make_command(
    facts: ServingFacts,
    models: ServedModels,
    secrets_file: Path,
    gpus: tuple[Gpu, ...] | None = None,
) -> Command:
    """The command, compared with the engine's own command line; needs no engine.

    Args:
        facts: what to serve, and on what.
        models: the folders that its repository ids stand for.
        secrets_file: where the keys will be.
        gpus: where it is served; None: on those that would be chosen now.

    Raises:
        UnknownFlagError, SecretInArgumentsError, ConfigError: see `Engine.check_command` and
            `check_ranks_on_cpu`.
        InvalidValueError: several machines are to serve together, and there is no way to them.
        EngineBrokenError: the installed version is not the verified one, and cannot be asked.
    """
    engine, config = facts.engine, facts.config
    check_ranks_on_cpu(config)
    variables = {**os.environ, **config.variables}
    target = CommandTarget(
        python=str(engine.interpreter),
        cpus=facts.hardware.cpus,
        gpus=facts.gpus if gpus is None else gpus,
        secrets_file=secrets_file,
        python_path=os.environ.get("PYTHONPATH", ""),
        no_proxy=_no_proxy(variables),
        network=facts.network,
    )
    command = engine.make_command(models.put_into(config), target)
    engine.check_command(command, config, version_of(engine))
    return command


def check_engine(facts: ServingFacts) -> str:
    """The version of the engine, where it is here and runs what is asked for on this machine.

    Raises:
        UnsupportedSystemError, EngineMissingError: it does not run here, or it or a package that
            an option needs is not installed.
        InvalidValueError: a variable of the engine's has a value that it cannot read.
        SpeculationError: it was not seen to speculate so without a GPU.
        ModelNotFoundError, ModelIncompleteError: the draft model's folder is not whole.
    """
    if sys.platform != "linux":
        raise UnsupportedSystemError(
            f"The engine runs on Linux, and this is {platform.system()}.",
            action="Start the server on a Linux machine; the client works from here: set "
            "SPECSERVE_BASE_URL.",
        )
    version = facts.engine_version
    missing = facts.engine.missing_package(facts.config)
    if missing is not None:
        problem, package = missing
        raise EngineMissingError(
            problem, action=f"Install it, `uv pip install '{package}'`, or leave that option out."
        )
    misread = facts.engine.misread_variable({**os.environ, **facts.config.variables})
    if misread is not None:
        variable, wanted = misread
        raise InvalidValueError(
            f"The environment variable {variable} is set, and {facts.engine.name} cannot read its "
            f"value: it takes {wanted}. It would go on with its default.",
            action=f"Set {variable} to what it takes, or unset it.",
        )
    if not facts.on_gpu and facts.config.speculative_algorithm is not None:
        _check_speculation_on_cpu(facts.engine, facts.config)
    return version


def _check_speculation_on_cpu(engine: Engine, config: ServerConfig) -> None:
    draft, architecture = config.speculative_draft_model_path, None
    if draft is not None and Path(draft).is_absolute():
        architectures = check_model_folder(Path(draft)).config.get("architectures") or [None]
        architecture = architectures[0]
    reason = engine.refuse_speculation(config, architecture)
    if reason is not None:
        raise SpeculationError(
            reason, action="Use --speculative-algorithm EAGLE, or --no-speculation."
        )


def _no_proxy(environment: Mapping[str, str]) -> str | None:
    """The hosts that go round the caller's proxies, or None where there are no proxies."""
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    if not any(environment.get(name) or environment.get(name.upper()) for name in proxies):
        return None
    return environment.get("no_proxy") or environment.get("NO_PROXY") or ""
