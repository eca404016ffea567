"""The bytes of a model's weights, in one rank's memory and in a checkpoint. Pure.

Files named as a source are those of the verified SGLang: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from launcher.memory.shape import ModelShape, Parameters, count_parameters

KvType = Literal["float32", "bfloat16", "float16", "fp8_e4m3", "fp8_e5m2", "mxfp8"]
BYTES_OF: Final = {
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "fp8_e4m3": 1,
    "fp8_e5m2": 1,
    "mxfp8": 1,
}
# Elements that share a scale of one byte: model_executor/pool_configurator.py,
# `_compute_cell_size`; with latent attention it counts none.
MXFP8_BLOCK_ELEMENTS: Final = 32
# Scales of an FP8 checkpoint, in float32 once loaded.
SCALE_BYTES: Final = 4
# SGLang makes the rotary table longer than the context: utils/common.py,
# `reserve_rope_cache_for_long_sequences`; environ.py, SGLANG_ROPE_CACHE_SAFETY_MARGIN and _ALIGN.
# What speculation adds are some tens of rows.
ROTARY_MARGIN_TOKENS: Final = 256
ROTARY_ALIGNMENT_TOKENS: Final = 128
ROTARY_CUDA_BYTES: Final = 4  # layers/rotary_embedding/base.py: float32 on CUDA
VOCABULARY_PADDING: Final = 64  # layers/vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE


def rank_bytes(part: Parameters, shape: ModelShape, ranks: int, weight_type: str) -> int:
    """Bytes of one rank's share of a part, in memory.

    Formula: (linear / ranks + KV heads / min(ranks, KV heads)) x bytes + vocabulary / ranks x 16
    or 32 bits + what every rank holds whole; with FP8 one byte for each linear weight, and a scale
    for each output, or for each block of weights.
    Source: layers/linear.py, layers/vocab_parallel_embedding.py (rows are padded to
    a multiple of 64), layers/quantization/fp8.py (`create_fp8_weight_`).
    """
    wide = BYTES_OF[weight_type]
    linear = 1 if shape.quantization else wide
    rows = part.vocabulary // shape.hidden_size
    padded = -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING * shape.hidden_size
    scales = _scales(part, shape) * SCALE_BYTES
    return (
        part.divided * linear // ranks
        + part.grouped * linear // min(ranks, shape.kv_heads)
        + padded * wide // ranks
        + part.wide * wide // ranks
        + part.replicated * wide
        + scales // ranks
    )


def _scales(part: Parameters, shape: ModelShape) -> int:
    if shape.quantization is None:
        return 0
    if shape.weight_block_size is None:
        return part.scales
    rows, columns = shape.weight_block_size
    return (part.divided + part.grouped) // (rows * columns)


def rotary_bytes(shape: ModelShape, context_tokens: int, weight_type: str, *, cuda: bool) -> int:
    """Bytes of the table of sines and cosines, one for all layers, which each rank holds whole.

    Args:
        shape: the model.
        context_tokens: the longest request.
        weight_type: what the model computes in; on a CPU the table is of that type.
        cuda: whether it is on a GPU.

    Formula: rows x rotated width of a head x bytes; rows are the model's positions, or what YaRN
    extends them to, or the context and 256 rounded up to 128, whichever is more.
    Source: layers/rotary_embedding/base.py, and factory.py, which keeps one table for each key.
    """
    wanted = context_tokens + ROTARY_MARGIN_TOKENS
    reserved = -(-wanted // ROTARY_ALIGNMENT_TOKENS) * ROTARY_ALIGNMENT_TOKENS
    rows = max(shape.rotary_positions or shape.max_positions, reserved)
    return rows * shape.rotary_dim * (ROTARY_CUDA_BYTES if cuda else BYTES_OF[weight_type])


def target_tensors(shape: ModelShape, ranks: int, weight_type: str) -> Iterator[int]:
    """Bytes of each of a model's matrices on one rank, in the order in which they are made.

    They add up to `rank_bytes` but for small ones; what matters is how they fill the segments of
    PyTorch's allocator.
    Source: models/llama.py, models/qwen3.py, models/glm4_moe.py, models/deepseek_v2.py,
    models/llama_eagle.py; what is absorbed is made after the last is loaded.
    """
    yield _vocabulary_bytes(shape, shape.vocabulary, ranks, weight_type)
    if shape.eagle is not None:
        yield shape.eagle.input_width * shape.hidden_size * BYTES_OF[weight_type]
    for layer in range(shape.layers):
        yield from _layer_tensors(shape, ranks, weight_type, dense=layer < shape.dense_layers)
    if not shape.tied_embeddings:
        rows = shape.vocabulary if shape.eagle is None else shape.eagle.head_rows
        yield _vocabulary_bytes(shape, rows, ranks, weight_type)
    yield from _absorbed_tensors(shape, shape.layers, ranks, weight_type)


def nextn_tensors(shape: ModelShape, ranks: int, weight_type: str) -> Iterator[int]:
    """As `target_tensors`, of the model's own NextN layers. Source: models/glm4_moe_nextn.py."""
    rows = _vocabulary_bytes(shape, shape.vocabulary, ranks, weight_type)
    for _ in range(shape.nextn_layers):
        yield rows
        yield 2 * shape.hidden_size**2 * BYTES_OF[weight_type]
        yield from _layer_tensors(shape, ranks, weight_type, dense=not shape.experts)
        yield rows
    yield from _absorbed_tensors(shape, shape.nextn_layers, ranks, weight_type)


def _vocabulary_bytes(shape: ModelShape, rows: int, ranks: int, weight_type: str) -> int:
    padded = -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING
    return padded * shape.hidden_size * BYTES_OF[weight_type] // ranks


def _layer_tensors(
    shape: ModelShape, ranks: int, weight_type: str, *, dense: bool
) -> Iterator[int]:
    """Bytes of a layer's matrices on one rank."""
    wide = BYTES_OF[weight_type]
    linear = 1 if shape.quantization else wide
    hidden = shape.hidden_size
    for elements in _attention_tensors(shape, ranks):
        yield elements * linear
    if dense:
        widths = [(1, shape.dense_width)]
    else:
        yield shape.experts * hidden * wide
        widths = [(shape.experts, shape.expert_width)]
        if shape.shared_width:
            widths.append((1, shape.shared_width))
    for count, width in widths:
        yield 2 * count * width // ranks * hidden * linear
        yield count * width // ranks * hidden * linear


def _attention_tensors(shape: ModelShape, ranks: int) -> Iterator[int]:
    """Elements of each; queries, keys and values are one matrix."""
    hidden, latent = shape.hidden_size, shape.latent
    heads = shape.heads // ranks
    if latent is None:
        inputs = 2 * hidden if shape.eagle is not None and shape.eagle.joins_inputs else hidden
        yield (heads + 2 * max(1, shape.kv_heads // ranks)) * shape.head_dim * inputs
        yield heads * shape.head_dim * hidden
        return
    if latent.query_rank:
        yield (latent.query_rank + latent.cached_dim) * hidden
        yield heads * latent.query_dim * latent.query_rank
    else:
        yield heads * latent.query_dim * hidden
        yield latent.cached_dim * hidden
    yield heads * (latent.plain_dim + latent.value_dim) * latent.kv_rank
    yield heads * latent.value_dim * hidden


def _absorbed_tensors(
    shape: ModelShape, layers: int, ranks: int, weight_type: str
) -> Iterator[int]:
    """What is made of each layer's KV projection: keys and values apart."""
    if shape.latent is None:
        return
    one = shape.heads // ranks * shape.latent.kv_rank * BYTES_OF[weight_type]
    for _ in range(layers):
        yield one * shape.latent.plain_dim
        yield one * shape.latent.value_dim


def checkpoint_bytes(shape: ModelShape) -> int:
    """Size of a checkpoint's tensors, from its shape alone.

    Formula: two bytes a parameter, four in float32; in FP8 one byte for each linear weight, and a
    scale for each output or block.
    """
    counted = count_parameters(shape)
    return rank_bytes(counted.main + counted.nextn, shape, 1, shape.weight_type)
