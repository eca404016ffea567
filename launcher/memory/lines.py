"""What takes a rank's memory beside the KV cache: the lines of a plan. Pure.

Files named as a source are those of the verified SGLang: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from launcher.memory.gpu.allocator import segment_bytes
from launcher.memory.gpu.baseline import Spread, taken_on_gpu
from launcher.memory.shape import ModelShape, Parameters, count_parameters
from launcher.memory.weights import (
    KvType,
    nextn_tensors,
    rank_bytes,
    rotary_bytes,
    target_tensors,
)
from launcher.system.hardware import GIB, MIB, Gpu

# On a CPU, measured on the embedded model: all processes of the engine when the baseline is taken,
# what each further rank adds, and what each rank's imports take between baseline and KV cache.
# First where each process imports by itself, then where they share one import: docs/start.md.
CPU_ENGINE_BYTES: Final = int(1.87 * GIB)
CPU_FURTHER_RANK_BYTES: Final = int(0.63 * GIB)
CPU_SHARED_ENGINE_BYTES: Final = int(0.93 * GIB)
CPU_SHARED_FURTHER_RANK_BYTES: Final = int(0.16 * GIB)
# From run to run: the four runs of docs/plan.md were off by 15 to 38 MiB.
CPU_SPREAD_BYTES: Final = 50 * MIB
CPU_DRIFT_BYTES: Final = int(0.06 * GIB)
CPU_SHARED_DRIFT_BYTES: Final = int(0.01 * GIB)
# launcher.engines.sglang.plugins.cpu: SGLang's own choice where it cannot tell the memory of a
# rank.
CPU_FRACTION: Final = 0.95
SPECULATIVE_MAX_RUNNING_REQUESTS: Final = 48  # arg_groups/speculative_hook.py


@dataclass(frozen=True, slots=True)
class Device:
    """Where each rank runs. With several GPUs, the figures of the one with the least free memory.

    On a CPU all ranks share one memory, which `free_bytes` counts once.

    Attributes:
        reserved_bytes: what the driver keeps for itself and `free_bytes` does not count.
        nvlink: whether NVLink joins it to others; None where only its name tells.
        is_here: False for a card that was named rather than found: nothing of it is known to be
            free or taken.
    """

    kind: Literal["cuda", "cpu"]
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: tuple[int, int] = (0, 0)
    reserved_bytes: int = 0
    nvlink: bool | None = None
    is_here: bool = True

    @classmethod
    def of(cls, gpu: Gpu) -> Device:
        """A GPU, here or by name, as a plan sees it."""
        return cls(
            "cuda",
            gpu.name,
            gpu.total_bytes,
            gpu.free_bytes,
            gpu.compute_capability,
            gpu.reserved_bytes,
            gpu.nvlink,
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for; fields are those of `ServerConfig`, None where SGLang chooses.

    `draft_layers` is 0 for plain decoding. `draft` is the draft model where that is one of its own;
    None with `draft_layers` means the target's own NextN layers. `shared_imports` matters on a CPU.
    A plan is that of one rank of one copy of the model; `replicas` says how many copies there are,
    and `nodes` among how many machines the ranks are divided.

    The last four matter with vLLM alone. `gpu_memory_utilization` is of all memory, also of what
    others hold. `kv_cache_bytes` asks for a KV cache of that size. `kv_block_tokens` share a block.
    `graphs` is whether the memory of CUDA graphs is set aside.
    """

    tp_size: int = 1
    replicas: int = 1
    nodes: int = 1
    mem_fraction_static: float | None = None
    weight_type: Literal["float32", "bfloat16", "float16"] | None = None
    kv_type: KvType | None = None
    draft_layers: int = 0
    draft: ModelShape | None = None
    context_length_tokens: int | None = None
    max_running_requests: int | None = None
    max_total_tokens: int | None = None
    chunked_prefill_tokens: int | None = None
    shared_imports: bool = False
    gpu_memory_utilization: float | None = None
    kv_cache_bytes: int | None = None
    kv_block_tokens: int | None = None
    graphs: bool = True

    @property
    def ranks_here(self) -> int:
        """Of one copy, those on this machine."""
        return max(1, self.tp_size // self.nodes)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan: bytes of one rank's memory, how they were found, and where that stands.

    `sign` is how the line enters the sum that ends in the KV cache: 1, -1, or 0 for a line that
    only explains.
    """

    label: str
    size_bytes: int
    formula: str
    source: str
    sign: Literal[-1, 0, 1] = -1


def sglang_reserve_bytes(device: Device, settings: Settings) -> int:
    """What SGLang leaves for activations and graphs when it chooses the fraction; 0 on a CPU.

    Formula: 512 + 1.5 x prefill chunk + 128 x ranks + 2 x largest decode graph + 8 x prefill
    graphs, at least 10,240 on a card above 60 GiB, in MiB. Of the chunk at least 2048 tokens count;
    of whole prompts 16384, and there is no graph.
    Source: arg_groups/memory_hook.py. It has no term for speculation.
    """
    if device.kind == "cpu":
        return 0
    total_mib = device.total_bytes // MIB
    chunk, batch = _defaults_by_size(total_mib, settings.tp_size)
    batch = min(batch, asked_requests(settings) or batch)
    chunk = settings.chunked_prefill_tokens or chunk
    tokens = max(chunk, _LEAST_ACTIVATION_TOKENS) if chunk > 0 else _MOST_PREFILL_TOKENS
    graphs = prefill_graphs(chunk)
    reserve_mib = 512 + 1.5 * tokens + 128 * settings.tp_size + 2 * batch + 8 * graphs
    if total_mib > 60 * 1024:
        reserve_mib = max(reserve_mib, 10 * 1024)
    return int(reserve_mib * MIB)


_LEAST_ACTIVATION_TOKENS: Final = 2048
_MOST_PREFILL_TOKENS: Final = 16384  # arg_groups/fields/schedule.py, max_prefill_tokens
# First and last tokens of prefill graphs, and the step: arg_groups/cuda_graph_hook.py,
# `generate_prefill_cuda_graph_batch_sizes`.
_GRAPH_STEPS: Final = (
    *((4, 32, 4), (48, 256, 16), (288, 512, 32), (576, 1024, 64), (1280, 4096, 256)),
)
_LARGE_GRAPHS: Final = (4608, 512)


def prefill_graphs(chunk_tokens: int) -> int:
    """How many graphs SGLang captures for the prefill of so many tokens at a time."""
    first, step = _LARGE_GRAPHS
    steps = (*_GRAPH_STEPS, (first, max(first, chunk_tokens), step))
    return sum(
        max(0, (min(last, chunk_tokens) - begin) // every + 1) for begin, last, every in steps
    )


def _defaults_by_size(total_mib: int, tp_size: int) -> tuple[int, int]:
    """Prefill chunk in tokens and largest decode batch, by the size of the card."""
    few = tp_size < 4
    for limit_gib, chunk, batch in (
        (20, 2048, 8),
        (35, 4096, 48 if few else 160),
        (60, 4096, 32 if few else 160),
        (160, 8192, 256 if few else 512),
    ):
        if total_mib < limit_gib * 1024:
            return chunk, batch
    return 16384, 512


def own_fraction(device: Device, settings: Settings) -> float:
    """The static fraction that SGLang chooses by itself."""
    if device.kind == "cpu":
        return CPU_FRACTION
    static_bytes = device.total_bytes - sglang_reserve_bytes(device, settings)
    return round(static_bytes / device.total_bytes, 3)


def asked_requests(settings: Settings) -> int | None:
    """How many requests at a time are asked for; None where SGLang goes by the KV cache."""
    if settings.max_running_requests is None and settings.draft_layers:
        return SPECULATIVE_MAX_RUNNING_REQUESTS
    return settings.max_running_requests


def memory_line(device: Device) -> Line:
    """What there is to begin with."""
    if not device.is_here:
        source = "launcher/memory/gpu/models.py"
        return Line(
            "the card's memory", device.free_bytes, "all of it, as on an idle card", source, 1
        )
    reporter = "kernel" if device.kind == "cpu" else "driver"
    return Line("free now", device.free_bytes, f"as the {reporter} reports it", "", 1)


def engine_spread(device: Device, settings: Settings) -> Spread:
    """What is taken before the baseline, of what `free_bytes` counts."""
    tp_size = settings.tp_size
    if device.kind == "cpu":
        first, further = _cpu_engine_bytes(shared=settings.shared_imports)
        size = first + (tp_size - 1) * further
        return Spread(size - CPU_SPREAD_BYTES, size, size + CPU_SPREAD_BYTES)
    taken = taken_on_gpu(device.name, device.compute_capability, tp_size, nvlink=device.nvlink)
    return taken.less(device.reserved_bytes)


def _cpu_engine_bytes(*, shared: bool) -> tuple[int, int]:
    if shared:
        return CPU_SHARED_ENGINE_BYTES, CPU_SHARED_FURTHER_RANK_BYTES
    return CPU_ENGINE_BYTES, CPU_FURTHER_RANK_BYTES


def engine_line(device: Device, settings: Settings) -> Line:
    """What is usually taken before the baseline."""
    spread = engine_spread(device, settings)
    if device.kind == "cpu":
        first, further = _cpu_engine_bytes(shared=settings.shared_imports)
        return Line(
            "engine processes",
            spread.usual_bytes,
            f"{first / GIB:.2f} GiB + {further / GIB:.2f} GiB for each rank after the first",
            "measured, launcher/engines/sglang/plugins/cpu/README.md",
        )
    reserve = "" if not device.reserved_bytes else ", beside what the driver keeps"
    formula = f"{spread.least_bytes / GIB:.1f} to {spread.most_bytes / GIB:.1f} GiB{reserve}"
    return Line("CUDA, NCCL, driver", spread.usual_bytes, formula, "logs, docs/plan.md")


def shared_memory_lines(device: Device, settings: Settings, weights_bytes: int) -> tuple[Line, ...]:
    """What else comes out of a memory that all ranks share, as they do on a CPU.

    Args:
        device: where each rank runs.
        settings: how many ranks, and whether they share their imports.
        weights_bytes: of one rank, target and draft.
    """
    if device.kind != "cpu":
        return ()
    ranks = settings.ranks_here
    drift_bytes = CPU_SHARED_DRIFT_BYTES if settings.shared_imports else CPU_DRIFT_BYTES
    others = Line(
        "weights of the other ranks",
        weights_bytes * (ranks - 1),
        f"{ranks - 1} x the same, in the same memory",
        "bootstrap.py",
    )
    imports = Line(
        "imports during the load",
        drift_bytes * ranks,
        f"{drift_bytes / GIB:.2f} GiB for each rank",
        "measured, launcher/engines/sglang/plugins/cpu/README.md",
    )
    return (others, imports) if ranks > 1 else (imports,)


def target_parts(shape: ModelShape) -> dict[str, Parameters]:
    """The parts of the target model that there are."""
    counted = count_parameters(shape)
    parts = {
        "attention": counted.attention,
        "dense layers": counted.dense,
        "experts": counted.experts,
        "embedding": counted.embedding,
        "head": counted.head,
        "fc": counted.draft_input,
        "KV projection, absorbed": counted.absorbed,
    }
    return {label: part for label, part in parts.items() if part.total}


def main_lines(
    shape: ModelShape, device: Device, settings: Settings, weight_type: str
) -> tuple[Line, ...]:
    """The target's weights."""
    lines = part_lines(target_parts(shape), shape, settings.tp_size, weight_type)
    rotary = _rotary_line(shape, device, settings, weight_type)
    tensors = (*target_tensors(shape, settings.tp_size, weight_type), rotary.size_bytes)
    return (*lines, rotary, *segment_lines(device, (), tensors))


def draft_lines(
    shape: ModelShape, device: Device, settings: Settings, weight_type: str
) -> tuple[Line, ...]:
    """The draft's weights. Its own NextN layers share the target's rotary table."""
    if not settings.draft_layers:
        return ()
    ranks, draft = settings.tp_size, settings.draft
    before = tuple(target_tensors(shape, ranks, weight_type))
    if draft is not None:
        counted = count_parameters(draft)
        parts = {"draft model": counted.main + counted.absorbed}
        lines = part_lines(parts, draft, ranks, weight_type)
        rotary = _rotary_line(draft, device, settings, weight_type)
        tensors = (*target_tensors(draft, ranks, weight_type), rotary.size_bytes)
        return (
            *lines,
            replace(rotary, label="draft's rotary table"),
            *segment_lines(device, before, tensors),
        )
    counted = count_parameters(shape)
    parts = {
        "NextN layer": counted.nextn_layers + counted.nextn_absorbed,
        # models/glm4_moe_nextn.py builds them; eagle_worker_v2.py shares the target's only after
        # the KV cache was sized.
        "draft's own embedding and head": counted.nextn_embedding_and_head,
    }
    lines = part_lines(parts, shape, ranks, weight_type)
    tensors = tuple(nextn_tensors(shape, ranks, weight_type))
    return (*lines, *segment_lines(device, before, tensors))


def _rotary_line(shape: ModelShape, device: Device, settings: Settings, weight_type: str) -> Line:
    context = settings.context_length_tokens or shape.max_positions
    size = rotary_bytes(shape, context, weight_type, cuda=device.kind == "cuda")
    return Line(
        "rotary table", size, "one for all layers, whole", "layers/rotary_embedding/base.py"
    )


def segment_lines(
    device: Device, before: tuple[int, ...], tensors: tuple[int, ...]
) -> tuple[Line, ...]:
    """What PyTorch's allocator takes of a GPU beyond the tensors.

    Args:
        device: where each rank runs.
        before: bytes of each tensor that is there already.
        tensors: bytes of each that follows.
    """
    if device.kind == "cpu":
        return ()
    size = segment_bytes((*before, *tensors)) - segment_bytes(before) - sum(tensors)
    label = "draft's fragmentation" if before else "fragmentation"
    formula = "segments of 20 MiB for tensors of 1 to 10 MiB, of 2 MiB for others"
    line = Line(label, size, formula, "launcher/memory/gpu/allocator.py")
    # Less than nothing where they fill gaps that others left.
    return (line,) if size > 0 else ()


def part_lines(
    parts: Mapping[str, Parameters], shape: ModelShape, ranks: int, weight_type: str
) -> tuple[Line, ...]:
    """The lines of some parts' weights on one rank."""
    per_rank = f" / {ranks} ranks" if ranks > 1 else ""
    lines = []
    for label, part in parts.items():
        precision = "FP8" if shape.quantization and part.divided else weight_type
        formula = f"{part.total / 1e9:.3f}e9 x {precision}{per_rank}"
        size = rank_bytes(part, shape, ranks, weight_type)
        lines.append(Line(label, size, formula, "launcher/memory/shape.py"))
    return tuple(lines)
