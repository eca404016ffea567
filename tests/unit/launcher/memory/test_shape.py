"""A model's dimensions from its config.json, and the parameters that follow from them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from math import prod
from typing import Any

import pytest

from launcher.errors import UnknownShapeError
from launcher.memory.known_shapes import (
    GLM_4_5,
    GLM_4_5_AIR,
    GLM_4_6,
    KNOWN_SHAPES,
    find_known_shape,
)
from launcher.memory.shape import count_parameters, read_shape
from launcher.memory.weights import checkpoint_bytes
from launcher.nano.folder import model_path
from launcher.system.hardware import GIB

LLAMA_3_8B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
QWEN3_30B: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "sliding_window": None,
    "torch_dtype": "bfloat16",
}


def nano_config() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((model_path() / "config.json").read_text())
    return content


def test_the_parameters_are_those_in_the_checkpoint_s_header() -> None:
    with (model_path() / "model.safetensors").open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    there = sum(prod(entry["shape"]) for key, entry in header.items() if key != "__metadata__")

    assert count_parameters(read_shape(nano_config(), name="nano")).total == there


@pytest.mark.parametrize(
    ("config", "published"),
    # As the hub counts them: meta-llama/Meta-Llama-3-8B, Qwen/Qwen3-30B-A3B.
    [(LLAMA_3_8B, 8_030_261_248), (QWEN3_30B, 30_532_122_624)],
    ids=["llama", "qwen"],
)
def test_other_architectures_have_the_parameters_that_the_hub_counts(
    config: dict[str, Any], published: int
) -> None:
    assert count_parameters(read_shape(config, name="a model")).total == published


@pytest.mark.parametrize(
    ("model", "published_gib"),
    [
        # The starting document's figures, which it calls GB.
        ("zai-org/GLM-4.5-Air", 205.79),
        ("zai-org/GLM-4.5-Air-FP8", 104.85),
        # 358.34 billion parameters, 667.5 GB: free2aitools.com, from the hub's metadata.
        ("zai-org/GLM-4.5", 667.5),
    ],
)
def test_a_checkpoint_from_its_shape_alone_is_as_large_as_published(
    model: str, published_gib: float
) -> None:
    assert checkpoint_bytes(KNOWN_SHAPES[model]) / GIB == pytest.approx(published_gib, rel=0.01)


def test_the_families_parameters_are_those_that_the_hub_counts() -> None:
    assert count_parameters(GLM_4_5_AIR).total == pytest.approx(110.469e9, rel=1e-5)
    assert count_parameters(GLM_4_5).total == pytest.approx(358.338e9, rel=1e-5)
    assert count_parameters(GLM_4_6) == count_parameters(GLM_4_5)


def test_parts_add_up_to_the_whole() -> None:
    counted = count_parameters(GLM_4_5_AIR)

    assert counted.total == counted.main.total + counted.nextn.total
    # What a token passes through is a small part: 8 of 128 experts.
    assert counted.experts.total > 0.9 * counted.main.total
    assert counted.nextn_layers.total == pytest.approx(3.6166e9 - 1.2415e9, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("GLM-4.5-Air-FP8", "zai-org/GLM-4.5-Air-FP8"),
        ("zai-org/glm-4.6", "zai-org/GLM-4.6"),
        ("glm-4.7-fp8", "zai-org/GLM-4.7-FP8"),
    ],
)
def test_a_family_s_model_is_found_with_or_without_its_owner(given: str, found: str) -> None:
    known = find_known_shape(given)

    assert known is not None
    assert known[0] == found


@pytest.mark.parametrize("name", ["GLM-4.7-Flash", "other/GLM-4.5", ""])
def test_another_model_is_not_taken_for_one_of_the_family(name: str) -> None:
    assert find_known_shape(name) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"architectures": ["DeepseekV3ForCausalLM"]}, "DeepseekV3ForCausalLM"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"vocab_size": None}, "vocab_size"),
        ({"sliding_window": 4096}, "window"),
        ({"torch_dtype": "int3"}, "int3"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"hidden_size": 4097}, "head_dim"),
    ],
)
def test_what_cannot_be_added_up_is_said_so(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UnknownShapeError, match=word) as caught:
        read_shape(LLAMA_3_8B | change, name="a model")

    assert caught.value.exit_code == 17
    assert "a model" in caught.value.problem


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
    ],
)
def test_an_fp8_checkpoint_is_known_by_its_config(quantization: dict[str, Any]) -> None:
    shape = read_shape(LLAMA_3_8B | {"quantization_config": quantization}, name="a model")

    assert shape.quantization == "fp8"
    assert checkpoint_bytes(shape) < 0.7 * checkpoint_bytes(replace(shape, quantization=None))


def test_the_rotary_table_and_the_blocks_of_fp8_are_read() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
    blocks = {"quant_method": "fp8", "weight_block_size": [128, 64]}

    shape = read_shape(
        LLAMA_3_8B
        | {"rope_scaling": yarn, "partial_rotary_factor": 0.25, "quantization_config": blocks},
        name="a model",
    )

    assert shape.rotary_positions == 131_072
    assert shape.rotary_factor == 0.25
    assert shape.weight_block == (128, 64)


@pytest.mark.parametrize(
    "rope", [None, {"rope_type": "llama3", "factor": 8.0}, {"type": "yarn"}, {"factor": "many"}]
)
def test_without_yarn_s_factor_the_positions_are_the_model_s(rope: object) -> None:
    shape = read_shape(LLAMA_3_8B | {"rope_scaling": rope}, name="a model")

    assert shape.rotary_positions is None


def test_half_a_head_is_rotated_in_glm_unless_the_config_says_otherwise() -> None:
    assert read_shape(nano_config(), name="nano").rotary_factor == 0.5
    assert read_shape(LLAMA_3_8B, name="a model").rotary_factor == 1.0
