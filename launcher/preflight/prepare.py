"""Everything that can be known before a process is started, cheapest first. Starts nothing."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from launcher.config.gpus import chosen_gpus
from launcher.config.keys import read_keys
from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command, Launch, history_key
from launcher.engines.sglang.command import build_command, check_arguments
from launcher.engines.sglang.flags import load_flag_table
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.engines.sglang.version import (
    PINNED_SGLANG,
    installed_sglang_version,
    installed_versions,
)
from launcher.errors import (
    EngineMissingError,
    UnsupportedSystemError,
)
from launcher.memory.report import PlannedMemory
from launcher.models.download.hub import Hub
from launcher.models.download.pull import ensure_model
from launcher.models.download.request import OnPullEvent, PullRequest, ignore
from launcher.models.store import LocalModel, find_in_cache
from launcher.preflight.checks import (
    _check_folder,
    _check_hashes,
    _check_shared_memory,
    _check_speculation_on_cpu,
    check_gpus,
)
from launcher.preflight.fit import _checked_plan
from launcher.state.record import RunRecord
from launcher.system.hardware import Hardware, read_cpu_model
from launcher.system.ports import check_port_is_free


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The folders of the models that a configuration names by repository ids.

    SGLang gets the folder of the commit, not id and revision: then it cannot ask the hub, cannot
    fetch anything else, and the draft model is pinned as well.
    """

    target: LocalModel | None = None
    draft: LocalModel | None = None

    def put_into(self, config: ServerConfig) -> ServerConfig:
        """The configuration with folders for ids."""
        folders: dict[str, str | None] = {}
        if self.target is not None:
            folders |= {"model_path": str(self.target.folder), "revision": None}
        if self.draft is not None:
            folders |= {"speculative_draft_model_path": str(self.draft.folder)}
        return config.model_copy(update=folders)


def plan_command(
    config: ServerConfig,
    hardware: Hardware,
    *,
    secrets_file: Path,
    models: ServedModels | None = None,
) -> Command:
    """The command for a configuration, held against SGLang's parser; needs no engine.

    Args:
        config: what to serve.
        hardware: on what.
        secrets_file: where the keys will be.
        models: the folders that its repository ids stand for; None: those that are here, and the
            ids themselves for those that are not.

    Raises:
        UnknownFlagError, SecretInArgumentsError, ConfigError: see `check_arguments`.
        EngineBrokenError: the installed SGLang is not the pinned one and cannot be asked.
    """
    command = build_command(
        (models or _models_here(config)).put_into(config),
        python=sys.executable,
        cpus=hardware.cpus,
        upstream_cpu_kernels=cpu_settings.upstream_kernels_installed(),
        python_path=os.environ.get("PYTHONPATH", ""),
        gpus=chosen_gpus(config, hardware),
        secrets_file=secrets_file,
    )
    try:
        version = installed_sglang_version()
    except EngineMissingError:
        version = PINNED_SGLANG
    check_arguments(command, config.extra_args, load_flag_table(version))
    return command


def prepare(
    config: ServerConfig,
    hardware: Hardware,
    *,
    secrets_file: Path,
    detached: bool,
    report: OnPullEvent = ignore,
    commit: str | None = None,
) -> Launch:
    """Check the machine and the configuration against each other; download the model at last.

    Args:
        config: what to serve.
        hardware: on what.
        secrets_file: where the keys will be.
        detached: whether it shall outlive its terminal.
        report: told of each event of a download.
        commit: serve this one of the repository, as a former run did; None: what the
            configuration says.

    Raises:
        UnsupportedSystemError, EngineMissingError, SpeculationError, NoGpuError,
        ModelNotFoundError, ModelIncompleteError, InsufficientMemoryError, PortInUseError,
        InvalidValueError, what `plan_command` raises, and what a download does.
    """
    if sys.platform != "linux":
        raise UnsupportedSystemError(
            f"The engine runs on Linux, and this is {platform.system()}.",
            action="Start the server on a Linux machine; the client works from here: set "
            "SPECSERVE_BASE_URL.",
        )
    installed_sglang_version()
    if config.device == "cpu":
        _check_speculation_on_cpu(config)
    keys = read_keys(config, os.environ)
    # Twice: a wrong argument is found before anything is downloaded.
    plan_command(config, hardware, secrets_file=secrets_file)
    check_port_is_free(config.host, config.port)
    if config.device == "cuda":
        check_gpus(config, hardware)
    _check_shared_memory(config)
    if not config.is_repository:
        _check_folder(config, hardware, Path(config.model_path))
    # Before a download: what does not fit need not be here.
    plan = _checked_plan(config, hardware)
    models = _fetch_models(config, report, commit)
    folder = models.target.folder if models.target else Path(config.model_path)
    if models.target is not None:
        _check_folder(config, hardware, folder)
        plan = plan or _checked_plan(models.put_into(config), hardware)
    _check_hashes(config, folder)
    return Launch(
        config,
        plan_command(config, hardware, secrets_file=secrets_file, models=models),
        keys,
        installed_versions(),
        detached,
        history_key=_history_key(config, hardware, installed_sglang_version()),
        model_commit=models.target.commit if models.target else None,
        planned=PlannedMemory.of(plan) if plan else None,
    )


def prepare_adoption(record: RunRecord, hardware: Hardware, *, detached: bool) -> Launch:
    """What a supervisor needs to take over a server that runs, and to start it again some day.

    Raises:
        StateError: another version of this project wrote the record.
        InvalidValueError: the key file is no longer what it was.
    """
    config = record.read_config()
    return Launch(
        config,
        Command(record.command, record.environment),
        read_keys(config, os.environ),
        record.versions,
        detached,
        history_key=_history_key(config, hardware, record.versions.get("sglang", PINNED_SGLANG)),
        model_commit=record.model_commit,
    )


def _history_key(config: ServerConfig, hardware: Hardware, engine_version: str) -> str:
    return history_key(
        config,
        gpu_names=[gpu.name for gpu in hardware.gpus],
        cpu_model=read_cpu_model(),
        cpus=len(hardware.cpus),
        engine_version=engine_version,
    )


def _models_here(config: ServerConfig) -> ServedModels:
    """Those that are here and whole. Asks nobody."""
    target = draft = None
    if config.is_repository:
        target = find_in_cache(config.model_path, config.revision)
    if (repository := config.draft_repository) is not None:
        draft = find_in_cache(repository, None)
    whole = [model if model and model.missing is None else None for model in (target, draft)]
    return ServedModels(*whole)


def _fetch_models(config: ServerConfig, report: OnPullEvent, commit: str | None) -> ServedModels:
    def fetch(repository: str, revision: str | None) -> LocalModel:
        request = PullRequest(repository, revision)
        return ensure_model(request, Hub(), report, by_hash=config.verify_model)

    target = draft = None
    if config.is_repository:
        target = fetch(config.model_path, commit or config.revision)
    if (repository := config.draft_repository) is not None:
        draft = fetch(repository, None)
    return ServedModels(target, draft)
