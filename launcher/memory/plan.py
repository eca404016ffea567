"""The memory of one rank, planned line by line before anything is loaded. Pure.

It follows what SGLang 0.5.23 does, in its order: the free memory is taken as the baseline, target
and draft weights are loaded, and what the static fraction leaves becomes the KV cache
(`mem_cache/kv_cache_configurator.py`, `_profile_available_bytes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from launcher.memory.shape import ModelShape, Parameters, count_parameters
from launcher.system.hardware import GIB, MIB
from launcher.text import human_bytes

KvType = Literal["float32", "bfloat16", "float16", "fp8_e4m3", "fp8_e5m2"]
BYTES_OF: Final = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}
# One scale for each output of a linear layer in an FP8 checkpoint, in float32 once loaded.
SCALE_BYTES: Final = 4
VOCABULARY_PADDING: Final = 64  # layers/vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE

# What CUDA, NCCL and the driver take before the baseline. Not measured by us. With several ranks:
# an H200 shows 140.4 GiB, and 138.1 were the baseline behind the fractions 0.9113 and 0.9335 that
# SGLang asked for (SemiAnalysisAI/InferenceX issue 2128). One rank has no communicators.
CUDA_BYTES: Final = int(1.2 * GIB)
CUDA_BYTES_WITH_RANKS: Final = int(2.3 * GIB)
# On a CPU, measured on the embedded model: all processes of the engine when the baseline is taken,
# what each further rank adds, and what each rank's imports take between baseline and KV cache.
CPU_ENGINE_BYTES: Final = int(1.87 * GIB)
CPU_FURTHER_RANK_BYTES: Final = int(0.63 * GIB)
CPU_DRIFT_BYTES: Final = int(0.06 * GIB)
# launcher.engines.sglang.plugins.cpu: SGLang's own choice where it cannot tell the memory of a
# rank.
CPU_FRACTION: Final = 0.95
SPECULATIVE_MAX_RUNNING_REQUESTS: Final = 48  # arg_groups/speculative_hook.py


class Verdict(StrEnum):
    """Whether it will serve. The value is what people read."""

    FITS = "fits"
    LESS_CONTEXT = "fits with less context"
    DOES_NOT_FIT = "does not fit"


@dataclass(frozen=True, slots=True)
class Device:
    """Where each rank runs. With several GPUs, the figures of the one with the least free memory.

    On a CPU all ranks share one memory, which `free_bytes` counts once.
    """

    kind: Literal["cuda", "cpu"]
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for; fields are those of `ServerConfig`, None where SGLang chooses.

    `draft_layers` is 0 for plain decoding. `draft` is the draft model where that is one of its own;
    None with `draft_layers` means the target's own NextN layers.
    """

    tp_size: int = 1
    mem_fraction_static: float | None = None
    weight_type: Literal["float32", "bfloat16", "float16"] | None = None
    kv_type: KvType | None = None
    draft_layers: int = 0
    draft: ModelShape | None = None
    context_length_tokens: int | None = None
    max_running_requests: int | None = None
    max_total_tokens: int | None = None


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


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """One rank's memory, and what it can serve.

    Attributes:
        pool_bytes: the KV cache's, target and draft; 0 or less where the weights alone are too
            much.
        bytes_per_token: of the KV cache, target and draft.
        kv_cache_tokens: what SGLang will report as `max_total_num_tokens`.
        context_tokens: the longest request, prompt and answer together.
        wanted_context_tokens: what was asked for, else the model's own maximum.
        requests_at_full_context: how many such requests fit at the same time.
        own_fraction: what SGLang would choose by itself.
        least_fraction: below it there is no KV cache at all; 1 or more means that the weights are
            larger than the memory.
    """

    model: str
    shape: ModelShape
    device: Device
    settings: Settings
    fraction: float
    lines: tuple[Line, ...]
    baseline_bytes: int
    weights_bytes: int
    draft_bytes: int
    pool_bytes: int
    bytes_per_token: int
    kv_cache_tokens: int
    context_tokens: int
    wanted_context_tokens: int
    requests_at_full_context: int
    max_running_requests: int
    own_fraction: float
    least_fraction: float
    verdict: Verdict

    @property
    def is_tight(self) -> bool:
        """Whether less is left for activations and graphs than SGLang would leave by itself."""
        return self.fraction > self.own_fraction


def describe_shortage(plan: MemoryPlan) -> str:
    """Why a plan does not fit, as a sentence with both figures."""
    engine = plan.lines[1]
    if plan.baseline_bytes <= 0:
        return (
            f"{engine.label.capitalize()} take {human_bytes(engine.size_bytes)}, and "
            f"{human_bytes(plan.device.free_bytes)} are free."
        )
    weights = f"Target and draft weights take {human_bytes(plan.weights_bytes + plan.draft_bytes)}"
    if plan.least_fraction >= 1:
        return f"{weights} of each rank, and {human_bytes(plan.baseline_bytes)} are there."
    return (
        f"{weights} of each rank; a static fraction of {plan.fraction:g} gives "
        f"{human_bytes(plan.fraction * plan.baseline_bytes)}. It has to be above "
        f"{plan.least_fraction:.3f}."
    )


def plan_memory(model: str, shape: ModelShape, device: Device, settings: Settings) -> MemoryPlan:
    """Plan one rank.

    Formula: KV cache = fraction x baseline - target weights - draft weights; tokens = KV cache /
    bytes per token, at most `max_total_tokens`.
    Source: sglang 0.5.23, mem_cache/kv_cache_configurator.py (`_profile_available_bytes`,
    `_apply_token_constraints`, `resolve_max_num_reqs`), model_executor/pool_configurator.py
    (`DefaultPoolConfigurator`).
    """
    weight_type = settings.weight_type or shape.weight_type
    kv_type = settings.kv_type or weight_type
    engine = _engine_line(device, settings.tp_size)
    baseline_bytes = device.free_bytes - engine.size_bytes
    own_fraction = _own_fraction(device, sglang_reserve_bytes(device, settings))
    fraction = settings.mem_fraction_static or own_fraction
    slack_bytes = baseline_bytes - int(fraction * baseline_bytes)
    main = _main_lines(shape, settings, weight_type)
    draft = _draft_lines(shape, settings, weight_type)
    drift = _drift_lines(device, settings.tp_size)
    shared = settings.tp_size if device.kind == "cpu" else 1
    weights_bytes = sum(line.size_bytes for line in main)
    draft_bytes = sum(line.size_bytes for line in draft)
    # On a CPU the weights of all ranks come out of the same memory.
    pool_bytes = (
        baseline_bytes
        - slack_bytes
        - (weights_bytes + draft_bytes) * shared
        - sum(line.size_bytes for line in drift)
    )
    bytes_per_token = kv_bytes_per_token(shape, settings, kv_type)
    capacity = max(0, pool_bytes) // bytes_per_token
    tokens = min(capacity, settings.max_total_tokens or capacity)
    wanted_context = settings.context_length_tokens or shape.max_positions
    context = min(wanted_context, tokens)
    free_at_pool = pool_bytes + slack_bytes
    return MemoryPlan(
        model=model,
        shape=shape,
        device=device,
        settings=settings,
        fraction=fraction,
        lines=(
            Line("free now", device.free_bytes, "as the driver or the kernel reports it", "", 1),
            engine,
            Line(
                "outside the static fraction",
                slack_bytes,
                f"(1 - {fraction:g}) x baseline of {baseline_bytes / GIB:.1f} GiB",
                "kv_cache_configurator.py",
            ),
            *main,
            *draft,
            *_other_ranks_line(device, settings.tp_size, weights_bytes + draft_bytes),
            *drift,
            Line("KV cache", pool_bytes, "what is left", "kv_cache_configurator.py", 0),
        ),
        baseline_bytes=baseline_bytes,
        weights_bytes=weights_bytes,
        draft_bytes=draft_bytes,
        pool_bytes=pool_bytes,
        bytes_per_token=bytes_per_token,
        kv_cache_tokens=tokens,
        context_tokens=context,
        wanted_context_tokens=wanted_context,
        requests_at_full_context=tokens // wanted_context,
        max_running_requests=_running_requests(settings, tokens, wanted_context),
        own_fraction=own_fraction,
        least_fraction=1 - free_at_pool / baseline_bytes if baseline_bytes > 0 else 1.0,
        verdict=_judge(tokens, wanted_context),
    )


def kv_bytes_per_token(shape: ModelShape, settings: Settings, kv_type: KvType) -> int:
    """Bytes of one token in one rank's KV cache, the draft's included.

    Formula: KV heads of a rank x 2 x head_dim x layers x bytes x (1 + draft layers / layers)
    Source: sglang 0.5.23, pool_configurator.py, `_compute_cell_size` and the lines on EAGLE.
    """
    heads = max(1, shape.kv_heads // settings.tp_size)
    target = heads * 2 * shape.head_dim * shape.layers * BYTES_OF[kv_type]
    return target + target * settings.draft_layers // shape.layers


def sglang_reserve_bytes(device: Device, settings: Settings) -> int:
    """What SGLang leaves for activations and graphs when it chooses the fraction; 0 on a CPU.

    Formula: 512 + 1.5 x prefill chunk + 128 x ranks + 2 x largest decode graph + 8 x prefill
    graphs, at least 10,240 on a card above 60 GiB, in MiB.
    Source: sglang 0.5.23, arg_groups/memory_hook.py. It has no term for speculation.
    """
    if device.kind == "cpu":
        return 0
    total_mib = device.total_bytes // MIB
    chunk, batch = _defaults_by_size(total_mib, settings.tp_size)
    batch = min(batch, _asked_requests(settings) or batch)
    reserve_mib = 512 + 1.5 * chunk + 128 * settings.tp_size + 2 * batch + 8 * _GRAPHS[chunk]
    if total_mib > 60 * 1024:
        reserve_mib = max(reserve_mib, 10 * 1024)
    return int(reserve_mib * MIB)


# Prefill chunk in tokens -> prefill graphs: arg_groups/cuda_graph_hook.py,
# `generate_prefill_cuda_graph_batch_sizes`.
_GRAPHS: Final = {2048: 42, 4096: 50, 8192: 58, 16384: 74}


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


def _own_fraction(device: Device, reserve_bytes: int) -> float:
    if device.kind == "cpu":
        return CPU_FRACTION
    return round((device.total_bytes - reserve_bytes) / device.total_bytes, 3)


def _asked_requests(settings: Settings) -> int | None:
    if settings.max_running_requests is None and settings.draft_layers:
        return SPECULATIVE_MAX_RUNNING_REQUESTS
    return settings.max_running_requests


def _running_requests(settings: Settings, tokens: int, context: int) -> int:
    """Requests decoded at the same time: `resolve_max_num_reqs`."""
    own = max(min(tokens * 512 // context, 4096), 2048)
    return min(_asked_requests(settings) or own, tokens // 2)


def _judge(tokens: int, wanted_context: int) -> Verdict:
    if tokens < 1:
        return Verdict.DOES_NOT_FIT
    return Verdict.FITS if tokens >= wanted_context else Verdict.LESS_CONTEXT


def _engine_line(device: Device, tp_size: int) -> Line:
    if device.kind == "cpu":
        return Line(
            "engine processes",
            CPU_ENGINE_BYTES + (tp_size - 1) * CPU_FURTHER_RANK_BYTES,
            "1.87 GiB + 0.63 GiB for each rank after the first",
            "measured, launcher/engines/sglang/plugins/cpu/README.md",
        )
    size = CUDA_BYTES if tp_size == 1 else CUDA_BYTES_WITH_RANKS
    return Line(
        "CUDA, NCCL, driver",
        size,
        "an estimate; not measured by us",
        "docs/plan.md",
    )


def _drift_lines(device: Device, tp_size: int) -> tuple[Line, ...]:
    if device.kind != "cpu":
        return ()
    return (
        Line(
            "imports during the load",
            CPU_DRIFT_BYTES * tp_size,
            "0.06 GiB for each rank",
            "measured, launcher/engines/sglang/plugins/cpu/README.md",
        ),
    )


def _other_ranks_line(device: Device, tp_size: int, own_bytes: int) -> tuple[Line, ...]:
    if device.kind != "cpu" or tp_size == 1:
        return ()
    return (
        Line(
            "weights of the other ranks",
            own_bytes * (tp_size - 1),
            f"{tp_size - 1} x the same, in the same memory",
            "bootstrap.py",
        ),
    )


def _main_lines(shape: ModelShape, settings: Settings, weight_type: str) -> tuple[Line, ...]:
    counted = count_parameters(shape)
    parts = {
        "attention": counted.attention,
        "dense layers": counted.dense,
        "experts": counted.experts,
        "embedding": counted.embedding,
        "head": counted.head,
    }
    return tuple(
        _part_line(label, part, shape, settings.tp_size, weight_type)
        for label, part in parts.items()
        if part.total
    )


def _draft_lines(shape: ModelShape, settings: Settings, weight_type: str) -> tuple[Line, ...]:
    if not settings.draft_layers:
        return ()
    if settings.draft is not None:
        draft = count_parameters(settings.draft).main
        return (_part_line("draft model", draft, settings.draft, settings.tp_size, weight_type),)
    counted = count_parameters(shape)
    return (
        _part_line("NextN layer", counted.nextn_layers, shape, settings.tp_size, weight_type),
        # models/glm4_moe_nextn.py builds them; eagle_worker_v2.py shares the target's only after
        # the KV cache was sized.
        _part_line(
            "draft's own embedding and head",
            counted.nextn_embedding_and_head,
            shape,
            settings.tp_size,
            weight_type,
        ),
    )


def _part_line(
    label: str, part: Parameters, shape: ModelShape, ranks: int, weight_type: str
) -> Line:
    size = rank_bytes(part, shape, ranks, weight_type)
    precision = "FP8" if shape.quantization and part.divided else weight_type
    per_rank = f" / {ranks} ranks" if ranks > 1 else ""
    return Line(label, size, f"{part.total / 1e9:.3f}e9 x {precision}{per_rank}", "model_shape.py")


def rank_bytes(part: Parameters, shape: ModelShape, ranks: int, weight_type: str) -> int:
    """Bytes of one rank's share of a part, in memory.

    Formula: (linear / ranks + KV heads / min(ranks, KV heads)) x bytes + vocabulary / ranks x 16
    or 32 bits + what every rank holds whole; with FP8 one byte for each linear weight, and a scale
    for each output.
    Source: sglang 0.5.23, layers/linear.py, layers/vocab_parallel_embedding.py (rows are padded to
    a multiple of 64).
    """
    wide = BYTES_OF[weight_type]
    linear = 1 if shape.quantization else wide
    rows = part.vocabulary // shape.hidden_size
    padded = -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING * shape.hidden_size
    scales = part.scales * SCALE_BYTES if shape.quantization else 0
    return (
        part.divided * linear // ranks
        + part.grouped * linear // min(ranks, shape.kv_heads)
        + padded * wide // ranks
        + part.replicated * wide
        + scales // ranks
    )


def checkpoint_bytes(shape: ModelShape) -> int:
    """Size of a checkpoint's tensors, from its shape alone.

    Formula: two bytes a parameter, four in float32; in FP8 one byte for each linear weight, and a
    scale for each output.
    """
    counted = count_parameters(shape)
    return rank_bytes(counted.main + counted.nextn, shape, 1, shape.weight_type)
