"""What takes a rank's memory beside the KV cache in vLLM: the lines of its plan. Pure.

Files named as a source are those of the verified vLLM: `launcher.engines.vllm.version`. What is a
range is one of others' logs: docs/plan-vllm.md.
"""

from __future__ import annotations

from typing import Final

from launcher.memory.gpu.allocator import block_bytes, segment_bytes
from launcher.memory.gpu.baseline import Spread
from launcher.memory.lines import Device, Line, Settings, part_lines, target_parts
from launcher.memory.shape import ModelShape, count_parameters
from launcher.memory.weights import BYTES_OF, nextn_tensors, target_tensors
from launcher.system.hardware import GIB

DEFAULT_UTILIZATION: Final = 0.92  # config/cache.py, gpu_memory_utilization
# engine/arg_utils.py, `get_batch_defaults`, for a server: GiB from which a card takes them, tokens
# of a step, requests of a step. A100 are taken for small ones, whatever they have.
_BATCHES: Final = ((160, 16_384, 1024), (70, 8192, 1024), (0, 2048, 256))
# On a CPU a rank gets twice as many of each for every further rank beside it, which is not planned.
_CPU_BATCH: Final = (2048, 128)
GPU_BLOCK_TOKENS: Final = 16  # config/cache.py, DEFAULT_BLOCK_SIZE
CPU_BLOCK_TOKENS: Final = 128  # platforms/cpu.py, `check_and_update_config`
# Of each logit: what the head gives in 16 bits, its copy in float32, and the probabilities.
# v1/sample/sampler.py, v1/sample/ops/topk_topp_sampler.py (FlashInfer, Triton).
LOGIT_BYTES: Final = 2 + 4 + 4
# A dummy step of speculation verifies one draft token and the next of each request:
# v1/worker/gpu_model_runner.py, `_dummy_sampler_run`.
_SPECULATIVE_ROWS: Final = 2
# CUDA gives out less than what NVML calls the card's memory: the driver keeps some.
RESERVED: Final = Spread(int(0.25 * GIB), int(0.48 * GIB), int(0.66 * GIB))
# Taken between the look at the free memory and the end of the profile run, by other than tensors.
NON_TORCH: Final = Spread(int(0.03 * GIB), int(0.15 * GIB), int(0.35 * GIB))
# v1/worker/gpu_worker.py, `profile_cudagraph_memory`: an estimate by capturing some of them. What
# decides it is not known; least where the driver is new.
GRAPHS: Final = Spread(0, int(0.5 * GIB), int(2.4 * GIB))
# A worker on a CPU with the embedded model, before its KV cache is there, without its weights.
CPU_WORKER: Final = Spread(int(0.7 * GIB), int(0.75 * GIB), int(0.8 * GIB))
# The two other processes on a CPU, after some requests: 0.69 GB of the API server and 0.66 GB of
# the engine's core (proportional set size, vllm 0.32.0, 2026-11-30).
CPU_PROCESSES_BYTES: Final = int(1.35e9)


def reserved_spread(device: Device) -> Spread:
    """What the driver keeps of the memory that a card shows."""
    if device.reserved_bytes:
        return Spread(*(device.reserved_bytes,) * 3)
    return RESERVED


def batch_sizes(device: Device, settings: Settings) -> tuple[int, int]:
    """The most tokens, and the most requests, of one step.

    Source: engine/arg_utils.py, `get_batch_defaults`.
    """
    if device.kind == "cpu":
        tokens, requests = _CPU_BATCH
    else:
        total_gib = (device.total_bytes - reserved_spread(device).usual_bytes) / GIB
        if "a100" in device.name.lower():
            total_gib = 0
        tokens, requests = next(
            (tokens, requests) for least, tokens, requests in _BATCHES if total_gib >= least
        )
    return (
        settings.chunked_prefill_tokens or tokens,
        settings.max_running_requests or requests,
    )


def activation_bytes(
    shape: ModelShape, device: Device, settings: Settings, logit_bytes: float = LOGIT_BYTES
) -> int:
    """The peak of the profile run beside the weights: of a forward pass, or of sampling.

    Args:
        shape: the model.
        device: where each rank runs.
        settings: what is asked for.
        logit_bytes: of each logit, all its copies.

    Formula: the larger of tokens x elements of the widest layer x bytes, and requests x vocabulary
    x bytes of a logit; elements of a layer are those of `_layer_elements`.
    Source: v1/worker/gpu_model_runner.py, `profile_run`, `_dummy_sampler_run`.
    """
    tokens, requests = batch_sizes(device, settings)
    requests = min(tokens, requests)
    rows = requests * (_SPECULATIVE_ROWS if settings.draft_layers else 1)
    width = BYTES_OF[settings.weight_type or shape.served_type]
    forward = tokens * _layer_elements(shape, settings.tp_size) * width
    return max(forward, int(rows * shape.vocabulary * logit_bytes))


def _layer_elements(shape: ModelShape, ranks: int) -> int:
    """Elements of one token that live at the same time in the widest part of a layer.

    Formula: of an MLP gate, up and their product, 3 x width / ranks; of experts, for each that the
    token is routed to, the larger of gate with up and of the output, and the product; of attention
    queries, keys, values and the output. Beside each, four hidden states: the residual, the input,
    the normed input and the output.
    Source: model_executor/layers/activation.py, layers/fused_moe/fused_moe.py
    (`intermediate_cache1` to 3, of which the first and the third share memory).
    """
    dense = 3 * shape.dense_width // ranks if shape.dense_layers else 0
    attention = (2 * shape.heads + 2 * shape.kv_heads) * shape.head_dim // ranks
    experts = 0
    if shape.experts:
        width = shape.expert_width // ranks
        one = max(2 * width, shape.hidden_size) + width
        experts = (shape.experts_per_token or 1) * one + 3 * shape.shared_width // ranks
    return max(dense, experts, attention) + 4 * shape.hidden_size


def weight_lines(
    shape: ModelShape, device: Device, settings: Settings, weight_type: str
) -> tuple[Line, ...]:
    """The target's weights, as vLLM logs them: with what PyTorch rounds up."""
    ranks = settings.tp_size
    parts = part_lines(target_parts(shape), shape, ranks, weight_type)
    rotary = Line(
        "rotary table",
        (shape.rotary_positions or shape.max_positions) * shape.rotary_dim * BYTES_OF[weight_type],
        "one for all layers, whole",
        "model_executor/layers/rotary_embedding/base.py",
    )
    if device.kind == "cpu":
        return (*parts, rotary)
    tensors = tuple(target_tensors(shape, ranks, weight_type))
    rounded = Line(
        "rounded up",
        block_bytes(tensors) - sum(tensors),
        "what is too little of a segment for another tensor",
        "launcher/memory/gpu/allocator.py",
    )
    return (*parts, rotary, rounded) if rounded.size_bytes else (*parts, rotary)


def draft_lines(
    shape: ModelShape, _device: Device, settings: Settings, weight_type: str
) -> tuple[Line, ...]:
    """The draft's weights. Its own layers share embedding and head of the target, before the look.

    Source: v1/spec_decode/llm_base_proposer.py, `_maybe_share_embeddings`, `_maybe_share_lm_head`.
    """
    if not settings.draft_layers:
        return ()
    draft = settings.draft
    counted = count_parameters(draft or shape)
    if draft is None:
        parts = {"NextN layer": counted.nextn_layers + counted.nextn_absorbed}
        return part_lines(parts, shape, settings.tp_size, weight_type)
    parts = {"draft model": counted.main + counted.absorbed}
    return part_lines(parts, draft, settings.tp_size, weight_type)


def fragmentation_line(
    shape: ModelShape, device: Device, settings: Settings, weight_type: str
) -> Line | None:
    """What the segments of the weights keep beside them; None where that is nothing."""
    if device.kind == "cpu":
        return None
    ranks, draft = settings.tp_size, settings.draft
    tensors = list(target_tensors(shape, ranks, weight_type))
    if draft is not None:
        tensors += target_tensors(draft, ranks, weight_type)
    elif settings.draft_layers:
        tensors += nextn_tensors(shape, ranks, weight_type)
    size = segment_bytes(tensors) - block_bytes(tensors)
    formula = "gaps in segments of 20 MiB, or of 2 MiB steps"
    line = Line("fragmentation", size, formula, "launcher/memory/gpu/allocator.py")
    return line if size else None
