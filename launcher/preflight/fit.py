"""From a configuration and a machine to what `launcher.memory.plan` plans with. Reads files.

A model's shape comes from its `config.json`: in the folder, in the hub's cache, or from the hub;
for the GLM-4.5 to 4.7 families it ships with the launcher, and nothing is read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from launcher.config.fields.together import STEPWISE_ALGORITHMS
from launcher.config.gpus import used_gpus
from launcher.config.presets import describe_gpus
from launcher.config.ranks import check_ranks_on_cpu, ranks_of
from launcher.config.server_config import ServerConfig
from launcher.engines.engine import ModelEngine
from launcher.engines.select import model_engine_of
from launcher.errors import (
    HubAnswerError,
    HubUnreachableError,
    ModelNotFoundError,
    NoGpuError,
    UnknownShapeError,
)
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan
from launcher.memory.shape import ModelShape, WeightType
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.shapes.known_shapes import find_known_shape
from launcher.memory.weights import KvType
from launcher.models.download.hub import Hub
from launcher.models.download.request import PullRequest, not_here
from launcher.models.download.retries import TransientError
from launcher.models.files import RemoteFile
from launcher.models.folder import INDEX_NAME, LARGEST_JSON_BYTES
from launcher.models.store import LocalModel, find_in_cache, is_offline
from launcher.preflight.division import check_division
from launcher.system.foreign import parse_json, read_foreign
from launcher.system.hardware import Gpu, Hardware
from launcher.text import human_bytes

CONFIG_NAME: Final = "config.json"
# Their data takes half a byte; layouts of scales and a workspace for prefill hang on the backends
# that SGLang chooses: layers/quantization/fp4_kv_cache_quant_method.py, `compute_cell_size`.
_UNCOUNTED_KV_TYPES: Final = frozenset({"nvfp4", "fp4_mx_block16"})
_KV_TYPES: Final[Mapping[str, KvType]] = {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp8_e4m3": "fp8_e4m3",
    "fp8_e5m2": "fp8_e5m2",
    "mxfp8": "mxfp8",
}
_WEIGHT_TYPES: Final[dict[str, WeightType]] = {
    "float32": "float32",
    "float": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
}


@dataclass(frozen=True, slots=True)
class FoundShape:
    """A model's shape and where it was read.

    Attributes:
        on_disk_bytes: of the tensors, where that is known.
        config: the content of its `config.json`, or the part of it that ships with the launcher.
    """

    name: str
    shape: ModelShape
    source: str
    on_disk_bytes: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def plan_config(
    config: ServerConfig, hardware: Hardware, gpus: tuple[Gpu, ...], *, found: FoundShape
) -> MemoryPlan:
    """Plan one configuration on one machine.

    Args:
        config: what to serve.
        hardware: the machine; of it the memory of the host, where the model runs there.
        gpus: those that CUDA would show, in its order; empty on a CPU.
        found: the model.

    Raises:
        ConfigError: see `check_ranks_on_cpu`.
        IndivisibleModelError: SGLang does not divide it, or its draft model, among the ranks.
        NoGpuError: there are fewer GPUs than ranks.
        UnknownShapeError: the draft model's memory cannot be added up, or an option of the engine
            changes what the weights or the KV cache take.
    """
    check_ranks_on_cpu(config)
    engine = model_engine_of(config)
    _check_countable(config, found, engine)
    check_division(config, engine.name, found.name, found.shape)
    device = _device(config, hardware, gpus)
    settings = engine.memory_settings(config, _settings(config, found))
    if settings.draft is not None:
        check_division(config, engine.name, "the draft model", settings.draft)
    return engine.plan_memory(found.name, found.shape, device, settings)


def _check_countable(config: ServerConfig, found: FoundShape, engine: ModelEngine) -> None:
    """Refuse to plan what an option changes and the formulas do not know.

    Raises:
        UnknownShapeError: stages, of which each has other weights; groups that attend by
            themselves, of which each has all heads; an option of the engine that no plan knows, or
            another quantization than the checkpoint's own; a KV cache of a type that is not
            counted.
    """
    ranks = ranks_of(config)
    if ranks.pipeline > 1:
        why = f"with --pp-size {ranks.pipeline} each rank has the layers of one stage"
        raise _uncountable(found, why, "Plan it with tensor parallel ranks alone")
    if ranks.attention_groups > 1:
        why = (
            f"with data parallel attention each of {ranks.attention_groups} groups has all heads, "
            "and a KV cache of its own"
        )
        raise _uncountable(found, why, "Plan it without")
    written = engine.uncounted_option(config, found.shape.quantization)
    if written is not None:
        why = f"`{written}` changes what its weights take"
        raise _uncountable(found, why, "Leave it out to plan without it")
    if config.kv_cache_dtype in _UNCOUNTED_KV_TYPES:
        why = f"the scales of an {config.kv_cache_dtype} KV cache depend on the attention's kernels"
        raise _uncountable(found, why, "Plan it with --kv-cache-dtype fp8_e4m3, which takes more")


def _uncountable(found: FoundShape, why: str, how: str) -> UnknownShapeError:
    return UnknownShapeError(
        f"The memory of {found.name} cannot be planned: {why}.",
        action=f"{how}; `python -m launcher up` serves it without a plan.",
    )


def find_shape(model: str, *, revision: str | None = None) -> FoundShape:
    """The shape of a model by folder or repository id.

    Raises:
        ModelNotFoundError: no folder, or no config.json in it or in the repository.
        HubError: the repository is not here, and the hub does not tell; see its subclasses.
        UnknownShapeError: its memory cannot be added up.
    """
    found = find_shape_here(model, lambda: find_in_cache(model, revision))
    return found or _from_hub(model, revision)


def find_shape_here(model: str, find_local: Callable[[], LocalModel | None]) -> FoundShape | None:
    """As `find_shape`, without the network; None where the repository's shape is not here.

    Args:
        model: folder or repository id.
        find_local: gives what is here of the repository; called only where that is needed.

    Raises:
        ModelNotFoundError, UnknownShapeError: as `find_shape`.
    """
    folder = Path(model)
    if folder.is_absolute():
        return _from_folder(folder, name=folder.name)
    if known := find_known_shape(model):
        name, shape = known
        quantization = {"quant_method": shape.quantization} if shape.quantization else None
        part = {"architectures": [shape.architecture], "quantization_config": quantization}
        return FoundShape(name, shape, "shipped with the launcher", config=part)
    local = find_local()
    return _from_folder(local.folder, name=model) if local else None


def _from_folder(folder: Path, *, name: str) -> FoundShape:
    file = folder / CONFIG_NAME
    try:
        content = parse_json(read_foreign(file, most_bytes=LARGEST_JSON_BYTES))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ModelNotFoundError(
            f"{file} cannot be read: {why}.",
            action="Name a model folder, or a repository id of the form OWNER/NAME.",
        ) from error
    config = _mapping(content)
    shape = read_shape(config, name=name)
    return FoundShape(name, shape, str(file), _on_disk_bytes(folder), config)


def _mapping(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _on_disk_bytes(folder: Path) -> int | None:
    """Bytes of the tensors by the index, else of the safetensors files; None without weights."""
    try:
        index = parse_json(read_foreign(folder / INDEX_NAME, most_bytes=LARGEST_JSON_BYTES))
        return int(index["metadata"]["total_size"])
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError):
        sizes = [file.stat().st_size for file in folder.glob("*.safetensors")]
        return sum(sizes) or None


def _from_hub(repository: str, revision: str | None) -> FoundShape:
    """Ask the hub for the config.json and the sizes of the weights; nothing is kept."""
    request = PullRequest(repository, revision)
    if is_offline():
        raise not_here(request, None)
    hub = Hub()
    try:
        manifest = hub.list_files(repository, revision)
        config = next((file for file in manifest.files if file.path == CONFIG_NAME), None)
        if config is None:
            raise ModelNotFoundError(
                f"{repository} has no {CONFIG_NAME} at {manifest.revision}.",
                action="Check that it is a model that transformers can load.",
            )
        _check_small(config)
        content = io.BytesIO()
        hub.read_file(manifest, config, content, have_bytes=0)
    except TransientError as error:
        # Once only: whoever plans waits for the answer.
        raise HubUnreachableError(
            f"The shape of {repository} is not here, and {error.problem}.",
            action="Try again, or name a model folder.",
        ) from error
    weights = [file for file in manifest.files if fnmatchcase(file.path, "model*.safetensors")]
    parsed = _parse(content.getvalue(), repository)
    shape = read_shape(parsed, name=repository)
    source = f"{repository} at {hub.address}, commit {manifest.commit[:12]}"
    on_disk_bytes = sum(file.size_bytes for file in weights) or None
    return FoundShape(repository, shape, source, on_disk_bytes, parsed)


def _check_small(config: RemoteFile) -> None:
    if config.size_bytes > LARGEST_JSON_BYTES:
        raise HubAnswerError(
            f"{config.path} has {human_bytes(config.size_bytes)} by the hub's list, and "
            f"{human_bytes(LARGEST_JSON_BYTES)} are read at most.",
            action="Look whether the repository is one of a model.",
        )


def _parse(content: bytes, repository: str) -> dict[str, Any]:
    try:
        return _mapping(parse_json(content))
    except ValueError as error:
        raise ModelNotFoundError(
            f"The {CONFIG_NAME} of {repository} is not JSON.",
            action="Check that it is a model that transformers can load.",
        ) from error


def _device(config: ServerConfig, hardware: Hardware, gpus: tuple[Gpu, ...]) -> Device:
    if config.device == "cpu":
        free = hardware.available_memory_bytes
        return Device("cpu", "CPU", hardware.total_memory_bytes or free, free)
    ranks, used = ranks_of(config), used_gpus(config, gpus)
    if len(used) < ranks.count_here:
        raise NoGpuError(
            f"{ranks.describe()} needs {max(ranks.gpu_ids) + 1} GPUs, and there are {len(gpus)} to "
            f"plan with: {describe_gpus(hardware)}.",
            action="Plan for another machine with `--gpus 2xH100-80GB`, or set --tp-size.",
        )
    least = min(used, key=lambda gpu: gpu.free_bytes)
    return replace(Device.of(least), is_here=hardware.gpus_are_here)


def _settings(config: ServerConfig, found: FoundShape) -> Settings:
    draft_layers, draft = _draft(config, found)
    return Settings(
        tp_size=config.tp_size,
        replicas=ranks_of(config).replicas,
        nodes=config.nnodes,
        mem_fraction_static=config.mem_fraction_static,
        weight_type=_WEIGHT_TYPES.get(config.dtype),
        kv_type=_KV_TYPES.get(config.kv_cache_dtype or "auto"),
        draft_layers=draft_layers,
        draft=draft,
        context_length_tokens=config.context_length,
        max_running_requests=config.max_running_requests,
        max_total_tokens=config.max_total_tokens,
        chunked_prefill_tokens=config.chunked_prefill_size,
        shared_imports=config.shares_imports,
    )


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
