"""The bytes of a model's weights, in one rank's memory and in a checkpoint. Pure.

Files named as a source are those of the verified SGLang: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

from typing import Final, Literal

from launcher.memory.shape import ModelShape, Parameters, count_parameters

KvType = Literal["float32", "bfloat16", "float16", "fp8_e4m3", "fp8_e5m2"]
BYTES_OF: Final = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8_e4m3": 1, "fp8_e5m2": 1}
# One scale for each output of a linear layer in an FP8 checkpoint, in float32 once loaded.
SCALE_BYTES: Final = 4
VOCABULARY_PADDING: Final = 64  # layers/vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE


def rank_bytes(part: Parameters, shape: ModelShape, ranks: int, weight_type: str) -> int:
    """Bytes of one rank's share of a part, in memory.

    Formula: (linear / ranks + KV heads / min(ranks, KV heads)) x bytes + vocabulary / ranks x 16
    or 32 bits + what every rank holds whole; with FP8 one byte for each linear weight, and a scale
    for each output.
    Source: layers/linear.py, layers/vocab_parallel_embedding.py (rows are padded to
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
        + part.wide * wide // ranks
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
