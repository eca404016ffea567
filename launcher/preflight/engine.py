"""All that a preflight asks of SGLang: the command, whether it takes it, what it cannot do here."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from launcher.engines.launch import Command
from launcher.engines.sglang.command import build_command, check_arguments
from launcher.engines.sglang.flags import load_flag_table
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.engines.sglang.version import PINNED_SGLANG
from launcher.errors import EngineMissingError, SpeculationError, UnsupportedSystemError
from launcher.models.folder import check_model_folder
from launcher.preflight.facts import ServedModels, ServingFacts


def make_command(facts: ServingFacts, models: ServedModels, secrets_file: Path) -> Command:
    """The command, held against SGLang's parser; needs no engine.

    Args:
        facts: what to serve, and on what.
        models: the folders that its repository ids stand for.
        secrets_file: where the keys will be.

    Raises:
        UnknownFlagError, SecretInArgumentsError, ConfigError: see `check_arguments`.
        EngineBrokenError: the installed SGLang is not the pinned one and cannot be asked.
    """
    command = build_command(
        models.put_into(facts.config),
        python=sys.executable,
        cpus=facts.hardware.cpus,
        upstream_cpu_kernels=cpu_settings.upstream_kernels_installed(),
        python_path=os.environ.get("PYTHONPATH", ""),
        gpus=facts.gpus,
        secrets_file=secrets_file,
    )
    try:
        version = facts.engine_version
    except EngineMissingError:
        version = PINNED_SGLANG
    check_arguments(command, facts.config.extra_args, load_flag_table(version))
    return command


def check_engine(facts: ServingFacts) -> str:
    """The version of SGLang, where it is here and runs what is asked for on this machine.

    Raises:
        UnsupportedSystemError, EngineMissingError: it does not run here, or is not installed.
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
    if not facts.on_gpu and facts.config.speculative_algorithm is not None:
        _check_speculation_on_cpu(
            facts.config.speculative_algorithm, facts.config.speculative_draft_model_path
        )
    return version


def _check_speculation_on_cpu(algorithm: str, draft: str | None) -> None:
    architecture = None
    if draft is not None and Path(draft).is_absolute():
        architectures = check_model_folder(Path(draft)).config.get("architectures") or [None]
        architecture = architectures[0]
    reason = cpu_settings.refuse_reason(algorithm, architecture)
    if reason is not None:
        raise SpeculationError(
            reason, action="Use --speculative-algorithm EAGLE, or --no-speculation."
        )
