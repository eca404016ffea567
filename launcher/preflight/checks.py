"""What stands in the way of serving a configuration on this machine, check by check."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from launcher.config.gateway_config import GatewayConfig
from launcher.config.keys import read_keys
from launcher.config.presets import describe_gpus, needs_gpus
from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.errors import InsufficientMemoryError, NoGpuError
from launcher.memory.advice import nearest_changes
from launcher.memory.host import planned_host_bytes, unplanned_host_bytes
from launcher.memory.plan import MemoryPlan, Verdict, describe_shortage
from launcher.memory.report import PlannedMemory
from launcher.models.download.request import PullRequest, ignore
from launcher.models.download.verify import verify
from launcher.models.folder import check_model_folder
from launcher.models.hashes import blobs_of, check_hashes, memory_file
from launcher.models.store import read_record
from launcher.preflight.facts import ServedModels, ServingFacts, check_engine_runs
from launcher.preflight.limits import check_limits, check_temporary_folder
from launcher.system import shared_memory
from launcher.system.hardware import MIB, free_disk_bytes
from launcher.system.ports import check_port_is_free
from launcher.text import human_bytes

# Of /dev/shm. Each group of ranks has a queue of 24 MiB in it, measured with two ranks on a CPU
# (sglang, srt/distributed/device_communicators/shm_broadcast.py); NCCL may want more.
RANKS_SHARED_BYTES: Final = 32 * MIB
SHARED_BYTES: Final = 1 * MIB


def check_machine(facts: ServingFacts) -> None:
    """Hold limits, port, GPUs and shared memory, as they are now, against what is asked for.

    Raises:
        ResourceLimitError: see `check_limits` and `check_temporary_folder`.
        PortInUseError, InvalidValueError: nobody can listen at that address.
        NoGpuError: see `check_gpus`.
        InsufficientMemoryError: /dev/shm is too full, not there, or not to be written.
    """
    check_limits(facts)
    check_temporary_folder()
    check_port_is_free(facts.config.host, facts.config.port)
    if facts.on_gpu:
        check_gpus(facts)
    _check_shared_memory(facts.config)


def check_gateway_ports(config: GatewayConfig) -> None:
    """Hold the ports of a gateway against who listens now.

    Raises:
        PortInUseError, InvalidValueError: nobody can listen at that address.
    """
    check_port_is_free(config.host, config.port)
    check_port_is_free("127.0.0.1", config.metrics_port)


def check_model_here(facts: ServingFacts) -> None:
    """Hold what is known of the model before a download against the machine.

    Raises:
        ModelNotFoundError, ModelIncompleteError: a folder is not whole.
        UnservedModelError: the engine does not run it on this device.
        IndivisibleModelError: SGLang does not divide it among the ranks.
        InsufficientMemoryError: it does not fit.
    """
    if not facts.config.is_repository:
        _check_folder(facts)
    # What does not fit need not be here.
    _check_plan(facts.plan)


def check_fetched(facts: ServingFacts, models: ServedModels) -> PlannedMemory | None:
    """Hold the model that is served, all of it here by now, against machine and hashes.

    Args:
        facts: what was known before a download, all of which was checked.
        models: the repositories that were fetched.

    Returns:
        What the memory plan says, where there is one.

    Raises:
        ModelNotFoundError, ModelIncompleteError: its folder is not whole, or not what it was.
        UnservedModelError: the engine does not run it on this device.
        IndivisibleModelError: SGLang does not divide it among the ranks.
        InsufficientMemoryError: it does not fit.
    """
    plan = facts.plan
    if models.target is not None:
        facts = ServingFacts(models.put_into(facts.config), facts.hardware)
        _check_folder(facts)
        plan = plan or _check_plan(facts.plan)
    if facts.config.verify_model:
        _check_hashes(Path(facts.config.model_path))
    return PlannedMemory.of(plan) if plan else None


def check_files(config: ServerConfig) -> None:
    """What a restart has to find before it stops a server that works.

    Port, memory and GPUs are the server's own until then, so they are not looked at.

    Raises:
        ModelNotFoundError, ModelIncompleteError, InvalidValueError: the model or the key file is
            no longer what it was.
    """
    read_keys(config, os.environ)
    if not (config.is_repository or isinstance(config, GatewayConfig)):
        check_model_folder(Path(config.model_path))


def check_gpus(facts: ServingFacts) -> None:
    """Hold the GPUs that are here, and their room, against what is asked for.

    Raises:
        NoGpuError: too few, too old or too full; or two ranks would be on one.
    """
    ranks, hardware = ranks_of(facts.config), facts.hardware
    needed = max(ranks.gpu_ids) + 1
    if (named := facts.config.gpu_ids) is not None and len(facts.gpus) < needed:
        raise NoGpuError(
            f"{ranks.describe()} needs {needed} NVIDIA GPUs, and --gpu-ids {named} names "
            f"{len(facts.gpus)} that are here: {describe_gpus(hardware)}.",
            action="Name as many as it needs, each once: `nvidia-smi -L` lists them.",
        )
    if len(hardware.gpus) < needed:
        raise NoGpuError(
            f"{ranks.describe()} needs {needed} NVIDIA GPUs; here: {describe_gpus(hardware)}.",
            action="Use `--preset nano` to run on the CPU, or a machine with enough GPUs.",
        )
    if len(set(ranks.gpu_ids)) < ranks.count_here:
        raise NoGpuError(
            f"{ranks.describe()} puts two ranks on one GPU: SGLang counts the stages without the "
            "step.",
            action="Leave out --gpu-id-step, and name the GPUs with CUDA_VISIBLE_DEVICES.",
        )
    if facts.preset is not None and len(facts.gpus) < ranks.count_here:
        raise NoGpuError(
            f"Preset {facts.preset.name} {needs_gpus(facts.preset)}; "
            f"here: {describe_gpus(hardware)}.",
            action="Free the GPUs (`nvidia-smi` shows who uses them), or use `--preset nano`.",
        )


def shared_bytes_needed(config: ServerConfig) -> int:
    """What a server takes of /dev/shm at the least, in bytes."""
    ranks = ranks_of(config)
    of_a_copy = RANKS_SHARED_BYTES if ranks.count > ranks.replicas else SHARED_BYTES
    return ranks.replicas * of_a_copy


def host_bytes_needed(facts: ServingFacts, files_bytes: int) -> int:
    """What a server on the CPU takes of the host's memory, in bytes: by its plan, if there is one.

    Args:
        facts: what to serve, and on what.
        files_bytes: of the model's weights, for one that cannot be planned.

    Raises:
        IndivisibleModelError: see `ServingFacts.plan`.
    """
    if facts.plan is not None:
        return planned_host_bytes(facts.plan)
    wide = facts.config.dtype in {"float32", "float"}
    return unplanned_host_bytes(ranks_of(facts.config).count_here, files_bytes, wide=wide)


def _check_shared_memory(config: ServerConfig) -> None:
    if not (shared_memory.ROOT.is_dir() and os.access(shared_memory.ROOT, os.W_OK | os.X_OK)):
        raise InsufficientMemoryError(
            f"The server needs shared memory, and {shared_memory.ROOT} is not there or cannot be "
            "written.",
            action="Mount it, `mount -t tmpfs -o mode=1777 tmpfs /dev/shm`, or give the container "
            "one: `docker run --shm-size 16g`.",
        )
    needed = shared_bytes_needed(config)
    free = free_disk_bytes(shared_memory.ROOT)
    if free < needed:
        raise InsufficientMemoryError(
            f"The server needs about {human_bytes(needed)} of shared memory; {shared_memory.ROOT} "
            f"has {human_bytes(free)} free.",
            action="Enlarge it (`docker run --shm-size 16g`, `mount -o remount,size=16g /dev/shm`) "
            "or remove what is in it and nobody uses.",
        )


def _check_folder(facts: ServingFacts) -> None:
    folder = check_model_folder(Path(facts.config.model_path))
    # Of one without a plan, too.
    check_engine_runs(facts.engine, facts.config, folder.config)
    if facts.on_gpu:
        return
    needed = host_bytes_needed(facts, folder.weights_bytes)
    available = facts.hardware.available_memory_bytes
    if available < needed:
        raise InsufficientMemoryError(
            f"The server needs about {human_bytes(needed)} of memory; "
            f"{human_bytes(available)} are available.",
            action="Stop other programs, or lower --max-total-tokens or --tp-size.",
        )


def _check_plan(plan: MemoryPlan | None) -> MemoryPlan | None:
    """Refuse what would end in the engine's own error after minutes of loading: no KV cache."""
    if plan is not None and plan.verdict is Verdict.DOES_NOT_FIT:
        changes = nearest_changes(plan)
        raise InsufficientMemoryError(
            f"{plan.model} does not fit: {describe_shortage(plan)}",
            action=f"Use {changes[0].what}: {changes[0].flags}."
            if changes
            else "`python -m launcher plan` shows the sum; use a smaller model or more GPUs.",
            evidence=tuple(f"{line.label}: {human_bytes(line.size_bytes)}" for line in plan.lines),
        )
    return plan


def _check_hashes(folder: Path) -> None:
    check_hashes(blobs_of(folder), memory_file())
    record = read_record(folder)
    if record is not None and not record.in_cache:
        # What `pull` was told by the hub when it filled a plain folder.
        verify(PullRequest(record.repository, None, folder), None, ignore, reread=False)
