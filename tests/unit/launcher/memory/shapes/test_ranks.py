"""What SGLang refuses to divide among ranks, said with its own condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.memory.shape import ModelShape
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.shapes.known_shapes import GLM_4_5_AIR, GLM_4_7_FLASH, KNOWN_SHAPES
from launcher.memory.shapes.ranks import (
    Division,
    find_conflicts,
    propose_division,
    smaller_division,
)
from launcher.memory.table import COUNTS, MODELS
from tests.unit.launcher.memory.test_shape import DEEPSEEK_V3, LLAMA_3_8B, QWEN3_30B

BLOCKS = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
LLAMA = read_shape(LLAMA_3_8B, name="Llama")
QWEN = read_shape(QWEN3_30B, name="Qwen3")
QWEN_FP8 = read_shape(QWEN3_30B | BLOCKS, name="Qwen3-FP8")
V3_FP8 = read_shape(DEEPSEEK_V3 | BLOCKS, name="V3")


def problems(shape: ModelShape, ranks: int, **groups: int) -> list[str]:
    return [conflict.problem for conflict in find_conflicts(shape, Division(ranks, **groups))]


@pytest.mark.parametrize("ranks", [3, 5, 6, 7])
def test_heads_have_to_be_divisible(ranks: int) -> None:
    found = find_conflicts(LLAMA, Division(ranks))

    assert found[0].problem == f"its 32 attention heads cannot be divided among {ranks} ranks"
    assert "assert total_num_heads % attn_tp_size == 0" in found[0].source


def test_kv_heads_are_divided_or_shared_evenly() -> None:
    shape = replace(LLAMA, heads=48, kv_heads=6, dense_width=48 * 64)

    assert problems(shape, 4) == ["its 6 KV heads cannot be divided among 4 ranks"]
    assert problems(shape, 16) == ["16 ranks cannot share 6 KV heads evenly"]
    assert problems(shape, 3) == problems(shape, 12) == []


def test_an_expert_s_width_has_to_be_whole_blocks_of_its_fp8() -> None:
    (conflict,) = find_conflicts(QWEN_FP8, Division(4))

    assert "768/4=192, is no multiple of 128" in conflict.problem
    assert "layers/quantization/fp8.py" in conflict.source
    assert problems(QWEN, 4) == problems(QWEN_FP8, 2) == []
    assert problems(QWEN_FP8, 4, expert_groups=4) == []


@pytest.mark.parametrize(
    ("shape", "ranks", "proposed"),
    [
        (QWEN_FP8, 4, Division(4, expert_groups=4)),
        (QWEN_FP8, 64, None),  # 32 heads
        (LLAMA, 3, Division(2)),
        (LLAMA, 64, Division(32)),
        (V3_FP8, 32, Division(16)),  # 18432/32 is no multiple of 128 either
        (replace(LLAMA, heads=7, kv_heads=7, dense_width=7), 1, None),
        (replace(LLAMA, heads=9, kv_heads=3, dense_width=9), 2, Division(1)),
    ],
)
def test_the_nearest_division_is_proposed(
    shape: ModelShape, ranks: int, proposed: Division | None
) -> None:
    found = propose_division(shape, Division(ranks))

    if proposed is None:
        assert found is None or not find_conflicts(shape, found)
    else:
        assert found == proposed


def test_one_rank_is_proposed_nothing_below() -> None:
    odd = replace(QWEN_FP8, expert_width=700)

    assert "700, is no multiple of 128" in problems(odd, 1)[0]
    assert smaller_division(odd, Division(1)) is None
    assert propose_division(odd, Division(1)) is None


@pytest.mark.parametrize(
    ("change", "ranks", "word"),
    [
        ({"dense_width": 14337}, 2, "a dense MLP, 14337 wide, cannot be divided among 2"),
        ({"dense_width": 14400, "weight_block_size": (128, 128)}, 1, "14400, is no multiple"),
        ({"weight_block_size": (128, 128), "head_dim": 96}, 8, "96 outputs of keys and values"),
        ({"weight_block_size": (1, 384)}, 8, "512 inputs of the attention's output"),
        ({"weight_block_size": (1, 384)}, 8, "14336/8=1792, is no multiple of 384"),
    ],
)
def test_each_width_is_held_against_ranks_and_blocks(
    change: dict[str, Any], ranks: int, word: str
) -> None:
    assert any(word in problem for problem in problems(replace(LLAMA, **change), ranks))


def test_what_an_fp8_checkpoint_leaves_in_16_bits_has_no_blocks() -> None:
    narrow = replace(LLAMA, dense_width=14400, weight_block_size=(128, 128))

    assert problems(narrow, 1)
    assert not problems(replace(narrow, wide_parts=frozenset({"dense"})), 1)


def test_more_ranks_than_experts_are_refused_where_the_family_refuses_them() -> None:
    few = replace(QWEN, experts=4)

    assert problems(few, 8) == ["it has 4 experts, fewer than 8 ranks"]
    assert not problems(replace(few, architecture="MixtralForCausalLM"), 8)


def test_latent_attention_is_divided_by_heads_alone() -> None:
    assert problems(GLM_4_7_FLASH, 4) == []
    assert problems(GLM_4_7_FLASH, 8) == ["its 20 attention heads cannot be divided among 8 ranks"]
    # deepseek-ai/DeepSeek-V3, README: SGLang on 8 H200 or 2 x 8 H100.
    assert problems(V3_FP8, 8) == problems(V3_FP8, 16) == []


def test_groups_of_ranks_each_have_all_heads() -> None:
    assert problems(LLAMA, 6, attention_groups=3) == []
    assert problems(LLAMA, 6, attention_groups=2)


@pytest.mark.parametrize("model", MODELS)
def test_the_machines_of_the_table_are_divisible(model: str) -> None:
    for count in COUNTS:
        assert not problems(KNOWN_SHAPES[model], count)


WIDTHS = st.tuples(*(st.integers(1, most) for most in (64, 8, 4096, 4096)))


@given(
    base=st.sampled_from([LLAMA, QWEN, QWEN_FP8, V3_FP8, GLM_4_5_AIR, GLM_4_7_FLASH]),
    widths=WIDTHS,
    block=st.sampled_from([None, (128, 128), (1, 32), (64, 16)]),
    division=st.builds(
        Division, st.integers(1, 64), st.integers(1, 4), expert_groups=st.integers(1, 64)
    ),
)
def test_what_is_proposed_has_no_conflict(
    base: ModelShape,
    widths: tuple[int, int, int, int],
    block: tuple[int, int] | None,
    division: Division,
) -> None:
    kv_heads, group, dense_width, expert_width = widths
    shape = replace(
        base,
        heads=kv_heads * group,
        kv_heads=1 if base.latent else kv_heads,
        dense_width=dense_width,
        expert_width=expert_width,
        weight_block_size=block,
    )

    proposed = propose_division(shape, division)

    if proposed is not None:
        assert not find_conflicts(shape, proposed)
        assert proposed.ranks <= 2 * division.ranks
