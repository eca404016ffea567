"""The bytes of a model's weights beside its parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.memory.shape import ModelShape, count_parameters
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.shapes.known_shapes import GLM_4_5_AIR, GLM_4_7_FLASH, KNOWN_SHAPES
from launcher.memory.weights import nextn_tensors, rank_bytes, rotary_bytes, target_tensors
from launcher.system.hardware import MIB
from tests.unit.launcher.memory.shapes.test_config_json import (
    EAGLE3_8B,
    EAGLE_7B,
    MIXTRAL_8X7B,
    QWEN1_5_MOE,
)

BLOCKS = replace(GLM_4_5_AIR, quantization="fp8", weight_block_size=(128, 128))


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(
    "shape",
    [
        GLM_4_5_AIR,
        GLM_4_7_FLASH,
        KNOWN_SHAPES["zai-org/GLM-4.5-FP8"],
        read_shape(EAGLE_7B, name="EAGLE"),
        read_shape(EAGLE3_8B, name="EAGLE3"),
        read_shape(QWEN1_5_MOE, name="Qwen"),
        read_shape(MIXTRAL_8X7B, name="Mixtral"),
    ],
    ids=lambda shape: shape.architecture,
)
def test_the_tensors_are_what_the_parameters_take(shape: ModelShape, ranks: int) -> None:
    counted = count_parameters(shape)

    target = sum(target_tensors(shape, ranks, "bfloat16"))
    nextn = sum(nextn_tensors(shape, ranks, "bfloat16"))

    # Norms, biases and scales are left out.
    parts = counted.main + counted.absorbed
    assert target == pytest.approx(rank_bytes(parts, shape, ranks, "bfloat16"), rel=0.003)
    parts = counted.nextn + counted.nextn_absorbed
    assert nextn == pytest.approx(rank_bytes(parts, shape, ranks, "bfloat16"), rel=0.003)


def test_the_rotary_table_is_the_model_s_positions_in_float32_on_a_gpu() -> None:
    rows = 131_072 + 256  # the context, and what SGLang adds

    on_gpu = rotary_bytes(GLM_4_5_AIR, 131_072, "bfloat16", cuda=True)
    on_cpu = rotary_bytes(GLM_4_5_AIR, 131_072, "bfloat16", cuda=False)

    assert on_gpu == rows * 64 * 4  # half of each head is rotated
    assert on_cpu == on_gpu // 2


def test_a_shorter_context_does_not_shorten_the_rotary_table_and_yarn_lengthens_it() -> None:
    yarn = replace(GLM_4_5_AIR, rotary_positions=4 * 131_072)

    assert rotary_bytes(GLM_4_5_AIR, 4_096, "bfloat16", cuda=True) == 131_072 * 64 * 4
    assert rotary_bytes(yarn, 4_096, "bfloat16", cuda=True) == 128 * MIB


def test_latent_attention_rotates_its_position_dim_alone() -> None:
    assert rotary_bytes(GLM_4_7_FLASH, 4_096, "bfloat16", cuda=True) == 202_752 * 64 * 4


def test_a_block_wise_checkpoint_has_a_scale_for_each_block() -> None:
    counted = count_parameters(GLM_4_5_AIR).experts
    whole = rank_bytes(counted, replace(BLOCKS, weight_block_size=None), 1, "bfloat16")

    blocks = rank_bytes(counted, BLOCKS, 1, "bfloat16")

    by_output = counted.scales * 4
    by_block = counted.divided // (128 * 128) * 4
    assert whole - blocks == by_output - by_block
    assert by_block < by_output
