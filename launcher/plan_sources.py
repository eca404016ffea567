"""From a configuration and a machine to what `launcher.memory_plan` plans with. Reads files.

A model's shape comes from its `config.json`: in the folder, in the hub's cache, or from the hub;
for the GLM-4.5 to 4.7 families it ships with the launcher, and nothing is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from launcher.config import STEPWISE_ALGORITHMS, ServerConfig
from launcher.errors import ModelNotFoundError, NoGpuError, UnknownShapeError
from launcher.hardware import Gpu, Hardware
from launcher.known_shapes import find_known_shape
from launcher.memory_plan import Device, KvType, MemoryPlan, Settings, plan_memory
from launcher.model_folder import INDEX_NAME
from launcher.model_shape import ModelShape, WeightType, read_shape
from launcher.presets import describe_gpus

_WEIGHT_TYPES: Final[dict[str, WeightType]] = {
    "float32": "float32",
    "float": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
}


@dataclass(frozen=True, slots=True)
class FoundShape:
    """A model's shape and where it was read; `on_disk_bytes` where the tensors' size is known."""

    name: str
    shape: ModelShape
    source: str
    on_disk_bytes: int | None = None


def plan_config(
    config: ServerConfig, hardware: Hardware, gpus: tuple[Gpu, ...], *, found: FoundShape
) -> MemoryPlan:
    """Plan one configuration on one machine.

    Args:
        config: what to serve.
        hardware: the machine; of it the memory of the host, where the model runs there.
        gpus: those that it would run on, one for each rank; empty on a CPU.
        found: the model.

    Raises:
        NoGpuError: there are fewer GPUs than ranks.
        UnknownShapeError: the draft model's memory cannot be added up.
    """
    return plan_memory(
        found.name,
        found.shape,
        _device(config, hardware, gpus),
        _settings(config, found),
    )


def find_shape(model: str, *, revision: str | None = None) -> FoundShape:
    """The shape of a model by folder or repository id.

    Raises:
        ModelNotFoundError: no folder, or neither the cache nor the hub has its config.json.
        UnknownShapeError: its memory cannot be added up.
    """
    folder = Path(model)
    if folder.is_absolute():
        return _from_folder(folder, name=folder.name)
    if known := find_known_shape(model):
        return FoundShape(*known, source="shipped with the launcher")
    return _from_hub(model, revision)


def find_shape_here(model: str, *, revision: str | None = None) -> FoundShape | None:
    """As `find_shape`, without the network; None where the shape is not here or not known."""
    try:
        if Path(model).is_absolute() or find_known_shape(model):
            return find_shape(model)
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

        file = try_to_load_from_cache(model, "config.json", revision=revision)
        return _from_folder(Path(file).parent, name=model) if isinstance(file, str) else None
    except (ModelNotFoundError, UnknownShapeError):
        return None


def _from_folder(folder: Path, *, name: str) -> FoundShape:
    file = folder / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ModelNotFoundError(
            f"{file} cannot be read: {why}.",
            action="Name a model folder, or a repository id of the form OWNER/NAME.",
        ) from error
    shape = read_shape(_mapping(content), name=name)
    return FoundShape(name, shape, str(file), _on_disk_bytes(folder))


def _mapping(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _on_disk_bytes(folder: Path) -> int | None:
    """Bytes of the tensors by the index, else of the safetensors files; None without weights."""
    try:
        index = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        return int(index["metadata"]["total_size"])
    except (OSError, ValueError, KeyError, TypeError):
        sizes = [file.stat().st_size for file in folder.glob("*.safetensors")]
        return sum(sizes) or None


def _from_hub(repository: str, revision: str | None) -> FoundShape:
    # Imported here: this takes longer than all else that a plan does.
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    try:
        file = hf_hub_download(repository, "config.json", revision=revision)
    # Whatever the client raises, the answer is the same: there is no config.json to read.
    except Exception as error:
        raise ModelNotFoundError(
            f"The config.json of {repository} is neither here nor to be had from the hub: "
            f"{type(error).__name__}.",
            action="Check the name and the network, or name a model folder.",
            evidence=tuple(str(error).strip().splitlines()[:3]),
        ) from error
    found = _from_folder(Path(file).parent, name=repository)
    return FoundShape(repository, found.shape, f"{repository} on the hub", None)


def _device(config: ServerConfig, hardware: Hardware, gpus: tuple[Gpu, ...]) -> Device:
    if config.device == "cpu":
        free = hardware.available_memory_bytes
        return Device("cpu", "CPU", free, free)
    if len(gpus) < config.tp_size:
        raise NoGpuError(
            f"Tensor parallel size {config.tp_size} needs {config.tp_size} GPUs, and there are "
            f"{len(gpus)} to plan with; here: {describe_gpus(hardware)}.",
            action="Plan for another machine with `--gpus 2xH100-80GB`, or set --tp-size.",
        )
    least = min(gpus[: config.tp_size], key=lambda gpu: gpu.free_bytes)
    return Device("cuda", least.name, least.total_bytes, least.free_bytes, least.compute_capability)


def _settings(config: ServerConfig, found: FoundShape) -> Settings:
    draft_layers, draft = _draft(config, found)
    weight_type = _WEIGHT_TYPES.get(config.dtype)
    return Settings(
        tp_size=config.tp_size,
        mem_fraction_static=config.mem_fraction_static,
        weight_type=weight_type,
        kv_type=_kv_type(config),
        draft_layers=draft_layers,
        draft=draft,
        context_length_tokens=config.context_length,
        max_running_requests=config.max_running_requests,
        max_total_tokens=config.max_total_tokens,
    )


def _kv_type(config: ServerConfig) -> KvType | None:
    return None if config.kv_cache_dtype == "auto" else config.kv_cache_dtype


def _draft(config: ServerConfig, found: FoundShape) -> tuple[int, ModelShape | None]:
    """Layers of the draft model, and its shape where it is a model of its own.

    Raises:
        UnknownShapeError: the algorithm's memory cannot be added up.
    """
    algorithm = config.speculative_algorithm
    if algorithm in (None, "NGRAM"):
        return 0, None
    path = config.speculative_draft_model_path
    if algorithm not in STEPWISE_ALGORITHMS:
        raise UnknownShapeError(
            f"The memory that {algorithm} takes cannot be planned.",
            action="Plan it with --no-speculation, and leave room for the draft model.",
        )
    if path is None or path == config.model_path:
        if not found.shape.nextn_layers:
            raise UnknownShapeError(
                f"{found.name} has no NextN layer to draft with, and no draft model is named.",
                action="Name one with --speculative-draft-model-path, or use --no-speculation.",
            )
        return found.shape.nextn_layers, None
    draft = find_shape(path).shape
    return draft.layers, draft
