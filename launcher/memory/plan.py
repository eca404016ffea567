"""The memory of one rank, planned line by line before anything is loaded. Pure.

It follows what SGLang does, in its order: the free memory is taken as the baseline, target and
draft weights are loaded, and what the static fraction leaves becomes the KV cache
(`mem_cache/kv_cache_configurator.py`, `_profile_available_bytes`). Files named as a source are
those of the verified version: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from launcher.memory.lines import (
    Device,
    Line,
    Settings,
    asked_requests,
    draft_lines,
    engine_line,
    engine_spread,
    main_lines,
    memory_line,
    own_fraction,
    shared_memory_lines,
)
from launcher.memory.shape import ModelShape
from launcher.memory.weights import BYTES_OF, MXFP8_BLOCK_ELEMENTS, KvType
from launcher.system.hardware import GIB
from launcher.text import human_bytes


class Verdict(StrEnum):
    """Whether it will serve. The value is what people read."""

    FITS = "fits"
    JUST_FITS = "just fits"
    LESS_CONTEXT = "fits with less context"
    DOES_NOT_FIT = "does not fit"


FractionField = Literal["mem_fraction_static", "gpu_memory_utilization"]
FRACTION_NAMES: Final[dict[FractionField, str]] = {
    "mem_fraction_static": "static fraction",
    "gpu_memory_utilization": "GPU memory utilization",
}
Planner = Callable[[str, ModelShape, Device, Settings], "MemoryPlan"]


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """One rank's memory, and what it can serve.

    Attributes:
        pool_bytes: the KV cache's, target and draft; 0 or less where the weights alone are too
            much.
        bytes_per_token: of the KV cache, target and draft.
        kv_cache_tokens: what SGLang will report as `max_total_num_tokens`, by what is usually taken
            before the baseline; `kv_cache_tokens_low` where the most is taken, `_high` the least.
        wanted_context_tokens: what was asked for, else the model's own maximum.
        own_fraction: what SGLang would choose by itself.
        least_fraction: below it there is no KV cache at all; 1 or more means that the weights are
            larger than the memory.
        planner: what made this plan, and makes others like it.
        fraction_field: the setting that is the fraction.
        host_engine_bytes: on a CPU, what the engine's processes take without weights and KV cache;
            None: as `launcher.memory.host` has it.
        whole_context: the engine refuses to start unless a request of the wanted context fits.
        obstacle: why it would not start, whatever the sum, as a sentence; empty where nothing is in
            the way.
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
    kv_cache_tokens_low: int
    kv_cache_tokens_high: int
    wanted_context_tokens: int
    max_running_requests: int
    own_fraction: float
    least_fraction: float
    planner: Planner
    fraction_field: FractionField = "mem_fraction_static"
    host_engine_bytes: int | None = None
    whole_context: bool = False
    obstacle: str = ""

    @property
    def fraction_name(self) -> str:
        """What people call the fraction."""
        return FRACTION_NAMES[self.fraction_field]

    @property
    def context_tokens(self) -> int:
        """The longest request, prompt and answer together."""
        return min(self.wanted_context_tokens, self.kv_cache_tokens)

    @property
    def requests_at_full_context(self) -> int:
        """How many requests of the wanted context fit at the same time."""
        return self.kv_cache_tokens // self.wanted_context_tokens

    @property
    def verdict(self) -> Verdict:
        """Whether it will serve.

        What holds wherever the baseline is within its range is said as such. It just fits where the
        baseline decides whether it serves, or whether it serves the wanted context.
        """
        low, high, wanted = (
            self.kv_cache_tokens_low,
            self.kv_cache_tokens_high,
            self.wanted_context_tokens,
        )
        least = wanted if self.whole_context else 1
        if high < least or self.obstacle:
            return Verdict.DOES_NOT_FIT
        if low >= wanted:
            return Verdict.FITS
        if low < 1 or high >= wanted:
            return Verdict.JUST_FITS
        return Verdict.LESS_CONTEXT

    @property
    def is_tight(self) -> bool:
        """Whether less is left for activations and graphs than SGLang would leave by itself."""
        return self.fraction > self.own_fraction


def describe_shortage(plan: MemoryPlan) -> str:
    """Why a plan does not fit, as a sentence with both figures."""
    if plan.obstacle:
        return plan.obstacle
    if plan.whole_context and plan.kv_cache_tokens_high > 0:
        return (
            "It starts only where a request of the whole context fits: "
            f"{plan.wanted_context_tokens:,} tokens, and the KV cache has "
            f"{plan.kv_cache_tokens_high:,} at the most."
        )
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
        f"{weights} of each rank; a {plan.fraction_name} of {plan.fraction:g} gives "
        f"{human_bytes(plan.fraction * plan.baseline_bytes)}. It has to be above "
        f"{plan.least_fraction:.3f}."
    )


def describe_margin(plan: MemoryPlan) -> str:
    """What decides whether a plan that just fits does, as a sentence with both ends of the range.

    Formula: see `MemoryPlan.verdict`.
    """
    low, high, wanted = (
        plan.kv_cache_tokens_low,
        plan.kv_cache_tokens_high,
        plan.wanted_context_tokens,
    )
    what = f"serves {wanted:,} tokens" if high >= wanted else "serves at all"
    return (
        f"What CUDA and NCCL take decides whether it {what}: the KV cache has between {low:,} and "
        f"{high:,} tokens."
    )


def plan_memory(model: str, shape: ModelShape, device: Device, settings: Settings) -> MemoryPlan:
    """Plan one rank.

    Formula: KV cache = fraction x baseline - target weights - draft weights; tokens = KV cache /
    bytes per token in whole pages, at most `max_total_tokens`.
    Source: mem_cache/kv_cache_configurator.py (`_profile_available_bytes`,
    `_apply_token_constraints`, `resolve_max_num_reqs`), model_executor/pool_configurator.py
    (`DefaultPoolConfigurator`).
    """
    weight_type = settings.weight_type or shape.served_type
    engine = engine_line(device, settings)
    baseline_bytes = device.free_bytes - engine.size_bytes
    sglang_fraction = own_fraction(device, settings)
    fraction = settings.mem_fraction_static or sglang_fraction
    slack_bytes = baseline_bytes - int(fraction * baseline_bytes)
    main = main_lines(shape, device, settings, weight_type)
    draft = draft_lines(shape, device, settings, weight_type)
    weights_bytes = sum(line.size_bytes for line in main)
    draft_bytes = sum(line.size_bytes for line in draft)
    lines = (
        memory_line(device),
        engine,
        Line(
            "outside the static fraction",
            slack_bytes,
            f"(1 - {fraction:g}) x baseline of {baseline_bytes / GIB:.1f} GiB",
            "kv_cache_configurator.py",
        ),
        *main,
        *draft,
        *shared_memory_lines(device, settings, weights_bytes + draft_bytes),
    )
    pool_bytes = sum(line.sign * line.size_bytes for line in lines)
    bytes_per_token = kv_bytes_per_token(shape, settings, settings.kv_type or weight_type)
    low, tokens, high = _token_range(pool_bytes, bytes_per_token, fraction, device, settings)
    context = settings.context_length_tokens or shape.max_positions
    free_at_pool = pool_bytes + slack_bytes
    return MemoryPlan(
        model=model,
        shape=shape,
        device=device,
        settings=settings,
        fraction=fraction,
        lines=(*lines, Line("KV cache", pool_bytes, "what is left", "kv_cache_configurator.py", 0)),
        baseline_bytes=baseline_bytes,
        weights_bytes=weights_bytes,
        draft_bytes=draft_bytes,
        pool_bytes=pool_bytes,
        bytes_per_token=bytes_per_token,
        kv_cache_tokens=tokens,
        kv_cache_tokens_low=low,
        kv_cache_tokens_high=high,
        wanted_context_tokens=context,
        max_running_requests=_running_requests(settings, tokens, context),
        own_fraction=sglang_fraction,
        least_fraction=1 - free_at_pool / baseline_bytes if baseline_bytes > 0 else 1.0,
        planner=plan_memory,
    )


def kv_bytes_per_token(shape: ModelShape, settings: Settings, kv_type: KvType) -> int:
    """Bytes of one token in one rank's KV cache, the draft's included.

    Formula: `ModelShape.cached_elements` x layers x bytes x (1 + draft layers / layers); with mxfp8
    a byte more for each 32 elements.
    Source: pool_configurator.py, `_compute_cell_size` and the lines on EAGLE.
    """
    elements = shape.cached_elements(settings.tp_size) * shape.layers
    target = elements * BYTES_OF[kv_type]
    if kv_type == "mxfp8" and shape.latent is None:
        target += elements // MXFP8_BLOCK_ELEMENTS
    return target + target * settings.draft_layers // shape.layers


def page_tokens(device: Device) -> int:
    """Tokens of a page of the KV cache, by the attention backend that SGLang chooses itself.

    Source: arg_groups/model_override_base.py, `get_default_attn_backend`: trtllm_mha on B200 and
    GB200; arg_groups/overrides.py: it takes pages of 64 tokens, others of 1.
    """
    return 64 if device.compute_capability[0] == 10 else 1


def _token_range(
    pool_bytes: int, bytes_per_token: int, fraction: float, device: Device, settings: Settings
) -> tuple[int, int, int]:
    """Tokens where the most, the usual and the least is taken before the baseline.

    Formula: of what more or less is taken, the static fraction is the KV cache's.
    """
    spread, page = engine_spread(device, settings), page_tokens(device)
    low, usual, high = (
        max(0, pool_bytes + int(fraction * (spread.usual_bytes - taken_bytes))) // bytes_per_token
        for taken_bytes in (spread.most_bytes, spread.usual_bytes, spread.least_bytes)
    )
    limit = settings.max_total_tokens or high
    low, usual, high = (min(tokens, limit) // page * page for tokens in (low, usual, high))
    return low, usual, high


def _running_requests(settings: Settings, tokens: int, context: int) -> int:
    """Requests decoded at the same time: `resolve_max_num_reqs`."""
    own = max(min(tokens * 512 // context, 4096), 2048)
    return min(asked_requests(settings) or own, tokens // 2)
