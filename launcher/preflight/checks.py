"""What stands in the way of serving a configuration on this machine, check by check."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from launcher.config.gpus import chosen_gpus, needs_known
from launcher.config.keys import read_keys
from launcher.config.presets import PRESETS, describe_gpus, needs_gpus
from launcher.config.server_config import ServerConfig
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.errors import (
    InsufficientMemoryError,
    NoGpuError,
    SpeculationError,
)
from launcher.models.download.request import PullRequest, ignore
from launcher.models.download.verify import verify
from launcher.models.folder import ModelFolder, check_model_folder
from launcher.models.hashes import blobs_of, check_hashes, memory_file
from launcher.models.store import read_record
from launcher.system import shared_memory
from launcher.system.hardware import GIB, MIB, Hardware, free_disk_bytes
from launcher.text import human_bytes

# All processes of a CPU server without its model, and what each rank after the first adds: see
# launcher/engines/sglang/plugins/cpu/README.md, "Memory".
ENGINE_HOST_BYTES: Final = int(2.4 * GIB)


FURTHER_RANK_HOST_BYTES: Final = int(0.7 * GIB)


# Of /dev/shm. Each group of ranks has a queue of 24 MiB in it, measured with two ranks on a CPU
# (sglang 0.5.23, srt/distributed/device_communicators/shm_broadcast.py); NCCL may want more.
RANKS_SHARED_BYTES: Final = 32 * MIB


SHARED_BYTES: Final = 1 * MIB


def _check_folder(config: ServerConfig, hardware: Hardware, path: Path) -> None:
    folder = check_model_folder(path)
    if config.device == "cpu":
        _check_memory(config, hardware, folder)


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
