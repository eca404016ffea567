"""A model's dimensions from its config.json, and the parameters that follow from them."""

from __future__ import annotations

import json
import struct
from math import prod
from typing import Any

import pytest

from launcher.memory.shape import count_parameters
from launcher.memory.shapes.config_json import read_shape
from launcher.memory.shapes.known_shapes import (
    GLM_4_5,
    GLM_4_5_AIR,
    GLM_4_6,
    GLM_4_7_FLASH,
    KNOWN_SHAPES,
    find_known_shape,
)
from launcher.memory.weights import checkpoint_bytes
from launcher.nano.folder import model_path
from launcher.system.hardware import GIB

DEEPSEEK_V3: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 256,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "num_nextn_predict_layers": 1,
    "torch_dtype": "bfloat16",
}
DEEPSEEK_V2_LITE = DEEPSEEK_V3 | {
    "architectures": ["DeepseekV2ForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "n_shared_experts": 2,
    "n_routed_experts": 64,
    "q_lora_rank": None,
    "first_k_dense_replace": 1,
    "vocab_size": 102400,
}
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
    # deepseek-ai/DeepSeek-V2-Lite.
    [
        (LLAMA_3_8B, 8_030_261_248),
        (QWEN3_30B, 30_532_122_624),
        (DEEPSEEK_V2_LITE, 15_706_484_224),
    ],
    ids=["llama", "qwen", "deepseek"],
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


def test_latent_attention_has_the_parameters_that_are_published() -> None:
    v3 = count_parameters(read_shape(DEEPSEEK_V3, name="DeepSeek-V3"))
    flash = count_parameters(GLM_4_7_FLASH)

    # deepseek-ai/DeepSeek-V3, README: 671B of the main model, 14B of the NextN module, which
    # counts the embedding and the head that the two share.
    assert v3.main.total == pytest.approx(671.03e9, rel=1e-4)
    assert v3.nextn.total == pytest.approx(14e9, rel=0.05)
    # zai-org/GLM-4.7-Flash: 30B-A3B; 62.5 GB of files in BF16.
    assert flash.main.total == pytest.approx(30e9, rel=0.01)
    assert flash.total * 2 == pytest.approx(62.5e9, rel=0.01)


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


@pytest.mark.parametrize("name", ["GLM-4.7-Flash-FP8", "other/GLM-4.5", ""])
def test_another_model_is_not_taken_for_one_of_the_family(name: str) -> None:
    assert find_known_shape(name) is None
