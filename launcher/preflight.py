"""Everything that can be known before a process is started, cheapest first. Starts nothing."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.config.gpus import chosen_gpus, needs_known
from launcher.config.keys import read_keys
from launcher.config.presets import PRESETS, describe_gpus, needs_gpus
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
    InsufficientMemoryError,
    ModelNotFoundError,
    NoGpuError,
    SpeculationError,
    UnknownShapeError,
    UnsupportedSystemError,
)
from launcher.memory.advice import nearest_changes
from launcher.memory.plan import MemoryPlan, Verdict, describe_shortage
from launcher.memory.report import PlannedMemory
from launcher.models.download.hub import Hub
from launcher.models.download.pull import ensure_model
from launcher.models.download.request import PullRequest, Report, ignore
from launcher.models.download.verify import verify
from launcher.models.folder import ModelFolder, check_model_folder
from launcher.models.hashes import blobs_of, check_hashes, memory_file
from launcher.models.store import LocalModel, find_in_cache, read_record
from launcher.plan_sources import find_shape_here, plan_config
from launcher.state.record import RunRecord
from launcher.system import shared_memory
from launcher.system.hardware import GIB, MIB, Hardware, free_disk_bytes, read_cpu_model
from launcher.system.ports import check_port_is_free
from launcher.text import human_bytes

# All processes of a CPU server without its model, and what each rank after the first adds: see
# launcher/engines/sglang/plugins/cpu/README.md, "Memory".
ENGINE_HOST_BYTES: Final = int(2.4 * GIB)
FURTHER_RANK_HOST_BYTES: Final = int(0.7 * GIB)
# Of /dev/shm. Each group of ranks has a queue of 24 MiB in it, measured with two ranks on a CPU
# (sglang 0.5.23, srt/distributed/device_communicators/shm_broadcast.py); NCCL may want more.
RANKS_SHARED_BYTES: Final = 32 * MIB
SHARED_BYTES: Final = 1 * MIB


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
    report: Report = ignore,
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


def plan_for(config: ServerConfig, hardware: Hardware) -> MemoryPlan | None:
    """The memory plan of what is to be served, or None where it cannot be planned from here.

    What cannot be planned may well be served: another architecture, or a model whose config.json
    is still on the hub.
    """
    found = find_shape_here(config.model_path, revision=config.revision)
    if found is None:
        return None
    gpus = chosen_gpus(config, hardware) or hardware.gpus
    try:
        return plan_config(config, hardware, gpus, found=found)
    except (NoGpuError, ModelNotFoundError, UnknownShapeError):
        return None


def _checked_plan(config: ServerConfig, hardware: Hardware) -> MemoryPlan | None:
    plan = plan_for(config, hardware)
    if plan is not None:
        check_plan(plan)
    return plan


def _check_folder(config: ServerConfig, hardware: Hardware, path: Path) -> None:
    folder = check_model_folder(path)
    if config.device == "cpu":
        _check_memory(config, hardware, folder)


def check_plan(plan: MemoryPlan) -> None:
    """Refuse what would end in SGLang's own error after minutes of loading.

    Raises:
        InsufficientMemoryError: no token of KV cache is left.
    """
    if plan.verdict is Verdict.DOES_NOT_FIT:
        changes = nearest_changes(plan)
        raise InsufficientMemoryError(
            f"{plan.model} does not fit: {describe_shortage(plan)}",
            action=f"Use {changes[0].what}: {changes[0].flags}."
            if changes
            else "`python -m launcher plan` shows the sum; use a smaller model or more GPUs.",
            evidence=tuple(f"{line.label}: {human_bytes(line.size_bytes)}" for line in plan.lines),
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


def check_files(config: ServerConfig) -> None:
    """What a restart has to find before it stops a server that works.

    Port, memory and GPUs are the server's own until then, so they are not looked at.

    Raises:
        ModelNotFoundError, ModelIncompleteError, InvalidValueError: the model or the key file is
            no longer what it was.
    """
    read_keys(config, os.environ)
    if not config.is_repository:
        check_model_folder(Path(config.model_path))


def _models_here(config: ServerConfig) -> ServedModels:
    """Those that are here and whole. Asks nobody."""
    target = draft = None
    if config.is_repository:
        target = find_in_cache(config.model_path, config.revision)
    if (repository := config.draft_repository) is not None:
        draft = find_in_cache(repository, None)
    whole = [model if model and model.missing is None else None for model in (target, draft)]
    return ServedModels(*whole)


def _fetch_models(config: ServerConfig, report: Report, commit: str | None) -> ServedModels:
    def fetch(repository: str, revision: str | None) -> LocalModel:
        request = PullRequest(repository, revision)
        return ensure_model(request, Hub(), report, by_hash=config.verify_model)

    target = draft = None
    if config.is_repository:
        target = fetch(config.model_path, commit or config.revision)
    if (repository := config.draft_repository) is not None:
        draft = fetch(repository, None)
    return ServedModels(target, draft)


def _check_speculation_on_cpu(config: ServerConfig) -> None:
    if config.speculative_algorithm is None:
        return
    draft = config.speculative_draft_model_path
    architecture = None
    if draft is not None and Path(draft).is_absolute():
        architectures = check_model_folder(Path(draft)).config.get("architectures") or [None]
        architecture = architectures[0]
    reason = cpu_settings.refuse_reason(config.speculative_algorithm, architecture)
    if reason is not None:
        raise SpeculationError(
            reason, action="Use --speculative-algorithm EAGLE, or --no-speculation."
        )


def check_gpus(config: ServerConfig, hardware: Hardware) -> None:
    """Hold the GPUs that are here, and their room, against what is asked for.

    Raises:
        NoGpuError: too few, too old or too full.
    """
    preset = PRESETS.get(config.preset)
    if len(hardware.gpus) < config.tp_size:
        raise NoGpuError(
            f"Tensor parallel size {config.tp_size} needs {config.tp_size} NVIDIA GPUs; "
            f"here: {describe_gpus(hardware)}.",
            action="Use `--preset nano` to run on the CPU, or a machine with enough GPUs.",
        )
    if preset is None or not needs_known(config, preset):
        return
    if len(chosen_gpus(config, hardware)) < config.tp_size:
        raise NoGpuError(
            f"Preset {preset.name} {needs_gpus(preset)}; here: {describe_gpus(hardware)}.",
            action="Free the GPUs (`nvidia-smi` shows who uses them), or use `--preset nano`.",
        )


def _check_hashes(config: ServerConfig, folder: Path) -> None:
    if not config.verify_model:
        return
    check_hashes(blobs_of(folder), memory_file())
    record = read_record(folder)
    if record is not None and not record.in_cache:
        # What `pull` was told by the hub when it filled a plain folder.
        verify(PullRequest(record.repository, None, folder), None, ignore, reread=False)


def shared_bytes_needed(config: ServerConfig) -> int:
    """What a server takes of /dev/shm at the least, in bytes."""
    return RANKS_SHARED_BYTES if config.tp_size > 1 else SHARED_BYTES


def _check_shared_memory(config: ServerConfig) -> None:
    needed = shared_bytes_needed(config)
    free = free_disk_bytes(shared_memory.ROOT)
    if free < needed:
        raise InsufficientMemoryError(
            f"The server needs about {human_bytes(needed)} of shared memory; {shared_memory.ROOT} "
            f"has {human_bytes(free)} free.",
            action="Enlarge it (`docker run --shm-size 16g`, `mount -o remount,size=16g /dev/shm`) "
            "or remove what is in it and nobody uses.",
        )


def host_bytes_needed(config: ServerConfig, folder: ModelFolder) -> int:
    """What a server on the CPU takes of the host's memory, in bytes.

    Formula: engine + further ranks + weights x widening + KV-cache tokens x 2 x layers x KV heads
    x head size x bytes, with one draft layer more under speculation.
    """
    # Files hold 16-bit weights; float32 doubles them, and the KV cache has the same type.
    wide = config.dtype in {"float32", "float"}
    shape = folder.config
    layers = shape.get("num_hidden_layers", 0) + (config.speculative_algorithm is not None)
    row: int = 2 * layers * shape.get("num_key_value_heads", 0) * shape.get("head_dim", 0)
    return (
        ENGINE_HOST_BYTES
        + (config.tp_size - 1) * FURTHER_RANK_HOST_BYTES
        + folder.weights_bytes * (2 if wide else 1)
        + (config.max_total_tokens or 0) * row * (4 if wide else 2)
    )


def _check_memory(config: ServerConfig, hardware: Hardware, folder: ModelFolder) -> None:
    needed = host_bytes_needed(config, folder)
    if hardware.available_memory_bytes < needed:
        raise InsufficientMemoryError(
            f"The server needs about {human_bytes(needed)} of memory; "
            f"{human_bytes(hardware.available_memory_bytes)} are available.",
            action="Stop other programs, or lower --max-total-tokens or --tp-size.",
        )
